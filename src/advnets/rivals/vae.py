"""The variational autoencoder: a deep directed model with Gaussian latents, and bounds on its log-likelihood."""

import math
from collections.abc import Iterator
from itertools import pairwise

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn.functional import binary_cross_entropy_with_logits

from advnets.config import VAEConfig
from advnets.errors import InputError
from advnets.rivals.bits import draw_bits
from advnets.rivals.rival import Rival

_ROWS = 4096  # latents that go through the decoder at once
_CLIP = 1e-3  # a mean grey level is kept this far from 0 and 1 before its log-odds are taken


def kl_to_standard_normal(
    mean: Float[Tensor, "*rows latent"], log_variance: Float[Tensor, "*rows latent"]
) -> Float[Tensor, "*rows"]:
    """Return KL(N(m, diag v) ‖ N(0, I)) = ½ Σ (v + m² − 1 − log v), in nats. Kingma and Welling 2014, appendix B."""
    return (log_variance.exp() + mean.square() - 1 - log_variance).sum(-1) / 2


class VAE(Rival):
    """p(x) = ∫ N(z; 0, I)·p(x | z) dz with q(z | x) = N(m(x), diag v(x)), both by rectifier nets, trained together.

    `encoder` maps x to m and log v, side by side; `decoder` maps z to the logits of bits, or to the means of Gaussian
    pixels of one learned variance exp(`log_variance`). The chain is one of independent draws of z. Weights start at
    U(±sqrt(6/(below + above))), biases at 0 but for the pixels': those start at the mean example or, for bits, at its
    log-odds, kept within .001 and .999. The variance starts at 1. Kingma and Welling 2014.
    """

    def __init__(self, config: VAEConfig, size: int, mean: Float[Tensor, " size"], random: torch.Generator) -> None:
        super().__init__()
        self.latent = config.latent
        gaussian = config.visible == "gaussian"
        self.encoder = _rectifier_net([size, *config.hidden, 2 * config.latent], random)
        self.decoder = _rectifier_net([config.latent, *reversed(config.hidden), size], random)
        self.log_variance = nn.Parameter(torch.zeros(())) if gaussian else None
        with torch.no_grad():
            top = mean.double() if gaussian else mean.double().clamp(_CLIP, 1 - _CLIP).logit()
            self.decoder.get_parameter(f"{len(self.decoder) - 1}.bias").copy_(top)

    def part(self, stage: int) -> nn.Module:
        """Return the whole model, which is trained in one stage."""
        return self

    def loss(self, x: Float[Tensor, "batch d"], stage: int, random: torch.Generator) -> Float[Tensor, ""]:
        """Return minus the evidence lower bound with one draw of z an example, mean over the batch, in nats."""
        return -self.elbo(x, random, draws=1).mean()

    @torch.no_grad()
    def start(self, chains: int, random: torch.Generator) -> Float[Tensor, "chains latent"]:
        """Draw z ∼ N(0, I)."""
        return self._normal((chains, self.latent), random)

    @torch.no_grad()
    def move(self, state: Float[Tensor, "chains latent"], random: torch.Generator) -> Float[Tensor, "chains latent"]:
        """Draw z ∼ N(0, I) afresh, independent of the state."""
        return self._normal(tuple(state.shape), random)

    @torch.no_grad()
    def means(self, state: Float[Tensor, "chains latent"], random: torch.Generator) -> Float[Tensor, "chains d"]:
        """Return E[x | z]."""
        output: Tensor = self.decoder(state)
        return output.sigmoid() if self.log_variance is None else output

    @torch.no_grad()
    def pixels(self, state: Float[Tensor, "chains latent"], random: torch.Generator) -> Float[Tensor, "chains d"]:
        """Draw x ∼ p(x | z)."""
        means = self.means(state, random)
        if self.log_variance is None:
            return draw_bits(means, random)
        return means + (self.log_variance / 2).exp() * self._normal(tuple(means.shape), random)

    def posterior(
        self, x: Float[Tensor, "batch d"]
    ) -> tuple[Float[Tensor, "batch latent"], Float[Tensor, "batch latent"]]:
        """Return the mean and the log-variance of q(z | x)."""
        mean, log_variance = self.encoder(x).chunk(2, -1)
        return mean, log_variance

    def log_likelihood(self, x: Float[Tensor, "*#rows d"], z: Float[Tensor, "*#rows latent"]) -> Float[Tensor, "*rows"]:
        """Return log p(x | z) in nats, summed over pixels; x and z broadcast against each other.

        Σ x log p + (1 − x) log(1 − p) for bits, of which grey levels are means; log N(x; decoder(z), v I) for Gaussian
        pixels.
        """
        output: Tensor = self.decoder(z)
        if self.log_variance is not None:
            return _log_normal(x, output, self.log_variance)
        logits, bits = torch.broadcast_tensors(output, x)
        return -binary_cross_entropy_with_logits(logits, bits, reduction="none").sum(-1)

    def log_joint(self, x: Float[Tensor, "*#rows d"], z: Float[Tensor, "*#rows latent"]) -> Float[Tensor, "*rows"]:
        """Return log N(z; 0, I) + log p(x | z) in nats; x and z broadcast against each other."""
        zero = z.new_zeros(())
        return _log_normal(z, zero, zero) + self.log_likelihood(x, z)

    def elbo(self, x: Float[Tensor, "batch d"], random: torch.Generator, draws: int) -> Float[Tensor, " batch"]:
        """Return the evidence lower bound E_q log p(x | z) − KL(q(z | x) ‖ N(0, I)) on log p(x), in nats.

        The expectation is the mean over `draws` reparameterised draws of z, the divergence is exact; in expectation the
        value is at most log p(x). Differentiable; for many draws call it under torch.no_grad(), which bounds memory.
        Raises InputError for draws below 1. Kingma and Welling 2014, section 3.
        """
        mean, log_variance = self.posterior(x)
        terms = [self.log_likelihood(x, z) for z in self._draws(mean, log_variance, draws, random)]
        return torch.cat(terms).mean(0) - kl_to_standard_normal(mean, log_variance)

    @torch.no_grad()
    def importance_bound(
        self, x: Float[Tensor, "batch d"], random: torch.Generator, draws: int
    ) -> Float[Tensor, " batch"]:
        """Return log (1/draws)·Σ_k w_k with w_k = p(x, z_k)/q(z_k | x) and z_k ∼ q(z | x), in nats; no gradients.

        In expectation at least the evidence lower bound, at most log p(x), and rising to it with `draws`.
        Raises InputError for draws below 1. Burda, Grosse and Salakhutdinov 2016, section 3.
        """
        mean, log_variance = self.posterior(x)
        log_weights = [
            self.log_joint(x, z) - _log_normal(z, mean, log_variance)
            for z in self._draws(mean, log_variance, draws, random)
        ]
        return torch.cat(log_weights).logsumexp(0) - math.log(draws)

    def _draws(
        self, mean: Tensor, log_variance: Tensor, draws: int, random: torch.Generator
    ) -> Iterator[Float[Tensor, "some batch latent"]]:
        """Draw z ∼ q(z | x) for the whole batch, as many draws at a time as `_ROWS` allows, at least one."""
        if draws < 1:
            raise InputError(f"draws is {draws}, allowed is 1 or more; set draws")
        deviation, block = (log_variance / 2).exp(), max(1, _ROWS // len(mean))
        for first in range(0, draws, block):
            yield mean + deviation * self._normal((min(block, draws - first), *mean.shape), random)

    def _normal(self, shape: tuple[int, ...], random: torch.Generator) -> Tensor:
        weight = next(self.parameters())
        return torch.randn(shape, generator=random, device=weight.device, dtype=weight.dtype)


def _rectifier_net(sizes: list[int], random: torch.Generator) -> nn.Sequential:
    """Linear maps with rectifiers between them; weights U(±sqrt(6/(below + above))), biases 0."""
    layers: list[nn.Module] = []
    for below, above in pairwise(sizes):
        linear = nn.Linear(below, above)
        bound = math.sqrt(6 / (below + above))
        with torch.no_grad():
            linear.weight.uniform_(-bound, bound, generator=random)
            linear.bias.zero_()
        layers += [linear, nn.ReLU()]
    return nn.Sequential(*layers[:-1])


def _log_normal(value: Tensor, mean: Tensor, log_variance: Tensor) -> Tensor:
    """Return log N(value; mean, diag variance), summed over the last axis."""
    squares = (value - mean).square() * (-log_variance).exp()
    return -(squares + log_variance + math.log(2 * math.pi)).sum(-1) / 2
