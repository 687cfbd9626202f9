"""A generator in the hub's layout: the same samples after any way there and back, and nothing of the machine."""

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
import yaml
from huggingface_hub import HfApi
from safetensors.torch import load_file, save_file

from advnets.cli.main import main
from advnets.errors import InputError
from advnets.export import hub
from advnets.export.hub import PretrainedGenerator
from advnets.runs import Run
from advnets.sampling import load_sampler

SHORT = ["--steps", "4", "--train.batch_size", "20", "--generator.hidden", "16", "--discriminator.hidden", "8"]


def trained(folder, *words):
    assert main(["train", *map(str, words), *SHORT, "--out", str(folder), "--json"]) == 0
    return Run(folder)


@pytest.fixture(scope="module")
def digits(tmp_path_factory):
    run = trained(tmp_path_factory.mktemp("hub") / "run", "digits")
    words = ["--samples", "100", "--redraws", "0", "--metrics", "parzen", "--json"]
    assert main(["evaluate", str(run.path), *words]) == 0
    return run


@pytest.fixture
def kept(digits, tmp_path):
    PretrainedGenerator.of_run(digits).save_pretrained(tmp_path / "kept")
    return tmp_path / "kept"


def test_what_is_loaded_draws_what_the_run_draws(digits, kept):
    again = PretrainedGenerator.from_pretrained(kept)
    assert np.array_equal(again.sample(9, 5), load_sampler(digits).draw(9, 5))
    again.save_pretrained(kept.parent / "twice")
    for name in ("config.json", "model.safetensors", "README.md"):
        assert (kept.parent / "twice" / name).read_bytes() == (kept / name).read_bytes()


def test_a_folder_is_saved_into_again(digits, kept):
    (kept / "model.safetensors").write_bytes(b"of another run")
    PretrainedGenerator.of_run(digits).save_pretrained(kept)
    assert np.array_equal(PretrainedGenerator.from_pretrained(kept).sample(9, 5), load_sampler(digits).draw(9, 5))


def test_classes_and_tables_go_along(tmp_path):
    run = trained(tmp_path / "labels", "digits-conditional")
    PretrainedGenerator.of_run(run).save_pretrained(tmp_path / "a")
    again, sampler = PretrainedGenerator.from_pretrained(str(tmp_path / "a")), load_sampler(run)
    assert np.array_equal(again.sample(12, 1), sampler.draw(12, 1))
    seven = sampler.conditions.of_class("7").repeat(3, 1)
    assert np.array_equal(again.sample(3, 2, of_class="7"), sampler.draw_given(seven, 2))
    with pytest.raises(InputError, match="--class is ten, allowed: 0, 1, 2"):
        again.sample(3, of_class="ten")
    np.save(tmp_path / "secret.npy", np.random.default_rng(0).normal([100.0, -5.0], [7.0, 0.1], (90, 2)))
    table = trained(tmp_path / "table", tmp_path / "secret.npy")
    PretrainedGenerator.of_run(table).save_pretrained(tmp_path / "b")
    assert np.array_equal(PretrainedGenerator.from_pretrained(tmp_path / "b").sample(5), load_sampler(table).draw(5))
    written = (tmp_path / "b/config.json").read_text() + (tmp_path / "b/README.md").read_text()
    assert str(tmp_path) not in written and "secret.npy" in written


def test_a_push_uploads_the_folder(digits, kept, tmp_path, monkeypatch):
    """The hub is a local folder here."""
    place = tmp_path / "hub"

    def upload_folder(self, *, repo_id, folder_path, **more):
        shutil.copytree(folder_path, place / repo_id)

    class Repository:
        repo_id = "someone/digits"

    monkeypatch.setattr(HfApi, "create_repo", lambda self, repo_id, **more: Repository)
    monkeypatch.setattr(HfApi, "upload_folder", upload_folder)
    monkeypatch.setattr(hub, "hf_hub_download", lambda repo_id, name, **more: str(place / repo_id / name))
    PretrainedGenerator.of_run(digits).push_to_hub("someone/digits")
    assert {one.name for one in (place / "someone/digits").iterdir()} == {one.name for one in kept.iterdir()}
    again = PretrainedGenerator.from_pretrained("someone/digits")
    assert np.array_equal(again.sample(4), load_sampler(digits).draw(4))


