"""`advnets reproduce`: the paper's theory, figures and tables, computed anew."""

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

from advnets.cli.arguments import given_names, parse
from advnets.cli.main import BAD_ANSWER, DONE
from advnets.cli.output import emit, table, writing
from advnets.cli.sample import in_range
from advnets.cli.training import trained
from advnets.config import Config
from advnets.errors import InputError, plain
from advnets.runs import Run

if TYPE_CHECKING:
    from advnets.data import DataSet
    from advnets.evaluation.progress import Report
    from advnets.reproduce.artefact import Artefact
    from advnets.training import Outcome

# Each is a module of advnets.reproduce with `reproduce(plan) -> Artefact`.
ARTEFACTS: Mapping[str, str] = MappingProxyType(
    {
        "theory": "every claim of section 4 with what was computed and its residual",
        "figure1": "a game on the line, in four panels and as an animation: D against D*",
        "figure2": "random samples with their nearest training examples",
        "figure3": "digits along straight lines in z space",
        "helvetica": "G trained too much for its D: many z become one x",
        "table1": "likelihoods on MNIST, and on TFD where your file is, of adversarial nets and of their rivals",
        "table2": "what every family finds hard on MNIST: the paper's words beside measurements",
        "section7": "its five extensions: conditional, inference, all conditionals, few labels, efficiency",
    }
)
TAKERS: Mapping[str, tuple[str, ...]] = MappingProxyType(
    {
        "budget": ("figure2", "figure3", "helvetica", "table1", "table2", "section7"),
        "seeds": ("figure1", "table1", "section7"),
        "faces": ("table1",),
        "models": ("table1",),
        "part": ("section7",),
    }
)
"""Options that only some artefacts have."""

if TYPE_CHECKING:
    Name = str
else:
    Name = Literal[tuple(ARTEFACTS)]  # mypy would have the names written out
_HELP = "\n\n".join(f"{name}: {summary}" for name, summary in ARTEFACTS.items())


@dataclass(frozen=True)
class Arguments:
    """Compute an artefact of the paper anew, ours beside theirs.

    Exit 1 where something does not come out as it has to.
    """

    artefact: Annotated[Name, tyro.conf.Positional, tyro.conf.arg(help=_HELP)]
    budget: Literal["quick", "full"] = "quick"
    """quick: minutes on two cores; full: as long as the paper's experiment takes. Not for theory and figure1."""
    seeds: int | None = None
    """figure1, table1, section7: how many seeds, beside those that D wins; by default as many as the budget has."""
    out: Annotated[Path, tyro.conf.arg(metavar="DIR")] = Path("reproduced")
    """Folder for what is made, runs included; what is there already is gone on with."""
    faces: Annotated[Path | None, tyro.conf.arg(metavar="FILE.mat")] = None
    """table1: faces in the layout of TFD_48x48.mat, scored in a column of their own that is not TFD's."""
    models: Literal["all", "adversarial", "rivals"] = "all"
    """table1: which of its models; adversarial nets take hours under --budget full, and so do the rivals."""
    part: Literal["all", "conditional", "inference", "completion", "few_labels", "efficiency"] = "all"
    """section7: which of the five."""
    offline: bool = False
    """Never fetch data."""
    json: bool = False
    """Print one JSON object on stdout."""


def run(tokens: list[str]) -> int:
    """Reproduce, write the summary, and print the table; 1 where a claim does not hold."""
    arguments = parse(Arguments, tokens, "reproduce")
    for name in given_names(tokens):
        if arguments.artefact not in TAKERS.get(name, ARTEFACTS):
            raise InputError(
                f"reproduce {arguments.artefact} takes no --{name}, allowed: --{name} with {', '.join(TAKERS[name])}; "
                "leave it out"
            )
    if arguments.seeds is not None:
        in_range("--seeds", arguments.seeds, 1, 100)

    made = _reproduce(arguments)
    file = arguments.out / f"{arguments.artefact}.json"
    with writing(file) as stream:
        stream.write((json.dumps(made.summary, indent=2, allow_nan=False) + "\n").encode())
    if arguments.json:
        emit(made.summary)
    else:
        print("\n".join(["\n\n".join(map(table, [made.rows, *made.further])), *made.notes]))
        print("\n" + "\n".join(plain(f"wrote {path}") for path in [*made.files, file]))
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
            arguments.models,
            arguments.part,
            load=functools.partial(load, offline=arguments.offline, report=_say),
            train=train,
            say=_say,
            progress=progress,
        )
        made: Artefact = module.reproduce(plan)
    return made


def _train(config: Config, data: "DataSet", target: Run, *, resume: bool) -> "Outcome":
    """Train with a display; a first signal stops at the next step with a checkpoint written."""
    smaller = "close other programs, or give the same command on a machine with more"
    outcome, interrupted = trained(config, data, target, resume=resume, smaller=smaller)
    if outcome.state == "interrupted":
        _say(f"stopped at step {outcome.step} with a checkpoint; give the same command again to go on")
        raise KeyboardInterrupt(interrupted)
    return outcome


def _say(line: str) -> None:
    print(plain(line), file=sys.stderr, flush=True)
