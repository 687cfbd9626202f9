"""How an evaluation is shared out, and shows where it is.

On stderr: a bar a measure on a terminal, a line now and then in a log.
"""

import contextlib
import functools
import os
import sys
import time
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any

from advnets.cli.main import WRONG_USAGE
from advnets.errors import InputError

if TYPE_CHECKING:
    from advnets.evaluation.progress import Report

_FIRST_SECONDS, _LINE_SECONDS = 2, 10


@contextlib.contextmanager
def sharing(devices: int = 1, nodes: int = 1) -> Iterator[bool]:
    """Share out what the block measures over processes; yields whether this is the first, which alone speaks.

    torchrun's processes where that has started this one. If the block fails, the processes started here end too, and of
    what is wrong with the measured the first one tells. Raises InputError for numbers of processes that cannot be.
    """
    if devices == nodes == 1 and "LOCAL_WORLD_SIZE" not in os.environ:
        yield True
        return
    from advnets.evaluation.shares import Share, among, packed, unpacked
    from advnets.training import processes

    fabric = processes.started(devices, nodes)
    own = processes.children(fabric)
    first = fabric.is_global_zero
    try:
        gather, counters = functools.partial(processes.stacked, fabric), processes.counters(fabric, own)

        def tell(said: Any) -> Any:
            return unpacked(processes.repeated(fabric, packed(said) if first else None))

        with among(Share(fabric.global_rank, fabric.world_size, gather, tell, counters)):
            yield first
    except InputError as error:
        if first:
            raise
        raise SystemExit(WRONG_USAGE) from error
    finally:
        if sys.exc_info()[0]:
            for one in own:
                one.kill()


@contextlib.contextmanager
def showing(*, quiet: bool = False) -> Iterator[Callable[[str], "Report"]]:
    """Yield what `evaluate` reports to: given a measure's name, it returns whom to tell how far that is."""
    if quiet:
        yield lambda name: _silent
        return
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


def _silent(done: int, total: int) -> None:
    """Show nothing, as all but the first of several processes do."""


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
