"""Small machines for tests, and their laws by counting all states."""

import itertools

import torch

from advnets.rivals.rbm import RBM


def machine(size=5, hidden=4, seed=0, scale=1.0, kind="bernoulli", chains=0, dtype=torch.float64) -> RBM:
    random = torch.Generator().manual_seed(seed)
    rbm = RBM(size, hidden, random, kind=kind, chains=chains).to(dtype)
    with torch.no_grad():
        for parameter in rbm.parameters():
            parameter.copy_(scale * torch.randn(parameter.shape, generator=random))
    return rbm


def states(units: int, dtype=torch.float64) -> torch.Tensor:
    return torch.tensor(list(itertools.product((0.0, 1.0), repeat=units)), dtype=dtype)


@torch.no_grad()
def energy(rbm: RBM, v: torch.Tensor, h: torch.Tensor) -> float:
    """E(v, h) of bits, a number at a time."""
    total = 0.0
    for i in range(len(v)):
        total -= float(rbm.visible_bias[i] * v[i])
        for j in range(len(h)):
            total -= float(v[i] * rbm.weight[i, j] * h[j])
    return total - sum(float(rbm.hidden_bias[j] * h[j]) for j in range(len(h)))


def joint(rbm: RBM) -> torch.Tensor:
    """p(v, h) of bits for all states, rows v, columns h."""
    size, hidden = rbm.weight.shape
    table = [[-energy(rbm, v, h) for h in states(hidden)] for v in states(size)]
    weights = torch.tensor(table, dtype=torch.float64).exp()
    return weights / weights.sum()


def log_z(rbm: RBM) -> float:
    size, hidden = rbm.weight.shape
    terms = [-energy(rbm, v, h) for v in states(size) for h in states(hidden)]
    return float(torch.tensor(terms, dtype=torch.float64).logsumexp(0))
