"""A generator of all conditionals p(x_S | x_notS), S any subset of the indices of x (section 7)."""

import math

import torch
from jaxtyping import Float
from torch import Tensor, nn


class CompletionGenerator(nn.Module):
    """x⊙m + x̂⊙(1−m) with x̂ = inner([z, x⊙m, m]), m = 1 where x is known: one net for every m.

    Its one input holds z, x⊙m and m. What is known comes back bit for bit.
    """

    def __init__(self, latent: int, shape: tuple[int, ...], inner: nn.Module) -> None:
        super().__init__()
        self.latent = latent
        self.shape = shape
        self.inner = inner

    def forward(
        self, z: Float[Tensor, "batch latent_and_c"], generator: torch.Generator | None = None
    ) -> Float[Tensor, "batch *shape"]:
        """Fill in what is not known."""
        made: Tensor = self.inner(z, generator)
        size = math.prod(self.shape)
        known, mask = z[:, self.latent :].split(size, dim=1)
        return torch.where(mask.view_as(made) > 0, known.view_as(made).to(made), made)
