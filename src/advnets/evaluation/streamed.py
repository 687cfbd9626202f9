"""The Parzen likelihood against the number of samples, far beyond what fits into memory, by any number of processes.

Samples are drawn block by block and forgotten again. Kernels of several widths are summed in one pass, and each size of
the curve is a stop on its way. Of several processes each has every so-manyth block, and some of the points where there
are more processes than blocks; what they sum up adds up.
"""

from collections.abc import Iterator
from dataclasses import asdict, dataclass
from itertools import pairwise
from typing import Any

import numpy as np
import torch
from jaxtyping import Float64
from numpy.typing import NDArray
from torch import Tensor

from advnets.errors import InputError, NotMeasurable
from advnets.evaluation import shares
from advnets.evaluation.bandwidth import best_inside
from advnets.evaluation.kernels import LogSums, normalise, tiles
from advnets.evaluation.likelihood import VALIDATION_POINTS, HeldOut, Likelihood, flat
from advnets.evaluation.parzen import ParzenWindow
from advnets.evaluation.progress import Report, silent
from advnets.evaluation.subjects import Subject
from advnets.seeds import stream

BLOCK = 1000
"""Samples of a block; counts are multiples of it."""

_FIRST = 10  # blocks by which the widths are chosen that are summed
_RATIO, _BELOW, _ABOVE = 1.05, 20, 16  # of one width to the next, and how many of them on either side


@dataclass(frozen=True)
class Field:
    """What one of several processes sums up: some blocks around some points."""

    blocks: slice
    """Which of all blocks."""
    points: slice
    """Which of all points; none for a process that is one too many."""


def field(rank: int, of: int, blocks: int, points: int) -> Field:
    """Return the field of a process: every of-th block, as long as there are enough of them.

    With more processes than blocks these stand in c columns that share out the blocks, and rows that share out the
    points, c such that the largest field, ⌈blocks/c⌉·⌈points/⌊of/c⌋⌉, is smallest.
    """
    columns = of
    if of > blocks:
        columns = min(range(1, blocks + 1), key=lambda c: -(-blocks // c) * -(-points // (of // c)))
    row, column = divmod(rank, columns)
    rows = of // columns
    return Field(slice(column, None, columns), shares.part(points, rows, row) if row < rows else slice(0, 0))


def require(subject: Subject, count: int) -> None:
    """Raise InputError for samples of a file, and for a count that is no multiple of 1,000."""
    if subject.available is not None:
        raise InputError(
            "--centres streams samples from a generator and these are samples of a file, allowed: a run; leave it out"
        )
    if count < BLOCK or count % BLOCK:
        raise InputError(
            f"--centres is {count}, allowed: a multiple of {BLOCK}; set --centres {max(1, count // BLOCK) * BLOCK}"
        )


def curve(
    subject: Subject, held_out: HeldOut, count: int, *, seed: int = 0, report: Report = silent
) -> list[dict[str, Any]]:
    """Score 1,000, 3,000, 10,000 … and `count` samples of a generator: a Likelihood each, as plain values.

    σ is chosen for each size on the first 1,000 validation points, within steps of 5 %, and every test point is scored.
    Block b is drawn with a seed of its own, so the numbers do not depend on how many processes share the work
    (`shares.among`), but for the order of additions. Raises InputError as `require` does.
    """
    require(subject, count)
    points = torch.from_numpy(np.concatenate([held_out.validation[:VALIDATION_POINTS], held_out.test])).double()
    widths, sizes = _widths(subject, held_out, min(count, _FIRST * BLOCK), seed), _sizes(count)
    share = shares.share()
    own = field(share.rank, share.of, count // BLOCK, len(points))
    told, all_own = _told(own, count, len(points), report), len(range(count // BLOCK)[own.blocks]) * BLOCK
    sums = _sums(subject, points[own.points], widths, sizes, own, seed, told)
    found = []
    for size, logs in zip(sizes, sums, strict=True):
        every = torch.full((len(widths), len(points)), -torch.inf, dtype=torch.float64)
        every[:, own.points] = logs
        joined = torch.logsumexp(share.gather(every, lambda: told(all_own, all_own)), 0)
        found.append(_point(size, widths, joined, held_out))
    return found


def _told(own: Field, count: int, points: int, report: Report) -> Report:
    """Return whom this process tells of its samples; `report` hears of those that all have been through."""
    mine = len(range(count // BLOCK)[own.blocks]) * BLOCK * (own.points.stop - own.points.start)
    tell = shares.tally(lambda done, total: report(done // points, total // points), mine, count * points)
    return lambda done, total: tell(done * (own.points.stop - own.points.start))


def _sums(
    subject: Subject,
    points: Float64[Tensor, "n d"],
    widths: NDArray[np.float64],
    sizes: list[int],
    own: Field,
    seed: int,
    report: Report,
) -> list[Float64[Tensor, "widths n"]]:
    """Return log sums of kernels around this process's blocks at its points, for each size of the curve."""
    sums, logs, done = LogSums(len(points), widths, points.device), [], 0
    for before, size in pairwise([0, *sizes]):
        mine = range(size // BLOCK)[own.blocks]
        blocks = [block for block in mine if block >= before // BLOCK] if len(points) else []

        def told(fresh: int, total: int, before: int = done) -> None:
            report(before + fresh, before + total)

        sums.add(tiles(_draws(subject, blocks, seed), points, len(blocks) * BLOCK, report=told))
        done += len(blocks) * BLOCK
        logs.append(sums.value())
    return logs


def _draws(subject: Subject, blocks: list[int], seed: int) -> Iterator[Tensor]:
    for block in blocks:
        yield torch.from_numpy(_draw(subject, block, seed))


def _draw(subject: Subject, block: int, seed: int) -> NDArray[np.float32]:
    return flat(subject.draw(BLOCK, stream(seed, "centres", block).initial_seed()))


def _sizes(count: int) -> list[int]:
    """1, 3, 10, 30 … thousand, and count."""
    steps = [digit * 10**power for power in range(3, 13) for digit in (1, 3)]
    return [*(size for size in steps if size < count), count]


def _widths(subject: Subject, held_out: HeldOut, count: int, seed: int) -> NDArray[np.float64]:
    """Return widths around the best one of the first samples."""
    first = np.concatenate([_draw(subject, block, seed) for block in range(count // BLOCK)])
    window = ParzenWindow("fine", validation_points=VALIDATION_POINTS).fit(first, validation=held_out.validation)
    return np.asarray(window.bandwidth_ * _RATIO ** np.arange(-_BELOW, _ABOVE + 1.0))


def _point(
    size: int, widths: NDArray[np.float64], logs: Float64[Tensor, "widths points"], held_out: HeldOut
) -> dict[str, Any]:
    """Choose the width on validation points, and score the test points."""
    scores, chosen = (
        normalise(logs, widths, size, held_out.test.shape[1]),
        min(VALIDATION_POINTS, len(held_out.validation)),
    )
    try:
        best = best_inside(widths, scores[:, :chosen].mean(1), "streamed")
    except NotMeasurable as reason:
        return {"centres": size, "not_measured": str(reason)}
    test = scores[best, chosen:]
    error = float(test.std(ddof=1) / np.sqrt(len(test))) if len(test) > 1 else 0.0
    return asdict(Likelihood(float(test.mean()), error, float(widths[best]), "streamed", size, len(test)))
