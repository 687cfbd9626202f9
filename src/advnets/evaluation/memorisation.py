"""Whether samples are copies: of training points, or of each other."""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.stats import betabinom, mannwhitneyu

from advnets.errors import NotMeasurable
from advnets.evaluation.neighbours import Distances, balls_with, equal_matrices, matrices, nearest
from advnets.evaluation.progress import Report, part, silent

_TAIL = 0.01  # the share of real points that are called near, or nearly copied
_LEVEL = 0.001  # of the test for copies
_FEWEST = 100  # real points that have a hundredth


@dataclass(frozen=True)
class Memorisation:
    """How near samples are to training points, beside data held out from training. Equal samples count once."""

    copied_share: float
    """Share of samples that stand out for one training point more than 99 % of held-out points do; .01 is good."""
    copied_p_value: float
    """Chance of so large a share, were the samples more held-out points; high is good."""
    memorised: bool
    """Whether that chance is below .001; False is good."""
    copies: int
    """Number of samples equal to a training point; 0 is good."""
    held_out_copies: int
    """The same number for held-out points: what the data do by themselves."""
    nearer: float
    """Chance that a sample is nearer to a training point than held-out points are; .5 is good, 1 copying, 0 far off."""
    nearer_p_value: float
    """Chance of so large a value for held-out points (Mann-Whitney U); small for copies, and for samples too smooth."""
    mean_distance: float
    """Mean distance from a sample to the nearest training point."""
    held_out_distance: float
    """The same for held-out points."""
    n_train: int
    """Number of training points."""
    n_held_out: int
    """Number of held-out points."""
    n_fake: int
    """Number of different samples."""


@dataclass(frozen=True)
class Duplicates:
    """How often samples repeat each other, beside as many real points."""

    repeated: int
    """Number of samples equal to an earlier one; low is good."""
    near_share: float
    """Share of samples as near to another one as 1 % of real points are to another; about .01 is good."""
    near_share_real: float
    """The same share for the real points: .01, or more where these have duplicates."""
    near_pairs: int
    """Number of pairs of samples that are as near."""
    support: float
    """n(n−1)/2 over near pairs (over 1 if there are none): so many equally likely images would meet as often."""
    support_real: float
    """The same number for the real points; support is good where it is no smaller."""
    nearer: float
    """Chance that a sample is nearer to another one than a real point is to another; .5 is good, 1 is repeating."""
    n: int
    """Number of samples, and of real points."""


def memorisation(
    train: NDArray[Any], held_out: NDArray[Any], fake: NDArray[Any], *, report: Report = silent
) -> Memorisation:
    """Test whether samples (n, d) were copied from the training set, by their distances to its nearest points.

    Copied are samples whose ratio of distances, nearest to second nearest training point, is below what all but 1 % of
    held-out points have; a ratio, as in the matching of Lowe (2004), since smooth samples are near to every point.
    Under one law the number of copied samples is beta-binomial, whatever the law. Beside it the global data-copying
    test of Meehan et al. (2020): Mann-Whitney's U of distances to the nearest training point.

    Held-out points must not have been used in training. Raises NotMeasurable with fewer than 100 of these, or fewer
    than 2 training points.
    """
    train, held_out, fake = matrices(train=train, held_out=held_out, fake=fake)
    fake = np.unique(fake, axis=0)
    if len(held_out) < _FEWEST or len(train) < 2:
        raise NotMeasurable(
            f"{len(held_out)} held-out points and {len(train)} training points do not show what is usual: "
            f"give at least {_FEWEST} and 2"
        )
    apart = nearest(held_out, train, 2, report=part(report, 0, 2)).distances
    near = nearest(fake, train, 2, report=part(report, 1, 2)).distances
    n, m = len(fake), len(held_out)
    rank = int(_TAIL * m)
    copied = int((_ratio(near) < np.sort(_ratio(apart))[rank - 1]).sum())
    p_value = float(np.clip(betabinom.sf(copied - 1, n, rank, m - rank + 1), 0, 1))
    test = mannwhitneyu(near[:, 0], apart[:, 0], alternative="less", method="asymptotic")
    return Memorisation(
        copied_share=copied / n,
        copied_p_value=p_value,
        memorised=p_value < _LEVEL,
        copies=int((near[:, 0] == 0).sum()),
        held_out_copies=int((apart[:, 0] == 0).sum()),
        nearer=_nearer(near[:, 0], apart[:, 0]),
        nearer_p_value=float(test.pvalue),
        mean_distance=float(near[:, 0].mean()),
        held_out_distance=float(apart[:, 0].mean()),
        n_train=len(train),
        n_held_out=m,
        n_fake=n,
    )


def _ratio(distances: Distances) -> Distances:
    """Nearest over second nearest distance, 0 for a copy."""
    first, second = distances.T
    ratio: Distances = np.divide(first, second, out=np.zeros_like(first), where=first > 0)
    return ratio


def _nearer(distances: Distances, others: Distances) -> float:
    """Chance that one of the distances is below one of the others, ties counting half."""
    others = np.sort(others)
    below, up_to = (np.searchsorted(others, distances, side) for side in ("left", "right"))
    return 1 - float(np.mean(below + up_to)) / (2 * len(others))


def duplicates(real: NDArray[Any], fake: NDArray[Any], *, report: Report = silent) -> Duplicates:
    """Count samples (n, d) that repeat each other exactly or nearly: the birthday test of Arora and Zhang (2018).

    s samples from N equally likely images hold about s²/2N equal pairs, so their number tells N. Near is what 1 % of
    the real points have for a neighbour among themselves, in place of the eye of the paper. Samples that are smoother
    than data also lie nearer together: look at the pairs before calling them equal.

    Raises InputError for sets of different sizes, since neighbours come nearer as points grow more; NotMeasurable with
    fewer than 100 points.
    """
    real, fake = equal_matrices(real, fake)
    n = len(real)
    if n < _FEWEST:
        raise NotMeasurable(f"{n} samples are too few to expect repetitions: give at least {_FEWEST}")
    apart, among = (
        nearest(x, x, leave_one_out=True, report=part(report, index, 4)).distances[:, 0]
        for index, x in enumerate((real, fake))
    )
    near = float(np.sort(apart)[int(_TAIL * n) - 1])
    pairs = [
        (int(balls_with(x, x, np.full(n, near), report=part(report, index, 4)).sum()) - n) // 2
        for index, x in enumerate((real, fake), 2)
    ]
    all_pairs = n * (n - 1) / 2
    return Duplicates(
        repeated=n - len(np.unique(fake, axis=0)),
        near_share=float((among <= near).mean()),
        near_share_real=float((apart <= near).mean()),
        near_pairs=pairs[1],
        support=all_pairs / max(pairs[1], 1),
        support_real=all_pairs / max(pairs[0], 1),
        nearer=_nearer(among, apart),
        n=n,
    )
