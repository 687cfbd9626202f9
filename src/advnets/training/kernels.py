"""What a compiled step adds to the operators of torch: momentum within a product, and products without their zeros.

Half of what dropout passes on is zero, and half or more of what rectifiers do; only the largest piece of a maxout unit
has a gradient. torch's products make them all the same, and `sparse.cpp` skips them. It is compiled for the processor
at hand when it is first asked for, in three seconds. Tensors are contiguous, on a CPU, in float32 or float64; in
bfloat16 where that is named. A weight may also lie by columns, with its velocity: then it is the zeros of its input
that are skipped in the backward pass, which has to come from rectifiers.
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

from advnets.config import Activation
from advnets.nets.dropout import Random, numbers_for, threshold


class Moved(NamedTuple):
    """A weight that a step moves, its velocity, the weight in bfloat16 where that is multiplied, lr and μ."""

    weight: Tensor
    velocity: Tensor
    coarse: Tensor | None
    rate: float
    momentum: float


class CompilerError(RuntimeError):
    """The C++ compiler fails."""


_STATE_BYTES = 5056
"""Of a generator of torch on a processor."""
_TELLING = "forward", "backward"
"""Functions of the library that tell whether they did what they are for."""
_SOURCE = Path(__file__).with_name("sparse.cpp")
_COMPILERS = "g++", "clang++", "c++"
_BUILDS: list[list[str]] = [["-march=native", "-fopenmp"], ["-march=native"], []]
"""Flags to try. Only GCC's threads are those that torch has already, on Linux; two sets would wait for each other."""


def compiler() -> str | None:
    """Return the path of a C++ compiler, that of the variable CXX where it is set; None where there is none."""
    named = os.environ.get("CXX")
    return next(filter(None, map(shutil.which, [named] if named else _COMPILERS)), None)


def where_sought() -> str:
    """Say where the variable CXX, if it is set, has a compiler: what to change where there is none."""
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
    """Compile and load `sparse.cpp`. Raises CompilerError where the compiler fails."""
    program = compiler() or "g++"
    builds = _BUILDS if sys.platform == "linux" and "clang" not in compiler_version() else _BUILDS[1:]
    with tempfile.TemporaryDirectory() as folder:
        target = str(Path(folder, "sparse.so"))
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


