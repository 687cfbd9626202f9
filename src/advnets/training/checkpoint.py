"""A game as files of tensors and JSON, and back, bit for bit."""

import json
import math
from pathlib import Path

import torch
from torch import Tensor, nn
from torch.optim import Adam, Optimizer

from advnets import conditions, disk
from advnets.config import Config
from advnets.disk import read_json
from advnets.errors import InputError
from advnets.nets.files import load_net, misfit, read_tensors, require_size, write_tensors
from advnets.parameters import parameter_counts
from advnets.seeds import stream
from advnets.training.game import Game

_STAGES = 100
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
        write_tensors(optimiser_tensors(player.optimiser, player.net), folder / f"{name}-optimiser.safetensors")
    rest = {"random": game.random.get_state(), "sums": game.sums}
    if game.average is not None:
        rest["averaged"] = game.average.n_averaged
    write_tensors(rest, folder / "game.safetensors")
    if game.conditions is not None:
        game.conditions.write(folder / conditions.FILE)
    counts = {"step": game.step, "stage": game.stage, "summed": game.summed, **sizes}
    disk.write(folder / "state.json", (json.dumps(counts) + "\n").encode())


def read_counts(folder: Path) -> dict[str, int]:
    """Read state.json of a checkpoint: step, stage, steps summed for the next line of the log, sizes of files.

    validation_bytes is not there in checkpoints of versions that did not keep it.
    """
    content = read_json(folder / "state.json")
    kept = {name: value for name, value in content.items() if name in (*_COUNTS, "validation_bytes")}
    wrong = [name for name in {**kept, **dict.fromkeys(_COUNTS)} if not _is_count(kept.get(name))]
    if wrong or not 1 <= kept["stage"] <= _STAGES:
        what = ", ".join(wrong or [f"a stage of 1 to {_STAGES}"])
        raise InputError(f"{folder}/state.json lacks {what}, allowed: integers from 0 on; delete {folder}")
    return kept


def _is_count(value: object) -> bool:
    return type(value) is int and 0 <= value < 2**63


def restore(game: Game, folder: Path) -> None:
    """Bring a game of the right stage to the state that `save` wrote."""
    for name, net in nets(game).items():
        load_net(net, folder / f"{name}.safetensors")
    for name, player in (("generator", game.generator), ("discriminator", game.discriminator)):
        load_optimiser(player.optimiser, player.net, folder / f"{name}-optimiser.safetensors")
    counts, file = read_counts(folder), folder / "game.safetensors"
    rest = read_tensors(file)
    kept = {"sums": game.sums} | ({"averaged": game.average.n_averaged} if game.average is not None else {})
    if {*rest} != {"random", *kept} or any(not alike(rest[name], tensor) for name, tensor in kept.items()):
        raise misfit(file)
    game.random = restored_random(game.random, rest["random"], game.config.seed, counts["step"], file)
    for name, tensor in kept.items():
        tensor.copy_(rest[name])
    game.step, game.stage, game.summed = counts["step"], counts["stage"], counts["summed"]


def require_sizes(config: Config, shape: tuple[int, ...], folder: Path) -> None:
    """Raise InputError for a checkpoint that cannot hold the nets of a configuration, before these are made."""
    counts = parameter_counts(config, shape, stage=read_counts(folder)["stage"])
    for name, count in counts.items():
        require_size(folder / f"{name}.safetensors", count)


def alike(one: Tensor, other: Tensor) -> bool:
    """Tell whether two tensors have one shape and one kind of number."""
    return one.shape == other.shape and one.dtype == other.dtype


def restored_random(random: torch.Generator, saved: Tensor, seed: int, step: int, file: Path) -> torch.Generator:
    """Set the random state; where another kind of device left it, begin a new stream (`facts.differences` tells)."""
    if saved.numel() != random.get_state().numel():
        return stream(seed, "play", step, random.device)
    try:
        return random.set_state(saved)
    except (RuntimeError, TypeError):
        raise misfit(file) from None


def optimiser_tensors(optimiser: Optimizer, net: nn.Module) -> dict[str, Tensor]:
    """Name each of the optimiser's tensors by its parameter and its role, as net.layers.0.weight/momentum_buffer."""
    return {
        f"{name}/{role}": tensor
        for name, parameter in net.named_parameters()
        for role, tensor in optimiser.state.get(parameter, {}).items()
        if tensor is not None
    }


def load_optimiser(optimiser: Optimizer, net: nn.Module, file: Path) -> None:
    """Bring an optimiser to the state that is in a file; raises InputError where it is another's."""
    tensors, parameters = read_tensors(file), dict(net.named_parameters())
    roles = ("exp_avg", "exp_avg_sq", "step") if isinstance(optimiser, Adam) else ("momentum_buffer",)
    begun = {key.rpartition("/")[0] for key in tensors}
    if {*tensors} != {f"{name}/{role}" for name in begun for role in roles} or not begun <= {*parameters}:
        raise misfit(file)
    optimiser.state.clear()  # of a game that is rolled back
    for key, tensor in tensors.items():
        name, _, role = key.rpartition("/")
        if not alike(tensor, torch.zeros(()) if role == "step" else parameters[name]):
            raise misfit(file)
        optimiser.state[parameters[name]][role] = tensor.to(parameters[name].device, copy=True)
