import math

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from sklearn.neighbors import KernelDensity
from sklearn.utils.estimator_checks import check_estimator

from advnets.errors import InputError, NotMeasurable
from advnets.evaluation import bandwidth, distances, kernels
from advnets.evaluation.bandwidth import LEGACY
from advnets.evaluation.parzen import ParzenWindow
from oracles import parzen_log_likelihoods


def normal(n, d, seed=0, scale=1.0):
    return scale * np.random.default_rng(seed).standard_normal((n, d))


@pytest.mark.parametrize("d", [1, 2, 64, 784])
@pytest.mark.parametrize("sigma", [0.05, 0.3, 4.0])
def test_equals_brute_force_and_scikit_learn(d, sigma):
    centres, x = normal(300, d), normal(70, d, seed=1)
    ours = ParzenWindow(sigma).fit(centres).score_samples(x)
    np.testing.assert_allclose(ours, parzen_log_likelihoods(centres, x, sigma), rtol=1e-9)
    # In one leaf scikit-learn sums all kernels; with its default leaf size it is wrong by up to 100 % in 64 dimensions.
    theirs = KernelDensity(bandwidth=sigma, leaf_size=len(centres)).fit(centres).score_samples(x)
    np.testing.assert_allclose(ours, theirs, rtol=1e-9)


def test_several_bandwidths_in_one_pass_equal_one_at_a_time():
    centres, x = normal(300, 12), normal(70, 12, seed=1)
    window = ParzenWindow(1.0).fit(centres)
    together = window.log_likelihoods(x, LEGACY)
    for row, sigma in zip(together, LEGACY, strict=True):
        np.testing.assert_array_equal(row, ParzenWindow(sigma).fit(centres).score_samples(x))


def test_does_not_depend_on_the_order_of_centres_nor_on_the_size_of_tiles(monkeypatch):
    centres, x = normal(500, 20), normal(90, 20, seed=1)
    expected = ParzenWindow(0.4).fit(centres).score_samples(x)
    shuffled = np.random.default_rng(2).permutation(centres)
    np.testing.assert_allclose(ParzenWindow(0.4).fit(shuffled).score_samples(x), expected, rtol=1e-12)
    for rows, columns, piece in ((1, 50, 1), (7, 13, 40), (64, 100, 2**17)):
        monkeypatch.setattr(kernels, "_ROWS", rows)
        monkeypatch.setattr(kernels, "_CENTRES", columns)
        monkeypatch.setattr(kernels, "_SLICE", piece)
        np.testing.assert_allclose(ParzenWindow(0.4).fit(centres).score_samples(x), expected, rtol=1e-12)


@pytest.mark.parametrize("d", [2, 64])
def test_does_not_depend_on_the_origin_nor_on_duplicated_centres(d):
    centres, x = normal(200, d), normal(50, d, seed=1)
    expected = ParzenWindow(0.5).fit(centres).score_samples(x)
    twice = np.concatenate([centres, centres])
    np.testing.assert_allclose(ParzenWindow(0.5).fit(twice).score_samples(x), expected, rtol=1e-12)
    away = ParzenWindow(0.5).fit(centres + 2.0**20).score_samples(x + 2.0**20)
    np.testing.assert_allclose(away, expected, rtol=1e-8)  # the shift itself rounds the data


@given(st.floats(1e-3, 1e3), st.integers(1, 30))
def test_scaling_data_and_bandwidth_by_a_subtracts_d_log_a(a, d):
    centres, x = normal(40, d), normal(9, d, seed=1)
    expected = ParzenWindow(0.3).fit(centres).score_samples(x) - d * math.log(a)
    scaled = ParzenWindow(0.3 * a).fit(a * centres).score_samples(a * x)
    np.testing.assert_allclose(scaled, expected, rtol=1e-9, atol=1e-9)


