"""SHA256SUMS: what tells a folder of files as it was written from a damaged one, as `sha256sum -c` reads it."""

import hashlib
from pathlib import Path

from advnets import disk

_NAME = "SHA256SUMS"


def write(folder: Path) -> None:
    """Write the checksums of all files of a folder."""
    names = sorted(file.name for file in folder.iterdir())
    disk.write(folder / _NAME, "".join(f"{_sha256(folder / name)}  {name}\n" for name in names).encode())


def damage(folder: Path) -> str | None:
    """Say what is wrong with a folder, if anything."""
    try:
        lines = (folder / _NAME).read_text().splitlines()
        for line in lines:
            digest, _, name = line.partition("  ")
            if Path(name).name != name:
                return f"{_NAME} names {name!r}"
            if _sha256(folder / name) != digest:
                return f"{name} has another checksum"
    except (OSError, ValueError) as error:
        return disk.reason(error)
    return None if lines else f"{_NAME} is empty"


def _sha256(file: Path) -> str:
    with file.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()
