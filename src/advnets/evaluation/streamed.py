"""The Parzen likelihood against the number of samples, far beyond what fits into memory, by any number of processes.

Samples are drawn block by block and forgotten again. Kernels of several widths are summed in one pass, and each size of
the curve is a stop on its way. Of several processes each has every so-manyth block; what they sum up adds up.
"""

from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from itertools import pairwise
from typing import Any

import numpy as np
import torch
from jaxtyping import Float64
from numpy.typing import NDArray
from torch import Tensor

from advnets.errors import InputError, NotMeasurable
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
class Share:
    """Which of several processes this is, and how they put together what each has."""

    rank: int = 0
    of: int = 1
    gather: Callable[[Tensor], Tensor] = lambda x: x[None]
    """Stacks the tensors of all processes."""


@dataclass(frozen=True)
class Sums:
    """Log sums of kernels at the points, of every width, for each size of the curve."""

    sizes: list[int]
    widths: NDArray[np.float64]
    logs: Float64[Tensor, "sizes widths points"]


def curve(
    subject: Subject,
    held_out: HeldOut,
    count: int,
    *,
    seed: int = 0,
    share: Share | None = None,
    report: Report = silent,
) -> list[dict[str, Any]]:
    """Score 1,000, 3,000, 10,000 … and `count` samples of a generator: a Likelihood each, as plain values.

    σ is chosen for each size on the first 1,000 validation points, within steps of 5 %, and every test point is scored.
    Block b is drawn with a seed of its own, so the numbers do not depend on how many processes share the work, but for
    the order of additions. Raises InputError for samples of a file, and for a count that is no multiple of 1,000.
    """
    if subject.available is not None:
        raise InputError(
            "--centres streams samples from a generator and these are samples of a file, allowed: a run; leave it out"
        )
    if count < BLOCK or count % BLOCK:
        raise InputError(
            f"--centres is {count}, allowed: a multiple of {BLOCK}; set --centres {max(1, count // BLOCK) * BLOCK}"
        )
    share = share or Share()
    sums = sums_of_share(subject, held_out, count, seed=seed, share=share, report=report)
    joined = torch.logsumexp(share.gather(sums.logs), 0)
    return [_point(size, sums.widths, logs, held_out) for size, logs in zip(sums.sizes, joined, strict=True)]


def sums_of_share(
    subject: Subject, held_out: HeldOut, count: int, *, seed: int, share: Share, report: Report = silent
) -> Sums:
    """Sum the kernels around this process's blocks."""
    points = torch.from_numpy(np.concatenate([held_out.validation[:VALIDATION_POINTS], held_out.test])).double()
    widths, sizes = _widths(subject, held_out, min(count, _FIRST * BLOCK), seed), _sizes(count)
    sums, logs = LogSums(len(points), widths, points.device), []
    for before, size in pairwise([0, *sizes]):
        blocks = [block for block in range(before // BLOCK, size // BLOCK) if block % share.of == share.rank]

        def told(done: int, total: int, before: int = before) -> None:
            report(min(count, before + done * share.of), count)

        sums.add(tiles(_draws(subject, blocks, seed), points, len(blocks) * BLOCK, report=told))
        logs.append(sums.value())
    return Sums(sizes, widths, torch.stack(logs))


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
