"""Gaussian Parzen windows: the likelihood of data under kernels around samples, the measure of the paper's Table 1."""

from collections.abc import Iterable, Iterator, Sequence
from typing import Any, Literal, Self, TypeGuard

import numpy as np
import torch
from numpy.typing import ArrayLike, NDArray
from sklearn.base import BaseEstimator, DensityMixin
from sklearn.utils.validation import check_array, check_is_fitted, validate_data
from torch import Tensor

from advnets.errors import InputError
from advnets.evaluation import shares
from advnets.evaluation.bandwidth import LEGACY, Search, best_inside
from advnets.evaluation.kernels import Doubles, log_sums, normalise, tiles
from advnets.evaluation.progress import Report, silent

Grid = Literal["legacy", "fine"]
_ROWS = 2**16  # centres of an array at a time


class ParzenWindow(DensityMixin, BaseEstimator):  # type: ignore[misc]  # scikit-learn ships no types
    """A mixture of equal round Gaussians, one around every centre.

    p(x) = 1/N Σ_j N(x; c_j, σ²I), so log p(x) = log Σ_j exp(−‖x − c_j‖²/2σ²) − log N − d·log(σ√2π), in nats.

    bandwidth: σ > 0; "legacy", the best of logspace(−1, 0, 10); "fine", the best of a coarse grid on the data's own
    scale, refined by golden section; or numbers to choose from. Choices go by the mean likelihood of the first
    `validation_points` validation points, or, without validation data, of that many centres, each left out of its own
    density. device: "auto", "cpu" or "cuda". Everything is computed in float64.

    After `fit`: `bandwidth_`, `n_centres_`, `n_features_in_`, and, where the bandwidth was chosen, `bandwidths_` and
    `validation_scores_` (mean nats of each). Breuleux, Bengio and Vincent (2011); Goodfellow et al. (2014), section 5.
    """

    def __init__(
        self,
        bandwidth: float | Grid | Sequence[float] = "fine",
        *,
        validation_points: int = 1000,
        device: str = "auto",
    ) -> None:
        self.bandwidth = bandwidth
        self.validation_points = validation_points
        self.device = device

    def fit(
        self,
        X: ArrayLike | Iterable[ArrayLike],
        y: object = None,
        *,
        validation: ArrayLike | None = None,
        report: Report = silent,
    ) -> Self:
        """Take centres X (n, d), and choose the bandwidth.

        X may be an iterable of such arrays that starts anew with every loop: any number of centres then streams
        through bounded memory, given a bandwidth or validation data. Raises InputError for what is no bandwidth, and
        NotMeasurable where the best of a grid lies at its edge.
        """
        self._take(X)
        self._fixed = not isinstance(self.bandwidth, str) and np.ndim(self.bandwidth) == 0
        if self._fixed:
            self.bandwidth_ = float(_positive(self.bandwidth)[0])
            return self
        name = self.bandwidth if isinstance(self.bandwidth, str) else "given"
        if name not in ("legacy", "fine", "given"):
            raise InputError(f"bandwidth is {name!r}, allowed: a number above 0, legacy, fine, or several numbers")
        points, leave_out = self._validation(validation)
        search = Search(self._blocks, points, self.n_centres_, leave_out=leave_out, report=report)
        match name:
            case "legacy":
                self.bandwidths_ = LEGACY
            case "fine":
                self.bandwidths_ = search.coarse()
            case _:
                self.bandwidths_ = np.sort(_positive(self.bandwidth))
        self.validation_scores_ = search.scores(self.bandwidths_)
        best = best_inside(self.bandwidths_, self.validation_scores_, name)
        self.bandwidth_ = float(self.bandwidths_[best])
        if name == "fine":
            self.bandwidth_ = search.refine(*self.bandwidths_[best - 1 : best + 2].tolist())
        return self

    def score_samples(self, X: ArrayLike, *, report: Report = silent) -> Doubles:
        """Log-likelihood log p(x) of every row of X (n, d), in nats."""
        check_is_fitted(self, "bandwidth_")
        points = validate_data(self, X, reset=False, dtype=[np.float64, np.float32])
        (scores,) = self.log_likelihoods(points, [self.bandwidth_], report=report)
        return np.asarray(scores)

    def score(self, X: ArrayLike, y: object = None) -> float:
        """Mean log-likelihood of the rows of X in nats: a mean, like GaussianMixture's, not KernelDensity's sum."""
        return float(self.score_samples(X).mean())

    def log_likelihoods(
        self, X: NDArray[Any], bandwidths: Sequence[float] | Doubles, *, report: Report = silent
    ) -> Doubles:
        """Log-likelihoods (bandwidths, n) of the rows of X for several bandwidths, in one pass over the distances."""
        widths, mine = _positive(bandwidths), shares.split(len(X), report=report)
        points = self._points(X[mine.own])
        squares = tiles(self._blocks(), points, self.n_centres_, report=mine.report)
        own = normalise(log_sums(squares, len(points), widths, points.device), widths, self.n_centres_, X.shape[1])
        return np.ascontiguousarray(mine.stack(own.T).T)

    def _take(self, X: ArrayLike | Iterable[ArrayLike]) -> None:
        """Keep the centres, or count those of a stream."""
        self._stream = _is_stream(X)
        self._centres: Iterable[ArrayLike]
        if not _is_stream(X):
            self._centres = [validate_data(self, X, dtype=[np.float64, np.float32])]
            self.n_centres_ = sum(len(np.asarray(block)) for block in self._centres)
            return
        if iter(X) is X:
            raise InputError(
                "centres came as an iterator, which can be walked only once, allowed: an array (n, d), or an iterable "
                "of arrays that starts anew with every loop; give an object whose __iter__ yields them"
            )
        self._centres = X
        shapes = [_checked(block).shape for block in self._centres]
        widths = sorted({width for _, width in shapes})
        if len(widths) != 1:
            raise InputError(f"centres came in blocks of {widths} columns, allowed: one number; reshape them")
        self.n_centres_, self.n_features_in_ = sum(n for n, _ in shapes), widths[0]

    def _blocks(self) -> Iterator[Tensor]:
        for block in self._centres:
            rows = _checked(block)
            for start in range(0, len(rows), _ROWS):
                yield _tensor(rows[start : start + _ROWS])

    def _points(self, X: NDArray[Any]) -> Tensor:
        cuda = self.device == "cuda" or (self.device == "auto" and torch.cuda.is_available())
        return _tensor(X).to("cuda" if cuda else "cpu", torch.float64)

    def _validation(self, validation: ArrayLike | None) -> tuple[Tensor, bool]:
        """Points to choose by, and whether they are the centres themselves."""
        if validation is not None:
            points = _checked(validation)
            if points.shape[1] != self.n_features_in_:
                raise InputError(
                    f"validation data have {points.shape[1]} columns and the centres {self.n_features_in_}, allowed: "
                    "equally many; reshape them"
                )
            return self._points(points[: self.validation_points]), False
        if self._stream:
            raise InputError("streamed centres need a number as bandwidth, or validation data; give validation=X")
        if self.n_centres_ < 2:
            raise InputError("1 sample cannot choose a bandwidth, allowed: 2 or more samples, or validation=X")
        (centres,) = self._centres
        return self._points(np.asarray(centres)[: self.validation_points]), True


def _is_stream(X: object) -> TypeGuard[Iterable[ArrayLike]]:
    return isinstance(X, Iterable) and not isinstance(X, Sequence) and not hasattr(X, "shape")


def _checked(X: ArrayLike) -> NDArray[Any]:
    return np.asarray(check_array(X, dtype=[np.float64, np.float32]))


def _tensor(X: NDArray[Any]) -> Tensor:
    """View an array as a tensor; read-only ones, such as memory maps, are copied."""
    return torch.from_numpy(np.require(X, requirements=["C", "W"]))


def _positive(bandwidths: Any) -> Doubles:
    """Return bandwidths as an array; raises InputError for what is no positive number."""
    try:
        widths = np.asarray(bandwidths, np.float64).ravel()
    except (TypeError, ValueError):
        widths = np.zeros(0)
    if not len(widths) or not np.all(np.isfinite(widths) & (widths > 0)):
        raise InputError(f"bandwidth is {bandwidths!r}, allowed: a number above 0, legacy, fine, or several numbers")
    return widths
