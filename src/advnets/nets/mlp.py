"""The fully connected generator: rectifier and sigmoid units above the noise."""

import math
from itertools import pairwise
from typing import cast

import torch
from jaxtyping import Float
from torch import Tensor, nn

from advnets.config import Activation, GeneratorConfig
from advnets.nets.dropout import Random, dropout
from advnets.nets.init import for_layer, marginal_bias_, sparse_, uniform_


def activate(x: Float[Tensor, "*shape"], activation: Activation) -> Float[Tensor, "*shape"]:
    """Apply max(0, x), 1/(1 + e^−x) or nothing."""
    match activation:
        case "rectifier":
            return x.relu()
        case "sigmoid":
            return x.sigmoid()
        case "linear":
            return x


class MLP(nn.Module):
    """Layers of linear maps and activations, with optional dropout on the input of each."""

    def __init__(self, sizes: list[int], activations: list[Activation], keep: tuple[float, ...] = (1.0,)) -> None:
        super().__init__()
        self.layers = nn.ModuleList(nn.Linear(below, above) for below, above in pairwise(sizes))
        self.activations = activations
        self.keep = keep

    def forward(self, x: Float[Tensor, "batch below"], generator: Random = None) -> Float[Tensor, "batch above"]:
        """Map a batch up the layers; masks, in training mode, come from `generator`."""
        for index, layer in enumerate(self.layers):
            if self.training:
                x = dropout(x, for_layer(self.keep, index), generator)
            x = activate(layer(x), self.activations[index])
        return x

    def initialise(self, bound: float, biases: list[float], generator: torch.Generator) -> None:
        """Start the weights at U(−bound, bound) and each layer's biases at its constant."""
        for layer, bias in zip(self.layers, biases, strict=True):
            linear = cast(nn.Linear, layer)
            uniform_(linear.weight, bound, generator)
            nn.init.constant_(linear.bias, bias)


class MLPGenerator(nn.Module):
    """G(z) by fully connected layers: noise enters at the bottom only. Section 5 of the paper."""

    def __init__(
        self, config: GeneratorConfig, latent: int, shape: tuple[int, ...], mean: Tensor, generator: torch.Generator
    ) -> None:
        super().__init__()
        sizes = [latent, *config.hidden, math.prod(shape)]
        hidden = [for_layer(config.activations, index) for index in range(len(config.hidden))]
        biases = [for_layer(config.hidden_biases, index) for index in range(len(config.hidden))]
        self.shape = shape
        self.net = MLP(sizes, [*hidden, config.output], config.keep)
        self.net.initialise(config.init_range, [*biases, 0.0], generator)
        top = cast(nn.Linear, self.net.layers[-1])
        if config.output_sparse:
            sparse_(top.weight, config.output_sparse, generator)
        elif config.output_init_range is not None:
            uniform_(top.weight, config.output_init_range, generator)
        if config.output_bias == "marginal":
            marginal_bias_(top.bias, mean, config.output)

    def forward(self, z: Float[Tensor, "batch latent"], generator: Random = None) -> Float[Tensor, "batch *shape"]:
        """Map noise to samples of the data's shape."""
        x: Tensor = self.net(z, generator)
        samples: Tensor = x.unflatten(1, self.shape)
        return samples


class StackedGenerator(nn.Module):
    """G(z) = pretrained(bottom(z)): new layers feed the noise input of a whole pretrained generator (TFD, stage 2)."""

    def __init__(self, bottom: MLP, pretrained: nn.Module) -> None:
        super().__init__()
        self.bottom = bottom
        self.pretrained = pretrained

    def forward(self, z: Float[Tensor, "batch latent"], generator: Random = None) -> Float[Tensor, "batch *shape"]:
        """Map noise to samples through both stacks."""
        x: Tensor = self.pretrained(self.bottom(z, generator), generator)
        return x
