import numpy as np
import pytest

from advnets.errors import NotMeasurable
from advnets.evaluation.mixing import autocorrelation, mixing


def walk(coefficient: float, *, chains=40, steps=4000, size=3, seed=0) -> np.ndarray:
    """Stationary autoregressions, x_t = a·x_{t−1} + noise, whose τ is (1 + a)/(1 − a)."""
    random = np.random.default_rng(seed)
    x = np.empty((chains, steps, size), np.float32)
    state = random.standard_normal((chains, size)) / (1 - coefficient**2) ** 0.5
    for t in range(steps):
        x[:, t] = state
        state = coefficient * state + random.standard_normal((chains, size))
    return x


def test_correlations_are_those_of_the_definition():
    x = np.random.default_rng(0).random((3, 7, 2, 2)).astype(np.float32)
    rows = x.reshape(3, 7, 4) - x.reshape(21, 4).mean(0)
    direct = [np.mean([rows[c, t] @ rows[c, t + s] for c in range(3) for t in range(7 - s)]) for s in range(7)]
    assert autocorrelation(x) == pytest.approx(np.array(direct) / direct[0], abs=1e-6)


@pytest.mark.parametrize("coefficient", [0.0, 0.8, 0.95])
def test_the_time_of_an_autoregression_is_found(coefficient):
    found = mixing(walk(coefficient))
    assert found.settled
    assert found.steps_per_sample == pytest.approx((1 + coefficient) / (1 - coefficient), rel=0.1)
    assert found.autocorrelation[:4] == pytest.approx([coefficient**s for s in range(4)], abs=0.03)


def test_the_mean_of_consecutive_states_varies_as_that_of_fewer_independent_ones():
    x = walk(0.9, chains=400, steps=1000)
    variance, of_means = x.var(), x.mean(1).var()
    assert mixing(x).steps_per_sample == pytest.approx(1000 * of_means / variance, rel=0.15)


def test_chains_that_stay_apart_never_settle():
    apart = np.random.default_rng(0).standard_normal((10, 1, 3)).astype(np.float32)
    found = mixing(apart + 0.1 * walk(0.0, chains=10, steps=500))
    assert not found.settled and found.steps_per_sample > 200
    assert not mixing(walk(0.99, steps=100)).settled


def test_a_single_state_has_no_time():
    with pytest.raises(NotMeasurable, match="one state"):
        mixing(np.full((3, 20, 4), 0.3, np.float32))
