import itertools
import runpy
import warnings
from dataclasses import asdict
from pathlib import Path

import numpy as np
import pytest
import torch
from scipy.linalg import sqrtm
from scipy.stats import special_ortho_group

from advnets.errors import InputError, NotMeasurable
from advnets.evaluation.two_sample import fid, kid, nearest_neighbour_test

MNIST_SETS = runpy.run_path(str(Path(__file__).parents[2] / "benchmarks" / "metrics.py"))["mnist_sets"]
N = 800  # images of a set: more than pixels


@pytest.fixture(scope="module")
def mnist(data_folder):
    return MNIST_SETS(N)


def gaussian(mean, deviations, n=50, seed=0):
    """Points whose sample mean and covariance are exactly these."""
    x = np.random.default_rng(seed).normal(size=(n, len(mean)))
    x -= x.mean(axis=0)
    return x @ np.linalg.inv(np.linalg.cholesky(np.cov(x.T))).T * deviations + mean


# ------------------------------------------------------------------------------------------------------------- Frechet


def test_fid_in_closed_form():
    # Commuting covariances: |m − m′|² + Σ (s − s′)² over the deviations.
    real, fake = gaussian([0, 0, 0], [1, 2, 3]), gaussian([1, 0, -2], [2, 2, 0.5], n=70, seed=1)
    found = fid(real, fake)
    assert found.value == pytest.approx(1 + 4 + 1 + 0 + 6.25, abs=1e-6)
    assert (found.n_real, found.n_fake, found.dimension) == (50, 70, 3)


def test_fid_equals_the_formula_with_a_matrix_root():
    g = np.random.default_rng(0)
    real, fake = g.normal(size=(60, 5)) @ g.normal(size=(5, 5)), g.gamma(2, size=(40, 5)) @ g.normal(size=(5, 5))
    s, t = np.cov(real.T), np.cov(fake.T)
    expected = ((real.mean(0) - fake.mean(0)) ** 2).sum() + np.trace(s + t - 2 * sqrtm(s @ t)).real
    assert fid(real, fake).value == pytest.approx(expected, rel=1e-9)
    assert fid(fake, real).value == pytest.approx(expected, rel=1e-9)
    turn = special_ortho_group.rvs(5, random_state=0)
    assert fid(1e6 + 3 * real @ turn, 1e6 + 3 * fake @ turn).value == pytest.approx(9 * expected, rel=1e-6)


def test_fid_tells_flawed_sets_from_held_out_ones(mnist):
    parts, sets = mnist
    value = {name: fid(parts["real"], x).value for name, x in sets.items()}
    zero = fid(parts["real"], parts["zero"]).value
    for good in ("held-out", "training images"):
        assert 0.75 * zero < value[good] < 1.25 * zero
    for flaw, factor in {"blurred": 2.5, "noisy": 2.5, "10 images": 10}.items():
        assert value[flaw] > factor * zero, flaw
    same = fid(parts["real"], parts["real"][::-1]).value
    assert 0 <= same < 1e-4


def test_fid_needs_more_points_than_coordinates():
    x = np.random.default_rng(0).normal(size=(8, 7))
    assert fid(x, x + 1).value == pytest.approx(7)
    for pair in ((x[:7], x), (x, x[:7])):
        with pytest.raises(NotMeasurable, match="7 dimensions cannot be fitted to 7 points: give at least 8"):
            fid(*pair)


def test_fid_of_constant_sets_is_the_distance():
    assert fid(np.zeros((5, 3)), np.full((5, 3), 2.0)).value == pytest.approx(12)


# -------------------------------------------------------------------------------------------------------------- kernel


def test_kid_equals_the_class_of_torchmetrics():
    from torchmetrics.image.kid import KernelInceptionDistance

    g = np.random.default_rng(0)
    real, fake = g.normal(size=(30, 4)), g.normal(1, 2, size=(30, 4))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # about memory, whenever it is made
        twin = KernelInceptionDistance(torch.nn.Identity(), subsets=1, subset_size=30)
    twin.update(torch.from_numpy(real), real=True)
    twin.update(torch.from_numpy(fake), real=False)
    found = kid(real, fake, subsets=2, subset_size=30)
    assert found.mean == pytest.approx(float(twin.compute()[0]), rel=1e-12) and found.deviation < 1e-12


