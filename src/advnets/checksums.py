"""SHA256SUMS: what tells a folder of files as it was written from a damaged one, as `sha256sum -c` reads it."""

import hashlib
from pathlib import Path

from advnets import disk
from advnets.untrusted import read_text

_NAME = "SHA256SUMS"
_MOST = 2**16  # characters of it


def write(folder: Path) -> None:
    """Write the checksums of all files of a folder."""
    names = sorted(file.name for file in folder.iterdir())
    disk.write(folder / _NAME, "".join(f"{_sha256(folder / name)}  {name}\n" for name in names).encode())


def damage(folder: Path) -> str | None:
    """Say what is wrong with a folder, if anything."""
    try:
        sums = dict(line.partition("  ")[::-2] for line in read_text(folder / _NAME, _MOST).splitlines())
        for name, digest in sums.items():
            if Path(name).name != name or (folder / name).is_symlink() or not (folder / name).is_file():
                return f"{_NAME} names {name!r}, which is no file of this folder"
            if _sha256(folder / name) != digest:
                return f"{name} has another checksum"
        if more := {one.name for one in folder.iterdir() if not one.name.startswith(".")} - {*sums, _NAME}:
            return f"{more.pop()} has no checksum"
    except (OSError, ValueError) as error:
        return disk.reason(error)
    return None if sums else f"{_NAME} is empty"


def _sha256(file: Path) -> str:
    with file.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()
