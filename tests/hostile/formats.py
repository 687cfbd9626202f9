"""Bytes of a fuzzer made into files whose lengths, compression and checksums are right, so that readers go on inside.

An input is a list of parts, separated by SEPARATOR; what is inside a part may be cut again at INNER. Separators
survive insertions and deletions, which lengths would not.
"""

import gzip
import hashlib
import io
import struct
import tarfile
import zipfile
import zlib
from collections.abc import Sequence
from pathlib import Path

SEPARATOR, INNER = b"\xfd<#>", b"\xfc<|>"
PNG = b"\x89PNG\r\n\x1a\n"


def split(data: bytes, count: int) -> list[bytes]:
    """Cut an input into this many parts; those that are missing are empty."""
    parts = data.split(SEPARATOR, count - 1)
    return parts + [b""] * (count - len(parts))


def join(*parts: bytes) -> bytes:
    """Put parts together, without the empty ones at the end."""
    return SEPARATOR.join(parts).rstrip(SEPARATOR) if not parts[-1] else SEPARATOR.join(parts)


def tensors(part: bytes) -> bytes:
    """A safetensors file: a part of header and values gets the length of its header, any other stays."""
    header, inner, values = part.partition(INNER)
    return struct.pack("<Q", len(header)) + header + values if inner else part


def loose_tensors(file: bytes) -> bytes:
    """The part that `tensors` makes a file of."""
    (length,) = struct.unpack("<Q", file[:8])
    return file[8 : 8 + length] + INNER + file[8 + length :]


def checksums(folder: Path) -> None:
    """Write SHA256SUMS over the files of a folder."""
    files = sorted(file for file in folder.iterdir() if file.is_file() and file.name != "SHA256SUMS")
    sums = (f"{hashlib.sha256(file.read_bytes()).hexdigest()}  {file.name}\n" for file in files)
    (folder / "SHA256SUMS").write_text("".join(sums))


def png(part: bytes) -> bytes:
    """A PNG file: every chunk, type and content, gets its length and its CRC, and IDAT is packed."""
    chunks = []
    for chunk in part.split(INNER):
        kind, content = chunk[:4], chunk[4:]
        content = zlib.compress(content, 1) if kind == b"IDAT" else content
        chunks.append(struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content)))
    return PNG + b"".join(chunks)


def loose_png(file: bytes) -> bytes:
    """The part that `png` makes a file of."""
    chunks, position = [], len(PNG)
    while position < len(file):
        (length,) = struct.unpack(">I", file[position : position + 4])
        kind, content = file[position + 4 : position + 8], file[position + 8 : position + 8 + length]
        chunks.append(kind + (zlib.decompress(content) if kind == b"IDAT" else content))
        position += 12 + length
    return INNER.join(chunks)


def zipped(parts: Sequence[bytes]) -> bytes:
    """A zip: each part is the name of a member, then its content, deflated unless the name ends in a space."""
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w") as archive:
        for part in parts:
            name, _, content = part.partition(INNER)
            kind = zipfile.ZIP_STORED if name.endswith(b" ") else zipfile.ZIP_DEFLATED
            info = zipfile.ZipInfo(name.decode("latin1").strip() or "x")
            info.compress_type = kind
            archive.NameToInfo.pop(info.filename, None)  # a second member of one name is what an attacker may write
            archive.writestr(info, content)
    return stream.getvalue()


def tarred(parts: Sequence[bytes]) -> bytes:
    """A gzipped tar, packed as zips are; a member's content may be longer than its part: zeros fill it to a size."""
    stream = io.BytesIO()
    with tarfile.open(fileobj=stream, mode="w", format=tarfile.GNU_FORMAT) as archive:
        for part in parts:
            name, _, content = part.partition(INNER)
            info = tarfile.TarInfo(name.decode("latin1") or "x")
            info.size = len(content)
            archive.addfile(info, io.BytesIO(content))
    return gzip.compress(stream.getvalue(), 1, mtime=0)


def matlab(parts: Sequence[bytes]) -> bytes:
    """A MATLAB file of compressed elements: each part is the inside of a matrix."""
    head = b"MATLAB 5.0 MAT-file".ljust(124) + b"\x00\x01IM"
    elements = (zlib.compress(struct.pack("<II", 14, len(part)) + part, 1) for part in parts)
    return head + b"".join(struct.pack("<II", 15, len(element)) + element for element in elements)
