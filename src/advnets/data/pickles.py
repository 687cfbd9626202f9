"""Arrays out of pickle files, without running anything a file names.

Python's `pickle` calls whatever a file asks for. This machine walks the same opcodes and never imports or calls: what
the file names becomes an inert `Named`, what it would call an inert `Call`. `array` knows the few that numpy writes.
"""

import pickletools
import re
import warnings
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any

import numpy as np
from numpy.typing import NDArray

from advnets.errors import InputError

_RECONSTRUCT = {f"numpy.{core}.multiarray _reconstruct" for core in ("core", "_core")}
_FROMBUFFER = {f"numpy.{core}.numeric _frombuffer" for core in ("core", "_core")}
_DTYPE = re.compile(r"[uif][1248]")
_LONGEST_KEY = 64


@dataclass(frozen=True, eq=False, repr=False)
class Named:
    """Something the file names: "module attribute"."""

    name: str


@dataclass(eq=False, repr=False)
class Call:
    """A call the file asks for, and the state it would set."""

    function: Any
    arguments: Any
    state: Any = None


@dataclass(eq=False, repr=False)
class Pairs:
    """A dictionary, as the pairs put into it."""

    items: list[tuple[Any, Any]]

    def get(self, key: str) -> Any:
        """Return the value under a text or bytes key, or None."""
        return next((value for found, value in reversed(self.items) if _text(found) == key), None)


def parse(content: bytes, name: str) -> Any:
    """Return what a pickle describes, as plain values, lists, tuples, Pairs, Named and Call; runs nothing."""
    machine = _Machine()
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of strange escapes in a damaged file's strings
            for opcode, argument, _ in pickletools.genops(content):
                machine.step(opcode.name, argument)
        return machine.stack[-1]
    except (ValueError, LookupError, TypeError, AttributeError, ArithmeticError, MemoryError) as error:
        raise InputError(
            f"{name} is no pickle of plain numpy arrays ({' '.join(str(error).split())[:120]}), "
            "allowed is the official file; replace it"
        ) from error


def array(node: Any, name: str) -> NDArray[Any]:
    """Return the numpy array that a node describes; raises InputError where it describes anything else."""
    try:
        return _array(node)
    except (ValueError, LookupError, TypeError, AttributeError, OverflowError) as error:
        raise InputError(f"{name} holds no plain numpy array where one belongs; get the official file") from error


def _array(node: Any) -> NDArray[Any]:
    function = node.function.name
    if function in _RECONSTRUCT:
        _, shape, kind, fortran, content = node.state
        order = "F" if fortran else "C"
    elif function in _FROMBUFFER:
        content, kind, shape, order = node.arguments
    else:
        raise ValueError(function)
    dtype, values, sizes = _dtype(kind), _bytes(content), tuple(int(size) for size in shape)
    if min(sizes, default=0) < 0:
        raise ValueError("sizes below 0")
    return np.frombuffer(values, dtype).reshape(sizes, order="F" if _text(order) == "F" else "C")


def _dtype(node: Any) -> np.dtype[Any]:
    kind, byte_order = _text(node.arguments[0]), _text(node.state[1])
    if (
        node.function.name != "numpy dtype"
        or kind is None
        or not _DTYPE.fullmatch(kind)
        or byte_order not in tuple("<>|=")
    ):
        raise ValueError("not a dtype of plain numbers")
    return np.dtype(byte_order + kind)


def _bytes(node: Any) -> bytes:
    """Return the bytes a node stands for: Python 2 wrote text, Python 3 below protocol 3 a call of _codecs.encode."""
    if isinstance(node, Call):
        if node.function.name != "_codecs encode" or node.arguments[1] != "latin1":
            raise ValueError("not bytes")
        node = node.arguments[0]
    return node.encode("latin1") if isinstance(node, str) else bytes(memoryview(node))


def _text(node: Any) -> str | None:
    """Return a short text or bytes node as text, None for anything else."""
    if isinstance(node, Call) and isinstance(node.function, Named) and node.function.name == "_codecs encode":
        node = node.arguments[0] if isinstance(node.arguments, tuple) and node.arguments else None
    if not isinstance(node, str | bytes) or len(node) > _LONGEST_KEY:
        return None
    return node if isinstance(node, str) else node.decode("latin1")


