"""The two players with their gradient rules: everything that changes from step to step."""

from dataclasses import dataclass, field

import torch
from lightning_fabric import Fabric
from torch import Tensor, nn
from torch.optim import SGD, Adam, Optimizer
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn

from advnets import noise
from advnets.conditions import Conditions
from advnets.config import Config, StackConfig, TrainConfig
from advnets.nets.build import build_discriminator, build_generator, stack
from advnets.nets.init import layer_weights, limit_column_norms_
from advnets.seeds import shared, stream
from advnets.training import schedules

MEASURES = ("value", "discriminator_loss", "generator_loss", "d_real", "d_fake")


@dataclass
class Player:
    """A net and the gradient rule that trains it."""

    net: nn.Module
    optimiser: Optimizer
    initial_rate: float
    max_column_norm: float | None
    parallel: nn.Module | None = None
    """The net as several processes train it, with gradients averaged over them; None where there is one."""
    slowed: float = 1.0
    """What rollbacks have multiplied the learning rate by."""

    @property
    def play(self) -> nn.Module:
        """The net to call where its gradient is wanted."""
        return self.parallel or self.net

    def rate(self, train: TrainConfig, step: int) -> float:
        """Learning rate of a step of the stage."""
        return self.slowed * schedules.learning_rate(train, self.initial_rate, step)

    def rates(self, train: TrainConfig, step: int, epoch: int, *, again: bool = False) -> tuple[float, float]:
        """Return learning rate and momentum of this step of the stage, as torch's rule takes them.

        `again` says that the player has moved in this step before.

        Momentum is the released code's v = μv − lr·g, p += v. torch's rule has lr outside the velocity, so its
        μ is scaled by the ratio of the last two learning rates, which makes both rules the same.
        """
        rate = self.rate(train, step)
        last_rate = rate if again else self.rate(train, max(step - 1, 0))
        ratio = last_rate / rate if rate else 1.0  # a player whose rate is 0 stands still
        return rate, schedules.momentum(train, epoch) * ratio

    def update(self, train: TrainConfig, step: int, epoch: int, *, again: bool = False) -> None:
        """Take one gradient step with the rates of this step of the stage, then limit column norms."""
        rate, momentum = self.rates(train, step, epoch, again=again)
        for group in self.optimiser.param_groups:
            group["lr"] = rate
            if "momentum" in group:
                group["momentum"] = momentum
        self.optimiser.step()
        self.optimiser.zero_grad(set_to_none=True)
        self.limit()

    def limit(self) -> None:
        """Limit column norms, where they have a limit."""
        if self.max_column_norm is not None:
            limit_column_norms_(layer_weights(self.net), self.max_column_norm)


@dataclass
class Game:
    """State of a training run."""

    config: Config
    generator: Player
    discriminator: Player
    average: AveragedModel | None
    random: torch.Generator
    sums: Tensor
    fabric: Fabric
    """Device, precision, and the processes that play together."""
    step: int = 0
    stage: int = 1
    summed: int = 0
    moved: bool = False
    """Whether a player has moved in the present step."""
    dtype: torch.dtype = field(default=torch.float32)
    conditions: Conditions | None = None
    """p(c), where the run has a condition."""

    @property
    def stage_step(self) -> int:
        """Steps made in the present stage."""
        second = self.config.second_stage
        return self.step - second.after if second and self.stage == 2 else self.step

    def latents(self, count: int, c: Tensor | None = None) -> Tensor:
        """Draw z for one minibatch, and put c beside it where there is one."""
        return noise.beside(noise.draw(self.config.noise, count, self.random, self.dtype), c)

    def epoch(self, per_epoch: int) -> int:
        """Return the epoch of the present step, from 1."""
        return self.stage_step * self.config.train.k // per_epoch + 1

    def update(self, player: Player, per_epoch: int, *, again: bool = False) -> None:
        """Let one player take its step, and the average follow the generator."""
        self.moved = True
        player.update(self.config.train, self.stage_step, self.epoch(per_epoch), again=again)
        if player is self.generator:
            self.follow()

    def follow(self) -> None:
        """Take the generator into its average, where there is one."""
        if self.average is not None:
            follow(self.average, self.generator.net, self.config.train.average_decay)


