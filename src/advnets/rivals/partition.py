"""Log partition functions of restricted Boltzmann machines, and with them likelihoods of the nets made of these."""

import math
from collections.abc import Iterator
from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn.functional import softplus

from advnets.errors import InputError
from advnets.rivals.bits import draw_bits
from advnets.rivals.dbn import DBN
from advnets.rivals.rbm import RBM

_LARGEST = 20  # units of the smaller layer whose states are counted one by one
_ROWS = 1 << 12  # of these at once


@dataclass(frozen=True)
class LogPartition:
    """An estimate of log Z in nats, with what it rests on."""

    value: float
    standard_error: float
    """Of the logarithm, by the spread of the weights (delta method)."""
    particles: int
    temperatures: int


@torch.no_grad()
def exact_log_partition(rbm: RBM) -> float:
    """Return log Z = log Σ_v Σ_h exp(−E(v, h)), in nats, by summing over the smaller layer's states.

    Raises InputError where that has more than 20 units; real-valued visible units are integrated out.
    """
    size, hidden = rbm.weight.shape
    over_hidden = rbm.kind == "gaussian" or hidden <= size
    units = hidden if over_hidden else size
    if units > _LARGEST:
        raise InputError(
            f"the smaller layer has {units} units, allowed: up to {_LARGEST}, to count their states; use annealed "
            "importance sampling"
        )
    free_energy = rbm.hidden_free_energy if over_hidden else rbm.free_energy
    terms = [(-free_energy(states).double()).logsumexp(0) for states in states_of(units, rbm.weight)]
    return float(torch.stack(terms).logsumexp(0))


