"""Where data sets lie: the folders of ADVNETS_DATA first, then the user's cache."""

import contextlib
import os
from collections.abc import Iterator
from pathlib import Path

from advnets.errors import InputError


def cache() -> Path:
    """Return the folder that fetched data sets are kept in."""
    import platformdirs

    return Path(platformdirs.user_cache_dir("advnets"))


def roots() -> tuple[Path, ...]:
    """Return the folders to search, first choice first."""
    named = os.environ.get("ADVNETS_DATA", "").split(os.pathsep)
    return (*(expanded(folder) for folder in named if folder.strip()), cache())


def expanded(name: str | Path) -> Path:
    """Return a path with ~ as the user's home; a name like ~nobody, of no user, stays as it is."""
    with contextlib.suppress(RuntimeError):
        return Path(name).expanduser()
    return Path(name)


def candidates(name: str) -> Iterator[Path]:
    """Yield FOLDER/name and then FOLDER for every folder to search, where they exist; a hyphen may stand for _."""
    for root in roots():
        for folder in dict.fromkeys((root / name, root / name.replace("_", "-"), root)):
            if folder.is_dir():
                yield folder


def read_bounded(path: Path, limit: int, fix: str = "get the official file") -> bytes:
    """Return the bytes of a regular file of at most `limit` bytes; raises InputError for any other."""
    try:
        if not path.is_file():
            raise InputError(f"{path} is not there or no file, allowed is a readable file; check the path")
        size = path.stat().st_size
        if size > limit:
            raise InputError(f"{path} has {size} bytes, allowed are {limit} at most; {fix}")
        return path.read_bytes()
    except OSError as error:
        raise unreadable(path, error) from error


def unreadable(path: Path, error: BaseException) -> InputError:
    """Return the InputError for a file that the machine or its decoder refuses."""
    reason = " ".join(str(error).split())[:200] or type(error).__name__
    return InputError(f"{path} cannot be read ({reason}), allowed is a complete, readable file; replace it")
