import math

import numpy as np
import pytest

from advnets import theory

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


def test_minimax_gradients_fade_as_d_improves_and_the_others_do_not():
    data, model = theory.normal(0, 1), theory.normal(6, 1)
    assert theory.generator_gradients(data, model, -6.0, 0.0) == (0.0, 0.0)
    pulls = [theory.generator_gradients(data, model, -6.0, sharpness) for sharpness in (0.01, 0.1, 0.3, 1.0)]
    shares = [minimax / other for minimax, other in pulls]
    assert shares == sorted(shares, reverse=True)
    assert shares[0] > 0.8 and shares[-1] < 0.01
    others = [other for _, other in pulls]
    assert others == sorted(others)
    for (minimax, other), sharpness in zip(pulls, (0.01, 0.1, 0.3, 1.0), strict=True):
        assert minimax + other == pytest.approx(6 * sharpness)  # E[D] + E[1 − D] = 1


@pytest.mark.parametrize("theta", [(-2.0, 2.0), (2.0, -2.0), (1.0, 1.2)])
def test_the_curvature_is_that_of_c_by_second_differences(theta):
    theta, h = np.array(theta), 1e-3
    here = GAME.criterion(theta)
    trace = sum((GAME.criterion(theta + e) + GAME.criterion(theta - e) - 2 * here) / h**2 for e in h * np.eye(2))
    assert GAME.curvature(theta).sum() == pytest.approx(trace, rel=1e-3)
