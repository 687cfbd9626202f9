"""Nearest neighbours and balls among points: blocked matrix products that choose, exact distances that decide.

Products in float32 give squared distances |q|² + |p|² − 2 q·p with a known bound on their error. Only pairs that this
bound leaves in doubt are measured again, as |q − p| in float64 from the points themselves. So identical points are at
distance exactly 0, and results equal those of a search in float64, at the cost of one in float32.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from advnets.errors import InputError
from advnets.evaluation import shares
from advnets.evaluation.progress import Report, silent

Points = NDArray[np.floating[Any]]
Distances = NDArray[np.float64]
Numbers = NDArray[np.int64]

_BLOCK = 2**23  # entries of a block: 32 MB in float32, 64 MB in float64
_LARGEST = 1e30
_SPARE = 16  # candidates beyond k, and pairs in doubt, that a row may have before it is done again in float64


@dataclass(frozen=True)
class Neighbours:
    """The k nearest points of each query, nearest first."""

    distances: Distances
    """Euclidean distances, (n, k)."""
    indices: Numbers
    """Which points they are, (n, k); of points at the same distance the first comes first."""


def matrices(**sets: NDArray[Any]) -> list[Points]:
    """Return the named sets as matrices (n, d) of one d and one dtype: float32, or float64 where all of them are.

    So a copy stays a copy although one program has rounded it. Raises InputError for other shapes and dtypes, no
    points, and numbers that are not finite or whose powers might not be.
    """
    for name, x in sets.items():
        if x.ndim != 2 or not x.size or x.dtype not in (np.float32, np.float64):
            raise InputError(
                f"{name} has shape {x.shape} and dtype {x.dtype}, allowed are (n, d) of float32 or float64; "
                "flatten each sample to one row"
            )
        if not max(x.max(), -x.min()) < _LARGEST:  # also false for NaN
            raise InputError(
                f"{name} holds NaN or a number beyond {_LARGEST:g}, allowed are numbers within; remove or rescale them"
            )
    if len({x.shape[1] for x in sets.values()}) > 1:
        widths = ", ".join(f"{name} {x.shape[1]}" for name, x in sets.items())
        raise InputError(f"rows have different lengths ({widths}), allowed is one; compare samples of one kind")
    dtype = min((x.dtype for x in sets.values()), key=lambda dtype: dtype.itemsize)
    return [np.ascontiguousarray(x, dtype) for x in sets.values()]


def equal_matrices(real: NDArray[Any], fake: NDArray[Any]) -> list[Points]:
    """Return `matrices` of both sets; raises InputError where one holds more points than the other."""
    if real.ndim == fake.ndim == 2 and len(real) != len(fake):
        raise InputError(
            f"real holds {len(real)} points and fake {len(fake)}, allowed are equal numbers; drop the surplus"
        )
    return matrices(real=real, fake=fake)


def nearest(
    queries: Points, points: Points, k: int = 1, *, leave_one_out: bool = False, report: Report = silent
) -> Neighbours:
    """Find the k points nearest to each query, by Euclidean distance.

    With `leave_one_out` queries are the points themselves and none counts as its own neighbour; its duplicates do.
    Raises InputError where there are fewer than k points to choose from.
    """
    available = len(points) - leave_one_out
    if not 1 <= k <= available:
        raise InputError(f"k is {k}, allowed are 1 to {available}, the points to choose from; give more points")
    width = min(k + _SPARE, available)
    mine = shares.split(len(queries), report=report)
    found = Neighbours(np.empty((len(queries), k)), np.empty((len(queries), k), np.int64))

    def step(rows: Numbers, squares: Tensor, slack: Tensor, scale: float) -> NDArray[np.bool_]:
        if leave_one_out:
            squares[torch.arange(len(rows)), torch.from_numpy(rows)] = torch.inf
        candidates, columns = (part.numpy() for part in squares.topk(width, largest=False))
        exact = _distances(queries, points, np.repeat(rows, width), columns.ravel()).reshape(columns.shape)
        order = np.lexsort((columns, exact))[:, :k]
        found.indices[rows] = np.take_along_axis(columns, order, axis=1)
        found.distances[rows] = kept = np.take_along_axis(exact, order, axis=1)
        # Whatever is no candidate is at least as far as the last one, up to the error of the products.
        no_rival = (scale * kept[:, -1]) ** 2 < candidates[:, -1] - slack.numpy()
        sure: NDArray[np.bool_] = no_rival | (kept[:, -1] == 0) | (width == available)
        return sure

    _settle(step, queries, points, mine)
    return Neighbours(mine.stack(found.distances[mine.own]), mine.stack(found.indices[mine.own]))


def balls_with(queries: Points, points: Points, radii: Distances, *, report: Report = silent) -> Numbers:
    """Count for each query q the closed balls around the points p_j that hold it: #{j: |q − p_j| ≤ r_j}."""
    mine = shares.split(len(queries), report=report)
    counts = np.zeros(len(queries), np.int64)

    def step(rows: Numbers, squares: Tensor, slack: Tensor, scale: float) -> NDArray[np.bool_]:
        squares -= torch.from_numpy((scale * radii) ** 2).to(squares)
        inside, doubtful = squares < -slack[:, None], squares.abs() <= slack[:, None]
        counts[rows] = inside.sum(1).numpy()
        few = doubtful.sum(1) <= _SPARE
        sure = few.numpy() if squares.dtype == torch.float32 else np.ones(len(rows), np.bool_)
        at, columns = doubtful.numpy()[sure].nonzero()
        hit = _distances(queries, points, rows[sure][at], columns) <= radii[columns]
        np.add.at(counts, rows[sure][at[hit]], 1)
        return sure

    _settle(step, queries, points, mine)
    return mine.stack(counts[mine.own])


