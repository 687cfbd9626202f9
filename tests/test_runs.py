import dataclasses
import hashlib
import json
import multiprocessing
import os

import pytest

from advnets import checksums, disk, locks
from advnets.config import Config
from advnets.errors import InputError
from advnets.folders import next_folder, reserved
from advnets.runs import KEPT_CHECKPOINTS, Run, list_runs, read_json, write_json

FACTS = {"data": {"shape": [1, 8, 8]}}


@pytest.fixture
def run(tmp_path):
    run = Run(tmp_path / "run")
    run.create(Config(), FACTS)
    return run


def write(run, step, content=b"weights"):
    with run.writing_checkpoint(step) as folder:
        (folder / "net.safetensors").write_bytes(content)


def test_create_writes_a_configuration_that_reads_back(run):
    assert run.config() == Config()
    assert run.shape() == (1, 8, 8)


def test_create_refuses_a_folder_that_holds_anything(run, tmp_path):
    before = (run.path / "config.json").read_bytes()
    with pytest.raises(InputError, match="--resume"):
        run.create(Config(seed=5), FACTS)
    assert (run.path / "config.json").read_bytes() == before
    (tmp_path / "file").write_text("mine")
    with pytest.raises(InputError, match="exists already"):
        Run(tmp_path / "file").create(Config(), FACTS)


def test_a_run_of_a_newer_version_is_refused(run):
    content = json.loads((run.path / "config.json").read_text())
    (run.path / "config.json").write_text(json.dumps({**content, "format": 999}))
    with pytest.raises(InputError, match=r"format 999.*update advnets"):
        run.config()


@pytest.mark.parametrize("text", ["", "{", "[]", "null", '{"format": 1}', "[" * 100_000])
def test_a_damaged_configuration_is_one_line(run, text):
    (run.path / "config.json").write_text(text)
    with pytest.raises(InputError) as error:
        run.config()
    assert "\n" not in str(error.value)


def test_checkpoints_carry_checksums_that_the_usual_tool_reads(run):
    write(run, 7)
    line = (run.checkpoint(7) / "SHA256SUMS").read_text()
    assert line == f"{hashlib.sha256(b'weights').hexdigest()}  net.safetensors\n"
    assert run.verified_checkpoint() == run.checkpoint(7)


def test_only_the_last_checkpoints_are_kept(run):
    for step in (5, 10, 9999, 10000):
        write(run, step)
    assert run.checkpoint_steps() == [9999, 10000], "by number, not by name"
    assert len(run.checkpoint_steps()) == KEPT_CHECKPOINTS


def test_a_checkpoint_that_cannot_be_written_leaves_the_last_one(run):
    write(run, 1)
    survivor = pytest.raises(InputError, match=r"No space left on device; the checkpoint of step 1 is intact")
    with survivor, run.writing_checkpoint(2) as folder:
        (folder / "half").write_bytes(b"...")
        raise OSError(28, os.strerror(28))
    assert sorted(path.name for path in (run.path / "checkpoints").iterdir()) == ["step-1"]
    assert run.verified_checkpoint() == run.checkpoint(1)


def test_a_checkpoint_cut_off_by_a_kill_is_not_seen(run):
    write(run, 1)
    (run.path / "checkpoints" / ".writing-step-2").mkdir(parents=True)
    (run.path / "checkpoints" / "step-x").mkdir()
    assert run.checkpoint_steps() == [1]
    write(run, 2)
    assert run.checkpoint_steps() == [1, 2]


@pytest.mark.parametrize("damage", ["flip", "missing", "no sums", "empty sums", "path"])
def test_damage_is_found_and_the_intact_one_named(run, damage):
    write(run, 1)
    write(run, 2)
    folder = run.checkpoint(2)
    match damage:
        case "flip":
            (folder / "net.safetensors").write_bytes(b"weighty")
        case "missing":
            (folder / "net.safetensors").unlink()
        case "no sums":
            (folder / "SHA256SUMS").unlink()
        case "empty sums":
            (folder / "SHA256SUMS").write_text("")
        case "path":
            (folder / "SHA256SUMS").write_text("0  ../../config.json\n")
    with pytest.raises(InputError, match=r"damaged.*go on from step 1"):
        run.verified_checkpoint()
    assert run.verified_checkpoint(1) == run.checkpoint(1)


def test_asking_for_a_step_that_is_not_there_names_those_that_are(run):
    write(run, 4)
    with pytest.raises(InputError, match=r"no checkpoint of step 5, there are \[4\]"):
        run.verified_checkpoint(5)


def _hold(path, ready, release):
    with Run(path).locked():
        ready.set()
        release.wait(20)


def test_a_second_process_is_refused_and_the_lock_dies_with_its_holder(run):
    context = multiprocessing.get_context("spawn")
    ready, release = context.Event(), context.Event()
    process = context.Process(target=_hold, args=(run.path, ready, release))
    process.start()
    assert ready.wait(30)
    with pytest.raises(InputError, match="another process is training"), run.locked():
        pass
    process.kill()
    process.join()
    with run.locked():
        pass


