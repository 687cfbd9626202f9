"""Maxout units (Goodfellow et al. 2013) and the fully connected discriminator made of them."""

import math
from itertools import pairwise
from typing import cast

import torch
from jaxtyping import Float
from torch import Tensor, nn

from advnets.config import DiscriminatorConfig
from advnets.nets.conv import MaxoutConvolution
from advnets.nets.dropout import Random, dropout
from advnets.nets.init import for_layer, uniform_
from advnets.nets.linear import linear


class Maxout(nn.Module):
    """One fully connected layer of maxout units: h_i = max_j (x·W_ij + b_ij) over `pieces` linear pieces j.

    The rows of `weight` are ordered piece by piece, so that the maximum runs over contiguous memory.
    """

    def __init__(self, inputs: int, units: int, pieces: int) -> None:
        super().__init__()
        self.linear = nn.Linear(inputs, units * pieces)
        self.units = units
        self.pieces = pieces

    def forward(self, x: Float[Tensor, "batch inputs"], fixed: int = 0) -> Float[Tensor, "batch units"]:
        """Return the largest piece of every unit; the first `fixed` rows of x get no gradient."""
        y = linear(x, self.linear.weight, self.linear.bias, fixed)
        pieces: Tensor = y.unflatten(1, (self.pieces, self.units))
        return pieces.amax(1)


class MaxoutDiscriminator(nn.Module):
    """D(x) as one logit: maxout layers, on top of maxout convolutions where the config has them.

    Dropout acts on the input of every layer, the logit's included, per example. D = σ(logit). The first layer above
    the convolutions has `beside` more inputs, which come as c and which dropout leaves alone.
    """

    def __init__(
        self, config: DiscriminatorConfig, shape: tuple[int, ...], generator: torch.Generator, beside: int = 0
    ) -> None:
        super().__init__()
        self.keep = config.keep
        self.convolutions = nn.ModuleList()
        for layer in config.convolutions:
            block = MaxoutConvolution(layer, shape)
            self.convolutions.append(block)
            shape = block.shape
        sizes = [math.prod(shape) + beside, *config.hidden]
        self.layers = nn.ModuleList(Maxout(below, units, config.pieces) for below, units in pairwise(sizes))
        self.logit = nn.Linear(sizes[-1], 1)
        for module in self.modules():
            if isinstance(module, nn.Linear | nn.Conv2d):
                uniform_(module.weight, config.init_range, generator)
                nn.init.zeros_(cast(Tensor, module.bias))

    def forward(
        self,
        x: Float[Tensor, "batch *shape"],
        generator: Random = None,
        c: Float[Tensor, "batch beside"] | None = None,
        fixed: int = 0,
    ) -> Float[Tensor, " batch"]:
        """Return logits; in training mode the dropout masks come from `generator`.

        No gradient is wanted by the first `fixed` rows of x, and it is not computed where that saves something.
        """
        *_, top = self.hidden(x, generator, c, fixed)
        logits: Tensor = self.logit(top).squeeze(1)
        return logits

    def hidden(
        self,
        x: Float[Tensor, "batch *shape"],
        generator: Random = None,
        c: Float[Tensor, "batch beside"] | None = None,
        fixed: int = 0,
    ) -> list[Tensor]:
        """Return what each layer below the logit passes on, bottom first, the last as the logit gets it.

        In training mode the last has been through dropout, and the masks come from `generator`.
        """
        found = []
        blocks = [*self.convolutions, *self.layers]
        for index, block in enumerate(blocks):
            x = self._dropped(x.flatten(1) if index >= len(self.convolutions) else x, index, generator)
            if index == len(self.convolutions) and c is not None:
                x = torch.cat([x, c], dim=1)
            x = block(x, fixed) if index == 0 and not self.convolutions else block(x)
            found.append(x)
        found[-1] = self._dropped(found[-1].flatten(1), len(blocks), generator)
        return found

    def _dropped(self, x: Tensor, index: int, generator: Random) -> Tensor:
        return dropout(x, for_layer(self.keep, index), generator) if self.training else x
