"""`advnets reproduce`: the paper's theory, figures and table, computed anew."""

import importlib
import json
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Annotated, Literal

import tyro

from advnets.cli.arguments import parse
from advnets.cli.main import BAD_ANSWER, DONE
from advnets.cli.output import emit, table, writing
from advnets.cli.sample import in_range

# Each is a module of advnets.reproduce with `reproduce(plan) -> Artefact`.
ARTEFACTS: Mapping[str, str] = MappingProxyType(
    {
        "theory": "propositions and theorem, each with what was computed and its residual",
    }
)


@dataclass(frozen=True)
class Arguments:
    """Compute an artefact of the paper anew, ours beside theirs.

    ARTEFACT is theory: every claim with what was computed and its residual; exit 1 where one does not hold.
    """

    artefact: Annotated[Literal["theory"], tyro.conf.Positional]
    """What to reproduce."""
    budget: Literal["quick", "full"] = "quick"
    """quick: minutes on two cores; full: as long as the paper's experiment takes."""
    seeds: int | None = None
    """How many seeds; by default as many as the budget has."""
    out: Annotated[Path, tyro.conf.arg(metavar="DIR")] = Path("reproduced")
    """Folder for what is made, runs included; what is there already is gone on with."""
    offline: bool = False
    """Never fetch data."""
    json: bool = False
    """Print one JSON object on stdout."""


def run(tokens: list[str]) -> int:
    """Reproduce, write the summary, and print the table; 1 where a claim does not hold."""
    arguments = parse(Arguments, tokens, "reproduce")
    if arguments.seeds is not None:
        in_range("--seeds", arguments.seeds, 1, 100)

    import functools

    from advnets.data import load
    from advnets.reproduce.artefact import Artefact, Plan

    plan = Plan(
        arguments.out,
        arguments.budget,
        arguments.seeds,
        load=functools.partial(load, offline=arguments.offline, report=_say),
        say=_say,
    )
    module = importlib.import_module(f"advnets.reproduce.{arguments.artefact}")
    made: Artefact = module.reproduce(plan)
    file = arguments.out / f"{arguments.artefact}.json"
    with writing(file) as stream:
        stream.write((json.dumps(made.summary, indent=2, allow_nan=False) + "\n").encode())
    if arguments.json:
        emit(made.summary)
    else:
        print(table(made.rows))
        print("\n" + "\n".join(f"wrote {path}" for path in [*made.files, file]))
    return DONE if made.holds else BAD_ANSWER


def _say(line: str) -> None:
    print(line, file=sys.stderr, flush=True)
