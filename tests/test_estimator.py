"""The scikit-learn estimator: scikit-learn's own checks, units and layouts, exact continuation, and no half states."""

import copy
import dataclasses
import gc
import json
import pickle
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from sklearn.base import clone
from sklearn.datasets import load_digits
from sklearn.exceptions import ConvergenceWarning, NotFittedError
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.utils.estimator_checks import check_estimator

from advnets import AdversarialNets, estimator
from advnets.config import Config, TrainConfig
from advnets.data.dataset import Scaling
from advnets.data.splits import shuffled
from advnets.doctor import Verdict
from advnets.errors import InputError, NotMeasurable
from advnets.evaluation.parzen import ParzenWindow
from advnets.runs import Run
from advnets.sampling import load_sampler
from oracles import parzen_log_likelihoods


@pytest.fixture(autouse=True)
def no_plots(monkeypatch):
    """Leave out the pictures of vectors, which take longer than all else here."""
    monkeypatch.setattr("advnets.pictures.plot", lambda x, data=None: Image.new("RGB", (1, 1)))


TINY = {"generator.hidden": [8], "discriminator.hidden": [8], "train.log_every": 2}


def nets(recipe="auto", *, steps=3, settings=None, n_centres=60, random_state=0, **more) -> AdversarialNets:
    settings = {**TINY, **(settings or {})}
    return AdversarialNets(
        recipe, steps=steps, settings=settings, n_centres=n_centres, random_state=random_state, **more
    )


def vectors(n=60, d=3, seed=0):
    return np.random.default_rng(seed).normal([5.0] * d, [2.0] * d, (n, d))


def images(n=40, shape=(5, 6), seed=0):
    return np.random.default_rng(seed).random((n, *shape))


BYTES = np.rint(255 * images()).astype(np.uint8)


def bits(model: AdversarialNets) -> dict[str, bytes]:
    """Weights, averages, optimisers, random states and counters of the last checkpoint, and the log."""
    run = Run(model.run_)
    folder = run.checkpoint(run.checkpoint_steps()[-1])
    return {file.name: file.read_bytes() for file in folder.iterdir()} | {"log": run.log.read_bytes()}


def state(model: AdversarialNets) -> dict:
    return {**vars(model)}


def interrupted_at(step: int, monkeypatch) -> None:
    """Let the user press Ctrl-C at a step of the next training, and never after."""
    train, calls = estimator.train, iter(range(1, 10**6))

    def stop() -> bool:
        if next(calls) == step:
            raise KeyboardInterrupt
        return False

    monkeypatch.setattr(estimator, "train", lambda *given, **named: train(*given, **named, stop=stop))


def test_a_bad_verdict_is_a_warning(monkeypatch):
    bad = Verdict("collapsed", "all samples are alike", "begin again")
    train = estimator.train

    def judged(*given, **named):
        return dataclasses.replace(train(*given, **named), verdict=bad)

    monkeypatch.setattr(estimator, "train", judged)
    with pytest.warns(ConvergenceWarning, match="collapsed: all samples are alike; begin again") as caught:
        nets().fit(images())
    assert caught[0].filename == __file__


# What scikit-learn asks of estimators


def test_scikit_learns_checks():
    expected_to_fail: dict[str, str] = {}  # docs/estimator.md says so
    results = check_estimator(nets(steps=2), expected_failed_checks=expected_to_fail, on_skip=None)
    assert len(results) >= 40
    not_passed = {result["check_name"] for result in results if result["status"] != "passed"}
    assert not_passed <= {"check_array_api_input"}  # skipped unless SCIPY_ARRAY_API is set


def test_in_a_grid_search_over_a_pipeline():
    model = make_pipeline(StandardScaler(), nets(n_centres=100))
    x = vectors(90) * [1, 10, 100]
    search = GridSearchCV(model, {"adversarialnets__steps": [1, 4]}, cv=2).fit(x)
    scores = search.cv_results_["mean_test_score"]
    assert np.isfinite(scores).all()
    assert scores[0] != scores[1]
    best = search.best_estimator_[-1]
    assert best.n_steps_ == search.best_params_["adversarialnets__steps"]
    assert search.score(x) == pytest.approx(best.score(search.best_estimator_[0].transform(x)), rel=1e-12)
    assert best.sample(7).shape == (7, 3)


def test_clone_keeps_parameters_and_drops_the_fit():
    model = nets(bandwidth=0.3).fit(vectors())
    again = clone(model)
    assert again.get_params() == model.get_params()
    with pytest.raises(NotFittedError):
        again.sample()


