"""Text and JSON that somebody else may have written: as strict as what advnets writes, and no larger than it."""

import json
import math
import os
from pathlib import Path
from typing import Any

from advnets.errors import InputError

_DIGITS = 20  # of a whole number: any in 64 bits


def read_text(file: Path, limit: int) -> str:
    """Read a regular file of UTF-8 and at most `limit` bytes; raises OSError or ValueError for any other."""
    if not file.is_file() and file.exists():  # a pipe would be waited for, and a device never end
        raise ValueError("it is no regular file")
    with file.open("rb") as stream:
        content = stream.read(min(limit, file.stat().st_size) + 1)
    if len(content) > limit:
        raise ValueError(f"it is larger than {limit} bytes")
    return content.decode()


def require_no_links(folder: Path) -> None:
    """Raise InputError for a link in a folder that is to be written in: it would lead out of it."""
    for where, folders, names in os.walk(folder):
        for path in (Path(where, name) for name in (*folders, *names)):
            if path.is_symlink():
                raise InputError(
                    f"{path} is a link, allowed in a run that is trained: files and folders of its own; put there what "
                    "it points to"
                )


def loads(text: str | bytes) -> Any:
    """Read JSON whose numbers are finite and of ordinary length; raises ValueError for any other text."""
    try:
        return json.loads(text, parse_constant=_refuse, parse_float=_finite, parse_int=_whole)
    except RecursionError:
        raise ValueError("it is nested too deeply") from None


def has(value: object, **kinds: type) -> bool:
    """Tell whether this is a JSON object with these fields of these types."""
    return isinstance(value, dict) and all(type(value.get(name)) is kind for name, kind in kinds.items())


def _refuse(text: str) -> None:
    raise ValueError(f"{text} is no number")


def _finite(text: str) -> float:
    number = float(text)
    if not math.isfinite(number):
        raise ValueError(f"{text[:20]} is too large a number")
    return number


def _whole(text: str) -> int:
    if len(text) > _DIGITS:
        raise ValueError(f"{text[:20]}… is too large a number")
    return int(text)
