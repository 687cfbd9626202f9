"""What the score of a generator is to be read beside: the same protocol with centres that are no generator's.

Above the score of real training images this measure rewards smoothing, not quality: k-means centroids beat real data
(Theis, van den Oord and Bethge 2016).
"""

import contextlib
import hashlib
import warnings
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn.cluster import KMeans
from sklearn.decomposition import PCA
from sklearn.exceptions import ConvergenceWarning
from sklearn.mixture import GaussianMixture

from advnets.data import DataSet
from advnets.errors import NotMeasurable
from advnets.evaluation import shares
from advnets.evaluation.kept import kept
from advnets.evaluation.likelihood import Centres, HeldOut, both_grids, flat
from advnets.evaluation.progress import Report, silent

VERSION = 1  # raised whenever a row below would come out different
_ITERATIONS = 5  # of k-means: centroids hardly move after that
_COMPONENTS, _MIXTURE = 50, 50  # principal components, and Gaussians of the mixture in them

Doubles = NDArray[np.float64]
Rows = Callable[[Doubles, int, Report], Doubles]


def training_images(train: Doubles, count: int, report: Report) -> Doubles:
    """Take the first training examples themselves."""
    return train[:count]


def kmeans(train: Doubles, count: int, report: Report) -> Doubles:
    """Take `count` centroids of the training examples, at most half as many as these: Lloyd's algorithm, 5 rounds."""
    count = max(1, min(count, len(train) // 2))
    centroids = train[np.random.default_rng(0).choice(len(train), count, replace=False)].astype(np.float32)
    centroids = np.unique(centroids, axis=0)
    for done in range(_ITERATIONS):
        with _unconverged():
            fitted = KMeans(len(centroids), init=centroids, n_init=1, max_iter=1).fit(train.astype(np.float32))
        centroids = fitted.cluster_centers_
        report(done + 1, _ITERATIONS)
    return np.asarray(centroids, np.float64)


def gaussian(train: Doubles, count: int, report: Report) -> Doubles:
    """Draw samples of the Gaussian with the training examples' mean and covariance."""
    mean, centred = train.mean(0), train - train.mean(0)
    values, vectors = np.linalg.eigh(centred.T @ centred / max(len(train) - 1, 1))
    z = np.random.default_rng(0).standard_normal((count, len(values)))
    return np.asarray(mean + (z * np.sqrt(np.maximum(values, 0))) @ vectors.T, np.float64)


def gaussian_mixture(train: Doubles, count: int, report: Report) -> Doubles:
    """Draw samples of 50 Gaussians with full covariances, fitted by EM in the first 50 principal components."""
    components = min(_COMPONENTS, train.shape[1], len(train) - 1)
    clusters = max(1, min(_MIXTURE, len(train) // (4 * components)))
    pca = PCA(components, random_state=0).fit(train)
    mixture = GaussianMixture(clusters, reg_covar=1e-6 * pca.explained_variance_.sum(), random_state=0, tol=1e-2)
    with _unconverged():
        mixture.fit(pca.transform(train))
    samples, _ = mixture.sample(count)
    return np.asarray(pca.inverse_transform(samples), np.float64)


@contextlib.contextmanager
def _unconverged() -> Iterator[None]:
    """Be content with a fit that has not converged: a reference row need not be the best of its kind."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        yield


ROWS: dict[str, Rows] = {
    "training_images": training_images,
    "kmeans": kmeans,
    "gaussian": gaussian,
    "gaussian_mixture": gaussian_mixture,
}


NAMES = (*ROWS, "test_images")


def references(
    data: DataSet,
    samples: int,
    *,
    held_out: Sequence[HeldOut] = (),
    names: Sequence[str] = NAMES,
    progress: Callable[[str], Report] = lambda name: silent,
) -> dict[str, Any]:
    """Score training images, k-means centroids, a Gaussian, a mixture, and, as a leak check, the test images.

    Every row stands on as many centres as the subject has samples, or on as many as there are training examples (half
    as many for k-means). Rows are kept in the cache, by data set and protocol. `held_out` are the folds to score in,
    by default the one of the data set.
    """
    folds = tuple(held_out) or (HeldOut.of(data),)

    def row(name: str) -> dict[str, Any]:
        key = (VERSION, name, data.fingerprint, samples, *(_digest(folds) if len(folds) > 1 else ()))
        return kept("references", key, lambda: _row(data, folds, samples, name, progress(f"reference {name}")))

    return {name: row(name) for name in names}


def _digest(folds: Sequence[HeldOut]) -> tuple[str, ...]:
    """What the folds hold out: the fingerprint of a data set tells that of its own fold only."""
    return tuple(hashlib.sha256(fold.test.tobytes()).hexdigest() for fold in folds)


def _row(data: DataSet, held_out: Sequence[HeldOut], samples: int, name: str, report: Report) -> dict[str, Any]:
    train = flat(data.scaling.undo(data.train.x)).astype(np.float64)
    centres: Centres = [fold.test[:samples] for fold in held_out]
    if name != "test_images":
        centres = shares.once(lambda: ROWS[name](train, min(samples, len(train)), report))
    try:
        return both_grids(centres, held_out, report=report)
    except NotMeasurable as reason:
        return {"not_measured": str(reason)}
