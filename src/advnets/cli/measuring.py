"""How an evaluation shows where it is, on stderr: a bar a measure on a terminal, a line now and then in a log."""

import contextlib
import sys
import time
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from advnets.evaluation.progress import Report

_FIRST_SECONDS, _LINE_SECONDS = 2, 10


@contextlib.contextmanager
def showing() -> Iterator[Callable[[str], "Report"]]:
    """Yield what `evaluate` reports to: given a measure's name, it returns whom to tell how far that is."""
    if not sys.stderr.isatty():
        yield _lines
        return
    from rich.console import Console
    from rich.progress import (
        BarColumn,
        MofNCompleteColumn,
        Progress,
        TextColumn,
        TimeElapsedColumn,
        TimeRemainingColumn,
    )

    columns = (
        TextColumn("{task.description}"),
        BarColumn(bar_width=20),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        TimeRemainingColumn(),
        TextColumn("left"),
    )
    with Progress(*columns, console=Console(stderr=True), transient=True) as bar:

        def start(name: str) -> "Report":
            task = bar.add_task(name, total=None)

            def report(done: int, total: int) -> None:
                bar.update(task, completed=done, total=total, visible=done < total)

            return report

        yield start


def _lines(name: str) -> "Report":
    """Print a line once a measure has taken two seconds, and then every ten."""
    first: tuple[float, int] | None = None  # when work was seen for the first time, and how far it was
    due = time.monotonic() + _FIRST_SECONDS

    def report(done: int, total: int) -> None:
        nonlocal first, due
        now = time.monotonic()
        first = first or (now, done)
        if now < due or done <= first[1] or done >= total:
            return
        left = (now - first[0]) * (total - done) / (done - first[1])
        print(f"{name}: {done}/{total}, {left:.0f} s left", file=sys.stderr, flush=True)
        due = now + _LINE_SECONDS

    return report
