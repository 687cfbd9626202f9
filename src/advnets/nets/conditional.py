"""Players that are given c: the generator and the discriminator of p(x | c) (section 7; Mirza and Osindero 2014)."""

import dataclasses
import math
from typing import cast

import torch
from jaxtyping import Float
from torch import Tensor, nn

from advnets.config import ConditionConfig, DiscriminatorConfig
from advnets.nets.dropout import dropout
from advnets.nets.init import uniform_
from advnets.nets.maxout import Maxout, MaxoutDiscriminator
from advnets.nets.mlp import MLP


class ConditionalGenerator(nn.Module):
    """G(z, c) = inner([r(z), r(c)]) with a layer r of rectifiers for each, or inner([z, c]).

    Its one input holds z, then c.
    """

    def __init__(
        self, latent: int, condition: ConditionConfig, inner: nn.Module, bound: float, generator: torch.Generator
    ) -> None:
        super().__init__()
        self.latent = latent
        self.own = nn.ModuleList(
            MLP([inputs, units], ["rectifier"])
            for inputs, units in zip((latent, condition.given), condition.generator_units, strict=False)
        )
        for layer in self.own:
            cast(MLP, layer).initialise(bound, [0.0], generator)
        self.inner = inner

    def forward(
        self, z: Float[Tensor, "batch latent_and_c"], generator: torch.Generator | None = None
    ) -> Float[Tensor, "batch *shape"]:
        """Map noise with c beside it to samples of the data's shape."""
        if self.own:
            below, given = self.own
            z = torch.cat([below(z[:, : self.latent]), given(z[:, self.latent :])], dim=1)
        x: Tensor = self.inner(z, generator)
        return x


def inner_latent(latent: int, condition: ConditionConfig) -> int:
    """Count the inputs of the generator inside."""
    return sum(condition.generator_units) or latent + condition.given


class ConditionalDiscriminator(nn.Module):
    """D(x, c) as one logit: maxout layers on [m(x), m(c)] with a maxout layer m for each, or on [x, c].

    Above convolutions c is put beside what they give. Dropout acts on x as without c, and never on c itself.
    """

    def __init__(
        self,
        config: DiscriminatorConfig,
        condition: ConditionConfig,
        shape: tuple[int, ...],
        generator: torch.Generator,
    ) -> None:
        super().__init__()
        self.keep = config.keep[0]
        given = condition.size or 0
        self.own = nn.ModuleList(
            Maxout(inputs, units, condition.discriminator_pieces)
            for inputs, units in zip((math.prod(shape), given), condition.discriminator_units, strict=False)
        )
        for layer in self.own:
            linear = cast(Maxout, layer).linear
            uniform_(linear.weight, config.init_range, generator)
            nn.init.zeros_(linear.bias)
        size = sum(condition.discriminator_units)
        if size:
            config = dataclasses.replace(config, keep=config.keep[1:] or config.keep)
        self.inner = MaxoutDiscriminator(config, (size,) if size else shape, generator, beside=0 if size else given)

    def forward(
        self,
        x: Float[Tensor, "batch *shape"],
        generator: torch.Generator | None = None,
        c: Float[Tensor, "batch c"] | None = None,
        fixed: int = 0,
    ) -> Float[Tensor, " batch"]:
        """Return logits; in training mode the dropout masks come from `generator`. As in MaxoutDiscriminator."""
        if self.own:
            below, given = self.own
            x = x.flatten(1)
            x = dropout(x, self.keep, generator) if self.training else x
            x, c, fixed = torch.cat([below(x, fixed), given(c)], dim=1), None, 0
        logits: Tensor = self.inner(x, generator, c, fixed)
        return logits
