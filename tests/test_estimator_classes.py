"""The estimator's classifier from few labels: exactly the labels given, what the command tells, and who has none."""

import copy
import pickle

import numpy as np
import pytest
from sklearn.datasets import load_digits
from sklearn.exceptions import NotFittedError

from advnets import AdversarialNets
from advnets.cli.main import main
from advnets.errors import InputError, NotMeasurable
from advnets.extensions import semi_step
from advnets.runs import Run

TINY = {"semi.hidden": [24, 16], "semi.generator_hidden": [16, 12], "train.batch_size": 20, "train.log_every": 4}
DIGITS, CLASSES = load_digits().images / 16, load_digits().target
FEW = np.where(np.arange(300) < 45, CLASSES[:300], -1)


def nets(steps=4, recipe="digits-semi-supervised", settings=TINY, **more) -> AdversarialNets:
    return AdversarialNets(recipe, steps=steps, settings=settings, n_centres=60, random_state=0, **more)


@pytest.fixture(scope="module")
def fitted():
    return nets().fit(DIGITS[:300], FEW)


def bits(model: AdversarialNets) -> dict[str, bytes]:
    run = Run(model.run_)
    folder = run.checkpoint(run.checkpoint_steps()[-1])
    return {file.name: file.read_bytes() for file in folder.iterdir()}


def test_classes_are_those_that_the_command_tells(fitted, tmp_path):
    p = fitted.predict_proba(DIGITS[300:340])
    assert p.shape == (40, 10) and p.dtype == np.float64
    np.testing.assert_allclose(p.sum(1), np.ones(40))
    np.testing.assert_array_equal(fitted.predict(DIGITS[300:340]), fitted.classes_[p.argmax(1)])
    run = tmp_path / "run"
    words = ["--train.batch_size", "20", "--semi.hidden", "8", "--semi.generator_hidden", "8", "--steps", "2"]
    assert main(["train", "digits-semi-supervised", *words, "--out", str(run)]) == 0
    np.save(tmp_path / "x.npy", DIGITS[300:340])
    assert main(["classify", str(run), str(tmp_path / "x.npy"), "--out", str(tmp_path / "p.npz")]) == 0
    model = copy.copy(fitted)
    model.run_ = run
    with np.load(tmp_path / "p.npz") as theirs:
        np.testing.assert_allclose(model.predict_proba(DIGITS[300:340]), theirs["probabilities"], rtol=1e-6)


def test_exactly_the_labels_given_are_used_whatever_is_held_out(monkeypatch):
    games, new_game = [], semi_step.new_game

    def watched(*given):
        games.append(new_game(*given))
        return games[-1]

    monkeypatch.setattr("advnets.extensions.semi_supervised.new_game", watched)
    uneven = np.where(np.arange(300) % 7 == 0, CLASSES[:300], -1)
    nets(steps=1, settings={**TINY, "train.batch_size": 50}).fit(DIGITS[:300], uneven)
    rows = np.flatnonzero(uneven >= 0)
    x, y = games[0].labelled.x.numpy()[:, 0], games[0].labelled.y.numpy()
    order = [int(np.abs(DIGITS[rows] - one).sum((1, 2)).argmin()) for one in x]
    assert sorted(order) == [*range(len(rows))]
    np.testing.assert_array_equal(y, uneven[rows][order])
    assert len(games[0].batches.x) == 270


@pytest.mark.parametrize("name", ["strings", "ints", "floats"])
def test_classes_are_what_y_holds(name):
    y = {"strings": np.where(CLASSES % 2, "odd", "even"), "ints": 3 - 10 * CLASSES, "floats": CLASSES / 1.0}[name][:300]
    model = nets(steps=1).fit(DIGITS[:300], y)
    np.testing.assert_array_equal(model.classes_, np.unique(y))
    assert {*model.predict(DIGITS[:50]).tolist()} <= {*y.tolist()}
    assert model.config_.semi.classes == model.predict_proba(DIGITS[:2]).shape[1] == len(np.unique(y))


def test_it_learns_digits():
    settings = {"semi.hidden": [120, 60], "semi.generator_hidden": [64], "train.batch_size": 50}
    y = np.where(np.arange(1400) < 100, CLASSES[:1400], -1)
    model = nets(150, settings=settings).fit(np.rint(255 * DIGITS[:1400]).astype(np.uint8), y)
    wrong = (model.predict(np.rint(255 * DIGITS[1400:])) != CLASSES[1400:]).mean()
    assert wrong < 0.25  # measured: 0.19


