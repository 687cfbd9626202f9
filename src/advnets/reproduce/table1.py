"""Table 1. The row of adversarial nets: trained here, chosen on validation data, scored by both bandwidth grids."""

import dataclasses
import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from advnets import recipes
from advnets.config import Config
from advnets.data import DataSet, find
from advnets.evaluation.references import references
from advnets.reproduce import growth, rivals
from advnets.reproduce.artefact import Artefact, Budget, Plan
from advnets.reproduce.curves import SAMPLES
from advnets.reproduce.runs import KEEP_EVERY, DivergenceError, lasting, of_faces, trained
from advnets.reproduce.scoring import Basis, given_up, scored
from advnets.runs import Run

PAPER = {"mnist": (225.0, 2.0), "mnist-best": (225.0, 2.0), "tfd": (2057.0, 26.0)}
_TRIES = 3  # seeds for each one that is wanted

Found = dict[str, Any]


@dataclass(frozen=True)
class Length:
    """How long a recipe trains, with how many seeds, and which of its checkpoints may be chosen."""

    steps: int
    seeds: int
    """Seeds that go all the way."""
    keep_every: int
    more: int = 0
    """Further seeds, which go the first part only."""
    first: int = 0
    """Steps of that part."""
    probe: int = 0
    """Steps after which a seed whose D has won is given up; 0 gives none up before its end."""


LENGTHS: dict[Budget, dict[str, Length]] = {
    "quick": {
        "mnist": Length(10_000, 1, KEEP_EVERY["mnist"]),
        "mnist-best": Length(40_000, 1, 2_500),
        "tfd": Length(40, 1, 20),
    },
    "full": {
        "mnist": Length(125_000, 3, KEEP_EVERY["mnist"], more=2, first=50_000, probe=10_000),
        "mnist-best": Length(40_000, 5, 2_500),
        "tfd": Length(72_600, 1, KEEP_EVERY["tfd"]),
    },
}


def reproduce(plan: Plan) -> Artefact:
    """Train, choose, score; the summary holds every seed's numbers, the curves, the rivals and the reference rows."""
    summary: Found = {"budget": plan.budget, "samples": SAMPLES, "paper": {}, "columns": {}}
    for name, (nats, error) in PAPER.items():
        summary["paper"][name] = {"nats": nats, "error": error}
    tables: list[list[tuple[str, ...]]] = []
    files: list[Path] = []
    if plan.models != "rivals":
        files = _adversarial(plan, summary)
        tables.append(list(table(summary)))
    under = list(notes(summary))
    if plan.models != "adversarial":
        summary["references"] = references(plan.load(recipes.get("dbn").data), SAMPLES, progress=plan.progress)
        summary["rivals"] = rivals.rows(plan)
        tables.append(list(rivals.table(summary["rivals"], summary["references"])))
        under += rivals.notes(summary["references"])
    holds = all(found["rows"] for found in summary["columns"].values() if "rows" in found)
    holds = holds and all(row["seeds"] for row in summary.get("rivals", ()))
    return Artefact(tables[0], summary, files, holds=holds, notes=tuple(under), further=tables[1:])


def _adversarial(plan: Plan, summary: Found) -> list[Path]:
    """Add the columns of adversarial nets to the summary; return the picture that was drawn, if any."""
    if plan.faces:
        plan.load(of_faces(plan.faces).data)  # a file that cannot be read is refused before anything is trained
    for recipe in ("mnist", "mnist-best"):
        summary["columns"][recipe] = column(plan, recipes.get(recipe), LENGTHS[plan.budget][recipe])
    summary["columns"]["tfd"] = _faces(plan, None)
    if plan.faces:
        summary["columns"]["faces, not TFD"] = _faces(plan, plan.faces)
    faithful = summary["columns"]["mnist"]
    if any(fitted for grids in faithful["laws"].values() for fitted in grids.values()):
        return growth.draw(faithful, summary["paper"]["mnist"], plan.folder / "table1.png")
    return []


def _faces(plan: Plan, file: Path | None) -> Found:
    """The column of the user's TFD, or of other faces in its layout, whose numbers never stand for TFD's."""
    if file is None and find("tfd") is None:
        return {"not_measured": "needs your own TFD_48x48.mat: advnets data info tfd"}
    return column(plan, of_faces(file), LENGTHS[plan.budget]["tfd"])


def column(plan: Plan, base: Config, length: Length) -> Found:
    """Train every seed of one data set, and sum up: a row for each kind of weights and each grid.

    Rows are over the seeds that went all the way. A seed whose D has won, or that diverged, is told, not averaged.
    """
    basis = Basis.of(plan, base)
    if plan.seeds:
        length = dataclasses.replace(length, seeds=plan.seeds, more=0)
    seeds = [
        scored(plan, basis, run, facts, length.keep_every, goal(base))
        for run, facts in _played(plan, base, length, basis.data)
    ]
    parts = basis.held_out if basis.in_folds else ()
    rows = references(basis.shared, SAMPLES, held_out=parts, progress=plan.progress)
    return {**summed(base, length.steps, basis.epoch, seeds), "references": rows, "seeds": seeds}


def goal(base: Config) -> float | None:
    """Return the paper's number for a recipe, in nats, if it has one."""
    nats, _ = PAPER.get(base.recipe, (None, None))
    return nats


