"""How well p(x | c) keeps to its class: what classifiers say of samples, and what samples teach a classifier."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from advnets.data.dataset import DataSet, FloatArray, Split
from advnets.data.splits import shuffled
from advnets.errors import NotMeasurable
from advnets.evaluation import shares
from advnets.evaluation.features import FeatureNet, taught_accuracy
from advnets.evaluation.likelihood import HeldOut, likelihood
from advnets.evaluation.progress import Report, part, silent
from advnets.sampling import Sampler

EACH = 1000
"""Samples a class, as published (Mirza and Osindero 2014)."""
_PRESENT = 0.1  # share of a class's samples that are seen as it, under which it counts as missing


@dataclass(frozen=True)
class ClassConditional:
    """How samples of each class fare, beside real examples."""

    agreement: float
    """Share of samples that a classifier of real training examples sees as the class that was asked for."""
    agreement_real: float
    """The same of real test examples: its accuracy."""
    by_class: tuple[float, ...]
    """Agreement of each class."""
    lowest: float
    """The least of these."""
    missing: int
    """Classes of which less than a tenth of the samples are seen as such."""
    taught: float
    """Accuracy on real test examples of a like classifier that learned from samples alone."""
    taught_real: float
    """The same after as many real training examples."""
    spread: float
    """Mean distance of two samples of a class over that of two training examples, the least of all classes."""
    nats: float
    """Mean log-likelihood of test examples, the samples of all classes as Parzen centres, σ from validation data."""
    standard_error: float
    """Standard deviation over test examples, divided by the root of their number."""
    each: int
    """Samples a class."""


def class_conditional(
    sampler: Sampler, data: DataSet, net: FeatureNet, *, each: int = EACH, seed: int = 0, report: Report = silent
) -> ClassConditional:
    """Measure samples of a model that is conditioned on classes; raises NotMeasurable for any other."""
    if sampler.conditions is None or not sampler.conditions.names or data.test.labels is None:
        raise NotMeasurable("this model is given no class, and agreement with one is asked for")
    names = sampler.conditions.names
    labels = np.repeat(np.arange(len(names)), each)
    rows = sampler.conditions.rows[labels]
    x = shares.once(lambda: sampler.draw_given(rows, seed))
    if not np.isfinite(x).all():
        raise NotMeasurable("samples are not finite; a model that did not diverge is measured")
    by_class = (net.classify(x) == labels).reshape(len(names), each).mean(1)
    known = data.test.labels >= 0
    real = net.classify(data.test.x[known]) == data.test.labels[known]
    likely = likelihood(x, HeldOut.of(data), "fine", report=part(report, 0, 2))
    train = _labelled(data, len(x))
    taught, taught_real = _taught((Split(x, labels), train), data.test, part(report, 1, 2))
    return ClassConditional(
        agreement=float(by_class.mean()),
        agreement_real=float(real.mean()),
        by_class=tuple(by_class.tolist()),
        lowest=float(by_class.min()),
        missing=int((by_class < _PRESENT).sum()),
        taught=taught,
        taught_real=taught_real,
        spread=min(_apart(x[labels == k]) / _apart(train.x[train.labels == k]) for k in range(len(names))),
        nats=likely.nats,
        standard_error=likely.standard_error,
        each=each,
    )


def _taught(lessons: tuple[Split, ...], test: Split, report: Report) -> list[float]:
    """Return what classifiers reach that have learned from these examples; two processes teach one each."""
    mine = shares.split(len(lessons), report=report)
    own = lessons[mine.own]
    with shares.among(shares.ALONE):
        taught = [taught_accuracy(x, test, report=part(mine.report, k, len(own))) for k, x in enumerate(own)]
    found: list[float] = mine.stack(np.array(taught)).tolist()
    return found


def _labelled(data: DataSet, count: int) -> Split:
    """Return at most `count` training examples with a label."""
    assert data.train.labels is not None
    rows = shuffled(len(data.train.x))
    rows = rows[data.train.labels[rows] >= 0][:count]
    return Split(data.train.x[rows], data.train.labels[rows])


def _apart(x: FloatArray) -> float:
    """Return the root mean square distance of two different rows, by their variance."""
    rows: NDArray[np.float64] = x.reshape(len(x), -1).astype(np.float64)
    return float(np.sqrt(2 * rows.var(0, ddof=1).sum())) if len(x) > 1 else float("nan")
