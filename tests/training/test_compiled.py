"""`--train.compile on`: the same game in one graph, which resumes to the bit; without a compiler, one line."""

import dataclasses
import json
import os
import shutil
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from advnets import recipes
from advnets.cli.main import main
from advnets.config import check
from advnets.errors import InputError
from advnets.training import compiled
from processes import command, script, started

COMPILER = any(map(shutil.which, ("g++", "clang++", "c++")))
needs_compiler = pytest.mark.skipif(not COMPILER, reason="no C++ compiler, which torch.compile needs")
TINY = ["train", "digits", "--generator.hidden", "16", "--discriminator.hidden", "8", "--train.learning_rate", "0.3"]
TINY += ["--train.precision", "bf16-mixed", "--train.sample_every", "1000", "--train.checkpoint_every", "10"]


@pytest.fixture(scope="module", autouse=True)
def compiled_once(tmp_path_factory):
    """A cache of the compiler's for the tests of this file."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("TORCHINDUCTOR_CACHE_DIR", str(tmp_path_factory.mktemp("inductor")))
        yield


def advnets(folder, *words, **environment):
    """Run a command in a process without the shape checks of the tests, which torch.compile does not take."""
    out, err = folder / "out", folder / "err"
    process = command(list(map(str, words)), folder, out, err, **environment)
    process.join(300)
    return process.exitcode, err.read_text()


@pytest.mark.slow
@needs_compiler
def test_it_plays_the_game_of_the_plain_step(tmp_path):
    """Weights, velocities, averages, sums and the random stream, dropout, limited columns, a hand from outside."""
    told = tmp_path / "told"
    process = started(script, Path(__file__).with_name("compiled_twin.py"), [], told)
    process.join(300)
    assert process.exitcode == 0, told.read_text()[-2000:]
    found = json.loads(told.read_text().splitlines()[-1])
    assert found["same_random"] and found["summed"] == found["averaged"] == [40, 40] and found["moved"] > 1e-4
    assert found["worst"] < 1e-5, "the sums are of float32"
    assert found["worst_of_weights"] < 1e-12


@pytest.mark.slow
@needs_compiler
def test_in_bfloat16_too_and_a_run_goes_on_to_the_bits_of_one_never_stopped(tmp_path):
    plain, whole, halves = (tmp_path / name for name in ("plain", "whole", "halves"))
    ends = (whole, "step-10"), (whole, "step-20"), (plain, "step-20")
    for run, words in (
        (plain, [*TINY, "--train.compile", "off", "--steps", "20"]),
        (whole, [*TINY, "--train.compile", "on", "--steps", "20"]),
        (halves, ["train", "--resume", "--steps", "20"]),
    ):
        if run == halves:  # as if the one before had been stopped at step 10
            shutil.copytree(whole, halves)
            shutil.rmtree(halves / "checkpoints" / "step-20")
        status, said = advnets(tmp_path, *words, "--out", run)
        assert status == 0, said
        assert ("compiling the step" in said) == (run != plain)
        (tmp_path / "err").unlink()
    for name in ("generator", "discriminator", "discriminator-optimiser", "game"):
        one, other = ((run / f"checkpoints/step-20/{name}.safetensors").read_bytes() for run in (whole, halves))
        assert one == other
    for net in ("generator", "discriminator"):
        files = (run / "checkpoints" / step / f"{net}.safetensors" for run, step in ends)
        before, compiled_net, plain_net = (torch.cat([one.flatten() for one in load_file(at).values()]) for at in files)
        apart = (compiled_net - plain_net).norm() / (plain_net - before).norm()
        assert apart < 0.2, "roundings of bfloat16, of .004, and what twenty steps make of them"


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
    assert main([*TINY, "--train.compile", "on", "--steps", "2", "--out", str(tmp_path / "run")]) == 2
    err = capsys.readouterr().err
    assert "there is no C++ compiler, allowed: one process on a CPU, with g++ or clang++" in err
    assert not (tmp_path / "run").exists()


@needs_compiler
def test_a_compiler_that_fails_is_one_line(tmp_path):
    folder = tmp_path / "bin"
    folder.mkdir()
    (folder / "g++").write_text("#!/bin/sh\nexit 1\n")
    (folder / "g++").chmod(0o755)
    elsewhere = {"PATH": f"{folder}:{os.environ['PATH']}", "TORCHINDUCTOR_CACHE_DIR": str(tmp_path / "cache")}
    words = [*TINY, "--train.compile", "on", "--steps", "2", "--out", tmp_path / "run"]
    status, said = advnets(tmp_path, *words, CXX=str(folder / "g++"), **elsewhere)
    assert status == 2, said
    assert "torch.compile fails here" in said.splitlines()[-1]


@pytest.mark.parametrize(
    ("device", "processes", "wrong"), [("cuda", 1, "the device is cuda"), ("cpu", 2, "there are 2")]
)
def test_other_devices_and_more_processes_are_refused(device, processes, wrong):
    config = recipes.get("digits")
    config = check(dataclasses.replace(config, train=dataclasses.replace(config.train, compile="on")))
    with pytest.raises(InputError, match=f"{wrong}.*allowed: one process on a CPU"):
        compiled.require_compiler(config, torch.device(device), processes)
