import math

import numpy as np
import pytest
from scipy.spatial.distance import jensenshannon
from scipy.special import expit

from advnets import theory
from advnets.errors import InputError

PAIRS = [
    (theory.normal(0, 1), theory.normal(1.5, 0.7)),
    (theory.normal(0, 1), theory.mixture([0.4, 0.6], [theory.normal(-3, 0.2), theory.uniform(-1, 2)])),
    (theory.uniform(0, 2), theory.uniform(1, 4)),
    (theory.discrete([0, 1, 2], [0.1, 0.2, 0.7]), theory.discrete([0, 1, 3], [0.5, 0.2, 0.3])),
]
LOGITS = [lambda x: 0.7 * x - 0.2, np.zeros_like, lambda x: 5 * np.sin(9 * x)]
LOG4 = math.log(4)


def test_discriminator_by_hand():
    best = theory.optimal_discriminator([0.2, 0.0, 1.0, 0.0], [0.6, 0.5, 0.0, 0.0])
    np.testing.assert_allclose(best[:3], [0.25, 0, 1])
    assert np.isnan(best[3])  # outside both supports D need not be defined


def test_the_logit_is_that_of_the_discriminator_and_exact_where_it_saturates():
    data, model = theory.normal(0, 1), theory.normal(9, 1)
    x = np.linspace(-4, 12, 50)
    logit = theory.optimal_logit(data, model)(x)
    np.testing.assert_allclose(logit, -9 * x + 40.5, rtol=1e-12)
    np.testing.assert_allclose(expit(logit), theory.optimal_discriminator(data(x), model(x)), rtol=1e-9)


@pytest.mark.parametrize("pair", PAIRS)
def test_value_is_the_mean_over_draws(pair):
    if pair[0].is_discrete:
        weights = [np.array([law(node)[()] for node in law.nodes]) for law in pair]
        for logit in LOGITS:
            d = [expit(logit(np.array(law.nodes, float))) for law in pair]
            by_hand = (weights[0] * np.log(d[0])).sum() + (weights[1] * np.log(1 - d[1])).sum()
            assert theory.value(logit, *pair) == pytest.approx(by_hand, abs=1e-13)
        return
    x = np.linspace(-12, 12, 400_001)
    for logit in LOGITS:
        d = expit(logit(x))
        by_hand = np.trapezoid(pair[0](x) * np.log(d) + pair[1](x) * np.log(1 - d), x)
        assert theory.value(logit, *pair) == pytest.approx(by_hand, abs=1e-4)


@pytest.mark.parametrize("pair", PAIRS)
@pytest.mark.parametrize("logit", LOGITS)
def test_no_discriminator_beats_the_optimal_one_and_the_gap_is_a_divergence(pair, logit):
    gap = theory.criterion(*pair) - theory.value(logit, *pair)
    assert gap > 0
    assert gap == pytest.approx(theory.excess(logit, *pair), abs=1e-9)
    labels = theory.conditional_log_likelihood(logit, *pair)
    assert labels == pytest.approx(theory.value(logit, *pair) / 2, abs=1e-9)


@pytest.mark.parametrize("pair", PAIRS)
def test_the_criterion_is_a_jensen_shannon_divergence(pair):
    data, model = pair
    assert theory.criterion(data, model) == pytest.approx(2 * theory.jensen_shannon(data, model) - LOG4, abs=1e-9)
    assert theory.criterion(data, data) == pytest.approx(-LOG4, abs=1e-10)
    assert theory.jensen_shannon(data, model) == pytest.approx(theory.jensen_shannon(model, data), abs=1e-12)


def test_divergences_have_their_closed_forms():
    kl = theory.kullback_leibler(theory.normal(1, 2), theory.normal(-1, 3))
    assert kl == pytest.approx(math.log(3 / 2) + (4 + 4) / 18 - 0.5, abs=1e-13)
    assert theory.kullback_leibler(theory.normal(), theory.uniform(-1, 1)) == math.inf
    assert theory.jensen_shannon(theory.uniform(0, 1), theory.uniform(2, 3)) == pytest.approx(math.log(2), abs=1e-13)
    tv = theory.total_variation(theory.uniform(0, 2), theory.uniform(1, 4))
    assert tv == pytest.approx(2 / 3, abs=1e-13)
    rng = np.random.default_rng(0)
    p, q = rng.dirichlet(np.ones(9)), rng.dirichlet(np.ones(9))
    ours = theory.jensen_shannon(theory.discrete(range(9), p), theory.discrete(range(9), q))
    assert ours == pytest.approx(jensenshannon(p, q) ** 2, abs=1e-13)
    assert theory.total_variation(theory.discrete(range(9), p), theory.discrete(range(9), q)) == pytest.approx(
        np.abs(p - q).sum() / 2
    )


@pytest.mark.parametrize(
    "compare",
    [theory.criterion, theory.optimal_logit, theory.kullback_leibler, theory.jensen_shannon, theory.total_variation],
)
def test_an_atom_and_a_density_cannot_be_compared(compare):
    atom, density = theory.discrete([0], [1]), theory.normal()
    for pair in ((atom, density), (density, atom)):
        with pytest.raises(InputError, match="the kind of law is mixed, allowed: either discrete laws or densities"):
            compare(*pair)


def test_grids_give_what_the_densities_on_them_give():
    x = np.linspace(-10, 10, 4001)
    data, model = PAIRS[0]
    on_grid = theory.jensen_shannon(theory.grid(x, data(x)), theory.grid(x, model(x)))
    assert on_grid == pytest.approx(theory.jensen_shannon(data, model), abs=1e-9)
