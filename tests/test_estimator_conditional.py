"""The estimator's conditional models: y in fit, what the command line draws, and y of samples."""

import copy
import json
import pickle

import numpy as np
import pytest
from sklearn.datasets import load_digits

from advnets import AdversarialNets, estimator
from advnets.cli.main import main
from advnets.errors import InputError
from advnets.runs import Run
from advnets.sampling import load_sampler
from oracles import parzen_log_likelihoods

pytestmark = pytest.mark.usefixtures("no_plots")

TINY = {"generator.hidden": [16], "discriminator.hidden": [8], "train.log_every": 20, "train.batch_size": 20}
LABELS = {**TINY, "condition.kind": "labels"}
VECTORS = {**TINY, "condition.kind": "vectors"}


def nets(recipe="auto", steps=3, settings=LABELS) -> AdversarialNets:
    return AdversarialNets(recipe, steps=steps, settings=settings, n_centres=60, bandwidth=0.3, random_state=0)


DIGITS, CLASSES = load_digits().images / 16, load_digits().target
X = np.random.default_rng(0).normal(5, 2, (60, 3))
Y = np.random.default_rng(1).normal([10.0, -1.0], [3.0, 0.1], (60, 2))
KINDS = np.where(np.arange(60) % 3 == 0, "cat", "dog")


@pytest.fixture(scope="module")
def digits():
    return nets("digits-conditional", 20, TINY).fit(DIGITS[:300], CLASSES[:300])


@pytest.fixture(scope="module")
def by_vectors():
    return nets(settings=VECTORS).fit(X, Y)


def bits(model: AdversarialNets) -> dict[str, bytes]:
    run = Run(model.run_)
    folder = run.checkpoint(run.checkpoint_steps()[-1])
    return {file.name: file.read_bytes() for file in folder.iterdir()}


def test_samples_of_a_class_are_those_of_the_command(digits, tmp_path):
    for words, samples in (
        (["--class", "7", "--n", "5"], digits.sample(5, random_state=3, y=7)),
        (["--class", "all", "--n", "20"], digits.sample(random_state=3, y=np.repeat(digits.classes_, 2))),
        (["--n", "9"], digits.sample(9, random_state=3)),
    ):
        out = tmp_path / f"{len(samples)}.npy"
        assert main(["sample", str(digits.run_), "--seed", "3", *words, "--out", str(out)]) == 0
        np.testing.assert_array_equal(samples, np.load(out))
    np.testing.assert_array_equal(digits.classes_, np.arange(10))
    assert digits.sample(y=3).shape == (1, 8, 8)


def test_samples_given_vectors_are_those_of_the_command(by_vectors, tmp_path):
    words = ["--c", "12.5", "-1", "--n", "4", "--seed", "2", "--out", str(tmp_path / "x.npy")]
    assert main(["sample", str(by_vectors.run_), *words]) == 0
    given = by_vectors.sample(4, random_state=2, y=[12.5, -1])
    np.testing.assert_array_equal(given, np.load(tmp_path / "x.npy"))
    np.testing.assert_array_equal(given, by_vectors.sample(random_state=2, y=[[12.5, -1]] * 4))
    assert not hasattr(by_vectors, "classes_")
    one = nets(settings=VECTORS, steps=1).fit(X, Y[:, 0])
    np.testing.assert_array_equal(one.sample(2, 0, y=12.5), one.sample(random_state=0, y=[12.5, 12.5]))


def test_training_sees_each_example_with_its_own_y(monkeypatch):
    seen, train = [], estimator.train
    monkeypatch.setattr(estimator, "train", lambda *given, **more: seen.append(given[1]) or train(*given, **more))
    nets(settings=VECTORS, steps=1).fit(X, Y)
    nets(steps=1).fit(X, KINDS)
    for data, part, count in ((one, part, n) for one in seen for part, n in ((one.train, 54), (one.validation, 6))):
        places = [int(np.abs(X - x).sum(1).argmin()) for x in data.scaling.undo(part.x)]
        assert len({*places}) == len(part.x) == count
        if part.labels is None:
            np.testing.assert_allclose(part.vectors, Y[places], rtol=1e-6)
        else:
            assert [data.class_names[label] for label in part.labels] == KINDS[places].tolist()


