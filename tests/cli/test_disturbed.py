"""What happens around a run: a second process, data and folders that go away or refuse, clocks, other machines."""

import contextlib
import ctypes
import errno
import fcntl
import json
import os
import re
import shutil
import time
from collections.abc import Iterator
from multiprocessing.process import BaseProcess
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from advnets import checksums, locks
from advnets.config import Config
from advnets.data import images
from advnets.errors import InputError
from advnets.runs import Run, list_runs, write_json
from processes import command

from .conftest import SMALL, Command, Done, contents

ENDLESS = ["train", "--out", "run", "--steps", "1000000", *SMALL.split(), "--train.signals", "off"]


def assert_refused(done: Done, *words: str) -> None:
    assert (done.status, done.out) == (2, ""), done
    assert done.err.splitlines()[-1].startswith("advnets: error: ") and "bug" not in done.err, done.err
    for word in words:
        assert re.search(word, done.err), (word, done.err)


# Two processes


@pytest.fixture
def training(tmp_path: Path) -> Iterator[BaseProcess]:
    """A process that trains `run`, for as long as it is let."""
    process = command(ENDLESS, tmp_path, Path(os.devnull), Path(os.devnull))
    deadline = time.monotonic() + 90
    while not Run(tmp_path / "run").checkpoint_steps() and time.monotonic() < deadline:
        assert process.is_alive()
        time.sleep(0.02)
    yield process
    process.kill()
    process.join()


def test_a_run_is_trained_by_one_process_and_read_by_all(
    advnets: Command, tmp_path: Path, training: BaseProcess
) -> None:
    second = advnets("train --resume --out run")
    assert_refused(second, "another process is training run", f"process {training.pid} on ", "wait for it or stop it")
    assert_refused(advnets("train --out run --steps 5"), "run exists already", "--resume")
    for _ in range(2):
        for line in ("runs show run", "sample run --n 3 --out x.npy", "runs list --dir ."):
            done = advnets(line)
            assert (done.status, done.err) == (0, ""), done
    assert "running" in done.out
    assert training.is_alive()
    training.kill()
    training.join()
    assert "interrupted" in advnets("runs list --dir .").out
    step = Run(tmp_path / "run").checkpoint_steps()[-1]
    assert (tmp_path / "run" / ".lock").exists(), "stale, and no hindrance"
    assert advnets(f"train --resume --out run --steps {step + 10}").status == 0


def test_evaluate_and_doctor_read_a_run_that_is_held(advnets: Command, trained: Path) -> None:
    with Run(trained).locked():
        assert advnets("doctor run").status in (0, 1)
        assert advnets("evaluate run --samples 50 --redraws 0 --metrics parzen").status == 0
        assert_refused(advnets("train --resume --out run --steps 30"), "another process is training")


def test_a_checkpoint_dropped_while_samples_are_drawn_gives_way_to_the_newer_one(
    advnets: Command, trained: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from advnets import sampling

    real = sampling.load_net

    def load(net: object, file: Path) -> None:
        if file.parent.name == "step-20":  # as a training process has done by its next checkpoint but one
            file.parent.rename(file.parent.with_name("step-22"))
        real(net, file)

    monkeypatch.setattr(sampling, "load_net", load)
    assert "samples of step 22" in advnets("sample run --n 3 --out x.npy").out


def test_of_two_processes_that_begin_one_run_the_second_is_refused(tmp_path: Path) -> None:
    run = Run(tmp_path / "run")
    with run.begun(Config(), {}):
        before = contents(run.path)
        with pytest.raises(InputError, match="exists already"), run.begun(Config(seed=1), {}):
            pass
        (run.path / "config.json").rename(tmp_path / "aside")  # as if the second looked before the first wrote
        with pytest.raises(InputError, match="another process is training"), run.begun(Config(seed=1), {}):
            pass
        (tmp_path / "aside").rename(run.path / "config.json")
        assert contents(run.path) == before


def test_a_process_killed_while_it_began_leaves_nothing_in_the_way(advnets: Command, tmp_path: Path) -> None:
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / ".lock").write_text("process 1 on elsewhere\n")
    (tmp_path / "run" / ".config.json.writing").write_text('{"half')
    assert advnets("train --out run --steps 5 SMALL").status == 0


