"""`advnets doctor`: how a run is doing, in plain words, with a small plot of every signal."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import tyro

from advnets import doctor, history, verdicts
from advnets.cli.arguments import parse
from advnets.cli.main import BAD_ANSWER, DONE
from advnets.cli.output import emit, table
from advnets.config import Config
from advnets.errors import InputError, plain
from advnets.runs import Run

MEANINGS = {
    "accuracy_real": "share of data that D takes for data",
    "accuracy_fake": "share of samples that D takes for samples",
    "margin": "mean logit of data less that of samples",
    "rejected": "share of samples with D(G(z)) < .01",
    "gap": "D(x) on training less held-out data",
    "d_gradient": "slope of -log(1 - D(x)) at samples",
    "g_gradient": "slope of -log D(x) at samples",
    "spread": "distance of two samples / of two examples",
    "repeated": "share of samples close to another",
    "crowd": "largest share of samples close to one",
    "nearness": "distance to the data / held-out data's",
    "classes": "share of classes with a sample",
    "class_distance": "share of samples in too full classes",
    "dead": "share of G's rectifiers that are always 0",
    "g_weights": "norm of G's weights",
    "g_update": "G's last update / its weights",
    "d_weights": "norm of D's weights",
    "d_update": "D's last update / its weights",
    "non_finite": "numbers that are not finite",
}
"""Each signal in a few words; docs/signals.md has the formulas."""

OF_RIVALS = {
    "train_score": "nats a training example, low is good",
    "held_out_score": "nats a held-out example",
    "gap": "held-out less training score",
    "over_mean": "held-out score less the mean example's",
    "told_apart": "share of held-out data worse than usual",
    "spread": "variance of particles / of the data",
    "dead": "share of units the same for every x",
    "weights": "norm of the weights",
    "update": "last update / weights",
    "non_finite": "numbers that are not finite",
}
"""The same of the signals of rivals."""

_BARS = "▁▂▃▄▅▆▇█"
_COLUMNS = 32
_COURSE = 2000  # lines that are judged one by one, each with all before it


@dataclass(frozen=True)
class Arguments:
    """Say how a run is doing: a verdict, the numbers behind it, what to do, and a small plot of every signal.

    Exit status 1 for a bad verdict. Reads the run folder only, while it trains or afterwards.
    """

    run: Annotated[Path, tyro.conf.Positional, tyro.conf.arg(metavar="RUN")]
    """A run folder."""
    json: bool = False
    """Print one JSON object on stdout."""


def run(tokens: list[str]) -> int:
    """Print the page; return 1 for a bad verdict."""
    arguments = parse(Arguments, tokens, "doctor")
    target = Run(arguments.run)
    config, status = target.config(), target.status()
    if config.semi:
        raise InputError(
            f"{target.path} learns classes from few labels, which no verdict is made for, allowed: other runs; its "
            "errors are in log.jsonl, see advnets runs show, and advnets classify counts them on test data"
        )
    lines = verdicts.lines_of(target, config)
    verdict = doctor.diverged() if status.get("state") == "diverged" else verdicts.judge(lines, config)
    if verdict is None:
        raise InputError(
            f"{target.path} has no signals in its log, allowed: a run of at least {config.train.log_every} steps with "
            "--train.signals on; train on with that setting"
        )
    course = _course(lines, config)
    if arguments.json:
        emit(_content(target, status, verdict, course, lines))
    else:
        print(_page(target, config, status, verdict, course, lines))
    return BAD_ANSWER if verdict.bad else DONE


def _course(lines: Sequence[history.Line], config: Config) -> list[dict[str, Any]]:
    """The verdicts of a run's last stage with the step from which each stood; of a very long log, of every so many."""
    lines = lines[-1 :: -(1 + len(lines) // _COURSE)][::-1]  # the last one among them
    course: list[dict[str, Any]] = []
    for index, line in enumerate(lines):
        verdict = verdicts.judge(lines[: index + 1], config)
        if verdict and (not course or course[-1]["verdict"] != verdict.name):
            course.append({"step": line["step"], "verdict": verdict.name})
    return course


def _content(
    target: Run,
    status: dict[str, Any],
    verdict: doctor.Verdict,
    course: list[dict[str, Any]],
    lines: Sequence[history.Line],
) -> dict[str, Any]:
    return {
        "run": str(target.path),
        "state": status.get("state"),
        "step": lines[-1]["step"] if lines else 0,
        "verdict": verdict.name,
        "bad": verdict.bad,
        "evidence": verdict.evidence,
        "advice": verdict.advice,
        "course": course,
        "signals": lines[-1].get("signals") if lines else None,
    }


def _page(
    target: Run,
    config: Config,
    status: dict[str, Any],
    verdict: doctor.Verdict,
    course: list[dict[str, Any]],
    lines: Sequence[history.Line],
) -> str:
    step = lines[-1]["step"] if lines else 0
    head = [
        f"{target.path}: {verdict.name}",
        f"  why       {verdict.evidence}",
        f"  advice    {verdict.advice}",
        f"  state     {status.get('state', 'not begun')}, step {step:,} of {config.train.steps:,}",
    ]
    if course:
        stood = " → ".join(f"{one['verdict']} from {one['step']:,}" for one in course[-6:])
        head.append(f"  verdicts  {'… → ' if len(course) > 6 else ''}{stood}")
    rows: list[tuple[str, ...]] = [("signal", "", "lowest", "highest", "now", "")]
    meanings, shown = OF_RIVALS if config.rival else MEANINGS, verdicts.shown(lines, config)
    rows += [row for name, meaning in meanings.items() if (row := _row(name, meaning, shown))]
    return "\n".join([*map(plain, head), *(["", table(rows)] if len(rows) > 1 else [])])


def _row(name: str, meaning: str, lines: Sequence[history.Line]) -> tuple[str, ...] | None:
    """A signal's plot over the whole run, its range and its last value; None where it was never measured."""
    values = [history.of(name)(line) for line in lines]
    there = [value for value in values if value is not None]
    if not there:
        return None
    now = "-" if values[-1] is None else f"{values[-1]:.3g}"
    return name, plot(values), f"{min(there):.3g}", f"{max(there):.3g}", now, meaning


def plot(values: Sequence[float | None]) -> str:
    """Draw numbers as a row of bars, from the lowest to the highest; a space where there is none."""
    count = min(_COLUMNS, len(values))
    parts = [values[i * len(values) // count : (i + 1) * len(values) // count] for i in range(count)]
    means = [_mean([value for value in part if value is not None]) for part in parts]
    finite = [mean for mean in means if not math.isnan(mean)]
    low, high = min(finite, default=0.0), max(finite, default=0.0)
    return "".join(" " if math.isnan(mean) else _BARS[_height(mean, low, high)] for mean in means)


def _height(value: float, low: float, high: float) -> int:
    return int((value - low) / (high - low) * (len(_BARS) - 1) + 0.5) if high > low else 0


def _mean(values: Sequence[float]) -> float:
    return sum(values) / len(values) if values else math.nan
