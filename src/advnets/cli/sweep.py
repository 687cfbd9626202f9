"""`advnets sweep`: many runs at once, over settings and seeds, and one table of what came of them."""

import functools
import shlex
import sys
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import tyro

from advnets import disk
from advnets.cli import settings, sweeping, varying
from advnets.cli.arguments import given_names, parse
from advnets.cli.main import BAD_ANSWER, DONE
from advnets.cli.output import emit, say, table
from advnets.cli.sample import in_range
from advnets.config import spell
from advnets.errors import InputError, plain


@dataclass(frozen=True)
class Arguments:
    """Train a recipe with every combination of settings, each with several seeds, and rank them in one table.

    Settings are ranked by their validation likelihood, never by test data. The same command again goes on where it
    stopped. Any other option of advnets train is passed on to every run. Exit 1 where no setting has a likelihood.
    """

    recipe: Annotated[str, tyro.conf.Positional, tyro.conf.arg(metavar="[RECIPE]")] = "digits"
    """A preset or a path, as for advnets train; it is the first word."""
    out: Annotated[Path | None, tyro.conf.arg(metavar="DIR")] = None
    """Folder of the sweep, with its runs; required."""
    vary: Annotated[tuple[str, ...], tyro.conf.arg(metavar="SETTING=VALUES")] = ()
    """SETTING=V1,V2,… for listed values, SETTING=LOW:HIGH or SETTING=LOW:HIGH:log for a range, searched by Optuna."""
    seeds: int = 3
    """Runs of each choice of settings, with seeds 0, 1, …"""
    trials: int | None = None
    """With a range: how many choices of settings to try."""
    jobs: int = 1
    """Runs at a time, each a process with its share of the cores."""
    json: bool = False
    """Print one JSON object on stdout."""


_OWN = ("out", "vary", "seeds", "trials", "jobs", "json")
_NOT_PASSED_ON = {
    "resume": "the same command again goes on by itself",
    "dry_run": "all settings are checked before anything is trained",
    "evaluate": "settings are chosen by validation data; then advnets evaluate RUN",
    "seed": "say --seeds N",
}


def run(tokens: list[str]) -> int:
    """Sweep, write the summary and print the table; 1 where nothing has a value, 130 or 143 after a signal."""
    own, passed = _parted(tokens)
    arguments = parse(Arguments, own, "sweep")
    out = _checked(arguments, passed)
    from advnets.data import load

    load_data = functools.cache(functools.partial(load, offline="offline" in given_names(passed), report=_say))
    plan = varying.planned(passed, arguments.vary, arguments.trials, load_data)
    sweeping.library()
    asked = {
        "recipe": arguments.recipe,
        "vary": list(arguments.vary),
        "options": passed[1:],
        "seeds": arguments.seeds,
        "trials": arguments.trials,
    }
    with sweeping.opened(out, asked):
        sweep = sweeping.Sweep(plan, out, arguments.seeds, arguments.jobs, _say)
        trials, interrupted = sweeping.swept(sweep)
        if interrupted is not None:
            _say(f"stopped; runs that were begun have a checkpoint in {out}; give the same command again to go on")
            raise KeyboardInterrupt(interrupted)
        summary = _summary(arguments.recipe, out, [sweeping.outcome(sweep, trial) for trial in trials])
        with disk.reporting(f"cannot write {out}/summary.json"):
            disk.write_json(out / "summary.json", summary)
    if arguments.json:
        emit(summary)
    else:
        _show(summary, out)
    return DONE if summary["best"] else BAD_ANSWER


def _parted(tokens: list[str]) -> tuple[list[str], list[str]]:
    """Part the words of a sweep from those of its runs; the recipe, which is first, belongs to both."""
    if {"-h", "--help"} & {*tokens}:
        return ["--help"], []
    named = tokens[:1] if tokens and not given_names(tokens[:1]) else []
    own, passed, mine, left = [*named], [*named] or ["digits"], False, 0
    for token in settings.spelled_out(tokens[len(named) :]):
        if names := given_names([token]):
            mine = names[0] in _OWN
            left = 0 if "=" in token or names[0] == "json" else len(tokens) if names[0] == "vary" else 1
        elif mine:
            mine, left = left > 0, left - 1
        (own if mine else passed).append(token)
    return own, passed


def _checked(arguments: Arguments, passed: list[str]) -> Path:
    """Return the folder of the sweep; raises InputError for options that are out of range, missing or not passed on."""
    in_range("--seeds", arguments.seeds, 1, 100)
    in_range("--jobs", arguments.jobs, 1, 256)
    for name in given_names(passed):
        if name in _NOT_PASSED_ON:
            raise InputError(
                f"--{name.replace('_', '-')} is no option of a sweep, allowed: the settings of advnets train; leave it "
                f"out: {_NOT_PASSED_ON[name]}"
            )
    if arguments.out is None:
        raise InputError("--out is missing, allowed: a new folder, or that of this sweep; add --out DIR")
    return arguments.out


def _summary(recipe: str, out: Path, results: list[dict[str, Any]]) -> dict[str, Any]:
    """Put the results in order, best first; those without a value come last."""
    ranked = sorted(results, key=lambda one: (one["value"] is None, -(one["value"] or 0)))
    best = next((one for one in ranked if one["value"] is not None), None)
    chosen = {name: best[name] for name in ("settings", "value")} if best else None
    return {"sweep": str(out), "recipe": recipe, "trials": ranked, "best": chosen}


def _show(summary: dict[str, Any], out: Path) -> None:
    names = list(summary["trials"][0]["settings"])
    rows = [[*names, "nats", "seeds", "verdicts"], *map(_row, summary["trials"])]
    print(table(rows))
    print()
    for trial in summary["trials"]:
        for one in trial["seeds"]:
            if one["reason"]:
                say(f"{Path(one['run']).name}: {one['reason']}")
    if summary["best"]:
        options = " ".join(f"--{name} {spell(value)}" for name, value in summary["best"]["settings"].items())
        say(f"best      {options}")
    say(f"runs      {shlex.quote(str(out / 'runs'))}")
    say(f"wrote     {out / 'summary.json'}")


def _row(trial: dict[str, Any]) -> list[str]:
    seeds = trial["seeds"]
    value = "none" if trial["value"] is None else f"{trial['value']:.3f}"
    if trial["sd"] is not None:
        value += f" ± {trial['sd']:.3f}"
    scored = sum(one["nats"] is not None for one in seeds)
    count = str(scored) if scored == len(seeds) else f"{scored} of {len(seeds)}"
    return [*map(varying.brief, trial["settings"].values()), value, count, _verdicts(seeds)]


def _verdicts(seeds: Sequence[dict[str, Any]]) -> str:
    """Count what the doctor says of the runs, the most frequent first."""
    counted = Counter(one["verdict"] or one["state"] or "none" for one in seeds)
    return ", ".join(f"{name} {count}" if len(seeds) > 1 else name for name, count in counted.most_common())


def _say(line: str) -> None:
    print(plain(line), file=sys.stderr, flush=True)
