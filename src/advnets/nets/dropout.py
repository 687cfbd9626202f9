"""Dropout that draws its masks from an explicit random generator."""

import torch
from jaxtyping import Float
from torch import Tensor


def dropout(x: Float[Tensor, "*shape"], keep: float, generator: torch.Generator | None) -> Float[Tensor, "*shape"]:
    """Keep each number with probability `keep`, scaled by 1/keep; zero the others."""
    if keep == 1.0:
        return x
    mask = torch.rand(x.shape, generator=generator, device=x.device, dtype=torch.float32).lt_(keep).div_(keep)
    return x * mask.to(x.dtype)
