"""Wrong usage and input: exit status 2, one line on stderr, nothing on stdout, nothing written or changed."""

import json
import re
from pathlib import Path

import numpy as np
import pytest

from .conftest import Command, Done, contents


def assert_refused(done: Done, *words: str) -> None:
    assert done.status == 2
    assert done.out == ""
    assert re.fullmatch(r"advnets: error: [^\n]+\n", done.err), done.err
    assert "bug" not in done.err
    for word in words:
        assert word in done.err


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ("trian", ["trian", "did you mean advnets train?"]),
        ("train dgits", ["'dgits'", "did you mean digits?"]),
        ("train nowhere/to/be/found", ["nowhere/to/be/found", "path"]),
        ("train --train.learning_rat .05", ["--train.learning_rat,", "did you mean --train.learning_rate?"]),
        ("train --learning_rate .05", ["did you mean --train.learning_rate?"]),
        ("train --qqqq", ["--qqqq"]),
        ("train -q", ["-q"]),
        ("train --recipe mnist", ["--recipe"]),
        ("train --no-resume", ["--no-resume"]),
        ("train digits mnist", ["'mnist'"]),
        ("train --steps abc", ["--train.steps", "'abc'", "whole number"]),
        ("train --train.steps=1e3", ["--train.steps", "'1e3'"]),
        ("train --steps", ["--train.steps", "no value"]),
        ("train --train.learning_rate fast", ["--train.learning_rate", "'fast'", "a number"]),
        ("train --mode papr", ["--train.mode", "'papr'", "paper, released"]),
        ("train --data.size big", ["--data.size", "'big'", "None"]),
        ("train --train.adam_betas .5", ["--train.adam_betas", "2 values"]),
        ("train --discriminator.hidden 100 100 mnist", ["--discriminator.hidden", "'mnist'"]),
        ("train --generator.activations relu", ["--generator.activations", "rectifier"]),
        ("train --second_stage.after 5", ["--second_stage.after", "digits"]),
        ("train --discriminator.convolutions.0.kernel 5", ["--discriminator.convolutions.0.kernel"]),
        ("train --train.batch_size 5000", ["--train.batch_size", "5000", "1197"]),
        ("train --dry-run --train.batch_size 5000", ["--train.batch_size", "5000", "1197"]),
        ("train --discriminator.keep 0 .5", ["--discriminator.keep", "above 0"]),
        ("train --train.k 0", ["--train.k"]),
        ("train --precision half", ["--train.precision", "'half'", "bf16-mixed"]),
        ("train --precision auto --devices 2", ["--train.precision", "2 processes", "32-true"]),
        ("train rbm --precision bf16-mixed", ["--train.precision", "allowed for rbm", "32-true"]),
        ("train --train.k 2", ["--train.k", "--mode paper"]),
        ("train --steps 0", ["--train.steps"]),
        ("train --steps -5", ["--train.steps", "-5"]),
        ("train --seed -1", ["--seed"]),
        ("train --train.learning_rate nan", ["--train.learning_rate"]),
        ("train --train.learning_rate 0", ["--train.learning_rate"]),
        ("train --discriminator.hidden", ["--discriminator.hidden"]),
        ("train --data nowhere.npy", ["nowhere.npy"]),
        ("train --data mnits", ["did you mean mnist?"]),
        ("train auto", ["--data"]),
        ("train tfd --offline", ["tfd", "TFD_48x48.mat"]),
        ("train --train.device cuda", ["--train.device", "cuda", "cpu"]),
        ("train --resume", ["no run", "runs/"]),
        ("train --resume --out nowhere", ["nowhere"]),
        ("sample", ["RUN"]),
        ("sample nowhere", ["nowhere", "run folder"]),
        ("interpolate nowhere", ["nowhere", "run folder"]),
        ("recipes dgits", ["did you mean digits?"]),
        ("data", ["ACTION", "list, info, fetch"]),
        ("data lits", ["'lits'", "list, info, fetch"]),
        ("data info", ["NAME"]),
        ("data pack", ["NAME", "a folder of images"]),
        ("data pack nowhere", ["--out", "advnets data pack PATH --out FOLDER"]),
        ("data pack nowhere --out packed", ["nowhere", "check the path"]),
        ("data pack . --out packed --size 0", ["--data.size"]),
        ("data info mnist --out packed", ["info takes no --out"]),
        ("data info mnits", ["did you mean mnist?"]),
        ("data fetch tfd", ["TFD_48x48.mat"]),
        ("runs show", ["RUN"]),
        ("runs show nowhere", ["nowhere"]),
        ("runs list --dir nowhere", ["nowhere"]),
        ("cite nowhere", ["nowhere"]),
    ],
)
def test_wrong_usage(
    advnets: Command, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, line: str, words: list[str]
) -> None:
    monkeypatch.setenv("ADVNETS_DATA", "")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    if "cuda" in line:
        monkeypatch.setattr("torch.cuda.is_available", lambda: False)
    assert_refused(advnets(line), *words)
    assert contents(tmp_path) == {}


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ("train --out run", ["run exists", "--resume", "--out"]),
        ("train --resume --out run --train.learning_rate .05", ["train.learning_rate is 0.1 in the run and 0.05 here"]),
        (
            "train --resume --out run --seed 3 --generator.hidden 3 4",
            ["seed is 0", "generator.hidden is 16 in the run"],
        ),
        ("train --resume --out run --train.log_every 7", ["train.log_every"]),
        ("train --resume --out run --data mnist", ["data.name"]),
        ("train --resume --out run --steps 10", ["10", "20"]),
        ("train mnist --resume --out run", ["mnist", "digits"]),
        ("train mnist --resume", ["no run of mnist"]),
        ("sample run --out picture.gif", ["picture.gif", ".npz"]),
        ("sample run --out run/config.json/x.png", ["x.png"]),
        ("sample run --n 0", ["--n"]),
        ("sample run --n 10001", ["--n", "10000"]),
        ("sample run --seed -1", ["--seed"]),
        ("sample run --step 7", ["step 7", "20"]),
        ("sample run --weights raw --weights mean", ["--weights", "'mean'"]),
        ("interpolate run --out picture.npz", ["picture.npz"]),
        ("interpolate run --steps 1", ["--steps"]),
        ("interpolate run --rows 0", ["--rows"]),
    ],
)
def test_wrong_usage_of_a_run(advnets: Command, trained: Path, line: str, words: list[str]) -> None:
    before = contents(trained.parent)
    assert_refused(advnets(line), *words)
    assert contents(trained.parent) == before


