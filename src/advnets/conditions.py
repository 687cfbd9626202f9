"""c of p(x | c): what the data have beside each example, what p(c) a run draws from, and what users call it."""

import dataclasses
import math
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from jaxtyping import Float
from numpy.typing import NDArray
from torch import Tensor

from advnets.config import MASKS_OF_VECTORS, ConditionConfig, Config, MaskKind
from advnets.data.dataset import DataSet, FloatArray, Split
from advnets.errors import InputError
from advnets.nets.files import misfit, read_tensors, write_tensors
from advnets.seeds import stream

FILE = "conditions.safetensors"
_MOST = 10_000  # rows of vectors that stand for their distribution

Rows = Float[Tensor, "n c"]


@dataclass(frozen=True)
class Conditions:
    """The empirical p(c): rows as the nets see them, each with its share, and the way from the user's units."""

    rows: Rows
    shares: Float[Tensor, " rows"]
    shift: Float[Tensor, " c"]
    scale: Float[Tensor, " c"]
    names: tuple[str, ...] = ()
    """Names of the classes where c is one of them."""
    masks: tuple[MaskKind, ...] = ()
    """What is hidden of an example in training, where c is the rest of it; the one row then says: nothing known."""

    def draw(self, count: int, seed: int) -> Rows:
        """Draw c for `count` samples: as many of every row as its share gives, to within one, in a random order."""
        random = stream(seed, "conditions")
        exact = self.shares.double() * count
        counts = exact.floor().long()
        rest = count - int(counts.sum())
        chosen = (exact - counts + 1e-9 * torch.rand(len(exact), generator=random)).topk(rest).indices
        counts[chosen] += 1
        numbers = torch.repeat_interleave(torch.arange(len(counts)), counts)
        return self.rows[numbers[torch.randperm(count, generator=random)]]

    def spread_out(self, count: int) -> Rows:
        """Return c of `count` samples to look at: as many of every row to within one, row by row."""
        return self.rows[torch.arange(count) * min(len(self.rows), count) // count]

    def of_class(self, name: str) -> Float[Tensor, " c"]:
        """Return c of a class by its name, or by its number; raises InputError that lists what there is."""
        if name in self.names:
            return self.rows[self.names.index(name)]
        shown = ", ".join(self.names[:20]) + (", …" if len(self.names) > 20 else "")
        if not self.names:
            raise InputError(
                f"--class is {name} and this run is conditioned on {self.rows.shape[1]} numbers, allowed: --c with as "
                "many numbers; use --c"
            )
        raise InputError(f"--class is {name}, allowed: {shown}, or all; name one of these")

    def of_numbers(self, numbers: NDArray[np.floating]) -> Rows:
        """Return c of the user's numbers (n, c); raises InputError for another count of them."""
        given = torch.as_tensor(np.atleast_2d(numbers), dtype=torch.float64)
        if given.shape[1] != len(self.shift) or not torch.isfinite(given).all():
            raise InputError(
                f"c holds {given.shape[1]} numbers, allowed: the {len(self.shift)} finite ones that the data have "
                "beside each example; give as many"
            )
        return ((given - self.shift) / self.scale).float()

    def write(self, file: Path) -> None:
        """Write all but the names, which config.json has."""
        write_tensors({"rows": self.rows, "shares": self.shares, "shift": self.shift, "scale": self.scale}, file)


def read(file: Path, size: int, names: tuple[str, ...]) -> Conditions:
    """Read what `write` wrote; raises InputError for a damaged file."""
    content = read_tensors(file)
    if {*content} != {"rows", "shares", "shift", "scale"}:
        raise misfit(file)
    rows, shares, shift, scale = (content[name] for name in ("rows", "shares", "shift", "scale"))
    fits = rows.shape == (len(shares), size) and shift.shape == scale.shape == (size,) and len(shares) <= 100_000
    if not fits or not (shares >= 0).all() or abs(float(shares.sum()) - 1) > 1e-6 or (names and len(names) != size):
        raise misfit(file)
    return Conditions(rows.float(), shares, shift, scale, names)


def of_file(file: Path, condition: ConditionConfig, names: tuple[str, ...]) -> Conditions:
    """Read p(c) of a run with this condition; raises InputError for a damaged file."""
    given = read(file, condition.given, names)
    return dataclasses.replace(given, masks=condition.masks if condition.kind == "masks" else ())


def names(data: dict[str, Any]) -> tuple[str, ...]:
    """Return the names of classes that config.json has of a run's data; none for vectors."""
    found = data.get("class_names") or ()
    if not isinstance(found, list | tuple) or not all(isinstance(name, str) for name in found):
        raise InputError(
            "data.class_names in config.json is damaged, allowed: a list of names as advnets wrote it; restore the "
            "file from a copy"
        )
    return tuple(found)


def resolved(config: Config, data: DataSet) -> Config:
    """Put the size of c into a configuration; raises InputError where the data have no such c, or another size."""
    masked = config.condition is not None and config.condition.kind == "masks"
    if config.data.missing == "hide" and not masked and not data.is_whole:
        raise InputError(
            f"{data.name} has numbers that are missing (NaN), allowed: with --condition.kind masks; add it, or fill "
            "the gaps"
        )
    if config.condition is None:
        return config
    have = _size(config, data)
    if config.condition.size not in (None, have):
        raise InputError(
            f"--condition.size is {config.condition.size} and {data.name} has {have}, allowed: {have}; leave it out"
        )
    return dataclasses.replace(config, condition=dataclasses.replace(config.condition, size=have))


def _size(config: Config, data: DataSet) -> int:
    assert config.condition is not None
    if config.condition.kind == "masks":
        wrong = [kind for kind in config.condition.masks if kind not in MASKS_OF_VECTORS]
        if wrong and len(data.shape) == 1:
            raise InputError(
                f"--condition.masks has {', '.join(wrong)} and {data.name} holds vectors, allowed: "
                f"{', '.join(MASKS_OF_VECTORS)}; set --condition.masks {' '.join(MASKS_OF_VECTORS)}"
            )
        return math.prod(data.shape)
    if config.condition.kind == "labels":
        if data.train.labels is None or len(data.class_names) < 2:
            raise InputError(
                f"{data.name} has no classes to condition on, allowed: data with labels (digits, mnist, a folder with "
                "a sub-folder for each class, an .npz file with y); choose other data, or --condition.kind vectors"
            )
        return len(data.class_names)
    if data.train.vectors is None:
        raise InputError(
            f"{data.name} has no vectors to condition on, allowed: an .npz file with a key c of (n, k) finite numbers "
            "beside the examples; add c, or take --condition.kind labels"
        )
    return int(data.train.vectors.shape[1])


def of_data(config: Config, data: DataSet) -> Conditions | None:
    """Return p(c) of the training data as a run keeps it; None for a run without a condition.

    Classes are one-hot and have their shares of the training examples. Vectors are standardised column by column, and
    up to 10,000 of them stand for all. Of masks there is the one that hides everything, which leaves p(x).
    """
    if config.condition is None:
        return None
    size = _size(config, data)
    if config.condition.kind == "masks":
        nothing = torch.zeros(2 * size, dtype=torch.float64)
        return Conditions(
            nothing[None].float(), torch.ones(1).double(), nothing, nothing + 1, masks=config.condition.masks
        )
    if config.condition.kind == "labels":
        labels = _labels(data.train) if data.packed is None else torch.from_numpy(data.packed.labels)
        shares = torch.bincount(labels[labels >= 0], minlength=size).double()
        zero, one = torch.zeros(size, dtype=torch.float64), torch.ones(size, dtype=torch.float64)
        return Conditions(torch.eye(size), shares / shares.sum(), zero, one, data.class_names)
    vectors = torch.from_numpy(_vectors(data.train)).double()
    scale = vectors.std(0, correction=0)
    found = Conditions(vectors, scale, vectors.mean(0), torch.where(scale > 0, scale, 1.0))
    kept = torch.randperm(len(vectors), generator=stream(config.seed, "conditions"))[:_MOST]
    shares = torch.full((len(kept),), 1 / len(kept), dtype=torch.float64)
    return dataclasses.replace(found, rows=found.of_numbers(vectors[kept].numpy()), shares=shares)


def of_split(split: Split, conditions: Conditions) -> tuple[Float[Tensor, "n *shape"], Rows | None]:
    """Return the examples of a part that have a c, and that c, as the nets see them.

    For masks c is 1 where a number is there, and numbers that are missing are 0; None where none is.
    """
    if conditions.masks:
        x = torch.from_numpy(split.x)
        there = ~x.isnan()
        return (x, None) if there.all() else (x.nan_to_num(0.0), there.flatten(1).float())
    if conditions.names:
        labels = _labels(split)
        there = labels >= 0
        return torch.from_numpy(split.x)[there], conditions.rows[labels[there]]
    return torch.from_numpy(split.x), conditions.of_numbers(_vectors(split))


def _labels(split: Split) -> Tensor:
    assert split.labels is not None
    return torch.from_numpy(split.labels)


def _vectors(split: Split) -> FloatArray:
    assert split.vectors is not None
    return split.vectors
