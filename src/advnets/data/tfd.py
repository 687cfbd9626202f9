"""The Toronto Face Database, from the user's own `TFD_48x48.mat`: no program can download it."""

import math
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from advnets.config import DataConfig
from advnets.data.mat5 import read_matrices
from advnets.data.places import candidates, read_bounded, unreadable
from advnets.data.splits import Part, Raw
from advnets.errors import InputError

FILE = "TFD_48x48.mat"
CLASSES = ("anger", "disgust", "fear", "happy", "sad", "surprise", "neutral")
UNLABELLED, TRAIN, VALIDATION, TEST = range(4)
FOLDS = 5

_NEEDED = ("images", "labs_ex", "folds")
_LARGEST = 4 << 30  # bytes a variable may take in memory; the images of TFD take 235,551,744 as unsigned bytes
_HDF5 = b"\x89HDF\r\n\x1a\n"
_ALLOWED = "allowed is TFD_48x48.mat: images (N, 48, 48), labs_ex of N expressions, folds (N, 5)"

Variables = dict[str, NDArray[Any]]


def find() -> Path | None:
    """Return the user's file in FOLDER/tfd or FOLDER, or None."""
    return next((folder / FILE for folder in candidates("tfd") if (folder / FILE).is_file()), None)


def read(config: DataConfig, path: Path) -> Raw:
    """Return one fold: its training images and all unlabelled ones, its validation images, its test images.

    Fold 0 trains on the unlabelled images alone, which no fold holds out, beside what fold 1 holds out.
    The file's expressions 1..7 become labels 0..6, so that they index the class names; -1 stays "no label".
    """
    if not 0 <= config.fold <= FOLDS:
        raise InputError(f"--data.fold is {config.fold}, allowed are 0 to {FOLDS}; set --data.fold")
    variables = _read_variables(path)
    images = _images(variables["images"], path)
    labels = _labels(variables["labs_ex"], len(images), path)
    roles = _folds(variables["folds"], len(images), path)[:, max(config.fold, 1) - 1]

    def part(*wanted: int) -> Part:
        rows = np.flatnonzero(np.isin(roles, wanted))
        if not len(rows):
            raise InputError(
                f"{path} has no image marked {wanted[-1]} in fold {config.fold}, {_ALLOWED}; get the official file"
            )
        return Part(images[rows, None], labels[rows])

    train = part(UNLABELLED, TRAIN) if config.fold else part(UNLABELLED)
    validation, test = part(VALIDATION), part(TEST)
    return Raw(train, validation, test, 255.0, "unit", str(path), CLASSES)


def _images(values: NDArray[Any], path: Path) -> NDArray[np.uint8]:
    if values.ndim != 3 or values.shape[1] != values.shape[2]:
        raise InputError(f"{path} holds images of the shape {values.shape}, {_ALLOWED}; get the official file")
    return _whole(values, 0, 255, "images", path).astype(np.uint8)


def _labels(values: NDArray[Any], n: int, path: Path) -> NDArray[np.int64]:
    """Return labels 0..6 or -1 from (N,), (N, 1) or (1, N) numbers of any type; 0 and 255 are -1 kept unsigned."""
    if values.size != n or max(values.shape) != n:
        raise InputError(
            f"{path} holds labs_ex of the shape {values.shape} for {n} images, {_ALLOWED}; get the official file"
        )
    numbers = _whole(values.ravel(), -1, 255, "labs_ex", path).astype(np.int64)
    unlabelled = np.isin(numbers, (-1, 0, 255))
    odd = numbers[~unlabelled & (numbers > len(CLASSES))]
    if odd.size:
        raise InputError(
            f"{path} holds the expression {odd[0]}, allowed are 1 to 7 and -1 for none; get the official file"
        )
    return np.where(unlabelled, -1, numbers - 1)


def _folds(values: NDArray[Any], n: int, path: Path) -> NDArray[np.int64]:
    if values.shape != (n, FOLDS):
        raise InputError(
            f"{path} holds folds of the shape {values.shape} for {n} images, {_ALLOWED}; get the official file"
        )
    return _whole(values, UNLABELLED, TEST, "folds", path).astype(np.int64)


def _whole(values: NDArray[Any], low: int, high: int, name: str, path: Path) -> NDArray[Any]:
    """Return values unchanged if they are whole numbers from low to high."""
    if values.dtype.kind not in "uif" or not np.all((values >= low) & (values <= high) & (values == np.rint(values))):
        raise InputError(
            f"{path} holds other {name} than whole numbers from {low} to {high}, {_ALLOWED}; get the official file"
        )
    return values


def _read_variables(path: Path) -> Variables:
    """Return images, labs_ex and folds from either MATLAB format."""
    if not path.is_file():
        raise InputError(f"{path} is not there or no file, allowed is {FILE}; check the path")
    try:
        with path.open("rb") as file:
            head = file.read(520)
        # Both parsers meet a file of unknown origin: whatever they raise is a statement about the file.
        if _HDF5 in (head[:8], head[512:]):
            return _read_hdf5(path)
        variables = read_matrices(read_bounded(path, _LARGEST), _NEEDED, _LARGEST)
        _check_names(set(variables), path)
        return variables
    except InputError:
        raise
    except Exception as error:
        raise unreadable(path, error) from error


def _read_hdf5(path: Path) -> Variables:
    """Read MATLAB v7.3, which is HDF5 with the axes reversed."""
    try:
        import h5py
    except ImportError as error:
        raise InputError(
            f'{path} is a MATLAB v7.3 file, which needs h5py; pip install "advnets[tfd]", or save it with -v7 in MATLAB'
        ) from error
    with h5py.File(path, "r") as file:
        _check_names(set(file), path)
        variables = {}
        for name in _NEEDED:
            values = file[name] if isinstance(file.get(name, getlink=True), h5py.HardLink) else None
            # A link or external storage would make this file read another one.
            if (
                not isinstance(values, h5py.Dataset)
                or values.external
                or values.is_virtual
                or values.dtype.kind not in "uif"
            ):
                raise InputError(
                    f"{path} holds {name} as something else than numbers, {_ALLOWED}; get the official file"
                )
            _check_size(name, values.shape, values.dtype.itemsize, path)
            variables[name] = np.asarray(values[()]).T
    return variables


def _check_names(found: set[str], path: Path) -> None:
    missing = [name for name in _NEEDED if name not in found]
    if missing:
        raise InputError(f"{path} lacks {', '.join(missing)}, {_ALLOWED}; get the official file")


def _check_size(name: str, shape: tuple[int, ...], itemsize: int, path: Path) -> None:
    if math.prod(shape) * itemsize > _LARGEST:
        raise InputError(
            f"{path} says that {name} has the shape {shape}, allowed are {_LARGEST} bytes; get the official file"
        )
