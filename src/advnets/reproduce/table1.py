"""Table 1, the row of adversarial nets: trained here, chosen on validation data, scored by both bandwidth grids."""

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
from advnets.evaluation import folds
from advnets.evaluation.likelihood import HeldOut
from advnets.evaluation.references import references
from advnets.reproduce import growth
from advnets.reproduce.artefact import Artefact, Budget, Plan
from advnets.reproduce.curves import SAMPLES, minutes, tested, validation_curve, weights_of
from advnets.reproduce.runs import KEEP_EVERY, lasting, lost, of_faces, trained
from advnets.runs import Run

PAPER = {"mnist": (225.0, 2.0), "mnist-best": (225.0, 2.0), "tfd": (2057.0, 26.0)}
EPOCHS = (10, 20, 50, 100, 150, 200, 250, 300, 400, 500)
"""Where the test data are scored whatever the validation data say, for the curve."""
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
    """Train, choose, score; the summary holds every seed's numbers, the curves and the reference rows."""
    if plan.faces:
        plan.load(of_faces(plan.faces).data)  # a file that cannot be read is refused before anything is trained
    summary: Found = {"budget": plan.budget, "samples": SAMPLES, "paper": {}, "columns": {}}
    for name, (nats, error) in PAPER.items():
        summary["paper"][name] = {"nats": nats, "error": error}
    for recipe in ("mnist", "mnist-best"):
        summary["columns"][recipe] = column(plan, recipes.get(recipe), LENGTHS[plan.budget][recipe])
    summary["columns"]["tfd"] = _faces(plan, None)
    if plan.faces:
        summary["columns"]["faces, not TFD"] = _faces(plan, plan.faces)
    faithful, files = summary["columns"]["mnist"], []
    if any(faithful["laws"].values()):
        files = growth.draw(faithful, summary["paper"]["mnist"], plan.folder / "table1.png")
    return Artefact(list(table(summary)), summary, files)


def _faces(plan: Plan, file: Path | None) -> Found:
    """The column of the user's TFD, or of other faces in its layout, whose numbers never stand for TFD's."""
    if file is None and find("tfd") is None:
        return {"not_measured": "needs your own TFD_48x48.mat: advnets data info tfd"}
    return column(plan, of_faces(file), LENGTHS[plan.budget]["tfd"])


def column(plan: Plan, base: Config, length: Length) -> Found:
    """Train every seed of one data set, and sum up: a row for each kind of weights and each grid.

    Rows are over the seeds that went all the way. A seed whose D has won is told, not averaged.
    """
    data = plan.load(base.data)
    if plan.seeds:
        length = dataclasses.replace(length, seeds=plan.seeds, more=0)
    seeds = [scored(plan, base, length, run, facts) for run, facts in _played(plan, base, length, data)]
    gathered = folds.of(data, base.data, plan.load)
    shared, parts = (gathered.shared, gathered.held_out) if gathered else (data, ())
    rows = references(shared, SAMPLES, held_out=parts, progress=plan.progress)
    return {**summed(base, length.steps, _epoch(base, data), seeds), "references": rows, "seeds": seeds}


def scored(plan: Plan, base: Config, length: Length, run: Run, facts: Found) -> Found:
    """Score one trained seed; `facts` are its number, its steps, and whether D has won."""
    data = plan.load(base.data)
    gathered = folds.of(data, base.data, plan.load)
    held_out = gathered.held_out if gathered else (HeldOut.of(data),)
    found = _scored(plan, run, HeldOut.of(data), held_out, length, facts["steps"], _epoch(base, data))
    return {**facts, **found, "to_goal": _to_goal(run, found["validation"], _goal(base))}


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
        "laws": {weights: growth.laws(means, weights, _goal(base)) for weights in seeds[0]["chosen"]},
    }


def _epoch(base: Config, data: DataSet) -> int:
    return len(data.train.x) // base.train.batch_size


