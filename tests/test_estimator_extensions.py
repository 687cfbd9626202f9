"""The estimator's inference: shapes and units, what has to come first, and what keeping a model keeps."""

import copy
import pickle

import numpy as np
import pytest
from sklearn.datasets import load_digits
from sklearn.exceptions import NotFittedError

from advnets import AdversarialNets
from advnets.errors import InputError
from advnets.extensions import codes
from advnets.extensions.inference import load_inference
from advnets.runs import Run

TINY = {"generator.hidden": [8], "discriminator.hidden": [8], "train.log_every": 2, "noise.dimension": 3}


def nets(steps=3, **settings) -> AdversarialNets:
    return AdversarialNets(steps=steps, settings={**TINY, **settings}, n_centres=60, bandwidth=0.2, random_state=0)


def images(shape=(5, 6), n=40):
    return np.random.default_rng(0).random((n, *shape))


@pytest.fixture(scope="module")
def fitted():
    return nets().fit(images()).fit_inference(steps=5)


@pytest.mark.parametrize("scaling", ["auto", "standard", "contrast"])
@pytest.mark.parametrize("shape", [(5, 6), (5, 6, 3), (3, 5, 6)])
def test_codes_and_reconstructions_of_images(shape, scaling):
    x = np.rint(255 * images(shape)).astype(np.uint8)
    model = nets(**{"data.scaling": scaling}).fit(x).fit_inference(steps=5)
    assert model.encode(x[:7]).shape == (7, 3) and model.encode(x).dtype == np.float32
    rebuilt = model.reconstruct(x[:7])
    assert rebuilt.shape == (7, *shape) and rebuilt.dtype == model.sample().dtype


def test_reconstructions_have_the_units_of_columns():
    x = np.random.default_rng(0).normal([100.0, -5.0, 0.0], [20.0, 0.1, 1.0], (60, 3))
    model = nets().fit(x).fit_inference(steps=5)
    rebuilt = model.reconstruct(x)
    assert rebuilt.shape == x.shape and rebuilt.dtype == np.float32
    assert (np.abs(rebuilt.mean(axis=0) - x.mean(axis=0)) < x.std(axis=0)).all()


def test_a_reconstruction_is_a_sample_and_its_code_the_code_of_its_pixels(fitted):
    x = images()[:9]
    inference = load_inference(Run(fitted.run_))
    np.testing.assert_array_equal(fitted.encode(x), inference.encode(x[:, None].astype(np.float32)))
    np.testing.assert_array_equal(fitted.reconstruct(x), inference.decode(fitted.encode(x))[:, 0])
    bytes_ = nets().fit(np.rint(255 * images()).astype(np.uint8)).fit_inference(steps=5)
    np.testing.assert_array_equal(bytes_.encode(255 * np.rint(x)), bytes_.encode((255 * np.rint(x)).astype(np.uint8)))


def test_digits_are_rebuilt_better_than_by_the_mean_image():
    x = load_digits().images / 16
    settings = {"generator.hidden": [128], "discriminator.hidden": [64], "discriminator.pieces": 2}
    settings |= {"discriminator.init_range": 0.05, "train.optimiser": "adam", "train.learning_rate": 1e-3}
    model = AdversarialNets("digits", steps=300, settings={**settings, "train.average_decay": 0.0}, random_state=0)
    model.fit(x[:1400]).fit_inference(x[:1400], steps=300, reconstruction=30)
    error = np.square(model.reconstruct(x[1400:]) - x[1400:]).mean()
    assert error < 0.75 * np.square(x[:1400].mean(axis=0) - x[1400:]).mean()


def test_before_fit_and_before_fit_inference():
    for call in ("encode", "reconstruct", "fit_inference"):
        with pytest.raises(NotFittedError):
            getattr(nets(), call)(images())
    model = nets().fit(images())
    for call in ("encode", "reconstruct"):
        with pytest.raises(NotFittedError, match="call fit_inference first"):
            getattr(model, call)(images())


def test_training_on_makes_it_out_of_date(fitted):
    model = copy.deepcopy(fitted).partial_fit(images())
    with pytest.raises(InputError, match=r"of step 3 and the run holds .* of step 6, allowed: .*fit_inference"):
        model.encode(images())
    model.fit_inference(steps=4)
    assert model.encode(images()).shape == (40, 3)


def test_the_same_seed_gives_the_same_codes_and_other_steps_others(fitted):
    x = images()
    again = nets().fit(x).fit_inference(steps=5)
    np.testing.assert_array_equal(again.encode(x), fitted.encode(x))
    assert not np.array_equal(again.fit_inference(steps=6).encode(x), fitted.encode(x))


@pytest.mark.parametrize("way", ["save", "pickle", "copy"])
def test_kept_models_keep_their_encoder(fitted, way, tmp_path):
    x = images()
    match way:
        case "save":
            fitted.save(tmp_path / "model")
            again = AdversarialNets.load(tmp_path / "model")
        case "pickle":
            again = pickle.loads(pickle.dumps(fitted))
        case "copy":
            again = copy.deepcopy(fitted)
    np.testing.assert_array_equal(again.encode(x), fitted.encode(x))
    np.testing.assert_array_equal(again.reconstruct(x), fitted.reconstruct(x))
    again.fit_inference(steps=3)


def test_hidden_layers_and_wrong_settings(fitted):
    model = copy.deepcopy(fitted).fit_inference(steps=3, target="hidden-1")
    assert model.encode(images()).shape == (40, 8)
    assert codes.recovery(load_inference(Run(model.run_)), count=50).n == 50
    for wrong in ({"steps": 0}, {"target": "hidden-2"}, {"reconstruction": -1}, {"reconstruction": 1}):
        with pytest.raises(InputError):
            model.fit_inference(**wrong)
    assert model.encode(images()).shape == (40, 8)
    with pytest.raises(InputError, match="as in fit"):
        model.encode(images((5, 5)))
