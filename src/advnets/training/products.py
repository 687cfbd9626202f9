"""Matrix products in float32 on a processor: oneDNN's kernels where those are float32 too."""

import contextlib
import functools
from collections.abc import Iterator
from typing import Any

import torch

_EXACT = 1e-5
"""Largest error of a float32 product of 256 terms, over its largest number; bfloat16's is a hundred times larger."""


@contextlib.contextmanager
def fast_products() -> Iterator[None]:
    """Let torch multiply with oneDNN in the block, if that changes the order of sums only.

    torch's own library takes old instructions on processors that are not its maker's, and oneDNN the newest: 2.3 times
    as fast on an AMD EPYC (benchmarks/step.py). torch offers them under the name bf16, which permits coarser
    numbers on processors with matrix units; there they are left alone.
    """
    if not faithful():
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
