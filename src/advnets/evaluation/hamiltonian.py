"""Hamiltonian Monte Carlo on many chains at once, at a temperature between a standard normal prior and a posterior."""

import math
from collections.abc import Callable
from typing import NamedTuple

import torch
from jaxtyping import Float, Float64
from torch import Tensor


class Chains(NamedTuple):
    """Where chains are, with L(u), the log-likelihood there up to a constant, and its gradient."""

    u: Float[Tensor, "examples chains latent"]
    log_likelihood: Float64[Tensor, "examples chains"]
    gradient: Float[Tensor, "examples chains latent"]


Evaluate = Callable[[Tensor], Chains]
"""From positions u to chains that are there."""


def transition(
    evaluate: Evaluate,
    chains: Chains,
    beta: Float64[Tensor, " examples"],
    step_size: Float64[Tensor, " examples"],
    leapfrog: int,
    random: torch.Generator,
) -> tuple[Chains, Float64[Tensor, "examples chains"]]:
    """Move chains by a transition that leaves f(u) ∝ N(u; 0, I)·exp(β·L(u)) invariant, and return its acceptances.

    H(u, p) = |u|²/2 − β·L(u) + |p|²/2 with a fresh p ∼ N(0, I); `leapfrog` steps of `step_size` lead to H′, accepted
    with probability min(1, exp(H − H′)), which is returned. β and the step size may differ by example. Neal 2011.
    """
    dtype = chains.u.dtype
    momentum = torch.randn(chains.u.shape, generator=random, device=chains.u.device, dtype=dtype)
    weight, step = beta.to(dtype)[:, None, None], step_size.to(dtype)[:, None, None]
    new, energy = chains, _hamiltonian(chains, momentum, beta)
    for _ in range(leapfrog):
        momentum = momentum + step / 2 * (weight * new.gradient - new.u)
        new = evaluate(new.u + step * momentum)
        momentum = momentum + step / 2 * (weight * new.gradient - new.u)
    gain = energy - _hamiltonian(new, momentum, beta)
    acceptance = gain.nan_to_num(nan=-math.inf).clamp(max=0).exp()  # a path that overflowed is refused
    draws = torch.rand(acceptance.shape, generator=random, device=acceptance.device, dtype=acceptance.dtype)
    accept = draws < acceptance
    moved = Chains(
        torch.where(accept[..., None], new.u, chains.u),
        torch.where(accept, new.log_likelihood, chains.log_likelihood),
        torch.where(accept[..., None], new.gradient, chains.gradient),
    )
    return moved, acceptance


def _hamiltonian(
    chains: Chains, momentum: Float[Tensor, "examples chains latent"], beta: Float64[Tensor, " examples"]
) -> Float64[Tensor, "examples chains"]:
    squares = chains.u.double().square().sum(2) + momentum.double().square().sum(2)
    energy: Tensor = squares / 2 - beta[:, None] * chains.log_likelihood
    return energy
