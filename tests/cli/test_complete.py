"""`advnets complete`: known numbers come back as they were, whatever they are numbers of."""

import json

import numpy as np
import pytest
from PIL import Image

from advnets.cli.main import main

SHORT = ["--steps", "30", "--train.batch_size", "20", "--train.sample_every", "30", "--generator.hidden", "16"]
SHORT += ["--discriminator.hidden", "8", "--train.log_every", "15"]


def said(capsys, *tokens, status=0):
    assert main([str(token) for token in tokens]) == status
    out, err = capsys.readouterr()
    return json.loads(out) if status == 0 and "--json" in tokens else err


@pytest.fixture(scope="module")
def digits(tmp_path_factory):
    """A short run on real digits."""
    run = tmp_path_factory.mktemp("digits") / "run"
    assert main(["train", "digits-completion", *SHORT, "--out", str(run), "--json"]) == 0
    return run


@pytest.fixture(scope="module")
def table(tmp_path_factory):
    """A short run on a table with gaps, in units of its own, and the table."""
    folder = tmp_path_factory.mktemp("table")
    random = np.random.default_rng(0)
    x = random.normal(100, 7, (300, 4))
    x[:, 2] *= 1e-3
    x[random.random(x.shape) < 0.2] = np.nan
    np.save(folder / "table.npy", x)
    words = ["train", str(folder / "table.npy"), "--condition.kind", "masks", *SHORT]
    assert main([*words, "--out", str(folder / "run"), "--json"]) == 0
    return folder / "run", folder / "table.npy", x


def test_a_table_with_gaps_is_learned_and_filled(table, tmp_path, capsys):
    run, file, x = table
    config = json.loads((run / "config.json").read_text())
    scaling = config["data"]["scaling"]
    assert np.allclose(scaling["shift"], np.nanmean(x, 0), rtol=0.02), "moments of what is there"
    told = said(capsys, "complete", run, file, "--out", tmp_path / "filled.npy", "--json")
    filled = np.load(tmp_path / "filled.npy")
    assert filled.shape == x.shape and told["mask"] == "NaN" and np.isclose(told["hidden"], np.isnan(x).mean())
    assert filled.dtype == np.float64 and np.isfinite(filled).all()
    assert np.array_equal(filled[~np.isnan(x)], x[~np.isnan(x)]), "bit for bit"
    said(capsys, "complete", run, file, "--n", 3, "--mask", "random:.3", "--out", tmp_path / "three.npz")
    with np.load(tmp_path / "three.npz") as three:
        made, known = three["completions"], three["known"]
    assert made.shape == (300, 3, 4) and not known[np.isnan(x)].any() and known.mean() < 0.65
    assert (made.swapaxes(0, 1)[:, known] == x[known]).all()
    assert (made.std(1)[~known] > 0).all()


def test_whole_numbers_stay_whole_and_known(digits, tmp_path, capsys):
    x = np.random.default_rng(0).integers(0, 256, (6, 8, 8)).astype(np.uint8)
    known = np.random.default_rng(1).random((6, 8, 8)) < 0.5
    np.save(tmp_path / "x.npy", x)
    np.save(tmp_path / "mask.npy", known)
    words = ("complete", digits, tmp_path / "x.npy", "--mask", tmp_path / "mask.npy", "--out", tmp_path / "y.npy")
    said(capsys, *words, "--n", 2)
    y = np.load(tmp_path / "y.npy")
    assert y.dtype == np.uint8 and y.shape == (6, 2, 8, 8)
    assert all(np.array_equal(y[:, i][known], x[known]) for i in (0, 1)) and not np.array_equal(y[:, 0], y[:, 1])
    said(capsys, *words, "--n", 2)
    assert np.array_equal(np.load(tmp_path / "y.npy"), y), "the same seed, the same bits"
    Image.fromarray(x[0]).save(tmp_path / "one.png")
    (tmp_path / "folder").mkdir()
    (tmp_path / "one.png").rename(tmp_path / "folder" / "one.png")
    said(capsys, "complete", digits, tmp_path / "folder", "--mask", "top", "--out", tmp_path / "z.npy")
    z = np.load(tmp_path / "z.npy")
    assert z.shape == (1, 8, 8) and np.array_equal(z[0, 4:], x[0, 4:])


