"""Densities on the line and discrete laws, in log space; expectations under them with an estimate of their error."""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Self

import numpy as np
from jaxtyping import Float64
from numpy.typing import ArrayLike, NDArray
from scipy.special import logsumexp

from advnets.errors import InputError

Doubles = NDArray[np.float64]
Function = Callable[[Doubles], Doubles]

_POINTS, _WEIGHTS = np.polynomial.legendre.leggauss(32)
_PIECES = 8  # between two nodes
_SPREADS = (-38.0, -8.0, -3.0, 0.0, 3.0, 8.0, 38.0)  # in sd: beyond 38 a normal density is no number any more


class Integral(float):
    """A number with `error`, an estimate of how far quadrature is off; 0 for sums, which are exact but for rounding."""

    error: float

    def __new__(cls, value: float, error: float) -> Self:
        """Make a float that knows its error."""
        number = super().__new__(cls, value)
        number.error = error
        return number


@dataclass(frozen=True)
class Density:
    """A probability density on the line, or the probabilities of a discrete law.

    log: x (n,) → log p(x) (n,), −inf where p is 0. nodes: the atoms of a discrete law; otherwise where quadrature cuts
    the line, so that p is smooth in between and nought outside.
    """

    log: Function
    nodes: tuple[float, ...]
    is_discrete: bool = False

    def __call__(self, x: ArrayLike) -> Float64[np.ndarray, " n"]:
        """Return p(x)."""
        return np.exp(self.log(np.asarray(x, np.float64)))


def normal(mean: float = 0.0, sd: float = 1.0) -> Density:
    """N(mean, sd²)."""
    require(math.isfinite(mean), "mean", mean, "a finite number")
    require(0 < sd < math.inf, "sd", sd, "a finite number above 0")

    def log(x: Doubles) -> Doubles:
        return -(((x - mean) / sd) ** 2) / 2 - math.log(sd * math.sqrt(2 * math.pi))

    return Density(log, tuple(mean + sd * spread for spread in _SPREADS))


def uniform(low: float = 0.0, high: float = 1.0) -> Density:
    """1/(high − low) from low to high."""
    require(math.isfinite(low), "low", low, "a finite number")
    require(0 < high - low < math.inf, "high", high, f"a finite number above low, {low:g}")

    def log(x: Doubles) -> Doubles:
        return np.where((x >= low) & (x <= high), -math.log(high - low), -np.inf)

    return Density(log, (low, high))


def discrete(points: ArrayLike, probabilities: ArrayLike) -> Density:
    """P(x = points[i]) = probabilities[i]; raises InputError for probabilities that do not sum to 1."""
    x, p = np.asarray(points, np.float64).ravel(), np.asarray(probabilities, np.float64).ravel()
    require(bool(np.all(np.isfinite(x))), "points", "partly no numbers", "finite numbers")
    require(len(x) == len(p) == len(np.unique(x)), "points", len(x), "as many different ones as probabilities")
    require(bool(np.all(p >= 0)) and abs(p.sum() - 1) < 1e-9, "sum", p.sum(), "probabilities from 0 that sum to 1")
    order = np.argsort(x)
    x, p = x[order], p[order]

    def log(at: Doubles) -> Doubles:
        where = np.minimum(np.searchsorted(x, at), len(x) - 1)
        with np.errstate(divide="ignore"):
            return np.where(x[where] == at, np.log(p[where]), -np.inf)

    return Density(log, tuple(x.tolist()), is_discrete=True)


def grid(points: ArrayLike, density: ArrayLike) -> Density:
    """Turn a density tabulated on rising points into a discrete law on them, by the trapezoid rule, with mass 1."""
    x, p = np.asarray(points, np.float64), np.asarray(density, np.float64)
    rising = x.ndim == 1 and len(x) > 1 and bool(np.all(np.diff(x) > 0) and np.isfinite(x).all())
    require(rising, "points", f"of shape {x.shape}", "two or more rising finite numbers")
    allowed = p.shape == x.shape and bool(np.all((p >= 0) & (p < np.inf))) and p.max() > 0
    require(allowed, "density", f"of shape {p.shape}", "a finite number from 0 a point, not all of them 0")
    mass = np.gradient(x) * p
    mass[[0, -1]] /= 2
    return discrete(x, mass / mass.sum())


def mixture(weights: Sequence[float], parts: Sequence[Density]) -> Density:
    """Σ_k w_k p_k; raises InputError where discrete laws and densities are mixed."""
    w = np.asarray(weights, np.float64)
    require(len(w) == len(parts) and bool(np.all(w > 0)), "weights", list(weights), "one above 0 for each part")
    require(abs(w.sum() - 1) < 1e-12, "sum of weights", w.sum(), "1")
    require_one_kind(*parts)

    def log(x: Doubles) -> Doubles:
        return np.asarray(logsumexp(np.stack([part.log(x) for part in parts]), axis=0, b=w[:, None]))

    nodes = tuple(sorted({node for part in parts for node in part.nodes}))
    return Density(log, nodes, parts[0].is_discrete)


def expectation(f: Function, p: Density, *beside: Density) -> Integral:
    """E_p[f(x)] = ∫ p(x) f(x) dx, with 0·∞ = 0; infinite where f is and p is not 0.

    A sum for discrete laws. Otherwise Gauss-Legendre quadrature on pieces between the nodes of p and of the densities
    `beside`; its error is estimated as what halving every piece still changes: no bound, for a spike much narrower than
    a piece escapes both, unless a density beside has its nodes there.
    """
    if p.is_discrete:
        return Integral(float(_weighted(f, p, np.asarray(p.nodes)).sum()), 0.0)
    cuts = np.unique([*p.nodes, *(node for other in beside for node in other.nodes)])
    cuts = cuts[(cuts >= min(p.nodes)) & (cuts <= max(p.nodes))]
    coarse, fine = (_quadrature(f, p, cuts, pieces) for pieces in (_PIECES, 2 * _PIECES))
    return Integral(fine, abs(fine - coarse) if np.isfinite(fine) else 0.0)


def _quadrature(f: Function, p: Density, cuts: Doubles, pieces: int) -> float:
    """Sum over `pieces` equal pieces between any two cuts."""
    shares = np.linspace(0, 1, pieces + 1)
    edges = (cuts[:-1, None] + np.diff(cuts)[:, None] * shares).reshape(-1, pieces + 1)
    low, width = edges[:, :-1].ravel(), np.diff(edges).ravel()
    x = low[:, None] + width[:, None] * (_POINTS + 1) / 2
    return float((_weighted(f, p, x.ravel()).reshape(x.shape) * width[:, None] / 2 * _WEIGHTS).sum())


def _weighted(f: Function, p: Density, x: Doubles) -> Doubles:
    """p(x) f(x), and 0 where p(x) is 0."""
    weights = p(x)
    with np.errstate(invalid="ignore", over="ignore"):
        return np.where(weights > 0, weights * f(x), 0.0)


def require_one_kind(*laws: Density) -> None:
    """Raise InputError where discrete laws and densities are mixed: they have no ratio anywhere."""
    kinds = {law.is_discrete for law in laws}
    require(len(kinds) == 1, "the kind of law", "mixed", "either discrete laws or densities")


def require(condition: bool, name: str, value: object, allowed: str) -> None:
    """Raise InputError in the words of the project unless the condition holds."""
    if not condition:
        raise InputError(f"{name} is {value}, allowed: {allowed}; change it")