def test_a_reader_that_looks_whether_a_run_is_held_does_not_refuse_its_training(
    trained: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with (trained / ".lock").open() as reader:
        fcntl.flock(reader, fcntl.LOCK_SH)
        waited = []

        def pause(seconds: float) -> None:
            waited.append(seconds)
            fcntl.flock(reader, fcntl.LOCK_UN)

        monkeypatch.setattr(locks.time, "sleep", pause)
        with Run(trained).locked():
            assert len(waited) == 1


@pytest.mark.parametrize("number", [errno.ENOLCK, errno.EOPNOTSUPP, errno.ENOSYS])
def test_a_file_system_without_locks(
    advnets: Command, trained: Path, monkeypatch: pytest.MonkeyPatch, number: int
) -> None:
    def refuse(descriptor: object, operation: int) -> None:
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(fcntl, "flock", refuse)
    assert_refused(advnets("train --resume --out run --steps 30"), r"cannot lock run/.lock", "another disk")
    assert_refused(advnets("train --out new --steps 5 SMALL"), r"cannot lock new/.lock", "another disk")
    assert advnets("runs show run").status == 0


# Data that change or go


@pytest.fixture
def own_data(advnets: Command, tmp_path: Path) -> Path:
    """A run of 5 steps on the user's own array, at `run`."""
    np.save(tmp_path / "mine.npy", np.random.default_rng(0).random((40, 4, 4)))
    assert advnets("train mine.npy --steps 5 --out run").status == 0
    return tmp_path / "mine.npy"


@pytest.mark.parametrize(
    ("damage", "words"),
    [
        ("gone", [r"mine\.npy", "not there|no data set|there is no"]),
        ("cut", [r"mine\.npy", "whole file"]),
        ("empty", [r"mine\.npy", "cannot be read"]),
        ("other", ["data of run have changed", "restore them"]),
        ("fewer", ["data of run have changed"]),
        ("a folder", [r"mine\.npy holds no images"]),
    ],
)
def test_data_that_are_not_as_they_were_on_resume(
    advnets: Command, own_data: Path, damage: str, words: list[str]
) -> None:
    content = own_data.read_bytes()
    before = contents(own_data.parent / "run")
    match damage:
        case "gone":
            own_data.unlink()
        case "cut":
            own_data.write_bytes(content[:-100])
        case "empty":
            own_data.write_bytes(b"")
        case "other":
            np.save(own_data, np.random.default_rng(1).random((40, 4, 4)))
        case "fewer":
            np.save(own_data, np.random.default_rng(0).random((39, 4, 4)))
        case "a folder":
            own_data.unlink()
            own_data.mkdir()
    assert_refused(advnets("train --resume --out run --steps 10"), *words)
    assert contents(own_data.parent / "run") == before
    shutil.rmtree(own_data) if own_data.is_dir() else None
    own_data.write_bytes(content)
    assert advnets("train --resume --out run --steps 10").status == 0


def test_data_may_go_once_training_has_begun(advnets: Command, own_data: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from advnets.training import loop

    step = loop.released_step

    def remove(*arguments: object) -> None:
        own_data.unlink(missing_ok=True)
        step(*arguments)

    monkeypatch.setattr(loop, "released_step", remove)
    assert advnets("train --resume --out run --steps 10").status == 0
    assert not own_data.exists()


def test_an_image_that_goes_between_listing_and_reading(
    advnets: Command, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "images").mkdir()
    for number in range(30):
        Image.new("L", (4, 4), number).save(tmp_path / "images" / f"{number}.png")
    opened, real = [], images.read_bounded

    def opening(path: Path, *limits: object) -> bytes:
        opened.append(path)
        if len(opened) == 9:
            path.unlink()
        return real(path, *limits)

    monkeypatch.setattr(images, "read_bounded", opening)
    assert_refused(advnets("train images --steps 5"), opened[-1].name if opened else "png", "is not there")
    assert [path.name for path in tmp_path.iterdir()] == ["images"]


# Folders that refuse, or go


@contextlib.contextmanager
def bound_by_permissions() -> Iterator[None]:
    """Let permissions bind this process also where it is the superuser's: without the capabilities to override them."""
    if os.geteuid():
        yield
        return
    libc, overrides = ctypes.CDLL(None, use_errno=True), (1 << 1) | (1 << 2)  # CAP_DAC_OVERRIDE, CAP_DAC_READ_SEARCH
    header, before = (ctypes.c_uint32 * 2)(0x20080522, 0), (ctypes.c_uint32 * 6)()
    if not hasattr(libc, "capget") or libc.capget(header, before):
        pytest.skip("permissions do not bind the superuser here")
    after = (ctypes.c_uint32 * 6)(*before)
    after[0] &= ~overrides
    assert libc.capset(header, after) == 0
    try:
        yield
    finally:
        assert libc.capset(header, before) == 0


@contextlib.contextmanager
def read_only(*paths: Path) -> Iterator[None]:
    modes = [(path, path.stat().st_mode) for path in paths]
    for path, mode in modes:
        path.chmod(mode & ~0o222)
    try:
        with bound_by_permissions():
            yield
    finally:
        for path, mode in reversed(modes):
            path.chmod(mode)


def folders(run: Path) -> list[Path]:
    return [run, *(path for path in run.rglob("*"))]


def test_a_run_in_a_read_only_place_can_be_read_and_is_not_changed(advnets: Command, trained: Path) -> None:
    before = contents(trained)
    with read_only(*folders(trained)):
        for line in ("runs show run", "runs list --dir .", "sample run --out x.npy", "interpolate run --out x.png"):
            assert advnets(line).status == 0
        assert advnets("doctor run").status in (0, 1)
        assert_refused(advnets("sample run"), "cannot write run/samples-seed0.png", "Permission denied", "--out")
        assert_refused(advnets("train --resume --out run --steps 30"), "cannot .*run", "Permission denied")
        assert_refused(advnets("evaluate run --samples 50 --redraws 0 --metrics parzen"), "Permission denied", "--out")
    assert contents(trained) == before


@pytest.mark.parametrize("name", ["samples", "checkpoints", "log.jsonl", "timing.jsonl", "."])
def test_a_part_of_a_run_that_is_read_only(advnets: Command, trained: Path, name: str) -> None:
    with read_only(trained / name):
        done = advnets("train --resume --out run --steps 30")
        assert_refused(done, "cannot write|cannot lock|cannot tidy", "Permission denied", "fix permissions")
        assert Run(trained).verified_checkpoint() is not None
    assert advnets("train --resume --out run --steps 30").status == 0


@pytest.mark.parametrize("mode", ["read-only", "a file", "inodes"])
def test_places_where_no_run_can_begin(
    advnets: Command, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, mode: str
) -> None:
    place = tmp_path / "place"
    place.touch() if mode == "a file" else place.mkdir()
    line = "train --steps 5 --out place/run SMALL"
    if mode == "inodes":

        def refuse(path: object, *rest: object) -> None:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), path)

        monkeypatch.setattr(os, "mkdir", refuse)
    with read_only(place) if mode == "read-only" else contextlib.nullcontext():
        assert_refused(advnets(line), "cannot make the run folder place/run", "name another folder with --out")
    assert [path.name for path in tmp_path.rglob("*")] == ["place"]


