"""Nets and other tensors as safetensors files: reading one executes nothing."""

from collections.abc import Mapping
from pathlib import Path

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save
from torch import Tensor, nn

from advnets import disk
from advnets.errors import InputError

_BYTES = torch.float32.itemsize  # the least a weight takes


def write_tensors(tensors: Mapping[str, Tensor], file: Path) -> None:
    """Write named tensors, copied to the CPU, to the disk itself."""
    disk.write(
        file, save({name: tensor.detach().to("cpu", copy=True).contiguous() for name, tensor in tensors.items()})
    )


def read_tensors(file: Path) -> dict[str, Tensor]:
    """Read named tensors; raises InputError for a file that is missing or damaged."""
    try:
        if file.exists() and not file.is_file():
            raise ValueError("it is no regular file")
        return load_file(file)
    except (SafetensorError, OSError, ValueError, KeyError, TypeError, AttributeError, RuntimeError) as error:
        raise InputError(
            f"{file} cannot be read ({(str(error).splitlines() or ['damaged'])[0]}), allowed: a safetensors file; "
            "restore the run folder from a copy"
        ) from None


def load_net(net: nn.Module, file: Path) -> None:
    """Copy a net's weights from a file; raises InputError where they do not fit."""
    tensors = read_tensors(file)
    if {name: tensor.shape for name, tensor in tensors.items()} != {
        name: tensor.shape for name, tensor in net.state_dict().items()
    } or any(tensor.is_complex() for tensor in tensors.values()):
        raise misfit(file)
    try:
        net.load_state_dict(tensors)
    except (RuntimeError, TypeError, NotImplementedError):  # of numbers of a kind that torch cannot copy
        raise misfit(file) from None


def require_size(file: Path, parameters: int) -> None:
    """Raise InputError for a file too small for so many weights, before a net is made to hold them."""
    if file.is_file() and file.stat().st_size < _BYTES * parameters:
        raise misfit(file)


def misfit(file: Path) -> InputError:
    """Return the InputError for a file that holds the state of another net."""
    return InputError(
        f"{file} holds weights of another net than config.json describes, allowed: files as they were written; "
        "restore the run folder from a copy"
    )
