"""What codes are worth: how well z is recovered, how well x is rebuilt, and how well codes tell classes apart."""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from advnets.data.dataset import DataSet, FloatArray
from advnets.evaluation.neighbours import matrices, nearest
from advnets.evaluation.progress import Report, silent
from advnets.extensions.inference import Inference

_PAIRS, _SAMPLES = 10_000, 10_000


@dataclass(frozen=True)
class Recovery:
    """How well codes of samples tell what the samples were made from, on fresh ones."""

    latent_mse: float
    """Mean of (E(G(z)) − z)² over pairs and units."""
    correlation: float
    """Mean over units of the correlation of z and E(G(z)); a unit of one of them that never varies counts as 0."""
    n: int
    """Number of pairs."""


def recovery(inference: Inference, *, count: int = _PAIRS, seed: int = 0) -> Recovery:
    """Measure codes of fresh samples against what these were made from; units of G that never vary are left out."""
    targets, x = inference.draw(count, seed)
    codes = inference.encode(x)
    error = float(np.square(codes - targets, dtype=np.float64).mean())
    correlations = correlation(targets[:, targets.std(axis=0) > 0], codes[:, targets.std(axis=0) > 0])
    return Recovery(error, float(correlations.mean()) if len(correlations) else 0.0, count)


def correlation(x: FloatArray, y: FloatArray) -> NDArray[np.float64]:
    """Return the correlation of each column of x with that of y: Σ(x − x̄)(y − ȳ)/(‖x − x̄‖·‖y − ȳ‖), or 0 for 0/0."""
    a, b = (part - part.mean(axis=0, dtype=np.float64) for part in (x, y))
    spread = np.linalg.norm(a, axis=0) * np.linalg.norm(b, axis=0)
    found: NDArray[np.float64] = np.divide((a * b).sum(axis=0), spread, out=np.zeros_like(spread), where=spread > 0)
    return found


def reconstruction_mse(inference: Inference, x: FloatArray) -> float:
    """Return the mean of (G(E(x)) − x)² over examples and their numbers, in the nets' units."""
    return squared_error(inference.decode(inference.encode(x)), x)


def squared_error(reconstructions: FloatArray, x: FloatArray) -> float:
    """Return the mean of squared differences over examples and their numbers, by float64."""
    return float(np.square(reconstructions.astype(np.float64) - x).mean())


def baselines(
    inference: Inference, data: DataSet, x: FloatArray, *, samples: int = _SAMPLES, report: Report = silent
) -> dict[str, float]:
    """Return the squared errors that need no encoder: the mean training example, and the nearest of G's samples."""
    flat = x.reshape(len(x), -1)
    mean = data.train.x.mean(axis=0, dtype=np.float64).astype(np.float32)
    _, drawn = inference.draw(samples, seed=1)
    queries, points = matrices(x=flat, samples=drawn.reshape(samples, -1))
    distances = nearest(queries, points, report=report).distances[:, 0]
    return {
        "mean_image": squared_error(np.broadcast_to(mean, x.shape), x),
        "nearest_sample": float(np.square(distances).mean()) / flat.shape[1],
    }


def nearest_neighbour_accuracy(
    points: NDArray[Any],
    labels: NDArray[np.int64],
    queries: NDArray[Any],
    query_labels: NDArray[np.int64],
    *,
    report: Report = silent,
) -> float:
    """Return the share of queries (n, d) whose nearest point, by Euclidean distance, has their label.

    Points and queries without a label, −1, are left out. Donahue, Krähenbühl and Darrell 2017, section 4.2.
    """
    known, asked = labels >= 0, query_labels >= 0
    there, here = matrices(points=points[known], queries=queries[asked])
    found = nearest(here, there, report=report).indices[:, 0]
    return float((labels[known][found] == query_labels[asked]).mean())


def feature_accuracy(inference: Inference, data: DataSet, *, report: Report = silent) -> dict[str, Any] | None:
    """Classify test examples by the nearest training or validation example, in codes and in raw numbers.

    None where the data have no labels or no such part.
    """
    parts = [part for part in (data.train, data.validation) if part.labels is not None]
    if not parts or data.test.labels is None or not (data.test.labels >= 0).any():
        return None
    x = np.concatenate([part.x for part in parts])
    labels = np.concatenate([part.labels for part in parts if part.labels is not None])
    if not (labels >= 0).any():
        return None
    accuracies = {
        name: nearest_neighbour_accuracy(of(x), labels, of(data.test.x), data.test.labels, report=report)
        for name, of in (("codes", inference.encode), ("raw", lambda part: part.reshape(len(part), -1)))
    }
    return {**accuracies, "points": len(x), "queries": len(data.test.x)}