def test_fit_again_starts_anew():
    x = vectors()
    once, twice = nets().fit(x), nets().fit(images())
    assert twice.score(images()) != twice.fit(x).score(x)
    assert bits(once) == bits(twice)
    assert once.score(x) == twice.score(x)
    assert twice.n_features_in_ == 3
    assert twice.sample(2).shape == (2, 3)


# Real data

ADAM = {
    "generator.hidden": [128],
    "discriminator.hidden": [64],
    "discriminator.pieces": 2,
    "discriminator.init_range": 0.05,
    "train.optimiser": "adam",
    "train.learning_rate": 1e-3,
    "train.average_decay": 0.99,
}


@pytest.fixture(scope="module")
def digits():
    x = load_digits().images / 16
    return x[:1400], x[1400:]


@pytest.fixture(scope="module")
def trained(digits):
    model = AdversarialNets("digits", steps=300, settings=ADAM, n_centres=2000, random_state=0)
    return model.fit(digits[0])


def test_learns_digits(digits, trained):
    train, test = digits
    samples = trained.sample(500, random_state=1)
    assert samples.shape == (500, 8, 8)
    assert 0 <= samples.min() < 0.01
    assert 0.99 < samples.max() <= 1
    untrained = clone(trained).set_params(steps=1).fit(train)
    # Measured with four seeds: −2.0 to 0.4 nats after 300 steps, −7.3 after 1; the mean image is what both know.
    assert trained.score(test) > untrained.score(test) + 4
    noise = np.random.default_rng(0).random(test.shape)
    assert trained.score(test) > trained.score(noise) + 10
    assert trained.score_samples(test).shape == (len(test),)
    assert trained.score(test) == pytest.approx(trained.score_samples(test).mean(), rel=1e-12)


def test_the_bandwidth_is_that_of_the_examples_kept_from_training(digits, trained):
    order = shuffled(1400)[:140]  # the tenth, in the fixed order of arrays from files
    centres = trained.sample(2000, random_state=0).reshape(2000, -1)
    window = ParzenWindow("fine").fit(centres, validation=digits[0][order].reshape(140, -1))
    assert trained.parzen().bandwidth_ == pytest.approx(window.bandwidth_, rel=1e-6)
    others = ParzenWindow("fine").fit(centres, validation=digits[0].reshape(1400, -1)[:140])
    assert trained.parzen().bandwidth_ != pytest.approx(others.bandwidth_, rel=1e-5)


# Units and layouts


@pytest.mark.parametrize("scaling", ["auto", "standard"])
@pytest.mark.parametrize("kind", ["unit", "bytes", "floats to 255"])
@pytest.mark.parametrize("shape", [(5, 6), (5, 6, 1), (5, 6, 3), (1, 5, 6), (3, 5, 6)])
def test_samples_have_the_layout_and_units_of_images(shape, kind, scaling):
    # G starts at the mean of the data, so that the mean of the samples of nets that hardly trained tells every pixel.
    mean = np.random.default_rng(1).uniform(0.15, 0.85, shape)
    x = np.clip(mean + np.random.default_rng(2).normal(0, 0.05, (300, *shape)), 0, 1)
    x = x if kind == "unit" else np.rint(255 * x).astype(np.uint8 if kind == "bytes" else np.float64)
    model = nets(steps=1, settings={"data.scaling": scaling}).fit(x)
    samples = model.sample(400, random_state=0)
    assert samples.dtype == (np.uint8 if kind == "bytes" else np.float32)
    assert samples.shape == (400, *shape)
    assert model.n_features_in_ == x[0].size
    white = 1 if kind == "unit" else 255
    np.testing.assert_allclose(samples.mean(0), x.mean(0), atol=0.03 * white)


def test_samples_of_vectors_have_the_units_of_their_columns():
    x = vectors(400) * [1, -100, 0.01]
    samples = nets(steps=1).fit(x).sample(2000, random_state=0)
    assert samples.dtype == np.float32
    np.testing.assert_allclose(samples.mean(0) / x.mean(0), np.ones(3), atol=0.1)


def test_equal_seeds_draw_equal_samples_as_the_command_line_does():
    model = nets().fit(vectors())
    samples = model.sample(20, random_state=3)
    np.testing.assert_array_equal(samples, model.sample(20, random_state=3))
    np.testing.assert_array_equal(samples, load_sampler(Run(model.run_)).draw(20, 3))
    assert not np.array_equal(samples, model.sample(20, random_state=4))
    assert not np.array_equal(model.sample(20), model.sample(20))
    assert model.sample().shape == (1, 3)


