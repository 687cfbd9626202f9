import json
import re
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from scipy.io import loadmat, savemat
from sklearn.datasets import load_digits

from advnets.data import toys
from advnets.evaluation import evaluate, features

DIGITS = (load_digits().images / 16).astype(np.float32)


@pytest.fixture
def samples(tmp_path: Path) -> Path:
    """Digits of the data set itself, as another program would write them."""
    np.savez(tmp_path / "samples.npz", samples=DIGITS[:500])
    return tmp_path / "samples.npz"


def test_a_run_is_scored_by_the_contract_s_keys(advnets, trained):
    done = advnets("evaluate run --json --samples 300 --redraws 1")
    assert done.status == 0
    result = json.loads(done.out)
    assert {"nats", "standard_error", "bandwidth", "grid", "centres", "test_points"} <= {*result["parzen"]}
    assert {"training_images", "kmeans", "gaussian", "gaussian_mixture", "test_images"} == {*result["references"]}
    assert {"parzen", "references", "fid", "kid", "precision_recall", "protocol", "subject"} <= {*result}
    assert not {"ais", "modes"} & {*result}  # minutes long, and senseless here: only where they are asked for
    assert (
        result["fid"]["pixels"]["zero"]["value"] > 0.01
    )  # training against test data, not test data against themselves
    assert result["subject"] == {"run": "run", "recipe": "digits", "seed": 0, "step": 20, "weights": "average"}
    assert json.loads((trained / "evaluation.json").read_text()) == result
    assert "NaN" not in done.out and "Infinity" not in done.out


def test_a_generator_is_annealed_with_noise_of_the_parzen_bandwidth(advnets, trained, monkeypatch):
    monkeypatch.setattr(evaluate, "_ANNEALING", {"steps": 5, "chains": 2, "leapfrog": 1})
    done = advnets("evaluate run --json --samples 300 --redraws 0 --metrics parzen ais")
    result = json.loads(done.out)
    assert {*result["ais"]} == {
        *("mean", "standard_error", "n", "acceptance", "median_effective_sample_size"),
        *("gap_of_bounds", "bounds", "annealing"),
    }
    sigma = pytest.approx(result["parzen"]["bandwidth"])
    assert result["ais"]["annealing"] == {"sigma": sigma, "steps": 5, "chains": 2, "leapfrog": 1, "seed": 0}


def test_the_table_and_the_page_hold_every_measure(advnets, trained):
    done = advnets("evaluate run --samples 300 --redraws 0 --metrics parzen fid memorisation")
    assert [line.split()[0] for line in done.out.splitlines() if re.match(r"[a-z]", line)] == [
        *("metric", "parzen", "fid", "memorisation", "report:")
    ]
    page = (trained / "evaluation.html").read_text()
    assert page.count("data:image/png;base64,") == 3  # samples, neighbours, the curve
    assert "http" not in page.replace("http-equiv", "")
    assert "rewards smoothing, not quality" in page


def test_the_same_seed_gives_the_same_numbers_and_another_seed_others(advnets, trained):
    line = "evaluate run --json --samples 200 --redraws 0 --metrics parzen fid --seed "
    first, again, other = (json.loads(advnets(line + seed).out) for seed in ("1", "1", "2"))
    assert first == again
    assert first["parzen"]["nats"] != other["parzen"]["nats"]
    assert first["fid"]["pixels"]["value"] != other["fid"]["pixels"]["value"]


def test_samples_of_another_program_are_scored_and_nothing_is_written(advnets, samples, tmp_path):
    done = advnets("evaluate samples.npz --data digits --json --metrics parzen duplicates")
    result = json.loads(done.out)
    assert result["parzen"]["centres"] == result["protocol"]["samples"] == 500
    assert "redraws" not in result["parzen"]
    assert sorted(path.name for path in tmp_path.iterdir()) == ["samples.npz"]


def test_a_folder_of_pictures_scores_as_the_array_does(advnets, tmp_path):
    pixels = np.rint(DIGITS[:200] * 255).astype(np.uint8)
    np.save(tmp_path / "array.npy", pixels)
    (tmp_path / "pictures").mkdir()
    for index, image in enumerate(pixels):
        Image.fromarray(image).save(tmp_path / "pictures" / f"{index:03d}.png")
    line = "evaluate {} --data digits --json --metrics parzen fid"
    array, pictures = (json.loads(advnets(line.format(name)).out) for name in ("array.npy", "pictures"))
    assert array["parzen"] == pictures["parzen"]
    assert array["fid"] == pictures["fid"]


