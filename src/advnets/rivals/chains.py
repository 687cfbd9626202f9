"""Samples from many Markov chains side by side."""

from collections.abc import Iterator

import torch
from jaxtyping import Float
from torch import Tensor

from advnets.config import ChainConfig
from advnets.rivals.rival import Rival


@torch.no_grad()
def states(
    model: Rival, chain: ChainConfig, chains: int, random: torch.Generator
) -> Iterator[Float[Tensor, "chains *state"]]:
    """Yield states of chains that began at noise: after `burn_in` steps, and from then on every `thinning` steps."""
    training = model.training
    model.eval()
    try:
        state = model.start(chains, random)
        for _ in range(chain.burn_in):
            state = model.move(state, random)
        while True:
            yield state
            for _ in range(chain.thinning):
                state = model.move(state, random)
    finally:
        model.train(training)


@torch.no_grad()
def draw(model: Rival, chain: ChainConfig, count: int, random: torch.Generator) -> Float[Tensor, "count d"]:
    """Draw samples, or means given the states, from min(count, `chain.chains`) chains in turn."""
    chains = min(count, chain.chains)
    show = model.means if chain.pixels == "means" else model.pixels
    drawn: list[Tensor] = []
    for state in states(model, chain, chains, random):
        drawn.append(show(state, random).cpu())
        if len(drawn) * chains >= count:
            break
    return torch.cat(drawn)[:count]
