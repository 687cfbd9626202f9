"""MNIST and Fashion-MNIST: the four official IDX files, gzipped or not."""

import gzip
import hashlib
import math
import struct
import zlib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from advnets.config import DataConfig
from advnets.data.places import candidates, read_bounded, unreadable
from advnets.data.splits import Part, Raw
from advnets.errors import InputError

FILES = ("train-images-idx3-ubyte", "train-labels-idx1-ubyte", "t10k-images-idx3-ubyte", "t10k-labels-idx1-ubyte")
TRAINING = 50_000
DEBIAN = Path("/usr/share/datasets/fashion-mnist")  # package dataset-fashion-mnist

Name = Literal["mnist", "fashion_mnist"]

_LARGEST = 1 << 26  # bytes; the largest official file has 47,040,016
_TITLES: Mapping[Name, str] = MappingProxyType({"mnist": "MNIST", "fashion_mnist": "Fashion-MNIST"})
_CLASSES: Mapping[Name, tuple[str, ...]] = MappingProxyType(
    {
        "mnist": tuple(str(digit) for digit in range(10)),
        "fashion_mnist": (
            "T-shirt/top",
            "trouser",
            "pullover",
            "dress",
            "coat",
            "sandal",
            "shirt",
            "sneaker",
            "bag",
            "ankle boot",
        ),
    }
)

# MD5 of the unpacked files, in the order of FILES.
MD5: Mapping[Name, tuple[str, str, str, str]] = MappingProxyType(
    {
        "mnist": (
            "6bbc9ace898e44ae57da46a324031adb",
            "a25bea736e30d166cdddb491f175f624",
            "2646ac647ad5339dbf082846283269ea",
            "27ae3e4e09519cfbb04c329615203637",
        ),
        "fashion_mnist": (
            "f4a8712d7a061bf5bd6d2ca38dc4d50a",
            "9018921c3c673c538a1fc5bad174d6f9",
            "8181f5470baa50b63fa0f6fddb340f0a",
            "15d484375f8d13e6eb1aabb0c3f46965",
        ),
    }
)


@dataclass(frozen=True)
class Arrays:
    """The decoded files, in the official order."""

    train_images: NDArray[np.uint8]
    train_labels: NDArray[np.uint8]
    test_images: NDArray[np.uint8]
    test_labels: NDArray[np.uint8]


def find(name: Name) -> Path | None:
    """Return the first folder that holds all four files, or None."""
    folders = [*candidates(name), *([DEBIAN] if name == "fashion_mnist" else [])]
    return next((folder for folder in folders if _is_whole(name, folder)), None)


def read(config: DataConfig, name: Name, folder: Path) -> Raw:
    """Return the first 50,000 training images, the last 10,000 for validation, and the 10,000 test images."""
    arrays = read_folder(name, folder)
    x, labels = arrays.train_images[:, None], arrays.train_labels.astype(np.int64)
    return Raw(
        train=Part(x[:TRAINING], labels[:TRAINING]),
        validation=Part(x[TRAINING:], labels[TRAINING:]),
        test=Part(arrays.test_images[:, None], arrays.test_labels.astype(np.int64)),
        white=255.0,
        scaling="unit",
        source=str(folder),
        class_names=_CLASSES[name],
    )


def read_folder(name: Name, folder: Path) -> Arrays:
    """Decode the four files of a folder; raises InputError unless they are the official data, bit for bit."""
    decoded = []
    for stem, expected in zip(FILES, MD5[name], strict=True):
        path = _path(folder, stem)
        if path is None:
            raise InputError(f"{folder} lacks {stem}(.gz), allowed is a folder with {', '.join(FILES)}; add the file")
        content = unpack(path)
        array = parse_idx(content, str(path))
        found = hashlib.md5(content, usedforsecurity=False).hexdigest()
        if found != expected:
            raise InputError(
                f"{path} is not the official {_TITLES[name]} file (contents with MD5 {found}), allowed is {expected}; "
                "delete or replace it"
            )
        decoded.append(array)
    return Arrays(*decoded)


def unpack(path: Path) -> bytes:
    """Return the contents of a file, unzipped if it is gzipped, of at most 64 MiB."""
    content = read_bounded(path, _LARGEST)
    if content[:2] != b"\x1f\x8b":
        return content
    try:
        with gzip.open(path) as file:
            unzipped = file.read(_LARGEST + 1)
    except (OSError, EOFError, zlib.error) as error:
        raise unreadable(path, error) from error
    if len(unzipped) > _LARGEST:
        raise InputError(f"{path} unzips to more than {_LARGEST} bytes, allowed are fewer; get the official file")
    return unzipped


def parse_idx(content: bytes, name: str) -> NDArray[np.uint8]:
    """Decode IDX: two zero bytes, type 8 (unsigned bytes), number of axes, big-endian sizes, then the values."""
    allowed = "allowed is an IDX file of unsigned bytes; get the official file"
    if len(content) < 4 or content[:3] != b"\x00\x00\x08" or not 1 <= content[3] <= 8:
        raise InputError(
            f"{name} starts with {content[:4].hex() or 'nothing'}, not with 000008 and 01 to 08, {allowed}"
        )
    start = 4 + 4 * content[3]
    if len(content) < start:
        raise InputError(f"{name} ends inside its header, {allowed}")
    shape = struct.unpack(f">{content[3]}I", content[4:start])
    if math.prod(shape) != len(content) - start or 0 in shape:
        sizes = " x ".join(map(str, shape))
        raise InputError(f"{name} says {sizes} values and holds {len(content) - start}, {allowed}")
    return np.frombuffer(content, np.uint8, offset=start).reshape(shape)


def write_idx(array: NDArray[np.uint8], path: Path) -> None:
    """Write an array as a gzipped IDX file."""
    header = b"\x00\x00\x08" + bytes([array.ndim]) + struct.pack(f">{array.ndim}I", *array.shape)
    path.write_bytes(gzip.compress(header + array.tobytes(), compresslevel=6, mtime=0))


def _path(folder: Path, stem: str) -> Path | None:
    """Return the file with this stem, gzipped or not, in either of the spellings in use."""
    names = (stem, stem.replace("-idx", ".idx"))
    paths = (folder / f"{spelling}{suffix}" for spelling in names for suffix in ("", ".gz"))
    return next((path for path in paths if path.is_file()), None)


def _is_whole(name: Name, folder: Path) -> bool:
    """Whether a folder holds all four files, and under this set's own name or with this set's labels.

    MNIST and Fashion-MNIST share their file names: in a folder that is not called after the set only the contents tell.
    """
    paths = [_path(folder, stem) for stem in FILES]
    labels = paths[3]
    if labels is None or None in paths:
        return False
    if folder.name.replace("-", "_") == name:
        return True
    try:
        return hashlib.md5(unpack(labels), usedforsecurity=False).hexdigest() == MD5[name][3]
    except InputError:
        return False
