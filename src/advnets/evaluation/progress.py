"""How long work says how far it is."""

from collections.abc import Callable

Report = Callable[[int, int], None]
"""Called as report(done, total), in whatever unit the caller counts."""


def silent(done: int, total: int) -> None:
    """Say nothing."""
