"""How fast Parzen windows are, beside one bare matrix product, scikit-learn's KernelDensity and the direct formula.

    ADVNETS_DATA=... python benchmarks/parzen.py [--json FILE]

ours        10,000 centres, 10,000 points of MNIST, 10 bandwidths in one pass, float64
product     one matrix product of that size, 10,000 × 784 by 784 × 10,000, float64: no distances without it
sklearn     KernelDensity at one bandwidth, all kernels in one leaf (with default leaves it is wrong here)
broadcast   the formula as it is written, sums of (x[:, None] − c[None])² and logsumexp, 4 points at a time

The last two are timed on fewer points, and the time for 10,000 points and 10 bandwidths extrapolated in proportion:
every point costs the same, and for KernelDensity every bandwidth (broadcast has its distances once for all ten).
Peak memory is measured in a process of its own.
"""

import argparse
import json
import math
import os
import platform
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
from scipy.special import logsumexp
from sklearn.neighbors import KernelDensity

from advnets.config import DataConfig
from advnets.data import load
from advnets.evaluation.bandwidth import LEGACY
from advnets.evaluation.parzen import ParzenWindow

N, SKLEARN_POINTS, BROADCAST_POINTS = 10_000, 40, 40
LIMITS = {"ours_over_product": 2.5, "sklearn_over_ours": 100, "broadcast_over_ours": 10, "peak_mib_above_data": 1024}


def images() -> tuple[np.ndarray, np.ndarray]:
    data = load(DataConfig(name="mnist"), offline=True)
    return data.train.x[:N].reshape(N, -1), data.test.x[:N].reshape(N, -1)


def seconds(work: Callable[[], object], repeats: int) -> float:
    """Median of several runs after one that does not count."""
    work()
    times = []
    for _ in range(repeats):
        start = time.perf_counter()
        work()
        times.append(time.perf_counter() - start)
    return statistics.median(times)


def broadcast(centres: np.ndarray, points: np.ndarray) -> np.ndarray:
    rows = []
    for start in range(0, len(points), 4):
        squares = ((points[start : start + 4, None, :] - centres[None, :, :]) ** 2).sum(-1)
        rows.append([logsumexp(-squares / (2 * sigma**2), axis=1) for sigma in LEGACY])
    constants = math.log(len(centres)) + centres.shape[1] * np.log(LEGACY * math.sqrt(2 * math.pi))
    return np.concatenate(rows, axis=1) - constants[:, None]


def peak_mib() -> float:
    """Peak memory of scoring above what was held before it began, in MiB, in a process of its own (Linux)."""
    done = subprocess.run([sys.executable, __file__, "--worker"], capture_output=True, check=True, text=True)
    return float(done.stdout)


def worker() -> None:
    centres, points = images()
    window = ParzenWindow(1.0).fit(centres)
    Path("/proc/self/clear_refs").write_text("5")  # the peak counts from here
    before = kib("VmRSS")
    window.log_likelihoods(points, LEGACY)
    print((kib("VmHWM") - before) / 1024)


def kib(name: str) -> int:
    (line,) = (line for line in Path("/proc/self/status").read_text().splitlines() if line.startswith(name))
    return int(line.split()[1])


def measure() -> dict[str, object]:
    centres, points = images()
    window = ParzenWindow(1.0).fit(centres)
    x, c = torch.from_numpy(points).double(), torch.from_numpy(centres).double()
    result = {
        "ours": seconds(lambda: window.log_likelihoods(points, LEGACY), 3),
        "product": seconds(lambda: x @ c.T, 5),
    }
    kde = KernelDensity(bandwidth=LEGACY[2], leaf_size=N).fit(centres)
    some, doubles = points[:SKLEARN_POINTS], centres.astype(np.float64)
    ours = window.log_likelihoods(some, LEGACY)
    np.testing.assert_allclose(kde.score_samples(some), ours[2], rtol=1e-9)
    np.testing.assert_allclose(broadcast(doubles, some.astype(np.float64)), ours, rtol=1e-9)
    scale = N / SKLEARN_POINTS
    result["sklearn"] = seconds(lambda: kde.score_samples(some), 1) * scale * len(LEGACY)
    result["broadcast"] = seconds(lambda: broadcast(doubles, some.astype(np.float64)), 1) * N / BROADCAST_POINTS
    return {
        "centres": N,
        "points": N,
        "dimensions": 784,
        "bandwidths": len(LEGACY),
        "seconds": {name: round(value, 2) for name, value in result.items()},
        "extrapolated": {
            "sklearn": f"from {SKLEARN_POINTS} points and 1 bandwidth",
            "broadcast": f"from {BROADCAST_POINTS} points",
        },
        "ours_over_product": round(result["ours"] / result["product"], 2),
        "sklearn_over_ours": round(result["sklearn"] / result["ours"], 1),
        "broadcast_over_ours": round(result["broadcast"] / result["ours"], 1),
        "peak_mib_above_data": round(peak_mib()),
        "limits": LIMITS,
        "machine": {
            "processor": platform.processor() or platform.machine(),
            "threads": torch.get_num_threads(),
            "cpus": os.cpu_count(),
        },
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--json", type=Path)
    parser.add_argument("--worker", action="store_true", help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.worker:
        worker()
        return
    result = measure()
    text = json.dumps(result, indent=2)
    print(text)
    if arguments.json:
        arguments.json.write_text(text + "\n")


if __name__ == "__main__":
    main()