def test_data_in_folds_are_scored_in_every_fold(advnets, tmp_path, data_folder):
    whole = loadmat(str(data_folder / "faces" / "faces48_tfd_layout.mat"))
    labelled = whole["folds"].any(1)
    rows = np.sort([*np.flatnonzero(labelled), *np.flatnonzero(~labelled)[:100]])
    savemat(str(tmp_path / "faces.mat"), {name: whole[name][rows] for name in ("images", "labs_ex", "folds")})
    faces = np.load(data_folder / "faces" / "faces_pd48.npz")["X"][:400, ::4, ::4]
    np.save(tmp_path / "faces.npy", faces)
    line = "evaluate faces.npy --data faces.mat --data.size 12 --metrics parzen --out report"
    shown = advnets(line).out
    result = json.loads((tmp_path / "report" / "evaluation.json").read_text())
    nats = [fold["nats"] for fold in result["parzen"]["folds"]]
    assert len(nats) == result["protocol"]["folds"] == 5
    assert result["parzen"]["nats"] == pytest.approx(np.mean(nats))
    assert result["parzen"]["standard_error"] == pytest.approx(np.std(nats, ddof=1) / 5**0.5)
    assert all(f"fold {number}" in shown for number in range(1, 6))


def test_out_keeps_the_report_of_samples(advnets, samples, tmp_path):
    advnets("evaluate samples.npz --data digits --metrics parzen --out report")
    assert sorted(path.name for path in (tmp_path / "report").iterdir()) == ["evaluation.html", "evaluation.json"]


def test_a_collapsed_generator_gets_plain_sentences_and_no_nan(advnets, tmp_path):
    np.save(tmp_path / "one.npy", np.repeat(DIGITS[:1], 400, axis=0))
    done = advnets("evaluate one.npy --data digits --json")
    assert done.status == 0
    assert "NaN" not in done.out
    result = json.loads(done.out)
    assert result["classes"]["hit"] == 1
    assert result["precision_recall"]["pixels"]["recall"] == 0
    assert result["duplicates"]["near_share"] == 1


def test_few_samples_get_plain_sentences(advnets, tmp_path):
    np.save(tmp_path / "few.npy", DIGITS[:5])
    result = json.loads(advnets("evaluate few.npy --data digits --json").out)
    assert "cannot be fitted to 5 points" in result["fid"]["pixels"]["not_measured"]
    assert "\n" not in result["fid"]["pixels"]["not_measured"]


def test_a_small_labelled_folder_is_scored_to_the_end(advnets, tmp_path, monkeypatch):
    monkeypatch.setattr(features, "_STEPS", 20)  # of the classifier, whose classes are too few however well it learns
    labels = load_digits().target
    for index in range(60):
        folder = tmp_path / "mine" / f"class{labels[index]}"
        folder.mkdir(parents=True, exist_ok=True)
        Image.fromarray(np.rint(DIGITS[index] * 255).astype(np.uint8)).save(folder / f"{index}.png")
    np.save(tmp_path / "samples.npy", DIGITS[:50])
    done = advnets("evaluate samples.npy --data mine --json")
    assert done.status == 0, done.err
    assert "hold out more" in json.loads(done.out)["classes"]["not_measured"]


def test_points_of_a_toy_have_modes_and_no_classes(advnets, tmp_path, monkeypatch):
    monkeypatch.setattr(toys, "SIZES", (2000, 500, 500))
    angle = np.arange(300) * 2 * np.pi / 8
    np.save(
        tmp_path / "x.npy",
        np.stack([np.cos(angle), np.sin(angle)], 1) + np.random.default_rng(0).normal(0, 0.01, (300, 2)),
    )
    result = json.loads(advnets("evaluate x.npy --data ring --samples 300 --json").out)
    assert result["modes"]["covered"] == 8
    assert not {"ais", "classes"} & {*result}


