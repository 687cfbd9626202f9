"""Table 1, the row of adversarial nets: trained here, chosen on validation data, scored by both bandwidth grids."""

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from advnets import recipes
from advnets.config import Config
from advnets.data import find
from advnets.evaluation import folds
from advnets.evaluation.likelihood import HeldOut
from advnets.evaluation.references import references
from advnets.reproduce.artefact import Artefact, Budget, Plan
from advnets.reproduce.curves import SAMPLES, tested, validation_curve, weights_of
from advnets.reproduce.runs import lasting, of_faces, trained
from advnets.runs import Run

PAPER = {"mnist": (225.0, 2.0), "tfd": (2057.0, 26.0)}
EPOCHS = (10, 20, 50, 100, 150, 200, 250)
"""Where the test data are scored whatever the validation data say, for the curve."""

Found = dict[str, Any]


@dataclass(frozen=True)
class Length:
    """How long a recipe trains, with how many seeds, and which of its checkpoints may be chosen."""

    steps: int
    seeds: int
    keep_every: int


LENGTHS: dict[Budget, dict[str, Length]] = {
    "quick": {"mnist": Length(6_000, 1, 2_000), "tfd": Length(40, 1, 20)},
    "full": {"mnist": Length(125_000, 3, 5_000), "tfd": Length(72_600, 1, 4_840)},
}


def reproduce(plan: Plan) -> Artefact:
    """Train, choose, score; the summary holds every seed's numbers, the curves and the reference rows."""
    if plan.faces:
        plan.load(of_faces(plan.faces).data)  # a file that cannot be read is refused before anything is trained
    summary: Found = {"budget": plan.budget, "samples": SAMPLES, "paper": {}, "columns": {}}
    for name, (nats, error) in PAPER.items():
        summary["paper"][name] = {"nats": nats, "error": error}
    summary["columns"]["mnist"] = column(plan, recipes.get("mnist"), LENGTHS[plan.budget]["mnist"])
    summary["columns"]["tfd"] = _faces(plan, None)
    if plan.faces:
        summary["columns"]["faces, not TFD"] = _faces(plan, plan.faces)
    return Artefact(list(table(summary)), summary)


def _faces(plan: Plan, file: Path | None) -> Found:
    """The column of the user's TFD, or of other faces in its layout, whose numbers never stand for TFD's."""
    if file is None and find("tfd") is None:
        return {"not_measured": "needs your own TFD_48x48.mat: advnets data info tfd"}
    return column(plan, of_faces(file), LENGTHS[plan.budget]["tfd"])


def column(plan: Plan, base: Config, length: Length) -> Found:
    """Train every seed of one data set, and sum up: a row for each kind of weights and each grid."""
    data = plan.load(base.data)
    gathered = folds.of(data, base.data, plan.load)
    held_out = gathered.held_out if gathered else (HeldOut.of(data),)
    seeds = []
    for seed in range(plan.seeds or length.seeds):
        run = trained(plan, lasting(base, length.steps, seed=seed, keep_every=length.keep_every), data)
        epoch = len(data.train.x) // base.train.batch_size
        fixed = [at * epoch for at in EPOCHS if at * epoch % length.keep_every == 0 and at * epoch <= length.steps]
        seeds.append({"seed": seed, **_scored(plan, run, HeldOut.of(data), held_out, length, fixed)})
    shared, parts = (gathered.shared, gathered.held_out) if gathered else (data, ())
    return {
        "recipe": base.recipe,
        "steps": length.steps,
        "steps_per_epoch": len(data.train.x) // base.train.batch_size,
        "rows": list(_rows(seeds)),
        "references": references(shared, SAMPLES, held_out=parts, progress=plan.progress),
        "seeds": seeds,
    }


def _scored(
    plan: Plan, run: Run, own: HeldOut, held_out: Sequence[HeldOut], length: Length, fixed: Sequence[int]
) -> Found:
    """Choose the kept step of the best validation likelihood, and score the test data there and at fixed steps."""
    curve = validation_curve(plan, run, own, range(length.keep_every, length.steps + 1, length.keep_every))
    chosen: Found = {}
    at_epochs: list[Found] = []
    for weights in weights_of(run):
        nats = {point["step"]: point[weights] for point in curve}
        step = max(nats, key=nats.__getitem__)
        chosen[weights] = {"step": step, **tested(plan, run, held_out, weights, step)}
    for step in fixed:
        at_epochs.append({"step": step})
        for weights in weights_of(run):
            at_epochs[-1][weights] = tested(plan, run, held_out, weights, step)
    return {"run": run.path.name, "validation": curve, "chosen": chosen, "at_epochs": at_epochs}


def _rows(seeds: Sequence[Found]) -> Iterator[Found]:
    """Mean and standard deviation over seeds, and the mean standard error over test points (over folds for TFD)."""
    for weights in seeds[0]["chosen"]:
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
    for grid in ("legacy", "fine"):
        yield (f"training images, {grid} grid", *(_reference(column, grid) for column in columns.values()))
    for name, found in columns.items():
        if "not_measured" in found:
            yield (f"{name}: {found['not_measured']}", *[""] * len(columns))


def _cell(found: Found, weights: str, grid: str) -> str:
    row = next((row for row in found.get("rows", ()) if (row["weights"], row["grid"]) == (weights, grid)), None)
    if row is None:
        return ""
    if "nats" not in row:
        return "not measured"
    spread = f" ± {row['deviation']:.1f} over" if row["deviation"] is not None else ","
    return f"{row['nats']:.1f}{spread} {row['n']} seed{'s' * (row['n'] > 1)} (error {row['standard_error']:.1f})"


def _reference(found: Found, grid: str) -> str:
    row = found.get("references", {}).get("training_images", {})
    row = row.get("legacy", {}) if grid == "legacy" else row
    return f"{row['nats']:.1f} (error {row['standard_error']:.1f})" if math.isfinite(row.get("nats", math.nan)) else ""
