"""Maxout convolution with pooling, and the generator with one transposed convolution."""

from typing import cast

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn.functional import conv_transpose2d, max_pool2d

from advnets.config import ConvolutionConfig, GeneratorConfig
from advnets.errors import InputError
from advnets.nets.init import for_layer, marginal_bias_, uniform_
from advnets.nets.mlp import MLP, activate


class MaxoutConvolution(nn.Module):
    """A convolution whose channels are maxout units, then max pooling whose last window may reach past the border."""

    def __init__(self, config: ConvolutionConfig, shape: tuple[int, ...]) -> None:
        super().__init__()
        self.shape = config.output_shape(shape)
        self.config = config
        self.convolution = nn.Conv2d(shape[0], config.channels * config.pieces, config.kernel, padding=config.padding)

    def forward(self, x: Float[Tensor, "batch channels h w"]) -> Float[Tensor, "batch units h2 w2"]:
        """Convolve, take the largest piece of every channel, pool."""
        y: Tensor = self.convolution(x)
        y = y.unflatten(1, (self.config.pieces, self.config.channels)).amax(1)
        pool = min(self.config.pool, *y.shape[-2:])
        return max_pool2d(y, pool, self.config.pool_stride, ceil_mode=True)


class DeconvolutionGenerator(nn.Module):
    """G(z) by fully connected layers and one transposed convolution with a bias of its own for every pixel."""

    def __init__(
        self, config: GeneratorConfig, latent: int, shape: tuple[int, ...], mean: Tensor, generator: torch.Generator
    ) -> None:
        super().__init__()
        maps = cast(tuple[int, int, int], config.maps)
        size = tuple((side - 1) * config.stride + config.kernel for side in maps[1:])
        if shape[1:] != size:
            raise InputError(
                f"a transposed convolution from {maps[1]}x{maps[2]} with kernel {config.kernel} and stride "
                f"{config.stride} makes images of {size[0]}x{size[1]}, the data have shape {shape}; "
                f"resize with --data.size {size[0]} or set --generator.maps"
            )
        hidden = [for_layer(config.activations, index) for index in range(len(config.hidden))]
        biases = [for_layer(config.hidden_biases, index) for index in range(len(config.hidden))]
        self.maps, self.stride, self.output = maps, config.stride, config.output
        self.net = MLP([latent, *config.hidden], hidden, config.keep)
        self.net.initialise(config.init_range, biases, generator)
        self.weight = nn.Parameter(torch.empty(maps[0], shape[0], config.kernel, config.kernel))
        self.bias = nn.Parameter(torch.zeros(shape))
        uniform_(self.weight, config.output_init_range or config.init_range, generator)
        if config.output_bias == "marginal":
            marginal_bias_(self.bias, mean, config.output)

    def forward(
        self, z: Float[Tensor, "batch latent"], generator: torch.Generator | None = None
    ) -> Float[Tensor, "batch channels height width"]:
        """Map noise to images."""
        maps: Tensor = self.net(z, generator).unflatten(1, self.maps)
        return activate(conv_transpose2d(maps, self.weight, stride=self.stride) + self.bias, self.output)