def _goal(base: Config) -> float | None:
    goal, _ = PAPER.get(base.recipe, (None, None))
    return goal


def _played(plan: Plan, base: Config, length: Length, data: DataSet) -> Iterator[tuple[Run, Found]]:
    """Train seed after seed until enough have gone their way; where D has won, give that seed up and try the next."""
    ways = [length.steps] * length.seeds + [length.first] * length.more
    for seed in range(_TRIES * len(ways)):
        if not ways:
            break
        for steps in (length.probe or ways[0], ways[0]):
            run = trained(plan, lasting(base, steps, seed=seed, keep_every=length.keep_every), data)
            if won := lost(run, steps):
                plan.say(f"D has won in {run.path}, which goes no further than step {steps:,}")
                break
        else:
            ways.pop(0)
        yield run, {"seed": seed, "steps": steps, "lost": won}
    if ways:
        plan.say(f"D has won on so many seeds that {len(ways)} fewer are here than were wanted")


def _scored(
    plan: Plan, run: Run, own: HeldOut, held_out: Sequence[HeldOut], length: Length, steps: int, epoch: int
) -> Found:
    """Choose the kept step of the best validation likelihood, and score the test data there and at fixed steps.

    Fixed steps are those of EPOCHS that were kept, past the end too where the run was carried on.
    """
    curve = validation_curve(plan, run, own, range(length.keep_every, steps + 1, length.keep_every))
    chosen: Found = {}
    at_epochs: list[Found] = []
    for weights in weights_of(run):
        nats = {point["step"]: point[weights] for point in curve}
        step = max(nats, key=nats.__getitem__)
        chosen[weights] = {"step": step, **tested(plan, run, held_out, weights, step)}
    kept = {step for step in run.checkpoint_steps() if step % length.keep_every == 0}
    for step in sorted(kept & {at * epoch for at in EPOCHS}):
        at_epochs.append({"step": step})
        for weights in weights_of(run):
            at_epochs[-1][weights] = tested(plan, run, held_out, weights, step)
    return {"run": run.path.name, "validation": curve, "chosen": chosen, "at_epochs": at_epochs}


def _to_goal(run: Run, curve: Sequence[Found], goal: float | None) -> dict[str, Found | None]:
    """First kept step whose validation likelihood is the paper's or better, with the minutes it took, by weights."""
    found: dict[str, Found | None] = {}
    for weights in weights_of(run):
        step = next((point["step"] for point in curve if goal is not None and point[weights] >= goal), None)
        found[weights] = step and {"step": step, "minutes": minutes(run, step)}
    return found


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
            yield (f"minutes until validation data score the paper's number, {weights} weights", *cells)
    for grid in ("legacy", "fine"):
        yield (f"training images, {grid} grid", *(_reference(column, grid) for column in columns.values()))
    for name, found in columns.items():
        if "not_measured" in found:
            yield (f"{name}: {found['not_measured']}", *[""] * len(columns))
        if lost_seeds := found.get("lost_seeds"):
            which = ", ".join(map(str, lost_seeds))
            text = f"{name}: D won on {len(lost_seeds)} of {len(found['seeds'])} seeds, which count in no mean: {which}"
            yield (text, *[""] * len(columns))


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
    reached = [one[weights]["minutes"] for one in seeds if one[weights]]
    if not reached:
        return f"not in {found['steps'] / found['steps_per_epoch']:.3g} epochs" if seeds else ""
    spread = f"{min(reached):.1f} to {max(reached):.1f}" if len(reached) > 1 else f"{reached[0]:.1f}"
    return f"{spread} on {len(reached)} of {len(seeds)} seeds"


def _reference(found: Found, grid: str) -> str:
    row = found.get("references", {}).get("training_images", {})
    row = row.get("legacy", {}) if grid == "legacy" else row
    return f"{row['nats']:.1f} (error {row['standard_error']:.1f})" if math.isfinite(row.get("nats", math.nan)) else ""