def test_samples_scores_and_continuation(fitted):
    assert fitted.sample(7, random_state=0).shape == (7, 8, 8)
    assert np.isfinite(copy.deepcopy(fitted).set_params(bandwidth=0.3).score(DIGITS[300:310]))
    longer = copy.deepcopy(fitted).partial_fit(DIGITS[:300], FEW)
    assert bits(longer) == bits(nets(8).fit(DIGITS[:300], FEW))
    others = np.where(np.arange(300) < 60, CLASSES[300:600], -1)
    assert longer.partial_fit(DIGITS[300:600], others).n_steps_ == 12
    assert longer.predict(DIGITS[:3]).shape == (3,)
    with pytest.raises(InputError, match=r"class 9 of \(array\) has no labelled training example"):
        longer.partial_fit(DIGITS[:300], np.where(FEW == 9, -1, FEW))
    with pytest.raises(InputError, match="y holds class 10, allowed: those of fit, 0, 1"):
        longer.partial_fit(DIGITS[:300], np.where(FEW == 9, 10, FEW))
    with pytest.raises(InputError, match="needs y and got none"):
        longer.partial_fit(DIGITS[:300])


def test_where_all_have_labels_none_is_held_out_to_choose_a_bandwidth(tmp_path):
    model = nets(steps=1, bandwidth="fine").fit(DIGITS[:300], CLASSES[:300])
    content = Run(model.run_).read()["data"]
    assert (content["train"], content["validation"]) == (300, 0)
    with pytest.raises(NotMeasurable, match="lacks held-out examples that are whole"):
        model.score(DIGITS[300:310])
    assert np.isfinite(model.set_params(bandwidth=0.3).score(DIGITS[300:310]))
    model.set_params(bandwidth="fine").save(tmp_path / "model")
    AdversarialNets.load(tmp_path / "model").predict(DIGITS[:3])


@pytest.mark.parametrize("way", ["save", "pickle", "copy"])
def test_kept_models_tell_the_same_classes(way, tmp_path):
    names = np.array([f"digit {one}" for one in CLASSES[:300]])
    model = nets(steps=2, bandwidth=0.3).fit(DIGITS[:300], names)
    match way:
        case "save":
            model.save(tmp_path / "model")
            again = AdversarialNets.load(tmp_path / "model")
        case "pickle":
            again = pickle.loads(pickle.dumps(model))
        case "copy":
            again = copy.deepcopy(model)
    np.testing.assert_array_equal(again.predict_proba(DIGITS), model.predict_proba(DIGITS))
    np.testing.assert_array_equal(again.predict(DIGITS), model.predict(DIGITS))
    assert bits(again.partial_fit(DIGITS[:300], names)) == bits(model.partial_fit(DIGITS[:300], names))


def test_who_has_no_classes_says_so():
    for name in ("predict", "predict_proba"):
        plain = AdversarialNets("digits")
        with pytest.raises(InputError, match=f"digits has no {name}, allowed: mnist-semi-supervised, digits-semi-sup"):
            getattr(plain, name)
        assert not hasattr(plain, name), "as scikit-learn asks"
        assert hasattr(nets(), name), "before fit too"
        with pytest.raises(NotFittedError):
            getattr(nets(), name)(DIGITS)
    conditional = AdversarialNets("digits-conditional", steps=1, random_state=0).fit(DIGITS[:300], CLASSES[:300])
    with pytest.raises(InputError, match="digits-conditional has no predict, allowed"):
        conditional.predict(DIGITS)


@pytest.mark.parametrize(
    ("call", "wrong"),
    [
        (lambda model: model.complete(DIGITS), "digits-semi-supervised does not fill in, allowed"),
        (lambda model: model.sample(y=3), "y is given to a model of digits-semi-supervised, which takes none"),
        (lambda model: model.fit_inference(), "a run of digits-semi-supervised, allowed: runs of adversarial nets"),
        (lambda model: model.predict(DIGITS[:, 1:]), "allowed: .*, as in fit"),
        (lambda model: model.fit(DIGITS[:300], np.where(FEW < 0, FEW, 0)), "y holds 1 classes, allowed: two or more"),
        (lambda model: model.fit(3 * DIGITS[:300].reshape(300, -1), FEW), "ends in sigmoids and the data reach"),
    ],
)
def test_what_does_not_fit_is_refused_in_one_line(fitted, call, wrong):
    with pytest.raises(InputError, match=wrong) as error:
        call(fitted)
    assert "\n" not in str(error.value)
