"""`advnets export RUN --page`: what is in the folder, and what is refused; browsers are tried in tests/browser."""

import base64
import hashlib
import io
import json
import tarfile

import numpy as np
import onnxruntime
import pytest

from advnets.cli.main import main
from advnets.export import page
from advnets.runs import Run
from advnets.sampling import load_sampler

SHORT = [
    "--steps",
    "4",
    "--train.batch_size",
    "20",
    "--generator.hidden",
    "16",
    "--discriminator.hidden",
    "8",
    "--json",
]


@pytest.fixture(scope="module")
def digits(tmp_path_factory):
    run = tmp_path_factory.mktemp("page") / "run"
    assert main(["train", "digits", *SHORT, "--out", str(run)]) == 0
    return run


@pytest.fixture
def archive(tmp_path, monkeypatch):
    """A file in the layout of npm's, whose checksum is the one that is asked for."""
    file = tmp_path / "runtime.tgz"
    with tarfile.open(file, "w:gz") as packed:
        for name in (*page._MEMBERS, "../../outside.js"):
            content = f"of {name}".encode()
            member = tarfile.TarInfo(f"package/dist/{name}")
            member.size = len(content)
            packed.addfile(member, io.BytesIO(content))
    monkeypatch.setattr(page, "_SHA256", hashlib.sha256(file.read_bytes()).hexdigest())
    return file


def constant(file, name):
    text = file.read_text()
    assert text.startswith(f"const {name} = ") and "<" not in text
    return json.loads(text.removeprefix(f"const {name} = ").removesuffix(";\n"))


def test_the_folder_holds_all_it_needs_and_samples_to_check_it_by(digits, archive, tmp_path, capsys):
    out = tmp_path / "deep/page"
    capsys.readouterr()
    assert main(["export", str(digits), "--page", str(out), "--runtime", str(archive), "--json"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert told["file"] == str(out / "index.html") and told["difference"] <= told["tolerance"]
    names = {"index.html", "page.css", "page.js", "ort.wasm.min.js", "runtime.js", "generator.js"}
    assert {one.name for one in out.iterdir()} == names and not [*tmp_path.rglob("outside.js")]
    html = (out / "index.html").read_text()
    assert all(f'"{name}"' in html for name in names - {"index.html"}) and "http" not in html
    runtime = constant(out / "runtime.js", "RUNTIME")
    assert base64.b64decode(runtime["wasm"]) == b"of ort-wasm-simd-threaded.wasm"
    content = constant(out / "generator.js", "GENERATOR")
    session = onnxruntime.InferenceSession(base64.b64decode(content["model"]))
    (x,) = session.run(None, {"z": np.array(content["check"]["z"], np.float32)})
    np.testing.assert_allclose(x.reshape(8, -1), content["check"]["x"], atol=1e-5)


def test_directions_are_those_of_the_first_layer(digits, archive, tmp_path):
    assert main(["export", str(digits), "--page", str(tmp_path / "page"), "--runtime", str(archive)]) == 0
    found = np.array(constant(tmp_path / "page/generator.js", "GENERATOR")["directions"])
    weight = load_sampler(Run(digits)).net.net.layers[0].weight.detach().numpy().astype(np.float64)
    np.testing.assert_allclose(found @ found.T, np.eye(6), atol=1e-5)
    lengths = np.linalg.norm(weight @ found.T, axis=0)
    np.testing.assert_allclose(lengths, np.linalg.svd(weight, compute_uv=False)[:6], rtol=1e-4)


@pytest.mark.parametrize(
    ("words", "wrong"),
    [
        (["--out", "x.onnx"], "--page and --out are both set, allowed: one of them"),
        (["--part", "encoder"], "has no encoder"),
        (["--runtime", "nowhere.tgz"], "--runtime is nowhere.tgz, which cannot be read"),
        (["--runtime", __file__], "is another file than onnxruntime-web"),
    ],
)
def test_what_does_not_fit_is_one_line_and_leaves_nothing(digits, tmp_path, capsys, monkeypatch, words, wrong):
    monkeypatch.chdir(tmp_path)
    capsys.readouterr()
    assert main(["export", str(digits), "--page", "page", *words]) == 2
    err = capsys.readouterr().err
    assert wrong in err and err.count("\n") == 1 and not [*tmp_path.iterdir()]


def test_tables_completions_and_no_npm_are_one_line(digits, tmp_path, capsys, monkeypatch):
    np.save(tmp_path / "table.npy", np.random.default_rng(0).normal(size=(90, 2)))
    assert main(["train", str(tmp_path / "table.npy"), *SHORT, "--out", str(tmp_path / "table")]) == 0
    assert main(["train", "digits-completion", *SHORT, "--out", str(tmp_path / "masks")]) == 0
    monkeypatch.setattr(page.shutil, "which", lambda name: None)
    capsys.readouterr()
    for run, wrong in ((digits, "npm is not on the path, allowed: npm, or --runtime FILE"),):
        assert main(["export", str(run), "--page", str(tmp_path / "page")]) == 2
        assert wrong in capsys.readouterr().err
    monkeypatch.setattr(page, "fetched", lambda archive: dict.fromkeys(page._MEMBERS, b""))
    for name, wrong in (("table", "allowed: a generator of images"), ("masks", "allowed: no condition, or classes")):
        assert main(["export", str(tmp_path / name), "--page", str(tmp_path / "page")]) == 2
        assert wrong in capsys.readouterr().err and not (tmp_path / "page").exists()
