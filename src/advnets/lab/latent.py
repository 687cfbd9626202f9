"""Ways through the noise of a generator: along its principal directions, between points, over the plane of three."""

from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from advnets import noise
from advnets.conditions import Rows
from advnets.data.dataset import FloatArray
from advnets.sampling import Sampler, draw_latents, principal_directions

Latents = Float[Tensor, "n latent"]
Point = Float[Tensor, " latent"]


@dataclass(frozen=True)
class Walk:
    """A generator, and the class that was chosen where it has classes: z (n, latent) in, samples out."""

    sampler: Sampler
    of_class: str | None = None

    @property
    def stretches(self) -> bool:
        """Whether images are shown between their own extremes."""
        return self.sampler.scaling.kind == "contrast"

    def latents(self, count: int, seed: int) -> Latents:
        """Draw z ~ p_z, those of `advnets sample --seed`."""
        return draw_latents(self.sampler.config.noise, count, seed)

    def conditions(self, count: int, seed: int) -> Rows | None:
        """Return c of `count` samples: that of the class, or else drawn from p(c); None where there is no condition."""
        given = self.sampler.conditions
        if given is None:
            return None
        return given.draw(count, seed) if self.of_class is None else given.of_class(self.of_class).repeat(count, 1)

    def samples(self, z: Latents, c: Rows | None) -> FloatArray:
        """Return G(z, c), with a c for each z, or one for all."""
        return self.sampler.from_latents(noise.beside(z, None if c is None else c.expand(len(z), -1)))

    def directions(self, count: int) -> Latents:
        """Return up to `count` unit directions in which G changes most (`sampling.principal_directions`)."""
        return principal_directions(self.sampler.net, self.sampler.config.noise.dimension, count)

    def support(self, z: Tensor) -> Tensor:
        """Bring z back to where p_z draws from: into the box of uniform noise, onto the sphere of spherical noise."""
        prior = self.sampler.config.noise
        match prior.kind:
            case "uniform":
                return z.clamp(prior.low, prior.high)
            case "spherical":
                return torch.nn.functional.normalize(z, dim=-1)
            case _:
                return z


def along(start: Point, directions: Latents, amounts: list[float]) -> Point:
    """Return z + Σ_k a_k d_k."""
    return start + torch.tensor(amounts, dtype=start.dtype) @ directions[: len(amounts)]


def between(a: Point, b: Point, shares: list[float]) -> Latents:
    """Return (1 − t)·a + t·b for each t."""
    t = torch.tensor(shares, dtype=a.dtype)[:, None]
    return (1 - t) * a + t * b


def plane(a: Point, b: Point, c: Point, places: list[tuple[float, float]]) -> Latents:
    """Return a + u·(b − a) + v·(c − a) for each (u, v): a at (0, 0), b at (1, 0), c at (0, 1)."""
    u, v = torch.tensor(places, dtype=a.dtype).T[:, :, None]
    found: Latents = a + u * (b - a) + v * (c - a)
    return found
