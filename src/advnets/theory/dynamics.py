"""Proposition 2 in the space of distributions: p_g follows the gradient of C under the optimal D, and reaches p_data.

U(p_g) = C is convex in p_g, and by the envelope theorem its gradient is that of V at D*: ∂C/∂p_g(x) = log(1 − D*(x)).
Laws here are vectors of probabilities (n,) on n points.
"""

import math
from collections.abc import Callable

import numpy as np
from jaxtyping import Float64
from numpy.typing import NDArray
from scipy.special import rel_entr, softmax

Doubles = NDArray[np.float64]
Probabilities = Float64[np.ndarray, " n"]
Step = Callable[[Doubles, Doubles, float], Doubles]
"""(p_data, p_g, size) → the next p_g."""

ENTROPIC_LIMIT = 4.0  # above it p_data is no stable point of entropic steps


def gradient(p_data: Probabilities, p_g: Probabilities) -> Probabilities:
    """∂C/∂p_g(x) = log(1 − D*(x)) = log(p_g(x) / (p_data(x) + p_g(x))); a law of 0 counts as the least number above."""
    return np.asarray(_log(p_g) - _log(p_data + p_g))


def entropic_step(p_data: Probabilities, p_g: Probabilities, size: float) -> Probabilities:
    """p_g ← p_g·exp(−size·∂C/∂p_g) / Z: mirror descent with the entropy, which keeps p_g a law.

    C never rises for size ≤ 1 (relative to the entropy C is 1-smooth); size 1 gives (p_data + p_g)/2, half the way;
    p_data is a stable point for size < 4, since log(p_g/p_data) is multiplied by 1 − size/2 near it.
    """
    return np.asarray(softmax(_log(p_g) - size * gradient(p_data, p_g)))


def euclidean_step(p_data: Probabilities, p_g: Probabilities, size: float) -> Probabilities:
    """p_g ← the law nearest to p_g − size·∂C/∂p_g: projected gradient descent.

    p_data is a stable point below `euclidean_limit(p_data)`.
    """
    return simplex_projection(p_g - size * gradient(p_data, p_g))


def euclidean_limit(p_data: Probabilities) -> float:
    """2/λ: above this size p_data is no stable point of Euclidean steps, below it is.

    λ is the largest eigenvalue, among directions that sum to 0, of the second derivative of C at p_data,
    diag(1/(2·p_data)): near p_data a step multiplies p_g − p_data by 1 − size·λ along it. The limit is 4·min p_data
    where two points share the least probability, and more otherwise. Points of probability 0 count for nothing: the
    projection puts p_g to 0 there.
    """
    p = p_data[p_data > 0]
    tangent = np.eye(len(p)) - 1 / len(p)
    steepest = float(np.linalg.eigvalsh(tangent / (2 * p) @ tangent)[-1])
    return 2 / steepest if len(p) > 1 else math.inf


def simplex_projection(v: Probabilities) -> Probabilities:
    """The law nearest to v: max(v − t, 0) with the t that makes it sum to 1 (Held, Wolfe and Crowder 1974)."""
    falling = np.sort(v)[::-1]
    excess = (np.cumsum(falling) - 1) / np.arange(1, len(v) + 1)
    return np.asarray(np.maximum(v - excess[np.flatnonzero(falling > excess)[-1]], 0))


def flow(p_data: Probabilities, p_g: Probabilities, step: Step, size: float, steps: int) -> Float64[np.ndarray, "t n"]:
    """Follow p_g for `steps` steps of one size under the optimal D; the first row is p_g itself."""
    path = [np.asarray(p_g, np.float64)]
    for _ in range(steps):
        path.append(step(p_data, path[-1], size))
    return np.stack(path)


def criteria(p_data: Probabilities, path: Float64[np.ndarray, "t n"]) -> Float64[np.ndarray, " t"]:
    """C at every point of a path: Σ p_data log(p_data/(p_data + p_g)) + Σ p_g log(p_g/(p_data + p_g))."""
    return np.asarray((rel_entr(p_data, p_data + path) + rel_entr(path, p_data + path)).sum(1))


def _log(p: Doubles) -> Doubles:
    return np.log(np.maximum(p, np.finfo(np.float64).tiny))