def states_of(units: int, like: Tensor) -> Iterator[Float[Tensor, "some units"]]:
    """Yield all states of so many bits, in blocks of rows, in the number format of `like`."""
    powers = 2 ** torch.arange(units, device=like.device)
    for first in range(0, 2**units, _ROWS):
        numbers = torch.arange(first, min(first + _ROWS, 2**units), device=like.device)
        yield (numbers[:, None] // powers % 2).to(like.dtype)


@torch.no_grad()
def annealed_log_partition(
    rbm: RBM, random: torch.Generator, *, particles: int = 100, temperatures: int = 1000
) -> LogPartition:
    """Estimate log Z by annealed importance sampling from the machine without weights (Salakhutdinov and Murray 2008).

    At inverse temperature β the machine has weights βW and hidden biases βc and the visible biases b throughout; at 0
    its law is one of independent units, log Z_0 = H·log 2 + Σ_i log(1 + exp b_i), or H·log 2 + D/2·log 2π for real
    numbers. Each of `temperatures` steps adds F_β(v) − F_β′(v) to a particle's log-weight and moves it by one Gibbs
    step. Z is the mean weight times Z_0, unbiased; its logarithm is too small in expectation. In double precision.
    Raises InputError for fewer than 2 particles or 1 temperature.
    """
    if particles < 2 or temperatures < 1:
        raise InputError(
            f"particles is {particles} and temperatures {temperatures}, allowed: 2 or more, and 1 or more; set both so"
        )
    annealed = _Annealed(rbm)
    v = annealed.independent(particles, random)
    log_weights = v.new_zeros(particles)
    betas = torch.linspace(0, 1, temperatures + 1, dtype=torch.float64)
    for before, beta in zip(betas[:-1].tolist(), betas[1:].tolist(), strict=True):
        log_weights += annealed.free_energy(v, before) - annealed.free_energy(v, beta)
        v = annealed.gibbs(v, beta, random)
    value = float(log_weights.logsumexp(0)) - math.log(particles) + annealed.log_partition_at_zero()
    weights = (log_weights - log_weights.max()).exp()
    error = float(weights.std() / weights.mean()) / math.sqrt(particles)
    return LogPartition(value, error, particles, temperatures)


class _Annealed:
    """A machine at an inverse temperature, in double precision."""

    def __init__(self, rbm: RBM) -> None:
        self.gaussian = rbm.kind == "gaussian"
        self.weight, self.b, self.c = (p.detach().double() for p in (rbm.weight, rbm.visible_bias, rbm.hidden_bias))

    def log_partition_at_zero(self) -> float:
        bits = len(self.c) * math.log(2)
        size = len(self.b)
        return bits + (size / 2 * math.log(2 * math.pi) if self.gaussian else float(softplus(self.b).sum()))

    def independent(self, count: int, random: torch.Generator) -> Tensor:
        return self._visible(self.b.expand(count, -1), random)

    def free_energy(self, v: Tensor, beta: float) -> Tensor:
        own = (v - self.b).square().sum(-1) / 2 if self.gaussian else -(v @ self.b)
        return own - softplus(beta * (v @ self.weight + self.c)).sum(-1)

    def gibbs(self, v: Tensor, beta: float, random: torch.Generator) -> Tensor:
        h = draw_bits(torch.sigmoid(beta * (v @ self.weight + self.c)), random)
        return self._visible(beta * (h @ self.weight.T) + self.b, random)

    def _visible(self, total: Tensor, random: torch.Generator) -> Tensor:
        if self.gaussian:
            return total + torch.randn(total.shape, generator=random, device=total.device, dtype=total.dtype)
        return draw_bits(total.sigmoid(), random)


@torch.no_grad()
def log_likelihood(rbm: RBM, x: Float[Tensor, "batch size"], log_z: float) -> Float[Tensor, " batch"]:
    """Return log p(x) = −F(x) − log Z in nats; for bits p is a probability, for real numbers a density."""
    return -rbm.free_energy(x).double() - log_z


@torch.no_grad()
def lower_bound(
    dbn: DBN, x: Float[Tensor, "batch d"], log_z: float, random: torch.Generator, draws: int = 20
) -> Float[Tensor, " batch"]:
    """Return a lower bound on log p(x) of a stack, in nats, `log_z` being that of its top machine.

    E_Q[log p(x | h_1) + … + log p(h_{L−1}) − log Q(h | x)] with Q the product of the layers' own upward laws, a mean
    over `draws` (Salakhutdinov and Murray 2008). A layer adds log p(v | h) − log Q(h | v) = G(h) − F(v), the free
    energies of its hidden and visible units. Exact with one layer. Grey levels are means of bits.
    """
    return torch.stack([*_log_weights(dbn, x, log_z, random, draws)]).mean(0)


@torch.no_grad()
def importance_bound(
    dbn: DBN, x: Float[Tensor, "batch d"], log_z: float, random: torch.Generator, draws: int = 20
) -> Float[Tensor, " batch"]:
    """Return log (1/draws)·Σ_k p(x, h^k)/Q(h^k | x), h^k ∼ Q, in nats: a bound between `lower_bound` and log p(x).

    In expectation, and rising to log p(x) with `draws`; for bits x, and the same laws (Burda, Grosse and Salakhutdinov
    2016, of variational autoencoders).
    """
    return torch.stack([*_log_weights(dbn, x, log_z, random, draws)]).logsumexp(0) - math.log(draws)


def _log_weights(
    dbn: DBN, x: Float[Tensor, "batch d"], log_z: float, random: torch.Generator, draws: int
) -> Iterator[Float[Tensor, " batch"]]:
    """Yield log p(x, h) − log Q(h | x), h ∼ Q(h | x), draw after draw."""
    for _ in range(draws):
        below, total = x, x.new_zeros(len(x), dtype=torch.float64)
        for stage in range(dbn.stages - 1):
            machine = dbn.part(stage)
            h = machine.draw_hidden(below, random)
            total += machine.hidden_free_energy(h).double() - machine.free_energy(below).double()
            below = h
        yield total + log_likelihood(dbn.top, below, log_z)
