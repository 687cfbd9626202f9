"""Examples as their file holds them, cut into training, validation and test parts."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from itertools import pairwise
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from advnets.data.dataset import ScalingKind
from advnets.errors import InputError

if TYPE_CHECKING:
    from advnets.data.packed import Packed

FEWEST_EXAMPLES = 10


@dataclass(frozen=True)
class Part:
    """Unscaled examples x of shape (n, c, h, w) or (n, d), with labels that index the class names (-1: none).

    `vectors` (n, k) are further numbers beside each example.
    """

    x: NDArray[Any]
    labels: NDArray[np.int64] | None = None
    vectors: NDArray[np.float32] | None = None


@dataclass(frozen=True)
class Raw:
    """A data set as read: three parts, and what is needed to scale them.

    white is the number that stands for 1 after `unit` scaling; None where the numbers are no pixels.
    """

    train: Part
    validation: Part
    test: Part
    white: float | None
    scaling: ScalingKind
    source: str
    class_names: tuple[str, ...] = ()
    packed: "Packed | None" = None
    """All training examples, where `train` holds but the first of them."""
    digest: str | None = None
    """What the fingerprint is made of, where not of the arrays."""

    @property
    def parts(self) -> tuple[Part, Part, Part]:
        """The training, validation and test parts, in this order."""
        return self.train, self.validation, self.test

    @property
    def is_images(self) -> bool:
        """Whether examples have the shape (c, h, w)."""
        return self.train.x.ndim == 4

    def with_examples(self, change: Callable[[NDArray[Any]], NDArray[Any]]) -> "Raw":
        """Return a copy whose examples went through `change`, part by part."""
        train, validation, test = (replace(part, x=change(part.x)) for part in self.parts)
        return replace(self, train=train, validation=validation, test=test)


def shuffled(n: int, seed: int = 0) -> NDArray[np.int64]:
    """Return a fixed permutation of range(n).

    It sorts raw 64-bit draws, the one stream numpy promises never to change, so a split outlives numpy's versions.
    """
    return np.argsort(np.random.PCG64(seed).random_raw(n), kind="stable").astype(np.int64, copy=False)


def cut(
    x: NDArray[Any],
    labels: NDArray[np.int64] | None,
    held_out: int,
    vectors: NDArray[np.float32] | None = None,
) -> tuple[Part, Part, Part]:
    """Cut shuffled examples into training, validation and test parts, the last two of `held_out` examples each."""
    train, validation, test = (
        Part(x[rows], None if labels is None else labels[rows], None if vectors is None else vectors[rows])
        for rows in rows_of_parts(len(x), held_out)
    )
    return train, validation, test


def cut_share(
    x: NDArray[Any],
    labels: NDArray[np.int64] | None,
    share: float,
    name: str,
    vectors: NDArray[np.float32] | None = None,
) -> tuple[Part, Part, Part]:
    """Cut the user's own examples, keeping the share for validation and for testing, one example each at least."""
    return cut(x, labels, held_out_of(len(x), share, name), vectors)


def rows_of_parts(n: int, held_out: int) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.int64]]:
    """Return which of n examples `cut` puts into the training, the validation and the test part, in its order."""
    order = shuffled(n)
    train, validation, test = (order[start:end] for start, end in pairwise((0, n - 2 * held_out, n - held_out, n)))
    return train, validation, test


def held_out_of(n: int, share: float, name: str) -> int:
    """Count the examples of each held-out part; raises InputError where there are too few of all."""
    if n < FEWEST_EXAMPLES:
        raise InputError(f"{name} holds {n} examples, allowed are {FEWEST_EXAMPLES} or more; add examples")
    return max(1, min(round(n * share), (n - 1) // 2))
