"""What `advnets complete` completes: the test part of a run's data, or the user's own files, and their mask."""

import dataclasses
from pathlib import Path

import numpy as np

from advnets.config import DataConfig
from advnets.data import arrays, folders, load
from advnets.data.scaling import white_of
from advnets.errors import InputError
from advnets.evaluation.subjects import ARRAYS, require
from advnets.extensions.completing import NAMES, Array, Mask, Wanted
from advnets.sampling import Sampler

_FILES = "a .npy or .npz file"


def wanted(sampler: Sampler, path: Path | None, mask: str | None, limit: int, seed: int) -> Wanted:
    """Read examples and their mask; raises InputError for what does not fit the run."""
    x, white = _examples(sampler, path)
    return _mask(mask).of(x[:limit], white, seed)


def _mask(name: str | None) -> Mask:
    """Read a mask from a file of this name, if it is no other."""
    file = Path(name or "")
    if name is None or name.partition(":")[0] in NAMES or file.suffix.lower() not in ARRAYS or not file.is_file():
        return Mask(name, "--mask", _FILES)
    return Mask(arrays.read_file(file)[0], name, _FILES)


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
