"""What a data set is once it is read: arrays, splits, and the way back to the user's units."""

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal, get_args

import numpy as np
from numpy.typing import NDArray

from advnets.errors import InputError

if TYPE_CHECKING:
    from advnets.data.packed import Packed

FloatArray = NDArray[np.float32]
ScalingKind = Literal["unit", "contrast", "standard", "none"]


@dataclass(frozen=True)
class Split:
    """Examples x of shape (n, c, h, w) or (n, d), float32, with integer labels where the data set has them.

    A label indexes the data set's class names; -1 stands for no label. `vectors` (n, k) are numbers beside each
    example, in the user's units, for models that are conditioned on them.
    """

    x: FloatArray
    labels: NDArray[np.int64] | None = None
    vectors: FloatArray | None = None


@dataclass(frozen=True)
class Scaling:
    """The map from the user's numbers to the numbers the nets see: x_net = (x - shift) / scale, kept to be undone.

    shift and scale are scalars or have the shape of one example. Global contrast normalisation
    depends on each image and is not undone: `kind` tells.
    """

    kind: ScalingKind
    shift: NDArray[np.float64]
    scale: NDArray[np.float64]

    def undo(self, x: FloatArray) -> FloatArray:
        """Return x·scale + shift for `standard`: the columns' own units; x itself for the other kinds."""
        if self.kind != "standard":
            return x
        return (x * self.scale + self.shift).astype(np.float32)

    def apply(self, x: NDArray[np.floating]) -> FloatArray:
        """Return (x − shift)/scale for `standard`, of columns in their own units or pixels in [0, 1]; else x."""
        if self.kind != "standard":
            return x.astype(np.float32, copy=False)
        return ((x - self.shift) / self.scale).astype(np.float32)

    def to_json(self) -> dict[str, object]:
        """Describe the scaling in plain JSON values."""
        return {"kind": self.kind, "shift": self.shift.tolist(), "scale": self.scale.tolist()}

    @classmethod
    def from_json(cls, content: object, shape: tuple[int, ...] | None = None) -> "Scaling":
        """Rebuild a scaling, of examples of this shape; raises InputError where the description was damaged."""
        try:
            if not isinstance(content, dict) or content["kind"] not in get_args(ScalingKind):
                raise ValueError
            shift, scale = (np.asarray(content[key], dtype=np.float64) for key in ("shift", "scale"))
            if not (np.isfinite(shift).all() and np.isfinite(scale).all()):
                raise ValueError
            if shape is not None and not {shift.shape, scale.shape} <= {(), shape}:
                raise ValueError
        except (KeyError, TypeError, ValueError, OverflowError):
            raise InputError(
                "data.scaling in config.json is damaged, allowed: kind, shift and scale as advnets wrote them; "
                "restore the file from a copy"
            ) from None
        return cls(content["kind"], shift, scale)


@dataclass(frozen=True)
class DataSet:
    """A data set, split as its protocol says and scaled for the nets.

    It is in memory, but for the training part of a packed one: `train` has the first examples of that, which stand for
    all where a sample will do, and `packed` reads the others.
    """

    name: str
    train: Split
    validation: Split
    test: Split
    scaling: Scaling
    class_names: tuple[str, ...]
    fingerprint: str
    source: str
    packed: "Packed | None" = None

    @property
    def examples(self) -> int:
        """Number of training examples, in memory or not."""
        return len(self.train.x) if self.packed is None else len(self.packed)

    @property
    def shape(self) -> tuple[int, ...]:
        """Shape of one example: (c, h, w) for images, (d,) for vectors."""
        return self.train.x.shape[1:]

    @property
    def is_whole(self) -> bool:
        """Whether no number is missing, as NaN says."""
        return not any(bool(np.isnan(part.x).any()) for part in (self.train, self.validation, self.test))

    def require_memory(self, what: str) -> None:
        """Raise InputError where the training part is read as needed, and `what` has to have it in memory."""
        if self.packed is not None:
            raise InputError(
                f"{self.name} is packed and {what} has to have its training examples in memory, allowed: adversarial "
                "nets, by a recipe without labels to learn from; take one, or data that are not packed"
            )
