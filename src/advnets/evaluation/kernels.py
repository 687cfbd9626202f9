"""Sums of Gaussian kernels in log space, tile by tile: what Parzen windows and the choice of their bandwidth share."""

import math
from collections.abc import Iterable, Iterator

import numpy as np
import torch
from jaxtyping import Float64
from numpy.typing import NDArray
from torch import Tensor

from advnets.evaluation.distances import squared_distances
from advnets.evaluation.progress import Report, silent

Doubles = NDArray[np.float64]
Tile = tuple[slice, Tensor]
"""Rows of the points, and their squared distances to some of the centres."""

_ROWS, _CENTRES = 512, 2048  # points and centres of a tile: 8 MiB of squares
_FAR = -60.0  # exponents below this add nothing to a sum of at least 1
_FEW = 0.3  # of a slice: under this share of near pairs, a list of them is faster than all of them
_SLICE = 2**17  # squares at a time in exp: 1 MiB, which stays in the processor's cache


def tiles(
    blocks: Iterable[Tensor],
    points: Float64[Tensor, "n d"],
    n_centres: int,
    *,
    leave_out: bool = False,
    place: int = 0,
    report: Report = silent,
) -> Iterator[Tile]:
    """Yield squared distances of points to the centres in `blocks`, in float64 and on the points' device.

    With `leave_out` point i is centre `place` + i, and infinitely far from itself. Everything is shifted by the mean of
    the first block, so that data far from the origin lose no digits.
    """
    shift: Tensor | None = None
    first = 0
    for block in blocks:
        if shift is None:
            shift = block.to(points).mean(0)
            points = points - shift
        for piece in block.split(_CENTRES):
            centres = piece.to(points) - shift
            for start in range(0, len(points), _ROWS):
                squares = squared_distances(points[start : start + _ROWS], centres)
                if leave_out:
                    squares.diagonal(place + start - first).fill_(math.inf)
                yield slice(start, start + _ROWS), squares
            first += len(piece)
            report(first, n_centres)


def log_sums(tiles: Iterable[Tile], n: int, bandwidths: Doubles, device: torch.device) -> Float64[Tensor, "widths n"]:
    """Return log Σ_j exp(−d²_ij/2σ²) for every bandwidth σ and point i."""
    sums = LogSums(n, bandwidths, device)
    sums.add(tiles)
    return sums.value()


class LogSums:
    """Sums of kernels that grow with every tile.

    The largest term of a sum belongs to the nearest centre whatever σ is, so that all bandwidths share one shift.
    """

    def __init__(self, n: int, bandwidths: Doubles, device: torch.device) -> None:
        self._rates = torch.from_numpy(-0.5 / bandwidths**2).to(device)
        self._nearest = torch.full((n,), math.inf, dtype=torch.float64, device=device)
        self._sums = torch.zeros(len(bandwidths), n, dtype=torch.float64, device=device)

    def add(self, tiles: Iterable[Tile]) -> None:
        """Add the kernels of some tiles."""
        for rows, squares in tiles:
            before = self._nearest[rows].clone()
            now = torch.minimum(before, squares.amin(1))
            self._nearest[rows] = now
            reached = now.isfinite()
            self._sums[:, rows] *= torch.where(reached, (self._rates[:, None] * (before - now)).exp_(), 1.0)
            _add_terms(self._sums[:, rows], squares, torch.where(reached, now, 0.0), self._rates)

    def value(self) -> Float64[Tensor, "widths n"]:
        """Return log Σ_j exp(−d²_ij/2σ²) of all tiles so far; −∞ of none."""
        return self._sums.log() + self._nearest * self._rates[:, None]


def _add_terms(sums: Tensor, squares: Tensor, shift: Tensor, rates: Tensor) -> None:
    """Add Σ_j exp(rate·(d²_ij − shift_i)) to sums (rates, rows), a slice that fits the cache at a time."""
    step = len(squares) if squares.is_cuda else max(1, _SLICE // squares.shape[1])
    scratch = torch.empty(min(step, len(squares)), squares.shape[1], dtype=torch.float64, device=squares.device)
    slowest_first = rates.argsort(descending=True).tolist()
    for start in range(0, len(squares), step):
        rows = slice(start, start + step)
        excess = squares[rows] - shift[rows, None]
        _add_slice(sums[:, rows], excess, rates, slowest_first, scratch[: len(excess)])


def _add_slice(sums: Tensor, excess: Tensor, rates: Tensor, slowest_first: list[int], scratch: Tensor) -> None:
    """Add Σ_j exp(rate·excess_ij), widest kernels first: what is too far for one is too far for all that follow.

    Terms under e^−60 of a sum's largest, 1, are left out: ten million of them are 1e-19 of the sum.
    """
    for place, index in enumerate(slowest_first):
        near = excess < _FAR / rates[index]
        if int(near.sum()) < _FEW * near.numel():
            owners, columns = near.nonzero(as_tuple=True)
            _add_few(sums, excess[owners, columns], owners, rates, slowest_first[place:])
            return
        sums[index] += torch.mul(excess, rates[index], out=scratch).exp_().sum(1)


def _add_few(sums: Tensor, excess: Tensor, owners: Tensor, rates: Tensor, slowest_first: list[int]) -> None:
    """The same for terms in a list, each with the row that owns it."""
    for index in slowest_first:
        near = excess < _FAR / rates[index]
        excess, owners = excess[near], owners[near]
        sums[index].index_add_(0, owners, (excess * rates[index]).exp_())


def normalise(log: Tensor, bandwidths: Doubles, n_centres: int, dimension: int) -> Doubles:
    """Turn log sums (widths, n) into log-likelihoods: minus log N + d·log(σ√2π)."""
    constants = math.log(n_centres) + dimension * np.log(bandwidths * math.sqrt(2 * math.pi))
    return np.asarray(log.cpu().numpy() - constants[:, None], np.float64)