def test_samples_by_averaged_weights_and_without_dropout():
    model = nets(steps=20, settings={"generator.keep": [0.5], "train.average_decay": 0.5}).fit(vectors())
    run = Run(model.run_)
    samples = model.sample(50, random_state=0)
    np.testing.assert_array_equal(samples, model.sample(50, random_state=0))
    np.testing.assert_array_equal(samples, load_sampler(run, "average").draw(50))
    assert not np.array_equal(samples, load_sampler(run, "raw").draw(50))


def test_scores_of_vectors_are_those_of_a_parzen_window_on_samples():
    x, test = vectors(), vectors(30, seed=1)
    model = nets(n_centres=80, random_state=5).fit(x)
    centres = model.sample(80, random_state=5)
    sigma = model.parzen().bandwidth_
    np.testing.assert_allclose(model.score_samples(test), parzen_log_likelihoods(centres, test, sigma), rtol=1e-9)


@pytest.mark.parametrize("given", ["bytes", "unit", "colour last"])
def test_scores_of_images_are_per_pixel_in_unit_range(given):
    x, test = images(80, (4, 4, 3)), images(20, (4, 4, 3), seed=1)
    centred = test.transpose(0, 3, 1, 2)
    if given == "bytes":
        x, test = (np.rint(255 * part).astype(np.uint8) for part in (x, test))
        centred = test.transpose(0, 3, 1, 2) / 255
    if given != "colour last":
        x, test = x.transpose(0, 3, 1, 2), test.transpose(0, 3, 1, 2)
    model = nets().fit(x)
    centres = load_sampler(Run(model.run_)).draw(60, 0).reshape(60, -1)
    sigma = model.parzen().bandwidth_
    assert 0.05 < sigma < 1
    expected = parzen_log_likelihoods(centres, centred.reshape(20, -1), sigma)
    np.testing.assert_allclose(model.score_samples(test), expected, rtol=1e-9)


def test_contrast_normalised_images_are_scored_and_drawn_after_normalisation():
    settings = {"data.scaling": "contrast", "data.contrast_scale": 4.0, "generator.output": "linear"}
    model = nets(settings=settings).fit(np.rint(255 * images(80)).astype(np.uint8))
    test = images(20, seed=1)
    np.testing.assert_allclose(model.score_samples(test), model.score_samples(0.5 * test + 0.2), rtol=1e-5)
    assert model.sample(50).min() < 0


def test_scoring_parameters_may_change_after_fit():
    x = vectors()
    model = nets(bandwidth=0.5).fit(x)
    assert model.parzen() is model.parzen()
    assert model.parzen().bandwidth_ == 0.5
    model.set_params(bandwidth="fine", n_centres=100)
    assert model.parzen().n_centres_ == 100
    assert model.parzen().bandwidth_ != 0.5
    first = model.score(x)
    assert model.set_params(bandwidth=[0.3, 1.0, 3.0, 9.0]).parzen().bandwidth_ in (1.0, 3.0)
    assert model.set_params(bandwidth="fine").score(x) == first


# Going on


@pytest.mark.parametrize(
    "settings", [{}, {"train.mode": "paper", "train.optimiser": "adam", "train.average_decay": 0.9}]
)
@pytest.mark.parametrize("x", [vectors(), images(), BYTES], ids=["d", "unit", "bytes"])
def test_partial_fit_on_the_same_data_equals_one_longer_fit(x, settings):
    parts, whole = nets(steps=7, settings=settings), nets(steps=21, settings=settings)
    parts.fit(x).partial_fit(x)
    parts.set_params(steps=7).partial_fit(x)
    assert parts.n_steps_ == 21
    assert bits(parts) == bits(whole.fit(x))
    assert parts.score(x) == whole.score(x)
    assert "earlier" not in Run(parts.run_).read()["data"]


def test_partial_fit_at_first_is_fit():
    assert bits(nets().partial_fit(vectors())) == bits(nets().fit(vectors()))


def test_partial_fit_without_steps_makes_the_recipes_number(monkeypatch):
    made = []
    train = estimator.train

    def short(config, data, run, *, resume):
        made.append(config.train.steps)
        return train(nets_of(config, 3 * len(made)), data, run, resume=resume)

    def nets_of(config: Config, steps: int) -> Config:
        return estimator.override(config, {"train.steps": steps})

    monkeypatch.setattr(estimator, "train", short)
    model = nets(steps=None).fit(vectors())
    assert made == [TrainConfig().steps]
    model.partial_fit(vectors())
    assert made[1] == 3 + TrainConfig().steps


