"""How many numbers a run trains, counted without building its nets."""

import math
from itertools import pairwise

from advnets.config import CAEConfig, Config, GSNConfig, RBMConfig, Rival, SemiConfig, VAEConfig
from advnets.errors import InputError

_MOST = 2**38  # parameters of a net: a tebibyte


def parameter_counts(config: Config, shape: tuple[int, ...], *, stage: int = 1) -> dict[str, int]:
    """Count the trained numbers of each net for data of this shape: generator and discriminator, or a rival's model.

    Raises InputError for more than any machine holds.
    """
    if config.semi:
        counts = _semi_parameters(config.semi, config.noise.dimension, math.prod(shape))
    elif config.rival:
        counts = {"model": _rival_parameters(config.rival, math.prod(shape))}
    else:
        counts = {
            "generator": _generator_parameters(config, shape, stage),
            "discriminator": _discriminator_parameters(config, shape),
        }
    if max(counts.values()) > _MOST:
        smaller = (
            "the layers of the model"
            if not config.is_game
            else ("--generator.hidden, --discriminator.hidden or --noise.dimension")
        )
        raise InputError(
            f"the nets have {' and '.join(f'{count:.3g}' for count in counts.values())} parameters, allowed: "
            f"{_MOST:,}; make {smaller} smaller"
        )
    return counts


def _dense(sizes: list[int]) -> int:
    return sum((below + 1) * above for below, above in pairwise(sizes))


def _generator_parameters(config: Config, shape: tuple[int, ...], stage: int) -> int:
    generator, latent, second = config.generator, config.noise.dimension, config.second_stage
    count = _dense([latent, *second.hidden, latent]) if stage == 2 and second else 0
    if condition := config.condition:
        own, given = condition.generator_units, condition.given
        count += sum((below + 1) * above for below, above in zip((latent, given), own, strict=False))
        latent = sum(own) or latent + given
        count += 2 * math.prod(shape) ** 2 if condition.linear == "on" else 0
    if not generator.maps:
        return count + _dense([latent, *generator.hidden, math.prod(shape)])
    kernels = generator.maps[0] * shape[0] * generator.kernel**2
    return count + _dense([latent, *generator.hidden]) + kernels + math.prod(shape)


def _discriminator_parameters(config: Config, shape: tuple[int, ...]) -> int:
    discriminator, condition, count = config.discriminator, config.condition, 0
    for layer in discriminator.convolutions:
        count += layer.channels * layer.pieces * (shape[0] * layer.kernel**2 + 1)
        shape = layer.output_shape(shape)
    below = math.prod(shape)
    if condition:
        own, given = condition.discriminator_units, condition.size or 0
        pieces = condition.discriminator_pieces
        count += sum((inputs + 1) * units * pieces for inputs, units in zip((below, given), own, strict=False))
        below = sum(own) or below + given
    for units in discriminator.hidden:
        count += (below + 1) * units * discriminator.pieces
        below = units
    return count + below + 1


def _semi_parameters(semi: SemiConfig, latent: int, size: int) -> dict[str, int]:
    """Count those of G, whose hidden layers have no scale, and of D, whose logits have one."""
    top = [semi.generator_hidden[-1], size]
    return {
        "generator": _dense([latent, *semi.generator_hidden]) + _dense(top) + size,
        "discriminator": _dense([size, *semi.hidden, semi.classes]) + semi.classes,
    }


def _rival_parameters(rival: Rival, size: int) -> int:
    layers = list(pairwise([size, *rival.hidden]))
    match rival:
        case RBMConfig() | CAEConfig():  # one matrix and the biases of both its sides
            return sum(below * above + below + above for below, above in layers)
        case GSNConfig():
            return sum(below * above + above for below, above in layers) + size
        case VAEConfig():
            encoder = _dense([size, *rival.hidden, 2 * rival.latent])
            decoder = _dense([rival.latent, *reversed(rival.hidden), size])
            return encoder + decoder + (rival.visible == "gaussian")
