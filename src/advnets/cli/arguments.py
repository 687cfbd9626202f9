"""Command lines as dataclasses: tyro reads them, and this module says in one line why it refuses one."""

import contextlib
import dataclasses
import difflib
import io
import itertools
import re
from collections.abc import Callable, Iterator
from types import NoneType, UnionType
from typing import Annotated, Any, Literal, TypeVar, Union, get_args, get_origin, get_type_hints

import tyro

from advnets.errors import InputError

Arguments = TypeVar("Arguments")

_OPTION = re.compile(r"--?[A-Za-z]")  # and no negative number
_MARKERS = (tyro.conf.FlagCreatePairsOff, tyro.conf.AvoidSubcommands)


def parse(kind: type[Arguments], tokens: list[str], command: str, default: Arguments | None = None) -> Arguments:
    """Build the dataclass `kind` from the words after `command`, with `default` where they say nothing.

    Raises InputError for wrong usage. After --help, tyro leaves with SystemExit(0).
    """
    start = tyro.MISSING_NONPROP if default is None else default
    with contextlib.redirect_stderr(io.StringIO()):  # tyro explains in boxes of many lines
        try:
            return tyro.cli(
                kind, prog=f"advnets {command}", args=tokens, default=start, use_underscores=True, config=_MARKERS
            )
        except SystemExit as end:
            if not end.code:
                raise
    raise _refusal(kind, tokens, command, default)


def option_names(kind: Any, value: Any = None) -> list[str]:
    """List the options of a dataclass, as `train.steps`; parts that are None in `value` have none."""
    return list(_options(kind, value))


def given_names(tokens: list[str]) -> list[str]:
    """List the options on a command line, as `train.steps`."""
    return [_name(token) for token in tokens if _OPTION.match(token)]


def _name(token: str) -> str:
    return token.partition("=")[0].lstrip("-").replace("-", "_")


def _options(kind: Any, value: Any, prefix: str = "") -> dict[str, Any]:
    """Map the dotted name of every option to its type."""
    table: dict[str, Any] = {}
    for name, hint in get_type_hints(kind, include_extras=True).items():
        inner = getattr(value, name, None)
        if _is_positional(hint):
            continue
        kind_of_one = _leaf(hint)[0]
        if dataclasses.is_dataclass(inner):
            table |= _options(type(inner), inner, f"{prefix}{name}.")
        elif not dataclasses.is_dataclass(kind_of_one):
            table[prefix + name] = hint
        elif isinstance(inner, tuple):
            for index, item in enumerate(inner):
                table |= _options(type(item), item, f"{prefix}{name}.{index}.")
    return table


def _is_positional(hint: Any) -> bool:
    return get_origin(hint) is Annotated and tyro.conf.Positional in hint.__metadata__


def _leaf(hint: Any) -> tuple[Any, int | None, bool]:
    """Take a type apart: the type of one value, how many values there are (None: any number), whether None is one."""
    if get_origin(hint) is Annotated:
        hint = get_args(hint)[0]
    optional = get_origin(hint) in (Union, UnionType)
    if optional:
        hint = next(option for option in get_args(hint) if option is not NoneType)
    if get_origin(hint) is not tuple:
        return hint, 0 if hint is bool else 1, optional
    items = get_args(hint)
    return items[0], None if items[-1] is Ellipsis else len(items), optional


def _reader(kind: Any) -> tuple[Callable[[str], object], str]:
    """Return how to read one value of a type, and what is allowed in words."""
    if get_origin(kind) is Literal:
        return get_args(kind).index, ", ".join(map(str, get_args(kind)))
    if kind is int:
        return int, "a whole number"
    if kind is float:
        return float, "a number"
    return str, "a name or a path"


def _refusal(kind: Any, tokens: list[str], command: str, default: Any) -> InputError:
    """Find the first thing that is wrong with a command line."""
    options = _options(kind, default)
    fix = f"see advnets {command} --help"
    words: list[str] = []
    for token, values in _groups(tokens):
        taken = 0
        if token is not None:
            if _name(token) not in options:
                return _unknown(token, list(options), command)
            wrong, taken = _check_values(f"--{_name(token)}", values, options[_name(token)])
            if wrong:
                return InputError(f"{wrong}; {fix}")
        words += values[taken:]
    wrong = _check_words(kind, words) or f"{' '.join(tokens)} cannot be read, allowed: what --help lists"
    return InputError(f"{wrong}; {fix}")


def _check_words(kind: Any, words: list[str]) -> str | None:
    """Return what is wrong with the words that belong to no option, if anything."""
    hints = {name: hint for name, hint in get_type_hints(kind, include_extras=True).items() if _is_positional(hint)}
    for word, (name, hint) in zip(words, hints.items(), strict=False):
        wrong, _ = _check_values(name.upper(), [word], hint)
        if wrong:
            return wrong
    if len(words) > len(hints):
        return f"{words[len(hints)]!r} is one word too many, allowed: {' '.join(hints).upper() or 'none'} and options"
    required = {field.name for field in dataclasses.fields(kind) if field.default is dataclasses.MISSING}
    for name, hint in [*hints.items()][len(words) :]:
        if name in required:
            return f"{name.upper()} is missing, allowed: {_reader(_leaf(hint)[0])[1]}"
    return None


def _groups(tokens: list[str]) -> Iterator[tuple[str | None, list[str]]]:
    """Yield every option with the words that follow it; the words before the first option come with None."""
    starts = [index for index, token in enumerate(tokens) if _OPTION.match(token)]
    yield None, tokens[: starts[0]] if starts else tokens
    for start, end in itertools.pairwise([*starts, len(tokens)]):
        inline = [tokens[start].partition("=")[2]] if "=" in tokens[start] else []
        yield tokens[start], inline + tokens[start + 1 : end]


def _check_values(option: str, values: list[str], hint: Any) -> tuple[str | None, int]:
    """Return what is wrong with an option's values, if anything, and how many of the words are its values."""
    kind, count, optional = _leaf(hint)
    read, allowed = _reader(kind)
    if optional and values[:1] == ["None"]:
        return None, 1
    if count is not None:
        if len(values) < count:
            many = f"{count} values, each {allowed}" if count > 1 else allowed
            return f"{option} has {len(values) or 'no'} value{'s' * (len(values) > 1)}, allowed: {many}", 0
        values = values[:count]
    for value in values:
        try:
            read(value)
        except ValueError:
            return f"{option} is {value!r}, allowed: {allowed}{' or None' * optional}", 0
    return None, len(values)


def _unknown(token: str, options: list[str], command: str) -> InputError:
    """Name the option that comes nearest, by its whole name or by its last part."""
    lasts = {name.rpartition(".")[2]: name for name in reversed(options)}
    near = difflib.get_close_matches(_name(token), [*options, *lasts], n=1)
    hint = f"did you mean --{lasts.get(near[0], near[0])}?" if near else "leave it out"
    given = token.partition("=")[0]
    return InputError(f"there is no option {given}, allowed: those that advnets {command} --help lists; {hint}")
