"""An encoder trained with the generator instead of after it: D tells pairs (x, E(x)) from pairs (G(z), z).

V(D, E, G) = E[log D(x, E(x))] + E[log(1 − D(G(z), z))]: at its optimum E inverts G. Donahue, Krähenbühl and Darrell
2017 (BiGAN), Dumoulin et al. 2017 (ALI, here with an encoder that draws nothing).
"""

import copy
import dataclasses
import math
from collections.abc import Callable
from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn

from advnets import noise, objectives
from advnets.config import Config, NoiseConfig, check
from advnets.data.dataset import DataSet
from advnets.errors import InputError
from advnets.evaluation.progress import Report, silent
from advnets.extensions.encoder import Encoder, Halves, Support
from advnets.extensions.inference import Inference
from advnets.nets.build import build_discriminator, build_generator
from advnets.seeds import stream
from advnets.training.batches import Batches
from advnets.training.game import Player, new_optimiser
from advnets.training.processor import fast_products

Logits = Float[Tensor, " batch"]


def pair_loss(data_logits: Logits, sample_logits: Logits) -> Logits:
    """What E and G descend: −log(1 − D(x, E(x))) − log D(G(z), z), in nats; D's loss with the sides exchanged.

    The non-saturating form of −V: same fixed point, where D cannot tell the pairs apart.
    """
    return objectives.discriminator_loss(sample_logits, data_logits)


@dataclass
class Pair:
    """State of a game of three: G and E against D."""

    config: Config
    generator: Player
    encoder: Player
    discriminator: Player
    averages: tuple[AveragedModel, ...]
    """Of G and E, where the configuration keeps averages."""
    random: torch.Generator
    step: int = 0


def for_pairs(config: Config, steps: int) -> Config:
    """Return a recipe as pairs train: its nets, z ∼ N(0, I), no dropout in D, Adam at 2e-4 as in BiGAN.

    The momentum and rates of recipes diverge with three nets, and dropout on z hides what D is to compare.
    """
    return dataclasses.replace(
        config,
        noise=NoiseConfig("gaussian", config.noise.dimension),
        discriminator=dataclasses.replace(config.discriminator, keep=(1.0,), init_range=0.05),
        train=dataclasses.replace(
            config.train,
            steps=steps,
            optimiser="adam",
            learning_rate=2e-4,
            discriminator_learning_rate=None,
            adam_betas=(0.5, 0.999),
            average_decay=0.99,
        ),
    )


def new_pair(config: Config, shape: tuple[int, ...], mean: Tensor) -> Pair:
    """Build the recipe's G and D, the latter on x beside z, and an encoder with G's hidden layers from x down.

    Raises InputError for a discriminator with convolutions, which pairs have no shape for.
    """
    if not config.is_game or config.second_stage or config.condition or config.discriminator.convolutions:
        raise InputError(
            f"{config.recipe} has no fully connected discriminator of one stage and of x alone, allowed for pairs (x, "
            "z): recipes that do, such as digits or mnist; name one"
        )
    weights, size, latent = stream(config.seed, "weights"), math.prod(shape), config.noise.dimension
    generator = build_generator(config, shape, mean, weights)
    discriminator = build_discriminator(config, (size + latent,), weights)
    sizes = [size, *reversed(config.generator.hidden), latent]
    encoder = Encoder(sizes, Support("line"), stream(config.seed, "encoder-weights"))  # a tanh would saturate
    train = config.train
    rates = (train.learning_rate, train.learning_rate, train.discriminator_learning_rate or train.learning_rate)
    limits = (config.generator.max_column_norm, None, config.discriminator.max_column_norm)
    players = [
        Player(net, new_optimiser(net, train, rate), rate, limit)
        for net, rate, limit in zip((generator, encoder, discriminator), rates, limits, strict=True)
    ]
    follow = get_ema_multi_avg_fn(train.average_decay)
    kept = (generator, encoder) if train.average_decay else ()
    averages = tuple(AveragedModel(net, multi_avg_fn=follow) for net in kept)
    return Pair(config, players[0], players[1], players[2], averages, stream(config.seed, "play"))


def pairs(x: Float[Tensor, "batch *shape"], z: Float[Tensor, "batch latent"]) -> Float[Tensor, "batch both"]:
    """Lay out x, flattened, and z side by side, as D sees them."""
    return torch.cat([x.flatten(1), z], 1)


def pair_step(pair: Pair, batches: Batches) -> tuple[float, float]:
    """Let all three move at once on one minibatch of either kind; return V and the loss of E and G, in nats."""
    config, real = pair.config, batches[pair.step]
    z = noise.draw(config.noise, len(real), pair.random)
    fake, codes = pair.generator.net(z, pair.random), pair.encoder.net(real)
    both = torch.cat([pairs(real, codes), pairs(fake, z)])
    data_logits, sample_logits = pair.discriminator.net(both, pair.random).split(len(real))
    d_loss = objectives.discriminator_loss(data_logits, sample_logits).mean()
    loss = pair_loss(data_logits, sample_logits).mean()
    makers, judge = [pair.generator, pair.encoder], [pair.discriminator]
    _take_gradients(d_loss, judge, again=True)
    _take_gradients(loss, makers, again=False)
    epoch = pair.step // batches.per_epoch + 1
    for player in (*judge, *makers):
        player.update(config.train, pair.step, epoch)
    for average, player in zip(pair.averages, makers, strict=False):
        average.update_parameters(player.net)
    pair.step += 1
    return -float(d_loss.detach()), float(loss.detach())


def _take_gradients(loss: Tensor, players: list[Player], *, again: bool) -> None:
    """Leave the gradients of a loss in the players' parameters, and nowhere else."""
    parameters = [parameter for player in players for parameter in player.net.parameters()]
    gradients = torch.autograd.grad(loss, parameters, retain_graph=again)
    for parameter, gradient in zip(parameters, gradients, strict=True):
        parameter.grad = gradient


def train_pair(
    config: Config, data: DataSet, *, stop: Callable[[], bool] = lambda: False, report: Report = silent
) -> Inference:
    """Train G, E and D on data for `config.train.steps` and return E with G, averaged where the configuration says so.

    Nothing is written: keep what it returns. Takes mode, k and the losses' weights as `pair_step` does, whatever the
    configuration says. Raises InputError as `new_pair` does, and where a loss stops being finite.
    """
    data.require_memory("train_pair")
    x = torch.from_numpy(data.train.x)
    pair, batches = new_pair(check(config), data.shape, x.mean(0)), Batches(x, config.train.batch_size, config.seed)
    with fast_products(torch.device("cpu")):
        while pair.step < config.train.steps and not stop():
            measures = pair_step(pair, batches)
            if not all(map(math.isfinite, measures)):
                raise InputError(
                    f"a loss is not finite at step {pair.step}, allowed: finite ones; set train.learning_rate below "
                    f"{config.train.learning_rate:g}"
                )
            report(pair.step, config.train.steps)
    return inference_of(pair)


def inference_of(pair: Pair) -> Inference:
    """Return a copy of E with one of G, of the averages where there are some."""
    nets: list[nn.Module] = [average.module for average in pair.averages] or [pair.generator.net, pair.encoder.net]
    generator, encoder = (copy.deepcopy(net).eval().requires_grad_(False) for net in nets)
    return Inference(pair.config.noise, Halves(nn.Identity(), generator, pair.config.noise.dimension, None), encoder)
