"""The user's own arrays: .npy and .npz files, read without running pickles and without trusting their headers."""

import math
import sys
import zipfile
from pathlib import Path
from typing import IO, Any, Literal

import numpy as np
from numpy.lib import format as npy
from numpy.typing import NDArray

from advnets.config import DataConfig
from advnets.data.dataset import ScalingKind
from advnets.data.places import unreadable
from advnets.data.scaling import white_of
from advnets.data.splits import Raw, cut_share
from advnets.errors import InputError

KEYS = ("samples", "X", "x", "images", "data", "arr_0")
LABEL_KEYS = ("y", "labels")
VECTOR_KEY = "c"
LARGEST = 16 << 30  # bytes an array may take in memory

_DEFLATE_RATIO = 1100  # deflate shrinks at most 1032 to 1: a member that claims more lies
_SHAPES = "allowed are (n, h, w), (n, h, w, c) and (n, c, h, w) with c 1 or 3, (n, d), (n,)"

Array = NDArray[Any]


def read(config: DataConfig, path: Path) -> Raw:
    """Return the arrays of a file in a fixed shuffled order: images, or vectors where an example has one axis."""
    examples, labels, beside = read_file(path)
    x = arrange(examples, str(path), missing=config.missing == "hide")
    white = white_of(x)
    low, high = np.fmin.reduce(x, axis=None), np.fmax.reduce(x, axis=None)  # which pass over NaN
    kind: ScalingKind = "unit" if x.ndim == 4 else "standard"
    if x.ndim == 4 and white is None:
        raise InputError(
            f"{path} holds pixels from {low:g} to {high:g}, allowed are 0 to 1, or whole numbers from 0 to 255; "
            "rescale the array"
        )
    numbers, names = number_labels(labels, len(x))
    parts = cut_share(x, numbers, config.held_out, str(path), number_vectors(beside, len(x)))
    return Raw(*parts, white, kind, str(path), names)


def read_file(path: Path) -> tuple[Array, Array | None, Array | None]:
    """Return the examples of a .npy or .npz file, its labels and its vectors c, where it has some."""
    try:
        if path.suffix.lower() != ".npz":
            with path.open("rb") as file:
                return _read_npy(file, path.stat().st_size, str(path)), None, None
        with zipfile.ZipFile(path) as archive:
            return _read_npz(archive, path)
    except InputError:
        raise
    except Exception as error:  # numpy's and zipfile's parsers raise almost anything on a damaged file
        raise unreadable(path, error) from error


def layout(path: Path) -> tuple[tuple[int, ...], np.dtype[Any], int]:
    """Return shape, type, and where the numbers begin, of the array in a .npy file that may be larger than memory.

    Raises InputError where its header says what the file does not hold.
    """
    try:
        with path.open("rb") as file:
            shape, fortran, dtype = _honest_header(file, path.stat().st_size, str(path))
            if fortran and len(shape) > 1:
                raise InputError(f"{path} lies in Fortran's order, allowed is C's; save numpy.ascontiguousarray of it")
            return shape, dtype, file.tell()
    except InputError:
        raise
    except Exception as error:  # as in read_file
        raise unreadable(path, error) from error


def arrange(x: Array, name: str, *, missing: bool | Literal["all"] = False, first: int = 0) -> Array:
    """Return images as (n, c, h, w) and vectors as (n, d); raises InputError for other shapes and kinds.

    So it does for infinities, and for NaN unless some numbers may be `missing`; all of a place where that says "all".
    x begins with example number `first` of what is called `name`.
    """
    if x.dtype.kind not in "buif":
        raise InputError(f"{name} holds {x.dtype}, allowed are real numbers; convert the array")
    if x.ndim == 0 or x.size == 0:
        raise InputError(f"{name} has the shape {x.shape}, {_SHAPES}, none empty; reshape the array")
    _check_finite(x, name, missing=missing, first=first)
    if x.dtype.kind != "f":
        x = x.astype(np.uint8) if x.dtype == np.bool_ else x
    elif x.dtype.itemsize > 4 and np.fmax.reduce(np.abs(x), None) > np.finfo(np.float32).max:
        raise InputError(
            f"{name} holds numbers beyond {np.finfo(np.float32).max:.1e}, allowed are smaller ones; rescale it"
        )
    if x.ndim <= 2:
        return x.reshape(len(x), -1)
    if x.ndim == 3:
        return x[:, None]
    if x.ndim == 4 and x.shape[1] in (1, 3):
        return x
    if x.ndim == 4 and x.shape[3] in (1, 3):
        return np.ascontiguousarray(x.transpose(0, 3, 1, 2))
    raise InputError(f"{name} has the shape {x.shape}, {_SHAPES}; reshape the array")


def number_labels(labels: Array | None, n: int) -> tuple[NDArray[np.int64] | None, tuple[str, ...]]:
    """Number the classes in sorted order; -1 stays "no label", and anything but n labels is left out."""
    if labels is None or labels.size != n or labels.dtype.kind not in "buifUS":
        return None, ()
    values = labels.ravel()
    if values.dtype.kind == "U" and (values.view(values.dtype.byteorder + "u4") > sys.maxunicode).any():
        return None, ()
    if values.dtype.kind == "f":
        if not np.all(np.isfinite(values) & (values == np.rint(values))):
            return None, ()
        values = values.astype(np.int64)
    missing = values == -1 if values.dtype.kind == "i" else np.zeros(n, np.bool_)
    classes = np.unique(values[~missing])
    numbers = np.searchsorted(classes, values).astype(np.int64)
    names = tuple(value.decode("latin1") if isinstance(value, bytes) else str(value) for value in classes.tolist())
    return np.where(missing, -1, numbers), names


