"""Changes to an input that a hostile file would make: in JSON by value, elsewhere by byte, number, part and length."""

import json
import struct
from random import Random
from typing import Any

from hostile.formats import INNER, SEPARATOR

_NUMBERS = (0, 1, -1, 2, 127, 128, 255, 256, 2**15, 2**16 - 1, 2**31 - 1, 2**31, 2**32 - 1, 2**53, 2**63 - 1, 2**64 - 1)
_VALUES: tuple[Any, ...] = (
    *(None, True, False, [], {}, "", "x", "\ud800", "a\nb\x1b[31m\u202e", "../../x", "/etc/passwd", "\0", "None"),
    *(*_NUMBERS, 10**400, -(10**400), 1e308, -1e308, 1e-320, 0.5, float("nan"), float("inf"), -0.0),
    *([1], [[1]], [[], [1]], [0, -1], [1e308] * 3, {"x": 1}, [None], "F32", "F64", "I64", "BF16", "U8", "BOOL"),
)
_RAW = (b"[" * 20000, b"9" * 5000, b"1e999", b"NaN", b"-Infinity", b'"\\ud800"', b"\xff\xfe", b"\xef\xbb\xbf", b"\0")


def mutate(data: bytes, random: Random) -> bytes:
    """Change an input once to a few times."""
    for _ in range(random.choice((1, 1, 1, 2, 3))):
        separator = SEPARATOR if SEPARATOR in data else INNER
        parts = data.split(separator)
        index = random.randrange(len(parts))
        if random.random() < 0.15:
            parts = _rearranged(parts, index, random)
        else:
            parts[index] = _changed(parts[index], random)
        data = separator.join(parts)
    return data


def _rearranged(parts: list[bytes], index: int, random: Random) -> list[bytes]:
    match random.randrange(4):
        case 0:
            return parts[:index] + parts[index + 1 :]
        case 1:
            return parts[: index + 1] + parts[index:]
        case 2:
            other = random.randrange(len(parts))
            parts[index], parts[other] = parts[other], parts[index]
            return parts
        case _:
            return [*parts[:index], b"", *parts[index + 1 :]]


def _changed(part: bytes, random: Random) -> bytes:
    if INNER in part and random.random() < 0.9:
        inner = part.split(INNER)
        index = random.randrange(len(inner))
        inner[index] = _changed(inner[index], random)
        return INNER.join(inner)
    if part[:1] in (b"{", b"["):
        lines = part.split(b"\n") if b"}\n{" in part else [part]
        index = random.randrange(len(lines))
        changed = _changed_json(lines[index], random) if random.random() < 0.8 else None
        if changed is not None:
            lines[index] = changed
            return b"\n".join(lines)
    return _changed_bytes(part, random)


def _changed_bytes(part: bytes, random: Random) -> bytes:
    at = random.randrange(len(part) + 1) if random.random() < 0.6 else random.randrange(min(len(part), 160) + 1)
    match random.randrange(7):
        case 0:
            return part[:at]
        case 1:
            return part[:at] + bytes([random.randrange(256)]) + part[at + 1 :]
        case 2:
            length = random.randrange(1, 9)
            return part[:at] + part[at + length :]
        case 3:
            value, form = random.choice(_NUMBERS), random.choice(("<H", ">H", "<I", ">I", "<Q", ">Q", "B"))
            packed = struct.pack(form, value % (1 << 8 * struct.calcsize(form)))
            return part[:at] + packed + part[at + len(packed) :]
        case 4:
            return part[:at] + random.choice(_RAW) + part[at:]
        case 5:
            length = random.randrange(1, 64)
            return part[:at] + part[at : at + length] * random.randrange(2, 40) + part[at + length :]
        case _:
            return part[:at] + bytes([part[at] ^ 1 << random.randrange(8)]) + part[at + 1 :] if at < len(part) else b""


def _changed_json(text: bytes, random: Random) -> bytes | None:
    """Change one value or key of JSON; None for what is no JSON."""
    try:
        content = json.loads(text)
    except (ValueError, RecursionError):
        return None
    places = list(_places(content))
    if not places:
        return None
    holder, key = random.choice(places)
    match random.randrange(8):
        case 0:
            del holder[key]
        case 1 if isinstance(holder, dict):
            holder[str(random.choice(_VALUES))] = holder[key]
        case 2:
            other, name = random.choice(places)
            holder[key] = other[name] if other is not holder[key] else 0
        case 3 if isinstance(holder[key], list):
            holder[key] = holder[key] * random.choice((0, 2, 100))
        case _:
            holder[key] = random.choice(_VALUES)
    try:
        return json.dumps(content).encode()
    except (ValueError, RecursionError):  # it holds itself now
        return None


def _places(content: Any) -> Any:
    """Every value of JSON as the dictionary or list that holds it, and its key."""
    if isinstance(content, dict | list):
        for key in content if isinstance(content, dict) else range(len(content)):
            yield content, key
            yield from _places(content[key])
