"""The protocol of TFD: one set of samples, its bandwidth chosen and its score taken in every fold."""

import dataclasses

import numpy as np
import pytest
from scipy.io import loadmat, savemat

from advnets.config import DataConfig
from advnets.data import load
from advnets.evaluation import folds
from advnets.evaluation.evaluate import Plan, evaluate
from advnets.evaluation.likelihood import HeldOut, Likelihood, flat, likelihood, over_folds
from advnets.evaluation.subjects import Subject

FACES = "faces/faces48_tfd_layout.mat"


@pytest.fixture(scope="module")
def faces(data_folder, tmp_path_factory):
    """Every labelled face and some unlabelled ones, every fourth pixel of them."""
    variables = loadmat(str(data_folder / FACES))
    rows = np.argsort(~variables["folds"].any(1), kind="stable")[:1000]
    file = tmp_path_factory.mktemp("faces") / "faces.mat"
    savemat(
        str(file),
        {name: variables[name][rows] for name in ("labs_ex", "folds")}
        | {"images": variables["images"][rows, ::4, ::4]},
    )
    return DataConfig(str(file))


def one(nats):
    return Likelihood(nats=nats, standard_error=7.0, bandwidth=nats / 10, grid="fine", centres=50, test_points=4)


def test_the_error_is_that_of_the_mean_over_folds():
    mean = over_folds([one(1.0), one(2.0), one(6.0)])
    assert (mean.nats, mean.test_points, mean.centres) == (3.0, 12, 50)
    assert mean.bandwidth == pytest.approx(0.3)
    assert mean.standard_error == pytest.approx(np.sqrt((4 + 1 + 9) / 2 / 3))
    assert over_folds([one(5.0)]) == one(5.0)


def test_other_data_have_no_folds():
    config = DataConfig("digits")
    assert folds.of(load(config), config, load) is None


@pytest.mark.parametrize("fold", [0, 2])
def test_every_fold_s_held_out_images_and_how_many_of_them_training_saw(faces, fold):
    config = dataclasses.replace(faces, fold=fold)
    data = load(config)
    found = folds.of(data, config, load)
    trained = flat(data.train.x)
    for number, (points, seen) in enumerate(zip(found.held_out, found.seen, strict=True), start=1):
        own = load(dataclasses.replace(faces, fold=number))
        np.testing.assert_array_equal(points.test, flat(own.test.x))
        np.testing.assert_array_equal(points.validation, flat(own.validation.x))
        assert seen == sum(bool((trained == image).all(1).any()) for image in points.test)
        assert (seen > 0) == (fold not in (0, number))
    assert len(found.shared.train.x) == 250


def test_images_seen_in_training_are_found_whatever_the_scaling(faces):
    plain, standard = (dataclasses.replace(faces, fold=1, scaling=kind) for kind in ("unit", "standard"))
    assert folds.of(load(plain), plain, load).seen == folds.of(load(standard), standard, load).seen


def test_samples_are_scored_in_every_fold_and_so_are_the_references(faces):
    data = load(faces)
    pool = data.train.x[:400]
    subject = Subject(lambda count, seed: pool[:count], faces, {"samples": "none"}, available=400)
    gathered = folds.of(data, faces, load)
    plan = Plan(("parzen",), samples=300, redraws=0, references=("training_images", "test_images"))
    result = evaluate(subject, data, plan, folds=gathered)
    each = [likelihood(pool[:300], HeldOut.of(load(dataclasses.replace(faces, fold=k))), "fine") for k in range(1, 6)]
    assert [fold["nats"] for fold in result["parzen"]["folds"]] == [part.nats for part in each]
    assert len({part.bandwidth for part in each}) > 1
    assert result["parzen"]["nats"] == pytest.approx(np.mean([part.nats for part in each]))
    assert result["parzen"]["standard_error"] == pytest.approx(np.std([p.nats for p in each], ddof=1) / np.sqrt(5))
    assert result["parzen"]["test_points"] == 750
    assert len(result["references"]["training_images"]["folds"]) == 5
    assert result["references"]["test_images"]["nats"] > result["references"]["training_images"]["nats"]
    assert result["protocol"]["folds"] == 5
    assert [point["centres"] for point in result["parzen"]["curve"]] == [100, 300]
    assert "seen" not in result["parzen"]["folds"][0]  # nobody knows what made samples in a file
    own = evaluate(dataclasses.replace(subject, sampler=object()), data, plan, folds=gathered)
    assert [fold["seen"] for fold in own["parzen"]["folds"]] == list(gathered.seen)
