"""How fast Markov chains forget where they were: the autocorrelation of what they show, and steps a fresh sample."""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float, Float64
from numpy.typing import NDArray

from advnets.errors import NotMeasurable

_WINDOW = 5  # integrated times that the sum is taken over (Sokal 1997)


@dataclass(frozen=True)
class Mixing:
    """How many steps of a chain are worth one independent sample."""

    steps_per_sample: float
    """Integrated autocorrelation time τ, in steps; where `settled` is false, a bound that τ lies above."""
    settled: bool
    """Whether the chains are long enough for τ: ρ was summed up to 5 τ, within half their length."""
    chains: int
    """Chains that were watched."""
    steps: int
    """Consecutive states of each."""
    autocorrelation: tuple[float, ...]
    """ρ(0) = 1, ρ(1), …, over the first half of the steps."""


def autocorrelation(x: Float[NDArray[np.float32], "chains steps *shape"]) -> Float64[NDArray[np.float64], " steps"]:
    """Correlate states of chains with those s steps later, for s = 0, 1, …, steps − 1; all pixels count together.

    ρ(s) = C(s)/C(0), C(s) = mean over chains and t of (x_t − m)·(x_{t+s} − m), m the mean over all states of all
    chains. Chains that stay apart, each in a mode of its own, keep ρ high: a mean for each chain would hide that.
    Raises NotMeasurable where all states are one.
    """
    chains, steps = x.shape[:2]
    rows = x.reshape(chains, steps, -1)
    mean = rows.mean((0, 1), dtype=np.float64)
    total = np.zeros(steps)
    for one in rows:
        spectrum = np.fft.rfft(one - mean, 2 * steps, axis=0)
        total += np.fft.irfft((np.abs(spectrum) ** 2).sum(1), 2 * steps)[:steps]
    covariance = total / (chains * np.arange(steps, 0, -1))
    if not covariance[0] > 1e-12 * max(1.0, float(mean @ mean)):
        raise NotMeasurable("all chains show one state, and stay in it")
    result: NDArray[np.float64] = covariance / covariance[0]
    return result


def mixing(x: Float[NDArray[np.float32], "chains steps *shape"]) -> Mixing:
    """Estimate the integrated autocorrelation time of chains, τ = 1 + 2·Σ_{s=1}^{M} ρ(s), M the least with M ≥ 5 τ.

    The mean of N consecutive states of a stationary chain varies as that of N/τ independent ones. M may be at most half
    the steps of a chain; beyond that τ is only known to be above the largest sum so far. ρ as in `autocorrelation`,
    which raises. Sokal 1997, section 3.
    """
    rho = autocorrelation(x)[: max(1, x.shape[1] // 2)]
    times = 2 * np.cumsum(rho) - 1
    inside = np.flatnonzero(np.arange(len(rho)) >= _WINDOW * times)
    tau = times[inside[0]] if len(inside) else times.max()
    return Mixing(float(tau), bool(len(inside)), x.shape[0], x.shape[1], tuple(rho.tolist()))
