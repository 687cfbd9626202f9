"""Files that appear whole or not at all: every write of a run goes through here, and its failure becomes one line.

Contents reach the disk itself by a flush of the file, names by a flush of their folder.
"""

import contextlib
import errno
import json
import os
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import IO, Any

from advnets.errors import InputError
from advnets.untrusted import loads, read_text

MAX_JSON_BYTES = 64 * 2**20
_NO_FLUSH = (errno.EINVAL, errno.ENOTSUP, errno.EACCES, errno.EPERM)  # of folders that cannot be read or flushed


def write(file: Path, *parts: bytes | memoryview) -> None:
    """Write all of a new file, to the disk itself but for its name."""
    with _opened(file, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW) as descriptor:
        for part in parts:
            _pour(descriptor, part)
        os.fsync(descriptor)


def replace(file: Path, *parts: bytes | memoryview) -> None:
    """Write a file aside, then rename it into place; a reader sees the old or the new one, power cuts or not."""
    with whole(file) as aside:
        write(aside, *parts)


@contextlib.contextmanager
def whole(file: Path) -> Iterator[Path]:
    """Yield the name to write a file under, to be renamed into place on success and removed on failure."""
    aside = file.with_name(f".{file.name}.writing")
    if os.path.lexists(aside):  # a link would lead elsewhere, a pipe be waited for
        os.unlink(aside)
    try:
        yield aside
        rename(aside, file)
    except BaseException:
        with contextlib.suppress(OSError):
            os.unlink(aside)
        raise


def rename(old: Path, new: Path) -> None:
    """Rename a file, over another, or a folder, in the folder it lies in."""
    os.replace(old, new)
    flush(new.parent)


@contextlib.contextmanager
def streaming(file: Path) -> Iterator[IO[bytes]]:
    """Yield a stream to what then replaces a file, as `replace` does."""
    with whole(file) as aside, aside.open("xb") as stream:
        yield stream
        stream.flush()
        os.fsync(stream.fileno())


def append(file: Path, content: bytes | memoryview, *, begun: bool = False) -> None:
    """Write at the end of a file, which `flush` then brings to the disk itself; it has to be there if it was begun."""
    with _opened(file, os.O_WRONLY | os.O_APPEND | (0 if begun else os.O_CREAT)) as descriptor:
        _pour(descriptor, content)


def cut(file: Path, size: int) -> None:
    """Cut a file down to so many bytes."""
    os.truncate(file, size)


def flush(path: Path) -> None:
    """Bring a file, or the names in a folder where the system can, to the disk itself."""
    try:
        with _opened(path, os.O_RDONLY) as descriptor:
            os.fsync(descriptor)
    except OSError as error:
        if error.errno not in _NO_FLUSH or not path.is_dir():
            raise


def make_folder(folder: Path) -> None:
    """Make a folder, and those it lies in, where they are not there."""
    if not folder.is_dir():
        make_folder(folder.parent)
        folder.mkdir(exist_ok=True)
        flush(folder.parent)


def remove(folder: Path) -> None:
    """Remove a folder with all it holds, as far as the system lets."""
    shutil.rmtree(folder, ignore_errors=True)


def remove_file(file: Path) -> None:
    """Remove a file."""
    os.unlink(file)


def read_json(file: Path) -> dict[str, Any]:
    """Read a JSON object; raises InputError for anything else."""
    try:
        content = loads(read_text(file, MAX_JSON_BYTES))
    except (OSError, ValueError) as error:
        raise InputError(
            f"{file} cannot be read ({reason(error)}), allowed: the JSON that advnets wrote; restore it from a copy"
        ) from None
    if not isinstance(content, dict):
        raise InputError(f"{file} holds {type(content).__name__}, allowed: a JSON object; restore it from a copy")
    return content


def write_json(file: Path, content: dict[str, Any]) -> None:
    """Replace a file by a JSON object."""
    replace(file, (json.dumps(content, indent=2, allow_nan=False) + "\n").encode())


@contextlib.contextmanager
def reporting(what: str, survivor: str = "nothing was lost", fix: str | None = None) -> Iterator[None]:
    """Turn a failed system call into one line for the user: what, why, what is left, and how to fix it."""
    try:
        yield
    except FileNotFoundError as error:
        gone = fix or "put it back and go on with --resume, or train again"
        raise InputError(f"{what}: {reason(error)}, so something was removed or moved meanwhile; {gone}") from error
    except OSError as error:
        fix = fix or "free space or fix permissions, then go on with --resume"
        name = Path(str(error.filename or "")).name
        name = name.removeprefix(".").removesuffix(".writing")
        of = f" for {name}" if name and name not in what else ""
        raise InputError(f"{what}: {reason(error)}{of}; {survivor}; {fix}") from error


def reason(error: Exception) -> str:
    """Say in a few words why something failed."""
    return getattr(error, "strerror", None) or (str(error).splitlines() or [type(error).__name__])[0]


@contextlib.contextmanager
def _opened(path: Path, flags: int) -> Iterator[int]:
    descriptor = os.open(path, flags | os.O_CLOEXEC, 0o666)
    try:
        try:
            yield descriptor
        finally:
            os.close(descriptor)
    except OSError as error:
        error.filename = error.filename or str(path)
        raise


def _pour(descriptor: int, content: bytes | memoryview) -> None:
    """Write all bytes, however few the system takes at a time."""
    left = memoryview(content)
    if left.nbytes == 0:
        return
    left = left.cast("B")
    while left:
        left = left[os.write(descriptor, left) :]