def numbers(x: Float[Tensor, "*shape"], random: Random) -> Int[Tensor, "*shape"]:
    """Draw the numbers that decide which of x dropout keeps, those that `numbers_for` draws."""
    if random is None or not _draws_as_torch():
        return numbers_for(x, random)
    state, drawn = random.get_state(), torch.empty(-(-x.numel() // 4), dtype=torch.int64)
    _call("draw", drawn.dtype, [state, drawn], [len(drawn)])
    random.set_state(state)
    return drawn.view(torch.int16)[: x.numel()].view(x.shape)


@functools.cache
def _draws_as_torch() -> bool:
    """Tell whether the state of this torch's generator is as `mersenne.hpp` has it: both draw the same."""
    one, other = (torch.Generator().manual_seed(1) for _ in range(2))
    state, drawn = other.get_state(), torch.empty(1000, dtype=torch.int64)
    if one.device.type != "cpu" or len(state) != _STATE_BYTES:
        return False
    _call("draw", drawn.dtype, [state, drawn], [len(drawn)])
    wanted = torch.empty_like(drawn).random_(-(1 << 63), None, generator=one)
    return torch.equal(wanted, drawn) and torch.equal(one.get_state(), state)


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


def linear(
    x: Float[Tensor, "batch below"], weight: Float[Tensor, "above below"], bias: Float[Tensor, " above"]
) -> Float[Tensor, "batch above"]:
    """Return x·Wᵀ + b; where many of x's numbers are zero, without their products."""
    y, by_columns = x.new_empty(len(x), len(weight)), laid_by_columns(weight)
    laid = weight.t() if by_columns else weight
    sizes = [*x.shape, len(weight), by_columns]
    if x.dtype == torch.bfloat16 or not _call("forward", x.dtype, [y, x, laid, bias], sizes):
        torch.addmm(bias, x, weight.t(), out=y)
    return y


def laid_by_columns(weight: Float[Tensor, "above below"]) -> bool:
    """Tell whether a weight lies in memory column by column: what a unit below has to do with all above, together."""
    return not weight.is_contiguous() and weight.t().is_contiguous()


def losses(
    logits: Float[Tensor, " both"], half: int, minimax: float, other: float, smallest: float
) -> tuple[Float[Tensor, " both"], Float[Tensor, " fakes"], Float[Tensor, " measures"]]:
    """Return the gradient of D's loss by the logits, what turns that by a fake into G's, and the MEASURES.

    In closed form what `released_step` finds by autograd: d log σ(l)/dl = σ(−l). The gradient by a fake is no smaller
    than `smallest`/half.
    """
    seed, ratio, measures = torch.empty_like(logits), logits.new_empty(len(logits) - half), torch.empty(5)
    _call("losses", logits.dtype, [seed, ratio, measures, logits], [half], minimax, other, 2 * smallest)
    return seed, ratio, measures


def slope(
    gradient: Float[Tensor, "*shape"], h: Float[Tensor, "*shape"], activation: Activation
) -> Float[Tensor, "*shape"]:
    """Turn the gradient by h, what units made, into that by what they took, in its place."""
    if activation != "linear":
        _call("slope", h.dtype, [gradient, h], [h.numel(), activation == "sigmoid"])
    return gradient


def backward(
    moved: Moved,
    of_bias: Float[Tensor, " above"],
    gradient: Float[Tensor, "batch units"],
    piece: Int[Tensor, "batch units"] | None,
    x: Float[Tensor, "batch below"],
    skipped: int | None,
) -> Float[Tensor, "rest below"] | None:
    """Take v ← μ·v + gᵀ·x and W ← W − lr·v for the weight of a linear map, and the former for its bias.

    Of maxout units g is that of the piece of each that was the largest. Where many of g's numbers are zero, or many of
    x's and W lies by columns, their products are not made. Return the gradient by x, g·W with W as it was, of all rows
    but the first `skipped`; None: of none. By columns it may be zero where x is: rectifiers below pass nothing there.
    """
    if piece is None and moved.coarse is not None:
        return _dense(moved, of_bias, gradient, x, skipped)
    (rows, below), units, exact = x.shape, gradient.shape[1], moved.weight.dtype
    of_x = None if skipped is None else moved.weight.new_empty(rows - skipped, below)
    weight, velocity, coarse, rate, momentum = moved
    if by_columns := laid_by_columns(weight):
        weight, velocity = weight.t(), velocity.t()
    given = [weight, velocity, coarse, of_bias, of_x, gradient.to(exact).contiguous(), piece, x.to(exact)]
    sizes = [rows, below, units, len(moved.weight) // units, skipped or 0, by_columns]
    if _call("backward", exact, given, sizes, rate, momentum):
        return of_x
    return _dense(moved, of_bias, gradient, x, skipped)


def _dense(
    moved: Moved,
    of_bias: Float[Tensor, " above"],
    gradient: Float[Tensor, "batch above"],
    x: Float[Tensor, "batch below"],
    skipped: int | None,
) -> Float[Tensor, "rest below"] | None:
    """Take the same step by products of all numbers; gᵀ·x is added to v while it is made.

    In bfloat16 it cannot be: torch has no product on processors that starts in bfloat16 and ends in float32.
    """
    weight, velocity, coarse, rate, momentum = moved
    of_x = None if skipped is None else gradient[skipped:] @ (weight if coarse is None else coarse)
    if coarse is not None:
        _call("dense", weight.dtype, [weight, velocity, coarse, gradient.t() @ x], [weight.numel()], rate, momentum)
    else:
        torch.addmm(velocity, gradient.t(), x, beta=momentum, out=velocity)
        weight.add_(velocity, alpha=-rate)
    of_bias.mul_(momentum).add_(gradient.sum(0))
    return of_x


def _call(name: str, dtype: torch.dtype, tensors: Sequence[Tensor | None], sizes: Sequence[int], *rates: float) -> bool:
    """Call a function of the library; return what it tells."""
    if not all(tensor is None or tensor.is_contiguous() for tensor in tensors):
        raise ValueError(f"{name}: a tensor is not contiguous")
    pointers = [None if tensor is None else tensor.data_ptr() for tensor in tensors]
    return _function(name, dtype, len(pointers), len(rates), len(sizes))(*pointers, *rates, *sizes) or False


@functools.cache
def _function(name: str, dtype: torch.dtype, pointers: int, rates: int, sizes: int) -> Callable[..., bool | None]:
    """Return a function of the library for numbers of a type, and tell ctypes what it takes."""
    function = getattr(_library(), f"{name}_{str(dtype).removeprefix('torch.')}")
    real = ctypes.c_double if dtype == torch.float64 else ctypes.c_float
    function.argtypes = [*[ctypes.c_void_p] * pointers, *[real] * rates, *[ctypes.c_int64] * sizes]
    function.restype = ctypes.c_bool if name in _TELLING else None
    made: Callable[..., bool | None] = function
    return made
