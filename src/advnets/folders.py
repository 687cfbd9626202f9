"""Names of new run folders: folder/name-N with the first N that is free."""

import contextlib
from collections.abc import Iterator
from pathlib import Path

from advnets import disk
from advnets.disk import reporting


def next_folder(folder: Path, name: str) -> Path:
    """Return the first free folder/name-N."""
    number = 1
    while (folder / f"{name}-{number}").exists():
        number += 1
    return folder / f"{name}-{number}"


@contextlib.contextmanager
def reserved(folder: Path, name: str) -> Iterator[Path]:
    """Make the first free folder/name-N, which no other process then gets; remove what stays empty."""
    with reporting(f"cannot make a run folder in {folder}"):
        disk.make_folder(folder)
        path = next_folder(folder, name)
        while True:
            try:
                path.mkdir()
                break
            except FileExistsError:
                path = next_folder(folder, name)
    try:
        yield path
    finally:
        with contextlib.suppress(OSError):  # not empty
            path.rmdir()
            folder.rmdir()
