"""From a file's numbers to the numbers the nets see."""

import dataclasses
import hashlib
import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from advnets.config import DataConfig
from advnets.data.dataset import DataSet, FloatArray, Scaling, ScalingKind, Split
from advnets.data.splits import Raw
from advnets.errors import InputError

_ROWS = 512  # examples at a time in float64: a few MiB, which stay in the processor's cache
_FLAT = 1e-8  # a norm below this is that of an image without contrast


def scale(raw: Raw, config: DataConfig) -> DataSet:
    """Scale a data set as the configuration says; `auto` takes the data set's own scaling."""
    kind = raw.scaling if config.scaling == "auto" else config.scaling
    scaling, change = _map(raw, kind, config)
    train, validation, test = (Split(change(part.x), part.labels, part.vectors) for part in raw.parts)
    return DataSet(
        name=config.name,
        train=train,
        validation=validation,
        test=test,
        scaling=scaling,
        class_names=raw.class_names,
        fingerprint=_fingerprint(raw, f"{kind} {raw.white} {config.contrast_scale if kind == 'contrast' else ''}"),
        source=raw.source,
        packed=None if raw.packed is None else dataclasses.replace(raw.packed, change=change),
    )


def scale_as_before(raw: Raw, config: DataConfig, before: Scaling, fingerprint: str) -> DataSet:
    """Scale data as those of a run, `before` and `fingerprint`, whatever mean and spread they have themselves."""
    data = scale(raw, config)
    if data.fingerprint == fingerprint or data.scaling.kind != "standard":
        return data
    divisor = raw.white if raw.is_images and raw.white else 1.0
    parts = [
        Split(((part.x / divisor - before.shift) / before.scale).astype(np.float32), part.labels, part.vectors)
        for part in raw.parts
    ]
    return dataclasses.replace(data, train=parts[0], validation=parts[1], test=parts[2], scaling=before)


@dataclass
class Range:
    """What numbers seen block by block have in common; NaN is passed over."""

    low: float = math.inf
    high: float = -math.inf
    whole: bool = True
    """Whether all are whole numbers."""

    def see(self, x: NDArray[Any]) -> None:
        """Look at a block."""
        self.low = min(self.low, float(np.fmin.reduce(x, axis=None)))
        self.high = max(self.high, float(np.fmax.reduce(x, axis=None)))
        if self.whole and not np.issubdtype(x.dtype, np.integer):
            self.whole = bool(np.all((x == np.rint(x)) | np.isnan(x)))

    @property
    def white(self) -> float | None:
        """The number that stands for white: 1 for values in [0, 1], 255 for whole ones in 0..255, else None.

        A uint8 array of zeros and ones counts as [0, 1]: binary images are common, all-black ones are not.
        """
        if not (self.low >= 0 and self.high <= 255):
            return None
        if self.high <= 1:
            return 1.0
        return 255.0 if self.whole else None


def white_of(x: NDArray[Any]) -> float | None:
    """Return the number that stands for white in an array, as Range says."""
    seen = Range()
    seen.see(x)
    return seen.white


def contrast(x: NDArray[Any], scale: float) -> FloatArray:
    """Global contrast normalisation: scale·(x - mean(x)) / ‖x - mean(x)‖ per image; norms under 1e-8 count as 1."""
    flat = x.reshape(len(x), math.prod(x.shape[1:]))
    out = np.empty(flat.shape, np.float32)
    for start in range(0, len(flat), _ROWS):
        rows = flat[start : start + _ROWS].astype(np.float64)
        rows -= rows.mean(axis=1, keepdims=True)
        norms = np.linalg.norm(rows, axis=1, keepdims=True)
        out[start : start + _ROWS] = scale * rows / np.where(norms < _FLAT, 1.0, norms)
    return out.reshape(x.shape)


