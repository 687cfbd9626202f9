"""Dropout that draws its masks from an explicit random generator."""

import math
from collections.abc import Sequence

import torch
from jaxtyping import Float
from torch import Tensor

from advnets.seeds import rows

_LEVELS = 1 << 16
"""Values that the random number has which decides on one number of x; four of them fill one of torch's."""


class Drawn:
    """Numbers that decide on dropout, drawn beforehand, for the layers to take in their order."""

    def __init__(self, numbers: Sequence[Tensor]) -> None:
        self.left = list(numbers)

    def take(self, shape: tuple[int, ...]) -> Tensor:
        """Return those of the next layer."""
        return self.left.pop(0)


class Asked(Drawn):
    """The shapes of the numbers that a net takes, to draw them by."""

    def __init__(self) -> None:
        super().__init__(())
        self.shapes: list[tuple[int, ...]] = []

    def take(self, shape: tuple[int, ...]) -> Tensor:
        """Keep the shape of the next layer's."""
        self.shapes.append(shape)
        return torch.zeros(shape, dtype=torch.int16)


Random = torch.Generator | Drawn | None
"""Where masks come from; None is torch's own generator."""


def dropout(x: Float[Tensor, "*shape"], keep: float, generator: Random) -> Float[Tensor, "*shape"]:
    """Keep each number with probability p, scaled by 1/p; zero the others. p is `keep` in 65,536ths, not 0 nor 1."""
    if keep == 1.0:
        return x
    level = min(max(1, round(keep * _LEVELS)), _LEVELS - 1)
    numbers = generator.take((*x.shape,)) if isinstance(generator, Drawn) else drawn((*x.shape,), generator, x.device)
    return x * (numbers < level - _LEVELS // 2).to(x.dtype).mul_(_LEVELS / level)


def drawn(shape: tuple[int, ...], generator: torch.Generator | None, device: torch.device) -> Tensor:
    """Draw the numbers that decide on dropout of x of this shape; of several processes, this one's rows."""
    return rows(shape[0], generator, lambda count: _uniform((count, *shape[1:]), generator, device))


def _uniform(shape: tuple[int, ...], generator: torch.Generator | None, device: torch.device) -> Tensor:
    """Draw whole numbers from −32,768 to 32,767."""
    if device.type != "cpu":
        return torch.randint(-_LEVELS // 2, _LEVELS // 2, shape, generator=generator, device=device, dtype=torch.int16)
    count = math.prod(shape)
    drawn = torch.empty(-(-count // 4), dtype=torch.int64).random_(-(1 << 63), None, generator=generator)
    return drawn.view(torch.int16)[:count].view(shape)
