"""Data that come in folds, as TFD does: one set of samples is scored in every fold (paper, section 5)."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np

from advnets.config import DataConfig
from advnets.data import DataSet, folds
from advnets.data.dataset import FloatArray
from advnets.evaluation.likelihood import HeldOut, flat


@dataclass(frozen=True)
class Folds:
    """What every fold holds out, and what none does."""

    shared: DataSet
    """Fold 0, whose training part no fold holds out: the reference rows are made of it."""
    held_out: tuple[HeldOut, ...]
    """Validation and test points of every fold."""
    seen: tuple[int, ...]
    """How many test points of every fold are among the training examples that the subject's own fold has."""


def of(data: DataSet, config: DataConfig, load: Callable[[DataConfig], DataSet]) -> Folds | None:
    """Gather the folds of a data set; None where it has none. `data` are the subject's, `config` says which those are.

    A generator trained in one fold has seen test points of the others; one trained in fold 0 has seen none.
    """
    shared, *single = folds(config) or (None,)
    if shared is None:
        return None
    trained = set(_hashes(flat(data.scaling.undo(data.train.x))))
    held_out, seen = [], []
    for fold in single:
        points = HeldOut.of(load(fold))
        held_out.append(points)
        seen.append(sum(image in trained for image in _hashes(points.test)))
    return Folds(load(shared), tuple(held_out), tuple(seen))


def _hashes(rows: FloatArray) -> Iterator[int]:
    """A number per image: three decimals of its pixels tell 256 levels apart, whatever the scaling has rounded."""
    return (hash((np.round(row, 3) + 0.0).tobytes()) for row in rows)
