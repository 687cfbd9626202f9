"""Nets and other tensors as safetensors files: reading one executes nothing."""

from collections.abc import Mapping
from pathlib import Path

from safetensors import SafetensorError
from safetensors.torch import load_file, save
from torch import Tensor, nn

from advnets import disk
from advnets.errors import InputError


def write_tensors(tensors: Mapping[str, Tensor], file: Path) -> None:
    """Write named tensors, copied to the CPU, to the disk itself."""
    disk.write(
        file, save({name: tensor.detach().to("cpu", copy=True).contiguous() for name, tensor in tensors.items()})
    )


def read_tensors(file: Path) -> dict[str, Tensor]:
    """Read named tensors; raises InputError for a file that is missing or damaged."""
    try:
        return load_file(file)
    except (SafetensorError, OSError, ValueError, KeyError) as error:
        raise InputError(
            f"{file} cannot be read ({str(error).splitlines()[0]}), allowed: a safetensors file; "
            "restore the run folder from a copy"
        ) from None


def load_net(net: nn.Module, file: Path) -> None:
    """Copy a net's weights from a file; raises InputError where they do not fit."""
    tensors = read_tensors(file)
    try:
        net.load_state_dict(tensors)
    except RuntimeError:
        raise InputError(
            f"{file} holds weights of another net than config.json describes, allowed: files as they were written; "
            "restore the run folder from a copy"
        ) from None
