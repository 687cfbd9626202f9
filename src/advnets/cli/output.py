"""What commands print and write: one JSON object, aligned columns, files that appear whole or not at all."""

import contextlib
import json
import os
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import IO, Any

from advnets import disk
from advnets.config import Config, belongs, flatten, spell
from advnets.errors import InputError, plain

_LETTERS = {"generator": "G ", "discriminator": "D ", "model": ""}


def emit(content: dict[str, Any]) -> None:
    """Print the one JSON object of a command."""
    print(json.dumps(content, indent=2, allow_nan=False, default=str))


def say(line: str) -> None:
    """Print a line that may name paths and what else users and files call things."""
    print(plain(line))


def table(rows: Sequence[Sequence[str]], gap: str = "  ") -> str:
    """Align rows of equally many cells in columns; a cell may hold anything that a file said."""
    rows = [[plain(str(cell)) for cell in row] for row in rows]
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    lines = (gap.join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)) for row in rows)
    return "\n".join(line.rstrip() for line in lines)


def listing(config: Config) -> str:
    """List every setting that means anything here, a line each, by the name its option has."""
    own = {name: value for name, value in flatten(config).items() if belongs(config, name)}
    return "\n".join(plain(f"{name} {spell(value)}") for name, value in own.items())


def sizes(counts: Mapping[str, int]) -> str:
    """Write parameter counts as G 1,000, D 2,000, or that of a rival."""
    return ", ".join(f"{_LETTERS[name]}{count:,}" for name, count in counts.items())


@contextlib.contextmanager
def writing(file: Path) -> Iterator[IO[bytes]]:
    """Open a file aside and rename it into place on success; raises InputError where the system refuses."""
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
        with disk.streaming(file) as stream:
            yield stream
    except OSError as error:
        raise InputError(
            f"cannot write {file} ({disk.reason(error)}), allowed: a place with room that you may write to; name "
            "another with --out"
        ) from error


@contextlib.contextmanager
def making(folder: Path) -> Iterator[Path]:
    """Yield a folder aside, which is renamed into place on success and removed on failure.

    Raises InputError for one that holds something, and where the system refuses.
    """
    if os.path.lexists(folder) and not (folder.is_dir() and not any(folder.iterdir())):
        raise InputError(f"{folder} exists already, allowed: a new or empty folder; name another with --out")
    aside = folder.with_name(f".{folder.name}.writing")
    try:
        disk.remove(aside)
        disk.make_folder(aside)
        yield aside
        disk.rename(aside, folder)
    except OSError as error:
        raise InputError(
            f"cannot write {folder} ({disk.reason(error)}), allowed: a place with room that you may write to; name "
            "another with --out"
        ) from error
    finally:
        disk.remove(aside)
