"""How a processor is used well: products in float32 by oneDNN, and memory that is not given back between steps."""

import contextlib
import ctypes
import functools
from collections.abc import Iterator
from typing import Any

import torch
from torch import nn

_EXACT = 1e-5
"""Largest error of a float32 product of 256 terms, over its largest number; bfloat16's is a hundred times larger."""

_LARGEST_KEPT = 32 << 20
"""Bytes; glibc takes anything larger from the system anew each time, whatever it was given back before."""
_M_TRIM_THRESHOLD, _M_MMAP_MAX = -1, -4  # glibc's malloc.h


@contextlib.contextmanager
def fast_products(device: torch.device) -> Iterator[None]:
    """Let torch multiply with oneDNN in the block, if that is float32 on this processor too.

    torch's own library takes old instructions on processors that are not its maker's, and oneDNN the newest: products
    are 2.3 times as fast on an AMD EPYC. torch offers them under the name bf16, which permits coarser numbers on
    processors with matrix units; there, and on other devices, nothing is changed.
    """
    if device.type != "cpu" or not faithful():
        yield
        return
    settings = _settings()
    before = settings.fp32_precision
    settings.fp32_precision = "bf16"
    try:
        yield
    finally:
        settings.fp32_precision = before


@functools.cache
def faithful() -> bool:
    """Tell whether oneDNN, permitted coarser numbers, still multiplies in float32 here."""
    settings = _settings()
    if settings is None or not torch.backends.mkldnn.is_available():
        return False
    random = torch.Generator().manual_seed(0)
    a, b = (torch.randn(256, 256, generator=random) for _ in "ab")
    exact = a.double() @ b.double()
    before = settings.fp32_precision
    settings.fp32_precision = "bf16"
    try:
        error = ((a @ b) - exact).abs().max() / exact.abs().max()
    finally:
        settings.fp32_precision = before
    return float(error) < _EXACT


def _settings() -> Any:
    """Return what torch lets a program set about oneDNN's products; None in releases without it."""
    return getattr(torch.backends.mkldnn, "matmul", None)


def keep_memory(*nets: nn.Module) -> bool:
    """Let glibc keep what is freed, if a net has a layer too large for it to keep by itself; say whether it does so.

    The gradients of such a layer would come from the system in every step, zeroed page by page, which takes a third of
    the time. It holds for the rest of the process, which keeps its largest size.
    """
    sizes = [parameter.nbytes for net in nets for parameter in net.parameters() if parameter.device.type == "cpu"]
    if max(sizes, default=0) <= _LARGEST_KEPT:
        return False
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)  # glibc only
    return mallopt is not None and bool(mallopt(_M_MMAP_MAX, 0) and mallopt(_M_TRIM_THRESHOLD, -1))
