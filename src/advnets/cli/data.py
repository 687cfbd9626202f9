"""`advnets data`: which data sets there are, which are here, how to get the others, and packing one's own."""

import shlex
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Literal

import tyro

from advnets.cli.arguments import parse
from advnets.cli.main import DONE
from advnets.cli.output import emit, table
from advnets.config import Config, DataConfig, check
from advnets.data import CATALOGUE, Entry, fetch, find, info, packed
from advnets.data.places import expanded
from advnets.errors import InputError, plain

_EXAMPLES = {"info": "mnist", "fetch": "mnist", "pack": "pictures/ --out packed/"}


@dataclass(frozen=True)
class Arguments:
    """List data sets, describe one, fetch one, or pack data that are larger than memory."""

    action: Annotated[Literal["list", "info", "fetch", "pack"], tyro.conf.Positional, tyro.conf.arg(metavar="ACTION")]
    """list, info NAME, fetch NAME, or pack PATH --out FOLDER."""
    name: Annotated[str | None, tyro.conf.Positional, tyro.conf.arg(metavar="[NAME]")] = None
    """A data set; for info a packed folder too; for pack a folder of images, a .npy or .npz file."""
    out: Path | None = None
    """With pack: the new folder, which advnets train then takes."""
    size: int | None = None
    """With pack: make every image a square of so many pixels."""
    colour: Literal["auto", "grey", "rgb"] = "auto"
    """With pack: the colours to keep."""
    json: bool = False
    """Print one JSON object on stdout."""


def run(tokens: list[str]) -> int:
    """List, describe, fetch or pack."""
    arguments = parse(Arguments, tokens, "data")
    action, name = arguments.action, arguments.name
    if action != "pack" and (arguments.out or arguments.size or arguments.colour != "auto"):
        raise InputError(f"{action} takes no --out, --size or --colour, allowed: with pack; leave them out")
    if action == "list":
        if name:
            raise InputError(f"list got the name {name}, allowed: no name; say advnets data info {name}")
        return _list(as_json=arguments.json)
    if name is None:
        what = "a folder of images, a .npy or .npz file" if action == "pack" else ", ".join(CATALOGUE)
        raise InputError(f"NAME is missing, allowed: {what}; say advnets data {action} {_EXAMPLES[action]}")
    if action == "pack":
        return _pack(arguments, name)
    if action == "info" and packed.is_packed(expanded(name)):
        return _tell(_facts_of_packed(expanded(name)), as_json=arguments.json)
    entry = info(name)
    if action == "fetch":
        fetch(entry.name, report=lambda line: print(line, file=sys.stderr))
    return _tell(_facts(entry), as_json=arguments.json)


def _pack(arguments: Arguments, name: str) -> int:
    """Pack data, with a display, and say what to do with them."""
    from advnets.cli.measuring import showing
    from advnets.data.packing import pack

    if arguments.out is None:
        raise InputError("--out is missing, allowed: a new folder; say advnets data pack PATH --out FOLDER")
    config = check(Config(data=DataConfig(name=name, size=arguments.size, colour=arguments.colour))).data
    with showing() as progress:
        pack(config, arguments.out, report=progress("packing"))
    _tell(_facts_of_packed(arguments.out), as_json=arguments.json)
    if not arguments.json:
        print(f"next     advnets train {plain(shlex.quote(str(arguments.out)))}")
    return DONE


def _tell(facts: dict[str, Any], *, as_json: bool) -> int:
    if as_json:
        emit(facts)
    else:
        print(table([(name, _words(value)) for name, value in facts.items()]))
    return DONE


def _facts_of_packed(folder: Path) -> dict[str, Any]:
    """Describe a packed data set; raises InputError where it is none, or not whole."""
    facts = packed.read_facts(folder)
    sizes = [file.stat().st_size for file in folder.rglob("*") if file.is_file()]
    return {
        "name": str(folder),
        "state": "packed",
        "examples": facts.n,
        "shape": list(facts.shape),
        "numbers": facts.dtype,
        "classes": list(facts.classes),
        "vectors": facts.vectors,
        "source": facts.source,
        "files": len(sizes),
        "bytes": sum(sizes),
    }


def _list(*, as_json: bool) -> int:
    rows = [_facts(entry) for entry in CATALOGUE.values()]
    if as_json:
        emit({"data": rows})
        return DONE
    cells = ((row["name"], row["state"], _words(row["shape"]), row["summary"]) for row in rows)
    print(table([("data", "state", "shape", "what"), *cells]))
    print(
        "\nYour own: a folder of images, or a .npy or .npz array, by its path; where it is larger than memory, packed"
    )
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
    if isinstance(value, list) and value and isinstance(value[0], str):
        return ", ".join(value)
    if isinstance(value, list) and value:
        return " x ".join(map(str, value)) if max(value) < 1000 else " / ".join(f"{number:,}" for number in value)
    if isinstance(value, int):
        return f"{value:,}"
    return "-" if value in (None, []) else str(value)