class _Machine:
    """A pickle machine whose objects do nothing."""

    def __init__(self) -> None:
        self.stack: list[Any] = []
        self.below: list[list[Any]] = []
        self.memo: dict[int, Any] = {}

    def step(self, name: str, argument: Any) -> None:
        """Carry out one opcode; raises ValueError for those that no array needs."""
        if name in _VALUES:
            self.push(argument)
        elif name in _CONSTANTS:
            self.push(_CONSTANTS[name])
        elif name in _FRESH:
            self.push(_FRESH[name]())
        elif name in _ACTIONS:
            _ACTIONS[name](self, argument)
        elif name not in _SILENT:
            raise ValueError(f"opcode {name}")

    def push(self, item: Any) -> None:
        """Put an object on top."""
        self.stack.append(item)

    def pop(self, count: int) -> list[Any]:
        """Take the topmost `count` objects, lowest first."""
        if len(self.stack) < count:
            raise ValueError("stack underflow")
        taken = self.stack[-count:]
        del self.stack[-count:]
        return taken

    def popmark(self) -> list[Any]:
        """Take everything above the last mark."""
        taken, self.stack = self.stack, self.below.pop()
        return taken

    def mark(self, _: Any) -> None:
        """Put a mark."""
        self.below.append(self.stack)
        self.stack = []

    def put(self, index: int) -> None:
        """Remember the topmost object."""
        self.memo[int(index)] = self.stack[-1]

    def name(self, argument: str | None) -> None:
        """Push what GLOBAL (one argument) or STACK_GLOBAL (two objects) names."""
        words = [argument] if argument is not None else self.pop(2)
        if not all(isinstance(word, str) for word in words):  # spelled out, lists that hold themselves many times grow
            raise ValueError("a name that is no text")
        self.push(Named(" ".join(words)))

    def call(self, _: Any) -> None:
        """Push a call, without calling."""
        function, arguments = self.pop(2)
        self.push(Call(function, arguments))

    def build(self, _: Any) -> None:
        """Attach a state to the call below it."""
        (state,) = self.pop(1)
        if not isinstance(self.stack[-1], Call):
            raise ValueError("state without a call")
        self.stack[-1].state = state

    def extend(self, items: list[Any]) -> None:
        """Append items to the list below them."""
        if not isinstance(self.stack[-1], list):
            raise ValueError("no list to append to")
        self.stack[-1].extend(items)

    def assign(self, items: list[Any]) -> None:
        """Put key-value pairs into the dictionary below them."""
        self.stack[-1].items.extend(zip(items[::2], items[1::2], strict=True))


_VALUES = frozenset(
    (
        *("INT", "BININT", "BININT1", "BININT2", "LONG", "LONG1", "LONG4", "FLOAT", "BINFLOAT"),
        *("STRING", "BINSTRING", "SHORT_BINSTRING", "UNICODE", "BINUNICODE", "SHORT_BINUNICODE", "BINUNICODE8"),
        *("BINBYTES", "SHORT_BINBYTES", "BINBYTES8", "BYTEARRAY8"),
    )
)
_SILENT = frozenset(("PROTO", "FRAME", "STOP"))
_CONSTANTS: Mapping[str, Any] = MappingProxyType({"NONE": None, "NEWTRUE": True, "NEWFALSE": False, "EMPTY_TUPLE": ()})
_FRESH: Mapping[str, Callable[[], Any]] = MappingProxyType({"EMPTY_LIST": list, "EMPTY_DICT": lambda: Pairs([])})
_ACTIONS: Mapping[str, Callable[[_Machine, Any], None]] = MappingProxyType(
    {
        "MARK": _Machine.mark,
        "PUT": _Machine.put,
        "BINPUT": _Machine.put,
        "LONG_BINPUT": _Machine.put,
        "MEMOIZE": lambda machine, _: machine.put(len(machine.memo)),
        "GET": lambda machine, index: machine.push(machine.memo[int(index)]),
        "BINGET": lambda machine, index: machine.push(machine.memo[index]),
        "LONG_BINGET": lambda machine, index: machine.push(machine.memo[index]),
        "GLOBAL": _Machine.name,
        "STACK_GLOBAL": _Machine.name,
        "REDUCE": _Machine.call,
        "BUILD": _Machine.build,
        "TUPLE": lambda machine, _: machine.push(tuple(machine.popmark())),
        "TUPLE1": lambda machine, _: machine.push(tuple(machine.pop(1))),
        "TUPLE2": lambda machine, _: machine.push(tuple(machine.pop(2))),
        "TUPLE3": lambda machine, _: machine.push(tuple(machine.pop(3))),
        "LIST": lambda machine, _: machine.push(machine.popmark()),
        "DICT": lambda machine, _: machine.push(_pairs(machine.popmark())),
        "APPEND": lambda machine, _: machine.extend(machine.pop(1)),
        "APPENDS": lambda machine, _: machine.extend(machine.popmark()),
        "SETITEM": lambda machine, _: machine.assign(machine.pop(2)),
        "SETITEMS": lambda machine, _: machine.assign(machine.popmark()),
    }
)


def _pairs(items: list[Any]) -> Pairs:
    return Pairs(list(zip(items[::2], items[1::2], strict=True)))
