"""X and y of AdversarialNets: what y says of each example, how they are cut, and c of the samples that y asks for."""

import dataclasses
from dataclasses import dataclass
from numbers import Integral
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from advnets.conditions import Conditions, Rows
from advnets.config import Config
from advnets.data.arrays import number_labels, number_vectors
from advnets.data.splits import Part, Raw, shuffled
from advnets.errors import InputError
from advnets.estimator_settings import NAME, whole

_SHOWN = 20  # classes in a message


@dataclass(frozen=True)
class Form:
    """What X was in fit: shape of an example, number that stands for a white pixel, whether pixels were bytes."""

    shape: tuple[int, ...]
    white: float | None
    bytes: bool


@dataclass(frozen=True)
class Beside:
    """What y says of each example: the number of its class, -1 for none, or a vector; nothing where nets need no y."""

    labels: NDArray[np.int64] | None = None
    vectors: NDArray[np.float32] | None = None
    classes: NDArray[Any] | None = None
    """The values of y that the numbers stand for."""

    def sized(self, config: Config) -> Config:
        """Let a classifier have as many classes as y."""
        if config.semi is None or self.classes is None:
            return config
        return dataclasses.replace(config, semi=dataclasses.replace(config.semi, classes=len(self.classes)))

    def part(self, x: NDArray[Any], rows: NDArray[np.int64]) -> Part:
        """Take some examples with what is beside them."""
        labels = None if self.labels is None else self.labels[rows]
        return Part(x[rows], labels, None if self.vectors is None else self.vectors[rows])


def beside(y: ArrayLike | None, n: int, config: Config, classes: NDArray[Any] | None = None) -> Beside:
    """Read y (n,) of classes, or (n, m) of vectors, as the configuration needs it; numbered as `classes`, if there are.

    Raises InputError where y is missing, of another length, or names other classes.
    """
    if config.of_x_alone:
        return Beside()
    vectors = config.condition is not None and config.condition.kind == "vectors"
    allowed = "(n,) or (n, m) finite numbers" if vectors else "a class for each example, -1 for none"
    if y is None:
        raise InputError(f"recipe {config.recipe} needs y and got none, allowed: {allowed}; call fit(X, y)")
    if vectors:
        beside = number_vectors(_array(y), n)
        if beside is None:
            raise InputError(f"y has the shape {_array(y).shape}, allowed: {allowed} with n {n}; give as many")
        return Beside(vectors=beside)
    given = _array(y)
    if given.dtype.kind == "U" and not hasattr(y, "dtype"):
        given = np.asarray(y, object)  # a list of strings and -1 would be strings alone
    numbers, values = _numbered(given, n, allowed)
    if classes is None and len(values) < 2:
        raise InputError(f"y holds {len(values)} classes, allowed: two or more; give examples of another class")
    if classes is None:
        return Beside(numbers, classes=values)
    places = {one: place for place, one in enumerate(classes.tolist())}
    if new := [one for one in values.tolist() if one not in places]:
        raise InputError(f"y holds class {new[0]!r}, allowed: those of fit, {_listed(classes)}; fit anew for others")
    moved = np.array([*(places[one] for one in values.tolist()), -1], np.int64)
    return Beside(moved[numbers], classes=classes)


def cut(x: NDArray[Any], white: float | None, config: Config, told: Beside) -> Raw:
    """Cut X in a fixed shuffled order, as arrays from files are, into a training and a validation part.

    Labels are few where a classifier is to learn from them: examples that have one are not held out.
    """
    order, count = shuffled(len(x)), max(1, round(config.data.held_out * len(x)))
    free = order[told.labels[order] < 0] if config.semi and told.labels is not None else order
    held_out = free[:count]
    train = order[~np.isin(order, held_out)]
    parts = (told.part(x, train), told.part(x, held_out), told.part(x, order[:0]))
    names = () if told.classes is None else tuple(str(one) for one in told.classes.tolist())
    return Raw(*parts, white, "unit" if x.ndim == 4 else "standard", NAME, names)


