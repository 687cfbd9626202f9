"""How long work says how far it is."""

from collections.abc import Callable

Report = Callable[[int, int], None]
"""Called as report(done, total), in whatever unit the caller counts."""


def silent(done: int, total: int) -> None:
    """Say nothing."""


def part(report: Report, index: int, parts: int) -> Report:
    """Return a report for one of several equal parts of a job, which counts the whole job in thousandths."""
    return lambda done, total: report(round(1000 * (index + done / total) / parts), 1000)
