import json
import math
import runpy
from dataclasses import asdict
from pathlib import Path

import numpy as np
import pytest
from scipy.stats import chi2_contingency, entropy

from advnets.config import DataConfig
from advnets.data import load, toys
from advnets.errors import InputError, NotMeasurable
from advnets.evaluation import coverage
from advnets.evaluation.coverage import class_histogram, mode_coverage, ndb, precision_recall, stacked

MNIST_SETS = runpy.run_path(str(Path(__file__).parents[2] / "benchmarks" / "metrics.py"))["mnist_sets"]
N = 700


@pytest.fixture(scope="module")
def mnist(data_folder):
    return MNIST_SETS(N)


# ------------------------------------------------------------------------------------------------- precision and recall


def twin(real, fake, k):
    """The four numbers from whole distance matrices, as their papers write them."""

    def distances(x, y):
        return np.sqrt(np.square(x[:, None] - y[None]).sum(axis=2))

    def radii(x):
        return np.sort(distances(x, x), axis=1)[:, k]  # the point itself comes first

    held = distances(fake, real) <= radii(real)
    return {
        "precision": held.any(axis=1).mean(),
        "recall": (distances(real, fake) <= radii(fake)).any(axis=1).mean(),
        "density": held.sum() / (k * len(fake)),
        "coverage": held.any(axis=0).mean(),
    }


@pytest.mark.parametrize("k", [1, 5])
@pytest.mark.parametrize("repeat", [1, 4])
def test_precision_recall_equal_a_twin(k, repeat):
    g = np.random.default_rng(0)
    real, fake = g.normal(size=(80, 3)), np.repeat(g.normal(0.5, 0.6, size=(30, 3)), repeat, axis=0)
    fake[:10] = real[:10]
    found = asdict(precision_recall(real, fake, k))
    assert {name: found[name] for name in twin(real, fake, k)} == pytest.approx(twin(real, fake, k))
    assert (found["n_real"], found["n_fake"], found["k"]) == (80, 30 * repeat, k)


@pytest.mark.parametrize(("n", "m", "k"), [(40, 40, 5), (60, 20, 2)])
def test_density_and_coverage_of_one_law_are_as_expected(n, m, k):
    g = np.random.default_rng(0)
    found = [precision_recall(g.normal(size=(n, 2)), g.normal(size=(m, 2)), k) for _ in range(300)]
    for values, expected in (
        ([one.density for one in found], 1),
        ([one.coverage for one in found], found[0].expected_coverage),
    ):
        assert abs(np.mean(values) - expected) < 4 * np.std(values) / 300**0.5
    large = precision_recall(*g.normal(size=(2, 1000, 1)), k)
    assert large.expected_coverage == pytest.approx(1 - 2**-k, abs=0.01)


def test_swapping_the_sets_swaps_precision_and_recall():
    g = np.random.default_rng(0)
    real, fake = g.normal(size=(100, 2)), g.normal(0, 0.2, size=(100, 2))  # samples of a narrow part
    found, swapped = precision_recall(real, fake), precision_recall(fake, real)
    assert (found.precision, found.recall) == (swapped.recall, swapped.precision)
    assert found.precision > 0.9 > 0.5 > found.recall and found.coverage < 0.5 < found.expected_coverage


def test_precision_recall_tell_flawed_sets_from_held_out_ones(mnist):
    parts, sets = mnist
    found = {name: precision_recall(parts["real"], x) for name, x in sets.items()}
    for good in ("held-out", "training images"):
        one = found[good]
        assert min(one.precision, one.recall) > 0.9 and 0.85 < one.density < 1.15
        assert abs(one.coverage - one.expected_coverage) < 0.04
    assert found["10 images"].recall < 0.05 and found["10 images"].coverage < 0.1
    assert found["blurred"].precision > 0.95 and found["blurred"].recall < 0.2 and found["blurred"].density > 2
    assert found["noisy"].precision < 0.8 < found["noisy"].recall and found["noisy"].density < 0.5
    assert found["without 9"].coverage < found["held-out"].coverage - 0.02


