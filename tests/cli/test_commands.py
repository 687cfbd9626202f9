"""The other commands, what they print, and that help needs no torch."""

import json
import math
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

import advnets as package
from advnets import recipes
from advnets.cli.main import COMMANDS
from advnets.data import CATALOGUE
from advnets.nets.build import build_classifier, build_discriminator, build_generator, parameter_count
from advnets.parameters import parameter_counts
from advnets.rivals.build import build_rival
from advnets.seeds import stream

from .conftest import Command


def test_help_of_every_command_without_torch() -> None:
    program = f"""
import sys
from advnets.cli.main import main
for name in {list(COMMANDS)!r}:
    assert main([name, "--help"]) == 0
assert main([]) == main(["--version"]) == main(["recipes"]) == main(["data", "list"]) == main(["cite"]) == 0
heavy = {{"torch", "scipy", "sklearn", "matplotlib", "optuna"}} & set(sys.modules)
assert not heavy, heavy
"""
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    for name in COMMANDS:
        assert f"usage: advnets {name}" in done.stdout


@pytest.mark.parametrize("name", recipes.RECIPES)
def test_counts_are_those_of_the_nets(name: str) -> None:
    config = recipes.get(name)
    shape = CATALOGUE[config.data.name].shape
    size = math.prod(shape)
    with torch.device("meta"):
        if config.rival:
            nets = {"model": build_rival(config, size, torch.zeros(size), stream(0, "weights"))}
        else:
            build_d = build_classifier if config.semi else build_discriminator
            nets = {
                "generator": build_generator(config, shape, torch.zeros(shape), stream(0, "weights")),
                "discriminator": build_d(config, shape, stream(0, "weights")),
            }
    assert parameter_counts(config, shape) == {name: parameter_count(net) for name, net in nets.items()}


def test_recipes(advnets: Command) -> None:
    out = advnets("recipes").out
    assert "2,503,984 + 1,231,441" in out and "225 ± 2 nats" in out
    assert out.splitlines()[-1].startswith("auto ")
    assert {row["name"] for row in json.loads(advnets("recipes --json").out)["recipes"]} == set(recipes.RECIPES)
    assert "discriminator.convolutions.2.channels 192\n" in advnets("recipes cifar10-conv").out
    assert json.loads(advnets("recipes mnist --json").out)["config"]["train"]["batch_size"] == 100


def test_data(advnets: Command) -> None:
    rows = {row["name"]: row for row in json.loads(advnets("data list --json").out)["data"]}
    assert set(rows) == set(CATALOGUE) and rows["digits"]["state"] == "built in"
    assert "scikit-learn" in advnets("data info digits").out
    assert json.loads(advnets("data fetch ring --json").out)["shape"] == [2]
    assert "stacked_mnist" in advnets("data list").out


def test_packed_data_are_trained_on_by_their_folder(advnets: Command, tmp_path: Path) -> None:
    np.savez("own.npz", x=np.random.default_rng(0).integers(0, 256, (90, 6, 6), np.uint8), y=np.arange(90) % 3)
    told = advnets("data pack own.npz --out new/packed")
    assert told.status == 0 and told.out.endswith("next     advnets train new/packed\n")
    facts = json.loads(advnets("data info new/packed --json").out)
    assert (facts["state"], facts["examples"], facts["shape"]) == ("packed", 90, [1, 6, 6])
    assert facts["classes"] == ["0", "1", "2"]
    assert advnets("train new/packed --steps 20 --train.batch_size 10 --out run SMALL").status == 0
    advnets("train own.npz --steps 20 --train.batch_size 10 --out plain SMALL")
    assert (tmp_path / "run/log.jsonl").read_bytes() == (tmp_path / "plain/log.jsonl").read_bytes()
    assert json.loads((tmp_path / "run/config.json").read_text())["data"]["train"] == 72
    scores = json.loads(advnets("evaluate run --samples 50 --redraws 0 --metrics parzen --json").out)
    assert scores["protocol"]["train_of"] == scores["protocol"]["train"] == 72


