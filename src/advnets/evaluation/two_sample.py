"""Do two sets of points follow one law? Frechet and kernel distances, and the nearest-neighbour two-sample test."""

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.stats import norm
from sklearn.metrics.pairwise import polynomial_kernel
from torch import nn
from torchmetrics.image.fid import FrechetInceptionDistance

from advnets.errors import InputError, NotMeasurable
from advnets.evaluation import shares
from advnets.evaluation.neighbours import Points, equal_matrices, matrices, nearest
from advnets.evaluation.progress import Report, silent

_FEWEST = 5  # of each kind: with fewer no arrangement of the labels has a chance below 1 %


@dataclass(frozen=True)
class Frechet:
    """Frechet distance between Gaussian fits to two sets; compare it with that of held-out data of the same size."""

    value: float
    """Squared Frechet distance, in squared units of the data; lower is better."""
    n_real: int
    """Number of real points."""
    n_fake: int
    """Number of samples; the value falls as it grows, so only equal numbers compare."""
    dimension: int
    """Number of coordinates of a point."""


@dataclass(frozen=True)
class Kernel:
    """Squared maximum mean discrepancy with a cubic kernel, over random subsets."""

    mean: float
    """Mean over subsets; lower is better, 0 or a little to either side of it for one law."""
    deviation: float
    """Standard deviation over subsets; these overlap, so it tells how one subset varies, not the error of the mean."""
    subsets: int
    """Number of subsets."""
    subset_size: int
    """Number of points of each kind in a subset; the mean does not depend on it, the deviation does."""


@dataclass(frozen=True)
class NearestNeighbourTest:
    """Share of points whose nearest other point, in both sets together, is of their own kind."""

    accuracy: float
    """Over all points: about .5 if the sets cannot be told apart, 1 if they are apart, below .5 if samples copy."""
    real_accuracy: float
    """Over real points; low where samples lie between them, or where real points have lost their neighbours."""
    fake_accuracy: float
    """Over samples; high where they keep to themselves, as those of a collapsed generator do."""
    expected: float
    """Accuracy expected where both follow one law: (n − 1)/(2n − 1)."""
    standard_error: float
    """Standard deviation of the accuracy where both follow one law."""
    p_value: float
    """Chance of an accuracy as far from the expected one, either way, where both follow one law; high is good."""
    n: int
    """Number of points of each kind."""


def fid(real: NDArray[Any], fake: NDArray[Any], *, report: Report = silent) -> Frechet:
    """Measure the Frechet distance between Gaussians fitted to features, or to pixels (n, d).

    |m − m′|² + tr(S + S′ − 2 (S S′)^½), means m and covariances S in float64, by torchmetrics; FID where the features
    are those of the Inception net, Heusel et al. (2017), equation 6. Rounding moves it by about 1e-6 of the traces.

    Raises NotMeasurable unless both sets have more points than coordinates: below that a covariance has directions
    without any variance, whatever the data, and what is measured is the number of points.
    """
    real, fake = matrices(real=real, fake=fake)
    fewest, d = min(len(real), len(fake)), real.shape[1]
    if fewest <= d:
        raise NotMeasurable(
            f"a Gaussian in {d} dimensions cannot be fitted to {fewest} points: "
            f"give at least {d + 1} of each kind, or fewer features"
        )
    features = nn.Identity()
    features.num_features = torch.tensor(d)
    metric = FrechetInceptionDistance(features, sync_on_compute=False)  # every process has all points
    centre = real.mean(axis=0, dtype=np.float64)  # sums of squares lose no digits to a common offset
    for step, (x, is_real) in enumerate(((real, True), (fake, False)), 1):
        metric.update(torch.from_numpy(x - centre), real=is_real)
        report(step, 3)
    value = max(0.0, float(metric.compute()))  # equal sets are at 0 up to rounding
    report(3, 3)
    return Frechet(value, len(real), len(fake), d)


def kid(
    real: NDArray[Any],
    fake: NDArray[Any],
    *,
    subsets: int = 100,
    subset_size: int = 1000,
    seed: int = 0,
    report: Report = silent,
) -> Kernel:
    """Estimate the kernel distance between features, or pixels (n, d), without bias.

    E k(x, x′) + E k(y, y′) − 2 E k(x, y) with k(x, y) = (x·y/d + 1)³, no point paired with itself; KID where the
    features are those of the Inception net, Binkowski et al. (2018). Kernels are scikit-learn's, in float64:
    torchmetrics' class computes the same but warns whenever it is made, and draws from torch's global generator.

    Raises InputError for numbers that are no numbers of subsets, NotMeasurable with fewer points than a subset needs.
    """
    real, fake = matrices(real=real, fake=fake)
    if subsets < 1 or subset_size < 2:
        raise InputError(f"{subsets} subsets of {subset_size} points, allowed are 1 or more of 2 or more; raise them")
    fewest = min(len(real), len(fake))
    if fewest < subset_size:
        raise NotMeasurable(
            f"subsets of {subset_size} points cannot be drawn from {fewest}: give more points or use smaller subsets"
        )
    generator = np.random.default_rng(seed)
    chosen = [[generator.choice(len(x), subset_size, replace=False) for x in (real, fake)] for _ in range(subsets)]
    mine, own = shares.split(subsets, report=report), []
    for rows, others in chosen[mine.own]:
        x, y = real[rows].astype(np.float64), fake[others].astype(np.float64)
        own.append(_within(x) + _within(y) - 2 * _cubic(x, y).mean())
        mine.report(len(own), mine.own.stop - mine.own.start)
    values = mine.stack(np.array(own))
    return Kernel(float(values.mean()), float(values.std()), subsets, subset_size)


