"""A game in a checkpoint: what of it is kept."""

import math
from pathlib import Path

import torch
from torch import nn

from advnets import conditions
from advnets.config import Config
from advnets.nets.files import require_size
from advnets.parameters import parameter_counts
from advnets.training import saved
from advnets.training.game import Game


def nets(game: Game) -> dict[str, nn.Module]:
    """Name the nets of a game as their files are named."""
    named = {"generator": game.generator.net, "discriminator": game.discriminator.net}
    return named | ({"average": game.average.module} if game.average is not None else {})


def is_finite(game: Game) -> bool:
    """Tell whether every weight of every net is a finite number."""
    tensors = [parameter.detach() for net in nets(game).values() for parameter in net.parameters()]
    return all(math.isfinite(float(largest)) for largest in torch._foreach_max([tensor.abs() for tensor in tensors]))


def save(game: Game, folder: Path, sizes: dict[str, int]) -> None:
    """Write the whole state of a game into an empty folder, with the sizes of the run's files of lines."""
    if game.conditions is not None:
        game.conditions.write(folder / conditions.FILE)
    counts = {"step": game.step, "stage": game.stage, "summed": game.summed, **sizes}
    saved.write(_state(game), folder, counts)


def restore(game: Game, folder: Path) -> None:
    """Bring a game of the right stage to the state that `save` wrote."""
    game.random = saved.read(_state(game), folder, game.config.seed)
    counts = saved.read_counts(folder)
    game.step, game.stage, game.summed = counts["step"], counts["stage"], counts["summed"]


def require_sizes(config: Config, shape: tuple[int, ...], folder: Path) -> None:
    """Raise InputError for a checkpoint that cannot hold the nets of a configuration, before these are made."""
    counts = parameter_counts(config, shape, stage=saved.read_counts(folder)["stage"])
    for name, count in counts.items():
        require_size(folder / f"{name}.safetensors", count)


def _state(game: Game) -> saved.State:
    players = {"generator": game.generator, "discriminator": game.discriminator}
    averaged = {} if game.average is None else {"averaged": game.average.n_averaged}
    return saved.State(
        nets(game),
        {name: (player.net, player.optimiser) for name, player in players.items()},
        game.random,
        {"sums": game.sums, **averaged},
    )