def test_runs(advnets: Command, trained: Path) -> None:
    assert "no runs" in advnets("runs list").out
    assert json.loads(advnets("runs list --json").out) == {"runs": []}
    (row,) = json.loads(advnets("runs list --dir . --json").out)["runs"]
    shown = json.loads(advnets("runs show run --json").out)
    assert {**row, "run": "run"} == {**shown, "run": "run"}
    assert (shown["recipe"], shown["state"], shown["step"], shown["checkpoints"]) == (
        "digits",
        "finished",
        20,
        [10, 20],
    )
    assert shown["last_measures"]["step"] == 20 and shown["parameters"]["generator"] == 4 * 16 + 16 + 17 * 64
    assert "discriminator_loss" in advnets("runs show run").out
    assert "20/20" in advnets("runs list --dir .").out


def test_a_damaged_run_does_not_hide_the_others(advnets: Command, trained: Path) -> None:
    (trained.parent / "broken").mkdir()
    (trained.parent / "broken" / "config.json").write_text("{")
    rows = json.loads(advnets("runs list --dir . --json").out)["runs"]
    assert sorted("error" in row for row in rows) == [False, True]
    assert "unreadable" in advnets("runs list --dir .").out


def test_sample(advnets: Command, trained: Path) -> None:
    assert advnets("sample run").status == 0
    with Image.open(trained / "samples-seed0.png") as picture:
        assert picture.width >= 480
    content = json.loads(advnets("sample run --n 5 --seed 3 --out new/five.npz --json").out)
    assert content["shape"] == [5, 8, 8] and content["step"] == 20 and content["weights"] == "average"
    with np.load("new/five.npz") as file:
        assert file["samples"].shape == (5, 8, 8) and file["samples"].dtype == np.float32
        assert (file["seed"], file["step"]) == (3, 20)
        first = file["samples"]
    advnets("sample run --n 5 --seed 3 --out five.npy")
    np.testing.assert_array_equal(np.load("five.npy"), first)
    advnets("sample run --n 5 --seed 4 --out five.npy")
    assert not np.array_equal(np.load("five.npy"), first)
    assert json.loads(advnets("sample run --weights raw --step 10 --json").out)["weights"] == "generator"


def test_interpolate(advnets: Command, trained: Path) -> None:
    assert advnets("interpolate run --rows 3 --steps 4").status == 0
    with Image.open(trained / "interpolation-seed0.png") as picture:
        assert picture.width / picture.height == (4 * 9 + 1) / (3 * 9 + 1)
    assert json.loads(advnets("interpolate run --out x.png --json").out)["file"] == "x.png"


def test_vectors_are_plotted(advnets: Command) -> None:
    assert advnets("train ring --steps 5 --out run").status == 0
    assert advnets("sample run").status == advnets("interpolate run").status == 0
    assert json.loads(advnets("sample run --n 3 --out x.npy --json").out)["shape"] == [3, 2]


def test_cite(advnets: Command, trained: Path) -> None:
    entries = json.loads(advnets("cite run --json").out)["entries"]
    assert list(entries) == [
        "goodfellow2014generative",
        "goodfellow2013maxout",
        "srivastava2014dropout",
        "alpaydin1998digits",
        "advnets",
    ]
    for entry in entries.values():
        assert entry.count("{") == entry.count("}")
    assert list(json.loads(advnets("cite --json").out)["entries"]) == ["goodfellow2014generative", "advnets"]
    assert "2672--2680" in advnets("cite").out


def test_a_closed_pipe_is_quiet() -> None:
    line = f"{sys.executable} -m advnets data list | true"
    done = subprocess.run(line, shell=True, capture_output=True, text=True)
    assert done.stderr == ""


def test_the_example_in_the_docstring_works(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    code = "\n".join(line.strip() for line in (package.__doc__ or "").splitlines() if line.startswith("    "))
    assert len(code.splitlines()) == 6
    get = recipes.get
    monkeypatch.setattr("advnets.recipes.get", lambda name: replace(get(name), train=replace(get(name).train, steps=2)))
    exec(code, {"images": np.random.default_rng(0).random((120, 8, 8))})
    assert (tmp_path / "runs" / "mine" / "samples.png").is_file()
