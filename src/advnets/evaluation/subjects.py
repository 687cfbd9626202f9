"""What is evaluated: the generator of a run, or samples that any program made, in the units of the data set."""

import dataclasses
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from advnets.config import DataConfig, to_json
from advnets.data import DataSet, arrays, folders
from advnets.data.dataset import FloatArray
from advnets.data.scaling import contrast, white_of
from advnets.errors import InputError
from advnets.runs import Run
from advnets.sampling import Sampler, Weights, load_sampler

ARRAYS = (".npy", ".npz")


@dataclass(frozen=True)
class Subject:
    """Something that gives samples of a data set's shape and units."""

    draw: Callable[[int, int], FloatArray]
    """draw(count, seed) → (count, *shape); a file gives its first samples, whatever the seed."""
    data: DataConfig
    """The data that the samples are to be compared with."""
    facts: dict[str, Any]
    """Where the samples come from, for the record."""
    available: int | None = None
    """How many samples there are; None for a generator, which draws any number."""
    sampler: Sampler | None = None
    """The generator behind the samples, where there is one."""


def of_run(run: Run, *, weights: Weights = "auto", step: int | None = None) -> Subject:
    """Take the generator of a run, in evaluation mode; raises InputError as `load_sampler` does."""
    sampler = load_sampler(run, weights, step)

    def draw(count: int, seed: int) -> FloatArray:
        samples = sampler.draw(count, seed)
        if not np.isfinite(samples).all():
            raise InputError(
                f"the generator of {run.path} gives numbers that are not finite at step {sampler.step}, allowed: a "
                "generator that did not diverge; name an earlier checkpoint with --step"
            )
        return samples

    config = sampler.config
    facts = {
        "run": str(run.path),
        "recipe": config.recipe,
        "seed": config.seed,
        "step": sampler.step,
        "weights": sampler.weights,
    }
    if config.rival and config.chain:
        facts["chain"] = {**to_json(config.chain), "start": "noise"}
    return Subject(draw, config.data, facts, sampler=sampler)


def of_file(path: Path, config: DataConfig, data: DataSet) -> Subject:
    """Take the samples in a .npy or .npz file, or in a folder of images, scaled as the data set is.

    Raises InputError for samples of another shape, out of range, or not finite.
    """
    require(path)
    samples = _scaled(_shaped(_read(path, config, data), path, data), path, config, data)

    def draw(count: int, seed: int) -> FloatArray:
        return samples[:count]

    return Subject(draw, config, {"samples": str(path)}, available=len(samples))


def require(path: Path) -> None:
    """Raise InputError for a path that cannot hold samples."""
    allowed = "allowed: a run folder, a .npz or .npy file, or a folder of images"
    if not path.exists():
        raise InputError(f"{path} is not there, {allowed}; check the path")
    if not path.is_dir() and path.suffix.lower() not in ARRAYS:
        raise InputError(f"{path} is of no known kind, {allowed}; convert it")
    if not path.is_dir() and not path.is_file():
        raise InputError(f"{path} is a pipe or a device, {allowed}; save it as a file")


def _read(path: Path, config: DataConfig, data: DataSet) -> NDArray[Any]:
    if path.is_dir():
        grey = len(data.shape) == 3 and data.shape[0] == 1
        wanted = dataclasses.replace(config, colour="grey" if grey else "rgb")
        return folders.read_images(wanted, path)[0]
    return arrays.arrange(arrays.read_file(path)[0], str(path))


def _shaped(x: NDArray[Any], path: Path, data: DataSet) -> NDArray[Any]:
    """Bring samples to the data's shape where only their layout differs."""
    if x.shape[1:] == data.shape:
        return x
    if x.ndim == 2 and x.shape[1] == np.prod(data.shape):
        return x.reshape(-1, *data.shape)
    raise InputError(
        f"{path} holds examples of {_by(x.shape[1:])}, allowed for {data.name}: {_by(data.shape)}; make samples of "
        "that size, or name the data they imitate with --data"
    )


def _scaled(x: NDArray[Any], path: Path, config: DataConfig, data: DataSet) -> FloatArray:
    """Bring pixels to [0, 1], and on to the contrast of the data; leave vectors as they are."""
    if len(data.shape) == 1:
        return np.ascontiguousarray(x, np.float32)
    white = white_of(x)
    if white is None and data.scaling.kind == "contrast" and x.dtype.kind == "f":
        return contrast(x, config.contrast_scale)
    if white is None:
        raise InputError(
            f"{path} holds pixels from {x.min():.4g} to {x.max():.4g}, allowed: 0 to 1, or whole numbers from 0 "
            "to 255; rescale the samples, for instance by (x + 1) / 2 from [-1, 1]"
        )
    unit = np.asarray(x, np.float32) / np.float32(white)
    return contrast(unit, config.contrast_scale) if data.scaling.kind == "contrast" else unit


def _by(shape: tuple[int, ...]) -> str:
    return "x".join(map(str, shape))
