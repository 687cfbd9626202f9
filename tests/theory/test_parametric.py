import math

import numpy as np
import pytest
from scipy.special import expit

from advnets import theory
from advnets.errors import InputError
from advnets.theory import dynamics

GAME = theory.TwoModes()
LOG4 = math.log(4)


@pytest.mark.parametrize("theta", [(-2.0, 2.0), (1.0, -0.5), (2.0, 2.0), (0.3, 2.5)])
def test_the_gradient_is_that_of_c_by_differences(theta):
    h = 1e-5
    for i in range(2):
        e = h * np.eye(2)[i]
        by_differences = (GAME.criterion(np.array(theta) + e) - GAME.criterion(np.array(theta) - e)) / (2 * h)
        assert GAME.gradient(np.array(theta))[i] == pytest.approx(by_differences, abs=1e-7)


def test_the_data_are_the_global_minimum():
    theta = np.array([-2.0, 2.0])
    assert GAME.criterion(theta) == pytest.approx(-LOG4, abs=1e-12)
    np.testing.assert_allclose(GAME.gradient(theta), 0, atol=1e-12)
    assert GAME.curvature(theta).min() > 0
    assert GAME.slope_to_data(theta) == pytest.approx(0, abs=1e-12)


def test_swapped_modes_are_a_minimum_that_p_g_space_does_not_have():
    theta = GAME.critical_point(np.array([2.0, -2.0]))
    np.testing.assert_allclose(GAME.gradient(theta), 0, atol=1e-12)
    assert GAME.curvature(theta).min() > 0.1
    assert GAME.criterion(theta) > -LOG4 + 0.1
    assert GAME.slope_to_data(theta) < -0.1


def test_a_collapsed_generator_lies_on_a_plateau():
    theta = GAME.critical_point(np.array([2.0, 2.0]))
    np.testing.assert_allclose(GAME.gradient(theta), 0, atol=1e-12)
    assert abs(GAME.curvature(theta)[0]) < 0.01
    assert GAME.criterion(theta) > -LOG4 + 0.2


def test_the_slope_to_the_data_is_that_of_c_on_the_way():
    theta, h = np.array([-1.5, 1.7]), 1e-7
    model, data = GAME.density(theta), GAME.data
    on_the_way = theory.mixture([1 - h, h], [model, data])
    by_differences = (theory.criterion(data, on_the_way) - theory.criterion(data, model)) / h
    assert GAME.slope_to_data(theta) == pytest.approx(by_differences, rel=1e-4)


def test_descent_ends_in_the_false_minimum_where_p_g_goes_on_to_the_data():
    start = np.array([1.0, -1.0])
    path = GAME.descend(start, 1.0, 40)
    assert path.shape == (41, 2)
    np.testing.assert_array_equal(path[0], start)
    np.testing.assert_allclose(path[1], start - GAME.gradient(start), atol=1e-15)
    np.testing.assert_allclose(path[-1], GAME.critical_point(np.array([2.0, -2.0])), atol=1e-9)
    c = np.array([GAME.criterion(theta) for theta in path])
    assert np.diff(c).max() <= 1e-14
    assert c[-1] + LOG4 == pytest.approx(0.1645, abs=1e-3)
    x = np.linspace(-6, 6, 481)
    data, model = (law(law.nodes) for law in (theory.grid(x, p(x)) for p in (GAME.data, GAME.density(start))))
    reached = theory.flow(data, model, theory.entropic_step, 0.25, 400)
    assert dynamics.criteria(data, reached)[0] == pytest.approx(c[0], abs=1e-9)
    assert dynamics.criteria(data, reached)[-1] == pytest.approx(-LOG4, abs=1e-13)


def test_descent_from_the_right_sides_reaches_the_data():
    np.testing.assert_allclose(GAME.descend(np.array([-1.0, 1.0]), 1.0, 40)[-1], [-2, 2], atol=1e-9)


@pytest.mark.parametrize("start", [(4.0, -4.0), (1.15, -1.16)])  # found: nothing; a place at infinity
def test_a_start_that_leads_to_no_critical_point_is_refused(start):
    with pytest.raises(InputError, match=r"start is .*allowed: a place near a critical point") as refusal:
        GAME.critical_point(np.array(start))
    assert "\n" not in str(refusal.value)


def test_a_search_that_does_not_succeed_is_refused(monkeypatch):
    monkeypatch.setattr(theory.TwoModes, "gradient", lambda game, theta: 1 + theta**2)  # nowhere 0, least at (0, 0)
    with pytest.raises(InputError, match="a place near a critical point"):
        GAME.critical_point(np.array([0.1, 0.1]))


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"weight": 0.5}, "weight is 0.5, allowed: a number from 0 to 1, and none of 0, 1/2 and 1"),
        ({"weight": 1.0}, "weight is 1"),
        ({"weight": math.nan}, "weight is nan"),
        ({"distance": 0.0}, "distance is 0"),
        ({"sd": -1.0}, "sd is -1"),
    ],
)
def test_what_are_no_two_modes_is_refused(settings, words):
    with pytest.raises(InputError, match=words):
        theory.TwoModes(**settings)


def test_the_minimax_gradient_fades_as_d_improves_and_the_other_grows():
    data, model = theory.normal(0, 1), theory.normal(6, 1)
    assert theory.generator_gradients(data, model, 0.0) == (0.0, 0.0)
    sharpness = (0.01, 0.03, 0.1, 0.3, 1.0)
    minimax, other = np.array([theory.generator_gradients(data, model, one) for one in sharpness]).T
    assert np.diff(minimax[2:]).max() < 0 and minimax[-1] < minimax.max() / 7
    assert np.diff(other).min() > 0
    assert minimax[0] / other[0] > 0.8 and minimax[-1] / other[-1] < 0.01
    np.testing.assert_allclose(minimax + other, 6 * np.array(sharpness), rtol=1e-7)  # E[D] + E[1 − D] = 1


def test_generator_gradients_are_means_over_a_fine_grid_for_any_two_densities():
    data, model = theory.normal(0, 1), theory.mixture([0.4, 0.6], [theory.normal(-1, 0.5), theory.normal(3, 2)])
    x = np.linspace(-15, 15, 200_001)
    for sharpness in (0.3, 1.0):
        d = expit(sharpness * theory.optimal_logit(data, model)(x))
        by_hand = [np.trapezoid(model(x) * np.abs(np.gradient(np.log(of), x)), x) for of in (1 - d, d)]
        np.testing.assert_allclose(theory.generator_gradients(data, model, sharpness), by_hand, rtol=1e-5)


def test_where_the_data_end_the_optimal_discriminator_has_no_gradient():
    assert np.isnan(theory.generator_gradients(theory.uniform(), theory.normal(), 1.0)).all()
    assert theory.generator_gradients(theory.normal(), theory.uniform(), 1.0)[0] > 0


def test_atoms_have_no_gradients():
    with pytest.raises(InputError, match="p_g is discrete, allowed: densities"):
        theory.generator_gradients(theory.discrete([0], [1]), theory.discrete([1], [1]), 1.0)


@pytest.mark.parametrize("theta", [(-2.0, 2.0), (2.0, -2.0), (1.0, 1.2)])
def test_the_curvature_is_that_of_c_by_second_differences(theta):
    theta, h = np.array(theta), 1e-3
    here = GAME.criterion(theta)
    trace = sum((GAME.criterion(theta + e) + GAME.criterion(theta - e) - 2 * here) / h**2 for e in h * np.eye(2))
    assert GAME.curvature(theta).sum() == pytest.approx(trace, rel=1e-3)