def test_the_fine_bandwidth_scales_with_the_data():
    centres, validation = normal(300, 10), normal(100, 10, seed=1)
    chosen = ParzenWindow().fit(centres, validation=validation).bandwidth_
    scaled = ParzenWindow().fit(1e3 * centres, validation=1e3 * validation).bandwidth_
    assert scaled == pytest.approx(1e3 * chosen, rel=1e-3)


def test_does_not_underflow_far_away_in_784_dimensions():
    centres, x = np.zeros((3, 784)), np.full((1, 784), 10.0)
    (score,) = ParzenWindow(0.1).fit(centres).score_samples(x)
    assert score == pytest.approx(-784 * 100 / 0.02 - 784 * math.log(0.1 * math.sqrt(2 * math.pi)), rel=1e-12)


@pytest.mark.parametrize("d", [3, 64])
def test_coinciding_and_nearly_coinciding_points_keep_their_digits(d):
    centres = 1e3 + normal(30, d)
    x = centres + 1e-6 * normal(30, d, seed=1)
    x[0] = centres[0]
    squares = distances.squared_distances(torch.from_numpy(x), torch.from_numpy(centres)).numpy()
    assert squares[0, 0] == 0
    exact = ((x[:, None, :] - centres[None]) ** 2).sum(-1)
    np.testing.assert_allclose(squares, exact, rtol=1e-9)
    ours = ParzenWindow(1e-6).fit(centres).score_samples(x)
    np.testing.assert_allclose(ours, parzen_log_likelihoods(centres, x, 1e-6), rtol=1e-9)


def test_a_stream_of_centres_equals_the_array():
    class Stream:
        def __iter__(self):
            yield centres[:70]
            yield centres[70:71]
            yield centres[71:]

    centres, x, validation = normal(200, 12), normal(50, 12, seed=1), normal(80, 12, seed=2)
    whole = ParzenWindow().fit(centres, validation=validation)
    streamed = ParzenWindow().fit(Stream(), validation=validation)
    assert streamed.n_centres_ == 200
    assert streamed.bandwidth_ == pytest.approx(whole.bandwidth_, rel=1e-9)
    np.testing.assert_allclose(streamed.score_samples(x), whole.score_samples(x), rtol=1e-9)
    with pytest.raises(InputError, match="walked only once"):
        ParzenWindow(1.0).fit(iter([centres]))
    with pytest.raises(InputError, match="validation"):
        ParzenWindow().fit(Stream())


def test_legacy_is_the_paper_s_grid_on_the_first_1000_validation_points():
    centres, validation = normal(200, 3), normal(1500, 3, seed=1)
    window = ParzenWindow("legacy").fit(centres, validation=validation)
    np.testing.assert_allclose(LEGACY[:4], [0.1, 0.129155, 0.166810, 0.215443], rtol=1e-5)
    by_hand = [parzen_log_likelihoods(centres, validation[:1000], sigma).mean() for sigma in LEGACY]
    np.testing.assert_allclose(window.validation_scores_, by_hand, rtol=1e-9)
    assert window.bandwidth_ == LEGACY[int(np.argmax(by_hand))]


@pytest.mark.parametrize("kept", [0, 2**25])
def test_fine_finds_the_maximum(monkeypatch, kept):
    monkeypatch.setattr(bandwidth, "_KEPT", kept)
    centres, validation = normal(400, 5), normal(200, 5, seed=1)
    window = ParzenWindow("fine").fit(centres, validation=validation)
    widths = np.geomspace(window.bandwidth_ / 3, window.bandwidth_ * 3, 2001)
    scores = ParzenWindow(1.0).fit(centres).log_likelihoods(validation, widths).mean(1)
    assert window.bandwidth_ == pytest.approx(widths[scores.argmax()], rel=2e-3)


