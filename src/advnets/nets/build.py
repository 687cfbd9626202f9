"""From a configuration to the two players."""

import math

import torch
from torch import Tensor, nn

from advnets.config import Config, StackConfig
from advnets.nets.completion import CompletionGenerator
from advnets.nets.conditional import ConditionalDiscriminator, ConditionalGenerator, inner_latent
from advnets.nets.conv import DeconvolutionGenerator
from advnets.nets.init import for_layer
from advnets.nets.maxout import MaxoutDiscriminator
from advnets.nets.mlp import MLP, MLPGenerator, StackedGenerator
from advnets.nets.semi_supervised import BatchNormGenerator, NoisyClassifier


def build_generator(
    config: Config, shape: tuple[int, ...], mean: Tensor, generator: torch.Generator, *, stage: int = 1
) -> nn.Module:
    """Build G with fresh weights for examples of `shape`; `mean` is the mean training example."""
    if config.semi:
        return BatchNormGenerator(config.semi, config.noise.dimension, shape, generator)
    kind = DeconvolutionGenerator if config.generator.maps else MLPGenerator
    latent, condition = config.noise.dimension, config.condition
    if condition:
        inner = kind(config.generator, inner_latent(latent, condition), shape, mean, generator)
        given = ConditionalGenerator(latent, condition, inner, config.generator.init_range, generator)
        if condition.kind == "masks":
            scale = 2.0 if config.generator.output == "sigmoid" else 1.0  # from 0…1 to −1…1
            return CompletionGenerator(latent, shape, given, condition, mean, scale)
        return given
    net: nn.Module = kind(config.generator, latent, shape, mean, generator)
    if stage == 2 and config.second_stage:
        return stack(config, config.second_stage, net, generator)
    return net


def stack(config: Config, second: StackConfig, pretrained: nn.Module, generator: torch.Generator) -> StackedGenerator:
    """Put fresh layers under a pretrained generator (TFD, stage 2)."""
    sizes = [config.noise.dimension, *second.hidden, config.noise.dimension]
    layers = range(len(sizes) - 1)
    bottom = MLP(sizes, [for_layer(second.activations, index) for index in layers])
    bottom.initialise(
        config.generator.init_range, [for_layer(second.hidden_biases, index) for index in layers], generator
    )
    return StackedGenerator(bottom, pretrained)


def build_discriminator(config: Config, shape: tuple[int, ...], generator: torch.Generator) -> nn.Module:
    """Build D with fresh weights for examples of `shape`; it returns logits of shape (batch,).

    D(x, random, c) where the run has a condition, D(x, random) where not.
    """
    if config.condition:
        return ConditionalDiscriminator(config.discriminator, config.condition, shape, generator)
    return MaxoutDiscriminator(config.discriminator, shape, generator)


def build_classifier(config: Config, shape: tuple[int, ...], random: torch.Generator) -> NoisyClassifier:
    """Build the D that tells classes, with fresh weights, of a run with few labels."""
    if config.semi is None:
        raise ValueError(f"{config.recipe} is no recipe for few labels")
    return NoisyClassifier(config.semi, math.prod(shape), random)


def parameter_count(net: nn.Module) -> int:
    """Count the trained numbers of a net."""
    return sum(parameter.numel() for parameter in net.parameters())