def new_optimiser(net: nn.Module, train: TrainConfig, rate: float) -> Optimizer:
    """Make the gradient rule of a net."""
    match train.optimiser:
        case "momentum":
            return SGD(net.parameters(), lr=rate, momentum=train.momentum, fused=True)
        case "adam":
            return Adam(net.parameters(), lr=rate, betas=train.adam_betas, fused=True)


def averaging_interval(decay: float, made: int) -> int:
    """Return how many updates there are from one that the average takes in to the next, each a pass over all weights.

    A hundredth of its memory of 1/(1 − decay) updates, in which weights hardly differ, but 10 at most; 1 in the
    beginning, for ten times as long.
    """
    interval = max(1, min(10, round(0.01 / (1 - decay))))
    return interval if made > 10 * interval else 1


@torch.no_grad()
def follow(average: AveragedModel, net: nn.Module, decay: float) -> None:
    """Take an update of a net into its average, where it is due.

    After t updates the average is Σ_s decay^(t−s)·w_s / Σ_s decay^(t−s) over s = 1 … t, so untrained weights have no
    share; an update that is taken in stands for those left out before it.
    """
    made = int(average.n_averaged) + 1
    average.n_averaged.fill_(made)
    interval = averaging_interval(decay, made)
    if made % interval == 0:
        share = (1 - decay**interval) / (1 - decay**made)
        get_ema_multi_avg_fn(1 - share)([*average.module.parameters()], [*net.parameters()], made)


def new_game(
    config: Config,
    shape: tuple[int, ...],
    mean: Tensor,
    fabric: Fabric,
    *,
    stage: int = 1,
    conditions: Conditions | None = None,
) -> Game:
    """Build both players with fresh weights; `mean` is the mean training example."""
    weights = stream(config.seed, "weights")
    dtype = torch.float64 if config.train.precision == "64-true" else torch.float32
    generator = build_generator(config, shape, mean, weights, stage=stage).to(fabric.device, dtype)
    discriminator = build_discriminator(config, shape, weights).to(fabric.device, dtype)
    return Game(
        config,
        _player(generator, config, "generator", fabric),
        _player(discriminator, config, "discriminator", fabric),
        AveragedModel(generator) if config.train.average_decay else None,
        _random(config, fabric),
        torch.zeros(len(MEASURES), device=fabric.device),
        fabric,
        stage=stage,
        dtype=dtype,
        conditions=conditions,
    )


def _random(config: Config, fabric: Fabric) -> torch.Generator:
    """Begin the stream of noise, masks and dropout, which all processes share."""
    random, processes = stream(config.seed, "play", device=fabric.device), fabric.world_size
    if processes == 1:
        return random
    return shared(random, fabric.global_rank, processes, config.train.batch_size // processes)


def _player(net: nn.Module, config: Config, side: str, fabric: Fabric) -> Player:
    train = config.train
    rate, limit = train.learning_rate, config.generator.max_column_norm
    if side == "discriminator":
        rate, limit = train.discriminator_learning_rate or rate, config.discriminator.max_column_norm
    parallel = fabric.strategy.setup_module(net) if fabric.world_size > 1 else None
    return Player(net, new_optimiser(net, train, rate), rate, limit, parallel)


def second_stage(game: Game, second: StackConfig, shape: tuple[int, ...]) -> None:
    """Go on with new layers under the whole trained generator, and a fresh discriminator (released code, TFD)."""
    config, device = game.config, game.random.device
    weights = stream(config.seed, "weights", 2)
    net = stack(config, second, game.generator.net, weights).to(device, game.dtype)
    discriminator = build_discriminator(config, shape, weights).to(device, game.dtype)
    game.generator = _player(net, config, "generator", game.fabric)
    game.discriminator = _player(discriminator, config, "discriminator", game.fabric)
    game.average = AveragedModel(net) if config.train.average_decay else None
    game.stage = 2
