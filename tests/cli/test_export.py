"""`advnets export`: what other programs compute is what the run computes, or nothing is written."""

import io
import json
import sys

import numpy as np
import onnx
import onnxruntime
import pytest
import torch

from advnets.cli.main import main
from advnets.export import files
from advnets.runs import Run
from advnets.sampling import draw_latents, load_sampler

SHORT = ["--steps", "5", "--train.batch_size", "20", "--generator.hidden", "16", "--discriminator.hidden", "8"]


def said(capsys, *tokens, status=0):
    assert main([str(token) for token in tokens]) == status
    out, err = capsys.readouterr()
    return json.loads(out) if "--json" in tokens and status != 2 else out + err


def trained(folder, *words):
    assert main(["train", *map(str, words), *SHORT, "--out", str(folder), "--json"]) == 0
    return folder


@pytest.fixture(scope="module")
def digits(tmp_path_factory):
    return trained(tmp_path_factory.mktemp("export") / "digits", "digits", "--train.average_decay", ".9")


@pytest.fixture(scope="module")
def table(tmp_path_factory):
    """A run on a table in units of its own."""
    folder = tmp_path_factory.mktemp("table")
    np.save(folder / "table.npy", np.random.default_rng(0).normal([100.0, -5.0, 3e3], [7.0, 0.1, 1e2], (200, 3)))
    return trained(folder / "run", folder / "table.npy")


def computed(file, **inputs):
    session = onnxruntime.InferenceSession(str(file), providers=["CPUExecutionProvider"])
    assert [one.name for one in session.get_inputs()] == [*inputs]
    return session.run(None, inputs)[0]


@pytest.mark.parametrize("weights", ["average", "raw"])
def test_onnx_gives_the_samples_of_the_run_for_any_number_of_rows(digits, tmp_path, capsys, weights):
    file = tmp_path / "deep" / "g.onnx"
    told = said(capsys, "export", digits, "--out", file, "--weights", weights, "--json")
    assert told["difference"] <= told["tolerance"] == 1e-5 and told["file"] == str(file)
    assert told["bytes"] == file.stat().st_size and told["inputs"] == {"z": [64]}
    sampler = load_sampler(Run(digits), weights)
    for count in (1, 7, 300):
        z = draw_latents(sampler.config.noise, count, 3)
        np.testing.assert_allclose(computed(file, z=z.numpy()), sampler.draw(count, 3), atol=1e-5)
    facts = {one.key: json.loads(one.value) for one in onnx.load(file).metadata_props}
    assert facts["recipe"] == "digits" and facts["step"] == 5 and facts["noise"]["kind"] == "uniform"
    assert {name: told[name] for name in facts} == facts


def test_a_table_comes_in_its_own_units(table, tmp_path, capsys):
    said(capsys, "export", table, "--out", tmp_path / "g.onnx")
    sampler = load_sampler(Run(table))
    z = draw_latents(sampler.config.noise, 50, 1)
    x = computed(tmp_path / "g.onnx", z=z.numpy())
    np.testing.assert_allclose(x, sampler.draw(50, 1), rtol=1e-5)
    assert x[:, 2].mean() > 1000
    written = (tmp_path / "g.onnx").read_bytes()
    assert b"table.npy" in written and str(table.parent).encode() not in written, "no path of the machine"


def test_classes_are_an_input_of_their_own(tmp_path, capsys):
    run = trained(tmp_path / "run", "digits-conditional")
    capsys.readouterr()
    told = said(capsys, "export", run, "--json")
    assert told["file"] == str(run / "generator.onnx") and told["class_names"] == [str(digit) for digit in range(10)]
    sampler = load_sampler(Run(run))
    c = torch.eye(10)[[7, 2, 2]]
    z = draw_latents(sampler.config.noise, 3, 5)
    made = computed(run / "generator.onnx", z=z.numpy(), c=c.numpy())
    np.testing.assert_allclose(made, sampler.draw_given(c, 5), atol=1e-5)


def test_completions_keep_what_is_known_to_the_bit(tmp_path, capsys):
    run = trained(tmp_path / "run", "digits-completion")
    said(capsys, "export", run)
    sampler, random = load_sampler(Run(run)), np.random.default_rng(0)
    x = random.random((6, 1, 8, 8), dtype=np.float32)
    known = random.random(x.shape) < 0.5
    z = draw_latents(sampler.config.noise, 6, 4).numpy()
    made = computed(run / "completion.onnx", z=z, x=x, known=known.astype(np.float32))
    np.testing.assert_allclose(made, sampler.complete(x, known, 1, 4)[0], atol=1e-5)
    assert (made[known] == x[known]).all()