def test_a_measure_that_makes_no_sense_says_so_where_it_was_asked_for(advnets, samples):
    result = json.loads(advnets("evaluate samples.npz --data digits --json --metrics modes ais").out)
    assert "no mixture with known modes" in result["modes"]["not_measured"]
    assert "needs the generator itself" in result["ais"]["not_measured"]


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ("evaluate samples.npz", "samples of unknown data, allowed: --data NAME"),
        ("evaluate nothing.npz --data digits", "nothing.npz is not there"),
        ("evaluate samples.npz --data mnits", "did you mean mnist"),
        ("evaluate samples.npz --data digits --metrics parsen", "no metric 'parsen', allowed: parzen"),
        ("evaluate samples.npz --data digits --samples 1", "--samples is 1, allowed: 2 to"),
        ("evaluate samples.npz --data digits --step 3", "--weights and --step do not fit samples"),
        ("evaluate samples.npz --data ring", "holds examples of 1x8x8, allowed for ring: 2"),
        ("evaluate run --data digits", "does not fit a run"),
        ("evaluate run --centres 1500", "--centres is 1500, allowed: a multiple of 1000; set --centres 1000"),
        ("evaluate run --centres -1", "--centres is -1, allowed: 0 to"),
        ("evaluate run --centres 1000 --metrics fid", "--centres belongs to parzen"),
        ("evaluate run --nodes 2", "--nodes is 2 and MASTER_ADDR, MASTER_PORT, NODE_RANK are not set"),
        ("evaluate run --centres 1000 --devices 0", "--devices is 0"),
        ("evaluate samples.npz --data digits --centres 1000", "these are samples of a file"),
        ("evaluate run --step 7", "no checkpoint of step 7"),
        ("evaluate run --steps 7", "did you mean --step?"),
        ("evaluate wide.npy --data digits", "pixels from -1 to 1, allowed: 0 to 1"),
        ("evaluate nan.npy --data digits", "NaN or infinite"),
    ],
)
def test_wrong_use_is_one_line_and_writes_nothing(advnets, trained, samples, tmp_path, line, words):
    np.save(tmp_path / "wide.npy", 2 * DIGITS[:50] - 1)
    np.save(tmp_path / "nan.npy", np.where(DIGITS[:50] > 0.5, np.nan, 0))
    before = sorted(str(path) for path in tmp_path.rglob("*"))
    done = advnets(line)
    assert (done.status, done.out) == (2, "")
    assert words in done.err and done.err.startswith("advnets: error: ") and done.err.count("\n") == 1
    assert sorted(str(path) for path in tmp_path.rglob("*")) == before


def evaluated(folder: Path, nats: float, **protocol: object) -> None:
    content = json.loads((folder / "evaluation.json").read_text())
    content["parzen"]["nats"] = nats
    content["protocol"] |= protocol
    (folder / "evaluation.json").write_text(json.dumps(content))


@pytest.fixture
def three(advnets, trained, tmp_path):
    import shutil

    advnets("evaluate run --samples 200 --redraws 0 --metrics parzen")
    for name in ("a", "b", "c"):
        shutil.copytree(trained, tmp_path / name)
    return tmp_path


def test_runs_are_ranked_by_likelihood_and_ties_are_told(advnets, three):
    error = json.loads((three / "a" / "evaluation.json").read_text())["parzen"]["standard_error"]
    for name, nats in (("a", 10.0), ("b", 10.0 + error), ("c", 10.0 + 9 * error)):
        evaluated(three / name, nats, seed=ord(name))  # another seed is no other protocol
    ranking = json.loads(advnets("runs compare a b c --json").out)["ranking"]
    assert [row["run"] for row in ranking] == ["c", "b", "a"]
    assert [row["tied"] for row in ranking] == [True, False, False]
    evaluated(three / "c", 10.0)
    assert "as good as the first within two standard errors" in advnets("runs compare a b c").out


def test_different_protocols_are_not_ranked_and_the_field_is_named(advnets, three):
    evaluated(three / "b", 12.0, samples=999)
    done = advnets("runs compare a b")
    assert (done.status, done.out) == (2, "")
    assert "a and b were measured differently (samples is 200 and 999)" in done.err


def test_what_was_not_evaluated_is_not_ranked(advnets, three):
    (three / "b" / "evaluation.json").unlink()
    assert "b was not evaluated yet" in advnets("runs compare a b").err
    (three / "b" / "evaluation.json").write_text("{}")
    assert "evaluation.json is damaged" in advnets("runs compare a b").err
    assert "takes two RUNs or more" in advnets("runs compare a").err
