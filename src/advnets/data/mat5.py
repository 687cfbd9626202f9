"""Arrays of numbers out of MATLAB files of version 5 to 7.

Source: MAT-File Format, The MathWorks. `scipy.io.loadmat` reads the same, and ends the whole process on some damaged
files; of the format only plain matrices are needed here.
"""

import math
import struct
import zlib
from collections.abc import Collection, Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray

HEADER = 128  # bytes of text, version and byte order before the first element

_TYPES = {1: "i1", 2: "u1", 3: "i2", 4: "u2", 5: "i4", 6: "u4", 7: "f4", 9: "f8", 12: "i8", 13: "u8"}
_MATRIX, _COMPRESSED = 14, 15
_NUMBERS = range(6, 16)  # classes double, single, and int8 to uint64
_COMPLEX = 0x0800
_PEEK = 1024  # bytes to unpack of a compressed matrix before its name is known


def read_matrices(content: bytes, wanted: Collection[str], largest: int) -> dict[str, NDArray[Any]]:
    """Return the wanted matrices of a file, of at most `largest` bytes each; raises ValueError or zlib.error."""
    byte_order = {b"IM": "<", b"MI": ">"}.get(content[HEADER - 2 : HEADER])
    if byte_order is None:
        raise ValueError("no MATLAB file of version 5 to 7.3")
    found = {}
    for matrix in _matrices(memoryview(content), byte_order, wanted, largest):
        name, array = _parse(matrix, byte_order, wanted)
        if array is not None:
            found[name] = array
    return found


def _matrices(content: memoryview, byte_order: str, wanted: Collection[str], largest: int) -> Iterator[memoryview]:
    """Yield the insides of every matrix, unpacked where it is compressed and wanted."""
    position = HEADER
    while position < len(content):
        kind, body, position = _element(content, position, byte_order)
        if kind == _MATRIX:
            yield body
        elif kind == _COMPRESSED:
            head = memoryview(zlib.decompressobj().decompress(body, _PEEK))
            kind, size = _numbers(head[:8], byte_order, "II")
            if kind == _MATRIX and _heading(head[8:], byte_order)[2] in wanted:
                if size > largest:
                    raise ValueError(f"a matrix of {size} bytes, more than {largest}")
                yield memoryview(zlib.decompressobj().decompress(body, 8 + size))[8:]


def _parse(matrix: memoryview, byte_order: str, wanted: Collection[str]) -> tuple[str, NDArray[Any] | None]:
    """Return name and values of a matrix; None for the values of one that is not wanted."""
    flags, shape, name, start = _heading(matrix, byte_order)
    if name not in wanted:
        return name, None
    if flags & 0xFF not in _NUMBERS or flags & _COMPLEX:
        raise ValueError(f"{name} is no matrix of real numbers")
    kind, values, _ = _element(matrix, start, byte_order)
    dtype = np.dtype(byte_order + _TYPES.get(kind, "V1"))
    if dtype.kind == "V" or min(shape) < 0 or math.prod(shape) * dtype.itemsize != len(values):
        raise ValueError(f"{name} says {shape} and holds {len(values)} bytes of type {kind}")
    return name, np.frombuffer(values, dtype).reshape(shape, order="F")


def _heading(matrix: memoryview, byte_order: str) -> tuple[int, tuple[int, ...], str, int]:
    """Return the flags, the shape, the name and the position of the values of a matrix."""
    _, flags, position = _element(matrix, 0, byte_order)
    _, sizes, position = _element(matrix, position, byte_order)
    _, name, position = _element(matrix, position, byte_order)
    shape = _numbers(sizes, byte_order, f"{len(sizes) // 4}i")
    if not 2 <= len(shape) <= 8:
        raise ValueError(f"a matrix of {len(shape)} axes")
    return _numbers(flags[:4], byte_order, "I")[0], shape, bytes(name).decode("latin1"), position


def _element(content: memoryview, position: int, byte_order: str) -> tuple[int, memoryview, int]:
    """Return type and bytes of the element at a position, and the position of the next one."""
    kind, size = _numbers(content[position : position + 8], byte_order, "II")
    start, end = position + 8, position + 8 + size
    following = end if kind == _COMPRESSED else end + -size % 8
    if kind >> 16:  # the short form: size, type and up to 4 bytes in 8 bytes
        kind, size = kind & 0xFFFF, kind >> 16
        start, end, following = position + 4, position + 4 + size, position + 8
    if end > min(len(content), following):
        raise ValueError(f"it ends inside an element of {size} bytes")
    return kind, content[start:end], following


def _numbers(content: memoryview, byte_order: str, form: str) -> tuple[int, ...]:
    try:
        return struct.unpack(byte_order + form, content)
    except struct.error as error:
        raise ValueError("it ends inside a number") from error
