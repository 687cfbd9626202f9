"""A disk that refuses, at whatever use and however, ends a run in one line and loses nothing."""

import contextlib
import errno
import os
import random
import resource
from collections.abc import Iterator

import faults
import pytest
from small_game import KINDS, bits, play

from advnets import disk
from advnets.errors import InputError
from advnets.runs import Run, write_json


@pytest.mark.parametrize("kind", KINDS)
def test_no_refusal_loses_a_bit(kind):
    uses, cases, wrong = faults.tried(kind, [*faults.WAYS], random.Random(0), at_most=6)
    assert (uses > 200, cases, wrong) == (True, 6, [])


@contextlib.contextmanager
def no_file_larger_than(size: int) -> Iterator[None]:
    """Let the system itself refuse, in the middle of a write, what would make a file larger."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


@pytest.mark.parametrize("size", [100, 500, 1000, 1500, 2500])
def test_a_limit_of_the_system_itself_is_one_line_and_no_bit_is_lost(tmp_path, size):
    whole, run = Run(tmp_path / "whole"), Run(tmp_path / "run")
    play(KINDS["plain"], whole)
    largest = max(file.stat().st_size for file in whole.path.rglob("*") if file.is_file())
    assert size < largest
    with pytest.raises(InputError, match=r"File too large") as refusal, no_file_larger_than(size):
        play(KINDS["plain"], run)
    assert "\n" not in str(refusal.value) and str(run.path) in str(refusal.value)
    play(KINDS["plain"], run)
    assert bits(run) == bits(whole)


def test_a_file_that_the_disk_refuses_is_as_it_was(tmp_path, monkeypatch):
    file = tmp_path / "file.json"
    write_json(file, {"a": 1})
    with no_file_larger_than(10), pytest.raises(OSError, match="File too large") as error:
        write_json(file, {"a": "b" * 100})
    assert error.value.filename == str(tmp_path / ".file.json.writing")
    assert [path.name for path in tmp_path.iterdir()] == ["file.json"]
    assert disk.read_json(file) == {"a": 1}


def test_writes_that_take_a_byte_at_a_time_are_complete(tmp_path, monkeypatch):
    real = os.write
    monkeypatch.setattr(os, "write", lambda descriptor, content: real(descriptor, content[:1]))
    disk.replace(tmp_path / "file", b"several", b"", b" parts")
    disk.append(tmp_path / "file", b" and more")
    assert (tmp_path / "file").read_bytes() == b"several parts and more"


@pytest.mark.parametrize("number", [errno.EINVAL, errno.EACCES])
def test_folders_that_cannot_be_flushed_are_no_error_and_files_are(tmp_path, monkeypatch, number):
    def refuse(descriptor: int) -> None:
        raise OSError(number, os.strerror(number))

    (tmp_path / "file").touch()
    monkeypatch.setattr(os, "fsync", refuse)
    disk.flush(tmp_path)
    with pytest.raises(OSError):
        disk.flush(tmp_path / "file")
