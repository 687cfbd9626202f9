"""Trackers get what the log holds, line by line, over an interruption too; without one nothing is written."""

import csv
import json
import sys

import pytest
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from advnets.cli.main import main

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


def test_csv_holds_the_log_and_none_is_the_default(tmp_path, capsys):
    lines = trained(tmp_path / "run", "--steps", "20", "--tracker", "csv")
    with (tmp_path / "run/csv/metrics.csv").open() as file:
        rows = [*csv.DictReader(file)]
    assert [int(row["step"]) for row in rows] == [10, 20]
    for row, line in zip(rows, lines, strict=True):
        assert {name: float(value) for name, value in row.items() if name != "step"} == pytest.approx(numbers(line))
    trained(tmp_path / "plain", "--steps", "20")
    assert not (tmp_path / "plain/csv").exists() and not (tmp_path / "plain/tensorboard").exists()
    assert (tmp_path / "plain/log.jsonl").read_bytes() == (tmp_path / "run/log.jsonl").read_bytes()


def test_a_missing_extra_is_one_line_and_begins_no_run(tmp_path, capsys, monkeypatch):
    for name in [name for name in sys.modules if name.split(".")[0] == "tensorboard"]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setattr("lightning_fabric.loggers.tensorboard._TENSORBOARD_AVAILABLE", False)
    monkeypatch.setattr("lightning_fabric.loggers.tensorboard._TENSORBOARDX_AVAILABLE", False)
    assert main([*TINY, "--out", str(tmp_path / "run"), "--tracker", "tensorboard"]) == 2
    err = capsys.readouterr().err
    assert "not installed, allowed: with it; pip install 'advnets[track]', or --tracker csv" in err
    assert not (tmp_path / "run").exists()
