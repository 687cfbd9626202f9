"""Results that depend on a data set and a protocol alone, kept in the user's cache."""

import hashlib
import json
from collections.abc import Callable
from typing import Any

from advnets.data.places import cache


def kept(kind: str, key: tuple[Any, ...], make: Callable[[], dict[str, Any]]) -> dict[str, Any]:
    """Return what was made for this key before, or make and keep it.

    A damaged file is made anew; a cache that cannot be written costs time only.
    """
    digest = hashlib.sha256(json.dumps(key, sort_keys=True, default=str).encode()).hexdigest()
    file = cache() / kind / f"{digest[:32]}.json"
    try:
        content = json.loads(file.read_text())
        if isinstance(content, dict):
            return content
    except (OSError, ValueError):
        pass
    content = make()
    aside = file.with_name(f".{file.name}.writing")
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
        aside.write_text(json.dumps(content, indent=2, allow_nan=False))
        aside.replace(file)
    except OSError:
        aside.unlink(missing_ok=True)
    return content