def number_vectors(beside: Array | None, n: int) -> NDArray[np.float32] | None:
    """Return the numbers beside each example as (n, k); None, as for labels, where they are no such numbers."""
    if beside is None or beside.dtype.kind not in "buif" or beside.ndim not in (1, 2) or len(beside) != n:
        return None
    vectors = beside.reshape(n, -1).astype(np.float32)
    return vectors if vectors.size and np.isfinite(vectors).all() else None


def _read_npz(archive: zipfile.ZipFile, path: Path) -> tuple[Array, Array | None, Array | None]:
    members = {info.filename.removesuffix(".npy"): info for info in archive.infolist()}
    key = next((key for key in KEYS if key in members), None) or _only_table(archive, members, path)
    labels = next((_read_member(archive, members[name], path) for name in LABEL_KEYS if name in members), None)
    vectors = _read_member(archive, members[VECTOR_KEY], path) if VECTOR_KEY in members and key != VECTOR_KEY else None
    return _read_member(archive, members[key], path), labels, vectors


def _only_table(archive: zipfile.ZipFile, members: dict[str, zipfile.ZipInfo], path: Path) -> str:
    """Return the name of the only array with two or more axes."""
    tables = []
    for name, info in members.items():
        if info.filename.endswith(".npy"):
            with archive.open(info) as file:
                if len(_read_header(file, f"{path}:{name}")[0]) >= 2:
                    tables.append(name)
    if len(tables) == 1:
        return tables[0]
    found = ", ".join(sorted(members)[:8]) or "nothing"
    raise InputError(f"{path} holds {found}, allowed is an array named {', '.join(KEYS)}; save it as samples")


def _read_member(archive: zipfile.ZipFile, info: zipfile.ZipInfo, path: Path) -> Array:
    name = f"{path}:{info.filename}"
    if info.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED) or info.flag_bits & 1:
        raise InputError(f"{name} is packed in a way numpy does not, allowed is what numpy.savez writes; save it again")
    if info.file_size > _DEFLATE_RATIO * info.compress_size + 1024:
        raise InputError(
            f"{name} claims {info.file_size} bytes from {info.compress_size}, allowed is an honest zip; save it again"
        )
    with archive.open(info) as file:
        return _read_npy(file, info.file_size, name)


def _read_npy(file: IO[bytes], size: int, name: str) -> Array:
    """Read one array after comparing what its header claims with the bytes there are."""
    shape, fortran, dtype = _honest_header(file, size, name)
    needed = math.prod(shape) * dtype.itemsize
    if needed > LARGEST:
        raise InputError(
            f"{name} takes {needed} bytes, allowed are {LARGEST} in memory; use a part of it, or pack a .npy file and "
            f"train on that: advnets data pack {name} --out FOLDER"
        )
    content = file.read(needed)
    if len(content) != needed:
        raise InputError(f"{name} ends after {len(content)} of {needed} bytes, allowed is a whole file; save it again")
    return np.frombuffer(content, dtype).reshape(shape, order="F" if fortran else "C")


def _honest_header(file: IO[bytes], size: int, name: str) -> tuple[tuple[int, ...], bool, np.dtype[Any]]:
    """Read a header, and compare what it claims with the bytes there are."""
    shape, fortran, dtype = _read_header(file, name)
    if dtype.hasobject or dtype.kind not in "buifUS":
        raise InputError(f"{name} holds {dtype}, allowed are plain numbers; convert the array with astype(float)")
    needed, left = math.prod(shape) * dtype.itemsize, size - file.tell()
    if min(shape, default=0) < 0 or needed > left:
        raise InputError(
            f"{name} says {shape} of {dtype}, {needed} bytes, and holds {left}, allowed is a whole file; save it again"
        )
    return shape, fortran, dtype


def _read_header(file: IO[bytes], name: str) -> tuple[tuple[int, ...], bool, np.dtype[Any]]:
    version = npy.read_magic(file)
    readers = {(1, 0): npy.read_array_header_1_0, (2, 0): npy.read_array_header_2_0}
    if version not in readers:
        raise InputError(
            f"{name} has the .npy version {version}, allowed are 1.0 and 2.0; save it again with numpy.save"
        )
    shape, fortran, dtype = readers[version](file)
    return shape, fortran, dtype


def _check_finite(x: Array, name: str, *, missing: bool | Literal["all"], first: int) -> None:
    bad = (np.isinf(x) if missing else ~np.isfinite(x)) if x.dtype.kind == "f" else np.zeros(1, np.bool_)
    if bad.any():
        example, *inside = (int(index) for index in np.unravel_index(int(bad.argmax()), x.shape))
        place = ", ".join(map(str, (example + first, *inside)))
        raise InputError(
            f"{name} holds {int(bad.sum())} values that are {'' if missing else 'NaN or '}infinite, the first at "
            f"[{place}], allowed are finite numbers; drop those examples or fill the gaps with numpy.nan_to_num"
            + ("" if missing else ", or learn to fill them: advnets train --condition.kind masks")
        )
    empty = np.isnan(x).all(0) if missing is True and x.dtype.kind == "f" else np.zeros(1, np.bool_)
    if empty.any():
        place = ", ".join(str(int(index)) for index in np.unravel_index(int(empty.argmax()), empty.shape))
        raise InputError(
            f"{name} holds no number at [:, {place}], NaN alone, allowed is one example at least that has one; leave "
            "that column out"
        )
