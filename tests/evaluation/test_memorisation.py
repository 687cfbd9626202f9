import json
import runpy
from dataclasses import asdict
from pathlib import Path

import numpy as np
import pytest

from advnets.errors import InputError, NotMeasurable
from advnets.evaluation.memorisation import duplicates, memorisation

MNIST_SETS = runpy.run_path(str(Path(__file__).parents[2] / "benchmarks" / "metrics.py"))["mnist_sets"]
N = 500
COPIES = 4000  # training images beside which copies are sought


@pytest.fixture(scope="module")
def mnist(data_folder):
    parts, sets = MNIST_SETS(N)
    return parts["train"][:COPIES], parts["real"], sets


# -------------------------------------------------------------------------------------------------- of training points


def test_equals_a_twin():
    g = np.random.default_rng(0)
    train, held_out, fake = g.normal(size=(60, 3)), g.normal(size=(200, 3)), g.normal(0, 0.9, size=(80, 3))
    fake[:7] = train[:7]
    fake[70:] = fake[60:70]  # repetitions count once
    found = memorisation(train, held_out, fake)

    def distances(x):
        return np.sort(np.linalg.norm(x[:, None] - train[None], axis=2), axis=1)[:, :2]

    near, apart = distances(fake[:70]), distances(held_out)
    limit = np.sort(apart[:, 0] / apart[:, 1])[1]  # second of 200: two are at most as much copied
    assert found.copied_share == (near[:, 0] / near[:, 1] < limit).mean()
    assert (found.copies, found.held_out_copies, found.n_fake) == (7, 0, 70)
    pairs = np.sign(apart[:, 0][None] - near[:, 0][:, None])
    assert found.nearer == pytest.approx((pairs > 0).mean() + (pairs == 0).mean() / 2)
    assert found.mean_distance == pytest.approx(near[:, 0].mean())
    assert found.held_out_distance == pytest.approx(apart[:, 0].mean())


def test_p_values_of_one_law_are_as_said():
    g = np.random.default_rng(0)
    found = [memorisation(*(g.normal(size=(n, 2)) for n in (50, 300, 200))) for _ in range(300)]
    for name in ("copied_p_value", "nearer_p_value"):
        values = np.array([getattr(one, name) for one in found])
        for level in (0.02, 0.1, 0.3):
            assert (values <= level).mean() < level + 4 * (level / 300) ** 0.5, name
    assert (np.array([one.nearer_p_value for one in found]) <= 0.1).mean() > 0.05
    assert np.mean([one.copied_share for one in found]) == pytest.approx(3 / 301, rel=0.25)
    assert np.mean([one.nearer for one in found]) == pytest.approx(0.5, abs=0.01)
    assert not any(one.memorised for one in found)


def test_held_out_images_are_not_flagged_and_copies_are(mnist):
    train, held_out, sets = mnist
    rest = memorisation(train, held_out, sets["held-out"])
    assert not rest.memorised and rest.copies == 0 and rest.copied_share < 0.03 and abs(rest.nearer - 0.5) < 0.1
    copies = memorisation(train, held_out, sets["training images"])
    assert copies.memorised and copies.copies == N and copies.copied_share == copies.nearer == 1
    assert copies.mean_distance == 0 and copies.nearer_p_value < 1e-9