def test_without_validation_data_each_centre_is_left_out_of_its_own_density():
    centres = normal(120, 4)
    window = ParzenWindow([0.2, 0.4, 0.8, 1.6]).fit(centres)
    by_hand = [
        np.mean([parzen_log_likelihoods(np.delete(centres, i, 0), centres[i : i + 1], s)[0] for i in range(120)])
        for s in (0.2, 0.4, 0.8, 1.6)
    ]
    np.testing.assert_allclose(window.validation_scores_, by_hand, rtol=1e-9)


def test_leaving_out_agrees_across_tiles(monkeypatch):
    centres = normal(120, 4)
    expected = ParzenWindow([0.2, 0.4, 0.8, 1.6], validation_points=90).fit(centres).validation_scores_
    monkeypatch.setattr(kernels, "_ROWS", 17)
    monkeypatch.setattr(kernels, "_CENTRES", 23)
    tiled = ParzenWindow([0.2, 0.4, 0.8, 1.6], validation_points=90).fit(centres).validation_scores_
    np.testing.assert_allclose(tiled, expected, rtol=1e-12)


@pytest.mark.parametrize(("scale", "end"), [(1e-3, "smallest, 0.1"), (1e2, "largest, 1")])
def test_the_edge_of_a_grid_is_an_error(scale, end):
    centres, validation = normal(200, 3, scale=scale), normal(100, 3, seed=1, scale=scale)
    with pytest.raises(NotMeasurable, match=f"legacy grid is its {end}.*take the fine grid"):
        ParzenWindow("legacy").fit(centres, validation=validation)


def test_validation_points_among_the_centres_are_found_out():
    centres = normal(200, 30)
    with pytest.raises(NotMeasurable, match="also centres"):
        ParzenWindow().fit(centres, validation=centres[:50])


def test_one_point_has_no_density():
    with pytest.raises(NotMeasurable, match="one point"):
        ParzenWindow().fit(np.ones((20, 5)), validation=np.ones((4, 5)))


@pytest.mark.parametrize("wrong", [0, -1.0, math.nan, math.inf, "silverman", [0.1, -0.2], None])
def test_what_is_no_bandwidth_is_refused(wrong):
    with pytest.raises(InputError, match="allowed: a number above 0, legacy, fine"):
        ParzenWindow(wrong).fit(normal(20, 3))


def test_a_density_integrates_to_one():
    centres = normal(20, 1)
    x = np.linspace(-12, 12, 20001)[:, None]
    density = np.exp(ParzenWindow(0.3).fit(centres).score_samples(x))
    assert np.trapezoid(density, x[:, 0]) == pytest.approx(1, abs=1e-9)


def test_float32_data_are_computed_in_float64():
    centres, x = normal(100, 50).astype(np.float32), normal(20, 50, seed=1).astype(np.float32)
    ours = ParzenWindow(0.3).fit(centres).score_samples(x)
    exact = parzen_log_likelihoods(centres.astype(np.float64), x.astype(np.float64), 0.3)
    np.testing.assert_allclose(ours, exact, rtol=1e-9)


def test_follows_scikit_learn_s_conventions():
    check_estimator(ParzenWindow(), on_skip=None)


@pytest.mark.parametrize(("n", "d"), [(700, 1), (700, 3), (2500, 64)])
def test_leaving_out_far_kernels_changes_nothing(n, d, monkeypatch):
    rng = np.random.default_rng(0)
    centres, points = rng.normal(0, 1, (n, d)), rng.normal(0, 3, (60, d))
    widths = np.logspace(-3, 2, 25)
    found = {}
    for few in (0.0, 0.3, 2.0):  # never, as it is, always
        monkeypatch.setattr(kernels, "_FEW", few)
        found[few] = ParzenWindow(1.0).fit(centres).log_likelihoods(points, widths)
    np.testing.assert_allclose(found[0.3], found[0.0], rtol=1e-13)
    np.testing.assert_allclose(found[2.0], found[0.0], rtol=1e-13)
    expected = [parzen_log_likelihoods(centres, points, width) for width in widths]
    np.testing.assert_allclose(found[0.3], expected, rtol=1e-9)
