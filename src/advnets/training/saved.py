"""What a training comes to, adversarial or not, as files of tensors and JSON, and back, bit for bit."""

import json
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor, nn
from torch.optim import Adam, Optimizer

from advnets import disk
from advnets.disk import read_json
from advnets.errors import InputError
from advnets.nets.files import load_net, misfit, read_tensors, write_tensors
from advnets.seeds import stream

_STAGES = 100
_COUNTS = ("step", "stage", "summed", "log_bytes")
_REST = "game.safetensors"


@dataclass(frozen=True)
class State:
    """All that has to be kept for a training to go on as if it had never stopped, but its counts."""

    nets: dict[str, nn.Module]
    """NAME.safetensors."""
    rules: dict[str, tuple[nn.Module, Optimizer]]
    """What each gradient rule trains, and the rule: NAME-optimiser.safetensors."""
    random: torch.Generator
    small: dict[str, Tensor]
    """Beside the random state in game.safetensors: the sums for the next line of the log."""


def write(state: State, folder: Path, counts: dict[str, int]) -> None:
    """Write a state into an empty folder, and state.json with the counts."""
    for name, net in state.nets.items():
        write_tensors(net.state_dict(), folder / f"{name}.safetensors")
    for name, (net, rule) in state.rules.items():
        write_tensors(_optimiser_tensors(rule, net), folder / f"{name}-optimiser.safetensors")
    write_tensors({"random": state.random.get_state(), **state.small}, folder / _REST)
    disk.write(folder / "state.json", (json.dumps(counts) + "\n").encode())


def read(state: State, folder: Path, seed: int) -> torch.Generator:
    """Bring nets, rules and small tensors to what `write` kept, and return the random state likewise.

    It is the state's own; where another kind of device left it, a new stream of the seed (`facts.differences` tells).
    Raises InputError for files that are damaged or another training's.
    """
    for name, net in state.nets.items():
        load_net(net, folder / f"{name}.safetensors")
    for name, (net, rule) in state.rules.items():
        _load_optimiser(rule, net, folder / f"{name}-optimiser.safetensors")
    rest = read_tensors(folder / _REST)
    if {*rest} != {"random", *state.small} or not all(_alike(rest[name], own) for name, own in state.small.items()):
        raise misfit(folder / _REST)
    random = _restored(state.random, rest["random"], seed, read_counts(folder)["step"], folder / _REST)
    for name, own in state.small.items():
        own.copy_(rest[name])
    return random


def read_counts(folder: Path) -> dict[str, int]:
    """Read state.json of a checkpoint: step, stage, steps summed for the next line of the log, sizes of files.

    validation_bytes is not there in checkpoints of versions that did not keep it. Raises InputError for counts that
    are none.
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


def _alike(one: Tensor, other: Tensor) -> bool:
    """Tell whether two tensors have one shape and one kind of number."""
    return one.shape == other.shape and one.dtype == other.dtype


def _restored(random: torch.Generator, saved: Tensor, seed: int, step: int, file: Path) -> torch.Generator:
    if saved.numel() != random.get_state().numel():
        return random.manual_seed(stream(seed, "play", step).initial_seed())
    try:
        return random.set_state(saved)
    except (RuntimeError, TypeError):
        raise misfit(file) from None


def _optimiser_tensors(optimiser: Optimizer, net: nn.Module) -> dict[str, Tensor]:
    """Name each of the optimiser's tensors by its parameter and its role, as net.layers.0.weight/momentum_buffer."""
    return {
        f"{name}/{role}": tensor
        for name, parameter in net.named_parameters()
        for role, tensor in optimiser.state.get(parameter, {}).items()
        if tensor is not None
    }


def _load_optimiser(optimiser: Optimizer, net: nn.Module, file: Path) -> None:
    """Bring an optimiser to the state that is in a file; raises InputError where it is another's."""
    tensors, parameters = read_tensors(file), dict(net.named_parameters())
    roles = ("exp_avg", "exp_avg_sq", "step") if isinstance(optimiser, Adam) else ("momentum_buffer",)
    begun = {key.rpartition("/")[0] for key in tensors}
    if {*tensors} != {f"{name}/{role}" for name in begun for role in roles} or not begun <= {*parameters}:
        raise misfit(file)
    optimiser.state.clear()  # of a game that is rolled back
    for key, tensor in tensors.items():
        name, _, role = key.rpartition("/")
        if not _alike(tensor, torch.zeros(()) if role == "step" else parameters[name]):
            raise misfit(file)
        optimiser.state[parameters[name]][role] = tensor.to(parameters[name].device, copy=True)