@pytest.mark.parametrize("what", ["run", "run/checkpoints", "run/log.jsonl", "run/config.json"])
def test_what_is_removed_while_a_run_trains_is_named_or_not_missed(
    advnets: Command, trained: Path, monkeypatch: pytest.MonkeyPatch, what: str
) -> None:
    from advnets.training import loop

    step, made = loop.released_step, iter(range(100))

    def remove(*arguments: object) -> None:
        step(*arguments)
        if next(made) == 2:
            path = trained.parent / what
            shutil.rmtree(path) if path.is_dir() else path.unlink()

    monkeypatch.setattr(loop, "released_step", remove)
    done = advnets("train --resume --out run --steps 40")
    if what != "run/checkpoints":
        assert_refused(done, "cannot write .*run", "removed or moved meanwhile", "--resume, or train again")
        assert what != "run" or not trained.exists(), "not begun anew without its configuration"
    else:
        assert done.status == 0, "what comes later replaces it"
        assert Run(trained).checkpoint_steps()[-1] == 40 and Run(trained).verified_checkpoint() is not None


# Clocks


@pytest.mark.parametrize("jump", [-1e9, 1e9])
def test_a_clock_that_jumps_spoils_no_duration_no_order_and_no_resume(
    advnets: Command, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, jump: float
) -> None:
    assert advnets("train --steps 10 --out runs/digits-9 SMALL").status == 0
    real, real_ns = time.time, time.time_ns
    monkeypatch.setattr(time, "time", lambda: real() + jump)
    monkeypatch.setattr(time, "time_ns", lambda: real_ns() + int(jump * 1e9))
    assert advnets("train --steps 10 SMALL").status == 0
    monkeypatch.undo()
    monkeypatch.chdir(tmp_path)
    assert advnets("train --steps 10 SMALL").status == 0
    assert [run.path.name for run in list_runs(tmp_path / "runs")] == ["digits-9", "digits-1", "digits-2"]
    done = advnets("train --resume --steps 20 --json")
    assert json.loads(done.out)["run"] == "runs/digits-2" and json.loads(done.out)["seconds"] >= 0
    paces = [json.loads(line) for line in (tmp_path / "runs/digits-1/timing.jsonl").read_text().splitlines()]
    assert all(0 < line["milliseconds_per_step"] < 60_000 for line in paces)


