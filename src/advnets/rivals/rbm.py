"""Restricted Boltzmann machines, trained by contrastive divergence."""

import math
from typing import Literal

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn.functional import softplus

from advnets.rivals.bits import draw_bits

Kind = Literal["bernoulli", "gaussian"]

_CLIP = 1e-2  # a mean grey level is kept this far from 0 and 1 before its log-odds are taken


class RBM(nn.Module):
    """p(v, h) = exp(−E(v, h))/Z over hidden bits h and visible bits, or real numbers of unit variance given h.

    E = −vᵀWh − bᵀv − cᵀh for bits, ½‖v − b‖² − vᵀWh − cᵀh for real numbers. Weights start at
    U(±4·sqrt(6/(visible + hidden))), a quarter of that for real numbers; hidden biases at 0, visible ones at the mean
    example or, for bits, at its log-odds, kept within .01 and .99. Persistent chains begin at noise.
    """

    def __init__(
        self, size: int, hidden: int, random: torch.Generator, *, kind: Kind = "bernoulli", chains: int = 0
    ) -> None:
        super().__init__()
        self.kind = kind
        bound = (4 if kind == "bernoulli" else 1) * math.sqrt(6 / (size + hidden))
        self.weight = nn.Parameter(torch.empty(size, hidden))
        self.visible_bias = nn.Parameter(torch.zeros(size))
        self.hidden_bias = nn.Parameter(torch.zeros(hidden))
        nn.init.uniform_(self.weight, -bound, bound, random)
        self.chains: Tensor | None
        self.register_buffer("chains", self.noise(chains, random) if chains else None)

    @torch.no_grad()
    def begin_at(self, mean: Float[Tensor, " size"]) -> None:
        """Set the visible biases so that independent units would have this mean."""
        bits = self.kind == "bernoulli"
        self.visible_bias.copy_(mean.clamp(_CLIP, 1 - _CLIP).logit() if bits else mean)

    def noise(self, count: int, random: torch.Generator) -> Float[Tensor, "count size"]:
        """Draw visible units that know nothing of the data: fair bits, or standard normal numbers."""
        shape, like = (count, len(self.visible_bias)), self.visible_bias
        if self.kind == "gaussian":
            return torch.randn(shape, generator=random, device=like.device, dtype=like.dtype)
        return torch.rand(shape, generator=random, device=like.device, dtype=like.dtype).round()

    def energy(self, v: Float[Tensor, "batch size"], h: Float[Tensor, "batch hidden"]) -> Float[Tensor, " batch"]:
        """Return E(v, h)."""
        return self._visible_energy(v) - ((v @ self.weight + self.hidden_bias) * h).sum(-1)

    def free_energy(self, v: Float[Tensor, "batch size"]) -> Float[Tensor, " batch"]:
        """Return F(v) = −log Σ_h exp(−E(v, h)), so that p(v) = exp(−F(v))/Z, in nats."""
        return self._visible_energy(v) - softplus(v @ self.weight + self.hidden_bias).sum(-1)

    def hidden_free_energy(self, h: Float[Tensor, "batch hidden"]) -> Float[Tensor, " batch"]:
        """Return G(h) = −log Σ_v exp(−E(v, h)), an integral for real numbers, so that p(h) = exp(−G(h))/Z, in nats."""
        total = h @ self.weight.T
        if self.kind == "bernoulli":
            return -(h @ self.hidden_bias) - softplus(total + self.visible_bias).sum(-1)
        squares = (total.square() / 2 + total * self.visible_bias).sum(-1)
        return -(h @ self.hidden_bias) - squares - total.shape[-1] / 2 * math.log(2 * math.pi)

    def hidden(self, v: Float[Tensor, "batch size"]) -> Float[Tensor, "batch hidden"]:
        """Return p(h_j = 1 | v) = s(vᵀW + c)."""
        return torch.sigmoid(v @ self.weight + self.hidden_bias)

    def visible(self, h: Float[Tensor, "batch hidden"]) -> Float[Tensor, "batch size"]:
        """Return E[v | h]: s(Wh + b) for bits, Wh + b for real numbers."""
        total = h @ self.weight.T + self.visible_bias
        return torch.sigmoid(total) if self.kind == "bernoulli" else total

    def draw_hidden(self, v: Float[Tensor, "batch size"], random: torch.Generator) -> Float[Tensor, "batch hidden"]:
        """Draw h given v."""
        return draw_bits(self.hidden(v), random)

    def draw_visible(self, h: Float[Tensor, "batch hidden"], random: torch.Generator) -> Float[Tensor, "batch size"]:
        """Draw v given h."""
        means = self.visible(h)
        if self.kind == "bernoulli":
            return draw_bits(means, random)
        return means + torch.randn(means.shape, generator=random, device=means.device, dtype=means.dtype)

    @torch.no_grad()
    def gibbs(self, v: Float[Tensor, "batch size"], steps: int, random: torch.Generator) -> Float[Tensor, "batch size"]:
        """Make steps of the Markov chain v → h → v, whose stationary law is p(v)."""
        for _ in range(steps):
            v = self.draw_visible(self.draw_hidden(v, random), random)
        return v

    def loss(
        self, v: Float[Tensor, "batch size"], gibbs_steps: int, weight_decay: float, random: torch.Generator
    ) -> Float[Tensor, ""]:
        """Return mean F(v) − mean F(v⁻) + ½λ‖W‖², whose gradient is that of contrastive divergence.

        v⁻ ends `gibbs_steps` of a chain from v (CD-k, Hinton 2002), or from where the chains of the step before ended
        (persistent, Tieleman 2008); no gradient goes through it. The value itself is no likelihood.
        """
        persistent = self.chains is not None
        negative = self.gibbs(self.chains if self.chains is not None else v, gibbs_steps, random)
        if persistent:
            self.chains = negative
        decay = weight_decay / 2 * self.weight.square().sum()
        return self.free_energy(v).mean() - self.free_energy(negative).mean() + decay

    def _visible_energy(self, v: Tensor) -> Tensor:
        if self.kind == "bernoulli":
            return -(v @ self.visible_bias)
        return (v - self.visible_bias).square().sum(-1) / 2
