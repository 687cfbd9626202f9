"""Dropout that draws its masks from an explicit random generator."""

import torch
from jaxtyping import Float
from torch import Tensor

from advnets.seeds import rows


def dropout(x: Float[Tensor, "*shape"], keep: float, generator: torch.Generator | None) -> Float[Tensor, "*shape"]:
    """Keep each number with probability `keep`, scaled by 1/keep; zero the others."""
    if keep == 1.0:
        return x

    def draw(count: int) -> Tensor:
        return torch.rand((count, *x.shape[1:]), generator=generator, device=x.device, dtype=torch.float32)

    return x * rows(len(x), generator, draw).lt_(keep).div_(keep).to(x.dtype)
