"""Deep belief nets: restricted Boltzmann machines, each trained on the hidden units of the one below."""

from itertools import pairwise
from typing import cast

import torch
from jaxtyping import Float
from torch import Tensor, nn

from advnets.config import RBMConfig
from advnets.rivals.bits import independent_bits
from advnets.rivals.rbm import RBM
from advnets.rivals.rival import Rival


class DBN(Rival):
    """A stack of restricted Boltzmann machines; with one layer, such a machine itself.

    p(x) = Σ_h p(x | h_1) p(h_1 | h_2) … p(h_{L−1}), the last of these the law of the top machine's visible units, each
    other p that of a layer given the one above (Hinton, Osindero and Teh 2006). Layers above the first learn
    draws of the hidden units below, the states that the layer below is a model of. The chain is Gibbs
    sampling in the top machine; its state are that machine's hidden units, drawn. From them one draw a layer leads
    down, and only x itself may be shown as its mean (Bengio, Mesnil, Dauphin and Rifai 2013).
    """

    def __init__(
        self, config: RBMConfig, size: int, mean: Float[Tensor, " size"], random: torch.Generator, *, chains: int
    ) -> None:
        super().__init__()
        self.config = config
        self.mean: Tensor
        self.register_buffer("mean", mean.clone())
        self.stages = len(config.hidden)
        kept = chains if config.persistent == "on" else 0
        kinds = [config.visible, *["bernoulli"] * (self.stages - 1)]
        sizes = pairwise([size, *config.hidden])
        self.layers = nn.ModuleList(
            RBM(below, above, random, kind="gaussian" if kind == "gaussian" else "bernoulli", chains=kept)
            for (below, above), kind in zip(sizes, kinds, strict=True)
        )
        self.part(0).begin_at(mean)

    def part(self, stage: int) -> RBM:
        """Return the machine of a stage, the bottom one for 0."""
        return cast(RBM, self.layers[stage])

    @property
    def top(self) -> RBM:
        """The machine in which the chain runs."""
        return self.part(self.stages - 1)

    def loss(self, x: Float[Tensor, "batch d"], stage: int, random: torch.Generator) -> Float[Tensor, ""]:
        """Return the loss of the machine of a stage, on hidden units drawn through the ones below."""
        below = self.below(x, stage, random)
        return self.part(stage).loss(below, self.config.gibbs_steps, self.config.weight_decay, random)

    @torch.no_grad()
    def below(self, x: Float[Tensor, "batch d"], stage: int, random: torch.Generator) -> Float[Tensor, "batch below"]:
        """Return what the machine of a stage learns: x, or hidden units drawn through the ones below."""
        for machine in range(stage):
            x = self.part(machine).draw_hidden(x, random)
        return x

    @torch.no_grad()
    def start(self, chains: int, random: torch.Generator) -> Float[Tensor, "chains hidden"]:
        """Draw pixels independently around the mean of training examples, and hidden units up to the top from them."""
        x = independent_bits(self.mean, chains, random)
        if self.part(0).kind == "gaussian":
            x = self.mean + torch.randn(x.shape, generator=random, device=x.device, dtype=x.dtype)
        for stage in range(self.stages):
            x = self.part(stage).draw_hidden(x, random)
        return x

    @torch.no_grad()
    def move(self, state: Float[Tensor, "chains hidden"], random: torch.Generator) -> Float[Tensor, "chains hidden"]:
        """Draw the top machine's visible units given the hidden ones, and these anew."""
        return self.top.draw_hidden(self.top.draw_visible(state, random), random)

    @torch.no_grad()
    def means(self, state: Float[Tensor, "chains hidden"], random: torch.Generator) -> Float[Tensor, "chains d"]:
        """Draw down to the lowest hidden layer, and return E[x | h_1]."""
        return self.part(0).visible(self._lowest(state, random))

    @torch.no_grad()
    def pixels(self, state: Float[Tensor, "chains hidden"], random: torch.Generator) -> Float[Tensor, "chains d"]:
        """Draw down to x: bits, or real numbers."""
        return self.part(0).draw_visible(self._lowest(state, random), random)

    def _lowest(self, state: Tensor, random: torch.Generator) -> Tensor:
        for stage in reversed(range(1, self.stages)):
            state = self.part(stage).draw_visible(state, random)
        return state