@pytest.mark.parametrize(("scaling", "divisor"), [("standard vectors", 1.0), ("standard images", 255.0)])
def test_other_data_come_into_the_nets_by_the_first_ones_scaling(scaling, divisor, monkeypatch):
    first, second = vectors(), 3 * vectors(50, seed=1) + 7
    settings = {}
    if divisor > 1:
        first, second = (np.rint(a * images(n, seed=n)) for n, a in ((60, 255), (50, 90)))
        settings = {"data.scaling": "standard"}
    model = nets(settings=settings).fit(first)
    seen = []
    train = estimator.train
    monkeypatch.setattr(
        estimator,
        "train",
        lambda config, data, *more, **named: seen.append(data) or train(config, data, *more, **named),
    )
    model.partial_fit(second)
    (data,) = seen
    scaling = Scaling.from_json(Run(model.run_).read()["data"]["scaling"])
    order = shuffled(50)
    arranged = second if divisor == 1 else second[:, None]
    for part, rows in ((data.validation.x, order[:5]), (data.train.x, order[5:])):
        np.testing.assert_allclose(
            part, (arranged[rows] / divisor - scaling.shift) / scaling.scale, rtol=1e-5, atol=1e-6
        )
    kept = first[shuffled(60)[6:]] / divisor
    np.testing.assert_allclose(scaling.shift.reshape(kept.shape[1:]), kept.mean(0), rtol=1e-12)


def test_other_data_take_the_place_of_the_first():
    first, second = vectors(60), vectors(50, seed=1) + 20
    model, same = nets(steps=4).fit(first), nets(steps=4).fit(first)
    same.partial_fit(first)
    model.partial_fit(second)
    content = Run(model.run_).read()["data"]
    assert [entry["until_step"] for entry in content["earlier"]] == [4]
    assert content["earlier"][0]["fingerprint"] == Run(same.run_).read()["data"]["fingerprint"]
    assert (content["train"], content["validation"]) == (45, 5)
    assert model.n_steps_ == 8
    assert bits(model)["generator.safetensors"] != bits(same)["generator.safetensors"]
    # The bandwidth fits the held-out part of the second data, which are far from the samples.
    assert model.parzen().bandwidth_ > 3 * same.parzen().bandwidth_
    model.partial_fit(first)
    assert [entry["until_step"] for entry in Run(model.run_).read()["data"]["earlier"]] == [4, 8]


def test_other_data_need_not_tell_their_units_once_they_are_known():
    model = nets().fit(BYTES)
    between = 255 * images(seed=1)  # no whole numbers, so that fit would refuse them
    black = np.zeros((20, 5, 6), np.uint8)
    assert model.partial_fit(between).partial_fit(black).n_steps_ == 9
    assert len(model.score_samples(between)) == 40


def test_training_on_other_data_teaches_them():
    zeros, ones = np.full((50, 2), -1.0), np.full((50, 2), 1.0)
    x = np.concatenate([zeros, ones]) + np.random.default_rng(0).normal(0, 0.1, (100, 2))
    settings = {**ADAM, "train.mode": "paper", "generator.hidden": [32], "train.log_every": 100}
    model = nets(steps=300, settings=settings).fit(x)
    model.partial_fit(x[50:])
    assert (model.sample(400, random_state=0) > 0).mean() > 0.9


# Keeping


@pytest.mark.parametrize("random_state", [0, None, np.random.RandomState(3)])
def test_saved_and_loaded_it_is_the_same(random_state, tmp_path):
    x = BYTES
    model = nets(steps=6, bandwidth="fine", random_state=random_state).fit(x)
    model.save(tmp_path / "deep" / "model")
    again = AdversarialNets.load(tmp_path / "deep" / "model")
    np.testing.assert_array_equal(again.sample(9, random_state=1), model.sample(9, random_state=1))
    np.testing.assert_array_equal(again.score_samples(x), model.score_samples(x))
    assert again.sample().dtype == np.uint8
    assert (again.n_steps_, again.n_features_in_, again.config_) == (6, 30, model.config_)
    ours, theirs = model.get_params(), again.get_params()
    if isinstance(random_state, np.random.RandomState):
        ours["random_state"] = model.config_.seed
    assert ours == theirs
    assert bits(again.partial_fit(x)) == bits(model.partial_fit(x))
    assert Run(tmp_path / "deep" / "model").checkpoint_steps()[-1] == 6  # loading and going on left it alone
    assert not (again.run_ / "estimator.json").exists()  # which describes the run of before


