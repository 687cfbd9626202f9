"""Parzen windows over more centres than memory holds: streamed, they give what parts of them give together.

    ADVNETS_DATA=... python benchmarks/centres.py [--centres 10000000] [--points 100] [--json FILE]

The centres are MNIST training images with Gaussian noise of sd .1, made anew block by block with every loop; all of
them would take 31 GB. `streamed` scores test images under all of them at once, in one `log_likelihoods` over ten
bandwidths; `parts` scores the same points under ten windows of a tenth each, and joins these by log-sum-exp; `direct`
is the formula for two points in numpy. The three have to agree. Peak memory is that of the whole
process, data and torch included.
"""

import argparse
import itertools
import json
import math
import platform
import resource
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from scipy.special import logsumexp

from advnets.config import DataConfig
from advnets.data import load
from advnets.evaluation.bandwidth import LEGACY
from advnets.evaluation.parzen import ParzenWindow

BLOCK, PARTS, DIRECT, LIMIT_GIB = 10_000, 10, 2, 24
AGREEMENT = 1e-9  # nats, relative


class Stream:
    """Blocks first … last of the centres, the same ones with every loop."""

    def __init__(self, images: np.ndarray, first: int, last: int) -> None:
        self.images, self.first, self.last = images, first, last

    def __iter__(self) -> Iterator[np.ndarray]:
        for block in range(self.first, self.last):
            rng = np.random.default_rng(block)
            rows = self.images[rng.integers(len(self.images), size=BLOCK)]
            yield rows + np.float32(0.1) * rng.standard_normal(rows.shape, np.float32)


def window(stream: Stream) -> ParzenWindow:
    return ParzenWindow(1.0).fit(stream)


def direct(stream: Stream, points: np.ndarray, centres: int) -> np.ndarray:
    """The formula for a few points, in float64, block by block."""
    sums = []
    for block in stream:
        squares = ((points[:, None, :].astype(np.float64) - block[None, :, :]) ** 2).sum(-1)
        sums.append([logsumexp(-squares / (2 * sigma**2), axis=1) for sigma in LEGACY])
    constants = math.log(centres) + points.shape[1] * np.log(LEGACY * math.sqrt(2 * math.pi))
    return logsumexp(np.array(sums), axis=0) - constants[:, None]


def measure(centres: int, points: int) -> dict[str, object]:
    data = load(DataConfig(name="mnist"), offline=True)
    images, test = data.train.x.reshape(-1, 784), data.test.x[:points].reshape(-1, 784)
    blocks = centres // BLOCK
    start = time.perf_counter()
    streamed = window(Stream(images, 0, blocks)).log_likelihoods(test, LEGACY)
    seconds = time.perf_counter() - start
    edges = np.linspace(0, blocks, PARTS + 1).astype(int)
    each = [
        window(Stream(images, first, last)).log_likelihoods(test, LEGACY) + math.log(last - first)
        for first, last in itertools.pairwise(edges)
    ]
    joined = logsumexp(np.array(each), axis=0) - math.log(blocks)
    by_hand = direct(Stream(images, 0, blocks), test[:DIRECT], centres)
    best = streamed.mean(1).argmax()
    return {
        "centres": blocks * BLOCK,
        "points": points,
        "bandwidths": len(LEGACY),
        "seconds": seconds,
        "peak_gib": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20,
        "difference_from_parts": float(np.max(np.abs(streamed / joined - 1))),
        "difference_from_direct": float(np.max(np.abs(streamed[:, :DIRECT] / by_hand - 1))),
        "best_nats": float(streamed[best].mean()),
        "best_bandwidth": float(LEGACY[best]),
        "processor": platform.processor() or platform.machine(),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--centres", type=int, default=10_000_000)
    parser.add_argument("--points", type=int, default=100)
    parser.add_argument("--json", type=Path)
    arguments = parser.parse_args()
    result = measure(arguments.centres, arguments.points)
    text = json.dumps(result, indent=2)
    print(text)
    if arguments.json:
        arguments.json.write_text(text + "\n")
    assert result["difference_from_parts"] < AGREEMENT and result["difference_from_direct"] < AGREEMENT, result
    assert result["peak_gib"] < LIMIT_GIB, result


if __name__ == "__main__":
    main()