def summed(base: Config, steps: int, epoch: int, seeds: Sequence[Found]) -> Found:
    """Sum up scored seeds: rows over those that went all the way, means and laws over epochs, who was lost."""
    whole = [one for one in seeds if one["steps"] == steps and not one["lost"]]
    means = [row for row in growth.over_seeds(whole, epoch) if row["n"] == len(whole)]
    return {
        "recipe": base.recipe,
        "steps": steps,
        "steps_per_epoch": epoch,
        "lost_seeds": [one["seed"] for one in seeds if one["lost"]],
        "rows": list(_rows(whole)),
        "epochs": list(growth.over_seeds(seeds, epoch)),
        "laws": {
            weights: {grid: growth.laws(means, weights, grid, goal(base)) for grid in growth.GRIDS}
            for weights in (whole[0]["chosen"] if whole else ())
        },
    }


def _played(plan: Plan, base: Config, length: Length, data: DataSet) -> Iterator[tuple[Run, Found]]:
    """Train seed after seed until enough have gone their way; give a seed up whose D has won, and try the next."""
    ways = [length.steps] * length.seeds + [length.first] * length.more
    for seed in range(_TRIES * len(ways)):
        if not ways:
            break
        for steps in (length.probe or ways[0], ways[0]):
            try:
                run = trained(plan, lasting(base, steps, seed=seed, keep_every=length.keep_every), data)
            except DivergenceError as diverged:
                run, won = diverged.run, True
                plan.say(f"{run.path} diverged, and goes no further")
                break
            if won := given_up(run, length.probe, steps):
                plan.say(f"D has won in {run.path}, which goes no further than step {steps:,}")
                break
        else:
            ways.pop(0)
        yield run, {"seed": seed, "steps": steps, "lost": won}
    if ways:
        plan.say(f"{len(ways)} fewer seeds are here than were wanted: too many were lost")


def _rows(seeds: Sequence[Found]) -> Iterator[Found]:
    """Mean and standard deviation over seeds, and the mean standard error over test points (over folds for TFD)."""
    for weights in seeds[0]["chosen"] if seeds else ():
        for grid in ("legacy", "fine"):
            found = [one["chosen"][weights][grid] for one in seeds]
            steps = [one["chosen"][weights]["step"] for one in seeds]
            row = {"weights": weights, "grid": grid, "n": len(found), "chosen_steps": steps}
            if missing := [one["not_measured"] for one in found if "nats" not in one]:
                yield {**row, "not_measured": missing[0]}
                continue
            nats = [one["nats"] for one in found]
            deviation = float(np.std(nats, ddof=1)) if len(nats) > 1 else None
            error = float(np.mean([one["standard_error"] for one in found]))
            yield {**row, "nats": float(np.mean(nats)), "deviation": deviation, "standard_error": error}


def table(summary: Found) -> Iterator[tuple[str, ...]]:
    """Ours beside the paper's, a line for each kind of weights and each grid, with the training images as a measure."""
    columns = summary["columns"]
    yield ("adversarial nets", *columns)
    paper = (summary["paper"].get(name) for name in columns)
    yield ("the paper", *(f"{one['nats']:.0f} ± {one['error']:.0f}" if one else "" for one in paper))
    for weights, grid in (("raw", "legacy"), ("raw", "fine"), ("average", "legacy"), ("average", "fine")):
        cells = [_cell(column, weights, grid) for column in columns.values()]
        if any(cells):
            yield (f"ours, {weights} weights, {grid} grid", *cells)
    for weights in ("raw", "average"):
        cells = [_reached(column, weights) for column in columns.values()]
        if any(cells):
            yield (f"minutes until validation data score the paper's number, {weights} weights, legacy grid", *cells)
    for grid in ("legacy", "fine"):
        yield (f"training images, {grid} grid", *(_reference(column, grid) for column in columns.values()))


def notes(summary: Found) -> Iterator[str]:
    """What belongs under the table: columns without a number, and seeds that count in no mean."""
    for name, found in summary["columns"].items():
        if "not_measured" in found:
            yield f"{name}: {found['not_measured']}"
        if lost_seeds := found.get("lost_seeds"):
            which = ", ".join(map(str, lost_seeds))
            yield f"{name}: lost, and in no mean, are {len(lost_seeds)} of {len(found['seeds'])} seeds: {which}"


def _cell(found: Found, weights: str, grid: str) -> str:
    row = next((row for row in found.get("rows", ()) if (row["weights"], row["grid"]) == (weights, grid)), None)
    if row is None:
        return ""
    if "nats" not in row:
        return "not measured"
    spread = f" ± {row['deviation']:.1f} over" if row["deviation"] is not None else ","
    return f"{row['nats']:.1f}{spread} {row['n']} seed{'s' * (row['n'] > 1)} (error {row['standard_error']:.1f})"


def _reached(found: Found, weights: str) -> str:
    """Minutes of the seeds that reached the goal, the fewest and the most, and how many did."""
    known = found.get("seeds", ()) if found.get("recipe") in PAPER else ()
    whole = [one["to_goal"] for one in known if one["steps"] == found["steps"] and not one["lost"]]
    seeds = [one for one in whole if weights in one]
    reached = [one[weights] for one in seeds if one[weights]]
    if not reached:
        return f"not in {found['steps'] / found['steps_per_epoch']:.3g} epochs" if seeds else ""
    timed = [one["minutes"] for one in reached if one["minutes"] is not None]
    spread = f"{min(timed):.1f} to {max(timed):.1f}" if len(timed) > 1 else f"{timed[0]:.1f}" if timed else "not timed"
    return f"{spread} on {len(reached)} of {len(seeds)} seeds"


def _reference(found: Found, grid: str) -> str:
    row = found.get("references", {}).get("training_images", {})
    row = row.get("legacy", {}) if grid == "legacy" else row
    return f"{row['nats']:.1f} (error {row['standard_error']:.1f})" if math.isfinite(row.get("nats", math.nan)) else ""
