"""Data sets larger than memory: a folder in the Zarr format (version 3), of which the examples asked for are read.

FOLDER/zarr.json   a Zarr group; its attribute `advnets` holds what Facts holds
FOLDER/x           all examples in the order of their source, (n, c, h, w) or (n, d), in the source's own numbers
FOLDER/labels      their classes, where there are some, -1 for none
FOLDER/vectors     numbers beside each example, where there are some

Every array lies in shards; a shard holds blocks of a few examples with a checksum each, and an index of them.
"""

import dataclasses
import math
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from advnets.config import DataConfig
from advnets.data.dataset import FloatArray, ScalingKind
from advnets.data.splits import FEWEST_EXAMPLES, Part, Raw, held_out_of, rows_of_parts
from advnets.disk import read_json, write_json
from advnets.errors import InputError
from advnets.untrusted import has

if TYPE_CHECKING:
    import tensorstore

FORMAT = 1
DTYPES = ("uint8", "int8", "uint16", "int16", "uint32", "int32", "uint64", "int64", "float16", "float32", "float64")
MOST_HELD_OUT = 10_000
"""Examples of each held-out part, at most: they are kept in memory."""

_SHARD, _BLOCK = 64 << 20, 32 << 10  # bytes, roughly
_RESIDENT = 128 << 20  # bytes of the training examples that are kept in memory, as float32
_WINDOW = 128 << 20  # bytes of the examples that are shuffled among each other
_CACHE = 320 << 20  # bytes: for two windows, and the indices, of which 20 GB of examples have 10 MiB
_TOGETHER = 1000  # examples of a part that are read at once
_READERS = 8  # threads that wait for the disk


@dataclass(frozen=True)
class Facts:
    """What a packed data set says of itself."""

    n: int
    shape: tuple[int, ...]
    dtype: str
    kind: ScalingKind
    """What `auto` scales it by."""
    white: float | None
    classes: tuple[str, ...]
    vectors: int
    """Numbers beside each example."""
    source: str
    digest: str
    """SHA-256 of all of it, taken when it was packed."""

    @property
    def labelled(self) -> bool:
        """Whether examples have classes."""
        return bool(self.classes)

    def arrays(self) -> dict[str, tuple[tuple[int, ...], str]]:
        """Shape and type of every array, by its name."""
        found = {"x": ((self.n, *self.shape), self.dtype)}
        if self.labelled:
            found["labels"] = ((self.n,), "int32")
        if self.vectors:
            found["vectors"] = ((self.n, self.vectors), "float32")
        return found


