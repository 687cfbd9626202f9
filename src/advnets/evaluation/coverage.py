"""How much of the data samples cover: balls around neighbours, bins of k-means, modes, classes."""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.spatial.distance import jensenshannon
from scipy.stats import chi2_contingency, chisquare, entropy, norm
from sklearn.cluster import MiniBatchKMeans

from advnets.errors import InputError, NotMeasurable
from advnets.evaluation import shares
from advnets.evaluation.neighbours import Numbers, Points, balls_with, matrices, nearest
from advnets.evaluation.progress import Report, part, silent

STACKED_CLASSES = 1000
"""Classes of three stacked digits, the modes of stacked MNIST."""
STACKED_SAMPLES = 26_000
"""Samples in the published protocol of stacked MNIST: Srivastava et al. (2017), Lin et al. (2018)."""

_UPDATES = 100  # minibatches of k-means


@dataclass(frozen=True)
class PrecisionRecall:
    """How far samples and data lie in each other's neighbourhoods."""

    precision: float
    """Share of samples within the data: in the ball of some real point; high is good, compare with held-out data."""
    recall: float
    """Share of real points within the samples: in the ball of some sample; high is good, compare with held-out data."""
    density: float
    """Mean number of real points' balls that hold a sample, over k; 1 for one law, more where samples crowd."""
    coverage: float
    """Share of real points whose ball holds a sample; high is good."""
    expected_coverage: float
    """Coverage expected for one law, about 1 − 2⁻ᵏ for equal numbers of points."""
    k: int
    """The ball of a point reaches to its k-th nearest neighbour of its own kind."""
    n_real: int
    """Number of real points."""
    n_fake: int
    """Number of samples."""


@dataclass(frozen=True)
class Bins:
    """Numbers of samples and of training points in the bins of k-means."""

    different: float
    """NDB/K: share of bins whose proportions differ significantly; low is good, about .05 (the level) for one law."""
    jensen_shannon: float
    """Divergence of the two histograms in nats, at most log 2; low is good, about (K−1)/8·(1/n + 1/m) for one law."""
    bins: int
    """Number K of bins."""
    n_train: int
    """Number n of training points."""
    n_fake: int
    """Number m of samples."""


@dataclass(frozen=True)
class Modes:
    """Which modes of a known mixture samples reach, and how well."""

    covered: int
    """Number of modes nearest to at least one high-quality sample; high is good."""
    modes: int
    """Number of modes there are."""
    high_quality: float
    """Share of samples within 3 sd of the nearest mode; of a perfect sampler .9973 in 1-D, .9889 in 2-D."""
    kl: float
    """KL(samples ‖ uniform) over the nearest modes of all samples, in nats, 0 to log(modes); low is good."""
    n: int
    """Number of samples."""


@dataclass(frozen=True)
class Classes:
    """Numbers of samples that a classifier puts in each class."""

    shares: tuple[float, ...]
    """Share of samples in each class."""
    hit: int
    """Number of classes with at least one sample; high is good."""
    classes: int
    """Number of classes there are."""
    entropy: float
    """Entropy of the shares in nats, 0 to log(classes); low where classes are missing."""
    kl: float
    """KL(samples ‖ reference) in nats; low is good, about (classes − 1)/2n for one law."""
    p_value: float
    """Chance of counts this far from the reference, were they of one law (chi-square test); high is good."""
    n: int
    """Number of samples."""


def precision_recall(real: NDArray[Any], fake: NDArray[Any], k: int = 5, *, report: Report = silent) -> PrecisionRecall:
    """Compare two sets (n, d) by the closed balls of their points, each as large as the distance to the k-th neighbour.

    Precision and recall: Kynkaanniemi et al. (2019). Density and coverage: Naeem et al. (2020), with their Lemma 2 for
    the coverage expected of one law. All depend on the numbers of points.

    Raises InputError for k < 1, NotMeasurable where a set has no k neighbours, or where all real points have k
    duplicates, so that their balls are empty.
    """
    real, fake = matrices(real=real, fake=fake)
    n, m = len(real), len(fake)
    if k < 1:
        raise InputError(f"k is {k}, allowed are 1 or more neighbours; raise it")
    if min(n, m) <= k:
        raise NotMeasurable(f"no ball reaches {k} neighbours in a set of {min(n, m)}: give more points or a smaller k")
    real_radii = nearest(real, real, k, leave_one_out=True, report=part(report, 0, 5)).distances[:, -1]
    if not real_radii.any():
        raise NotMeasurable(
            f"every real point has {k} duplicates, so its ball is empty: give real data without repetitions"
        )
    fake_radii = nearest(fake, fake, k, leave_one_out=True, report=part(report, 1, 5)).distances[:, -1]
    around_fake = balls_with(fake, real, real_radii, report=part(report, 2, 5))
    around_real = balls_with(real, fake, fake_radii, report=part(report, 3, 5))
    to_fake = nearest(real, fake, report=part(report, 4, 5)).distances[:, 0]
    steps = np.arange(1, k + 1)
    return PrecisionRecall(
        precision=float((around_fake > 0).mean()),
        recall=float((around_real > 0).mean()),
        density=float(around_fake.mean() / k),
        coverage=float((to_fake <= real_radii).mean()),
        expected_coverage=float(1 - ((n - steps) / (n + m - steps)).prod()),
        k=k,
        n_real=n,
        n_fake=m,
    )