def test_json_is_replaced_whole(tmp_path):
    file = tmp_path / "status.json"
    write_json(file, {"step": 1})
    with pytest.raises(ValueError):
        write_json(file, {"step": float("nan")})
    assert read_json(file) == {"step": 1}


def test_a_folder_without_a_run_is_not_said_to_be_one(tmp_path):
    (tmp_path / "file").write_text("mine")
    with pytest.raises(InputError, match="holds no run: name another folder"):
        Run(tmp_path).require_free()


def test_leftovers_of_a_killed_checkpoint_are_removed(run):
    leftover = run.path / "checkpoints" / ".writing-step-7"
    leftover.mkdir(parents=True)
    with run.locked():
        assert not leftover.exists()


def test_an_error_inside_a_locked_run_is_not_called_a_lock_problem(run):
    with pytest.raises(OSError, match="the disk"), run.locked():
        raise OSError("the disk")


def test_a_run_that_nobody_holds_is_not_running(run):
    with run.locked():
        run.write_status(3, "running", None)
        assert run.status()["state"] == "running"
    assert run.status()["state"] == "interrupted", "its process is gone"


def test_reserved_folders_differ_and_empty_ones_vanish(tmp_path):
    with reserved(tmp_path, "digits") as first, reserved(tmp_path, "digits") as second:
        assert (first.name, second.name) == ("digits-1", "digits-2")
        Run(second).create(Config(), FACTS)
    assert [path.name for path in tmp_path.iterdir()] == ["digits-2"]


def test_settings_that_may_change_are_adopted_and_others_named(run):
    longer = dataclasses.replace(Config(), train=dataclasses.replace(Config().train, steps=5))
    run.adopt(longer)
    assert run.config() == longer
    with pytest.raises(InputError, match=r"seed is 0 in the run and 4 here, train.k is 1 in the run and 2 here"):
        run.adopt(dataclasses.replace(longer, seed=4, train=dataclasses.replace(longer.train, k=2)))
    assert run.config() == longer


def test_runs_are_listed_and_numbered(tmp_path):
    assert list_runs(tmp_path / "none") == []
    first = next_folder(tmp_path, "digits")
    Run(first).create(Config(), FACTS)
    (tmp_path / "not-a-run").mkdir()
    assert first.name == "digits-1"
    assert next_folder(tmp_path, "digits").name == "digits-2"
    assert [run.path for run in list_runs(tmp_path)] == [first]


def test_a_run_that_was_removed_is_not_begun_anew_by_what_is_written_later(run):
    (run.path / "config.json").unlink()
    run.path.rmdir()
    with pytest.raises(InputError, match=r"cannot write the checkpoint of step 3 .*removed or moved meanwhile"):
        write(run, 3)
    with pytest.raises(FileNotFoundError):
        run.make_folder("samples")
    assert not run.path.exists()


def test_a_lock_that_its_last_holder_removed_is_made_anew(run, monkeypatch):
    take = locks._take

    def take_late(descriptor, file, what):
        if not removed:
            removed.append(file.unlink())
        take(descriptor, file, what)

    removed = []
    monkeypatch.setattr(locks, "_take", take_late)
    with run.locked():
        assert removed and (run.path / ".lock").read_text().startswith(f"process {os.getpid()} on ")
        with pytest.raises(InputError, match="another process is training"), run.locked():
            pass


@pytest.mark.parametrize("moment", ["before the new one", "after it"])
def test_a_checkpoint_that_is_replaced_is_there_before_or_after(run, monkeypatch, moment):
    write(run, 3, b"first")
    real = disk.rename

    def rename(old, new):
        if moment == "after it" or not new.name.startswith("step-"):
            real(old, new)
        if new.name.startswith("step-"):
            raise KeyboardInterrupt

    monkeypatch.setattr(disk, "rename", rename)
    monkeypatch.setattr(Run, "_put_back", lambda run: None)  # as a kill would
    with pytest.raises(KeyboardInterrupt):
        write(run, 3, b"second")
    monkeypatch.undo()
    with run.locked():
        folder = run.verified_checkpoint()
    assert (folder / "net.safetensors").read_bytes() == (b"first" if moment == "before the new one" else b"second")
    assert [path.name for path in folder.parent.iterdir()] == ["step-3"]


def test_a_checkpoint_dropped_while_it_is_read_gives_way_to_the_newer_one(run, monkeypatch):
    write(run, 1)
    write(run, 2)
    real = checksums.damage

    def slow(folder):
        if folder.name == "step-2":
            write(run, 3)
            write(run, 4)
        return real(folder)

    monkeypatch.setattr(checksums, "damage", slow)
    assert run.verified_checkpoint() == run.checkpoint(4)


def test_text_is_taken_for_a_path(tmp_path):
    assert Run(str(tmp_path)) == Run(tmp_path) and not Run(str(tmp_path)).exists()
