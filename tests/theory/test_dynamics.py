import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from scipy.optimize import minimize

from advnets import theory
from advnets.theory import dynamics

DATA, START = np.array([0.02, 0.08, 0.2, 0.3, 0.4]), np.array([0.6, 0.2, 0.1, 0.05, 0.05])


def law(p):
    return theory.discrete(range(len(p)), p)


def test_criteria_are_those_of_discrete_laws_with_zeros_too():
    path = np.stack([START, DATA, [0, 0, 0.5, 0.5, 0]])
    expected = [float(theory.criterion(law(DATA), law(p))) for p in path]
    np.testing.assert_allclose(dynamics.criteria(DATA, path), expected, atol=1e-14)


def test_the_gradient_is_that_of_c_by_differences():
    def c(p):
        return dynamics.criteria(DATA, p[None])[0]

    h = 1e-6
    by_differences = [(c(START + h * e) - c(START - h * e)) / (2 * h) for e in np.eye(5)]
    np.testing.assert_allclose(dynamics.gradient(DATA, START), by_differences, atol=1e-8)


def test_an_entropic_step_of_size_one_goes_half_the_way():
    np.testing.assert_allclose(theory.entropic_step(DATA, START, 1.0), (DATA + START) / 2, atol=1e-15)


@pytest.mark.parametrize(
    ("step", "size"), [(theory.entropic_step, 1.0), (theory.entropic_step, 0.1), (theory.euclidean_step, 0.05)]
)
def test_p_g_reaches_the_data_and_c_never_rises(step, size):
    path = theory.flow(DATA, START, step, size, 600)
    assert path.shape == (601, 5)
    np.testing.assert_allclose(path.sum(1), 1, atol=1e-12)
    c = dynamics.criteria(DATA, path)
    assert np.diff(c).max() <= 1e-14
    np.testing.assert_allclose(path[-1], DATA, atol=1e-9)


@pytest.mark.parametrize("data", [[0.25] * 4, DATA, [0.1, 0.9], [0.05, 0.05, 0.9], [0.5, 0.3, 0.2], [0.3, 0.3, 0.4, 0]])
@pytest.mark.parametrize("step", [theory.entropic_step, theory.euclidean_step])
def test_p_data_is_stable_below_the_limit_of_the_step_size_and_not_above(step, data):
    data = np.array(data)
    limit = dynamics.ENTROPIC_LIMIT if step is theory.entropic_step else theory.euclidean_limit(data)
    near = (data + 1e-4) * (1 + 0.001 * (-1.0) ** np.arange(len(data)))
    near /= near.sum()
    for share, settles in ((0.95, True), (1.05, False)):
        end = theory.flow(data, near, step, share * limit, 600)[-1]
        assert np.isfinite(end).all()
        assert (np.abs(end - data).max() < 1e-9) == settles
        assert settles or np.abs(end - data).max() > 2 * np.abs(near - data).max()


def test_the_euclidean_limit_by_hand():
    assert theory.euclidean_limit(np.full(4, 0.25)) == pytest.approx(1)
    # Two points have one direction, (1, −1)/√2: λ = (1/(2p) + 1/(2q))/2 = 1/(4pq).
    assert theory.euclidean_limit(np.array([0.1, 0.9])) == pytest.approx(8 * 0.1 * 0.9)
    assert theory.euclidean_limit(np.array([0.1, 0.9, 0])) == pytest.approx(8 * 0.1 * 0.9)
    assert theory.euclidean_limit(np.array([1.0])) == np.inf  # it cannot move


@given(hnp.arrays(float, st.integers(2, 6), elements=st.floats(0.01, 1)))
def test_four_times_the_least_probability_is_a_safe_step_and_less_than_the_next_one_allows(weights):
    law = weights / weights.sum()
    least, next_one = np.sort(law)[:2]
    assert 4 * least * (1 - 1e-9) <= theory.euclidean_limit(law) <= 4 * next_one * (1 + 1e-9)


@given(hnp.arrays(float, st.integers(1, 6), elements=st.floats(-3, 3, allow_subnormal=False)))
def test_the_projection_is_the_nearest_law(v):
    found = theory.simplex_projection(v)
    assert found.min() >= 0 and found.sum() == pytest.approx(1)
    for other in (
        np.eye(len(v))[0],
        np.full(len(v), 1 / len(v)),
        *np.random.default_rng(0).dirichlet(np.ones(len(v)), 20),
    ):
        assert np.sum((found - v) ** 2) <= np.sum((other - v) ** 2) + 1e-12


def test_the_projection_agrees_with_an_optimiser():
    v = np.array([0.9, -0.3, 0.5, 0.45])
    constraint = {"type": "eq", "fun": lambda p: p.sum() - 1}
    best = minimize(lambda p: ((p - v) ** 2).sum(), np.full(4, 0.25), bounds=[(0, 1)] * 4, constraints=constraint)
    np.testing.assert_allclose(theory.simplex_projection(v), best.x, atol=1e-6)