Step = Callable[[Numbers, Tensor, Tensor, float], NDArray[np.bool_]]


def _settle(step: Step, queries: Points, points: Points, mine: shares.Split) -> None:
    """Give blocks of squared distances to `step`, in float32, then in float64 the rows of which it is not sure.

    Those of this process's queries, where several share them.
    """
    rows, done = np.arange(len(queries))[mine.own], 0
    count = len(rows)
    for dtype in (torch.float32, torch.float64):
        left = []
        for block, squares, slack, scale in _blocks(queries, points, rows, dtype):
            sure = step(block, squares, slack, scale)
            left.append(block[~sure])
            done += int(sure.sum())
            mine.report(done, count)
        rows = np.concatenate(left)
        if not len(rows):
            return
    mine.report(count, count)


def _blocks(
    queries: Points, points: Points, rows: Numbers, dtype: torch.dtype
) -> Iterator[tuple[Numbers, Tensor, Tensor, float]]:
    """Yield query numbers, scale²·|q − p|² to all points, a bound on the error in each row, and the scale.

    Points are centred, so that no digits are lost to a common offset, and scaled by a power of 2 to at most 1.
    The bound: (d + 16)·ε·(|q| + max|p|)²; that of a sum of d products, with room for what happens before and after it.
    """
    centre = points.mean(axis=0, dtype=np.float64).astype(points.dtype)
    largest = max(float(np.abs(x - centre).max()) for x in (queries, points))
    scale = 2.0 ** float(np.clip(-np.frexp(largest)[1], -120, 120))  # float32 ends at 2^±126

    def ready(x: Points) -> Tensor:
        if dtype == torch.float64:
            x = x.astype(np.float64)  # before anything is rounded
        return torch.from_numpy((x - centre) * x.dtype.type(scale)).to(dtype)

    y = ready(points)
    y_squares = y.square().sum(1)
    for block in np.array_split(rows, -(-len(rows) * len(points) // _BLOCK)):
        x = ready(queries[block])
        x_squares = x.square().sum(1)
        squares = torch.addmm(y_squares, x, y.T, alpha=-2).add_(x_squares[:, None])
        bound = (x.shape[1] + 16) * torch.finfo(dtype).eps * (x_squares.sqrt() + y_squares.max().sqrt()).square()
        yield block, squares, bound, scale


def _distances(queries: Points, points: Points, rows: Numbers, columns: Numbers) -> Distances:
    """Return |q_i − p_j| in float64 for pairs (i, j), the same for the same pair wherever it is asked for."""
    out = np.empty(len(rows))
    size = max(1, _BLOCK // points.shape[1])
    for start in range(0, len(rows), size):
        chosen = slice(start, start + size)
        gaps = queries[rows[chosen]].astype(np.float64)
        gaps -= points[columns[chosen]]
        out[chosen] = np.sqrt(np.square(gaps, out=gaps).sum(axis=1))
    return out