@pytest.mark.parametrize(
    "y",
    [KINDS, KINDS.astype(object), np.where(KINDS == "cat", -7, 3), KINDS == "cat", np.where(KINDS == "cat", 1.0, 4.0)],
    ids=["strings", "objects", "ints", "bools", "floats"],
)
def test_classes_are_what_y_holds_and_stay_so(y, tmp_path):
    model = nets().fit(X, y)
    np.testing.assert_array_equal(model.classes_, np.unique(y))
    model.save(tmp_path / "model")
    one = model.classes_[1]
    for again in (AdversarialNets.load(tmp_path / "model"), pickle.loads(pickle.dumps(model))):
        np.testing.assert_array_equal(again.classes_, model.classes_)
        assert again.classes_.dtype == model.classes_.dtype
        np.testing.assert_array_equal(again.sample(3, 1, y=one), model.sample(3, 1, y=one))
        assert bits(again.partial_fit(X, y)) == bits(nets(steps=6).fit(X, y))
        np.testing.assert_array_equal(again.classes_, model.classes_)


def test_examples_without_a_class_are_left_out_of_the_game():
    y = np.where(np.arange(60) < 40, np.arange(60) % 2, -1)
    assert nets(steps=1).fit(X, y).sample(4, y=1).shape == (4, 3)
    objects = np.where(np.arange(60) < 40, KINDS, None)
    objects[40:] = -1
    for mixed in (objects, objects.tolist()):
        assert nets(steps=1).fit(X, mixed).classes_.tolist() == ["cat", "dog"]


def test_y_goes_on_as_it_began(by_vectors):
    model = copy.deepcopy(by_vectors).partial_fit(X, Y)
    assert bits(model) == bits(nets(settings=VECTORS, steps=6).fit(X, Y))
    with pytest.raises(InputError, match="X or y are not those of fit, allowed with vectors y: the same"):
        model.partial_fit(X, Y + 1)
    with pytest.raises(InputError, match="needs y and got none"):
        model.partial_fit(X)
    kinds = nets(steps=1).fit(X, KINDS)
    assert kinds.partial_fit(X[:30], ["dog"] * 30).sample(2, y="cat").shape == (2, 3)
    with pytest.raises(InputError, match="y holds class 'cow', allowed: those of fit, cat, dog; fit anew"):
        kinds.partial_fit(X, np.where(KINDS == "cat", "cow", "dog"))


def test_scores_are_those_of_p_of_x_with_c_drawn_as_the_data_have_it(digits):
    centres = load_sampler(Run(digits.run_)).draw(60, 0).reshape(60, -1)
    expected = parzen_log_likelihoods(centres, DIGITS[300:310].reshape(10, -1), 0.3)
    np.testing.assert_allclose(digits.score_samples(DIGITS[300:310]), expected, rtol=1e-9)


def test_y_says_what_digit_is_drawn():
    settings = {"generator.hidden": [128], "discriminator.hidden": [64], "discriminator.pieces": 2}
    settings |= {"discriminator.keep": [1.0], "train.average_decay": 0.0, "train.learning_rate": 1e-3}
    model = nets("digits-conditional", 600, settings).fit(DIGITS[:1400], CLASSES[:1400])
    means = np.stack([DIGITS[1400:][CLASSES[1400:] == one].mean(0) for one in range(10)])
    drawn = np.stack([model.sample(50, 0, y=one).mean(0) for one in range(10)])
    apart = np.square(means[:, None] - drawn[None]).sum((2, 3))
    assert (apart.argmin(0) == np.arange(10)).mean() >= 0.8  # measured: all 10 after 600 steps, 1 after 1 step


