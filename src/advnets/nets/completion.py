"""A generator of all conditionals p(x_S | x_notS), S any subset of the indices of x (section 7)."""

import math

import torch
from jaxtyping import Float
from torch import Tensor, nn

from advnets.config import ConditionConfig

Rows = Float[Tensor, "batch numbers"]


class CompletionGenerator(nn.Module):
    """x⊙m + x̂⊙(1−m) with x̂ = inner([z, x⊙m, m]), m = 1 where x is known: one net for every m.

    Its one input holds z, x⊙m and m. What is known comes back bit for bit. `condition` can have three more things:
    `centre`, with which inner gets scale·(x − mean)⊙m / √(share known) for x⊙m; `linear`, a map of the same and m that
    is added to x̂; and `rounds`, after the first of which inner and the map get the last completion for x⊙m.
    """

    mean: Tensor | None

    def __init__(
        self,
        latent: int,
        shape: tuple[int, ...],
        inner: nn.Module,
        condition: ConditionConfig,
        mean: Tensor,
        scale: float = 1.0,
    ) -> None:
        super().__init__()
        size = math.prod(shape)
        self.latent = latent
        self.shape = shape
        self.inner = inner
        self.rounds = condition.rounds
        self.scale = scale
        self.register_buffer("mean", mean.flatten().clone() if condition.centre == "on" else None)
        self.linear = nn.Linear(2 * size, size, bias=False) if condition.linear == "on" else None
        if self.linear is not None:
            nn.init.zeros_(self.linear.weight)

    def forward(
        self, z: Float[Tensor, "batch latent_and_c"], generator: torch.Generator | None = None
    ) -> Float[Tensor, "batch *shape"]:
        """Fill in what is not known."""
        size = math.prod(self.shape)
        noise, known, mask = z.split([self.latent, size, size], dim=1)
        share = mask.mean(1, keepdim=True).clamp_min(1 / size)
        made = self._round(noise, known, mask, mask / share.sqrt(), generator)
        for _ in range(self.rounds - 1):
            draft = torch.where(mask > 0, known, made.flatten(1).to(known))
            made = self._round(noise, draft, mask, torch.ones_like(mask), generator)
        return torch.where(mask.view_as(made) > 0, known.view_as(made).to(made), made)

    def _round(
        self, noise: Float[Tensor, "batch latent"], x: Rows, mask: Rows, size: Rows, generator: torch.Generator | None
    ) -> Float[Tensor, "batch *shape"]:
        """Make x̂ of x; where it is centred, times `size`."""
        told = x if self.mean is None else self.scale * size * (x - self.mean)
        made: Tensor = self.inner(torch.cat([noise, told, mask], dim=1), generator)
        if self.linear is not None:
            made = made + self.linear(torch.cat([told, mask], dim=1)).view_as(made)
        return made
