"""One step of semi-supervised learning: D tells K classes and "generated" apart, G matches D's features."""

import contextlib
import copy
from collections.abc import Callable
from dataclasses import dataclass

import torch
from jaxtyping import Float, Int
from lightning_fabric import Fabric
from torch import Tensor, nn
from torch.optim import Adam

from advnets import noise, objectives
from advnets.config import Config, SemiConfig, TrainConfig
from advnets.data.dataset import DataSet
from advnets.extensions import labels
from advnets.nets.build import build_classifier, build_generator
from advnets.seeds import stream
from advnets.training.batches import Batches
from advnets.training.game import Player
from advnets.training.outcome import dtype

MEASURES = ("discriminator_loss", "labelled_loss", "generator_loss", "d_real", "d_fake")
_CALIBRATION = 500  # examples by which D's first scales and biases are set


class Labelled:
    """Minibatches of the labelled examples, addressed by their number since the start of training.

    Where all fit into one, each minibatch is all of them, repeated as often as there is room; else every epoch has its
    own permutation, a function of (seed, epoch) alone.
    """

    def __init__(self, x: Float[Tensor, "n *shape"], y: Int[Tensor, " n"], batch_size: int, seed: int) -> None:
        times = max(1, batch_size // len(x))
        self.x, self.y = x.repeat(times, *[1] * (x.dim() - 1)), y.repeat(times)
        self.batch_size, self.seed = min(batch_size, len(self.x)), seed
        self.per_epoch = len(self.x) // self.batch_size
        self._epoch, self._order = -1, torch.empty(0, dtype=torch.int64)

    def __getitem__(self, number: int) -> tuple[Float[Tensor, "batch *shape"], Int[Tensor, " batch"]]:
        """Return examples and classes of minibatch `number`, counted from 0."""
        if self.batch_size == len(self.x):
            return self.x, self.y
        epoch, index = divmod(number, self.per_epoch)
        if epoch != self._epoch:
            order = torch.randperm(len(self.x), generator=stream(self.seed, "labelled order", epoch))
            self._epoch, self._order = epoch, order.to(self.x.device)
        rows = self._order[index * self.batch_size : (index + 1) * self.batch_size]
        return self.x[rows], self.y[rows]


@dataclass
class SemiGame:
    """State of a run with few labels, and its data on the device."""

    config: Config
    settings: SemiConfig
    generator: Player
    discriminator: Player
    average: nn.Module
    """Moving average of D, which classifies."""
    batches: Batches
    labelled: Labelled
    random: torch.Generator
    sums: Tensor
    """Of MEASURES, since the last line of the log."""
    autocast: Callable[[], contextlib.AbstractContextManager[object]]
    step: int = 0
    summed: int = 0

    @property
    def dtype(self) -> torch.dtype:
        """Number format of the weights."""
        return dtype(self.config)

    def noise(self) -> noise.Noise:
        """Draw z for one minibatch."""
        return noise.draw(self.config.noise, self.batches.batch_size, self.random, self.dtype)

    def update(self, player: Player) -> None:
        """Let one player take its step, and the average follow D; at first it follows closely."""
        player.update(self.config.train, self.step, 1)
        if player is self.discriminator:
            decay = self.settings.average_decay
            share = (1 - decay) / (1 - decay ** (self.step + 1))
            averaged = [parameter.detach() for parameter in self.average.parameters()]
            torch._foreach_lerp_(averaged, [parameter.detach() for parameter in player.net.parameters()], share)


def new_game(config: Config, data: DataSet, fabric: Fabric) -> SemiGame:
    """Build both players with fresh weights, draw the labels, and put the data on the device.

    Raises InputError where the data have no such labels.
    """
    settings, train, device = config.semi, config.train, fabric.device
    assert settings is not None  # of a recipe for few labels
    rows = labels.draw(data, settings.labels, settings.classes, config.seed)
    x = torch.from_numpy(data.train.x)
    y = torch.from_numpy(data.train.labels)[rows]
    weights = stream(config.seed, "weights")
    generator = build_generator(config, data.shape, x.mean(0), weights).to(device, dtype(config))
    classifier = build_classifier(config, data.shape, weights)
    classifier.calibrate(x[:_CALIBRATION], stream(config.seed, "calibration"))
    classifier = classifier.to(device, dtype(config))
    x = x.to(device, dtype(config))
    return SemiGame(
        config,
        settings,
        _player(generator, train.learning_rate, train, settings),
        _player(classifier, train.discriminator_learning_rate or train.learning_rate, train, settings),
        copy.deepcopy(classifier).requires_grad_(False).eval(),
        Batches(x, train.batch_size, config.seed),
        Labelled(x[torch.from_numpy(rows).to(device)], y.to(device), train.batch_size, config.seed),
        stream(config.seed, "play", device=device),
        torch.zeros(len(MEASURES), device=device),
        fabric.autocast,
    )


def _player(net: nn.Module, rate: float, train: TrainConfig, settings: SemiConfig) -> Player:
    rule = Adam(net.parameters(), rate, train.adam_betas, settings.adam_epsilon, fused=True)
    return Player(net, rule, rate, None)


def move(game: SemiGame) -> None:
    """Let D descend on labelled, unlabelled and generated examples, then G on the distance of D's mean features.

    Each on its own fresh minibatch and noise, D first, as in the authors' code (Salimans et al. 2016).
    """
    measured = [*_move_discriminator(game), *_move_generator(game)]
    d_loss, labelled_loss, d_real, d_fake, g_loss = measured
    game.sums += torch.stack([d_loss, labelled_loss, g_loss, d_real, d_fake]).to(game.sums.dtype)
    game.summed += 1
    game.step += 1


def _move_discriminator(game: SemiGame) -> tuple[Tensor, ...]:
    """Return the unlabelled and the labelled loss, and the mean D(x) and D(G(z))."""
    net, settings = game.discriminator.net, game.settings
    x, y = game.labelled[game.step]
    real = game.batches[2 * game.step]
    with game.autocast():
        with torch.no_grad():
            fake = game.generator.net(game.noise())
        logits, _ = net(torch.cat([x, real, fake]), game.random)
    of_labelled, of_real, of_fake = logits.to(game.dtype).split([len(x), len(real), len(fake)])
    labelled = objectives.labelled_loss(of_labelled, y).mean()
    unlabelled = objectives.unlabelled_loss(of_real, of_fake).mean()
    (labelled + settings.unlabelled_weight * unlabelled).backward()
    game.update(game.discriminator)
    with torch.no_grad():
        shares = [objectives.real_logits(one.detach()).sigmoid().mean() for one in (of_real, of_fake)]
    return unlabelled.detach(), labelled.detach(), *shares


def _move_generator(game: SemiGame) -> tuple[Tensor]:
    """Return the mean square of the distances."""
    net = game.discriminator.net
    real = game.batches[2 * game.step + 1]
    net.requires_grad_(False)
    with game.autocast():
        fake = game.generator.net(game.noise())
        _, features = net(torch.cat([fake, real]), game.random)
    loss = objectives.feature_matching_loss(*features.to(game.dtype).split([len(fake), len(real)])).mean()
    loss.backward()
    net.requires_grad_(True)
    game.update(game.generator)
    return (loss.detach(),)
