"""The estimator's completions: those of the command, in X's shape and units, with what is known as it was."""

import copy
import pickle

import numpy as np
import pytest
from sklearn.datasets import load_digits
from sklearn.exceptions import NotFittedError

from advnets import AdversarialNets
from advnets.cli.main import main
from advnets.errors import InputError, NotMeasurable
from advnets.runs import Run

pytestmark = pytest.mark.usefixtures("no_plots")

TINY = {"generator.hidden": [16], "discriminator.hidden": [8], "train.log_every": 20, "train.batch_size": 20}
MASKS = {**TINY, "condition.kind": "masks"}


def nets(recipe="auto", steps=3, settings=MASKS) -> AdversarialNets:
    return AdversarialNets(recipe, steps=steps, settings=settings, n_centres=60, bandwidth=0.3, random_state=0)


def images(shape=(5, 6), n=40):
    return np.random.default_rng(0).random((n, *shape))


def with_gaps(x, share=0.2):
    return np.where(np.random.default_rng(1).random(x.shape) < share, np.nan, x)


DIGITS = load_digits().images / 16


@pytest.fixture(scope="module")
def digits():
    return nets("digits-completion", 20, TINY).fit(DIGITS[:300])


@pytest.fixture(scope="module")
def table():
    x = with_gaps(np.random.default_rng(2).normal([100.0, -5.0, 3e-3], [7.0, 0.1, 1e-3], (80, 3)))
    return nets().fit(x), x


@pytest.mark.parametrize("mask", [None, "half", "left", "block", "random:.3"])
@pytest.mark.parametrize("n", [1, 3])
@pytest.mark.parametrize("psi", [1.0, 0.3])
def test_completions_are_those_of_the_command(digits, mask, n, psi, tmp_path):
    x = DIGITS[300:307]
    np.save(tmp_path / "x.npy", x)
    words = [
        *(["--mask", mask] if mask else []),
        "--n",
        str(n),
        "--seed",
        "5",
        "--truncation",
        str(psi),
        "--out",
        str(tmp_path / "y.npy"),
    ]
    assert main(["complete", str(digits.run_), str(tmp_path / "x.npy"), *words]) == 0
    made = digits.complete(x, mask, n, random_state=5, truncation=psi)
    np.testing.assert_array_equal(made, np.load(tmp_path / "y.npy"))
    assert made.shape == ((7, 8, 8) if n == 1 else (7, 3, 8, 8)) and made.dtype == x.dtype


@pytest.mark.parametrize("kind", ["unit", "bytes", "floats to 255"])
@pytest.mark.parametrize("shape", [(5, 6), (5, 6, 1), (5, 6, 3), (1, 5, 6), (3, 5, 6)])
def test_what_is_known_comes_back_in_every_layout_and_unit(shape, kind):
    x = images(shape)
    x = x if kind == "unit" else np.rint(255 * x).astype(np.uint8 if kind == "bytes" else np.float64)
    model = nets(steps=1).fit(x)
    for known in (np.random.default_rng(3).random((40, *shape)) < 0.5, np.random.default_rng(3).random(shape) < 0.5):
        every = np.broadcast_to(known, x.shape)
        for made in (model.complete(x, known), *model.complete(x, known.astype(int), n=2).swapaxes(0, 1)):
            assert made.shape == x.shape and made.dtype == x.dtype
            np.testing.assert_array_equal(made[every], x[every])
            assert (made[~every] != x[~every]).mean() > 0.9
            assert 0 <= made.min() <= made.max() <= (1 if kind == "unit" else 255)


def test_nan_is_filled_in_and_only_nan(table):
    model, x = table
    made = model.complete(x, random_state=0)
    assert made.shape == x.shape and made.dtype == x.dtype and np.isfinite(made).all()
    np.testing.assert_array_equal(made[~np.isnan(x)], x[~np.isnan(x)])
    np.testing.assert_array_equal(made, model.complete(x, np.ones(3), random_state=0), "hidden whatever is known")
    filled = np.abs(made - np.nanmean(x, 0)) / np.nanstd(x, 0)
    assert filled[np.isnan(x)].max() < 10, "in the units of its column"
    assert np.isfinite(model.complete(np.full((2, 3), np.nan))).all()