@dataclass(frozen=True)
class Packed:
    """The training part of a packed data set, of which the rows asked for are read and scaled."""

    x: "tensorstore.TensorStore"
    beside: "tensorstore.TensorStore | None"
    rows: NDArray[np.int32] | NDArray[np.int64]
    """Where the examples of the part lie in the arrays."""
    labels: NDArray[np.int32] | None
    """Classes of the part."""
    name: str
    change: Callable[[NDArray[Any]], FloatArray] = lambda x: np.asarray(x, np.float32)

    def __len__(self) -> int:
        return len(self.rows)

    def ask(self, chosen: NDArray[np.int64]) -> Callable[[], FloatArray]:
        """Begin to read examples of the part; return what waits for them, and scales them.

        That raises InputError where they are missing or damaged.
        """
        future = self.x[self.rows[chosen]].read()
        return lambda: self.change(_answer(future, self.name))

    def vectors(self, chosen: NDArray[np.int64]) -> NDArray[np.float32]:
        """Read the numbers beside examples of the part."""
        assert self.beside is not None  # who asks has looked
        return np.asarray(_answer(self.beside[self.rows[chosen]].read(), self.name), np.float32)

    def windows(self) -> tuple[NDArray[np.int32], int, int]:
        """Return which block each example of the part lies in, how many blocks there are, and how many a window has."""
        block, row = _block(self.x.shape, self.x.dtype.name)
        blocks = -(-self.x.shape[0] // block)
        size = max(1, _WINDOW // (block * row), -(-blocks // 2**15))
        return np.floor_divide(self.rows, block, dtype=np.int32, casting="unsafe"), blocks, size

    def among(self, chosen: NDArray[np.bool_]) -> "Packed":
        """Return the chosen ones alone."""
        labels = None if self.labels is None else self.labels[chosen]
        return dataclasses.replace(self, rows=self.rows[chosen], labels=labels)


def is_packed(folder: Path) -> bool:
    """Tell whether a folder is a packed data set."""
    return (folder / "zarr.json").is_file()


def read(config: DataConfig, folder: Path) -> Raw:
    """Return both held-out parts and the first training examples in memory, and the training part as it is read.

    The split is that of the same data in memory, but for parts of more than MOST_HELD_OUT examples.
    """
    if config.size is not None or config.colour != "auto":
        raise InputError(
            f"--data.size and --data.colour do not fit {folder}, which is packed, allowed: what it was packed with; "
            "leave them out, or pack it again with --size and --colour"
        )
    facts = read_facts(folder)
    context = _context()
    stores = {name: open_store(folder / name, *array, context=context) for name, array in facts.arrays().items()}
    labels = np.asarray(_answer(stores["labels"].read(), str(folder))) if facts.labelled else None
    if labels is not None and not ((labels >= -1) & (labels < len(facts.classes))).all():
        raise InputError(
            f"{folder} has classes that it does not name, allowed: what advnets data pack wrote; pack it again"
        )
    held_out = min(held_out_of(facts.n, config.held_out, str(folder)), MOST_HELD_OUT)
    training, *others = rows_of_parts(facts.n, held_out)
    first = training[: max(1, _RESIDENT // (4 * math.prod(facts.shape)))]
    train, validation, test = (_part(stores, labels, rows, str(folder)) for rows in (first, *others))
    rows = training.astype(np.int32) if facts.n < 2**31 else training
    packed = Packed(stores["x"], stores.get("vectors"), rows, None if labels is None else labels[rows], str(folder))
    source = f"{folder}, packed of {facts.source}"
    return Raw(train, validation, test, facts.white, facts.kind, source, facts.classes, packed, facts.digest)


def read_facts(folder: Path) -> Facts:
    """Read what a folder says of itself, and check that as many bytes are there; raises InputError otherwise."""
    content = read_json(folder / "zarr.json")
    told = (content.get("attributes") or {}).get("advnets") if has(content, attributes=dict) else None
    facts = _facts(told)
    if facts is None:
        raise InputError(
            f"{folder} holds no data set of format {FORMAT} that advnets has packed, allowed: what advnets data pack "
            "wrote; pack it again"
        )
    needed = facts.n * math.prod(facts.shape) * np.dtype(facts.dtype).itemsize
    held = sum(file.stat().st_size for file in (folder / "x" / "c").rglob("*") if file.is_file())
    if held < needed:
        raise InputError(
            f"{folder} says {facts.n} examples of {needed} bytes and holds {held}, allowed: a whole packed data set; "
            "copy it again, or pack it again"
        )
    return facts


def write_facts(folder: Path, facts: Facts) -> None:
    """Write what a folder says of itself; from then on it is a packed data set."""
    told = {"format": FORMAT, **dataclasses.asdict(facts)}
    group = {"zarr_format": 3, "node_type": "group", "attributes": {"advnets": told}}
    write_json(folder / "zarr.json", group)


def metadata(shape: tuple[int, ...], dtype: str) -> dict[str, Any]:
    """What the zarr.json of an array says that advnets writes."""
    block, row = _block(shape, dtype)
    shard = block * max(1, min(_SHARD, shape[0] * row) // (block * row))
    little = {"name": "bytes", "configuration": {"endian": "little"}}
    plain = little if np.dtype(dtype).itemsize > 1 else {"name": "bytes"}
    sharding = {
        "chunk_shape": [block, *shape[1:]],
        "codecs": [plain, {"name": "crc32c"}],
        "index_codecs": [little, {"name": "crc32c"}],
    }
    return {
        "zarr_format": 3,
        "node_type": "array",
        "shape": list(shape),
        "data_type": dtype,
        "chunk_grid": {"name": "regular", "configuration": {"chunk_shape": [shard, *shape[1:]]}},
        "chunk_key_encoding": {"name": "default"},
        "fill_value": 0,
        "codecs": [{"name": "sharding_indexed", "configuration": sharding}],
    }


def open_store(folder: Path, shape: tuple[int, ...], dtype: str, *, new: bool = False, context: Any = None) -> Any:
    """Open one array as advnets writes it, or make a `new` one; raises InputError for any other."""
    store = library()
    place = {"driver": "file", "path": str(folder)}
    spec: dict[str, Any] = {"driver": "zarr3", "kvstore": place, "metadata": metadata(shape, dtype)}
    if new:
        return store.open({**spec, "store_data_equal_to_fill_value": True}, create=True).result()
    if read_json(folder / "zarr.json") != spec["metadata"]:
        raise InputError(
            f"{folder} is laid out otherwise than its data set says, allowed: what advnets data pack wrote; pack it "
            "again"
        )
    reading = {"fill_missing_data_reads": False, "recheck_cached_data": "open", "recheck_cached_metadata": "open"}
    found = store.open({**spec, **reading}, context=context, read=True, open=True)
    return _answer(found, str(folder))


def _context() -> Any:
    """Limit the memory and the threads that all arrays of a data set take together."""
    limits = {
        "cache_pool": {"total_bytes_limit": _CACHE},
        "file_io_concurrency": {"limit": _READERS},
        "data_copy_concurrency": {"limit": 1},
    }
    return library().Context(limits)


def library() -> Any:
    """Import tensorstore; raises InputError where it is not installed."""
    try:
        import tensorstore
    except ImportError:
        raise InputError(
            "packed data sets are read by tensorstore, which is not installed, allowed: with it; "
            "pip install 'advnets[packed]'"
        ) from None
    return tensorstore


def _block(shape: tuple[int, ...], dtype: str) -> tuple[int, int]:
    """Count the examples of a block, and the bytes of one."""
    row = math.prod(shape[1:]) * np.dtype(dtype).itemsize
    return max(1, min(_BLOCK // row, shape[0])), row


def _answer(future: Any, name: str) -> Any:
    """Wait for what was asked for; raises InputError where it cannot be had."""
    try:
        return future.result()
    except (ValueError, OSError, RuntimeError) as error:
        reason = " ".join(str(error).split())[:300]
        raise InputError(
            f"{name} cannot be read ({reason}), allowed: a whole packed data set; copy it again, or pack it again"
        ) from error


def _part(stores: dict[str, Any], labels: NDArray[np.int32] | None, rows: NDArray[np.int64], name: str) -> Part:
    """Read the examples of some rows."""
    x, vectors = (_gathered(stores[of], rows, name) if of in stores else None for of in ("x", "vectors"))
    assert x is not None  # every data set has examples
    return Part(x, None if labels is None else labels[rows].astype(np.int64), vectors)


def _gathered(store: Any, rows: NDArray[np.int64], name: str) -> NDArray[Any]:
    """Read many rows in the order of the file, a few at a time, for each keeps its whole block until all are read."""
    found = np.empty((len(rows), *store.shape[1:]), store.dtype.numpy_dtype)
    order = np.argsort(rows)
    for places in np.split(order, range(_TOGETHER, len(order), _TOGETHER)):
        found[places] = _answer(store[rows[places]].read(), name)
    return found


def _facts(told: object) -> Facts | None:
    """Rebuild what a folder says of itself; None where something is wrong with it."""
    fields: dict[str, type] = {"format": int, "n": int, "shape": list, "dtype": str, "kind": str, "classes": list}
    if not has(told, **fields, vectors=int, source=str, digest=str) or not isinstance(told, dict):
        return None
    sizes = [told["n"], *told["shape"]]
    sane = (
        told["format"] == FORMAT
        and all(type(size) is int and 0 < size < 2**40 for size in sizes)
        and told["n"] >= FEWEST_EXAMPLES
        and len(told["shape"]) in (1, 3)
        and told["dtype"] in DTYPES
        and told["kind"] in ("unit", "standard")
        and told.get("white") in (None, 1.0, 255.0)
        and all(type(name) is str for name in told["classes"])
        and 0 <= told["vectors"] < 2**20
    )
    if not sane:
        return None
    made: dict[str, Any] = {field.name: told.get(field.name) for field in dataclasses.fields(Facts)}
    return Facts(**made | {name: tuple(told[name]) for name in ("shape", "classes")})
