"""CIFAR-10: the official binary version, or the Python version read as inert data."""

import hashlib
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from advnets.config import DataConfig
from advnets.data import pickles
from advnets.data.places import candidates, read_bounded
from advnets.data.splits import Part, Raw
from advnets.errors import InputError

TRAINING, VALIDATION = 40_000, 50_000
BATCH = 10_000
RECORD = 1 + 3 * 32 * 32  # one label, then the red, green and blue planes
CLASSES = ("airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck")
BINARY = (*(f"data_batch_{index}.bin" for index in range(1, 6)), "test_batch.bin")
PYTHON = tuple(name.removesuffix(".bin") for name in BINARY)
# SHA-256 of the six binary files, one after the other.
SHA256 = "013ba16d14ecc4829da62bf2af648ca30f600491ecb3e7f329c827db0dd17522"

_LARGEST = 64 << 20  # bytes; an official batch has 30,730,000 (binary) or about 31,035,000 (Python)


def find() -> Path | None:
    """Return the first folder that holds all six batches in either version, or None."""
    for folder in candidates("cifar10"):
        for inner in (folder / "cifar-10-batches-bin", folder / "cifar-10-batches-py", folder):
            if _is_whole(inner, BINARY) or _is_whole(inner, PYTHON):
                return inner
    return None


def read(config: DataConfig, folder: Path) -> Raw:
    """Return images 0..40,000 for training, 40,000..50,000 for validation, and the 10,000 test images."""
    records = read_folder(folder)
    x, labels = records[:, 1:].reshape(-1, 3, 32, 32), records[:, 0].astype(np.int64)
    parts = [slice(0, TRAINING), slice(TRAINING, VALIDATION), slice(VALIDATION, None)]
    train, validation, test = (Part(x[rows], labels[rows]) for rows in parts)
    return Raw(train, validation, test, 255.0, "contrast", str(folder), CLASSES)


def read_folder(folder: Path) -> NDArray[np.uint8]:
    """Return the 60,000 records of 1 + 3,072 bytes; raises InputError unless they are the official ones."""
    binary = _is_whole(folder, BINARY)
    batches = [
        read_binary(folder / name) if binary else read_python(folder / name) for name in (BINARY if binary else PYTHON)
    ]
    records = np.concatenate(batches)
    found = hashlib.sha256(records.data).hexdigest()
    if found != SHA256:
        raise InputError(
            f"{folder} does not hold CIFAR-10 as published (its records have SHA-256 {found}), allowed is {SHA256}; "
            "delete it or replace its files"
        )
    return records


def read_binary(path: Path) -> NDArray[np.uint8]:
    """Return the 10,000 records of a batch of the binary version."""
    return parse_binary(read_bounded(path, _LARGEST), str(path))


def parse_binary(content: bytes, name: str) -> NDArray[np.uint8]:
    """Decode 10,000 records of 3,073 bytes."""
    if len(content) != BATCH * RECORD:
        raise InputError(
            f"{name} has {len(content)} bytes, allowed are {BATCH} records of {RECORD}; get the official file"
        )
    return _checked(np.frombuffer(content, np.uint8).reshape(BATCH, RECORD), name)


def read_python(path: Path) -> NDArray[np.uint8]:
    """Return the 10,000 records of a batch of the Python version, whose pickle is read and never run."""
    return parse_python(read_bounded(path, _LARGEST), str(path))


def parse_python(content: bytes, name: str) -> NDArray[np.uint8]:
    """Decode a pickled dictionary with `data`, an array of 10,000 x 3,072 bytes, and `labels`, a list of numbers."""
    batch = pickles.parse(content, name)
    allowed = f"allowed are data of {BATCH} x {RECORD - 1} bytes and {BATCH} labels; get the official file"
    if not isinstance(batch, pickles.Pairs):
        raise InputError(f"{name} holds no dictionary, {allowed}")
    data, labels = pickles.array(batch.get("data"), name), batch.get("labels")
    if data.dtype != np.uint8 or data.shape != (BATCH, RECORD - 1):
        raise InputError(f"{name} holds data of {data.dtype} in the shape {data.shape}, {allowed}")
    if not isinstance(labels, list):
        labels = pickles.array(labels, name).tolist()
    if len(labels) != BATCH or not all(isinstance(label, int) and 0 <= label < 256 for label in labels):
        raise InputError(f"{name} has no list of {BATCH} labels from 0 to 9, {allowed}")
    return _checked(np.concatenate([np.array(labels, np.uint8)[:, None], data], axis=1), name)


def _checked(records: NDArray[np.uint8], name: str) -> NDArray[np.uint8]:
    largest = int(records[:, 0].max())
    if largest >= len(CLASSES):
        raise InputError(f"{name} holds the label {largest}, allowed are 0 to 9; get the official file")
    return records


def _is_whole(folder: Path, names: tuple[str, ...]) -> bool:
    return all((folder / name).is_file() for name in names)
