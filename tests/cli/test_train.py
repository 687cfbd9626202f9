"""`advnets train`: settings, the user's own data, resuming, and how it ends."""

import json
import os
import shutil
import signal
import time
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from advnets.runs import Run
from processes import command

from .conftest import SMALL, Command


def test_a_run_from_start_to_end(advnets: Command) -> None:
    done = advnets("train digits --steps 20 SMALL")
    assert done.status == 0
    assert "runs/digits-1/samples.png" in done.out
    assert "advnets sample runs/digits-1" in done.out
    assert "G " in done.err and "1,197 / 300 / 300 examples of 1x8x8" in done.err
    assert Run(Path("runs/digits-1")).status()["state"] == "finished"
    with Image.open("runs/digits-1/samples.png") as picture:
        assert picture.width >= 480
    assert advnets("train --steps 5 SMALL").status == 0
    assert Path("runs/digits-2/config.json").is_file()


def test_a_precision_of_auto_is_told_and_kept(advnets: Command) -> None:
    done = advnets("train digits --precision auto --steps 4 SMALL --out run --json")
    assert done.status == 0 and json.loads(done.out)["steps"] == 4
    assert "precision: 32-true, which auto stands for here" in done.err
    assert "Using" not in advnets("train digits --precision bf16-mixed --steps 2 SMALL").err  # lightning-fabric's words
    assert Run(Path("run")).config().train.precision == "32-true"
    assert advnets("train --resume --out run --precision auto --steps 6").status == 0
    assert Run(Path("run")).config().train.precision == "32-true"


@pytest.mark.parametrize("ending", ["", " --train.learning_rate 1e30"])
def test_a_terminal_obeys_no_name_of_a_folder(advnets: Command, ending: str) -> None:
    done = advnets(f"train digits --steps 6 SMALL --out named\x1b[2J{ending}")
    assert "named\\x1b[2J" in done.out + done.err and "\x1b" not in done.out + done.err


@pytest.mark.parametrize("part", ["data", "parameters"])
def test_a_run_that_lacks_what_it_was_trained_on_is_one_clear_line(advnets: Command, trained: Path, part: str) -> None:
    content = json.loads((trained / "config.json").read_text())
    (trained / "config.json").write_text(json.dumps({**content, part: {}}))
    done = advnets("train --resume --out run --steps 24")
    assert done.status == 2 and done.err.strip().count("\n") == 0
    assert "run/config.json is damaged" in done.err and "restore it from a copy" in done.err


def test_settings_in_every_spelling(advnets: Command) -> None:
    line = (
        "train --dry-run --json --train.learning-rate .05 --train.minimum_learning_rate=1e-3 --noise.low -1.5 --seed 7 "
        "--mode paper --steps=12 --discriminator.hidden 100 50 --generator.maps None --data.size 4 digits"
    )
    content = json.loads(advnets(line).out)
    config = content["config"]
    assert config["recipe"] == "digits" and config["seed"] == 7 and config["data"]["size"] == 4
    assert config["train"]["learning_rate"] == 0.05 and config["train"]["minimum_learning_rate"] == 1e-3
    assert config["train"]["mode"] == "paper" and config["train"]["steps"] == 12
    assert config["noise"]["low"] == -1.5 and config["discriminator"]["hidden"] == [100, 50]
    assert content["parameters"]["discriminator"] == 5 * (17 * 100 + 101 * 50) + 51


@pytest.mark.parametrize(
    ("line", "name", "value"),
    [
        ("tfd --second_stage.after 7", ("second_stage", "after"), 7),
        ("cifar10-conv --discriminator.hidden 9", ("discriminator", "hidden"), [9]),
    ],
)
def test_parts_that_only_some_recipes_have(advnets: Command, line: str, name: tuple[str, str], value: object) -> None:
    config = json.loads(advnets(f"train --dry-run --json {line}").out)["config"]
    assert config[name[0]][name[1]] == value


def test_dry_run_writes_nothing(advnets: Command, tmp_path: Path) -> None:
    done = advnets("train mnist --dry-run")
    assert done.status == 0
    assert "train.learning_rate 0.1\n" in done.out
    assert "G 2,503,984, D 1,231,441" in done.out and "runs/mnist-1" in done.out
    assert not list(tmp_path.iterdir())


def test_a_folder_of_images(advnets: Command, tmp_path: Path) -> None:
    folder = tmp_path / "my images"
    folder.mkdir()
    for index, image in enumerate(np.random.default_rng(0).integers(0, 256, (30, 6, 6), np.uint8)):
        Image.fromarray(image).save(folder / f"{index}.png")
    os.symlink(folder, tmp_path / "images")
    assert advnets("train images/ --steps 5 --data.size 4 --generator.hidden 16 8").status == 0
    config = Run(Path("runs/auto-1")).config()
    assert config.recipe == "auto" and config.data.name == str(folder) and config.data.size == 4
    assert config.generator.hidden == (16, 8) and config.discriminator.hidden == (64, 64)
    assert advnets("train images --resume --steps 6").status == 0
    assert advnets("train auto --data images --dry-run").status == 0


