"""Trackers get what the log holds, line by line, over an interruption too; without one nothing is written."""

import dataclasses
import json
import sys

import pytest
from lightning_fabric.loggers.csv_logs import CSVLogger
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from advnets import recipes
from advnets.cli.main import main
from advnets.data import load
from advnets.runs import Run
from advnets.training import train
from advnets.training.tracking import to_logger

TINY = ["train", "digits", "--generator.hidden", "8", "--discriminator.hidden", "6", "--train.batch_size", "20"]
TINY += ["--train.log_every", "10", "--json"]


def trained(folder, *words):
    assert main([*TINY, "--out", str(folder), *words]) == 0
    return [json.loads(line) for line in (folder / "log.jsonl").read_text().splitlines()]


def numbers(line):
    """What a tracker is to hold of a line."""
    found = {name: value for name, value in line.items() if isinstance(value, float | int) and name != "step"}
    return found | {f"signals/{name}": value for name, value in line["signals"].items() if value is not None}


def test_tensorboard_holds_the_log(tmp_path, capsys):
    run = tmp_path / "run"
    trained(run, "--steps", "30", "--tracker", "tensorboard")
    words = ["train", "--resume", "--out", str(run), "--steps", "50", "--tracker", "tensorboard", "--json"]
    assert main(words) == 0
    lines = [json.loads(line) for line in (run / "log.jsonl").read_text().splitlines()]
    events = EventAccumulator(str(run / "tensorboard"), size_guidance={"scalars": 0})
    events.Reload()
    assert len(lines) == 5 and {*events.Tags()["scalars"]} >= {*numbers(lines[0])}
    for name in ("value", "d_real", "learning_rate", "signals/spread"):
        kept = [(one.step, one.value) for one in events.Scalars(name)]
        assert kept == [(line["step"], pytest.approx(numbers(line)[name], rel=1e-6)) for line in lines]


def test_any_logger_holds_the_log_and_none_is_the_default(tmp_path, capsys):
    class Kept(CSVLogger):
        """A logger of lightning-fabric that keeps what it is told."""

        def log_metrics(self, metrics, step=None):
            kept.append((step, metrics))

    kept = []
    config = recipes.get("digits")
    train_config = dataclasses.replace(config.train, steps=20, log_every=10)
    run = Run(tmp_path / "own")
    config = dataclasses.replace(config, train=train_config)
    train(config, load(config.data), run, report=to_logger(run, Kept(tmp_path)))
    lines = [json.loads(line) for line in run.log.read_text().splitlines()]
    assert kept == [(line["step"], pytest.approx(numbers(line))) for line in lines] and len(kept) == 2
    trained(tmp_path / "plain", "--steps", "20")
    assert not (tmp_path / "plain/tensorboard").exists()


def test_a_missing_extra_is_one_line_and_begins_no_run(tmp_path, capsys, monkeypatch):
    for name in [name for name in sys.modules if name.split(".")[0] == "tensorboard"]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setattr("lightning_fabric.loggers.tensorboard._TENSORBOARD_AVAILABLE", False)
    monkeypatch.setattr("lightning_fabric.loggers.tensorboard._TENSORBOARDX_AVAILABLE", False)
    assert main([*TINY, "--out", str(tmp_path / "run"), "--tracker", "tensorboard"]) == 2
    err = capsys.readouterr().err
    assert "not installed, allowed: with it; pip install 'advnets[track]', or leave --tracker out" in err
    assert not (tmp_path / "run").exists()
