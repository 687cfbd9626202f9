"""Validation while training: the best checkpoint outlives the last two, and interruption changes nothing."""

import shutil

import pytest
import torch

from advnets.errors import InputError
from advnets.runs import Run
from advnets.training import train
from advnets.training.saved import read_counts
from training.games import data, tiny

SETTINGS = {"steps": 12, "validate_every": 2, "checkpoint_every": 5, "average_decay": 0.5}


def peak_at(step):
    """A score that is highest at one step, whatever the net."""
    calls = iter(range(1, 100))
    return lambda net: -abs(next(calls) * SETTINGS["validate_every"] - step)


def of_weights(net):
    return float(sum(parameter.detach().sum() for parameter in net.parameters()))


def test_the_best_checkpoint_outlives_the_last_two(tmp_path):
    run = Run(tmp_path / "run")
    train(tiny(**SETTINGS), data(), run, validate=peak_at(4))
    assert [line["step"] for line in run.validations()] == [2, 4, 6, 8, 10, 12]
    assert run.best_step() == 4
    assert run.checkpoint_steps() == [4, 10, 12]


def test_without_validation_only_the_last_two_are_kept(tmp_path):
    run = Run(tmp_path / "run")
    train(tiny(**{**SETTINGS, "validate_every": 0}), data(), run)
    assert run.best_step() is None
    assert run.checkpoint_steps() == [10, 12]


def test_checkpoints_of_every_nth_step_are_kept_for_good(tmp_path):
    run = Run(tmp_path / "run")
    train(tiny(**{**SETTINGS, "validate_every": 0, "keep_every": 3}), data(), run)
    assert run.checkpoint_steps() == [3, 6, 9, 10, 12]


def test_the_averaged_generator_is_scored(tmp_path):
    seen = []

    def score(net):
        seen.append({name: value.clone() for name, value in net.state_dict().items()})
        return 0.0

    run = Run(tmp_path / "run")
    train(tiny(**{**SETTINGS, "validate_every": 12}), data(), run, validate=score)
    from advnets.sampling import load_sampler

    averaged = load_sampler(run, "average").net.state_dict()
    raw = load_sampler(run, "raw").net.state_dict()
    assert all(torch.equal(seen[0][name], averaged[name]) for name in averaged)
    assert not all(torch.equal(seen[0][name], raw[name]) for name in raw)


@pytest.mark.parametrize("cut", [3, 5, 7, 11])
def test_interrupted_and_resumed_gives_the_same_likelihoods_and_the_same_best(tmp_path, cut):
    whole, parts = Run(tmp_path / "whole"), Run(tmp_path / "parts")
    train(tiny(**SETTINGS), data(), whole, validate=of_weights)
    count = iter(range(1, 100))
    train(tiny(**SETTINGS), data(), parts, stop=lambda: next(count) >= cut, validate=of_weights)
    with parts.validation.open("a") as file:  # as if killed after a likelihood, before its checkpoint
        file.write('{"step": 99, "nats": 1e9}\n')
    train(tiny(**SETTINGS), data(), parts, resume=True, validate=of_weights)
    assert parts.validations() == whole.validations()
    assert parts.best_step() == whole.best_step()
    assert parts.best_step() in parts.checkpoint_steps()
    assert parts.log.read_bytes() == whole.log.read_bytes()


def test_taking_likelihoods_does_not_change_training(tmp_path):
    plain, scored = Run(tmp_path / "plain"), Run(tmp_path / "scored")
    train(tiny(**{**SETTINGS, "validate_every": 0}), data(), plain)
    train(tiny(**SETTINGS), data(), scored, validate=of_weights)
    for file in plain.checkpoint(12).glob("*.safetensors"):
        assert file.read_bytes() == (scored.checkpoint(12) / file.name).read_bytes()
    counts, others = (read_counts(run.checkpoint(12)) for run in (plain, scored))
    assert counts.pop("validation_bytes") == 0 < others.pop("validation_bytes")
    assert counts == others


def test_a_setting_without_a_score_is_refused_before_anything_is_written(tmp_path):
    with pytest.raises(InputError, match=r"validate_every is 2 and train got no validate.*give validate="):
        train(tiny(**SETTINGS), data(), Run(tmp_path / "run"))
    assert not (tmp_path / "run").exists()


def test_a_damaged_file_of_likelihoods_is_named(tmp_path):
    run = Run(tmp_path / "run")
    train(tiny(**SETTINGS), data(), run, validate=of_weights)
    run.validation.write_text('{"step": 2}\n')
    with pytest.raises(InputError, match=r"validation.jsonl is damaged.*delete it"):
        run.best_step()
    shutil.rmtree(run.path)