def test_fit_takes_nan_as_missing_as_advnets_train_does(table, tmp_path):
    model, x = table
    np.save(tmp_path / "x.npy", x)
    words = ["--condition.kind", "masks", "--steps", "1", "--generator.hidden", "16", "--out", str(tmp_path / "run")]
    assert main(["train", str(tmp_path / "x.npy"), *words, "--json"]) == 0
    settings = {"condition.kind": "masks", "generator.hidden": [16], "data.held_out": 0.2}  # the command holds out two
    ours = AdversarialNets(settings=settings, steps=1).fit(x).config_
    theirs = Run(tmp_path / "run").config()
    for name in ("condition", "train", "generator", "discriminator", "noise"):
        assert getattr(ours, name) == getattr(theirs, name), name
    assert ours.data.missing == "hide" and ours.condition.masks == ("pixels",)
    assert model.partial_fit(x).n_steps_ == 6
    gaps = with_gaps(images())
    made = nets("digits-completion", 1, TINY).fit(gaps).complete(gaps)
    assert made.shape == gaps.shape and np.isfinite(made).all()


def test_other_shapes_than_those_of_the_recipe_s_own_data():
    model = nets("digits-completion", 1, TINY).fit(images((4, 4)))
    assert model.config_.condition.size == 16 and model.complete(images((4, 4)), "left").shape == (40, 4, 4)


def test_scores_take_whole_held_out_examples_alone(table):
    model, x = table
    whole = x[~np.isnan(x).any(1)]
    assert np.isfinite(copy.deepcopy(model).set_params(bandwidth="fine").score(whole))
    rows = np.arange(60)
    none = np.random.default_rng(0).normal(size=(60, 3))
    none[rows, rows % 3] = np.nan
    model = nets(steps=1).fit(none)
    assert np.isfinite(model.score(whole))
    with pytest.raises(NotMeasurable, match=r"'fine' lacks held-out examples that are whole, allowed: .* a number"):
        model.set_params(bandwidth="fine").score(whole)


@pytest.mark.parametrize("way", ["save", "pickle"])
def test_kept_models_fill_in_alike(digits, way, tmp_path):
    digits.save(tmp_path / "model")
    again = AdversarialNets.load(tmp_path / "model") if way == "save" else pickle.loads(pickle.dumps(digits))
    x = DIGITS[300:310]
    np.testing.assert_array_equal(again.complete(x, "top", random_state=1), digits.complete(x, "top", random_state=1))


def test_real_digits_are_filled_in_better_than_by_the_mean():
    settings = {"generator.hidden": [128], "discriminator.hidden": [32], "discriminator.pieces": 2}
    model = nets("digits-completion", 250, {**settings, "train.average_decay": 0.0}).fit(DIGITS[:1400])
    made = model.complete(DIGITS[1400:], "left", n=4, random_state=0).mean(1)
    error = np.square(made - DIGITS[1400:])[:, :, :4].mean()
    assert error < 0.9 * np.square(DIGITS[:1400].mean(0) - DIGITS[1400:])[:, :, :4].mean()


@pytest.mark.parametrize(
    ("given", "wrong"),
    [
        ({"mask": "middle"}, "mask is middle, allowed: half, left, .*, or an array of 0 and 1; set mask"),
        ({"mask": "random:2"}, "mask is random:2, allowed: random: and a share"),
        ({"mask": np.ones((8, 8))}, "mask hides nothing, allowed: half"),
        ({"mask": np.ones((8, 7))}, r"mask is a mask of shape \(8, 7\), allowed: .*\(8, 8\)"),
        ({"mask": np.full((8, 8), 0.5)}, "mask holds other numbers than 0 and 1"),
        ({"mask": 3}, "mask holds other numbers"),
        ({"n": 0}, "n is 0, allowed: a whole number, 1 or more"),
        ({"X": DIGITS[:2, 1:]}, r"examples \(7, 8\), allowed: \(8, 8\), as in fit"),
        ({"X": 2 * DIGITS[:2]}, "pixels from 0 to 2, allowed: 0 to 1"),
        ({"X": np.full((2, 8, 8), np.inf)}, "pixels from inf"),
    ],
)
def test_what_does_not_fit_is_refused_in_one_line(digits, given, wrong):
    with pytest.raises(InputError, match=wrong) as error:
        digits.complete(**{"X": DIGITS[:2], **given})
    assert "\n" not in str(error.value)


def test_models_that_do_not_fill_in_say_so(table):
    with pytest.raises(NotFittedError):
        nets().complete(images())
    with pytest.raises(InputError, match=r"auto does not fill in, allowed: .*digits-completion.*; fit one"):
        nets(settings=TINY).fit(images()).complete(images())
    with pytest.raises(InputError, match="mask is left and the run is of vectors, allowed: random:SHARE"):
        table[0].complete(table[1], "left")
    with pytest.raises(InputError, match="contrast, which needs whole images"):
        settings = {**MASKS, "data.scaling": "contrast", "generator.output": "linear"}
        nets(steps=1, settings=settings).fit(images()).complete(images())
    with pytest.raises(InputError, match="NaN"):
        nets(settings=TINY).fit(with_gaps(images()))