def test_precision_recall_report_to_the_end():
    seen = []
    x = np.random.default_rng(0).normal(size=(2, 30, 2))
    precision_recall(*x, report=lambda *numbers: seen.append(numbers))
    assert seen == sorted(seen) and seen[-1] == (1000, 1000) and len(set(seen)) >= 5


@pytest.mark.parametrize(
    ("real", "fake", "k", "error", "words"),
    [
        (np.eye(5), np.eye(6, 5), 5, NotMeasurable, "no ball reaches 5 neighbours in a set of 5"),
        (np.eye(6, 5), np.eye(5), 5, NotMeasurable, "no ball reaches 5 neighbours in a set of 5"),
        (np.ones((9, 5)), np.eye(9, 5), 5, NotMeasurable, "every real point has 5 duplicates"),
        (np.eye(5), np.eye(5), 0, InputError, "k is 0, allowed"),
    ],
)
def test_precision_recall_say_why_there_is_no_value(real, fake, k, error, words):
    with pytest.raises(error, match=words):
        precision_recall(real, fake, k)


def test_a_constant_generator_has_precision_and_recall():
    real = np.random.default_rng(0).normal(size=(50, 2))
    found = precision_recall(real, np.zeros((50, 2)))
    assert found.precision in (0, 1) and found.recall == 0


# ---------------------------------------------------------------------------------------------------------------- bins


def lumps(counts, seed=0):
    """Tight groups of points around 0, 1, 2, ..., this many in each."""
    g = np.random.default_rng(seed)
    centres = np.repeat(np.arange(len(counts)), counts)[:, None]
    return g.permutation(centres + 0.01 * g.normal(size=(len(centres), 1)))


def test_bins_by_hand():
    # Four groups, four bins. z of (100, 100) in 400: 0; of (100, 80): 1.69; of (100, 60) and (100, 160): 3.54, −4.53.
    found = ndb(lumps([100] * 4), lumps([100, 80, 60, 160], seed=1), bins=4)
    assert found.different == 0.5
    p, q = np.full(4, 0.25), np.array([100, 80, 60, 160]) / 400
    mean = (p + q) / 2
    assert found.jensen_shannon == pytest.approx((entropy(p, mean) + entropy(q, mean)) / 2)
    assert (found.bins, found.n_train, found.n_fake) == (4, 400, 400)


