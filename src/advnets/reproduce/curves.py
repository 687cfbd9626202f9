"""The score of a run at its kept checkpoints, remembered in RUN/curve.json."""

import json
from collections.abc import Callable, Sequence
from functools import partial
from itertools import pairwise
from typing import Any

import numpy as np
from numpy.typing import NDArray

from advnets.evaluation.likelihood import HeldOut, both_grids, flat, likelihood
from advnets.reproduce.artefact import Plan
from advnets.runs import Run, read_json, write_json
from advnets.sampling import Weights, load_sampler

SAMPLES = 10_000
_VALIDATION_POINTS = 1_000


def weights_of(run: Run) -> tuple[Weights, ...]:
    """Name the weights that a run keeps: raw ones, and averaged ones where the recipe has them."""
    return ("raw", "average") if run.config().train.average_decay else ("raw",)


def validation_curve(plan: Plan, run: Run, held_out: HeldOut, steps: Sequence[int]) -> list[dict[str, Any]]:
    """Nats of the first 1,000 validation points (fine grid, 10,000 samples) at these steps, by weights."""
    points = HeldOut(held_out.validation, held_out.validation[:_VALIDATION_POINTS])
    report = plan.progress(f"validation of {run.path.name}")
    curve: list[dict[str, Any]] = []
    for done, step in enumerate(steps, start=1):
        curve.append({"step": step})
        for weights in weights_of(run):
            make = partial(_validation, run, weights, step, points)
            curve[-1][weights] = _remembered(run, f"validation {step} {weights}", make)["nats"]
        report(done, len(steps))
    return curve


def minutes(run: Run, step: int) -> float:
    """Minutes of training up to a step, by timing.jsonl: on whatever machine, and beside whatever ran there.

    Steps that were made twice, before and after a kill, count once.
    """
    lines = map(json.loads, run.timing.read_text().splitlines()) if run.timing.exists() else ()
    pace: dict[int, float] = {line["step"]: line["milliseconds_per_step"] for line in lines}
    made = sorted(at for at in pace if at <= step)
    return sum((at - before) * pace[at] for before, at in pairwise([0, *made])) / 60_000


def tested(plan: Plan, run: Run, held_out: Sequence[HeldOut], weights: Weights, step: int) -> dict[str, dict[str, Any]]:
    """Likelihood of the test data at one step, under `fine` and `legacy`; over folds where there are several."""

    def score() -> dict[str, Any]:
        report = plan.progress(f"test of {run.path.name}, step {step}, {weights} weights")
        return both_grids(_centres(run, weights, step), held_out, report=report)

    found = _remembered(run, f"test {step} {weights}", score)
    return {"fine": {name: value for name, value in found.items() if name != "legacy"}, "legacy": found["legacy"]}


def _validation(run: Run, weights: Weights, step: int, points: HeldOut) -> dict[str, Any]:
    return {"nats": likelihood(_centres(run, weights, step), points, "fine").nats}


def _centres(run: Run, weights: Weights, step: int) -> NDArray[np.float32]:
    return flat(load_sampler(run, weights, step).draw(SAMPLES, run.config().seed))


def _remembered(run: Run, key: str, make: Callable[[], dict[str, Any]]) -> dict[str, Any]:
    """Return what RUN/curve.json holds under a key, or make it and keep it there."""
    file = run.path / "curve.json"
    known: dict[str, Any] = read_json(file) if file.is_file() else {}
    if key not in known:
        known[key] = make()
        write_json(file, known)
    found: dict[str, Any] = known[key]
    return found
