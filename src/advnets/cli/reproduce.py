"""`advnets reproduce`: the paper's theory, figures and table, computed anew."""

import contextlib
import functools
import importlib
import json
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, Annotated, Literal

import tyro

from advnets.cli.arguments import parse
from advnets.cli.main import BAD_ANSWER, DONE
from advnets.cli.output import emit, table, writing
from advnets.cli.sample import in_range
from advnets.config import Config
from advnets.runs import Run

if TYPE_CHECKING:
    from advnets.data import DataSet
    from advnets.evaluation.progress import Report
    from advnets.reproduce.artefact import Artefact
    from advnets.training import Outcome

# Each is a module of advnets.reproduce with `reproduce(plan) -> Artefact`.
ARTEFACTS: Mapping[str, str] = MappingProxyType(
    {
        "figure1": "a game on the line, in four panels and as an animation: D against D*",
        "figure2": "random samples with their nearest training examples",
        "figure3": "digits along straight lines in z space",
        "helvetica": "G trained too much for its D: many z become one x",
        "table1": "the row of adversarial nets: trained, chosen on validation data, scored",
        "theory": "propositions and theorem, each with what was computed and its residual",
    }
)


@dataclass(frozen=True)
class Arguments:
    """Compute an artefact of the paper anew, ours beside theirs.

    theory: every claim of section 4 with what was computed and its residual

    figure1: a game on the line, D against D*

    figure2: random samples with nearest training examples

    figure3: digits along straight lines in z

    helvetica: G trained too much for its D collapses

    table1: MNIST, and TFD where your file is: the checkpoint chosen on validation data, scored by both grids

    Exit 1 where something does not come out as it has to.
    """

    artefact: Annotated[Literal["theory", "figure1", "figure2", "figure3", "helvetica", "table1"], tyro.conf.Positional]
    """What to reproduce."""
    budget: Literal["quick", "full"] = "quick"
    """quick: minutes on two cores; full: as long as the paper's experiment takes."""
    seeds: int | None = None
    """How many seeds, beside those that D wins; by default as many as the budget has."""
    out: Annotated[Path, tyro.conf.arg(metavar="DIR")] = Path("reproduced")
    """Folder for what is made, runs included; what is there already is gone on with."""
    faces: Annotated[Path | None, tyro.conf.arg(metavar="FILE.mat")] = None
    """table1: faces in the layout of TFD_48x48.mat, scored in a column of their own that is not TFD's."""
    offline: bool = False
    """Never fetch data."""
    json: bool = False
    """Print one JSON object on stdout."""


def run(tokens: list[str]) -> int:
    """Reproduce, write the summary, and print the table; 1 where a claim does not hold."""
    arguments = parse(Arguments, tokens, "reproduce")
    if arguments.seeds is not None:
        in_range("--seeds", arguments.seeds, 1, 100)

    made = _reproduce(arguments)
    file = arguments.out / f"{arguments.artefact}.json"
    with writing(file) as stream:
        stream.write((json.dumps(made.summary, indent=2, allow_nan=False) + "\n").encode())
    if arguments.json:
        emit(made.summary)
    else:
        print(table(made.rows))
        print("\n" + "\n".join(f"wrote {path}" for path in [*made.files, file]))
    return DONE if made.holds else BAD_ANSWER


def _reproduce(arguments: Arguments) -> "Artefact":
    """Make the artefact, with progress on stderr: either that of a training or that of measures."""
    from advnets.cli.measuring import showing
    from advnets.data import load
    from advnets.reproduce.artefact import Plan

    module = importlib.import_module(f"advnets.reproduce.{arguments.artefact}")
    with contextlib.ExitStack() as display:
        shown: list[Callable[[str], Report]] = []

        def progress(name: str) -> "Report":
            if not shown:
                shown.append(display.enter_context(showing()))
            return shown[0](name)

        def train(config: Config, data: "DataSet", target: Run, *, resume: bool) -> "Outcome":
            display.close()
            shown.clear()
            return _train(config, data, target, resume=resume)

        plan = Plan(
            arguments.out,
            arguments.budget,
            arguments.seeds,
            arguments.faces,
            load=functools.partial(load, offline=arguments.offline, report=_say),
            train=train,
            say=_say,
            progress=progress,
        )
        made: Artefact = module.reproduce(plan)
    return made


def _train(config: Config, data: "DataSet", target: Run, *, resume: bool) -> "Outcome":
    """Train with a display; a first signal stops at the next step with a checkpoint written."""
    from advnets.cli.interruption import catching
    from advnets.cli.progress import showing
    from advnets.training import train

    with catching() as interruption, showing(target) as report:
        outcome = train(config, data, target, resume=resume, stop=interruption, report=report)
    if outcome.state == "interrupted":
        _say(f"stopped at step {outcome.step} with a checkpoint; give the same command again to go on")
        raise KeyboardInterrupt(interruption.exit_status)
    return outcome


def _say(line: str) -> None:
    print(line, file=sys.stderr, flush=True)
