"""One seed of a column of Table 1: whether D won, which checkpoint the validation data choose, and its test scores."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from advnets.config import Config
from advnets.data import DataSet
from advnets.errors import InputError
from advnets.evaluation import folds
from advnets.evaluation.likelihood import HeldOut
from advnets.reproduce.artefact import Plan
from advnets.reproduce.curves import minutes, tested, validation_curve, weights_of
from advnets.reproduce.runs import lost
from advnets.runs import Run

EPOCHS = (10, 20, 50, 100, 150, 200, 250, 300, 400, 500)
"""Where the test data are scored whatever the validation data say, for the curve."""

Found = dict[str, Any]


@dataclass(frozen=True)
class Basis:
    """What the seeds of a column are trained and scored on."""

    data: DataSet
    """What they train on."""
    shared: DataSet
    """What the reference rows are made of: the same, or in folds the part that no fold holds out."""
    held_out: tuple[HeldOut, ...]
    """Validation and test points, of every fold where there are folds."""
    in_folds: bool
    epoch: int
    """Steps in an epoch."""

    @classmethod
    def of(cls, plan: Plan, base: Config) -> "Basis":
        """Load the data of a recipe, in folds where they have any."""
        data = plan.load(base.data)
        gathered = folds.of(data, base.data, plan.load)
        shared, held_out = (gathered.shared, gathered.held_out) if gathered else (data, (HeldOut.of(data),))
        return cls(data, shared, held_out, gathered is not None, len(data.train.x) // base.train.batch_size)


def given_up(run: Run, probe: int, steps: int) -> bool:
    """Tell whether D had won at the probe, or had at the end; a probe of 0 is none."""
    return any(lost(run, at) for at in {min(probe or steps, steps), steps})


def scored(plan: Plan, basis: Basis, run: Run, facts: Found, keep_every: int, goal: float | None) -> Found:
    """Choose among the kept steps that of the best validation likelihood, and score the test data there.

    In folds each one has its own choice, by its own validation points, since those of one fold are test points of
    others. The test data are scored at fixed epochs too, past the end where the run was carried on. `facts` are the
    seed's number, its steps, and whether it was lost.
    """
    kept = [step for step in run.checkpoint_steps() if step % keep_every == 0]
    within = [step for step in kept if step <= facts["steps"]]
    if not within and not facts["lost"]:
        raise InputError(
            f"{run.path} keeps no checkpoint at a multiple of {keep_every:,} steps, allowed: a run trained with "
            f"--train.keep_every {keep_every}; move that folder away, and it is trained anew"
        )
    curve = validation_curve(plan, run, basis.held_out, within)
    names = weights_of(run) if within else ()
    chosen: Found = {}
    for weights in names:
        steps = _best(curve, weights)
        scores = tested(plan, run, basis.held_out, weights, steps)
        chosen[weights] = {"step": steps[0] if len(steps) == 1 else steps, **scores}
    at_epochs = [
        {"step": step, **{w: tested(plan, run, basis.held_out, w, [step] * len(basis.held_out)) for w in names}}
        for step in sorted({*kept} & {at * basis.epoch for at in EPOCHS})
    ]
    reached = {weights: _to_goal(run, curve, weights, goal) for weights in names}
    return {
        **facts,
        "run": run.path.name,
        "validation": curve,
        "chosen": chosen,
        "at_epochs": at_epochs,
        "to_goal": reached,
        "minutes": minutes(run, facts["steps"]),
    }


def _best(curve: Sequence[Found], weights: str) -> list[int]:
    """Step of the best validation likelihood by the fine grid, for each fold."""
    nats = np.array([point["fine"][weights] for point in curve], float)  # None becomes NaN
    return [int(curve[row]["step"]) for row in np.where(np.isnan(nats), -np.inf, nats).argmax(0)]


def _to_goal(run: Run, curve: Sequence[Found], weights: str, goal: float | None) -> Found | None:
    """First kept step whose validation likelihood by the paper's grid is the paper's or better, and its minutes."""
    for point in curve if goal is not None else ():
        nats = point["legacy"][weights]
        if None not in nats and np.mean(nats) >= goal:
            return {"step": point["step"], "minutes": minutes(run, point["step"])}
    return None
