"""The last line of a run's log."""

import os
from typing import Any

from advnets.runs import Run
from advnets.untrusted import loads

_TAIL = 1 << 16  # bytes; a line has a few hundred


def last_line(run: Run) -> dict[str, Any]:
    """Return the newest complete line of log.jsonl; empty where there is none."""
    if not run.log.is_file():
        return {}
    with run.log.open("rb") as file:
        file.seek(max(0, file.seek(0, os.SEEK_END) - _TAIL))
        lines = file.read().splitlines()
    for line in reversed(lines):
        try:
            content = loads(line)
        except ValueError:  # cut short by a kill
            continue
        if isinstance(content, dict):
            return content
    return {}