def test_bins_know_how_many_points_there_are():
    fewer, more = (ndb(lumps([n] * 4), lumps([n // 2, 3 * n // 2, n, n], seed=1), bins=4) for n in (12, 60))
    assert fewer.different == 0 and more.different == 0.5  # z = 1.9 and 3.4 of the smaller
    assert fewer.jensen_shannon == pytest.approx(more.jensen_shannon)


def test_disjoint_sets_are_log_2_apart():
    train = lumps([50] * 4)
    fake = train + 0  # no bin of the training set is like another
    fake[:] = 1.0
    found = ndb(train, fake, bins=4)
    assert found.different == 1 and found.jensen_shannon > 0.3
    assert ndb(train, train, bins=4).jensen_shannon == 0 == ndb(train, train, bins=4).different


def test_bins_of_one_law_differ_at_the_level_of_the_test():
    g = np.random.default_rng(0)
    found = [ndb(*g.normal(size=(2, 1000, 2)), bins=20, seed=seed) for seed in range(10)]
    assert 0.02 < np.mean([one.different for one in found]) < 0.08  # 200 tests at .05
    expected = 19 / 8 * 2 / 1000
    assert np.mean([one.jensen_shannon for one in found]) == pytest.approx(expected, rel=0.25)


def test_bins_follow_their_seed():
    real, fake = np.random.default_rng(0).normal(size=(2, 500, 3))
    one, same, other = (ndb(real, fake, bins=20, seed=seed) for seed in (1, 1, 2))
    assert one == same != other


def test_bins_tell_flawed_sets_from_held_out_ones(mnist):
    parts, sets = mnist
    found = {name: ndb(parts["real"], x, bins=50) for name, x in sets.items()}
    chance = 49 / 8 * 2 / N
    for good in ("held-out", "training images"):
        assert found[good].different < 0.15 and found[good].jensen_shannon < 1.5 * chance
    assert found["10 images"].different > 0.6 and found["10 images"].jensen_shannon > 10 * chance
    # A missing digit is one bin in ten: it takes more images to show.
    train, others, labels = parts["train"][:5000], parts["train"][5000:10_000], parts["train_labels"][5000:10_000]
    whole, missing = (ndb(train, x, bins=50) for x in (others, others[labels != 9]))
    chance = 49 / 8 * 2 / 5000
    assert whole.jensen_shannon < 1.5 * chance < 3 * chance < missing.jensen_shannon
    assert whole.different < 0.12 < missing.different


@pytest.mark.parametrize(
    ("train", "fake", "bins", "error", "words"),
    [
        (
            lumps([20] * 4),
            lumps([4] * 4),
            4,
            NotMeasurable,
            "16 points are too few to compare 4 bins: give at least 20",
        ),
        (
            lumps([4] * 4),
            lumps([20] * 4),
            4,
            NotMeasurable,
            "16 points are too few to compare 4 bins: give at least 20",
        ),
        (np.ones((30, 1)), lumps([30]), 2, NotMeasurable, "fewer than 2 training points are different"),
        (lumps([20]), lumps([20]), 1, InputError, "bins is 1, allowed are 2 or more"),
    ],
)
def test_bins_say_why_there_is_no_value(train, fake, bins, error, words):
    with pytest.raises(error, match=words):
        ndb(train, fake, bins=bins)


# --------------------------------------------------------------------------------------------------------------- modes


@pytest.mark.parametrize(
    ("name", "share"), [("ring", 1 - math.exp(-4.5)), ("grid", 1 - math.exp(-4.5)), ("gaussian", 0.9973)]
)
def test_a_perfect_sampler_covers_all_modes(name, share):
    centres, sd = toys.modes(name)
    x = load(DataConfig(name=name)).train.x
    found = mode_coverage(x, centres, sd)
    assert found.covered == found.modes == len(centres)
    assert found.high_quality == pytest.approx(share, abs=5 * (share * (1 - share) / len(x)) ** 0.5)
    assert found.kl == pytest.approx((len(centres) - 1) / (2 * len(x)), abs=4 * len(centres) ** 0.5 / len(x))


def test_modes_by_hand():
    centres = np.array([[0.0, 0.0], [10.0, 0.0], [0.0, 10.0], [10.0, 10.0]])
    # Three good ones at the first mode, one at the second, one that is nearest to the third but no good.
    points = np.array([[0.0, 0.0], [0.0, 2.9], [3.0, 0.0], [10.0, 1.0], [0.0, 6.9]])
    found = mode_coverage(points, centres, 1.0)
    assert (found.covered, found.modes, found.n, found.high_quality) == (2, 4, 5, 0.8)
    assert found.kl == pytest.approx(0.6 * math.log(2.4) + 2 * 0.2 * math.log(0.8))


def test_modes_missed_are_counted():
    centres, sd = toys.modes("ring")
    one = np.repeat(centres[:1], 50, axis=0)
    found = mode_coverage(one, centres, sd)
    assert (found.covered, found.high_quality) == (1, 1) and found.kl == pytest.approx(math.log(8))
    nowhere = mode_coverage(one + 0.5, centres, sd)
    assert (nowhere.covered, nowhere.high_quality) == (0, 0) and math.isfinite(nowhere.kl)


def test_modes_say_why_there_is_no_value():
    centres, sd = toys.modes("grid")
    with pytest.raises(NotMeasurable, match="24 samples cannot cover 25 modes"):
        mode_coverage(centres[:24], centres, sd)
    with pytest.raises(InputError, match="sd is 0, allowed"):
        mode_coverage(centres, centres, 0)
    with pytest.raises(InputError, match="different lengths"):
        mode_coverage(centres[:, :1], centres, sd)


# ------------------------------------------------------------------------------------------------------------- classes


def test_classes_by_hand():
    labels = np.repeat([0, 1, 3], [20, 10, 10])
    found = class_histogram(labels, 4)
    assert found.shares == (0.5, 0.25, 0.0, 0.25) and (found.hit, found.classes, found.n) == (3, 4, 40)
    assert found.entropy == pytest.approx(1.5 * math.log(2)) and found.kl == pytest.approx(0.5 * math.log(2))
    assert found.p_value == pytest.approx(1.6974e-4, rel=1e-3)  # chi-square 20 of 3 degrees of freedom
    real = np.array([20, 10, 10, 10])
    against = class_histogram(labels, 4, real)
    assert against.kl == pytest.approx(0.5 * math.log(0.5 / 0.4) + 0.5 * math.log(0.25 / 0.2))
    assert against.p_value == pytest.approx(chi2_contingency([[20, 10, 0, 10], real]).pvalue)


@pytest.mark.parametrize("reference", [None, 400, 40_000])
def test_p_values_of_one_law_are_uniform(reference):
    g = np.random.default_rng(0)
    shares = np.full(10, 0.1) if reference is None else np.arange(1, 11) / 55
    values = []
    for _ in range(400):
        labels = g.choice(10, 400, p=shares)
        values.append(class_histogram(labels, 10, reference and g.multinomial(reference, shares)).p_value)
    assert 0.06 < np.mean(np.array(values) < 0.1) < 0.15 and 0.4 < np.mean(values) < 0.6


def test_class_histogram_finds_the_missing_digit(data_folder):
    test = load(DataConfig(name="mnist"), offline=True).test.labels
    order = np.random.default_rng(0).permutation(len(test))
    real, labels = np.bincount(test[order[5000:]]), test[order[:1000]]
    whole, missing = class_histogram(labels, 10, real), class_histogram(labels[labels != 9], 10, real)
    assert whole.hit == 10 and whole.p_value > 1e-3 and whole.kl < 0.02
    assert missing.hit == 9 and missing.p_value < 1e-9 and missing.kl == pytest.approx(-math.log(0.9), abs=0.03)
    assert missing.shares[9] == 0 and sum(missing.shares) == pytest.approx(1)


def test_stacked_digits():
    assert stacked(np.array([1, 0]), np.array([2, 0]), np.array([3, 7])).tolist() == [123, 7]
    rows = np.random.default_rng(0).integers(0, 10, size=(3, coverage.STACKED_SAMPLES))
    found = class_histogram(stacked(*rows), coverage.STACKED_CLASSES)
    assert found.hit == 1000 and found.kl == pytest.approx(999 / 52_000, rel=0.2) and found.p_value > 1e-3
    same = class_histogram(stacked(rows[0], rows[0], rows[0]), coverage.STACKED_CLASSES)  # a generator of grey digits
    assert same.hit == 10 and same.kl == pytest.approx(math.log(100), abs=0.01) and same.p_value < 1e-9


@pytest.mark.parametrize(
    ("labels", "reference", "error", "words"),
    [
        (np.arange(10), None, NotMeasurable, "10 samples and their reference are too few for 3 classes"),
        (np.zeros(99, int), np.array([4, 3, 3]), NotMeasurable, "too few for 3 classes, where 3 would be usual"),
        (np.zeros(99, int), np.array([90, 9, 0]), NotMeasurable, "class 2 has no real data"),
        (np.zeros(99, int), np.array([50, 50]), InputError, "counts of real data in 3 classes"),
        (np.zeros(99, int), np.array([0.5, 0.25, 0.25]), InputError, "dtype float64"),
        (np.zeros(99, int), np.array([50, 50, -1]), InputError, "counts of real data"),
        (np.full(99, 3), None, InputError, "labels reach from 3 to 3, allowed are 0 to 2"),
        (np.full(99, -1), None, InputError, "labels reach from -1"),
        (np.zeros(99), None, InputError, "float64, allowed are integers"),
        (np.zeros(0, int), None, InputError, "shape (0,)"),
    ],
)
def test_class_histogram_says_why_there_is_no_value(labels, reference, error, words):
    with pytest.raises(error) as caught:
        class_histogram(labels % 3 if len(labels) == 10 else labels, 3, reference)
    assert words in str(caught.value)


def test_results_are_plain_values():
    x = np.random.default_rng(0).normal(size=(2, 60, 2))
    for result in (
        precision_recall(*x),
        ndb(*x, bins=4),
        mode_coverage(x[0], x[1], 1),
        class_histogram(np.arange(50) % 5, 5, np.full(5, 20)),
    ):
        values = asdict(result)
        assert {type(value) for value in values.values()} <= {int, float, tuple}
        json.dumps(values)
