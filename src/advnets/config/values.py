"""Settings as plain JSON values and as words of the command line, and back."""

import dataclasses
from collections.abc import Mapping
from types import NoneType, UnionType
from typing import Any, Literal, get_args, get_origin, get_type_hints

from advnets.errors import InputError

ADDED: dict[str, Any] = {
    "train.validate_every": 0,
    "train.keep_every": 0,
    "train.generator_steps": 1,
    "train.rest_above": 1.0,
    "train.signals": "off",
    "train.on_bad": "warn",
    "train.compile": "off",
    "train.reconstruction_weight": 0.0,
    "data.missing": "refuse",
    "condition.masks": ("pixels", "blocks", "halves", "strokes", "columns", "all"),
    "condition.centre": "off",
    "condition.linear": "off",
    "condition.rounds": 1,
    **dict.fromkeys(("condition", "rbm", "cae", "gsn", "vae", "chain", "semi")),
}
"""Settings that older runs do not hold, with what these did."""


def to_json(config: Any) -> Any:
    """Turn a dataclass into plain JSON values."""
    return dataclasses.asdict(config)


def from_json(kind: Any, values: Any, where: str = "") -> Any:
    """Rebuild a dataclass from `to_json`; raises InputError for a field that is missing, unknown or of another type."""
    if dataclasses.is_dataclass(kind):
        return _dataclass_from_json(kind, values, where)
    options = get_args(kind)
    if get_origin(kind) is Literal:
        if values not in options:
            raise InputError(f"{where} is {values!r}, allowed are {', '.join(map(str, options))}")
        return values
    if get_origin(kind) is tuple:
        if not isinstance(values, list | tuple):
            raise InputError(f"{where} is {values!r}, allowed is a list")
        kinds = [options[0]] * len(values) if options[-1] is Ellipsis else options
        if len(kinds) != len(values):
            raise InputError(f"{where} has {len(values)} values, allowed are {len(kinds)}")
        return tuple(from_json(item, value, where) for item, value in zip(kinds, values, strict=True))
    if isinstance(kind, UnionType):
        if values is None and NoneType in options:
            return None
        return from_json(next(option for option in options if option is not NoneType), values, where)
    if kind is float and type(values) is int and abs(values) < 2**63:
        return float(values)
    if type(values) is not kind:
        raise InputError(f"{where} is {values!r}, allowed is a value of type {kind.__name__}")
    return values


def _dataclass_from_json(kind: Any, values: Any, where: str) -> Any:
    if not isinstance(values, Mapping):
        raise InputError(f"{where or 'the configuration'} is {values!r}, allowed is an object with named fields")
    hints = get_type_hints(kind)
    prefix = f"{where}." if where else ""
    values = {name: ADDED[prefix + name] for name in hints if prefix + name in ADDED} | dict(values)
    unknown, missing = sorted(set(values) - set(hints)), sorted(set(hints) - set(values))
    if unknown or missing:
        raise InputError(f"{where or 'the configuration'} has unknown fields {unknown} or lacks fields {missing}")
    return kind(**{name: from_json(hint, values[name], prefix + name) for name, hint in hints.items()})


def flatten(config: Any, prefix: str = "") -> dict[str, Any]:
    """List every setting by its dotted name, as the command line spells it."""
    flat: dict[str, Any] = {}
    for item in dataclasses.fields(config):
        value = getattr(config, item.name)
        if dataclasses.is_dataclass(value):
            flat |= flatten(value, f"{prefix}{item.name}.")
        elif isinstance(value, tuple) and value and dataclasses.is_dataclass(value[0]):
            for index, part in enumerate(value):
                flat |= flatten(part, f"{prefix}{item.name}.{index}.")
        else:
            flat[prefix + item.name] = value
    return flat


def spell(value: Any) -> str:
    """Write a setting as the command line takes it."""
    return " ".join(map(str, value)) if isinstance(value, tuple) else str(value)
