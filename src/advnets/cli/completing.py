"""What `advnets complete` completes: examples in the user's own units, and what of them is known."""

import dataclasses
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from advnets import masks
from advnets.config import DataConfig
from advnets.data import arrays, folders, load
from advnets.data.scaling import white_of
from advnets.errors import InputError
from advnets.evaluation.subjects import require
from advnets.sampling import Sampler
from advnets.seeds import stream

SIDES = ("left", "right", "top", "bottom", "block")
_ALLOWED = "half, left, right, top, bottom, block, random:SHARE, or a .npy or .npz file"

Array = NDArray[Any]
Images = NDArray[np.float32]


@dataclass(frozen=True)
class Wanted:
    """Examples x (n, *shape) in the units of their file, and what of them is known."""

    x: Array
    known: NDArray[np.bool_]
    white: float
    """What stands for 1 in the units of `Sampler.draw`."""
    mask: str

    def completed(self, sampler: Sampler, count: int, seed: int) -> Array:
        """Return completions (count, n, *shape) in the units and the kind of number of x, known ones as in x.

        Images of whole numbers stay such; tables of whole numbers become float64.
        """
        unit: NDArray[np.floating] = self.x.astype(
            np.float64 if self.x.dtype.itemsize > 4 or self.x.dtype.kind != "f" else np.float32
        )
        made = sampler.complete(np.divide(unit, self.white, dtype=unit.dtype), self.known, count, seed) * self.white
        whole = self.x.dtype.kind in "ui" and self.x.ndim == 4
        filled = np.clip(np.rint(made), 0, self.white).astype(self.x.dtype) if whole else made.astype(unit.dtype)
        return np.where(self.known, self.x.astype(filled.dtype), filled)

    def shown(self) -> tuple[Images, Callable[[Array], Images]]:
        """Return the examples in [0, 1], and the way there for completions, example by example."""
        x = np.where(self.known, self.x, np.nan_to_num(self.x)) / self.white
        return x.astype(np.float32), lambda made: (made.swapaxes(0, 1) / self.white).astype(np.float32)


def wanted(sampler: Sampler, path: Path | None, mask: str | None, limit: int, seed: int) -> Wanted:
    """Read examples and their mask; raises InputError for what does not fit the run."""
    x, white = _examples(sampler, path)
    x = x[:limit]
    there = np.isfinite(x)
    name = mask or ("NaN" if not there.all() else "half" if x.ndim == 4 else "random:.5")
    known = there if name == "NaN" else there & _mask(name, x.shape, seed)
    if known.all():
        raise InputError(
            f"--mask is {name} and hides nothing, allowed: {_ALLOWED}; hide some, or give an array with NaN"
        )
    return Wanted(x, known, white, name)


def _examples(sampler: Sampler, path: Path | None) -> tuple[Array, float]:
    config, shape = sampler.config.data, sampler.shape
    if path is None:
        return sampler.scaling.undo(load(config).test.x), 1.0
    require(path)
    x = _read(config, path, shape)
    if x.shape[1:] != shape and x.ndim == 2 and x.shape[1] == np.prod(shape):
        x = x.reshape(-1, *shape)
    if x.shape[1:] != shape:
        raise InputError(f"{path} holds examples of {x.shape[1:]}, allowed: those of the run, {shape}; reshape them")
    white = white_of(x) if len(shape) == 3 else 1.0
    if white is None or (len(shape) == 3 and sampler.scaling.kind == "contrast"):
        low, high = np.fmin.reduce(x, axis=None), np.fmax.reduce(x, axis=None)
        raise InputError(
            f"{path} holds pixels from {low:g} to {high:g}, allowed: 0 to 1, or whole numbers from 0 to 255, for a run "
            "whose pixels are such; rescale them"
        )
    return x, white


def _read(config: DataConfig, path: Path, shape: tuple[int, ...]) -> Array:
    if path.is_dir():
        if len(shape) != 3:
            raise InputError(f"{path} is a folder and the run is of vectors, allowed: an array; name one")
        wanted = dataclasses.replace(config, colour="grey" if shape[0] == 1 else "rgb", size=config.size)
        return folders.read_images(wanted, path)[0]
    return arrays.arrange(arrays.read_file(path)[0], str(path), missing="all")


def _mask(name: str, shape: tuple[int, ...], seed: int) -> NDArray[np.bool_]:
    """Return what is known under a mask of this name, or in this file, for examples (n, *shape)."""
    kind, _, share = name.partition(":")
    random, image = stream(seed, "masks"), len(shape) == 4
    if kind == "random":
        shares = torch.full(shape[:1], _share(name, share))
        return masks.hidden_share(shares, shape[1:], random).numpy() > 0
    if kind in ("half", *SIDES):
        if not image:
            raise InputError(
                f"--mask is {name} and the run is of vectors, allowed: random:SHARE, or a file; set --mask"
            )
        if kind == "half":
            return masks.draw(["halves"], shape[0], shape[1:], random).numpy() > 0
        return np.broadcast_to(masks.side(kind, shape[1:]).numpy() > 0, shape)
    path = Path(name)
    if path.suffix.lower() not in (".npy", ".npz") or not path.is_file():
        raise InputError(f"--mask is {name}, allowed: {_ALLOWED}; set --mask")
    return _of_file(path, shape)


def _share(name: str, share: str) -> float:
    try:
        value = float(share or 0.5)
    except ValueError:
        value = np.nan
    if not 0 < value <= 1:
        raise InputError(
            f"--mask is {name}, allowed: random: and a share above 0 and up to 1, as random:.5; set --mask"
        )
    return value


def _of_file(path: Path, shape: tuple[int, ...]) -> NDArray[np.bool_]:
    """Read a mask of one example for all, or one for each; of pixels, or of every channel."""
    known = arrays.read_file(path)[0]
    if known.dtype.kind not in "buif" or not np.isin(known, (0, 1)).all():
        raise InputError(f"{path} holds other numbers than 0 and 1, allowed: 1 where known, 0 where not; threshold it")
    one, pixels = shape[1:], shape[-2:]
    options = {shape: known, one: known[None], pixels: known[None, None], (shape[0], *pixels): known[:, None]}
    if len(shape) == 2:
        options = {one: known[None], shape: known}
    if known.shape not in options:
        raise InputError(
            f"{path} is a mask of shape {known.shape}, allowed: {', '.join(map(str, options))}; reshape it"
        )
    return np.broadcast_to(options[known.shape] > 0, shape)
