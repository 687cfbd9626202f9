"""Runs with a condition from the command line."""

import json

import numpy as np
import pytest
import torch
from PIL import Image

from advnets import recipes
from advnets.errors import InputError
from advnets.extensions.bigan import new_pair

SHORT = ["--train.log_every", "10", "--train.sample_every", "20", "--train.checkpoint_every", "20", "--steps", "20"]


@pytest.fixture
def command(advnets):
    """Run a command given word by word."""
    return lambda *words: advnets(" ".join(map(str, words)))


@pytest.fixture
def trained(command, tmp_path):
    run = tmp_path / "run"
    assert command("train", "digits-conditional", "--out", run, *SHORT).status == 0
    return run


def test_samples_of_a_class_and_of_all(command, trained, tmp_path):
    assert command("sample", trained, "--class", "7", "--n", "6", "--out", tmp_path / "seven.npz").status == 0
    seven = np.load(tmp_path / "seven.npz")
    assert seven["samples"].shape == (6, 8, 8) and seven["y"].tolist() == [7] * 6
    told = json.loads(command("sample", trained, "--class", "all", "--out", tmp_path / "all.npz", "--json").out)
    assert told["n"] == 100 and told["class"] == "all"
    every = np.load(tmp_path / "all.npz")
    assert every["y"].tolist() == [number for number in range(10) for _ in range(10)]
    assert command("sample", trained, "--class", "all", "--n", "40", "--out", tmp_path / "grid.png").status == 0
    with Image.open(tmp_path / "grid.png") as grid:
        width, height = grid.size
    assert height > 2 * width, "ten rows of four"
    assert command("interpolate", trained, "--out", tmp_path / "lines.png").status == 0


@pytest.mark.parametrize(
    ("options", "wrong"),
    [
        (["--class", "11"], "--class is 11, allowed: 0, 1, 2, 3, 4, 5, 6, 7, 8, 9, or all; name one of these"),
        (["--class", "all", "--n", "15"], "--n is 15, allowed with --class all: a multiple of the 10 classes; set --n"),
        (["--class", "1", "--c", "1"], "--class and --c are both set, allowed: one of them; leave one out"),
        (["--c", "1", "2"], "is conditioned on classes, allowed: --class with one of 0, 1"),
    ],
)
def test_what_a_run_of_classes_refuses(command, trained, options, wrong):
    refused = command("sample", trained, *options)
    assert refused.status == 2 and wrong in refused.err and refused.err.count("\n") == 1


def test_conditioned_on_numbers(command, tmp_path):
    random = np.random.default_rng(0)
    c = random.normal(5, 2, (200, 2)).astype(np.float32)
    np.savez(tmp_path / "table.npz", X=c @ np.array([[1.0, 2], [0, 1]], np.float32), c=c)
    run = tmp_path / "run"
    trained = command("train", tmp_path / "table.npz", "--condition.kind", "vectors", "--out", run, *SHORT)
    assert trained.status == 0, trained.err
    assert command("sample", run, "--c", "5", "7", "--n", "3", "--out", tmp_path / "x.npy").status == 0
    assert np.load(tmp_path / "x.npy").shape == (3, 2)
    for options, wrong in (
        (["--c", "1"], "c holds 1 numbers, allowed: the 2 finite ones"),
        (["--class", "1"], "this run is conditioned on 2 numbers, allowed: --c with as many numbers; use --c"),
    ):
        refused = command("sample", run, *options)
        assert refused.status == 2 and wrong in refused.err


def test_what_has_no_condition_or_cannot_have_one_says_so(command, tmp_path):
    assert command("train", "digits", "--out", tmp_path / "run", *SHORT).status == 0
    refused = command("sample", tmp_path / "run", "--class", "1")
    assert refused.status == 2 and "has no condition, allowed: with runs that have one" in refused.err
    refused = command("train", "gaussian", "--condition.kind", "labels", "--out", tmp_path / "no")
    assert refused.status == 2 and "gaussian has no classes to condition on" in refused.err
    assert not (tmp_path / "no").exists()
    refused = command("train", "gsn", "--condition.kind", "labels", "--out", tmp_path / "no")
    assert refused.status == 2 and "does not fit the recipe gsn" in refused.err


def test_a_measure_of_classes(command, trained, monkeypatch, tmp_path):
    monkeypatch.setattr("advnets.evaluation.features._STEPS", 150)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))  # where no other test finds so young a classifier
    done = command("evaluate", trained, "--metrics", "conditional", "--json")
    found = json.loads(done.out)["conditional"]
    assert len(found["by_class"]) == 10 and found["agreement"] == pytest.approx(np.mean(found["by_class"]))
    assert found["lowest"] == min(found["by_class"]) and found["each"] == 1000
    assert found["agreement_real"] > 0.8 and found["taught_real"] > 0.8 > found["taught"], "after 20 steps"


@pytest.mark.parametrize(
    ("words", "wrong"),
    [
        ("encode", "is a run of p(x | c), whose generator is given c too, allowed: a run without a condition"),
        ("classify --labels 20", "has no discriminator of x alone in a checkpoint, allowed: a run of adversarial nets"),
    ],
)
def test_what_is_for_nets_of_x_alone_says_so(command, trained, words, wrong):
    name, *options = words.split()
    refused = command(name, trained, *options)
    assert refused.status == 2 and wrong in refused.err, refused.err


def test_no_pair_is_trained_with_a_condition():
    with pytest.raises(InputError, match="no fully connected discriminator of one stage and of x alone"):
        new_pair(recipes.get("digits-conditional"), (1, 8, 8), torch.zeros(64))


def test_what_tells_classes_from_few_labels_is_not_inverted(command, tmp_path):
    run = tmp_path / "run"
    assert command("train", "digits-semi-supervised", "--steps", "2", "--out", run).status == 0
    refused = command("encode", run)
    assert (
        refused.status == 2 and "is a run of digits-semi-supervised, allowed: runs of adversarial nets" in refused.err
    )
