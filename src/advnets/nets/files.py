"""Nets and other tensors as safetensors files: reading one executes nothing."""

import json
import struct
from collections.abc import Mapping
from pathlib import Path

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor, nn

from advnets import disk
from advnets.errors import InputError

_KINDS = {
    torch.bool: "BOOL",
    torch.uint8: "U8",
    torch.int8: "I8",
    torch.int16: "I16",
    torch.float16: "F16",
    torch.bfloat16: "BF16",
    torch.int32: "I32",
    torch.float32: "F32",
    torch.float64: "F64",
    torch.int64: "I64",
}
"""What the format calls each type, in the order opposite to that in which it stores them."""


def write_tensors(tensors: Mapping[str, Tensor], file: Path) -> None:
    """Write named tensors to the disk itself, byte for byte as `safetensors.torch.save_file` does."""
    rank = {dtype: -place for place, dtype in enumerate(_KINDS)}
    order = sorted(tensors, key=lambda name: (rank[tensors[name].dtype], name))
    parts = [tensors[name].detach().to("cpu").contiguous().reshape(-1).view(torch.uint8) for name in order]
    header, start = {}, 0
    for name, part in zip(order, parts, strict=True):
        kind, shape, end = _KINDS[tensors[name].dtype], list(tensors[name].shape), start + part.numel()
        header[name] = {"dtype": kind, "shape": shape, "data_offsets": [start, end]}
        start = end
    text = json.dumps(header, separators=(",", ":"), ensure_ascii=False).encode()
    text += b" " * (-len(text) % 8)
    disk.write(file, struct.pack("<Q", len(text)), text, *(part.numpy().data for part in parts))


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