@pytest.mark.parametrize(
    "line", ["train --resume --out run --steps 40", "sample run", "interpolate run", "runs show run", "cite run"]
)
def test_a_run_of_a_newer_version(advnets: Command, trained: Path, line: str) -> None:
    config = json.loads((trained / "config.json").read_text())
    (trained / "config.json").write_text(json.dumps({**config, "format": 99}))
    before = contents(trained)
    assert_refused(advnets(line), "format 99", "update advnets")
    assert contents(trained) == before


@pytest.mark.parametrize("line", ["train --resume --out run --steps 40", "sample run", "interpolate run"])
def test_a_checkpoint_with_a_flipped_byte(advnets: Command, trained: Path, line: str) -> None:
    file = trained / "checkpoints" / "step-20" / "generator.safetensors"
    damaged = bytearray(file.read_bytes())
    damaged[-1] ^= 1
    file.write_bytes(damaged)
    before = contents(trained)
    assert_refused(advnets(line), "step-20", "generator.safetensors", "step 10")
    assert contents(trained) == before


@pytest.mark.parametrize("damage", ["", "[]", '{"format": 1}', '{"format": 1, "config": {"seed": "x"}}'])
def test_a_damaged_config(advnets: Command, trained: Path, damage: str) -> None:
    (trained / "config.json").write_text(damage)
    for line in ("train --resume --out run", "sample run", "runs show run", "cite run"):
        assert_refused(advnets(line))


def test_resume_with_other_data(advnets: Command, tmp_path: Path) -> None:
    images = np.random.default_rng(0).random((40, 4, 4))
    np.save(tmp_path / "mine.npy", images)
    assert advnets("train mine.npy --steps 5 --out run").status == 0
    np.save(tmp_path / "mine.npy", images[::-1])
    before = contents(tmp_path)
    assert_refused(advnets("train --resume --out run --steps 10"), "data", "changed")
    assert contents(tmp_path) == before


def test_data_in_the_recipe_and_beside_it(advnets: Command, tmp_path: Path) -> None:
    np.save(tmp_path / "mine.npy", np.zeros((40, 4, 4)))
    assert_refused(advnets("train mine.npy --data digits"), "--data")


def test_nets_that_do_not_fit_the_data(advnets: Command, tmp_path: Path) -> None:
    np.save(tmp_path / "mine.npy", np.random.default_rng(0).random((200, 8, 8)))
    for line in ("train cifar10-conv --data mine.npy", "train cifar10-conv --data ring --dry-run"):
        assert_refused(advnets(line))
    assert [path.name for path in tmp_path.iterdir()] == ["mine.npy"]


def test_a_full_disk(advnets: Command, trained: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*arguments: object, **settings: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("advnets.training.saved.write_tensors", refuse)
    before = contents(trained / "checkpoints")
    done = advnets("train --resume --out run --steps 30")
    assert (done.status, done.out) == (2, "")
    assert done.err.splitlines()[-1].startswith("advnets: error: cannot write the checkpoint of step 30")
    assert "No space left" in done.err and "step 20 is intact" in done.err
    assert contents(trained / "checkpoints") == before
    monkeypatch.undo()
    monkeypatch.chdir(trained.parent)
    assert advnets("train --resume --out run --steps 30").status == 0


def test_a_full_disk_while_sampling(advnets: Command, trained: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*arguments: object, **settings: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("numpy.save", refuse)
    assert_refused(advnets("sample run --out x.npy"), "x.npy", "No space left")
    assert not list(trained.parent.glob("*x.npy*"))


def test_out_of_memory(advnets: Command, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*arguments: object, **settings: object) -> None:
        raise RuntimeError("DefaultCPUAllocator: can't allocate memory: you tried to allocate 9 bytes.\nMore words")

    monkeypatch.setattr("advnets.training.loop.new_game", refuse)
    assert_refused(advnets("train"), "--train.batch_size")


def test_a_bug_is_one_line_too(advnets: Command, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(name: str) -> None:
        raise KeyError("two\nlines")

    monkeypatch.setattr("advnets.recipes.get", fail)
    done = advnets("recipes digits")
    assert (done.status, done.out, done.err.count("\n")) == (2, "", 1)
    assert "a bug" in done.err and "--debug" in done.err
    assert "Traceback" in advnets("recipes --debug digits").err


def test_debug_shows_the_traceback_of_wrong_usage(advnets: Command) -> None:
    done = advnets("--debug train dgits")
    assert done.status == 2
    assert "Traceback" in done.err and done.err.splitlines()[-1].startswith("advnets: error:")
