"""Small games for tests."""

import dataclasses
from collections.abc import Callable

import numpy as np
import torch
from lightning_fabric import Fabric
from torch import nn
from torch.optim import SGD

from advnets.config import ConditionConfig, Config, DiscriminatorConfig, GeneratorConfig, NoiseConfig, TrainConfig
from advnets.data.dataset import DataSet, Scaling, Split
from advnets.training.batches import Batches
from advnets.training.game import MEASURES, Game, Player, new_game

TINY = Config(
    "tiny",
    noise=NoiseConfig(dimension=4),
    generator=GeneratorConfig(hidden=(8, 8)),
    discriminator=DiscriminatorConfig(hidden=(6, 5), pieces=3, init_range=0.2),
    train=TrainConfig(steps=12, batch_size=5, log_every=4, sample_every=100, checkpoint_every=5, device="cpu"),
)


def tiny(**train) -> Config:
    return dataclasses.replace(TINY, train=dataclasses.replace(TINY.train, **train))


def data(count=31, shape=(1, 3, 3), seed=0) -> DataSet:
    x = np.random.default_rng(seed).random((count, *shape), dtype=np.float32)
    scaling = Scaling("unit", np.array(0.0), np.array(1.0))
    return DataSet("noise", Split(x), Split(x[:3]), Split(x[:3]), scaling, (), f"print-{seed}", "generated")


def game_of(config: Config, examples: DataSet) -> tuple[Game, Batches]:
    fabric = Fabric(accelerator="cpu", devices=1, precision=config.train.precision)
    x = torch.from_numpy(examples.train.x)
    game = new_game(config, examples.shape, x.mean(0), fabric)
    return game, Batches(x.to(game.dtype), config.train.batch_size, config.seed)


class DiracGenerator(nn.Module):
    """All mass at θ."""

    def __init__(self, theta: float) -> None:
        super().__init__()
        self.theta = nn.Parameter(torch.tensor(theta, dtype=torch.float64))

    def forward(self, z, generator=None):
        return self.theta.expand(len(z), 1)


class DiracDiscriminator(nn.Module):
    """Logit ψ·x."""

    def __init__(self, psi: float) -> None:
        super().__init__()
        self.psi = nn.Parameter(torch.tensor(psi, dtype=torch.float64))

    def forward(self, x, generator=None, c=None, fixed=0):
        return self.psi * x.squeeze(1)


def dirac(theta: float, psi: float, rate: float, **train) -> tuple[Game, Batches]:
    """The Dirac-GAN of Mescheder et al. 2018: data at 0, samples at θ, logit ψ·x."""
    settings = TrainConfig(
        batch_size=3, learning_rate=rate, momentum=0.0, final_momentum=0.0, decay_per_update=1.0, **train
    )
    sides = [
        Player(net, SGD(net.parameters(), lr=rate, momentum=0.0), rate, None)
        for net in (DiracGenerator(theta), DiracDiscriminator(psi))
    ]
    game = Game(
        dataclasses.replace(TINY, train=settings),
        *sides,
        None,
        torch.Generator().manual_seed(0),
        torch.zeros(len(MEASURES)),
        Fabric(accelerator="cpu", devices=1),
        dtype=torch.float64,
    )
    return game, Batches(torch.zeros(9, 1, dtype=torch.float64), 3, 0)


def _of_masks() -> tuple[Config, DataSet]:
    masked = ConditionConfig("masks", size=9, masks=("pixels", "halves", "blocks"))
    game = tiny(reconstruction_weight=5.0, optimiser="adam", learning_rate=1e-3, precision="64-true", batch_size=8)
    return dataclasses.replace(game, condition=masked), data(count=32)


def _of_classes() -> tuple[Config, DataSet]:
    examples = data(count=32)
    labelled = [dataclasses.replace(part, labels=np.arange(len(part.x)) % 3) for part in (examples.train,) * 3]
    train, validation, test = labelled
    examples = dataclasses.replace(examples, train=train, validation=validation, test=test, class_names=("a", "b", "c"))
    units = {"generator_units": (5, 3), "discriminator_units": (5, 3)}
    game = tiny(precision="64-true", batch_size=8)
    return dataclasses.replace(game, condition=ConditionConfig("labels", size=3, **units)), examples


SHARED: dict[str, Callable[[], tuple[Config, DataSet]]] = {
    "released": lambda: (tiny(precision="64-true", batch_size=8, average_decay=0.9, steps=20), data(count=32)),
    "paper": lambda: (
        tiny(mode="paper", k=3, rest_above=0.03, learning_rate=0.05, precision="64-true", batch_size=8),
        data(count=32),
    ),
    "masks": _of_masks,
    "classes": _of_classes,
}
"""Games that several processes can train, with their data."""