def test_kid_by_hand():
    # d = 1: k(x, y) = (xy + 1)³. Within {0, 1}: 1; within {2, 3}: 7³; across: 1, 1, 3³, 4³.
    found = kid(np.array([[0.0], [1.0]]), np.array([[2.0], [3.0]]), subsets=1, subset_size=2)
    assert found.mean == pytest.approx(1 + 343 - 2 * (1 + 1 + 27 + 64) / 4)


def test_kid_is_unbiased():
    g = np.random.default_rng(0)
    values = [kid(*g.normal(size=(2, 10, 3)), subsets=1, subset_size=10).mean for _ in range(400)]
    assert abs(np.mean(values)) < 4 * np.std(values) / 20
    assert min(values) < 0 < max(values)


def test_kid_draws_by_its_seed_and_leaves_other_generators_alone():
    g = np.random.default_rng(0)
    real, fake = g.normal(size=(2, 50, 3))
    states = torch.get_rng_state(), np.random.get_state()[1].copy()
    seen = []
    one, same, other = (kid(real, fake, subsets=5, subset_size=20, seed=seed) for seed in (1, 1, 2))
    assert one == same != other and one.deviation > 0
    assert torch.equal(states[0], torch.get_rng_state()) and (states[1] == np.random.get_state()[1]).all()
    kid(real, fake, subsets=3, subset_size=20, report=lambda *numbers: seen.append(numbers))
    assert seen == [(1, 3), (2, 3), (3, 3)]


def test_kid_tells_flawed_sets_from_held_out_ones(mnist):
    parts, sets = mnist
    found = {name: kid(parts["real"], x, subsets=10, subset_size=450) for name, x in sets.items()}
    zero = found["held-out"].deviation
    assert abs(found["held-out"].mean) < 3 * zero and abs(found["training images"].mean) < 5 * zero
    assert found["noisy"].mean > 20 * zero and found["10 images"].mean > 50 * zero


@pytest.mark.parametrize(("subsets", "size"), [(0, 5), (5, 1)])
def test_kid_refuses_no_subsets(subsets, size):
    with pytest.raises(InputError, match="allowed"):
        kid(np.eye(5), np.eye(5), subsets=subsets, subset_size=size)


def test_kid_needs_as_many_points_as_a_subset():
    with pytest.raises(NotMeasurable, match="subsets of 6 points cannot be drawn from 5"):
        kid(np.eye(9), np.eye(5, 9), subset_size=6)


# --------------------------------------------------------------------------------------------------- nearest neighbour


def twin(real, fake):
    """Accuracies, one point at a time; a guess is the share of its own kind among all the nearest others."""
    points = np.concatenate([real, fake])
    kinds = np.repeat([0, 1], len(real))
    guesses = []
    for i, point in enumerate(points):
        distances = np.linalg.norm(points - point, axis=1)
        distances[i] = np.inf
        guesses.append((kinds[distances == distances.min()] == kinds[i]).mean())
    return np.mean(guesses), np.mean(guesses[: len(real)]), np.mean(guesses[len(real) :])


def shares(found):
    return found.accuracy, found.real_accuracy, found.fake_accuracy


@pytest.mark.parametrize("d", [1, 3])
def test_accuracies_equal_a_twin(d):
    g = np.random.default_rng(0)
    real, fake = g.normal(size=(60, d)), g.normal(0.7, 0.5, size=(60, d))
    assert shares(nearest_neighbour_test(real, fake)) == pytest.approx(twin(real, fake))
    fake[10:30], real[50:] = real[:20], fake[40:50]  # copies both ways,
    fake[35:40], real[40:45] = fake[34], real[39]  # repetitions, and a point that is all of it
    fake[0] = real[7] = real[3]
    found = nearest_neighbour_test(real, fake)
    assert shares(found) == pytest.approx(twin(real, fake))
    swapped = nearest_neighbour_test(fake, real)
    assert shares(swapped) == pytest.approx((found.accuracy, found.fake_accuracy, found.real_accuracy))
    assert found.accuracy == pytest.approx((found.real_accuracy + found.fake_accuracy) / 2)


