"""The optimal discriminator, the value of the game, and what C(G) measures: propositions 1 and theorem 1."""

import numpy as np
from numpy.typing import ArrayLike
from scipy.special import entr, expit, log_expit

from advnets.theory.densities import Density, Doubles, Function, Integral, expectation, mixture, require_one_kind


def optimal_discriminator(p_data: ArrayLike, p_g: ArrayLike) -> Doubles:
    """D*(x) = p_data(x) / (p_data(x) + p_g(x)) from both densities at the same points; NaN where both are 0.

    Proposition 1, equation 2, of the paper: D need not be defined outside both supports.
    """
    data, model = np.asarray(p_data, np.float64), np.asarray(p_g, np.float64)
    with np.errstate(invalid="ignore"):
        return np.asarray(data / (data + model))


def optimal_logit(p_data: Density, p_g: Density) -> Function:
    """Return x → log p_data(x) − log p_g(x), whose sigmoid is D*(x): exact also where D* is 0 or 1 in doubles.

    Raises InputError for a discrete law beside a density, here and in whatever rests on D*.
    """
    require_one_kind(p_data, p_g)

    def logit(x: Doubles) -> Doubles:
        with np.errstate(invalid="ignore"):
            return p_data.log(x) - p_g.log(x)

    return logit


def value(logit: Function, p_data: Density, p_g: Density) -> Integral:
    """V(D, G) = E_data[log D(x)] + E_g[log(1 − D(x))], equation 1, for D = σ(logit)."""
    real = expectation(lambda x: log_expit(logit(x)), p_data, p_g)
    fake = expectation(lambda x: log_expit(-logit(x)), p_g, p_data)
    return Integral(real + fake, real.error + fake.error)


def criterion(p_data: Density, p_g: Density) -> Integral:
    """C(G) = max_D V(D, G) = V(D*, G), equation 4."""
    return value(optimal_logit(p_data, p_g), p_data, p_g)


def conditional_log_likelihood(logit: Function, p_data: Density, p_g: Density) -> Integral:
    """E[log P(Y = y | x)] with P(Y = 1 | x) = σ(logit), Y = 1 for data, both labels equally often.

    Section 4.1: training D maximises it. It is V(D, G)/2.
    """
    both, true = mixture([0.5, 0.5], [p_data, p_g]), optimal_logit(p_data, p_g)

    def inner(x: Doubles) -> Doubles:
        share = expit(true(x))
        return _times(share, log_expit(logit(x))) + _times(1 - share, log_expit(-logit(x)))

    return expectation(inner, both)


def excess(logit: Function, p_data: Density, p_g: Density) -> Integral:
    """What D falls short of D*: C(G) − V(D, G) = 2·E_m[KL(Bernoulli(D*) ‖ Bernoulli(D))] ≥ 0, m = (p_data + p_g)/2.

    Proposition 1: a·log y + b·log(1 − y) is largest at y = a/(a + b) (equation 3).
    """
    both, true = mixture([0.5, 0.5], [p_data, p_g]), optimal_logit(p_data, p_g)

    def divergence(x: Doubles) -> Doubles:
        return 2 * (_relative(true(x), logit(x)) + _relative(-true(x), -logit(x)))

    return expectation(divergence, both)


def kullback_leibler(p: Density, q: Density) -> Integral:
    """KL(p ‖ q) = E_p[log p(x) − log q(x)] in nats; infinite where q is 0 and p is not."""
    require_one_kind(p, q)
    return expectation(lambda x: p.log(x) - q.log(x), p, q)


def jensen_shannon(p: Density, q: Density) -> Integral:
    """JSD(p ‖ q) = KL(p ‖ m)/2 + KL(q ‖ m)/2 with m = (p + q)/2, from 0 to log 2 nats (equation 6)."""
    middle = mixture([0.5, 0.5], [p, q])
    halves = [kullback_leibler(law, middle) for law in (p, q)]
    return Integral(sum(halves) / 2, sum(half.error for half in halves) / 2)


def total_variation(p: Density, q: Density) -> Integral:
    """TV(p, q) = ½ ∫ |p(x) − q(x)| dx = E_m|2D* − 1|, from 0 to 1; TV²/2 ≤ JSD ≤ TV·log 2 (Pinsker; Lin 1991)."""
    true = optimal_logit(p, q)
    return expectation(lambda x: np.abs(2 * expit(true(x)) - 1), mixture([0.5, 0.5], [p, q]))


def _relative(best: Doubles, other: Doubles) -> Doubles:
    """Return p log(p/q) of the probabilities p and q with these logits."""
    return -entr(expit(best)) - _times(expit(best), log_expit(other))


def _times(weight: Doubles, log: Doubles) -> Doubles:
    """Weight times log, 0 where the weight is 0."""
    with np.errstate(invalid="ignore"):
        return np.where(weight > 0, weight * log, 0.0)
