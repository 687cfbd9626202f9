"""A folder of images, searched through all its sub-folders."""

import os
import warnings
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from advnets.config import DataConfig
from advnets.data.images import Pixels, read_image
from advnets.data.splits import Raw, cut_share
from advnets.errors import InputError

SUFFIXES = (".png", ".jpg", ".jpeg", ".bmp", ".gif", ".webp", ".tif", ".tiff")
LARGEST = 16 << 30  # bytes of all images, decoded


def read(config: DataConfig, folder: Path) -> Raw:
    """Return the images of a folder in a fixed shuffled order; two or more sub-folders with images give the labels."""
    images, paths = read_images(config, folder)
    labels, names = labels_of(paths, folder)
    train, validation, test = cut_share(images, labels, config.held_out, str(folder))
    return Raw(train, validation, test, 255.0, "unit", str(folder), names)


def read_images(config: DataConfig, folder: Path) -> tuple[Pixels, list[Path]]:
    """Return the images of a folder (n, c, h, w) and its sub-folders, in the order of their paths."""
    paths = paths_of(folder)
    images, room = [], LARGEST
    for image in decoded(paths, config):
        room -= image.nbytes
        if room < 0:
            raise _too_large(folder)
        images.append(image)
    rgb = config.colour == "rgb" or (config.colour == "auto" and any(image.ndim == 3 for image in images))
    height, width = images[0].shape[:2]
    if len(images) * (3 if rgb else 1) * height * width > LARGEST:
        raise _too_large(folder)
    return stack(images, rgb=rgb), paths


def paths_of(folder: Path) -> list[Path]:
    """List the images of a folder and its sub-folders in the order of their paths; raises InputError without any."""
    paths = sorted(_files(folder), key=lambda path: path.relative_to(folder).as_posix())
    if not paths:
        raise InputError(f"{folder} holds no images, allowed are files named *{', *'.join(SUFFIXES)}; check the path")
    return paths


def _files(folder: Path) -> Iterator[Path]:
    """Yield regular image files; linked folders are not entered, hidden ones hold thumbnails and forks."""
    for where, inner, names in os.walk(folder, onerror=_refuse):
        inner[:] = [name for name in inner if not name.startswith(".") and name != "__MACOSX"]
        for name in names:
            path = Path(where, name)
            if path.suffix.lower() in SUFFIXES and not name.startswith(".") and path.is_file():
                yield path


def _refuse(error: OSError) -> None:
    raise InputError(
        f"{error.filename} cannot be listed ({error.strerror}), allowed is a readable folder; change its rights"
    )


def decoded(paths: list[Path], config: DataConfig) -> Iterator[Pixels]:
    """Yield all files as (h, w) or (h, w, 3), which must agree in size."""
    first: Pixels | None = None
    for path in paths:
        with warnings.catch_warnings():
            warnings.simplefilter(
                "ignore"
            )  # PIL warns of large pictures, which read_image refuses, and of odd metadata
            image = read_image(path, config.size)
        first = image if first is None else first
        if image.shape[:2] != first.shape[:2]:
            raise _mixed(paths[0], first, path, image)
        yield image


def _mixed(first: Path, one: Pixels, second: Path, other: Pixels) -> InputError:
    sizes = [f"{image.shape[1]} x {image.shape[0]}" for image in (one, other)]
    return InputError(
        f"{first} has {sizes[0]} pixels and {second} has {sizes[1]}, allowed is one size for all; "
        f"add --data.size {min(one.shape[:2] + other.shape[:2])}"
    )


def stack(images: list[Pixels], *, rgb: bool) -> Pixels:
    """Return images as (n, 1, h, w), or as (n, 3, h, w)."""
    channels = 3 if rgb else 1
    out = np.empty((len(images), channels, *images[0].shape[:2]), np.uint8)
    for index, image in enumerate(images):
        out[index] = _grey(image) if channels == 1 else image.transpose(2, 0, 1) if image.ndim == 3 else image
    return out


def _too_large(folder: Path) -> InputError:
    return InputError(
        f"{folder} holds more than {LARGEST} bytes of pixels, allowed are fewer in memory; add --data.size 32, or pack "
        f"it and train on that: advnets data pack {folder} --out FOLDER"
    )


def _grey(image: Pixels) -> Pixels:
    from PIL import Image

    return image if image.ndim == 2 else np.asarray(Image.fromarray(image).convert("L"))


def labels_of(paths: list[Path], folder: Path) -> tuple[NDArray[np.int64] | None, tuple[str, ...]]:
    """Number the sub-folders, if all images lie in one and there are two or more."""
    parts = [path.relative_to(folder).parts for path in paths]
    names = sorted({part[0] for part in parts})
    if len(names) < 2 or any(len(part) == 1 for part in parts):
        return None, ()
    numbers = {name: number for number, name in enumerate(names)}
    return np.array([numbers[part[0]] for part in parts], np.int64), tuple(names)
