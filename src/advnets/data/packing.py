"""Writing packed data sets (advnets.data.packed): of a folder of images or of an array, however large, in one pass."""

import functools
import hashlib
import itertools
import math
import os
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from advnets import disk
from advnets.config import DataConfig
from advnets.data import arrays, folders, packed
from advnets.data.dataset import ScalingKind
from advnets.data.places import expanded, unreadable
from advnets.data.scaling import Range
from advnets.data.splits import FEWEST_EXAMPLES
from advnets.errors import InputError

Report = Callable[[int, int], None]
Array = NDArray[Any]


@dataclass(frozen=True)
class Origin:
    """Data before they are packed: how many, of which shape and type, and blocks of them, in order."""

    n: int
    shape: tuple[int, ...]
    dtype: str
    blocks: Callable[[int], Iterator[Array]]
    """Yields arrays of so many examples, the last one of those that are left."""
    labels: NDArray[np.int64] | None
    classes: tuple[str, ...]
    vectors: NDArray[np.float32] | None


def pack(config: DataConfig, out: Path, *, report: Report = lambda done, total: None) -> packed.Facts:
    """Write a folder of images, a .npy or .npz file as a packed data set into a new folder, or nothing at all.

    Raises InputError for data that cannot be trained on, a folder that is there already, and a disk that refuses.
    """
    packed.library()
    source = expanded(config.name)
    if os.path.lexists(out):
        raise InputError(f"{out} exists, allowed: a new folder; name another with --out, or remove it")
    origin = _origin(config, source)
    if origin.n < FEWEST_EXAMPLES:
        raise InputError(f"{source} holds {origin.n} examples, allowed are {FEWEST_EXAMPLES} or more; add examples")
    with disk.reporting(f"cannot write {out}", fix="free space, or name another place with --out"):
        disk.make_folder(out.absolute().parent)
        with tempfile.TemporaryDirectory(prefix=f".{out.name}.packing-", dir=out.absolute().parent) as aside:
            folder = Path(aside, out.name)
            disk.make_folder(folder)
            facts = _write(origin, source, folder, report)
            disk.rename(folder, out)
    return facts


def _write(origin: Origin, source: Path, folder: Path, report: Report) -> packed.Facts:
    """Write all arrays, then what the folder says of itself."""
    digest, seen = hashlib.sha256(), Range()
    shape = (origin.n, *origin.shape)
    size = packed.metadata(shape, origin.dtype)["chunk_grid"]["configuration"]["chunk_shape"][0]
    store, done = _new(folder / "x", shape, origin.dtype), 0
    for block in origin.blocks(size):
        seen.see(block)
        digest.update(np.ascontiguousarray(block).data)
        _put(store, done, block)
        done += len(block)
        report(done, origin.n)
    for name, array in (("labels", origin.labels), ("vectors", origin.vectors)):
        if array is not None:
            stored = array.astype("int32" if name == "labels" else "float32")
            digest.update(np.ascontiguousarray(stored).data)
            _put(_new(folder / name, stored.shape, stored.dtype.name), 0, stored)
    facts = packed.Facts(
        origin.n,
        origin.shape,
        origin.dtype,
        _kind(origin, seen, source),
        seen.white,
        origin.classes,
        0 if origin.vectors is None else origin.vectors.shape[1],
        str(source.absolute()),
        hashlib.sha256(f"{origin.shape} {origin.dtype} {origin.classes} {digest.hexdigest()}".encode()).hexdigest(),
    )
    packed.write_facts(folder, facts)
    return facts


def _new(folder: Path, shape: tuple[int, ...], dtype: str) -> Any:
    return packed.open_store(folder, shape, dtype, new=True)


def _put(store: Any, first: int, rows: Array) -> None:
    """Write rows from `first` on; raises OSError where the disk refuses."""
    try:
        store[first : first + len(rows)].write(rows).result()
    except (ValueError, RuntimeError) as error:
        raise OSError(None, " ".join(str(error).split())[:300]) from error


def _kind(origin: Origin, seen: Range, source: Path) -> ScalingKind:
    if len(origin.shape) == 1:
        return "standard"
    if seen.white is None:
        raise InputError(
            f"{source} holds pixels from {seen.low:g} to {seen.high:g}, allowed are 0 to 1, or whole numbers from 0 to "
            "255; rescale the array"
        )
    return "unit"


def _origin(config: DataConfig, source: Path) -> Origin:
    if source.is_dir():
        if packed.is_packed(source):
            raise InputError(
                f"{source} is packed already, allowed: a folder of images, .npy, .npz; train on it as it is"
            )
        return _of_folder(config, source)
    if config.size is not None or config.colour != "auto":
        raise InputError(
            f"--size and --colour do not fit {source}, allowed are folders of images; leave them out, or "
            "resize the array"
        )
    if source.suffix.lower() not in (".npy", ".npz") or not source.is_file():
        raise InputError(
            f"{source} is no folder of images and no .npy or .npz file, allowed: one of these; check the path"
        )
    return _of_npy(source) if source.suffix.lower() == ".npy" else _of_npz(source)


def _of_npz(source: Path) -> Origin:
    """Read a whole .npz file, whose members are packed and have to be unpacked in memory."""
    examples, labels, beside = arrays.read_file(source)
    x = _own_order(arrays.arrange(examples, str(source)))
    numbers, names = arrays.number_labels(labels, len(x))

    def blocks(size: int) -> Iterator[Array]:
        yield from (x[start : start + size] for start in range(0, len(x), size))

    vectors = arrays.number_vectors(beside, len(x))
    return Origin(len(x), x.shape[1:], x.dtype.name, blocks, numbers, names, vectors)


def _of_npy(source: Path) -> Origin:
    """Map the array of a .npy file into memory, a block at a time."""
    try:
        shape, dtype, begins = arrays.layout(source)
    except OSError as error:
        raise unreadable(source, error) from error
    row = math.prod(shape[1:]) * dtype.itemsize

    def block(start: int, size: int) -> Array:
        count = min(size, shape[0] - start)
        mapped = np.memmap(source, dtype, "r", begins + start * row, (count, *shape[1:]))
        return _own_order(arrays.arrange(mapped, str(source), first=start))

    def blocks(size: int) -> Iterator[Array]:
        yield from (block(start, size) for start in range(0, shape[0], size))

    one = block(0, 1)
    return Origin(shape[0], one.shape[1:], one.dtype.name, blocks, None, (), None)


def _own_order(x: Array) -> Array:
    """Put numbers into the byte order of this machine."""
    return x.astype(x.dtype.newbyteorder("="), copy=False)


def _of_folder(config: DataConfig, source: Path) -> Origin:
    """Decode the images of a folder as they are asked for; where colour is not set, once more to look for some."""
    paths = folders.paths_of(source)
    decoded = functools.partial(folders.decoded, paths, config)
    first = next(decoded())
    rgb = config.colour == "rgb" or (config.colour == "auto" and any(image.ndim == 3 for image in decoded()))
    labels, classes = folders.labels_of(paths, source)

    def blocks(size: int) -> Iterator[Array]:
        images = decoded()
        while some := list(itertools.islice(images, size)):
            yield folders.stack(some, rgb=rgb)

    shape = (3 if rgb else 1, *first.shape[:2])
    return Origin(len(paths), shape, "uint8", blocks, labels, classes, None)
