"""Files that somebody made to do harm: each is refused in one line, or read, within bounds (tests/hostile/bounds.py).

benchmarks/fuzz.py searches for such files; what it found is in tests/hostile/corpus and read again here.
"""

import gc
import json
import os
import sys
from collections.abc import Callable
from pathlib import Path
from random import Random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from advnets.cli.main import main
from advnets.config import Config
from advnets.data import DataConfig, load
from advnets.errors import InputError, plain
from advnets.evaluation import subjects
from advnets.nets.files import read_tensors
from advnets.runs import Run, read_json
from advnets.sampling import load_sampler
from advnets.training import train
from advnets.untrusted import loads
from hostile import base, corpus, mutation, seeds
from hostile.bounds import Crash, check
from hostile.targets import TARGETS

Give = Callable[[str, bytes], bool]


@pytest.fixture
def give(tmp_path_factory: pytest.TempPathFactory) -> Give:
    """Gives bytes to a target in a new folder; raises Crash where it does what it must not."""
    base.warm_up()
    gc.collect()  # or what other tests left removes its own folders while a target is watched
    return lambda name, content: check(TARGETS[name], content, tmp_path_factory.mktemp("hostile"))


@pytest.mark.parametrize("name", TARGETS)
def test_seeds_reach_the_inside_of_the_reader(give: Give, name: str) -> None:
    accepted = [give(name, content) for content in seeds.of(name)]
    assert sum(accepted) >= len(accepted) / 3


@pytest.mark.parametrize("name", TARGETS)
def test_inputs_that_a_fuzzer_found(give: Give, name: str) -> None:
    kept = corpus.read(name)
    assert kept
    for label, content in kept.items():
        try:
            give(name, content)
        except (Crash, Exception) as error:
            raise AssertionError(f"{name} fails on {label}: {error!r}") from error


@pytest.mark.parametrize("name", TARGETS)
def test_changed_seeds(give: Give, name: str) -> None:
    inputs = seeds.of(name)

    @settings(max_examples=12, derandomize=True, database=None)
    @given(st.sampled_from(range(len(inputs))), st.integers(0, 2**32))
    def change(index: int, seed: int) -> None:
        give(name, mutation.mutate(inputs[index], Random(seed)))

    change()


def test_the_bounds_see_what_they_should(tmp_path: Path) -> None:
    (tmp_path / "outside").mkdir()
    (tmp_path / "inside").mkdir()

    def writes(data: bytes, folder: Path) -> None:
        (folder.parent / "outside" / "x").write_bytes(data)

    def starts(data: bytes, folder: Path) -> None:
        os.system("true")

    def says(data: bytes, folder: Path) -> None:
        error = InputError("")
        error.args = ("two\nlines",)
        raise error

    def takes(data: bytes, folder: Path) -> None:
        bytearray(b"x") * (520 << 20)

    for target in (writes, starts, says, *([takes] if sys.platform == "linux" else [])):
        with pytest.raises(Crash):
            check(target, b"x", tmp_path / "inside")
    assert not list((tmp_path / "outside").iterdir())


@pytest.fixture
def run(tmp_path: Path) -> Run:
    """A run in a folder of its own, beside which there is a secret."""
    for name, content in base.contents(base.run()).items():
        (tmp_path / "run" / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "run" / name).write_bytes(content)
    return Run(tmp_path / "run")


@pytest.mark.parametrize("name", ["SHA256SUMS", "state.json", "average.safetensors", "game.safetensors"])
@pytest.mark.parametrize("kind", ["pipe", "device", "link"])
def test_a_checkpoint_of_other_things_than_its_own_files(run: Run, name: str, kind: str) -> None:
    folder = run.checkpoint(base.STEP)
    file, outside = folder / name, run.path.parent / "outside"
    file.rename(outside)
    match kind:
        case "pipe":
            os.mkfifo(file)
        case "device":
            file.symlink_to("/dev/zero")
        case "link":
            file.symlink_to(outside)
    if name == "SHA256SUMS" and kind == "link":
        assert load_sampler(run).step == base.STEP  # a link to text of 64 hexadecimal digits tells nothing
        return
    with pytest.raises(InputError, match="is damaged"):
        load_sampler(run)


def test_a_file_that_no_checksum_covers(run: Run) -> None:
    folder = run.checkpoint(base.STEP)
    sums = (folder / "SHA256SUMS").read_text().splitlines(keepends=True)
    (folder / "SHA256SUMS").write_text("".join(line for line in sums if "average" not in line))
    with pytest.raises(InputError, match=r"average.safetensors has no checksum"):
        load_sampler(run)


@pytest.mark.parametrize("name", ["config.json", "status.json", "rollbacks.json", "validation.jsonl", "log.jsonl"])
def test_pipes_and_devices_in_the_place_of_a_runs_files(run: Run, name: str) -> None:
    for make in (os.mkfifo, lambda path: os.symlink("/dev/zero", path)):
        (run.path / name).unlink()
        make(run.path / name)
        for command in ("show", "list"):
            main(["runs", command, *([str(run.path)] if command == "show" else ["--dir", str(run.path.parent)])])