def ndb(train: NDArray[Any], fake: NDArray[Any], *, bins: int = 100, seed: int = 0, report: Report = silent) -> Bins:
    """Count bins whose share of samples differs from their share of training points (n, d).

    Bins are cells of k-means on the training points, fitted in 100 minibatches of 10 K; each gets a two-proportion
    z-test at level .05. Jensen-Shannon divergence of the two histograms. Richardson and Weiss (2018).

    Raises NotMeasurable with fewer than 5 points a bin in either set, where the test does not hold, or with fewer
    different training points than bins.
    """
    train, fake = matrices(train=train, fake=fake)
    if bins < 2:
        raise InputError(f"bins is {bins}, allowed are 2 or more; raise it")
    fewest = min(len(train), len(fake))
    if fewest < 5 * bins:
        raise NotMeasurable(
            f"{fewest} points are too few to compare {bins} bins: give at least {5 * bins}, or use fewer bins"
        )
    if len({point.tobytes() for point in train}) < bins:
        raise NotMeasurable(f"fewer than {bins} training points are different: give varied data, or use fewer bins")
    counts = shares.once(lambda: _counts(train, fake, bins, seed, report))
    sizes = np.array([len(train), len(fake)])
    portions = counts / sizes[:, None]
    pooled = counts.sum(0) / sizes.sum()
    error = np.sqrt(pooled * (1 - pooled) * (1 / sizes).sum())
    different = np.abs(portions[0] - portions[1]) > norm.isf(0.025) * error
    divergence = float(jensenshannon(*portions) ** 2)
    return Bins(float(different.mean()), divergence, bins, len(train), len(fake))


def _counts(train: Points, fake: Points, bins: int, seed: int, report: Report) -> Numbers:
    """Count training points and samples (2, bins) in cells of k-means."""
    generator = np.random.default_rng(seed)
    means = MiniBatchKMeans(bins, n_init=1, random_state=seed)
    for update in range(_UPDATES):
        means.partial_fit(generator.choice(train, min(10 * bins, len(train)), replace=False))
        report(update + 1, _UPDATES)
    return np.stack([np.bincount(means.predict(x), minlength=bins) for x in (train, fake)])


def mode_coverage(points: NDArray[Any], centres: NDArray[Any], sd: float) -> Modes:
    """Compare samples (n, d) with a mixture of equally likely round Gaussians: their centres (k, d) and deviation sd.

    A sample is of high quality within 3 sd of the nearest mode, and a mode is covered that is nearest to one such
    sample: Srivastava et al. (2017), Lin et al. (2018).

    Raises NotMeasurable with fewer samples than modes, which cannot cover them.
    """
    points, centres = matrices(points=points, centres=centres)
    if not sd > 0:
        raise InputError(f"sd is {sd}, allowed is a number above 0; give the deviation of the mixture's components")
    if len(points) < len(centres):
        raise NotMeasurable(f"{len(points)} samples cannot cover {len(centres)} modes: give more samples")
    found = nearest(points, centres)
    mode, good = found.indices[:, 0], found.distances[:, 0] <= 3 * sd
    counts = np.bincount(mode, minlength=len(centres))
    return Modes(
        covered=len(np.unique(mode[good])),
        modes=len(centres),
        high_quality=float(good.mean()),
        kl=float(entropy(counts, np.ones(len(centres)))),
        n=len(points),
    )


def class_histogram(labels: NDArray[Any], classes: int, reference: NDArray[Any] | None = None) -> Classes:
    """Count predicted labels 0 .. classes − 1, and compare them with those of real data, or with uniform shares.

    KL(samples ‖ reference) is the mode-collapse measure of stacked MNIST, there against uniform shares: Srivastava et
    al. (2017), Lin et al. (2018), with 26,000 samples. Pearson's chi-square test, of homogeneity where there are data.

    labels: integers (n,). reference: counts of real data (classes,), by the same classifier, so that its own bias
    cancels. Raises NotMeasurable where a class has no real data, or where so few of either set are expected in some
    classes that even a perfect generator would miss these: under 5 in over a fifth of them, or under 1 in any (Cochran
    1954).
    """
    _check_labels(labels, classes)
    n, counts = len(labels), np.bincount(labels, minlength=classes)
    real = np.ones(classes, np.int64) if reference is None else reference
    if real.shape != (classes,) or not np.issubdtype(real.dtype, np.integer) or (real < 0).any():
        raise InputError(
            f"reference has shape {real.shape} and dtype {real.dtype}, allowed are counts of real data in {classes} "
            "classes; count its labels"
        )
    if not real.all():
        raise NotMeasurable(f"class {int(real.argmin())} has no real data to compare with: leave it out, or give more")
    expected = real / real.sum() * (n if reference is None else min(n, real.sum()))
    if (expected < 5).mean() > 0.2 or expected.min() < 1:
        raise NotMeasurable(
            f"{n} samples and their reference are too few for {classes} classes, where {expected.min():.2g} would be "
            "usual in the rarest: give more"
        )
    test = chisquare(counts, expected) if reference is None else chi2_contingency([counts, real])
    return Classes(
        shares=tuple((counts / n).tolist()),
        hit=int((counts > 0).sum()),
        classes=classes,
        entropy=float(entropy(counts)),
        kl=float(entropy(counts, real)),
        p_value=float(test.pvalue),
        n=n,
    )


def _check_labels(labels: NDArray[Any], classes: int) -> None:
    if labels.ndim != 1 or not np.issubdtype(labels.dtype, np.integer) or not len(labels):
        raise InputError(
            f"labels have shape {labels.shape} and dtype {labels.dtype}, allowed are integers (n,); fix them"
        )
    if labels.min() < 0 or labels.max() >= classes:
        raise InputError(
            f"labels reach from {labels.min()} to {labels.max()}, allowed are 0 to {classes - 1}; "
            "drop unlabelled samples or raise classes"
        )


def stacked(first: Numbers, second: Numbers, third: Numbers) -> Numbers:
    """Join the digits predicted for three channels to one label of stacked MNIST: 100a + 10b + c."""
    return 100 * first + 10 * second + third
