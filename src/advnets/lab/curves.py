"""A run's log as tables to plot, and as words; untouched by Gradio."""

import math
from collections.abc import Sequence
from typing import Any

import pandas as pd

from advnets import doctor, history, verdicts
from advnets.errors import InputError
from advnets.runs import Run

_POINTS = 300  # of a curve
GROUPS: dict[str, dict[str, str]] = {
    "Value of the game": {"value": "V(D, G)"},
    "What D says": {"d_real": "D(x), data", "d_fake": "D(G(z)), samples"},
    "Losses": {"discriminator_loss": "D", "generator_loss": "G", "loss": "model"},
}
COLOURS = ("#2563eb", "#f97316", "#16a34a", "#9333ea", "#dc2626", "#0891b2")
CHANCE = "−log 4: D is ½ everywhere"


def lines_of(run: Run) -> list[dict[str, Any]]:
    """Read the lines of a run's log; raises InputError for a damaged one."""
    config = run.config()
    measure = "loss" if config.rival else "discriminator_loss" if config.semi else "value"
    return history.read_log(run, measure)


def signals(lines: Sequence[history.Line]) -> list[str]:
    """Name what the lines tell beside the game itself."""
    found = {name: None for line in lines for name in (line.get("signals") or {})}
    return [*found]


def table(lines: Sequence[history.Line], names: dict[str, str], *, chance: bool = False) -> pd.DataFrame:
    """Return columns step, curve, value of some measures by their titles: each step, or means over equal parts.

    `chance` adds the value of the game where D is ½ everywhere.
    """
    rows: list[tuple[int, str, float]] = []
    for name, title in names.items():
        points = [(int(line["step"]), value) for line in lines if (value := _value(line, name)) is not None]
        rows += [(step, title, value) for step, value in _thinned(points)]
    if chance and rows:
        rows += [(step, CHANCE, history.CHANCE) for step in (rows[0][0], rows[-1][0])]
    return pd.DataFrame(rows, columns=["step", "curve", "value"])


def colours(frame: pd.DataFrame) -> dict[str, str]:
    """Give every curve of a table a colour."""
    return dict(zip(dict.fromkeys(frame["curve"]), COLOURS, strict=False))


def _value(line: history.Line, name: str) -> float | None:
    found = line.get(name, (line.get("signals") or {}).get(name))
    return float(found) if isinstance(found, int | float) and math.isfinite(found) else None


def _thinned(points: Sequence[tuple[int, float]]) -> list[tuple[int, float]]:
    size = math.ceil(len(points) / _POINTS) or 1
    parts = (points[start : start + size] for start in range(0, len(points), size))
    return [(part[-1][0], sum(value for _, value in part) / len(part)) for part in parts]


def state(run: Run) -> str:
    """Say in a line what the run is, and how far."""
    config, status = run.config(), run.status()
    made, steps = int(status.get("step") or 0), config.train.steps
    seed = f"{config.recipe}, seed {config.seed}"
    return f"{run.path}: {seed}, {status.get('state', 'not begun')}, step {made:,} of {steps:,}"


def verdict(run: Run) -> tuple[str, list[str], bool]:
    """Return the verdict on a run, its evidence and advice, and whether it is bad."""
    config = run.config()
    if config.semi:
        return "no verdict", ["It learns classes from few labels: advnets classify counts its errors."], False
    try:
        if run.status().get("state") == "diverged":
            found: doctor.Verdict | None = doctor.diverged()
        else:
            found = verdicts.judge(verdicts.lines_of(run, config), config)
    except InputError as error:
        return "unreadable", [str(error)], True
    if found is None:
        return "no verdict yet", [f"The first comes after {config.train.log_every} steps."], False
    return found.name, [found.evidence, found.advice], found.bad
