"""Examples to classify: the test part of a data set, or the user's own files in its units."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from advnets.config import DataConfig
from advnets.data import DataSet, arrays, folders
from advnets.data.dataset import FloatArray
from advnets.evaluation import subjects


@dataclass(frozen=True)
class Examples:
    """Examples x (n, *shape) in a data set's units, what each is called, and classes where they are known (-1: not)."""

    x: FloatArray
    names: list[str]
    labels: NDArray[np.int64] | None


def of_test_part(data: DataSet) -> Examples:
    """Take the test part, each example called by its number."""
    return Examples(data.test.x, [str(index) for index in range(len(data.test.x))], data.test.labels)


def of_file(path: Path, config: DataConfig, data: DataSet) -> Examples:
    """Take a folder of images, or a .npy or .npz file, scaled as the data set is.

    Labels are known where a sub-folder, or the array y of the file, names a class of the data set.
    Raises InputError for examples of another shape, out of range, or not finite.
    """
    subject = subjects.of_file(path, config, data)
    x = subject.draw(subject.available or 0, 0)
    if path.is_dir():
        files = [file.relative_to(path) for file in folders.read_images(config, path)[1]]
        return Examples(x, [file.as_posix() for file in files], _numbers([file.parts[0] for file in files], data))
    names = [str(index) for index in range(len(x))]
    numbers, values = arrays.number_labels(arrays.read_file(path)[1], len(x)) if path.suffix == ".npz" else (None, ())
    labels = None if numbers is None else _numbers([values[one] if one >= 0 else "" for one in numbers], data)
    return Examples(x, names, labels)


def _numbers(names: list[str], data: DataSet) -> NDArray[np.int64] | None:
    """Number names of classes as the data set does; None where none is a class of it."""
    numbers = {name: number for number, name in enumerate(data.class_names)}
    labels = np.array([numbers.get(name, -1) for name in names], np.int64)
    return labels if (labels >= 0).any() else None
