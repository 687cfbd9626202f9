"""`advnets runs`: the runs in a folder, all there is to know of one, and several side by side."""

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Literal

import tyro

from advnets.cli.arguments import parse
from advnets.cli.main import DONE
from advnets.cli.output import emit, say, table
from advnets.errors import InputError
from advnets.history import last_line
from advnets.runs import Run, list_runs


@dataclass(frozen=True)
class Arguments:
    """List the runs in a folder, show one, or rank several by their evaluations."""

    action: Annotated[Literal["list", "show", "compare"], tyro.conf.Positional, tyro.conf.arg(metavar="ACTION")]
    """list, show RUN, or compare RUN RUN …."""
    runs: Annotated[tuple[Path, ...], tyro.conf.Positional, tyro.conf.arg(metavar="[RUN …]")] = ()
    """Run folders."""
    dir: Path = Path("runs")
    """The folder to list."""
    json: bool = False
    """Print one JSON object on stdout."""


def run(tokens: list[str]) -> int:
    """List or show."""
    arguments = parse(Arguments, tokens, "runs")
    match arguments.action:
        case "list":
            if arguments.runs:
                word = arguments.runs[0]
                raise InputError(f"list got {word}, allowed: --dir FOLDER; say advnets runs show {word}")
            return _list(arguments.dir, as_json=arguments.json)
        case "show":
            if len(arguments.runs) != 1:
                raise InputError("show takes one RUN, allowed: a run folder; say advnets runs show runs/digits-1")
            return _show(Run(arguments.runs[0]), as_json=arguments.json)
        case "compare":
            if len(arguments.runs) < 2:
                raise InputError(
                    "compare takes two RUNs or more, allowed: run folders; say advnets runs compare runs/a runs/b"
                )
            return _compare([Run(path) for path in arguments.runs], as_json=arguments.json)


def _show(target: Run, *, as_json: bool) -> int:
    facts = _facts(target)
    if as_json:
        emit(facts)
    else:
        print(table([(name, _words(value)) for name, value in facts.items()]))
    return DONE


def _compare(targets: list[Run], *, as_json: bool) -> int:
    from advnets.comparison import rank

    ranking = rank(targets)
    if as_json:
        emit(ranking)
        return DONE
    head = ("", "run", "nats", "σ", "behind", "")
    rows = [
        (
            str(place),
            row["run"],
            f"{row['nats']:.1f} ± {row['standard_error']:.1f}",
            f"{row['bandwidth']:.4g}",
            f"{row['behind']:.1f}",
            "as good as the first within two standard errors" if row["tied"] and place > 1 else "",
        )
        for place, row in enumerate(ranking["ranking"], 1)
    ]
    print(table([head, *rows]))
    return DONE


def _list(folder: Path, *, as_json: bool) -> int:
    if not folder.is_dir() and folder != Path("runs"):
        raise InputError(f"{folder} is no folder, allowed: a folder that holds runs; name another with --dir")
    rows = [_facts_or_error(run) for run in list_runs(folder)]
    if as_json:
        emit({"runs": rows})
    elif not rows:
        say(f"no runs in {folder}/ yet; begin with: advnets train")
    else:
        print(table([("run", "recipe", "state", "verdict", "step", "data"), *map(_row, rows)]))
    return DONE


def _facts_or_error(run: Run) -> dict[str, Any]:
    """Do not let one damaged run hide the others."""
    try:
        return _facts(run)
    except InputError as error:
        return {"run": str(run.path), "error": str(error)}


def _elsewhere(one: dict[str, Any]) -> str:
    return f"from step {one['step']}: {', '.join(map(str, one['changes']))}"


def _facts(run: Run) -> dict[str, Any]:
    content, config, status = run.read(), run.config(), run.status()
    return {
        "run": str(run.path),
        "recipe": config.recipe,
        "state": status.get("state", "not begun"),
        "step": status.get("step", 0),
        "steps": config.train.steps,
        "verdict": status.get("verdict"),
        "mode": config.train.mode,
        "seed": config.seed,
        "data": content.get("data"),
        "parameters": content.get("parameters"),
        "versions": content.get("versions"),
        "machine": content.get("machine"),
        "elsewhere": [_elsewhere(one) for one in content.get("elsewhere", [])],
        "last_measures": last_line(run) or None,
        "checkpoints": run.checkpoint_steps(),
        "samples": str(run.path / "samples.png") if (run.path / "samples.png").is_file() else None,
    }


def _row(facts: dict[str, Any]) -> tuple[str, ...]:
    if "error" in facts:
        return facts["run"], "?", "unreadable", "", "", facts["error"]
    steps = f"{facts['step']}/{facts['steps']}"
    data = facts["data"].get("name", "?") if isinstance(facts["data"], dict) else "?"
    return facts["run"], facts["recipe"], facts["state"], str(facts["verdict"] or "-"), steps, str(data)


def _words(value: Any) -> str:
    match value:
        case dict():
            return ", ".join(f"{name} {_short(inner)}" for name, inner in value.items() if not isinstance(inner, dict))
        case list():
            return ", ".join(map(str, value)) or "-"
        case _:
            return "-" if value is None else str(value)


def _short(value: Any) -> str:
    match value:
        case float():
            return f"{value:.4g}"
        case list():
            return "x".join(map(str, value))
        case str() if len(value) == 64:  # a fingerprint
            return value[:12]
        case _:
            return "-" if value is None else str(value)
