"""The doctor's page, and verdicts in what other commands show."""

import json

import pytest

from advnets.cli.doctor import MEANINGS, plot
from advnets.cli.main import main
from advnets.runs import Run


@pytest.fixture(scope="module")
def runs(tmp_path_factory):
    """A folder with a run that does well and one whose D never moves."""
    folder = tmp_path_factory.mktemp("doctor")
    small = ["--generator.hidden", "32", "--discriminator.hidden", "16", "--train.log_every", "20"]
    assert main(["train", "ring", "--steps", "400", "--out", str(folder / "good"), *small]) == 0
    slow = ["--train.learning_rate", "1e-12", "--train.minimum_learning_rate", "1e-12"]
    assert main(["train", "digits", "--steps", "900", "--out", str(folder / "still"), *small, *slow]) == 0
    return folder


def test_a_good_run_exits_0_with_a_plot_of_every_signal(runs, capsys):
    assert main(["doctor", str(runs / "good")]) == 0
    page = capsys.readouterr().out
    assert page.startswith(f"{runs / 'good'}: learning\n  why       ")
    assert "state     finished, step 400 of 400" in page
    lines = {line.split()[0]: line for line in page.splitlines() if line and line.split()[0] in MEANINGS}
    signals = json.loads(Run(runs / "good").log.read_text().splitlines()[-1])["signals"]
    assert set(lines) == {name for name, value in signals.items() if value is not None}
    assert all(set(line) & set("▁▂▃▄▅▆▇█") for line in lines.values())


def test_a_bad_run_exits_1_and_says_what_to_do(runs, capsys):
    assert main(["doctor", str(runs / "still"), "--json"]) == 1
    answer = json.loads(capsys.readouterr().out)
    assert (answer["verdict"], answer["bad"], answer["step"]) == ("stalled", True, 900)
    assert answer["advice"].startswith("raise --train.learning_rate")
    assert answer["course"][-1]["verdict"] == "stalled"
    assert Run(runs / "still").status()["verdict"] == "stalled"


def test_verdicts_are_in_the_list_of_runs(runs, capsys):
    assert main(["runs", "list", "--dir", str(runs)]) == 0
    listed = {line.split()[0]: line for line in capsys.readouterr().out.splitlines()}
    assert "stalled" in listed[str(runs / "still")] and "learning" in listed[str(runs / "good")]


def test_training_tells_a_bad_verdict_once(tmp_path, capsys):
    slow = ["--train.learning_rate", "1e-12", "--train.minimum_learning_rate", "1e-12", "--train.log_every", "20"]
    small = ["--generator.hidden", "32", "--discriminator.hidden", "16"]
    stop = ["--train.on_bad", "stop"]
    assert main(["train", "digits", "--steps", "1200", "--out", str(tmp_path / "run"), *slow, *small, *stop]) == 1
    told = capsys.readouterr().err
    assert told.count("stalled: after 800 steps D answers ½ everywhere") == 2  # as it happens, and at the end
    assert "checkpoint written" in told and "to go on all the same: advnets train --resume --out" in told


@pytest.mark.parametrize(
    ("make", "said"),
    [
        (lambda folder: None, "is not a run folder, allowed: a folder made by advnets train"),
        (
            lambda folder: _train(folder, "--train.signals", "off"),
            "has no signals in its log, allowed: a run of at least",
        ),
        (lambda folder: _damage(folder), "log.jsonl is damaged in line 1, allowed: lines that training wrote"),
    ],
)
def test_what_cannot_be_judged_is_one_clear_line(tmp_path, capsys, make, said):
    make(tmp_path / "run")
    capsys.readouterr()
    assert main(["doctor", str(tmp_path / "run")]) == 2
    printed = capsys.readouterr()
    assert printed.out == "" and printed.err.startswith("advnets: error: ") and said in printed.err
    assert printed.err.count("\n") == 1


def _train(folder, *options):
    small = ["--generator.hidden", "16", "--discriminator.hidden", "8", "--train.log_every", "5"]
    assert main(["train", "digits", "--steps", "10", "--out", str(folder), *small, *options]) == 0


def _damage(folder):
    _train(folder)
    Run(folder).log.write_text("?" + Run(folder).log.read_text())


def test_a_plot_runs_from_the_lowest_to_the_highest():
    assert plot([0.0, 1.0]) == "▁█"
    assert plot([0.0, None, 7.0]) == "▁ █"
    assert plot([3.0, 3.0]) == "▁▁"
    assert plot([None]) == " "
    assert plot([float(i // 80) for i in range(640)]) == "".join(4 * bar for bar in "▁▂▃▄▅▆▇█")
