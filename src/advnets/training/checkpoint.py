"""A game as files of tensors and JSON, and back, bit for bit."""

import json
import math
from pathlib import Path

import torch
from torch import Tensor, nn
from torch.optim import Optimizer

from advnets import disk
from advnets.disk import read_json
from advnets.errors import InputError
from advnets.nets.files import load_net, read_tensors, write_tensors
from advnets.seeds import stream
from advnets.training.game import Game

_COUNTS = ("step", "stage", "summed", "log_bytes")


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
    for name, net in nets(game).items():
        write_tensors(net.state_dict(), folder / f"{name}.safetensors")
    for name, player in (("generator", game.generator), ("discriminator", game.discriminator)):
        write_tensors(_optimiser_tensors(player.optimiser, player.net), folder / f"{name}-optimiser.safetensors")
    rest = {"random": game.random.get_state(), "sums": game.sums}
    if game.average is not None:
        rest["averaged"] = game.average.n_averaged
    write_tensors(rest, folder / "game.safetensors")
    counts = {"step": game.step, "stage": game.stage, "summed": game.summed, **sizes}
    disk.write(folder / "state.json", (json.dumps(counts) + "\n").encode())


def read_counts(folder: Path) -> dict[str, int]:
    """Read state.json of a checkpoint: step, stage, steps summed for the next line of the log, sizes of files.

    validation_bytes is not there in checkpoints of versions that did not keep it.
    """
    content = read_json(folder / "state.json")
    kept = {name: value for name, value in content.items() if name in (*_COUNTS, "validation_bytes")}
    wrong = [name for name in {**kept, **dict.fromkeys(_COUNTS)} if type(kept.get(name)) is not int]
    if wrong:
        raise InputError(f"{folder}/state.json lacks {', '.join(wrong)}, allowed: integers; delete {folder}")
    return kept


def restore(game: Game, folder: Path) -> None:
    """Bring a game of the right stage to the state that `save` wrote."""
    for name, net in nets(game).items():
        load_net(net, folder / f"{name}.safetensors")
    for name, player in (("generator", game.generator), ("discriminator", game.discriminator)):
        _load_optimiser(player.optimiser, player.net, read_tensors(folder / f"{name}-optimiser.safetensors"))
    rest = read_tensors(folder / "game.safetensors")
    _restore_random(game, rest["random"], read_counts(folder)["step"])
    game.sums.copy_(rest["sums"])
    if game.average is not None:
        game.average.n_averaged.copy_(rest["averaged"])
    counts = read_counts(folder)
    game.step, game.stage, game.summed = counts["step"], counts["stage"], counts["summed"]


def _restore_random(game: Game, saved: Tensor, step: int) -> None:
    """Set the random state; where another kind of device left it, begin a new stream (`facts.differences` tells)."""
    if saved.numel() == game.random.get_state().numel():
        game.random.set_state(saved)
    else:
        game.random = stream(game.config.seed, "play", step, game.random.device)


def _optimiser_tensors(optimiser: Optimizer, net: nn.Module) -> dict[str, Tensor]:
    """Name each of the optimiser's tensors by its parameter and its role, as net.layers.0.weight/momentum_buffer."""
    return {
        f"{name}/{role}": tensor
        for name, parameter in net.named_parameters()
        for role, tensor in optimiser.state.get(parameter, {}).items()
        if tensor is not None
    }


def _load_optimiser(optimiser: Optimizer, net: nn.Module, tensors: dict[str, Tensor]) -> None:
    parameters = dict(net.named_parameters())
    optimiser.state.clear()  # of a game that is rolled back
    for key, tensor in tensors.items():
        name, _, role = key.rpartition("/")
        optimiser.state[parameters[name]][role] = tensor.to(parameters[name].device, copy=True)