def test_less_truncated_z_more_variety_and_none_at_the_middle_of_the_noise(digits, tmp_path, capsys):
    words = ("complete", digits, "--mask", "left", "--n", 4, "--out", tmp_path / "y.npy")
    spread = {}
    for psi in ("1", ".5", "0"):
        said(capsys, *words, "--truncation", psi)
        spread[psi] = np.load(tmp_path / "y.npy").std(1)[:, :, :4].mean()
    said(capsys, *words)
    assert np.load(tmp_path / "y.npy").std(1)[:, :, :4].mean() == spread["1"], "untruncated unless it is asked for"
    assert spread["1"] > 1.5 * spread[".5"] > 0 and spread["0"] == 0
    told = said(capsys, *words, "--truncation", "0", "--json")
    assert told["truncation"] == 0


@pytest.mark.parametrize("mask", [None, "half", "left", "bottom", "block", "random:.5"])
def test_the_run_s_own_test_images_are_shown_in_rows(digits, tmp_path, capsys, mask):
    words = ("complete", digits, *(("--mask", mask) if mask else ()), "--out", tmp_path / "a.png", "--n", 3, "--json")
    told = said(capsys, *words)
    assert told["mask"] == (mask or "half") and told["examples"] == 10 and told["shape"] == [10, 3, 8, 8]
    with Image.open(tmp_path / "a.png") as picture:
        assert picture.width / picture.height == pytest.approx((5 * 9 + 1) / (10 * 9 + 1), abs=0.01)


@pytest.mark.parametrize(
    ("words", "wrong"),
    [
        (["--mask", "middle"], "--mask is middle, allowed: half, left"),
        (["--mask", "random:2"], "allowed: random: and a share above 0 and up to 1"),
        (["--out", "x.txt"], "--out is x.txt, allowed: a name that ends in"),
        (["--n", "0"], "--n is 0, allowed: 1 to"),
        (["--truncation", "-.1"], "truncation is -0.1, allowed: 0 (the middle of the noise) to 1 (all of it); set"),
        (["--truncation", "nan"], "truncation is nan, allowed: 0 (the middle"),
        (["nowhere.npy"], "nowhere.npy is not there"),
    ],
)
def test_what_does_not_fit_is_one_line(digits, capsys, monkeypatch, tmp_path, words, wrong):
    monkeypatch.chdir(tmp_path)
    err = said(capsys, "complete", digits, *words, status=2)
    assert wrong in err and err.count("\n") == 1


def test_other_shapes_other_runs_and_unannounced_gaps_are_refused(digits, table, tmp_path, capsys, monkeypatch):
    monkeypatch.chdir(tmp_path)
    run, file, _ = table
    assert "holds examples of (4,), allowed" in said(capsys, "complete", digits, file, status=2)
    assert "vectors, allowed: random:SHARE" in said(capsys, "complete", run, file, "--mask", "left", status=2)
    assert "--out is a.png and the run is of vectors" in said(capsys, "complete", run, file, "--out", "a.png", status=2)
    assert "or learn to fill them: advnets train --condition.kind masks" in said(capsys, "train", file, status=2)
    np.save("one.npy", np.ones(4))
    np.save("whole.npy", np.ones((5, 4)))
    assert "hides nothing" in said(capsys, "complete", run, "whole.npy", "--mask", "one.npy", status=2)
    np.save("three.npy", np.ones(3))
    assert "is a mask of shape (3,)" in said(capsys, "complete", run, file, "--mask", "three.npy", status=2)
    said(capsys, "train", "digits", "--steps", "2", "--generator.hidden", "8", "--out", "plain", "--json")
    assert "does not fill in, allowed: a run with masks" in said(capsys, "complete", "plain", status=2)
    assert "fills in, allowed: advnets complete RUN IMAGES" in said(capsys, "sample", digits, "--class", "1", status=2)
    assert "measures compare whole examples, allowed" in said(capsys, "evaluate", run, status=2)