def test_some_copies_and_rough_copies_are_flagged_too(mnist):
    train, held_out, sets = mnist
    some = sets["held-out"].copy()
    some[: N // 20] = train[: N // 20]
    found = memorisation(train, held_out, some)
    assert found.memorised and found.copies == N // 20 and found.copied_share < 0.1
    assert found.nearer_p_value > 1e-3  # a test of all distances does not show them
    rough = (train[:N] + np.random.default_rng(0).normal(0, 0.05, (N, 784))).astype(np.float32)
    found = memorisation(train, held_out, rough)
    assert found.memorised and found.copies == 0 and found.copied_share > 0.9
    repeated = memorisation(train, held_out, train[np.arange(N) % 10])
    assert repeated.memorised and repeated.copies == repeated.n_fake == 10


def test_flaws_other_than_copying_are_not_called_copying(mnist):
    train, held_out, sets = mnist
    for flaw in ("blurred", "noisy", "10 images"):
        assert not memorisation(train, held_out, sets[flaw]).memorised, flaw
    # Blurred images are nearer to all training images, so that the distance alone would call them copies.
    assert memorisation(train, held_out, sets["blurred"]).nearer_p_value < 1e-3


def test_swapping_training_and_held_out_shows(mnist):
    train, held_out, sets = mnist
    right = memorisation(train[:N], held_out, sets["training images"])
    wrong = memorisation(held_out, train[:N], sets["training images"])
    assert right.memorised and not wrong.memorised and wrong.copies == 0


def test_copies_in_the_data_are_usual():
    g = np.random.default_rng(0)
    train = g.normal(size=(200, 2))
    held_out, fake = (np.concatenate([train[:20], g.normal(size=(180, 2))]) for _ in range(2))
    found = memorisation(train, held_out, fake)
    assert not found.memorised and found.copies == found.held_out_copies == 20
    everything = memorisation(train, train, train)
    assert not everything.memorised and everything.nearer == 0.5 and everything.nearer_p_value == 1


@pytest.mark.parametrize(("n_train", "n_held_out"), [(1, 100), (2, 99)])
def test_memorisation_says_why_there_is_no_value(n_train, n_held_out):
    with pytest.raises(NotMeasurable, match=f"{n_held_out} held-out points and {n_train} training points"):
        memorisation(*(np.ones((n, 2)) for n in (n_train, n_held_out, 5)))


# -------------------------------------------------------------------------------------------------------- of each other


def test_birthdays():
    """Samples from a known number of equally likely points: the support is found, up to the error of its count."""
    g = np.random.default_rng(0)
    for support in (10, 1000, 100_000):
        points = g.normal(size=(support, 50))
        real, fake = g.normal(size=(2000, 50)), points[g.integers(support, size=2000)]
        found = duplicates(real, fake)
        pairs = 2000 * 1999 / 2 / support
        assert found.near_pairs == pytest.approx(pairs, abs=5 * pairs**0.5 + 0.1 * pairs)
        assert found.support == 2000 * 1999 / 2 / found.near_pairs == pytest.approx(support, rel=0.1 + 5 / pairs**0.5)
        assert found.repeated == 2000 - len(np.unique(fake, axis=0))


def test_counts_by_hand():
    real = np.arange(100.0)[:, None] * 10
    real[1] = 1.0  # the nearest pair: 1 of 100 points is as near as that, or in fact both are
    fake = real.copy()
    fake[10:13] = fake[20:22] = 50.0  # four equal points with the one at 50, a fifth and a sixth
    fake[40] = 301.0
    found = duplicates(real, fake)
    assert found.near_share_real == 0.02 and found.support_real == 4950
    # 6 equal ones make 15 pairs; 0 and 1; 300 and 301.
    assert (found.repeated, found.near_pairs, found.near_share, found.n) == (5, 17, 0.1, 100)
    assert found.support == 4950 / 17


def test_no_near_pair_leaves_a_bound():
    real = np.arange(100.0)[:, None]
    found = duplicates(real, 2 * real)
    assert (found.near_pairs, found.near_share, found.support, found.nearer) == (0, 0, 4950, 0)


def test_real_images_have_next_to_none_and_repetitions_are_found(mnist):
    _, real, sets = mnist
    rest = duplicates(real, sets["held-out"])
    assert rest.repeated == 0 and rest.near_share < 0.04 and rest.support > 5000 and abs(rest.nearer - 0.5) < 0.05
    ten = duplicates(real, sets["10 images"])
    assert ten.repeated == N - 10 and ten.near_share == 1 and ten.support == pytest.approx(10, rel=0.05)
    rough = sets["10 images"] + np.random.default_rng(0).normal(0, 0.02, (N, 784))
    found = duplicates(real, rough)
    assert found.repeated == 0 and found.near_share > 0.9 and found.support == pytest.approx(10, rel=0.05)
    assert duplicates(sets["10 images"], real).near_share < 0.05  # swapped


def test_a_tenth_of_repetitions_is_found(mnist):
    _, real, sets = mnist
    some = sets["held-out"].copy()
    some[: N // 10] = some[N // 2 : N // 2 + N // 10]
    found = duplicates(real, some)
    assert found.repeated == N // 10 and 0.18 < found.near_share < 0.25


def test_duplicates_say_why_there_is_no_value():
    with pytest.raises(InputError, match="real holds 100 points and fake 101, allowed are equal numbers"):
        duplicates(np.eye(100), np.eye(101, 100))
    with pytest.raises(NotMeasurable, match="99 samples are too few"):
        duplicates(np.eye(99), np.eye(99))


def test_constant_sets_have_values():
    real = np.random.default_rng(0).normal(size=(100, 2))
    constant = np.ones((100, 2))
    found = duplicates(real, constant)
    assert (found.repeated, found.near_share, found.support) == (99, 1, 1)
    both = duplicates(constant, constant)
    assert both.near_share == both.near_share_real == 1 and both.nearer == 0.5
    assert memorisation(real, real + 1, constant).n_fake == 1


@pytest.mark.parametrize(
    "work", [lambda x, report: duplicates(*x[:2], report=report), lambda x, report: memorisation(*x, report=report)]
)
def test_reports_reach_the_end(work):
    seen = []
    work(np.random.default_rng(0).normal(size=(3, 100, 2)), lambda *numbers: seen.append(numbers))
    assert seen == sorted(seen) and len(set(seen)) == len(seen) > 1 and seen[-1] == (1000, 1000)


def test_results_are_plain_values():
    x = np.random.default_rng(0).normal(size=(3, 100, 2))
    for result in (memorisation(*x), duplicates(*x[:2])):
        values = asdict(result)
        assert {type(value) for value in values.values()} <= {int, float, bool}
        json.dumps(values)