def test_no_file_outside_a_run_is_written_through_a_link_in_it(run: Run) -> None:
    secret = run.path.parent / "secret"
    secret.write_text("kept")
    for name in (".lock", "log.jsonl", "timing.jsonl", "samples.png", "checkpoints/x"):
        file, moved = run.path / name, run.path.parent / "moved"
        if file.exists():
            file.rename(moved)
        file.symlink_to(secret)
        with pytest.raises(InputError, match="is a link"):
            train(run.config(), base.digits(), run, resume=True)
        file.unlink()
        if moved.exists():
            moved.rename(file)
    for name in (".x.npy.writing", ".x.png.writing"):
        (run.path / name).symlink_to(secret)
        assert main(["sample", str(run.path), "--n", "1", "--out", str(run.path / name[1:6])]) == 0
    (run.path / ".status.json.writing").symlink_to(secret)
    run.write_status(1, "finished", None)
    assert secret.read_text() == "kept"


def test_no_file_outside_a_new_run_is_written_through_its_lock(tmp_path: Path) -> None:
    (tmp_path / "secret").write_text("kept")
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / ".lock").symlink_to(tmp_path / "secret")
    with pytest.raises(InputError, match="is a link"):
        train(Config(), base.digits(), Run(tmp_path / "run"))
    assert (tmp_path / "secret").read_text() == "kept"


def test_a_pipe_in_the_place_of_a_lock_is_not_waited_for(run: Run) -> None:
    (run.path / ".lock").unlink(missing_ok=True)
    os.mkfifo(run.path / ".lock")
    run.write_status(1, "running", None)
    assert run.status()["state"] == "interrupted"
    with pytest.raises(InputError, match="no regular file"):
        train(run.config(), base.digits(), run, resume=True)


@pytest.mark.parametrize("make", [os.mkfifo, lambda path: os.link(path.parent / "config.json", path)])
def test_what_lies_where_a_file_is_made_aside_is_replaced(run: Run, make: Callable[[Path], None]) -> None:
    before = (run.path / "config.json").read_text()
    make(run.path / ".status.json.writing")
    run.write_status(1, "finished", None)
    assert run.status()["state"] == "finished" and (run.path / "config.json").read_text() == before


def test_checkpoints_of_strange_names_are_none(run: Run) -> None:
    (run.path / "checkpoints" / "step-9\u0663").mkdir()
    (run.path / "checkpoints" / ".replaced-").mkdir()
    assert run.verified_checkpoint() == run.checkpoint(base.STEP)
    with run.locked():
        pass


@pytest.mark.parametrize("elsewhere", [5, None, [1], [{"step": 1}], [{"step": "1", "changes": []}]])
def test_a_damaged_list_of_other_machines(run: Run, elsewhere: object) -> None:
    content = json.loads((run.path / "config.json").read_text())
    (run.path / "config.json").write_text(json.dumps({**content, "elsewhere": elsewhere}))
    with pytest.raises(InputError, match="elsewhere"):
        run.read()


def test_pipes_in_the_place_of_data_and_samples(tmp_path: Path) -> None:
    for name in ("x.npy", "x.npz", "x.mat", "x.json", "x.safetensors"):
        os.mkfifo(tmp_path / name)
    for read in (read_json, read_tensors, subjects.require, lambda path: load(DataConfig(name=str(path)))):
        for path in tmp_path.iterdir():
            with pytest.raises(InputError):
                read(path)


def test_a_damaged_tiff_is_refused_in_one_line(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    file = tmp_path / "images" / "x.tif"
    file.parent.mkdir()
    Image.new("L", (64, 64)).save(file, compression="tiff_adobe_deflate")
    content = file.read_bytes()
    file.write_bytes(content.replace(b"\x78\x9c", b"\x78\xff", 1))  # the head of the packed pixels
    assert content != file.read_bytes()
    assert main(["train", str(file.parent), "--dry-run"]) == 2
    assert len(capfd.readouterr().err.splitlines()) == 1  # libtiff would add its own


def test_messages_are_one_printable_line_of_bounded_length() -> None:
    text = str(InputError("a\nb\x1b[31m\ud800\u202e" + "x" * 10_000))
    assert text.isprintable() and len(text) < 1600
    assert plain("a\tb — ½") == "a\\tb — ½"
    assert str(InputError("file 'ü'")) == "file 'ü'"


@pytest.mark.parametrize("text", ["NaN", "-Infinity", "1e999", "9" * 30, "[" * 100_000, "", "\x00"])
def test_json_that_advnets_does_not_write(text: str) -> None:
    with pytest.raises(ValueError):
        loads(text)
    with pytest.raises(ValueError):
        loads(f'{{"a": [{text}'.encode())


def test_a_net_larger_than_its_file_is_not_made(run: Run) -> None:
    content = json.loads((run.path / "config.json").read_text())
    content["config"]["generator"]["hidden"] = [200_000, 200_000]  # 160 GB
    (run.path / "config.json").write_text(json.dumps(content))
    with pytest.raises(InputError, match="another net"):
        load_sampler(run)
    with pytest.raises(InputError, match="another net"):
        train(run.config(), base.digits(), run, resume=True)