def test_where_nets_need_no_y_it_is_ignored():
    plain = nets(settings=TINY, steps=1)
    assert bits(copy.deepcopy(plain).fit(X, KINDS)) == bits(plain.fit(X))
    assert not hasattr(plain, "classes_")
    again = nets(steps=1).fit(X, KINDS).set_params(settings=TINY).fit(X, KINDS)
    assert not hasattr(again, "classes_")


@pytest.mark.parametrize(
    ("y", "wrong"),
    [
        (None, "recipe auto needs y and got none, allowed: a class for each example, -1 for none; call fit"),
        (KINDS[:9], r"y has the shape \(9,\) of <U3, allowed: a class for each example, -1 for none, n 60"),
        (["cat", 3] * 30, r"y has the shape \(60,\) of object, allowed: .*; give as many of one kind"),
        ([["cat"], ["dog", "cow"]] * 30, "y is no array"),
        (np.full(60, 0.5), "y has the shape .* of float64, allowed"),
        (np.zeros(60, int), "y holds 1 classes, allowed: two or more"),
        (np.full(60, -1), "y holds 0 classes, allowed: two or more"),
    ],
)
def test_wrong_y_is_refused_in_one_line(y, wrong):
    with pytest.raises(InputError, match=wrong) as error:
        nets().fit(X, y)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize(
    ("call", "wrong"),
    [
        ({"y": 11}, "y is class 11, allowed: 0, 1, 2, .*; name one of these"),
        ({"y": "all"}, "y is class 'all'"),
        ({"y": [[1, 2]]}, r"y has the shape \(1, 2\), allowed: a class"),
        ({"y": [1, 2], "n_samples": 3}, "n_samples is 3 and y has 2 rows, allowed: as many"),
        ({"y": []}, "n_samples is None and y has 0 rows"),
        ({"y": 1, "n_samples": 0}, "n_samples is 0, allowed: a whole number, 1 or more"),
    ],
)
def test_wrong_y_of_samples_is_refused_in_one_line(digits, call, wrong):
    with pytest.raises(InputError, match=wrong) as error:
        digits.sample(**call)
    assert "\n" not in str(error.value)


def test_vectors_that_do_not_fit_and_models_without_y(by_vectors):
    for wrong, why in (
        ({"y": [1.0, 2.0, 3.0]}, "c holds 3 numbers, allowed: the 2 finite ones"),
        ({"y": "cat"}, "allowed: 2 numbers, or as many for each sample"),
        ({"y": [np.nan, 1.0]}, "allowed: the 2 finite ones"),
    ):
        with pytest.raises(InputError, match=why):
            by_vectors.sample(**wrong)
    for y, why in ((Y[:9], r"y has the shape \(9, 2\), allowed: \(n,\) or \(n, m\) finite"), (Y * np.nan, "finite")):
        with pytest.raises(InputError, match=why):
            nets(settings=VECTORS).fit(X, y)
    for settings in (TINY, {**TINY, "condition.kind": "masks"}):
        with pytest.raises(InputError, match="y is given to a model of auto, which takes none, allowed: one of a cond"):
            nets(settings=settings, steps=1).fit(X).sample(y=1)


@pytest.mark.parametrize("classes", [None, 3, ["cat"], ["cat", 3], ["cat", "cat"], ["cat", "dog", "cow"], [2**63, 1]])
def test_damaged_classes_are_refused(classes, tmp_path):
    nets(steps=1).fit(X, KINDS).save(tmp_path / "model")
    file = tmp_path / "model" / "estimator.json"
    file.write_text(json.dumps(json.loads(file.read_text()) | {"classes": classes}))
    with pytest.raises(InputError, match=r"classes in estimator\.json are damaged") as error:
        AdversarialNets.load(tmp_path / "model")
    assert "\n" not in str(error.value)
