"""Does every metric flag the flaw it is for, and leave held-out data alone? Flawed sets of real MNIST, in a table.

    ADVNETS_DATA=... python benchmarks/metrics.py [--n 5000] [--seed 0] [--json FILE]

Rows are sets of n images, compared with n random test images; columns are metrics, on pixels and on features, and a
star marks a flag. A flag goes up where a metric is further from its zero than LIMITS allow: from the zero of theory, or
else from that measured on n training images. The training images are by other writers than the test images, which is
why limits are margins and not tests of significance: these tell the writers apart. Exit status 1 if a flaw is missed
by a metric that has to flag it (NEEDED), or if held-out images are flagged.
"""

import argparse
import json
import sys
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import sklearn
import torch
from scipy.ndimage import gaussian_filter

from advnets.config import DataConfig
from advnets.data import load
from advnets.errors import NotMeasurable
from advnets.evaluation import coverage, memorisation, two_sample
from advnets.evaluation.features import feature_net
from advnets.evaluation.neighbours import nearest

Rows = np.ndarray
Result = dict[str, Any]


@dataclass(frozen=True)
class Space:
    """What metrics see of images."""

    extract: Callable[[Rows], Rows]
    """Rows of pixels (n, 784) to rows of numbers (n, d)."""
    classify: Callable[[Rows], np.ndarray]
    """Rows of pixels (n, 784) to labels (n,)."""


# Metric -> is this result, beside the one on training images, too far from zero?
LIMITS: dict[str, Callable[[Result, Result], bool]] = {
    "fid": lambda x, zero: x["value"] > 1.5 * zero["value"],
    "kid": lambda x, zero: x["mean"] > zero["mean"] + 5 * zero["deviation"],
    "1-nn": lambda x, zero: abs(x["accuracy"] - x["expected"]) > 0.05,
    "precision": lambda x, zero: x["precision"] < 0.8 * zero["precision"],
    "recall": lambda x, zero: x["recall"] < 0.8 * zero["recall"],
    "density": lambda x, zero: not 0.8 < x["density"] < 1.25,
    "coverage": lambda x, zero: x["coverage"] < 0.9 * x["expected_coverage"],
    "bins": lambda x, zero: x["jensen_shannon"] > (x["bins"] - 1) / 4 * (1 / x["n_train"] + 1 / x["n_fake"]),
    "classes": lambda x, zero: x["p_value"] < 1e-3,
    "memorised": lambda x, zero: x["memorised"],
    "repeated": lambda x, zero: x["near_share"] > 5 * x["near_share_real"],
}
SHOWN = {
    "fid": ("value",),
    "kid": ("mean",),
    "1-nn": ("accuracy", "real_accuracy", "fake_accuracy"),
    "precision": ("precision",),
    "recall": ("recall",),
    "density": ("density",),
    "coverage": ("coverage",),
    "bins": ("different", "jensen_shannon"),
    "classes": ("hit", "p_value"),
    "memorised": ("copied_share", "nearer"),
    "repeated": ("near_share", "support"),
}
# Space -> set -> metrics that have to flag it; others may, but none may flag held-out images.
_COLLAPSE = {"fid", "kid", "1-nn", "recall", "coverage", "bins", "classes", "repeated"}
NEEDED: dict[str, dict[str, set[str]]] = {
    "pixels": {
        "without 9": {"bins", "classes"},
        "10 images": _COLLAPSE,
        "blurred": {"fid", "1-nn", "recall", "density"},
        "noisy": {"fid", "kid", "1-nn", "precision", "density", "coverage"},
        "training images": {"memorised"},
    },
    "features": {
        "without 9": {"fid", "kid", "bins", "classes"},
        "10 images": _COLLAPSE,
        "blurred": {"fid", "kid", "1-nn", "recall", "coverage", "bins"},
        "noisy": {"fid", "kid", "1-nn", "recall", "coverage", "bins"},
        "training images": {"memorised"},
    },
}


def mnist_sets(n: int, seed: int = 0) -> tuple[dict[str, Rows], dict[str, Rows]]:
    """Return what samples are compared with, and the sets in the place of samples: rows (n, 784), n at most 5,000.

    Everything is drawn at random: MNIST is in the order of its writers, and its first n images are no fair sample.
    """
    data = load(DataConfig(name="mnist"), offline=True)
    generator = np.random.default_rng(seed)
    shuffled = []
    for part in (data.train, data.validation, data.test):
        order = generator.permutation(len(part.x))
        shuffled.append((part.x.reshape(-1, 784)[order], part.labels[order]))
    (train, train_labels), (validation, validation_labels), (test, _) = shuffled
    held_out = test[n : 2 * n]
    noise = generator.normal(0, 0.2, held_out.shape)
    parts = {"train": train, "train_labels": train_labels, "real": test[:n], "zero": train[n : 2 * n]}
    sets = {
        "held-out": held_out,
        "without 9": validation[validation_labels != 9][:n],
        "10 images": held_out[np.arange(n) % 10],
        "blurred": gaussian_filter(held_out.reshape(n, 28, 28), (0, 1, 1)).reshape(n, 784),
        "noisy": (held_out + noise).clip(0, 1).astype(np.float32),
        "training images": train[:n],
    }
    return parts, sets