def _within(x: Points) -> float:
    """Mean kernel over pairs of different points."""
    kernel = _cubic(x, x)
    return float((kernel.sum() - kernel.trace()) / (len(x) * (len(x) - 1)))


def _cubic(x: Points, y: Points) -> Points:
    kernel: Points = polynomial_kernel(x, y, degree=3, gamma=1 / x.shape[1], coef0=1)
    return kernel


def nearest_neighbour_test(real: NDArray[Any], fake: NDArray[Any], *, report: Report = silent) -> NearestNeighbourTest:
    """Guess of each point (n, d) that it is of the kind of its nearest neighbour among all others, and count.

    Accuracies as in Xu et al. (2018) and Lopez-Paz and Oquab (2017), leave-one-out, Euclidean. Where several points are
    the same, a guess is the mean over all nearest ones; ties between different points are broken in an order that does
    not know the kinds. Guesses depend on each other, so the standard error is not a binomial one but that of a random
    choice of the n real points among all 2n, with the points where they are, as in Schilling (1986) but exact.

    Raises InputError for sets of different sizes, where chance level would not be one half; NotMeasurable with fewer
    than 5 points of each kind, or fewer than 3 different points in all.
    """
    real, fake = equal_matrices(real, fake)
    n = len(real)
    if n < _FEWEST:
        raise NotMeasurable(f"{n} points of each kind cannot tell a difference from chance: give at least {_FEWEST}")
    points, group, count = np.unique(np.concatenate([real, fake]), axis=0, return_inverse=True, return_counts=True)
    if len(points) < 3:
        raise NotMeasurable(f"{len(points)} different points in all have no neighbours to compare: give varied samples")
    target = nearest(points, points, leave_one_out=True, report=report).indices[:, 0]
    target[count > 1] = np.flatnonzero(count > 1)  # the nearest points are the duplicates
    alone = count == 1
    of_real = np.bincount(group.ravel()[:n], minlength=len(points))
    accuracies = []
    for own in (of_real, count - of_real):
        guess = (own[target] - ~alone) / (count[target] - ~alone)
        accuracies.append(float((own * np.where(own > 0, guess, 0)).sum() / n))
    mean, deviation = _chance(n, target, count)
    z = (sum(accuracies) / 2 - mean) / deviation
    p_value = float(2 * norm.sf(abs(z)))
    return NearestNeighbourTest(sum(accuracies) / 2, accuracies[0], accuracies[1], mean, deviation, p_value, n)


def _chance(n: int, target: NDArray[np.int64], count: NDArray[np.int64]) -> tuple[float, float]:
    """Return mean and standard deviation of the accuracy over all choices of n real points among 2n.

    The accuracy is a sum over edges, from each point to its nearest ones, of weights w that add up to 1 for each point.
    Its variance is that of Σ w·1[both ends are of one kind], which only depends on how many ends two edges share.
    `target` names for each group of equal points the group that holds its nearest ones, `count` the points of a group.
    """
    total = 2 * n
    one = (n - 1) / (total - 1)  # chance that two points are of one kind,
    three = (n - 2) / (2 * (total - 1))  # that three are,
    two_pairs = ((n - 2) * (n - 3) + n * (n - 1)) / (2 * (total - 1) * (total - 3))  # that both of two pairs are
    alone = count == 1
    mutual = alone & (target[target] == np.arange(len(count))) & alone[target]
    c = count[~alone]
    both_ends = (2 * c / (c - 1)).sum() + (1 / count[target[alone]]).sum() + mutual.sum()
    pointed_at = np.bincount(target[alone], minlength=len(count))
    degree = 1 + ~alone + pointed_at / count  # what a point gives, what its duplicates give it, what others give it
    one_end = (count * degree**2).sum() - 2 * both_ends
    variance = both_ends * (one - two_pairs) + one_end * (three - two_pairs) + total**2 * (two_pairs - one**2)
    return one, math.sqrt(variance) / total
