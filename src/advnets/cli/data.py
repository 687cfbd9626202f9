"""`advnets data`: which data sets there are, which are here, and how to get the others."""

import sys
from dataclasses import dataclass
from typing import Annotated, Any, Literal

import tyro

from advnets.cli.arguments import parse
from advnets.cli.main import DONE
from advnets.cli.output import emit, table
from advnets.data import CATALOGUE, Entry, fetch, find, info
from advnets.errors import InputError


@dataclass(frozen=True)
class Arguments:
    """List data sets, describe one, or fetch one."""

    action: Annotated[Literal["list", "info", "fetch"], tyro.conf.Positional, tyro.conf.arg(metavar="ACTION")]
    """list, info NAME or fetch NAME."""
    name: Annotated[str | None, tyro.conf.Positional, tyro.conf.arg(metavar="[NAME]")] = None
    """A data set."""
    json: bool = False
    """Print one JSON object on stdout."""


def run(tokens: list[str]) -> int:
    """List, describe or fetch."""
    arguments = parse(Arguments, tokens, "data")
    if arguments.action == "list":
        if arguments.name:
            raise InputError(
                f"list got the name {arguments.name}, allowed: no name; say advnets data info {arguments.name}"
            )
        return _list(as_json=arguments.json)
    if arguments.name is None:
        raise InputError(f"NAME is missing, allowed: {', '.join(CATALOGUE)}; say advnets data {arguments.action} mnist")
    entry = info(arguments.name)
    if arguments.action == "fetch":
        fetch(entry.name, report=lambda line: print(line, file=sys.stderr))
    facts = _facts(entry)
    if arguments.json:
        emit(facts)
    else:
        print(table([(name, _words(value)) for name, value in facts.items()]))
    return DONE


def _list(*, as_json: bool) -> int:
    rows = [_facts(entry) for entry in CATALOGUE.values()]
    if as_json:
        emit({"data": rows})
        return DONE
    cells = ((row["name"], row["state"], _words(row["shape"]), row["summary"]) for row in rows)
    print(table([("data", "state", "shape", "what"), *cells]))
    print("\nYour own: a folder of images, or a .npy or .npz array, by its path")
    return DONE


def _facts(entry: Entry) -> dict[str, Any]:
    place = find(entry.name)
    built_in = entry.obtain.startswith("nothing to get")
    return {
        "name": entry.name,
        "summary": entry.summary,
        "state": "built in" if built_in else "here" if place else "missing",
        "place": str(place) if place else None,
        "shape": list(entry.shape),
        "sizes": list(entry.sizes) if entry.sizes else None,
        "obtain": entry.obtain,
        "source": entry.source,
    }


def _words(value: Any) -> str:
    if isinstance(value, list):
        return " x ".join(map(str, value)) if max(value) < 1000 else " / ".join(f"{number:,}" for number in value)
    return "-" if value is None else str(value)
