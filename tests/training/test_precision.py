"""Precision of auto: what is faster here, tried once, written down, and kept by whoever goes on."""

import dataclasses
import json

import pytest
import torch

from advnets import recipes
from advnets.data import load
from advnets.errors import InputError
from advnets.runs import Run
from advnets.training import precision, processes, train
from training.games import data, tiny


def timing(monkeypatch, coarse, fine=1.0):
    """Let products take so long."""
    asked = []
    found = {True: coarse, False: fine}
    monkeypatch.setattr(precision, "_seconds", lambda x, w, coarse: asked.append(w.shape) or found[coarse])
    return asked


def files(run):
    last = run.checkpoint(run.checkpoint_steps()[-1])
    return {file.name: file.read_bytes() for file in last.iterdir()}


@pytest.mark.parametrize(
    ("coarse", "expected"), [(0.5, "bf16-mixed"), (0.8, "bf16-mixed"), (0.81, "32-true"), (2.0, "32-true")]
)
def test_bfloat16_is_chosen_where_it_saves_a_fifth(coarse, expected, monkeypatch):
    asked = timing(monkeypatch, coarse)
    assert precision.chosen(recipes.get("mnist"), (1, 28, 28)) == expected
    assert set(asked) == {(1200, 1200)}


@pytest.mark.parametrize(
    ("recipe", "layer"),
    [("cifar10-fc", (8000, 8000)), ("mnist-semi-supervised", (1000, 784)), ("cifar10-conv", (8000, 1200))],
)
def test_what_is_tried_is_the_largest_layer(recipe, layer, monkeypatch):
    asked = timing(monkeypatch, 1.0)
    precision.chosen(recipes.get(recipe), (3, 32, 32) if recipe.startswith("cifar") else (1, 28, 28))
    assert set(asked) == {layer}


def test_small_nets_stay_in_float32(monkeypatch):
    timing(monkeypatch, 0.1)
    assert precision.chosen(recipes.get("digits"), (1, 8, 8)) == "32-true"


def test_trying_is_done_on_this_machine_and_draws_no_random_number():
    before = torch.get_rng_state()
    assert precision.chosen(recipes.get("mnist"), (1, 28, 28)) in ("32-true", "bf16-mixed")
    assert torch.equal(torch.get_rng_state(), before)


def test_rivals_have_float32_alone(monkeypatch):
    timing(monkeypatch, 0.1)
    assert precision.chosen(recipes.get("dbn"), (1, 28, 28)) == "32-true"


@pytest.mark.parametrize(("coarse", "expected"), [(0.5, "bf16-mixed"), (1.0, "32-true")])
def test_a_run_of_auto_is_one_of_what_was_chosen(coarse, expected, tmp_path, monkeypatch):
    timing(monkeypatch, coarse)
    monkeypatch.setattr(precision, "SMALL", 0)
    train(tiny(precision="auto", steps=4), data(), Run(tmp_path / "auto"))
    train(tiny(precision=expected, steps=4), data(), Run(tmp_path / "named"))
    assert json.loads((tmp_path / "auto" / "config.json").read_text())["config"]["train"]["precision"] == expected
    assert files(Run(tmp_path / "auto")) == files(Run(tmp_path / "named"))


def test_who_goes_on_keeps_what_was_chosen(tmp_path, monkeypatch):
    timing(monkeypatch, 0.5)
    monkeypatch.setattr(precision, "SMALL", 0)
    run = Run(tmp_path / "run")
    train(tiny(precision="auto", steps=2), data(), run)
    timing(monkeypatch, 2.0)  # another machine, say
    train(tiny(precision="auto", steps=4), data(), run, resume=True)
    assert run.config().train.precision == "bf16-mixed"
    train(tiny(precision="bf16-mixed", steps=4), data(), Run(tmp_path / "whole"))
    assert files(run) == files(Run(tmp_path / "whole"))


def test_several_processes_have_to_name_one():
    with pytest.raises(InputError, match=r"--train\.precision is auto, allowed with 2 processes: 32-true, 64-true or"):
        processes.launched(tiny(precision="auto", batch_size=4), devices=2)


def test_few_labels_take_auto_too(tmp_path, monkeypatch):
    from advnets.extensions import semi_supervised

    timing(monkeypatch, 0.5)
    monkeypatch.setattr(precision, "SMALL", 0)
    config = recipes.get("digits-semi-supervised")
    settings = dataclasses.replace(config.train, steps=2, precision="auto")
    run = Run(tmp_path / "run")
    semi_supervised.train(dataclasses.replace(config, train=settings), load(config.data), run)
    assert run.config().train.precision == "bf16-mixed"