def pixels(parts: dict[str, Rows]) -> Space:
    """Images as they are, and the label of the nearest of 10,000 training images for a classifier."""
    known, labels = parts["train"][:10_000], parts["train_labels"][:10_000]
    return Space(lambda x: x, lambda x: labels[nearest(x, known).indices[:, 0]])


def features() -> Space:
    """The layer below the logits of the classifier that advnets trains on MNIST, and its labels."""
    net = feature_net(load(DataConfig(name="mnist"), offline=True))
    return Space(lambda x: net.extract(x.reshape(-1, 1, 28, 28)), lambda x: net.classify(x.reshape(-1, 1, 28, 28)))


def measure(space: Space, parts: dict[str, Rows], x: Rows, seed: int) -> dict[str, Result]:
    train, real, fake = (space.extract(part) for part in (parts["train"], parts["real"], x))
    balls = result(lambda: coverage.precision_recall(real, fake))
    counts = np.bincount(space.classify(parts["real"]), minlength=10)
    return {
        "fid": result(lambda: two_sample.fid(real, fake)),
        "kid": result(lambda: two_sample.kid(real, fake, subsets=20, subset_size=min(1000, len(x)), seed=seed)),
        "1-nn": result(lambda: two_sample.nearest_neighbour_test(real, fake)),
        **dict.fromkeys(("precision", "recall", "density", "coverage"), balls),
        "bins": result(lambda: coverage.ndb(real, fake, seed=seed)),
        "classes": result(lambda: coverage.class_histogram(space.classify(x), 10, counts)),
        "memorised": result(lambda: memorisation.memorisation(train, real, fake)),
        "repeated": result(lambda: memorisation.duplicates(real, fake)),
    }


def result(metric: Callable[[], Any]) -> Result:
    try:
        return asdict(metric())
    except NotMeasurable as reason:
        return {"not_measured": str(reason)}


def flags(found: dict[str, Result], zero: dict[str, Result]) -> list[str]:
    """Names of the metrics that flag a set, of those that have a value."""
    return [
        name for name, limit in LIMITS.items() if "not_measured" not in found[name] and limit(found[name], zero[name])
    ]


def cell(name: str, found: Result, flagged: bool) -> str:
    numbers = "/".join(f"{found[key]:.3g}" for key in SHOWN[name]) if "not_measured" not in found else "-"
    return numbers + "*" * flagged


def table(rows: dict[str, dict[str, Any]]) -> str:
    """Lay out the metrics of one space, sets across."""
    lines = [["metric", *rows]]
    for name, keys in SHOWN.items():
        cells = [cell(name, row["metrics"][name], name in row["flags"]) for row in rows.values()]
        lines.append([f"{name}: {'/'.join(keys)}" if len(keys) > 1 else name, *cells])
    widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
    return "\n".join("  ".join(text.ljust(width) for text, width in zip(line, widths, strict=True)) for line in lines)


def run(n: int, seed: int) -> dict[str, dict[str, dict[str, Any]]]:
    """All metrics and flags of all sets, by space and set; the last row is what measured zeros are taken from."""
    parts, sets = mnist_sets(n, seed)
    results: dict[str, dict[str, dict[str, Any]]] = {}
    for name, space in {"pixels": pixels(parts), "features": features()}.items():
        zero = measure(space, parts, parts["zero"], seed)
        rows = results[name] = {}
        for label, x in sets.items():
            found = measure(space, parts, x, seed)
            rows[label] = {"metrics": found, "flags": flags(found, zero)}
        rows["(training images: zeros)"] = {"metrics": zero, "flags": []}
    return results


def failures(results: dict[str, dict[str, dict[str, Any]]]) -> list[str]:
    """Say which flags are missing, and which are up on held-out images."""
    wrong = []
    for space, rows in results.items():
        wrong += [f"{space}: {name} flags held-out images" for name in rows["held-out"]["flags"]]
        for label, names in NEEDED[space].items():
            wrong += [f"{space}: {name} does not flag {label}" for name in sorted(names - set(rows[label]["flags"]))]
    return wrong


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--n", type=int, default=5000, help="images of a set, at most 5,000")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    begun = time.perf_counter()
    results = run(options.n, options.seed)
    for space, rows in results.items():
        print(f"{space}, {options.n} images a set, seed {options.seed}\n\n{table(rows)}\n")
        for label, row in rows.items():
            print(f"{label}: {'flagged by ' + ', '.join(row['flags']) if row['flags'] else 'no flag'}")
        print()
    wrong = failures(results)
    seconds = round(time.perf_counter() - begun)
    print(("; ".join(wrong) or "every flaw is flagged, held-out images are not") + f" ({seconds} s)")
    if options.json:
        about = {"n": options.n, "seed": options.seed, "seconds": seconds, "threads": torch.get_num_threads()}
        about |= {"torch": torch.__version__, "scikit-learn": sklearn.__version__, "failures": wrong}
        options.json.write_text(json.dumps({**about, "results": results}, indent=1) + "\n")
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