def condition(y: ArrayLike, count: int | None, given: Conditions | None, config: Config) -> Rows:
    """Return c of every sample: y is one for all `count`, or one for each; raises InputError for what is no such.

    Of classes y is one or (n,) of them; of vectors (m,) or (n, m) numbers.
    """
    if given is None or given.masks:
        allowed = 'one of a conditional recipe, or of settings {"condition.kind": "labels"}'
        raise InputError(f"y is given to a model of {config.recipe}, which takes none, allowed: {allowed}; leave y out")
    values = _array(y)
    single = values.ndim == 0 or (values.ndim == 1 and not given.names and len(given.shift) > 1)
    rows = _of_classes(values, given) if given.names else _of_vectors(values, given, single=single)
    if single:
        return rows.repeat(1 if count is None else whole(count, "n_samples"), 1)
    if not len(rows) or count not in (None, len(rows)):
        raise InputError(
            f"n_samples is {count!r} and y has {len(rows)} rows, allowed: as many, 1 or more; leave one out"
        )
    return rows


def classes_from(content: object, config: Config) -> NDArray[Any] | None:
    """Rebuild the classes that estimator.json holds; raises InputError where they do not fit the configuration."""
    by_class = config.condition is not None and config.condition.kind == "labels"
    count = config.semi.classes if config.semi else config.condition.size if config.condition and by_class else None
    if content is None and count is None:
        return None
    listed = content if isinstance(content, list) else []
    kinds = {*map(type, listed)}
    right = kinds in ({int}, {str}, {bool}) and len(listed) == len({*listed}) == count
    if not right or (kinds == {int} and not all(abs(one) < 2**63 for one in listed)):
        raise InputError(f"classes in estimator.json are damaged, allowed: {count} of one kind; restore the file")
    return np.array(listed)


def _of_classes(values: NDArray[Any], given: Conditions) -> Rows:
    if values.ndim > 1:
        raise InputError(f"y has the shape {values.shape}, allowed: a class, or a class for each sample; flatten y")
    values = values.astype(np.int64) if _is_whole(values) else values
    if new := [one for one in values.ravel().tolist() if str(one) not in given.names]:
        raise InputError(f"y is class {new[0]!r}, allowed: {_listed(np.array(given.names))}; name one of these")
    return given.rows[[given.names.index(str(one)) for one in values.ravel().tolist()]]


def _of_vectors(values: NDArray[Any], given: Conditions, *, single: bool) -> Rows:
    if values.dtype.kind not in "buif" or values.ndim > 2:
        allowed = f"{len(given.shift)} numbers, or as many for each sample"
        raise InputError(f"y is of {values.dtype} and shape {values.shape}, allowed: {allowed}; give these")
    return given.of_numbers(values.reshape(1 if single else len(values), -1))


def _numbered(y: NDArray[Any], n: int, allowed: str) -> tuple[NDArray[np.int64], NDArray[Any]]:
    """Number the classes of y in sorted order, -1 for no class; return these too, whole ones as integers."""
    values = y.ravel()
    hidden = np.array([isinstance(one, Integral) and one == -1 for one in values.tolist()], np.bool_)
    known = values[~hidden]
    if known.dtype.kind == "O" and len({*map(type, known.tolist())}) == 1:
        known = np.array(known.tolist())
    known = known.astype(np.int64) if _is_whole(known) else known
    numbers, _ = number_labels(known, n - int(hidden.sum()))
    if y.size != n or numbers is None:
        raise InputError(f"y has the shape {y.shape} of {y.dtype}, allowed: {allowed}, n {n}; give as many of one kind")
    made = np.full(n, -1, np.int64)
    made[~hidden] = numbers
    return made, np.unique(known[numbers >= 0])


def _is_whole(x: NDArray[Any]) -> bool:
    return x.dtype.kind == "f" and bool(np.all(np.isfinite(x) & (x == np.rint(x))))


def _array(y: ArrayLike) -> NDArray[Any]:
    try:
        return np.asarray(y)
    except ValueError as error:
        raise InputError(f"y is no array ({error}), allowed: a value for each example; make it rectangular") from None


def _listed(classes: NDArray[Any]) -> str:
    return ", ".join(map(str, classes[:_SHOWN].tolist())) + (", …" if len(classes) > _SHOWN else "")
