"""The players of semi-supervised learning: a noisy classifier, and a generator with batch normalisation."""

import math
from itertools import pairwise

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn.functional import linear, softplus

from advnets.config import SemiConfig

_THETA = 0.1  # standard deviation of the directions of D's weights; only their direction counts


class NormedLinear(nn.Module):
    """A linear layer whose weights have a direction and a length: y_i = s_i·(w_i·x)/‖w_i‖ + b_i.

    The lengths s are trained or, as a buffer, fixed. Salimans and Kingma 2016.
    """

    scale: Tensor

    def __init__(self, inputs: int, units: int, *, trained_scale: bool) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.empty(units, inputs))
        self.bias = nn.Parameter(torch.zeros(units))
        if trained_scale:
            self.scale = nn.Parameter(torch.ones(units))
        else:
            self.register_buffer("scale", torch.ones(units))

    def forward(self, x: Float[Tensor, "batch inputs"]) -> Float[Tensor, "batch units"]:
        """Map a batch; the lengths are put on what the directions give, which has fewer numbers than the weights."""
        y: Tensor = linear(x, self.weight) * (self.scale / self.weight.norm(dim=1)) + self.bias
        return y

    @torch.no_grad()
    def calibrate(self, x: Float[Tensor, "batch inputs"]) -> Float[Tensor, "batch units"]:
        """Set scale and bias so that on this batch every unit has mean 0 and variance 1; return what they give."""
        self.scale.fill_(1)
        self.bias.zero_()
        y: Tensor = self(x)
        mean, spread = y.mean(0), y.std(0, correction=0).clamp_min(1e-6)
        self.scale.copy_(1 / spread)
        self.bias.copy_(-mean / spread)
        return (y - mean) / spread


class NoisyClassifier(nn.Module):
    """D of K classes: rectifiers with weight normalisation, and in training Gaussian noise on the input of each layer.

    Of the K + 1 logits the last, "generated", is fixed at 0: D(x) = Σ_k e^l_k / (Σ_k e^l_k + 1). Salimans et al. 2016.
    """

    def __init__(self, config: SemiConfig, size: int, random: torch.Generator) -> None:
        super().__init__()
        sizes = [size, *config.hidden]
        self.layers = nn.ModuleList(NormedLinear(*pair, trained_scale=False) for pair in pairwise(sizes))
        self.logits = NormedLinear(sizes[-1], config.classes, trained_scale=True)
        self.input_noise, self.hidden_noise = config.input_noise, config.hidden_noise
        with torch.no_grad():
            for layer in self._all():
                layer.weight.normal_(0, _THETA, generator=random)

    def forward(
        self, x: Float[Tensor, "batch *shape"], random: torch.Generator | None = None
    ) -> tuple[Float[Tensor, "batch classes"], Float[Tensor, "batch features"]]:
        """Return the logits of the classes and the last hidden layer; in training mode noise comes from `random`."""
        x = x.flatten(1)
        for index, layer in enumerate(self.layers):
            x = layer(self._noisy(x, self.hidden_noise if index else self.input_noise, random)).relu()
        return self.logits(self._noisy(x, self.hidden_noise, random)), x

    @torch.no_grad()
    def calibrate(self, x: Float[Tensor, "batch *shape"], random: torch.Generator) -> None:
        """Set scales and biases, from the bottom up, so that each unit has mean 0 and variance 1 before its rectifier.

        On these examples, with noise. Salimans and Kingma 2016, section 3.
        """
        x = x.flatten(1)
        for index, layer in enumerate(self._all()):
            x = layer.calibrate(self._noisy(x, self.hidden_noise if index else self.input_noise, random)).relu()

    def _all(self) -> list[NormedLinear]:
        return [layer for layer in (*self.layers, self.logits) if isinstance(layer, NormedLinear)]

    def _noisy(self, x: Tensor, deviation: float, random: torch.Generator | None) -> Tensor:
        if not self.training or not deviation:
            return x
        noise = torch.randn(x.shape, generator=random, device=x.device, dtype=torch.float32)
        return x + deviation * noise.to(x.dtype)


class BatchNormGenerator(nn.Module):
    """G: softplus units above batch normalisation, which has biases and no scale, and sigmoids at the top.

    Weights start at U(±sqrt(6/(below + above))), those of the top layer are normalised. Salimans et al. 2016, the
    authors' code.
    """

    def __init__(self, config: SemiConfig, latent: int, shape: tuple[int, ...], random: torch.Generator) -> None:
        super().__init__()
        sizes = [latent, *config.generator_hidden]
        self.shape = shape
        self.layers = nn.ModuleList(nn.Linear(*pair, bias=False) for pair in pairwise(sizes))
        self.norms = nn.ModuleList(nn.BatchNorm1d(units, eps=1e-6, affine=False) for units in sizes[1:])
        self.biases = nn.ParameterList(torch.zeros(units) for units in sizes[1:])
        self.top = NormedLinear(sizes[-1], math.prod(shape), trained_scale=True)
        with torch.no_grad():
            for module in self.modules():
                if isinstance(module, nn.Linear | NormedLinear):
                    bound = math.sqrt(6 / sum(module.weight.shape))
                    module.weight.uniform_(-bound, bound, generator=random)

    def forward(
        self, z: Float[Tensor, "batch latent"], generator: torch.Generator | None = None
    ) -> Float[Tensor, "batch *shape"]:
        """Map noise to samples; in training mode each unit is normalised over the batch. Nothing else is drawn."""
        for layer, norm, bias in zip(self.layers, self.norms, self.biases, strict=True):
            z = softplus(norm(layer(z)) + bias)
        samples: Tensor = self.top(z).sigmoid().unflatten(1, self.shape)
        return samples
