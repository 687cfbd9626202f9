"""`advnets evaluate`: how good a run is, or samples that any program made."""

import dataclasses
import json
import sys
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import tyro

from advnets.cli.arguments import given_names, parse
from advnets.cli.main import DONE
from advnets.cli.output import emit, say, table, writing
from advnets.cli.sample import in_range
from advnets.cli.settings import absolute
from advnets.config import Config, DataConfig, check
from advnets.errors import InputError
from advnets.runs import Run

if TYPE_CHECKING:
    from advnets.data import DataSet
    from advnets.evaluation.progress import Report
    from advnets.evaluation.subjects import Subject

_MOST_SAMPLES = 1_000_000  # three gigabytes of MNIST; --centres streams more
_MOST_CENTRES = 100_000_000


@dataclass(frozen=True)
class Arguments:
    """Score a run, or samples made by any program: likelihood under Parzen windows, and what that cannot tell.

    RUN_OR_SAMPLES is a run folder, a .npz or .npy file (n, h, w[, c]) or (n, d), or a folder of images; samples need
    --data NAME, the data they imitate. --data is short for --data.name.
    """

    subject: Annotated[Path, tyro.conf.Positional, tyro.conf.arg(metavar="RUN_OR_SAMPLES")]
    """A run folder, a file of samples, or a folder of images."""
    metrics: tuple[str, ...] = ()
    """Names out of parzen, fid, kid, precision_recall, nearest_neighbour, ndb, classes, conditional, modes,
    memorisation, duplicates, ais; by default all that make sense for the data, but for ais."""
    samples: int = 10_000
    """How many samples to score."""
    seed: int = 0
    """Seed of the samples."""
    centres: int = 0
    """With a run: go on with the likelihood's curve to so many samples, a multiple of 1,000, which are never in memory
    together."""
    devices: int = 1
    """Processes of this machine that share the work; torchrun's where it starts this."""
    nodes: int = 1
    """Machines with as many processes each; the same command on all of them."""
    redraws: int = 3
    """Further draws from a run, for the deviation of its likelihood."""
    weights: Literal["auto", "average", "raw"] = "auto"
    """auto: the moving average where the run keeps one."""
    step: int | None = None
    """Step of an earlier checkpoint; the last one by default."""
    out: Annotated[Path | None, tyro.conf.arg(metavar="DIR")] = None
    """Folder for evaluation.json and evaluation.html; a run's own folder by default, none for samples."""
    offline: bool = False
    """Never fetch data."""
    json: bool = False
    """Print one JSON object on stdout."""
    data: DataConfig = field(default_factory=DataConfig)


def run(tokens: list[str]) -> int:
    """Measure, write the results, and print them."""
    tokens = [
        f"--data.name{token[6:]}" if token == "--data" or token.startswith("--data=") else token for token in tokens
    ]
    arguments = parse(Arguments, tokens, "evaluate")
    in_range("--samples", arguments.samples, 2, _MOST_SAMPLES)
    in_range("--redraws", arguments.redraws, 0, 1000)
    in_range("--centres", arguments.centres, 0, _MOST_CENTRES)
    if arguments.metrics and arguments.centres and "parzen" not in arguments.metrics:
        raise InputError(
            "--centres belongs to parzen, allowed: with it among --metrics; add it, or leave --centres out"
        )
    in_range("--seed", arguments.seed, 0, 2**63 - 1)

    from advnets.cli.measuring import sharing, showing
    from advnets.evaluation import folds
    from advnets.evaluation.evaluate import Plan, evaluate, require

    subject, data, load_data = _subject(arguments, tokens)
    plan = Plan(arguments.metrics, arguments.samples, arguments.seed, arguments.redraws)
    require(plan, data)
    if arguments.centres:
        _require_stream(subject, data, arguments.centres)
    of_folds = folds.of(data, subject.data, load_data)
    with sharing(arguments.devices, arguments.nodes) as first, showing(quiet=not first) as progress:
        streamed = _streamed(subject, data, arguments, progress) if arguments.centres else []
        result = evaluate(subject, data, plan, folds=of_folds, progress=progress)
    if not first:
        return DONE
    if streamed:
        result["parzen"]["streamed"] = streamed
    out = arguments.out or (arguments.subject if Run(arguments.subject).exists() else None)
    files = write(result, subject, data, out) if out else []
    if arguments.json:
        emit(result)
        return DONE
    from advnets.evaluation.report import lines

    print(table(lines(result)))
    print()
    say(f"report: {files[-1]}" if files else "add --out DIR to keep this with pictures")
    return DONE


def _require_stream(subject: "Subject", data: "DataSet", count: int) -> None:
    """Raise InputError for samples and numbers of them that cannot be streamed."""
    from advnets.data import folds
    from advnets.evaluation import streamed

    if folds(subject.data):
        raise InputError(
            f"{data.name} comes in folds, which --centres does not know, allowed: other data; leave it out"
        )
    streamed.require(subject, count)


def _streamed(
    subject: "Subject", data: "DataSet", arguments: Arguments, progress: "Callable[[str], Report]"
) -> list[dict[str, Any]]:
    """Take the curve over streamed samples."""
    from advnets.evaluation.likelihood import HeldOut
    from advnets.evaluation.streamed import curve

    report = progress("centres")
    return curve(subject, HeldOut.of(data), arguments.centres, seed=arguments.seed, report=report)


def _subject(arguments: Arguments, tokens: list[str]) -> "tuple[Subject, DataSet, Callable[[DataConfig], DataSet]]":
    """Find what is to be scored, the data to score it with, and how to load more of them."""
    from advnets.data import load
    from advnets.evaluation import subjects

    def load_data(config: DataConfig) -> "DataSet":
        return load(config, offline=arguments.offline, report=lambda line: print(line, file=sys.stderr))

    named = [name for name in given_names(tokens) if name.startswith("data.")]
    target = Run(arguments.subject)
    if target.exists():
        if named:
            raise InputError(
                f"--{named[0]} does not fit a run, which knows its data, allowed with samples; leave it out"
            )
        subject = subjects.of_run(target, weights=arguments.weights, step=arguments.step)
        return subject, load_data(subject.data), load_data
    subjects.require(arguments.subject)
    if "data.name" not in named:
        raise InputError(
            f"{arguments.subject} holds samples of unknown data, allowed: --data NAME, what they imitate; "
            "add --data mnist, or the path of your own data"
        )
    if arguments.weights != "auto" or arguments.step is not None:
        raise InputError("--weights and --step do not fit samples, allowed with a run; leave them out")
    config = check(Config(data=dataclasses.replace(arguments.data, name=absolute(arguments.data.name)))).data
    data = load_data(config)
    return subjects.of_file(arguments.subject, config, data), data, load_data


def write(result: dict[str, Any], subject: "Subject", data: "DataSet", out: Path) -> list[Path]:
    """Write evaluation.json and evaluation.html into a folder."""
    from advnets.evaluation.report import page

    files = [out / "evaluation.json", out / "evaluation.html"]
    texts = [json.dumps(result, indent=2, allow_nan=False) + "\n", page(result, subject, data)]
    for file, text in zip(files, texts, strict=True):
        with writing(file) as stream:
            stream.write(text.encode())
    return files