def test_the_card_says_data_scores_use_and_limits(digits, kept):
    head, _, body = (kept / "README.md").read_text().removeprefix("---\n").partition("\n---\n")
    assert yaml.safe_load(head)["pipeline_tag"] == "unconditional-image-generation"
    scores = json.loads((digits.path / "evaluation.json").read_text())
    assert f"| this generator | {scores['parzen']['nats']:.1f} ± {scores['parzen']['standard_error']:.1f} |" in body
    assert f"| kmeans | {scores['references']['kmeans']['nats']:.1f}" in body
    assert "`digits`, examples of 1 × 8 × 8, 1,197 of them" in body and "step 4," in body and "## Limits" in body
    code = body.split("```python\n")[1].split("```")[0].replace("FOLDER_OR_REPOSITORY", repr(str(kept)))
    names = {}
    exec(code, names)
    assert names["x"].shape == (64, 1, 8, 8)


def test_a_run_without_scores_says_so(tmp_path):
    run = trained(tmp_path / "run", "digits")
    assert "Not evaluated when this was written" in PretrainedGenerator.of_run(run).generate_model_card().content


def broken(kept: Path, change) -> None:
    content = json.loads((kept / "config.json").read_text())
    change(content)
    (kept / "config.json").write_text(json.dumps(content))


@pytest.mark.parametrize(
    ("change", "wrong"),
    [
        (lambda c: c.update(shape=[1, 2**40, 2]), "does not describe a generator of advnets"),
        (lambda c: c.update(shape="8x8"), "does not describe a generator of advnets"),
        (lambda c: c.update(step="4"), "does not describe a generator of advnets"),
        (lambda c: c.update(about=None), "does not describe a generator of advnets"),
        (lambda c: c.pop("settings"), "settings"),
        (lambda c: c["settings"]["generator"].update(hidden=[2**30]), "holds weights of another net"),
        (lambda c: c["settings"]["generator"].update(hidden=[17]), "holds weights of another net"),
        (lambda c: c.update(scaling={"kind": "unit"}), "scaling"),
    ],
)
def test_files_from_outside_that_lie_are_one_line(kept, change, wrong):
    broken(kept, change)
    with pytest.raises(InputError, match=wrong):
        PretrainedGenerator.from_pretrained(kept)


def test_damaged_or_missing_files_are_one_line(kept):
    (kept / "config.json").write_text("{")
    with pytest.raises(InputError, match=r"config\.json cannot be read"):
        PretrainedGenerator.from_pretrained(kept)
    (kept / "config.json").unlink()
    with pytest.raises(InputError, match=r"config\.json cannot be read"):
        PretrainedGenerator.from_pretrained(kept)


def test_other_tensors_are_refused(kept):
    tensors = load_file(kept / "model.safetensors")
    save_file({**tensors, "more": tensors[next(iter(tensors))].clone()}, kept / "model.safetensors")
    with pytest.raises(InputError, match="holds weights of another net"):
        PretrainedGenerator.from_pretrained(kept)


def test_the_command_writes_a_folder_once_it_draws_the_same(digits, tmp_path, capsys, monkeypatch):
    out = tmp_path / "deep/generator"
    assert main(["export", str(digits.path), "--out", str(out), "--json"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert told["difference"] == 0 and {one.name for one in out.iterdir()} == {
        "config.json",
        "model.safetensors",
        "README.md",
    }
    assert main(["export", str(digits.path), "--out", str(out)]) == 2
    assert "exists already, allowed: a new or empty folder" in capsys.readouterr().err
    assert main(["export", str(digits.path), "--out", str(tmp_path / "e"), "--part", "encoder"]) == 2
    assert "allowed in a folder: generator" in capsys.readouterr().err

    def full(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(PretrainedGenerator, "sample", lambda self, count: np.random.default_rng().random(count))
    assert main(["export", str(digits.path), "--out", str(tmp_path / "other")]) == 1
    assert "not written; largest difference" in capsys.readouterr().out and not [*tmp_path.glob("*other*")]
    monkeypatch.setattr(hub, "write_tensors", full)
    assert main(["export", str(digits.path), "--out", str(tmp_path / "full")]) == 2
    assert "No space left on device" in capsys.readouterr().err and not [*tmp_path.glob("*full*")]
