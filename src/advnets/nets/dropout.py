"""Dropout that draws its masks from an explicit random generator."""

import math

import torch
from jaxtyping import Float
from torch import Tensor

from advnets.seeds import rows

_LEVELS = 1 << 16
"""Values that the random number has which decides on one number of x; four of them fill one of torch's."""


def dropout(x: Float[Tensor, "*shape"], keep: float, generator: torch.Generator | None) -> Float[Tensor, "*shape"]:
    """Keep each number with probability p, scaled by 1/p; zero the others. p is `keep` in 65,536ths, not 0 nor 1."""
    if keep == 1.0:
        return x
    level = min(max(1, round(keep * _LEVELS)), _LEVELS - 1)

    def draw(count: int) -> Tensor:
        return _uniform((count, *x.shape[1:]), generator, x.device) < level - _LEVELS // 2

    return x * rows(len(x), generator, draw).to(x.dtype).mul_(_LEVELS / level)


def _uniform(shape: tuple[int, ...], generator: torch.Generator | None, device: torch.device) -> Tensor:
    """Draw whole numbers from −32,768 to 32,767."""
    if device.type != "cpu":
        return torch.randint(-_LEVELS // 2, _LEVELS // 2, shape, generator=generator, device=device, dtype=torch.int16)
    count = math.prod(shape)
    drawn = torch.empty(-(-count // 4), dtype=torch.int64).random_(-(1 << 63), None, generator=generator)
    return drawn.view(torch.int16)[:count].view(shape)
