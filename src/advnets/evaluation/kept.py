"""Results that depend on a data set and a protocol alone, kept in the user's cache."""

import contextlib
import hashlib
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

from advnets.data.places import cache
from advnets.errors import InputError
from advnets.evaluation import shares
from advnets.runs import read_json, write_json


def kept(kind: str, key: tuple[Any, ...], make: Callable[[], dict[str, Any]]) -> dict[str, Any]:
    """Return what was made for this key before, or make and keep it.

    A damaged file is made anew; a cache that cannot be written costs time only. Of several processes that share the
    work the first one's cache counts.
    """
    digest = hashlib.sha256(json.dumps(key, sort_keys=True, default=str).encode()).hexdigest()
    file = cache() / kind / f"{digest[:32]}.json"
    before = shares.once(lambda: _read(file))
    if before is not None:
        return before
    content = make()
    if shares.share().rank:
        return content
    with contextlib.suppress(OSError):
        file.parent.mkdir(parents=True, exist_ok=True)
        write_json(file, content)
    return content


def _read(file: Path) -> dict[str, Any] | None:
    with contextlib.suppress(InputError):
        return read_json(file)
    return None