def test_a_saved_model_holds_no_code_and_no_examples(tmp_path):
    x = images()
    nets().fit(x).save(tmp_path / "model")
    files = [file for file in (tmp_path / "model").rglob("*") if file.is_file()]
    assert {file.suffix or file.name for file in files} <= {".json", ".jsonl", ".safetensors", ".png", "SHA256SUMS"}
    for file in files:
        content = file.read_bytes()
        assert not any(row.astype(kind).tobytes()[:16] in content for row in x for kind in (np.float32, np.float64))


def test_save_takes_a_new_or_empty_folder_and_leaves_nothing_half_written(tmp_path, monkeypatch):
    model = nets().fit(vectors())
    model.save(tmp_path / "model")
    with pytest.raises(InputError, match="exists already"):
        model.save(tmp_path / "model")

    def full(file, content):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(estimator, "write_json", full)
    with pytest.raises(InputError, match=r"cannot write .*No space left on device"):
        model.save(tmp_path / "other")
    assert [entry.name for entry in tmp_path.iterdir()] == ["model"]


def test_feature_names_survive(tmp_path):
    model = nets().fit(vectors())
    model.feature_names_in_ = np.array(["a", "b", "c"], object)
    model.save(tmp_path / "model")
    assert AdversarialNets.load(tmp_path / "model").feature_names_in_.tolist() == ["a", "b", "c"]


def test_after_load_a_bandwidth_cannot_be_chosen_anew_but_set(tmp_path):
    x = vectors()
    nets().fit(x).save(tmp_path / "model")
    model = AdversarialNets.load(tmp_path / "model")
    expected = model.score(x)
    with pytest.raises(InputError, match=r"'legacy' lacks held-out examples"):
        model.set_params(bandwidth="legacy").score(x)
    assert np.isfinite(model.set_params(bandwidth=0.5).score(x))
    assert model.set_params(bandwidth="fine").score(x) == expected
    model.partial_fit(x).set_params(bandwidth=[0.1, 1.0, 3.0, 10.0]).score(x)


def test_where_no_bandwidth_is_best_a_model_can_be_saved_and_sampled(tmp_path):
    model = nets(bandwidth=[1e-3, 1e-2]).fit(vectors())
    with pytest.raises(NotMeasurable):
        model.score(vectors())
    model.save(tmp_path / "model")
    assert AdversarialNets.load(tmp_path / "model").sample(3).shape == (3, 3)


@pytest.mark.parametrize(
    "damage",
    [
        lambda content: content | {"format": 2},
        lambda content: content | {"form": None},
        lambda content: content | {"form": content["form"] | {"shape": [5]}},
        lambda content: content | {"bandwidth": "wide"},
        lambda content: content | {"parameters": {}},
        lambda content: content | {"parameters": 3},
        lambda content: content | {"parameters": content["parameters"] | {"code": "import os"}},
        lambda content: [content],
    ],
)
def test_a_damaged_description_is_refused_in_one_line(damage, tmp_path):
    nets().fit(vectors()).save(tmp_path / "model")
    file = tmp_path / "model" / "estimator.json"
    file.write_text(json.dumps(damage(json.loads(file.read_text()))))
    with pytest.raises(InputError) as error:
        AdversarialNets.load(tmp_path / "model")
    assert "\n" not in str(error.value)


def test_a_damaged_checkpoint_and_another_folder_are_refused(tmp_path):
    nets().fit(vectors()).save(tmp_path / "model")
    next((tmp_path / "model" / "checkpoints").rglob("generator.safetensors")).write_bytes(b"no weights")
    with pytest.raises(InputError, match="is damaged"):
        AdversarialNets.load(tmp_path / "model")
    with pytest.raises(InputError, match=r"has no estimator\.json"):
        AdversarialNets.load(tmp_path)


@pytest.mark.parametrize("again", [copy.deepcopy, lambda model: pickle.loads(pickle.dumps(model))])
def test_a_copy_owns_its_run(again):
    x = vectors()
    model = nets(steps=6).fit(x)
    twin = again(model)
    assert twin.score(x) == model.score(x)  # held-out examples came along
    folder, theirs = model.run_, twin.run_
    assert folder != theirs
    expected = bits(model.partial_fit(x)), model.sample(5, random_state=0)
    assert not folder.exists()  # partial_fit moved on
    del model
    gc.collect()
    assert bits(twin.partial_fit(x)) == expected[0]
    np.testing.assert_array_equal(twin.sample(5, random_state=0), expected[1])
    assert not theirs.exists()
    theirs = twin.run_
    assert theirs.exists()
    del twin
    gc.collect()
    assert not theirs.exists()


# No half states


def temporary_folders(monkeypatch, tmp_path) -> Path:
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    return tmp_path