def _map(raw: Raw, kind: ScalingKind, config: DataConfig) -> tuple[Scaling, Callable[[NDArray[Any]], FloatArray]]:
    """Build the map of one kind; raises InputError where that kind makes no sense for these data."""
    white = raw.white
    if kind == "contrast" and not raw.is_images:
        raise _misfit(kind, config.name, "images, and these are vectors", "standard")
    if kind == "contrast" and raw.train.x.dtype.kind == "f" and any(np.isnan(part.x).any() for part in raw.parts):
        raise _misfit(kind, config.name, "whole images, and some pixels are NaN", "unit")
    if kind == "unit" and white is None:
        raise _misfit(kind, config.name, "numbers in [0, 1] or whole numbers in 0..255", "standard")
    if kind == "none" and raw.is_images and white != 1:
        raise _misfit(kind, config.name, "images whose pixels are in [0, 1] already", "unit")
    if kind == "contrast":
        return _scaling(kind, 0.0, 1.0), lambda x: contrast(x, config.contrast_scale)
    if kind == "standard":
        divisor = white if raw.is_images and white else 1.0
        shift, spread = _moments(raw.train.x, divisor)
        return _scaling(kind, shift, spread), lambda x: _standardise(x, divisor, shift, spread)
    divisor = white if kind == "unit" and white else 1.0
    return _scaling(kind, 0.0, divisor), lambda x: _divide(x, divisor)


def _divide(x: NDArray[Any], divisor: float) -> FloatArray:
    return np.ascontiguousarray(np.divide(x, np.float32(divisor), dtype=np.float32))


def _moments(x: NDArray[Any], divisor: float) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return mean and sd of every column; a constant column gives its value and 1, so that it becomes exactly 0.

    Of what is there, where some is NaN; a column of NaN alone gives 0 and 1.
    """
    low, high = (find.reduce(x, axis=0).astype(np.float64) for find in (np.fmin, np.fmax))
    if x.dtype.kind == "f" and np.isnan(x).any():
        there, count = ~np.isnan(x), np.maximum((~np.isnan(x)).sum(axis=0), 1)
        mean = np.where(there, x, 0).sum(axis=0, dtype=np.float64) / count
        spread = np.sqrt(np.where(there, np.square(x - mean, dtype=np.float64), 0).sum(axis=0) / count)
        low, high = np.nan_to_num(low), np.nan_to_num(high)
    else:
        mean, spread = x.mean(axis=0, dtype=np.float64), x.std(axis=0, dtype=np.float64)
    flat = (low == high) | (spread < np.finfo(np.float32).tiny)
    return np.where(flat, low, mean) / divisor, np.where(flat, 1.0, spread / divisor)


def _standardise(
    x: NDArray[Any], divisor: float, shift: NDArray[np.float64], spread: NDArray[np.float64]
) -> FloatArray:
    out = np.empty(x.shape, np.float32)
    for start in range(0, len(x), _ROWS):
        out[start : start + _ROWS] = (x[start : start + _ROWS] / divisor - shift) / spread
    return out


def _scaling(kind: ScalingKind, shift: Any, scale: Any) -> Scaling:
    return Scaling(kind, np.asarray(shift, np.float64), np.asarray(scale, np.float64))


def _misfit(kind: str, name: str, allowed: str, instead: str) -> InputError:
    return InputError(f"--data.scaling {kind} does not fit {name}, allowed are {allowed}; use --data.scaling {instead}")


def _fingerprint(raw: Raw, settings: str) -> str:
    """Hash the unscaled arrays and the settings that scale them: as telling as the scaled arrays, with fewer bytes."""
    digest = hashlib.sha256(settings.encode())
    if raw.digest:
        digest.update(f"|{raw.digest}|{[len(part.x) for part in raw.parts]}".encode())
        return digest.hexdigest()
    for part in raw.parts:
        for array in (part.x, part.labels, part.vectors):
            if array is not None:
                digest.update(f"|{array.dtype.str}{array.shape}|".encode())
                for start in range(0, len(array), _ROWS):
                    digest.update(np.ascontiguousarray(array[start : start + _ROWS]).data)
    return digest.hexdigest()