def test_a_run_that_does_not_tell_when_it_began_is_listed_by_its_file(advnets: Command, trained: Path) -> None:
    content = json.loads((trained / "config.json").read_text())
    assert content.pop("began") > 1e18
    write_json(trained / "config.json", content)
    assert advnets("train --steps 5 --out later SMALL").status == 0
    assert [run.path.name for run in list_runs(trained.parent)] == ["run", "later"]
    assert advnets("train --resume --out run --steps 30").status == 0


# Other machines


@pytest.mark.parametrize(
    ("part", "name", "value", "words"),
    [
        ("versions", "torch", "1.0", "torch was 1.0, is "),
        ("versions", "advnets", "0.0.1", "advnets was 0.0.1, is "),
        ("machine", "threads", 99, "threads was 99, is 1"),
        ("machine", "instructions", "DEFAULT", "instructions was DEFAULT, is "),
        ("machine", "model", "Another 3000", "model was Another 3000, is "),
        ("machine", "device", "cuda:0", "device was cuda:0, is cpu, noise and dropout begin a new stream"),
    ],
)
def test_going_on_elsewhere_says_what_differs_and_keeps_it(
    advnets: Command, trained: Path, part: str, name: str, value: object, words: str
) -> None:
    content = json.loads((trained / "config.json").read_text())
    here = content[part][name]
    content[part][name] = value
    write_json(trained / "config.json", content)
    done = advnets("train --resume --out run --steps 30")
    assert done.status == 0
    assert f"from step 20 on not bit for bit as if it had never stopped, because {words}" in done.err
    (change,) = json.loads((trained / "config.json").read_text())["elsewhere"]
    assert change["step"] == 20 and change["changes"][0].startswith(words.partition(", is ")[0])
    assert words in advnets("runs show run").out

    content = json.loads((trained / "config.json").read_text())
    content[part][name] = here
    write_json(trained / "config.json", content)
    assert (
        f"from step 20 on not bit for bit as if it had never stopped: {words}"
        in advnets("train --resume --out run --steps 40").err
    ), "also once it is back where it began"


def test_instructions_that_the_environment_forbids_are_told(
    advnets: Command, trained: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ONEDNN_MAX_CPU_ISA", "AVX2")
    done = advnets("train --resume --out run --steps 30")
    assert re.search(r"because instructions was (\w+), is \1 ONEDNN_MAX_CPU_ISA=AVX2\n", done.err), done.err


def test_a_run_that_tells_less_of_its_machine_goes_on_without_a_word(advnets: Command, trained: Path) -> None:
    content = json.loads((trained / "config.json").read_text())
    for name in ("model", "instructions"):
        del content["machine"][name]
    del content["began"]
    write_json(trained / "config.json", content)
    for state in trained.glob("checkpoints/*/state.json"):
        counts = json.loads(state.read_text())
        del counts["validation_bytes"]
        state.write_text(json.dumps(counts) + "\n")
        state.with_name("SHA256SUMS").unlink()
        checksums.write(state.parent)
    done = advnets("train --resume --out run --steps 30")
    assert done.status == 0 and "bit for bit" not in done.err
    assert "elsewhere" not in json.loads((trained / "config.json").read_text())