def test_ctrl_c_in_fit_leaves_the_estimator_and_the_disk_as_they_were(monkeypatch, tmp_path):
    folder = temporary_folders(monkeypatch, tmp_path)
    model = nets(steps=20, settings={"train.checkpoint_every": 5})
    before = state(model)
    with monkeypatch.context() as patch:
        interrupted_at(13, patch)
        with pytest.raises(KeyboardInterrupt):
            model.fit(vectors())
    assert state(model) == before
    assert not list(folder.iterdir())
    model.fit(vectors())
    before, samples = state(model), model.sample(4, random_state=0)
    for go in (lambda: model.fit(images()), lambda: model.partial_fit(vectors(seed=1)), lambda: model.fit([[0, 1]])):
        with monkeypatch.context() as patch, pytest.raises((KeyboardInterrupt, InputError)):
            interrupted_at(13, patch)
            go()
        assert state(model) == before
        np.testing.assert_array_equal(model.sample(4, random_state=0), samples)
        assert [entry.name for entry in folder.iterdir()] == [model.run_.parent.name]


def test_a_run_in_a_folder_of_ones_own_survives_ctrl_c_and_goes_on_exactly(monkeypatch, tmp_path):
    x = images()
    settings = {"train.checkpoint_every": 5}
    with monkeypatch.context() as patch:
        interrupted_at(13, patch)
        with pytest.raises(KeyboardInterrupt):
            nets(steps=20, settings=settings).fit(x, out=tmp_path / "run")
    assert Run(tmp_path / "run").status().items() >= {"step": 10, "state": "interrupted"}.items()
    half = AdversarialNets.load(tmp_path / "run")
    assert half.n_steps_ == 10
    assert half.sample(2).shape == (2, 5, 6)
    half.set_params(steps=10).partial_fit(x, out=tmp_path / "whole")
    assert half.run_ == tmp_path / "whole"
    assert bits(half) == bits(nets(steps=20, settings=settings).fit(x))
    assert AdversarialNets.load(tmp_path / "whole").score(x) == half.score(x)
    del half
    gc.collect()
    assert (tmp_path / "whole").exists()


