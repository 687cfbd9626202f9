"""What a compiled step adds to the operators of torch: momentum within a product, and maxout's gradients by its pieces.

Only the largest piece of a maxout unit has a gradient, so a product of its gradients is a fifth of a dense one with
five pieces; torch has none that skips the others, and `pieces.cpp` does. It is compiled for the processor at hand when
it is first asked for, in a second or two. Tensors are contiguous, on a CPU, in float32 or float64; in bfloat16 where
that is named.
"""

import ctypes
import functools
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import NamedTuple

import torch
from jaxtyping import Float, Int
from torch import Tensor

from advnets.nets.dropout import threshold


class Moved(NamedTuple):
    """A weight that a step moves, its velocity, the weight in bfloat16 where that is multiplied, lr and μ."""

    weight: Tensor
    velocity: Tensor
    coarse: Tensor | None
    rate: float
    momentum: float


class CompilerError(RuntimeError):
    """The C++ compiler fails."""


_SOURCE = Path(__file__).with_name("pieces.cpp")
_COMPILERS = "g++", "clang++", "c++"
_BUILDS: list[list[str]] = [["-march=native", "-fopenmp"], ["-march=native"], []]
"""Flags to try. Only GCC's threads are those that torch has already, on Linux; two sets would wait for each other."""


def compiler() -> str | None:
    """Return the path of a C++ compiler, that of the variable CXX where it is set; None where there is none."""
    named = os.environ.get("CXX")
    return next(filter(None, map(shutil.which, [named] if named else _COMPILERS)), None)


def named() -> str:
    """Return what to say of the variable CXX where it is set, which is what to change where there is no compiler."""
    return f" at {os.environ['CXX']}, as the variable CXX has it" if os.environ.get("CXX") else ""


def compiler_version() -> str:
    """Return the first line of what the compiler says of itself; "none" where there is none."""
    program = compiler()
    if program is None:
        return "none"
    done = subprocess.run([program, "--version"], capture_output=True, text=True, errors="replace", check=False)
    return (done.stdout.splitlines() or [program])[0]


@functools.cache
def _library() -> ctypes.CDLL:
    """Compile and load `pieces.cpp`. Raises CompilerError where the compiler fails."""
    program = compiler() or "g++"
    builds = _BUILDS if sys.platform == "linux" and "clang" not in compiler_version() else _BUILDS[1:]
    with tempfile.TemporaryDirectory() as folder:
        target = str(Path(folder, "pieces.so"))
        for flags in builds:
            words = [program, "-std=c++17", "-O3", *flags, "-shared", "-fPIC", str(_SOURCE), "-o", target]
            done = subprocess.run(words, capture_output=True, text=True, errors="replace", check=False)
            if done.returncode == 0:
                return _loaded(target)
    raise CompilerError(f"{program}: {(done.stderr.strip().splitlines() or ['it failed'])[-1]}")


def _loaded(file: str) -> ctypes.CDLL:
    try:
        return ctypes.CDLL(file)
    except OSError as error:  # a file system whose files may not be executed
        raise CompilerError(f"what it makes cannot be loaded: {error}; set TMPDIR to another folder") from error


def prepare() -> None:
    """Compile what this module needs, if that has not been done. Raises CompilerError where the compiler fails."""
    _library()


def masked(x: Float[Tensor, "*shape"], numbers: Int[Tensor, "*shape"] | None, keep: float) -> Float[Tensor, "*shape"]:
    """Return m ⊙ x, by the numbers that decide on dropout; x itself where there are none."""
    if numbers is None:
        return x
    below, scale = threshold(keep)
    x = x.contiguous()
    kept = torch.empty_like(x)
    _call("masked", x.dtype, [kept, x, numbers], [x.numel(), below], scale)
    return kept


def largest(
    y: Float[Tensor, "batch all_pieces"], pieces: int
) -> tuple[Float[Tensor, "batch units"], Int[Tensor, "batch units"]]:
    """Return h_u = max_j y_ju, and the first j that has it; NaN is larger than any number."""
    rows, units = len(y), y.shape[1] // pieces
    h, piece = y.new_empty(rows, units), torch.empty(rows, units, dtype=torch.int32)
    _call("largest", y.dtype, [h, piece, y], [rows, units, pieces])
    return h, piece


def pieces_by_input(
    weight: Float[Tensor, "above below"], gradient: Float[Tensor, "batch units"], piece: Int[Tensor, "batch units"]
) -> Float[Tensor, "batch below"]:
    """Return the gradient by a maxout layer's input, Σ_u g[n, u]·W[j(n, u), u]."""
    (rows, units), below = gradient.shape, weight.shape[1]
    of_x = weight.new_empty(rows, below)
    given = [of_x, weight, gradient.contiguous(), piece.contiguous()]
    _call("by_input", weight.dtype, given, [rows, below, units, len(weight) // units])
    return of_x


def move(moved: Moved, gradient: Float[Tensor, "batch above"], x: Float[Tensor, "batch below"]) -> None:
    """Take v ← μ·v + gᵀ·x and W ← W − lr·v for the weight of a linear map; gᵀ·x is added while it is made.

    In bfloat16 it cannot be: torch has no product on processors that starts in bfloat16 and ends in float32.
    """
    weight, velocity, coarse, rate, momentum = moved
    if coarse is not None:
        _call("dense", weight.dtype, [weight, velocity, coarse, gradient.t() @ x], [weight.numel()], rate, momentum)
        return
    torch.addmm(velocity, gradient.t(), x, beta=momentum, out=velocity)
    weight.add_(velocity, alpha=-rate)


def move_pieces(
    moved: Moved,
    of_bias: Float[Tensor, " above"],
    gradient: Float[Tensor, "batch units"],
    piece: Int[Tensor, "batch units"],
    x: Float[Tensor, "batch below"],
) -> None:
    """Take the same step for a maxout layer by the gradient by its units, and move the velocity of its bias."""
    (rows, units), below = gradient.shape, x.shape[1]
    *tensors, rate, momentum = moved
    given = [*tensors, of_bias, gradient.contiguous(), piece.contiguous(), x.contiguous()]
    _call("by_weight", moved.weight.dtype, given, [rows, below, units, len(moved.weight) // units], rate, momentum)


def _call(name: str, dtype: torch.dtype, tensors: Sequence[Tensor | None], sizes: Sequence[int], *rates: float) -> None:
    if not all(tensor is None or tensor.is_contiguous() for tensor in tensors):
        raise ValueError(f"{name}: a tensor is not contiguous")
    pointers = [None if tensor is None else tensor.data_ptr() for tensor in tensors]
    _function(name, dtype, len(pointers), len(rates), len(sizes))(*pointers, *rates, *sizes)


@functools.cache
def _function(name: str, dtype: torch.dtype, pointers: int, rates: int, sizes: int) -> Callable[..., None]:
    """Return a function of the library for numbers of a type, and tell ctypes what it takes."""
    function = getattr(_library(), f"{name}_{str(dtype).removeprefix('torch.')}")
    real = ctypes.c_double if dtype == torch.float64 else ctypes.c_float
    function.argtypes = [*[ctypes.c_void_p] * pointers, *[real] * rates, *[ctypes.c_int64] * sizes]
    function.restype = None
    made: Callable[..., None] = function
    return made
