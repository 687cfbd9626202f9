"""Dropout that draws its masks from an explicit random generator."""

import math

import torch
from jaxtyping import Float, Int
from torch import Tensor

from advnets.seeds import rows

_LEVELS = 1 << 16
"""Values that the random number has which decides on one number of x; four of them fill one of torch's."""
Random = torch.Generator | None
"""Where masks come from; None is torch's own generator."""


def dropout(x: Float[Tensor, "*shape"], keep: float, generator: Random) -> Float[Tensor, "*shape"]:
    """Keep each number with probability p, scaled by 1/p; zero the others. p is `keep` in 65,536ths, not 0 nor 1."""
    if keep == 1.0:
        return x
    below, scale = threshold(keep)
    return x * (numbers_for(x, generator) < below).to(x.dtype).mul_(scale)


def threshold(keep: float) -> tuple[int, float]:
    """Return below which number one of x is kept, and the 1/p that it is scaled by."""
    level = min(max(1, round(keep * _LEVELS)), _LEVELS - 1)
    return level - _LEVELS // 2, _LEVELS / level


def numbers_for(x: Float[Tensor, "*shape"], generator: Random) -> Int[Tensor, "*shape"]:
    """Draw the numbers that decide which of x are kept; of several processes, this one's rows."""
    return rows(len(x), generator, lambda count: _uniform((count, *x.shape[1:]), generator, x.device))


def _uniform(shape: tuple[int, ...], generator: torch.Generator | None, device: torch.device) -> Tensor:
    """Draw whole numbers from −32,768 to 32,767."""
    if device.type != "cpu":
        return torch.randint(-_LEVELS // 2, _LEVELS // 2, shape, generator=generator, device=device, dtype=torch.int16)
    count = math.prod(shape)
    drawn = torch.empty(-(-count // 4), dtype=torch.int64).random_(-(1 << 63), None, generator=generator)
    return drawn.view(torch.int16)[:count].view(shape)