def pools():
    g = np.random.default_rng(0)
    crowd = g.normal(size=(10, 2))
    hub = np.concatenate([np.zeros((1, 9)), np.eye(9)])  # nine points that are all nearest to one
    repeated = np.repeat(g.normal(size=(7, 1)), [3, 1, 1, 2, 1, 1, 1], axis=0)
    return {"crowd": crowd, "hub": hub, "repeated": repeated}


@pytest.mark.parametrize("name", pools())
def test_mean_and_error_are_those_over_all_choices_of_the_real_points(name):
    pool = pools()[name]
    accuracies = []
    for chosen in itertools.combinations(range(10), 5):
        real = np.isin(np.arange(10), chosen)
        found = nearest_neighbour_test(pool[real], pool[~real])
        accuracies.append(found.accuracy)
        z = abs(found.accuracy - found.expected) / found.standard_error
        assert found.p_value == pytest.approx(2 - 2 * torch.special.ndtr(torch.tensor(z, dtype=torch.float64)).item())
    assert np.mean(accuracies) == pytest.approx(found.expected) == pytest.approx(4 / 9)
    assert np.std(accuracies) == pytest.approx(found.standard_error)


def test_the_order_of_points_does_not_matter():
    g = np.random.default_rng(0)
    real, fake = g.integers(0, 3, size=(2, 40, 3)).astype(float)  # full of ties
    found = nearest_neighbour_test(real, fake)
    assert nearest_neighbour_test(g.permutation(real), g.permutation(fake)) == found


def test_ties_between_different_points_favour_neither_kind():
    corners = np.array(list(itertools.product([0.0, 1.0], repeat=7)))  # 7 neighbours at distance 1 for each
    z = []
    for seed in range(200):
        order = np.random.default_rng(seed).permutation(corners)
        found = nearest_neighbour_test(order[:64], order[64:])
        z.append((found.accuracy - found.expected) / found.standard_error)
    assert abs(np.mean(z)) < 4 / 200**0.5 and 0.85 < np.std(z) < 1.15


def test_it_tells_flawed_sets_from_held_out_ones(mnist):
    parts, sets = mnist
    found = {name: nearest_neighbour_test(parts["real"], x) for name, x in sets.items()}
    assert found["held-out"].p_value > 0.01 and abs(found["held-out"].accuracy - 0.5) < 0.04
    for flaw in ("10 images", "blurred", "noisy"):
        assert found[flaw].accuracy > 0.55 and found[flaw].p_value < 1e-4, flaw
    assert found["10 images"].fake_accuracy == 1.0
    # Blurred images keep to themselves and come between the real ones.
    assert found["blurred"].fake_accuracy > 0.95 and found["blurred"].real_accuracy < 0.3
    copied = nearest_neighbour_test(parts["train"][:N], sets["training images"])
    assert copied.accuracy == 0 and copied.p_value < 1e-4
    # Beside images not copied from, copies pass for data.
    assert abs(found["training images"].accuracy - 0.5) < 0.05


@pytest.mark.parametrize(
    ("real", "fake", "error", "words"),
    [
        (np.eye(6), np.eye(5, 6), InputError, "real holds 6 points and fake 5, allowed are equal numbers"),
        (np.eye(4), 2 * np.eye(4), NotMeasurable, "4 points of each kind"),
        (np.zeros((9, 2)), np.zeros((9, 2)), NotMeasurable, "1 different points"),
        (np.zeros((9, 2)), np.ones((9, 2)), NotMeasurable, "2 different points"),
    ],
)
def test_it_says_why_there_is_no_value(real, fake, error, words):
    with pytest.raises(error, match=words) as caught:
        nearest_neighbour_test(real, fake)
    assert isinstance(caught.value, NotMeasurable) == (error is NotMeasurable)


def test_results_are_plain_values():
    x = np.random.default_rng(0).normal(size=(9, 2))
    for result in (fid(x, x + 1), kid(x, x + 1, subsets=2, subset_size=4), nearest_neighbour_test(x, x + 1)):
        assert {type(value) for value in asdict(result).values()} <= {int, float}
