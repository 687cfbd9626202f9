"""`advnets encode`: what it writes and prints, what it refuses, and that a stop in the middle is gone on from."""

import json
import os
import signal
import time
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from advnets.config import DataConfig
from advnets.data import load
from advnets.extensions import codes
from advnets.extensions.inference import load_inference
from advnets.runs import Run
from processes import command

from .conftest import Command

ENCODER = "--steps 12 --hidden 8 --batch_size 5"


def test_the_first_time_it_fits_and_then_it_uses_that(advnets: Command, trained: Path) -> None:
    first = json.loads(advnets(f"encode run {ENCODER} --json").out)
    assert first["file"] == "run/codes.npz" and (first["n"], first["code"]) == (300, 4) and first["seconds"] > 0
    inference, data = load_inference(Run(trained)), load(DataConfig("digits"))
    expected = inference.encode(data.test.x)
    with np.load("run/codes.npz") as file:
        assert {*file} == {"codes", "reconstructions", "labels"}
        np.testing.assert_array_equal(file["codes"], expected)
        np.testing.assert_array_equal(file["labels"], data.test.labels)
        assert file["reconstructions"].shape == (300, 8, 8)
        error = np.square(file["reconstructions"].astype(np.float64) - data.test.x[:, 0]).mean()
    assert first["reconstruction_mse"] == pytest.approx(error)
    assert first["correlation"] == codes.recovery(inference).correlation
    assert {*first["baseline_mse"]} == {"mean_image", "nearest_sample"}
    accuracy = first["nearest_neighbour_accuracy"]
    assert (
        accuracy["raw"] == pytest.approx(codes.feature_accuracy(inference, data)["raw"]) and accuracy["queries"] == 300
    )
    again = json.loads(advnets("encode run --no_neighbours --json").out)
    same = {**first, "seconds": 0.0, "nearest_neighbour_accuracy": None}
    assert again == same
    assert "nearest neighbour" in advnets("encode run --out codes.npy").out
    np.testing.assert_array_equal(np.load("codes.npy"), expected)


def test_pairs_are_drawn_side_by_side(advnets: Command, trained: Path) -> None:
    assert advnets(f"encode run --no_neighbours --out pairs.png {ENCODER}").status == 0
    x = load(DataConfig("digits")).test.x[0, 0]
    with Image.open("pairs.png") as picture:
        columns, rows = 16 * 9 + 1, 8 * 9 + 1
        factor = picture.width // columns
        assert picture.size == (columns * factor, rows * factor)
        pixels = np.asarray(picture)[::factor, ::factor]
    np.testing.assert_array_equal(pixels[1:9, 1:9], np.rint(255 * x))


def test_examples_of_the_user(advnets: Command, trained: Path) -> None:
    test = load(DataConfig("digits")).test
    np.savez("mine.npz", x=np.rint(255 * test.x[:20, 0]).astype(np.uint8), labels=test.labels[:20] + 7)
    content = json.loads(advnets(f"encode run mine.npz --out codes.npz --json {ENCODER}").out)
    assert content["n"] == 20 and content["baseline_mse"] is content["nearest_neighbour_accuracy"] is None
    with np.load("codes.npz") as file:
        np.testing.assert_allclose(file["codes"], load_inference(Run(trained)).encode(test.x[:20]), atol=0.01)
        np.testing.assert_array_equal(file["labels"], test.labels[:20] + 7)
    assert advnets(f"encode run mine.npz --reconstruction 1 --refit {ENCODER}").status == 0


def test_columns_come_back_in_their_own_units_and_are_not_drawn(advnets: Command) -> None:
    x = np.random.default_rng(0).normal([100.0, -5.0], [20.0, 0.1], (200, 2)).astype(np.float32)
    np.save("table.npy", x)
    assert advnets("train table.npy --steps 5 --out run --train.batch_size 20").status == 0
    assert advnets(f"encode run table.npy --out codes.npz {ENCODER}").status == 0
    with np.load("codes.npz") as file:
        assert np.abs(file["reconstructions"].mean(axis=0) - x.mean(axis=0)).max() < 10
    own = json.loads(advnets("encode run --json").out)
    assert own["n"] == 20 and own["nearest_neighbour_accuracy"] is None and own["baseline_mse"]["mean_image"] > 0.3
    refused = advnets("encode run --out x.png")
    assert refused.status == 2 and "vectors" in refused.err and not Path("x.png").exists()


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ("encode run --steps 0", ["--steps is 0", "1 or more"]),
        ("encode run --target hidden-7", ["--target is hidden-7", "hidden-1"]),
        ("encode run --target y", ["--target is y", "z, hidden-1"]),
        ("encode run --hidden 0", ["--hidden is 0"]),
        ("encode run --reconstruction -1", ["--reconstruction is -1"]),
        ("encode run --out codes.csv", ["codes.csv", ".npz"]),
        ("encode run --weights best", ["--weights", "auto"]),
        ("encode nothing", ["nothing is not a run folder"]),
        ("encode", ["RUN is missing"]),
        ("encode run nothing.npz --steps 1 --hidden 4", ["nothing.npz is not there"]),
    ],
)
def test_refusals(advnets: Command, trained: Path, line: str, words: list[str]) -> None:
    done = advnets(line)
    assert done.status == 2 and done.out == "" and done.err.count("\n") == 1, done
    assert all(word in done.err for word in words), done.err


def test_other_settings_than_those_of_the_encoder_are_refused(advnets: Command, trained: Path) -> None:
    advnets(f"encode run --no_neighbours {ENCODER}")
    done = advnets("encode run --steps 13 --seed 4")
    assert done.status == 2 and "steps 12 there and 13 here, seed 0 there and 4 here" in done.err
    assert advnets("encode run --steps 13 --hidden 8 --refit --no_neighbours").status == 0


def test_a_run_that_trained_on_says_so(advnets: Command, trained: Path) -> None:
    advnets(f"encode run --no_neighbours {ENCODER}")
    assert advnets("train --resume --out run --steps 25").status == 0
    done = advnets("encode run")
    assert done.status == 2 and "of step 20 and the run holds average of step 25" in done.err and "--refit" in done.err
    assert advnets(f"encode run --refit --no_neighbours {ENCODER}").status == 0


def test_rivals_have_no_generator_to_undo_but_a_vae_its_own_encoder(advnets: Command) -> None:
    assert advnets("train rbm --steps 2 --rbm.hidden 5 --out rbm").status == 0
    done = advnets("encode rbm")
    assert done.status == 2 and "rbm is a run of rbm, allowed: runs of adversarial nets" in done.err
    assert advnets("train vae --data digits --steps 2 --vae.hidden 5 --vae.latent 3 --out vae").status == 0
    assert json.loads(advnets("encode vae --json --no_neighbours").out)["code"] == 3
    assert "--steps does not fit a vae" in advnets("encode vae --steps 3").err


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_leaves_a_checkpoint_that_the_same_command_goes_on_from(trained: Path, number: int) -> None:
    words = ["encode", "run", "--hidden", "8", "--steps", "1000000"]
    process = command(words, trained.parent, trained.parent / "out", trained.parent / "err")
    log = trained / "encoder-training" / "log.jsonl"
    while not log.is_file() and process.is_alive():
        time.sleep(0.02)
    assert process.pid is not None
    os.kill(process.pid, number)
    process.join(timeout=60)
    assert process.exitcode == 128 + number, (trained.parent / "err").read_text()
    out = (trained.parent / "out").read_bytes()
    assert b"checkpoint written; the same command goes on" in out
    (step,) = Run(trained / "encoder-training").checkpoint_steps()
    assert step > 0
