"""What a model costs beside the sampler that is wanted of it: inference, Markov chains, a discriminator."""

import dataclasses
import statistics
import time
from collections.abc import Callable

import torch
from torch import Tensor

from advnets import objectives
from advnets.config import Config
from advnets.data import DataSet
from advnets.nets.build import build_discriminator
from advnets.noise import draw
from advnets.rivals.dbn import DBN
from advnets.rivals.gsn import GSN
from advnets.rivals.rival import Rival
from advnets.rivals.vae import VAE
from advnets.sampling import Sampler
from advnets.seeds import stream
from advnets.training.processor import fast_products

_REPEATS = 15


@dataclasses.dataclass(frozen=True)
class Cost:
    """What a gradient needs beside the pass through the sampler, and how much of the time that takes."""

    needs: str
    share: float
    """Of the milliseconds of loss and gradient."""
    milliseconds: float
    """These, the median of 15."""


def training_cost(sampler: Sampler, data: DataSet) -> Cost:
    """Time a step's loss and gradient on a minibatch, and the part of it that `needs` names."""
    config = sampler.config
    x = torch.from_numpy(data.train.x[: config.train.batch_size])
    with fast_products(torch.device("cpu")):
        if isinstance(sampler.net, Rival):
            return _of_rival(sampler.net, x.flatten(1))
        return _of_game(sampler, config, x, data)


def _of_rival(model: Rival, x: Tensor) -> Cost:
    random, top = stream(0, "costs"), model.stages - 1
    whole = _milliseconds(lambda: model.loss(x, top, random).backward())
    match model:
        case VAE():
            part = _milliseconds(lambda: torch.cat(model.posterior(x)).sum().backward())
            return Cost("inference: a pass through the encoder", part / whole, whole)
        case DBN():
            for stage in range(top):
                x = model.part(stage).draw_hidden(x, random).detach()
            steps = model.config.gibbs_steps
            part = _milliseconds(lambda: model.top.gibbs(x, steps, random))
            return Cost(f"a Markov chain: {steps} Gibbs steps", part / whole, whole)
        case GSN():
            walkback, config = model.config.walkback, model.config
            model.config = dataclasses.replace(config, walkback=1)
            one = _milliseconds(lambda: model.loss(x, top, random).backward())
            model.config = config
            return Cost(f"a Markov chain: {walkback - 1} walkback steps", 1 - one / whole, whole)
    return Cost("no chain and no inference; the penalty is in closed form", 0.0, whole)


def _of_game(sampler: Sampler, config: Config, x: Tensor, data: DataSet) -> Cost:
    """Time D's ascent beside G's descent through a D of the same sizes: what it has learned takes no time."""
    generator, random = sampler.net, stream(0, "costs")
    discriminator = build_discriminator(config, data.shape, stream(0, "weights"))

    def ascent() -> None:
        with torch.no_grad():
            fake = generator(draw(config.noise, len(x), random), random)
        real_logits, fake_logits = discriminator(torch.cat([x, fake]), random).split(len(x))
        objectives.discriminator_loss(real_logits, fake_logits).mean().backward()

    def descent() -> None:
        logits = discriminator(generator(draw(config.noise, len(x), random), random), random)
        objectives.generator_loss(logits, 0.0, 1.0).mean().backward()

    training = generator.training
    generator.train()
    discriminator.train()
    spent = [_milliseconds(ascent), _milliseconds(descent)]
    generator.train(training)
    return Cost("a second net: a step of D, kept in time with G", spent[0] / sum(spent), sum(spent))


def _milliseconds(call: Callable[[], object]) -> float:
    """Time a call: the median of 15, after one that warms up."""
    call()
    spent = []
    for _ in range(_REPEATS):
        before = time.perf_counter()
        call()
        spent.append(1000 * (time.perf_counter() - before))
    return statistics.median(spent)
