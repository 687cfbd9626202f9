"""The priors p_z, drawn from an explicit random generator."""

import torch
from jaxtyping import Float
from torch import Tensor

from advnets.config import NoiseConfig
from advnets.errors import InputError
from advnets.seeds import rows

Noise = Float[Tensor, "batch latent"]


def draw(config: NoiseConfig, count: int, generator: torch.Generator, dtype: torch.dtype = torch.float32) -> Noise:
    """Draw z ~ p_z on the generator's device: `count` rows of `config.dimension` units."""
    return rows(count, generator, lambda whole: _draw(config, whole, generator, dtype))


def _draw(config: NoiseConfig, count: int, generator: torch.Generator, dtype: torch.dtype) -> Noise:
    shape, device = (count, config.dimension), generator.device
    match config.kind:
        case "uniform":
            z = torch.empty(shape, device=device, dtype=dtype)
            return z.uniform_(config.low, config.high, generator=generator)
        case "gaussian":
            return torch.randn(shape, generator=generator, device=device, dtype=dtype)
        case "spherical":
            z = torch.randn(shape, generator=generator, device=device, dtype=dtype)
            length: Tensor = z.norm(dim=1, keepdim=True)
            return z / length


def truncated(z: Noise, config: NoiseConfig, share: float) -> Noise:
    """Draw z towards the middle of its law: E z + share·(z − E z), z itself at 1.

    Less variety for more typical samples (Karras et al. 2019, there of a hidden layer). Raises InputError for a share
    outside 0 to 1.
    """
    if not 0 <= share <= 1:
        raise InputError(
            f"truncation is {share:g}, allowed: 0 (the middle of the noise) to 1 (all of it); set truncation"
        )
    middle = (config.low + config.high) / 2 if config.kind == "uniform" else 0.0
    return z if share == 1 else middle + share * (z - middle)


def beside(z: Noise, c: Float[Tensor, "batch c"] | None) -> Float[Tensor, "batch latent_and_c"]:
    """Put c, where there is one, beside z: what a generator is given."""
    return z if c is None else torch.cat([z, c.to(z)], dim=1)