def test_a_relative_folder_is_found_from_elsewhere(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    model = nets().fit(images(), out="run")
    loaded = AdversarialNets.load("run")
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir(tmp_path / "elsewhere")
    np.testing.assert_array_equal(model.sample(2, random_state=0), loaded.sample(2, random_state=0))


def test_ctrl_c_before_the_first_checkpoint_leaves_nothing(monkeypatch, tmp_path):
    model = nets(steps=20).fit(vectors())
    interrupted_at(3, monkeypatch)
    with pytest.raises(KeyboardInterrupt):
        model.partial_fit(vectors(), out=tmp_path / "run")
    assert not (tmp_path / "run").exists()


def test_a_folder_that_holds_something_is_left_alone(tmp_path):
    model = nets().fit(vectors(), out=tmp_path / "run")
    there = {file: file.read_bytes() for file in (tmp_path / "run").rglob("*") if file.is_file()}
    for go in (nets().fit, model.partial_fit):
        with pytest.raises(InputError, match="exists already"):
            go(vectors(), out=tmp_path / "run")
    assert there == {file: file.read_bytes() for file in (tmp_path / "run").rglob("*") if file.is_file()}


def test_divergence_is_an_error_and_leaves_nothing(monkeypatch, tmp_path):
    folder = temporary_folders(monkeypatch, tmp_path)
    with pytest.raises(InputError, match=r"diverged at step 2.*below 1e\+30"):
        nets(steps=300, settings={"train.learning_rate": 1e30}).fit(vectors())
    assert not list(folder.iterdir())


# What is refused


@pytest.mark.parametrize(
    ("x", "wrong"),
    [
        (vectors()[:, 0], "Expected 2D array, got 1D array instead"),
        (np.zeros((20, 2, 2, 2, 2)), r"shape \(20, 2, 2, 2, 2\), allowed"),
        (images(20, (5, 5, 4)), r"shape \(20, 5, 5, 4\), allowed"),
        (vectors(9), "minimum of 10"),
        (images() - 0.5, "pixels -0.49.* to 0.49.*, allowed: 0 to 1, or whole numbers from 0 to 255"),
        (images() * 255, "pixels .* to 25.*, allowed: 0 to 1, or whole numbers from 0 to 255"),
        (load_digits().images, "pixels 0 to 16, allowed: .* that reach 64; divide X by white"),
        (np.where(images() > 0.9, np.nan, images()), "NaN or infinite"),
        (np.where(vectors() > 6, np.inf, vectors()), "NaN or infinite"),
        ([["a", "b"]] * 20, "could not convert string|bytes/strings"),
        ([[1, 2], [3]], "inhomogeneous"),
        (vectors() * 1e300, "beyond 3.4e"),
    ],
)
def test_wrong_data_are_refused_in_one_line(x, wrong):
    model = nets()
    with pytest.raises(InputError, match=wrong) as error:
        model.fit(x)
    assert "\n" not in str(error.value)
    assert len(str(error.value)) < 500
    assert not hasattr(model, "n_features_in_")


@pytest.mark.parametrize(
    ("fitted", "x", "wrong"),
    [
        (images(), BYTES, r"pixels from 0 to 255, allowed: 0 to 1, as in fit"),
        (BYTES, images(), r"pixels from .* to 0.99.*, allowed: 0 to 255, as in fit"),
        (BYTES, BYTES - 1.0, r"pixels from -1 to 254"),
        (images(), images().reshape(40, -1), r"examples \(30,\), allowed: \(5, 6\)"),
        (images(), images(40, (6, 5)), r"examples \(6, 5\), allowed: \(5, 6\)"),
        (vectors(), images(), r"examples \(5, 6\), allowed: \(3,\)"),
        (vectors(), vectors(d=2), "X has 2 features, but AdversarialNets is expecting 3"),
    ],
)
def test_data_unlike_those_of_fit_are_refused(fitted, x, wrong):
    model = nets().fit(fitted)
    for go in (model.score_samples, model.partial_fit):
        with pytest.raises(InputError, match=wrong):
            go(x)
    assert model.n_steps_ == 3


def test_a_black_image_is_no_image_in_other_units():
    model = nets().fit(BYTES)
    assert np.isfinite(model.score(np.zeros((1, 5, 6), np.uint8)))


@pytest.mark.parametrize(
    ("parameters", "wrong"),
    [
        ({"recipe": "digts"}, "recipe is 'digts', allowed: auto, digits, mnist"),
        ({"recipe": "vae", "settings": {}}, "recipe is 'vae', allowed: auto, digits, mnist"),
        ({"recipe": "digits-conditional"}, "recipe digits-conditional needs y and got none, allowed: a class for each"),
        ({"recipe": "digits-semi-supervised", "settings": {}}, "recipe digits-semi-supervised needs y and got none"),
        ({"recipe": "digits-semi-supervised"}, "settings name 'generator.hidden', allowed: .* for the recipe"),
        ({"recipe": "digits-semi-supervised", "settings": {"semi.labels": 20}}, "settings name 'semi.labels'"),
        ({"settings": {"condition.kind": "vectors"}}, r"needs y and got none, allowed: \(n,\) or \(n, m\) finite"),
        ({"settings": {"condition.kind": "colours"}}, "condition.kind is 'colours', allowed are labels"),
        ({"recipe": "digits"}, "sigmoid and the data reach from"),
        ({"recipe": "cifar10-conv", "settings": {}}, r"a convolution got examples of shape \(3,\)"),
        ({"steps": 0}, "train.steps is 0, allowed: 1 or more"),
        ({"steps": 1.5}, "train.steps is 1.5"),
        ({"device": "gpu"}, "train.device is 'gpu', allowed are auto, cpu, cuda, mps"),
        ({"device": "cuda"}, "train.device is cuda, which torch does not find here, allowed: auto, cpu"),
        ({"random_state": -1}, "seed is -1, allowed"),
        ({"settings": ["steps"]}, r"settings is \['steps'\], allowed: None or a mapping"),
        ({"settings": {"train.learning_rat": 0.1}}, "settings name 'train.learning_rat', allowed"),
        ({"settings": {"train.steps": 5}}, "settings name 'train.steps', allowed"),
        ({"settings": {"data.name": "mnist"}}, "settings name 'data.name', allowed"),
        (
            {"settings": {"train.learning_rate": "fast"}},
            "train.learning_rate is 'fast', allowed is a value of type float",
        ),
        ({"settings": {"train.learning_rate": -1.0}}, "train.learning_rate is -1.0, allowed: a number above 0"),
        ({"settings": {"generator.hidden": {3}}}, r"generator.hidden is '\{3\}', allowed is a list"),
        ({"settings": {"data.held_out": 1.5}}, "data.held_out is 1.5, allowed: a share above 0"),
        ({"settings": {"train.batch_size": 60}}, "batch_size is 60, allowed: up to the 54 training examples"),
    ],
)
def test_wrong_parameters_are_refused_by_fit(parameters, wrong, monkeypatch):
    monkeypatch.setattr("torch.cuda.is_available", lambda: False)
    model = nets().set_params(**parameters)
    with pytest.raises(InputError, match=wrong) as error:
        model.fit(vectors())
    assert "\n" not in str(error.value)
    assert not hasattr(model, "run_")


@pytest.mark.parametrize(
    ("name", "count"), [("n_samples", 0), ("n_samples", 2.5), ("n_centres", 0), ("n_centres", "10")]
)
def test_wrong_counts_are_refused(name, count):
    model = nets().fit(vectors())
    with pytest.raises(InputError, match=f"{name} is {count!r}, allowed: a whole number, 1 or more"):
        model.sample(count) if name == "n_samples" else model.set_params(n_centres=count).score(vectors())


# Settings and seeds


def test_settings_reach_the_configuration():
    settings = {
        "train.learning_rate": np.float64(0.02),
        "train.adam_betas": (0, 0.9),
        "generator.hidden": np.array([7, 9]),
        "discriminator.keep": [1],
        "data.held_out": 0.25,
        "noise.kind": "gaussian",
    }
    model = nets(settings=settings, steps=np.int64(2)).fit(vectors())
    config = model.config_
    assert (config.train.learning_rate, config.train.adam_betas, config.train.steps) == (0.02, (0.0, 0.9), 2)
    assert (config.generator.hidden, config.discriminator.keep, config.noise.kind) == ((7, 9), (1.0,), "gaussian")
    content = Run(model.run_).read()["data"]
    assert (content["train"], content["validation"], content["test"]) == (45, 15, 0)


def test_a_recipe_gives_its_nets_and_training_and_not_its_data():
    convolution = {f"discriminator.convolutions.{layer}.channels": 4 for layer in range(3)}
    small = {"generator.maps": (4, 10, 10), "generator.hidden": (16, 400), "discriminator.hidden": [6], **convolution}
    model = AdversarialNets("cifar10-conv", steps=1, n_centres=20, random_state=0, settings=small)
    model.set_params(settings={**small, "train.batch_size": 8}).fit(images(20, (32, 32, 3)))
    assert model.config_.recipe == "cifar10-conv"
    assert [layer.channels for layer in model.config_.discriminator.convolutions] == [4, 4, 4]
    assert model.config_.data.name == "(array)"
    assert model.sample(2).shape == (2, 32, 32, 3)


def test_auto_sizes_nets_from_the_data():
    model = AdversarialNets(steps=1, random_state=0).fit(images(200, (16, 16)))
    assert model.config_.recipe == "auto"
    assert model.config_.generator.hidden == (768, 768)  # 3 units a pixel
    assert model.config_.generator.output == "sigmoid"
    assert AdversarialNets(steps=1, random_state=0).fit(vectors()).config_.generator.output == "linear"


def test_random_state_seeds_as_in_scikit_learn():
    x = vectors()
    assert bits(nets(random_state=1).fit(x)) == bits(nets(random_state=np.int64(1)).fit(x))
    assert nets(random_state=1).fit(x).config_.seed == 1
    assert bits(nets(random_state=1).fit(x)) != bits(nets(random_state=2).fit(x))
    seeds = [nets(random_state=np.random.RandomState(7)).fit(x).config_.seed for _ in range(2)]
    assert seeds[0] == seeds[1]
    shared = np.random.RandomState(7)
    assert nets(random_state=shared).fit(x).config_.seed != nets(random_state=shared).fit(x).config_.seed
    assert nets(random_state=None).fit(x).config_.seed != nets(random_state=None).fit(x).config_.seed


# The package


def test_the_package_imports_torch_only_for_the_estimator():
    program = """
import sys, advnets
assert "torch" not in sys.modules and "sklearn" not in sys.modules
assert not hasattr(advnets, "nothing")
"""
    subprocess.run([sys.executable, "-c", program], check=True)
    assert AdversarialNets is estimator.AdversarialNets


def test_the_examples_in_the_docs_run(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    text = (Path(__file__).parents[1] / "docs" / "estimator.md").read_text()
    examples, names = re.findall(r"```python\n(.*?)```", text, re.S), {}
    assert len(examples) == 2
    for example in examples:  # the second goes on with what the first has
        shorter = re.sub(r"steps=\d+", "steps=2", example)
        assert shorter != example
        exec(shorter, names)
    assert names["sevens"].shape == (100, 8, 8) and names["one_of_each"].shape == (10, 8, 8)
    assert np.isfinite(names["whole"]).all() and names["lefts"].shape == (10, 5, 8, 8)
