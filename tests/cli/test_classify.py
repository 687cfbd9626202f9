"""`advnets classify`, and runs that learn from few labels, on the command line."""

import csv
import json
import shutil

import numpy as np
import pytest
from PIL import Image

from advnets.cli.main import main
from advnets.config import DataConfig
from advnets.data import load

SMALL = "--semi.hidden 24 16 --semi.generator_hidden 16 --train.log_every 20 --train.checkpoint_every 50"


@pytest.fixture(scope="module")
def run_once(tmp_path_factory):
    folder = tmp_path_factory.mktemp("semi") / "semi"
    assert main(["train", "digits-semi-supervised", "--steps", "100", "--out", str(folder), *SMALL.split()]) == 0
    return folder


@pytest.fixture
def semi(run_once, tmp_path):
    shutil.copytree(run_once, tmp_path / "semi")
    return tmp_path / "semi"


def test_a_run_with_few_labels_tells_the_classes_of_test_data(advnets, semi):
    told = json.loads(advnets("classify semi --json").out)
    assert (told["n"], told["classes"]) == (300, [str(digit) for digit in range(10)])
    wrong = sum(one["class"] != one["label"] for one in told["images"])
    assert told["errors"] == {"wrong": wrong, "n": 300} and wrong < 150
    done = advnets("classify semi")
    assert done.status == 0 and f"errors: {wrong} of 300 with a label" in done.out


def test_answers_are_written_as_a_table_or_as_arrays(advnets, semi, tmp_path):
    told = json.loads(advnets("classify semi --json --out all.csv").out)
    rows = list(csv.DictReader((tmp_path / "all.csv").read_text().splitlines()))
    assert [row["class"] for row in rows] == [one["class"] for one in told["images"]]
    assert set(rows[0]) == {"image", "class", "probability", "label"}
    assert advnets("classify semi --out all.npz").status == 0
    found = np.load(tmp_path / "all.npz")
    np.testing.assert_allclose(found["probabilities"].sum(1), 1)
    assert [found["classes"][one] for one in found["probabilities"].argmax(1)] == [row["class"] for row in rows]


def test_a_folder_of_images_and_an_array_get_the_same_answers(advnets, semi, tmp_path):
    data = load(DataConfig())
    chosen = [int(np.flatnonzero(data.test.labels == digit)[0]) for digit in (3, 5, 5, 8)]
    images = np.rint(data.test.x[chosen] * 255).astype(np.uint8)
    for index, (image, digit) in enumerate(zip(images, (3, 5, 5, 8), strict=True)):
        (tmp_path / "mine" / str(digit)).mkdir(parents=True, exist_ok=True)
        Image.fromarray(image[0]).save(tmp_path / "mine" / str(digit) / f"{index}.png")
    np.savez(tmp_path / "mine.npz", samples=images, y=[3, 5, 5, 8])
    np.save(tmp_path / "mine.npy", images)
    told = [json.loads(advnets(f"classify semi {name} --json").out) for name in ("mine", "mine.npz", "mine.npy")]
    assert [one["image"] for one in told[0]["images"]] == ["3/0.png", "5/1.png", "5/2.png", "8/3.png"]
    assert [one["label"] for one in told[0]["images"]] == ["3", "5", "5", "8"]
    assert told[0]["errors"] == told[1]["errors"] and told[2]["errors"] is None
    for other in told[1:]:
        for one, two in zip(told[0]["images"], other["images"], strict=True):
            assert one["class"] == two["class"] and one["probability"] == pytest.approx(two["probability"])


def test_a_run_of_adversarial_nets_classifies_by_its_features(advnets, trained):
    few, many = (json.loads(advnets(f"classify run --labels {n} --json").out)["errors"]["wrong"] for n in (10, 500))
    assert many < few < 270
    one, two = (advnets(f"classify run --seed {seed} --json").out for seed in (0, 1))
    assert one != two and one == advnets("classify run --labels 100 --json").out


def test_what_does_not_fit_is_refused_in_one_line(advnets, semi, trained):
    for line, why in (
        ("classify semi --labels 20", "--labels is 20 and semi has learned from 50"),
        ("classify semi --out all.txt", "--out is all.txt"),
        ("classify run --labels 3", "labels is 3, allowed for digits: 10"),
        ("classify nowhere", "nowhere is not a run folder"),
        ("classify semi nowhere", "nowhere is not there"),
        ("doctor semi", "learns classes from few labels"),
        ("train digits-semi-supervised --semi.labels 9", "--semi.labels is 9"),
        ("train digits-semi-supervised --semi.classes 4 --out new", "--semi.classes is 4 and digits has 10"),
        ("train digits-semi-supervised --train.batch_size 1", "--train.batch_size is 1"),
        ("train digits-semi-supervised --generator.hidden 3", "--generator.hidden does not fit the recipe"),
        ("train digits --semi.labels 30", "--semi.labels does not fit the recipe digits"),
        ("train ring --semi.labels 30", "--semi.labels does not fit the recipe ring"),
    ):
        done = advnets(line)
        assert (done.status, done.out, done.err.count("\n")) == (2, "", 1), (line, done)
        assert why in done.err


def test_it_is_resumed_shown_and_sampled_as_other_runs_are(advnets, semi):
    assert advnets("train --resume --out semi --steps 120").status == 0
    assert "next     advnets sample semi" in advnets("train --resume --out semi --steps 140").out
    assert "advnets classify semi" in advnets("train --resume --out semi --steps 160").out
    shown = json.loads(advnets("runs show semi --json").out)
    assert shown["last_measures"]["validation_error"] < 0.6
    assert json.loads(advnets("sample semi --n 5 --json --out five.npy").out)["shape"] == [5, 8, 8]
    assert "salimans2016improved" in advnets("cite semi").out
    assert "784-1000-500-250-250-250-10" in advnets("recipes").out
    assert "semi.labels 50" in advnets("train digits-semi-supervised --dry-run").out
