"""One evaluation by several processes: each computes some rows of what takes long, and all get all of them.

Every process takes the same measures in the same order, within `among`. What takes long and has rows goes by `split`:
each process computes its own, and `stack` gives everyone the rows of all. What has none, or depends on a place (caches,
random draws, decisions of a search), goes by `once`: the first process makes it and tells the others. So no two
processes can come to different decisions, whatever their processors round.
"""

import contextlib
import io
import itertools
import time
from collections.abc import Callable, Iterator
from contextvars import ContextVar
from dataclasses import dataclass, field
from typing import Any, TypeVar

import numpy as np
import torch
from jaxtyping import UInt8
from numpy.typing import NDArray
from torch import Tensor

from advnets.errors import InputError, NotMeasurable
from advnets.evaluation.progress import Report, silent

_T = TypeVar("_T")

_SECONDS = 0.2  # between two looks at how far all processes are

Glance = Callable[[], None]
"""Called now and then while a process waits for others."""


def _alone(x: Tensor, glance: Glance) -> Tensor:
    return x[None]


@dataclass(frozen=True)
class Share:
    """Which of several processes this is, and how they speak to each other; by default it is the only one."""

    rank: int = 0
    of: int = 1
    gather: Callable[[Tensor, Glance], Tensor] = _alone
    """Stacks the tensors of all processes, which are of one shape, and calls its second argument while it waits."""
    tell: Callable[[Any], Any] = lambda said: said
    """Returns what the first process gives, which is made of what `packed` takes."""
    add: Callable[[int, int], int] = lambda counter, amount: amount
    """Adds to a counter of that number, which all processes share, and returns what it has come to."""
    jobs: Iterator[int] = field(default_factory=itertools.count, compare=False)
    """Numbers for jobs; the same job has the same number in all processes."""


ALONE = Share()
"""The only process there is."""

_share: ContextVar[Share] = ContextVar("share", default=ALONE)


def share() -> Share:
    """Return this process's share of the work."""
    return _share.get()


@contextlib.contextmanager
def among(share: Share) -> Iterator[None]:
    """Share out what is measured in the block; all processes have to measure the same in it."""
    before = _share.set(share)
    try:
        yield
    finally:
        _share.reset(before)


@dataclass(frozen=True)
class Split:
    """Rows of a job, parted among the processes."""

    own: slice
    """Rows that this process is to compute; never none, so that shapes are known: a surplus process repeats some."""
    report: Report
    """Whom this process tells how far its own rows are."""
    stack: Callable[[NDArray[Any]], NDArray[Any]]
    """Given an array of this process's rows, returns that of all rows, the same in every process."""


def split(n: int, unit: int = 1, report: Report = silent) -> Split:
    """Part n rows, at multiples of `unit`; `report` hears in the first process how many rows all have done."""
    here = share()
    if here.of == 1:
        return Split(slice(0, n), report, lambda rows: rows)
    parts = [part(n, here.of, rank, unit) for rank in range(here.of)]
    sizes = [rows.stop - rows.start for rows in parts]
    size = sizes[here.rank]
    tell = tally(report, size, n)

    def stack(rows: NDArray[Any]) -> NDArray[Any]:
        equal = np.zeros((max(sizes), *rows.shape[1:]), rows.dtype)
        equal[:size] = rows[:size]
        found = here.gather(torch.from_numpy(equal), lambda: tell(size)).numpy()
        report(n, n)
        return np.concatenate([rows[:size] for rows, size in zip(found, sizes, strict=True)])

    own = parts[here.rank] if size else slice(max(0, n - unit), n)
    return Split(own, lambda done, total: tell(round(size * done / total)), stack)


def part(n: int, parts: int, number: int, unit: int = 1) -> slice:
    """Return one of several parts of n rows, as equal as multiples of `unit` can be."""
    units = -(-n // unit)
    first, end = units * number // parts, units * (number + 1) // parts
    return slice(min(n, first * unit), min(n, end * unit))


def once(make: Callable[[], _T]) -> _T:
    """Return what the first process makes, by itself, in every process; raises everywhere the InputError it raises.

    It has to be made of what `packed` takes.
    """
    here = share()
    if here.of == 1:
        return make()
    made, failure = None, None
    if here.rank == 0:
        with among(ALONE):
            try:
                made = make()
            except InputError as raised:
                failure = isinstance(raised, NotMeasurable), str(raised)
    said, failed = here.tell((made, failure))
    if failed:
        raise (NotMeasurable if failed[0] else InputError)(failed[1])
    found: _T = said
    return found


def packed(said: Any) -> UInt8[Tensor, " bytes"]:
    """Write None, numbers, words, arrays, and lists, tuples and dictionaries of such as bytes that run no code.

    Raises TypeError for anything else.
    """
    content = io.BytesIO()
    torch.save(_plain(said), content)
    return torch.frombuffer(content.getbuffer(), dtype=torch.uint8).clone()


def unpacked(content: UInt8[Tensor, " bytes"]) -> Any:
    """Read what `packed` wrote."""
    return _arrays(torch.load(io.BytesIO(content.numpy().tobytes()), weights_only=True))


def _plain(said: Any) -> Any:
    match said:
        case np.generic():
            return said.item()
        case None | bool() | int() | float() | str():
            return said
        case np.ndarray():
            return torch.from_numpy(np.array(said, order="C"))
        case list() | tuple():
            return type(said)(map(_plain, said))
        case dict():
            return {str(name): _plain(value) for name, value in said.items()}
    raise TypeError(f"processes tell each other of numbers, words and arrays alone, not of {type(said).__name__}")


def _arrays(read: Any) -> Any:
    match read:
        case Tensor():
            return read.numpy()
        case list() | tuple():
            return type(read)(map(_arrays, read))
        case dict():
            return {name: _arrays(value) for name, value in read.items()}
    return read


def tally(report: Report, own: int, total: int) -> Callable[[int], None]:
    """Return what is to be called with how much of its `own` this process has done, out of `total` of all processes.

    `report` is told the sum over processes.
    """
    here = share()
    if here.of == 1:
        return lambda done: report(done, total)
    job, told, due = next(here.jobs), 0, 0.0

    def tell(done: int) -> None:
        nonlocal told, due
        if done < own and time.monotonic() < due:
            return
        everyone = here.add(job, done - told)
        told, due = done, time.monotonic() + _SECONDS
        report(everyone, total)

    return tell
