"""`--train.compile on`: the same game in one graph, which resumes to the bit; without a compiler, one line."""

import dataclasses
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import torch

import advnets
from advnets import recipes
from advnets.cli.main import main
from advnets.config import check
from advnets.errors import InputError
from advnets.training import compiled

COMPILER = any(map(shutil.which, ("g++", "clang++", "c++")))
needs_compiler = pytest.mark.skipif(not COMPILER, reason="no C++ compiler, which torch.compile needs")
TINY = ["train", "digits", "--generator.hidden", "16", "--discriminator.hidden", "8", "--train.batch_size", "20"]
TINY += ["--train.compile", "on", "--train.sample_every", "1000", "--train.checkpoint_every", "10"]


def alone(*words, **environment):
    """Run Python without the shape checks of the tests, which torch.compile does not take into a graph."""
    path = os.pathsep.join([str(Path(advnets.__file__).parents[1]), os.environ.get("PYTHONPATH", "")])
    return subprocess.run(
        [sys.executable, *map(str, words)],
        env={**os.environ, "PYTHONPATH": path, "OMP_NUM_THREADS": "1", **environment},
        capture_output=True,
        text=True,
        check=False,
        timeout=300,
    )


@pytest.mark.slow
@needs_compiler
def test_it_plays_the_game_of_the_plain_step():
    """Weights, velocities, averages, sums and the random stream, dropout, limited columns, a hand from outside."""
    done = alone(Path(__file__).with_name("compiled_twin.py"), "64-true", "bf16-mixed")
    assert done.returncode == 0, done.stderr[-2000:]
    found = json.loads(done.stdout.splitlines()[-1])
    for precision, steps in (("64-true", 40), ("bf16-mixed", 4)):
        one = found[precision]
        assert one["same_random"] and one["summed"] == one["averaged"] == [steps, steps] and one["moved"] > 1e-4
    assert found["64-true"]["worst"] < 1e-5, "the sums are of float32"
    assert found["64-true"]["worst_of_weights"] < 1e-12
    assert found["bf16-mixed"]["worst"] < 0.03, "a few roundings of bfloat16, of .004"


@pytest.mark.slow
@needs_compiler
def test_a_run_goes_on_to_the_bits_of_one_never_stopped(tmp_path):
    whole, halves = tmp_path / "whole", tmp_path / "halves"
    for words in (
        [*TINY, "--steps", "20", "--out", whole],
        [*TINY, "--steps", "10", "--out", halves],
        ["train", "--resume", "--steps", "20", "--out", halves],
    ):
        done = alone("-m", "advnets", *words)
        assert done.returncode == 0, done.stderr
        assert "compiling the step" in done.stderr
    for name in ("generator", "discriminator", "discriminator-optimiser", "game"):
        one, other = ((run / f"checkpoints/step-20/{name}.safetensors").read_bytes() for run in (whole, halves))
        assert one == other


@pytest.mark.parametrize(
    ("recipe", "words", "wrong"),
    [
        ("mnist", ["--mode", "paper"], "--train.mode is paper"),
        ("mnist", ["--train.optimiser", "adam"], "--train.optimiser is adam"),
        ("mnist", ["--train.rest_above", ".5"], "--train.rest_above is 0.5"),
        ("cifar10-conv", [], "the nets have convolutions"),
        ("digits-conditional", [], "condition is set"),
        ("digits-semi-supervised", [], "semi is set"),
        ("tfd", [], "second_stage is set"),
        ("dbn", [], "the model is a rival"),
    ],
)
def test_what_is_not_one_graph_is_refused_in_one_line(capsys, recipe, words, wrong):
    assert main(["train", recipe, "--train.compile", "on", *words, "--dry-run"]) == 2
    err = capsys.readouterr().err
    assert f"--train.compile is on and {wrong}, allowed: released mode" in err and err.count("\n") == 1


def test_no_compiler_is_one_line_and_leaves_no_run(monkeypatch, capsys, tmp_path):
    monkeypatch.setattr(shutil, "which", lambda name: None)
    assert main([*TINY, "--steps", "2", "--out", str(tmp_path / "run")]) == 2
    err = capsys.readouterr().err
    assert "there is no C++ compiler, allowed: one process on a CPU, with g++ or clang++" in err
    assert not (tmp_path / "run").exists()


@needs_compiler
def test_a_compiler_that_fails_is_one_line(tmp_path):
    folder = tmp_path / "bin"
    folder.mkdir()
    (folder / "g++").write_text("#!/bin/sh\nexit 1\n")
    (folder / "g++").chmod(0o755)
    done = alone(
        "-m",
        "advnets",
        *TINY,
        "--steps",
        "2",
        "--out",
        tmp_path / "run",
        CXX=str(folder / "g++"),
        PATH=f"{folder}:{os.environ['PATH']}",
        TORCHINDUCTOR_CACHE_DIR=str(tmp_path / "cache"),
    )
    assert done.returncode == 2, done.stderr
    assert "torch.compile fails here" in done.stderr.splitlines()[-1]


@pytest.mark.parametrize(
    ("device", "processes", "wrong"), [("cuda", 1, "the device is cuda"), ("cpu", 2, "there are 2")]
)
def test_other_devices_and_more_processes_are_refused(device, processes, wrong):
    config = recipes.get("digits")
    config = check(dataclasses.replace(config, train=dataclasses.replace(config.train, compile="on")))
    with pytest.raises(InputError, match=f"{wrong}.*allowed: one process on a CPU"):
        compiled.require_compiler(config, torch.device(device), processes)
