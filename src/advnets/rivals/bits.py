"""Draws of bits that survive numbers that are none, and the noise that chains begin at."""

import torch
from jaxtyping import Float
from torch import Tensor


def draw_bits(means: Float[Tensor, "*shape"], random: torch.Generator) -> Float[Tensor, "*shape"]:
    """Draw 0 or 1 for each mean: 1[u < p], u ∼ U(0, 1); 0 where p is no number, which torch.bernoulli refuses.

    So a training that diverges comes to the check of its weights, and ends as diverged.
    """
    u = torch.rand(means.shape, generator=random, device=means.device, dtype=means.dtype)
    return (u < means).to(means.dtype)


def independent_bits(mean: Float[Tensor, " size"], count: int, random: torch.Generator) -> Float[Tensor, "count size"]:
    """Draw pixels that know nothing of each other, each 0 or 1 with the mean that training examples have there."""
    return draw_bits(mean.expand(count, -1), random)
