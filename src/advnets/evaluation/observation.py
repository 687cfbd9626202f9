"""What a decoder's outputs say of pixels: p(x | z), with Gaussian noise on the outputs or with bits of these logits."""

import math
from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from jaxtyping import Float, Float64
from numpy.typing import NDArray
from torch import Tensor
from torch.nn.functional import softplus

from advnets.errors import InputError, NotMeasurable
from advnets.rivals.vae import VAE


@dataclass(frozen=True)
class Observation(ABC):
    """A law of examples x given a decoder's outputs y.

    Its fields are plain values, so that a result can be written down with the law it was taken under.
    """

    def log_likelihood(
        self, outputs: Float[Tensor, "examples chains *shape"], x: Float[Tensor, "examples *shape"]
    ) -> Float64[Tensor, "examples chains"]:
        """Return log p(x | y), the kernel and the constant together, in nats."""
        return self.log_kernel(outputs, x) + self.log_constant(x)[:, None]

    @abstractmethod
    def log_kernel(
        self, outputs: Float[Tensor, "examples chains *shape"], x: Float[Tensor, "examples *shape"]
    ) -> Float64[Tensor, "examples chains"]:
        """Return what of log p(x | y) depends on y, in nats, at most 0, summed in float64; differentiable."""

    @abstractmethod
    def log_constant(self, x: Float[Tensor, "examples *shape"]) -> Float64[Tensor, " examples"]:
        """Return what of log p(x | y) does not depend on y, in nats."""

    @abstractmethod
    def draw(self, outputs: Float[Tensor, "*shape"], random: torch.Generator) -> Float[Tensor, "*shape"]:
        """Draw x given the outputs, on their device, from a generator on the CPU."""

    @abstractmethod
    def check(self, x: NDArray[Any]) -> None:
        """Raise NotMeasurable for examples that have no density, whatever the outputs."""


@dataclass(frozen=True)
class GaussianPixels(Observation):
    """p(x | y) = N(x; y, σ²I)."""

    sigma: float
    """Standard deviation of the noise on the outputs, in their units."""

    def __post_init__(self) -> None:
        if not (math.isfinite(self.sigma) and self.sigma > 0):
            raise InputError(f"sigma is {self.sigma}, allowed is a finite number above 0; set sigma")

    def log_kernel(
        self, outputs: Float[Tensor, "examples chains *shape"], x: Float[Tensor, "examples *shape"]
    ) -> Float64[Tensor, "examples chains"]:
        """Return −|x − y|²/(2σ²)."""
        squares: Tensor = (outputs - x[:, None]).flatten(2).double().square().sum(2)
        return -squares / (2 * self.sigma**2)

    def log_constant(self, x: Float[Tensor, "examples *shape"]) -> Float64[Tensor, " examples"]:
        """Return −(d/2)·log(2πσ²) for d pixels, the same for every example."""
        constant = -x[0].numel() / 2 * math.log(2 * math.pi * self.sigma**2)
        return torch.full((len(x),), constant, dtype=torch.float64, device=x.device)

    def draw(self, outputs: Float[Tensor, "*shape"], random: torch.Generator) -> Float[Tensor, "*shape"]:
        """Draw x = y + σ·ε with ε standard normal."""
        return outputs + self.sigma * torch.randn(outputs.shape, generator=random, dtype=outputs.dtype).to(outputs)

    def check(self, x: NDArray[Any]) -> None:
        """Take any finite numbers."""


@dataclass(frozen=True)
class BernoulliPixels(Observation):
    """p(x | y) = Π p^x·(1 − p)^(1 − x) with p = 1/(1 + exp(−y)); grey levels x count as means of bits."""

    def log_kernel(
        self, outputs: Float[Tensor, "examples chains *shape"], x: Float[Tensor, "examples *shape"]
    ) -> Float64[Tensor, "examples chains"]:
        """Return Σ x·log p + (1 − x)·log(1 − p) = Σ x·y − log(1 + exp y), exact for any size of logit y."""
        logits = outputs.flatten(2).double()
        return (x.flatten(1).double()[:, None] * logits - softplus(logits)).sum(2)

    def log_constant(self, x: Float[Tensor, "examples *shape"]) -> Float64[Tensor, " examples"]:
        """Return 0: over bits the kernel sums to 1."""
        return torch.zeros(len(x), dtype=torch.float64, device=x.device)

    def draw(self, outputs: Float[Tensor, "*shape"], random: torch.Generator) -> Float[Tensor, "*shape"]:
        """Draw bits, 1[u < p] with u ∼ U(0, 1)."""
        u = torch.rand(outputs.shape, generator=random, dtype=outputs.dtype).to(outputs)
        return (u < outputs.sigmoid()).to(outputs)

    def check(self, x: NDArray[Any]) -> None:
        """Raise NotMeasurable for examples beyond 0 and 1."""
        if x.min() < 0 or x.max() > 1:
            raise NotMeasurable(
                f"x reaches from {np.min(x):.4g} to {np.max(x):.4g}, allowed is 0 to 1, bits and their means; rescale x"
            )


def of_vae(model: VAE) -> Observation:
    """Return p(x | z) of a variational autoencoder, for the outputs of its `decoder`.

    Bits of these logits, or Gaussian pixels of its learned variance. Raises InputError where the variance is 0 or not
    finite in double precision.
    """
    if model.log_variance is None:
        return BernoulliPixels()
    return GaussianPixels(float((model.log_variance.detach().double() / 2).exp()))
