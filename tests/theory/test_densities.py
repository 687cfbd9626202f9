import numpy as np
import pytest
from scipy import stats

from advnets import theory
from advnets.errors import InputError

X = np.linspace(-9, 9, 20_001)
PARTS = [theory.normal(-1, 0.3), theory.normal(2, 1.2)]
LAWS = {
    "normal": (theory.normal(0.5, 1.3), stats.norm(0.5, 1.3).pdf(X)),
    "uniform": (theory.uniform(-1, 3), stats.uniform(-1, 4).pdf(X)),
    "mixture": (
        theory.mixture([0.2, 0.8], PARTS),
        0.2 * stats.norm(-1, 0.3).pdf(X) + 0.8 * stats.norm(2, 1.2).pdf(X),
    ),
}


@pytest.mark.parametrize("name", LAWS)
def test_densities_are_those_of_scipy_and_have_mass_one(name):
    law, expected = LAWS[name]
    np.testing.assert_allclose(law(X), expected, rtol=1e-12, atol=1e-300)
    mass = theory.expectation(np.ones_like, law)
    assert mass == pytest.approx(1, abs=1e-13) and mass.error < 1e-12


@pytest.mark.parametrize("name", LAWS)
def test_moments_are_sums_over_a_fine_grid(name):
    law, density = LAWS[name]
    for power in (1, 2, 3):
        by_hand = np.trapezoid(density * X**power, X)
        assert theory.expectation(lambda x, power=power: x**power, law) == pytest.approx(by_hand, abs=2e-3)
    assert theory.expectation(lambda x: x, theory.normal(3, 2)) == pytest.approx(3, abs=1e-13)


def test_the_error_covers_what_quadrature_misses():
    narrow = 1e-4
    found = theory.expectation(lambda x: np.exp(-((x - 0.123) ** 2) / (2 * narrow**2)), theory.uniform())
    assert abs(found - narrow * np.sqrt(2 * np.pi)) <= found.error
    assert found.error > 1e-8
    assert theory.expectation(lambda x: np.cos(x), theory.normal()).error < 1e-14


def test_the_error_is_an_estimate_that_a_narrow_spike_escapes():
    spike = theory.normal(0.123456, 1e-6)
    missed = theory.expectation(spike, theory.uniform())
    assert missed == 0 and missed.error == 0  # it is 1, and no bound would be 0
    assert theory.expectation(spike, theory.uniform(), spike) == pytest.approx(1, abs=1e-12)


def test_nodes_of_densities_beside_are_cut_at():
    step = theory.uniform(0, 1 / 3)
    assert theory.expectation(step, theory.uniform(0, 1), step) == pytest.approx(1, abs=1e-14)


def test_discrete_laws_are_sums():
    law = theory.discrete([3, 1, 2], [0.5, 0.3, 0.2])
    assert theory.expectation(lambda x: x**2, law) == pytest.approx(0.5 * 9 + 0.3 + 0.2 * 4, abs=1e-15)
    np.testing.assert_allclose(law([1, 2, 3, 2.5, 9]), [0.3, 0.2, 0.5, 0, 0], atol=1e-16)


def test_a_grid_becomes_a_discrete_law_with_the_same_moments():
    law = theory.grid(X, LAWS["mixture"][1])
    assert theory.expectation(lambda x: x, law) == pytest.approx(0.2 * -1 + 0.8 * 2, abs=1e-6)
    np.testing.assert_allclose(theory.grid([0, 1, 2], [1, 1, 1])([0, 1, 2]), [0.25, 0.5, 0.25])
    uneven = np.sort(np.random.default_rng(0).uniform(0, 1, 4000))
    assert theory.expectation(lambda x: x, theory.grid(uneven, 2 * uneven)) == pytest.approx(2 / 3, abs=1e-3)


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda: theory.normal(0, 0), "sd is 0, allowed: a finite number above 0"),
        (lambda: theory.uniform(1, 1), "high is 1, allowed: a finite number above low, 1"),
        (lambda: theory.normal(0, np.inf), "sd is inf, allowed: a finite number above 0"),
        (lambda: theory.normal(0, np.nan), "sd is nan"),
        (lambda: theory.normal(np.inf), "mean is inf, allowed: a finite number"),
        (lambda: theory.normal(np.nan), "mean is nan"),
        (lambda: theory.uniform(0, np.inf), "high is inf"),
        (lambda: theory.uniform(0, np.nan), "high is nan"),
        (lambda: theory.uniform(-np.inf, 0), "low is -inf, allowed: a finite number"),
        (lambda: theory.uniform(-1e308, 1e308), r"high is 1e\+308"),  # its width is no number
        (lambda: theory.discrete([1, 2], [0.5, 0.6]), "sum is 1.1"),
        (lambda: theory.discrete([1, 1], [0.5, 0.5]), "points is 2, allowed: as many different ones"),
        (lambda: theory.discrete([1, 2], [1.5, -0.5]), "probabilities from 0"),
        (lambda: theory.mixture([0.5, 0.6], PARTS), "sum of weights is 1.1"),
        (lambda: theory.mixture([1.0], PARTS), "weights is"),
        (lambda: theory.mixture([0.5, 0.5], [PARTS[0], theory.discrete([1], [1])]), "the kind of law is mixed"),
        (lambda: theory.discrete([1, np.nan], [0.5, 0.5]), "points is partly no numbers"),
        (lambda: theory.grid([1, 0], [1, 1]), "allowed: two or more rising finite numbers"),
        (lambda: theory.grid([], []), "points is of shape .* two or more rising finite numbers"),
        (lambda: theory.grid([1], [1]), "points is of shape .* two or more rising finite numbers"),
        (lambda: theory.grid([0, np.inf], [1, 1]), "points is"),
        (lambda: theory.grid([0, 1], [1, np.inf]), "density is"),
        (lambda: theory.grid([0, 1], [0, 0]), "density is"),
    ],
)
def test_what_is_no_law_is_refused_in_one_line(make, words):
    with pytest.raises(InputError, match=words) as refusal:
        make()
    assert "\n" not in str(refusal.value)