def test_own_data_in_a_preset(advnets: Command, tmp_path: Path) -> None:
    np.savez(tmp_path / "mine.npz", samples=np.random.default_rng(0).normal(size=(300, 2)))
    assert advnets("train ring --data mine.npz --steps 5 --train.batch_size 10 --json").status == 0
    assert Run(Path("runs/ring-1")).config().data.name == str(tmp_path / "mine.npz")


def test_json_is_one_object(advnets: Command) -> None:
    done = advnets("train --json --steps 10 SMALL")
    content = json.loads(done.out)
    assert content.pop("seconds") > 0
    assert content == {
        "run": "runs/digits-1",
        "state": "finished",
        "steps": 10,
        "verdict": "learning",
        "evaluation": None,
    }


def test_resume_goes_on_as_if_never_stopped(advnets: Command, trained: Path) -> None:
    assert advnets("train --resume --out run --steps 40 --train.sample_every 50").status == 0
    assert advnets("train --steps 40 --out whole SMALL").status == 0
    run, whole = Run(trained), Run(Path("whole"))
    assert run.config().train.steps == 40 and run.config().train.sample_every == 50
    assert run.log.read_bytes() == whole.log.read_bytes()
    name = "generator.safetensors"
    assert (run.checkpoint(40) / name).read_bytes() == (whole.checkpoint(40) / name).read_bytes()


def test_resume_takes_the_newest_run(advnets: Command, tmp_path: Path, trained: Path) -> None:
    for name in ("digits-1", "digits-2"):
        shutil.copytree(trained, tmp_path / "runs" / name)
    done = advnets("train digits --resume --steps 25 SMALL")
    assert done.status == 0
    assert "going on with runs/digits-2 at step 20" in done.err
    assert Run(Path("runs/digits-1")).status()["step"] == 20


def test_resume_of_a_finished_run_says_how_to_add_steps(advnets: Command, trained: Path) -> None:
    done = advnets("train --resume --out run")
    assert done.status == 0
    assert "finished at step 20" in done.out and "--steps 40" in done.out
    content = json.loads(advnets("train --resume --out run --json").out)
    assert (content["state"], content["steps"]) == ("finished", 20)


def test_a_finished_run_is_scored_when_asked(advnets: Command, trained: Path) -> None:
    before = (trained / "checkpoints" / "step-20" / "SHA256SUMS").read_bytes()
    content = json.loads(advnets("train --resume --out run --evaluate --json").out)
    assert (content["state"], content["steps"]) == ("finished", 20)
    assert content["evaluation"]["subject"]["step"] == 20
    assert (trained / "checkpoints" / "step-20" / "SHA256SUMS").read_bytes() == before


def test_divergence(advnets: Command, tmp_path: Path) -> None:
    done = advnets("train --steps 100 SMALL --train.learning_rate 1e30 --out run --json")
    assert done.status == 1
    content = json.loads(done.out)
    assert (content["state"], content["verdict"]) == ("diverged", "diverged")
    last = done.err.splitlines()[-1]
    assert last.startswith("diverged: at step") and "--train.learning_rate" in last and "checkpoint" in last
    again = advnets("train --resume --out run")
    assert again.status == 2 and "diverged" in again.err and again.err.count("\n") == 1


def test_a_run_is_trained_by_one_process(advnets: Command, trained: Path) -> None:
    before = (trained / "config.json").read_bytes()
    with Run(trained).locked():
        done = advnets("train --resume --out run --steps 40")
    assert done.status == 2 and "another process" in done.err
    assert (trained / "config.json").read_bytes() == before


@pytest.mark.parametrize(("number", "status"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_a_signal_stops_with_a_checkpoint(advnets: Command, tmp_path: Path, number: int, status: int) -> None:
    line = ["train", "--out", "run", "--steps", "100000", "--json", *SMALL.split()]
    process = command(line, tmp_path, tmp_path / "out", tmp_path / "err")
    while not Run(tmp_path / "run").checkpoint_steps() and process.is_alive():
        time.sleep(0.02)
    assert process.pid is not None
    os.kill(process.pid, number)
    process.join(timeout=30)
    out, err = (tmp_path / "out").read_text(), (tmp_path / "err").read_text()
    assert process.exitcode == status, err
    run = Run(tmp_path / "run")
    step = run.status()["step"]
    assert run.status()["state"] == "interrupted" and run.checkpoint_steps()[-1] == step
    assert json.loads(out)["state"] == "interrupted"
    assert "advnets train --resume --out run" in err
    assert advnets(f"train --resume --out run --steps {step + 3}").status == 0
    assert run.status().items() >= {"step": step + 3, "state": "finished", "verdict": "learning"}.items()


def test_handlers_are_put_back(advnets: Command) -> None:
    before = signal.getsignal(signal.SIGINT), signal.getsignal(signal.SIGTERM)
    advnets("train --steps 2 SMALL")
    assert (signal.getsignal(signal.SIGINT), signal.getsignal(signal.SIGTERM)) == before