def test_an_encoder_comes_once_it_is_fitted(digits, tmp_path, capsys):
    assert "has no encoder, allowed: a run with one" in said(capsys, "export", digits, "--part", "encoder", status=2)
    said(capsys, "encode", digits, "--steps", 3, "--out", tmp_path / "codes.npz")
    said(capsys, "export", digits, "--part", "encoder", "--out", tmp_path / "e.onnx")
    x = np.load(tmp_path / "codes.npz")
    from advnets.data import load

    examples = load(Run(digits).config().data).test.x
    np.testing.assert_allclose(computed(tmp_path / "e.onnx", x=examples), x["codes"], atol=1e-5)


def test_transposed_convolutions_too(tmp_path, capsys):
    pictures = np.random.default_rng(0).integers(0, 256, (60, 8, 8, 3)).astype(np.uint8)
    np.save(tmp_path / "pictures.npy", pictures)
    words = ["train", tmp_path / "pictures.npy", "--steps", "3", "--train.batch_size", "10", "--json"]
    words += ["--generator.hidden", "18", "--generator.maps", "2", "3", "3", "--generator.kernel", "4"]
    words += ["--generator.stride", "2", "--discriminator.hidden", "8", "--out", tmp_path / "run"]
    assert main([str(word) for word in words]) == 0, capsys.readouterr().err
    capsys.readouterr()
    told = said(capsys, "export", tmp_path / "run", "--json")
    assert told["output"]["shape"] == [3, 8, 8] and told["difference"] <= 1e-5


def test_a_program_of_torch_export_is_the_run_to_the_bit(digits, tmp_path, capsys):
    told = said(capsys, "export", digits, "--out", tmp_path / "g.pt2", "--json")
    extra = {"advnets.json": ""}
    with (tmp_path / "g.pt2").open("rb") as stream:
        program = torch.export.load(io.BytesIO(stream.read()), extra_files=extra)
    sampler = load_sampler(Run(digits))
    z = draw_latents(sampler.config.noise, 9, 2)
    assert np.array_equal(program.module()(z).detach().numpy(), sampler.draw(9, 2)) and told["difference"] == 0
    assert json.loads(extra["advnets.json"])["recipe"] == "digits"


def test_other_numbers_are_exit_status_1_and_nothing_is_written(digits, tmp_path, capsys, monkeypatch):
    real = files.run_onnx
    file = tmp_path / "g.onnx"
    file.write_bytes(b"an older export")
    for wrong in (lambda made: made + 1e-3, lambda made: made[:-1], lambda made: made * np.nan):
        monkeypatch.setattr(files, "run_onnx", lambda content, exported, wrong=wrong: wrong(real(content, exported)))
        line = said(capsys, "export", digits, "--out", file, status=1)
        assert "not written, largest difference" in line and "allowed: 1e-05" in line and line.count("\n") == 1
        assert said(capsys, "export", digits, "--out", file, "--json", status=1)["file"] is None
    assert file.read_bytes() == b"an older export"


@pytest.mark.parametrize(
    ("words", "wrong"),
    [
        (["--out", "g.pb"], "--out is g.pb, allowed: a name that ends in .onnx or .pt2, or a new folder's"),
        (["--tolerance", "-1"], "--tolerance is -1.0, allowed: 0 or more"),
        (["--part", "completion"], "which does not fill in, allowed: generator, encoder"),
        (["--weights", "averge"], "--weights"),
    ],
)
def test_what_does_not_fit_is_one_line(digits, capsys, tmp_path, monkeypatch, words, wrong):
    monkeypatch.chdir(tmp_path)
    err = said(capsys, "export", digits, *words, status=2)
    assert wrong in err and err.count("\n") == 1


def test_rivals_and_a_missing_extra_are_one_line(digits, tmp_path, capsys, monkeypatch):
    words = ["train", "vae", "--data", "digits", "--vae.hidden", "8", "--vae.latent", "2", "--steps", "3", "--json"]
    assert main([*words, "--out", str(tmp_path / "vae")]) == 0
    capsys.readouterr()
    assert "allowed: runs of adversarial nets" in said(capsys, "export", tmp_path / "vae", status=2)
    monkeypatch.setitem(sys.modules, "onnxscript", None)
    err = said(capsys, "export", digits, status=2)
    assert "onnxscript is not installed, allowed: with it; pip install 'advnets[export]'" in err
    said(capsys, "export", digits, "--out", tmp_path / "g.pt2")
