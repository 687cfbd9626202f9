"""The choice of a Parzen window's bandwidth by the likelihood of validation points."""

import math
from collections.abc import Callable, Iterable

import numpy as np
import torch
from jaxtyping import Float64
from scipy.optimize import minimize_scalar
from torch import Tensor

from advnets.errors import NotMeasurable
from advnets.evaluation import shares
from advnets.evaluation.kernels import Doubles, Tile, log_sums, normalise, tiles
from advnets.evaluation.progress import Report

LEGACY = np.logspace(-1, 0, 10)
"""The grid of the paper's script: .1, .129, .167, .215, … 1."""

_RATIO = 4 / 3  # between neighbours of the coarse grid
_PRECISION = 1e-4  # of the refined bandwidth's logarithm
_KEPT = 2**25  # squares that a search may keep: 256 MiB


class Search:
    """Mean validation likelihood as a function of the bandwidth; keeps the squared distances where they are few.

    Where several processes share the work, each has distances of its own points, and the first decides.
    """

    def __init__(
        self,
        blocks: Callable[[], Iterable[Tensor]],
        points: Float64[Tensor, "n d"],
        n_centres: int,
        *,
        leave_out: bool,
        report: Report,
    ) -> None:
        mine = shares.split(len(points), report=report)
        own = points[mine.own]

        def walk() -> Iterable[Tile]:
            return tiles(blocks(), own, n_centres, leave_out=leave_out, place=mine.own.start, report=mine.report)

        self._own, self._mine, self._n = own, mine, n_centres - leave_out
        kept = list(walk()) if len(own) * n_centres <= _KEPT else None
        self._tiles: Callable[[], Iterable[Tile]] = walk if kept is None else lambda: kept

    def scores(self, bandwidths: Doubles) -> Doubles:
        """Mean log-likelihood of the validation points in nats, for every bandwidth, in one pass over distances."""
        n, d = self._own.shape
        own = normalise(log_sums(self._tiles(), n, bandwidths, self._own.device), bandwidths, self._n, d)
        every = self._mine.stack(np.ascontiguousarray(own.T))
        return shares.once(lambda: np.asarray(np.ascontiguousarray(every.T).mean(1), np.float64))

    def coarse(self) -> Doubles:
        """A grid from a tenth of the typical nearest distance to ten times the typical distance, per √dimension.

        At the best bandwidth of N centres in many dimensions σ² is about the nearest squared distance over d.
        """
        nearest = torch.full((len(self._own),), math.inf, dtype=torch.float64, device=self._own.device)
        total = torch.zeros_like(nearest)
        for rows, squares in self._tiles():
            nearest[rows] = torch.minimum(nearest[rows], squares.amin(1))
            total[rows] += squares.masked_fill(squares.isinf(), 0.0).sum(1)
        every = self._mine.stack(torch.stack([nearest, total / self._n], 1).cpu().numpy())
        return shares.once(lambda: _grid(every[:, 0], every[:, 1], self._own.shape[1]))

    def refine(self, low: float, middle: float, high: float) -> float:
        """Golden section in log σ within a bracket whose middle is the best."""
        found = minimize_scalar(
            lambda log_width: -float(self.scores(np.exp([log_width]))[0]),
            bracket=tuple(np.log([low, middle, high])),
            method="golden",
            options={"xtol": _PRECISION},
        )
        return math.exp(float(found.x))


def _grid(nearest: Doubles, mean: Doubles, d: int) -> Doubles:
    """Make the coarse grid of nearest and mean squared distances from each point to the centres."""
    if not mean.any():
        raise NotMeasurable("all samples and validation points are one point, around which no density is defined")
    positive = nearest[nearest > 0]
    low = math.exp(float(np.log(positive).mean())) if len(positive) else float(mean.mean()) * 1e-6
    low, high = 0.1 * math.sqrt(low / d), 10 * math.sqrt(float(mean.mean()) / d)
    return np.geomspace(low, high, 1 + math.ceil(math.log(high / low) / math.log(_RATIO)))


def best_inside(bandwidths: Doubles, scores: Doubles, name: str) -> int:
    """Index of the best bandwidth; raises NotMeasurable where that is the first or the last of its grid."""
    best = int(scores.argmax())
    if 0 < best < len(bandwidths) - 1 or len(bandwidths) == 1:
        return best
    end, beyond = ("smallest", "smaller") if best == 0 else ("largest", "larger")
    fix = "take the fine grid, or bandwidths that reach further"
    if name == "fine":
        fix = "look for validation points that are also centres, and for centres that are all alike"
    raise NotMeasurable(
        f"the best bandwidth of the {name} grid is its {end}, {bandwidths[best]:.4g}: a {beyond} one may be better, so "
        f"this is no maximum; {fix}"
    )
