"""The score of a run at its kept checkpoints, remembered in RUN/curve.json."""

import json
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from itertools import pairwise
from typing import Any

import numpy as np
from numpy.typing import NDArray

from advnets.errors import NotMeasurable
from advnets.evaluation.likelihood import (
    VALIDATION_POINTS,
    Centres,
    HeldOut,
    both_grids,
    flat,
    likelihood,
)
from advnets.evaluation.parzen import Grid
from advnets.reproduce.artefact import Plan
from advnets.runs import Run, read_json, write_json
from advnets.sampling import Weights, load_sampler

SAMPLES = 10_000
PROTOCOL = 2
"""Raised whenever the same checkpoint would be scored differently, so that no older score is taken for it."""

Found = dict[str, Any]


def weights_of(run: Run) -> tuple[Weights, ...]:
    """Name the weights that a run keeps: raw ones, and averaged ones where the recipe has them."""
    return ("raw", "average") if run.config().train.average_decay else ("raw",)


def validation_curve(plan: Plan, run: Run, held_out: Sequence[HeldOut], steps: Sequence[int]) -> list[Found]:
    """Nats of the first 1,000 validation points of every fold under 10,000 samples at these steps.

    A point is {"step", "fine": {weights: nats for each fold}, "legacy": the same}; nats are None where a grid has no
    best bandwidth inside.
    """
    points = [HeldOut(one.validation, one.validation[:VALIDATION_POINTS]) for one in held_out]
    report = plan.progress(f"validation of {run.path.name}")
    curve: list[Found] = []
    for done, step in enumerate(steps, start=1):
        point: Found = {"step": step, "fine": {}, "legacy": {}}
        for weights in weights_of(run):
            made = partial(_validation, run, weights, step, points)
            for grid, nats in remembered(run, f"validation {step} {weights}", made).items():
                point[grid][weights] = nats
        curve.append(point)
        report(done, len(steps))
    return curve


def minutes(run: Run, step: int) -> float | None:
    """Minutes of training up to a step, by timing.jsonl: on whatever machine, and beside whatever ran there.

    Steps that were made twice, before and after a kill, count once; None where the file does not reach so far.
    """
    pace = dict(_paces(run))
    made = sorted(at for at in pace if at <= step)
    if not made or made[-1] < 0.98 * step:
        return None
    return sum((at - before) * pace[at] for before, at in pairwise([0, *made])) / 60_000


def _paces(run: Run) -> Iterator[tuple[int, float]]:
    """Yield steps with the milliseconds of a step before them; a line that a kill cut off is left out."""
    for line in run.timing.read_text().splitlines() if run.timing.exists() else ():
        try:
            found = json.loads(line)
            yield int(found["step"]), float(found["milliseconds_per_step"])
        except (ValueError, KeyError, TypeError):
            continue


def tested(
    plan: Plan, run: Run, held_out: Sequence[HeldOut], weights: Weights, steps: Sequence[int]
) -> dict[str, Found]:
    """Likelihood of the test data, under `fine` and `legacy`: at one step, or at a step for each fold."""

    def score() -> Found:
        report = plan.progress(f"test of {run.path.name}, step {', '.join(map(str, steps))}, {weights} weights")
        try:
            return both_grids(_for_folds(run, weights, steps), held_out, report=report)
        except NotMeasurable as reason:
            return {"not_measured": str(reason), "legacy": {"not_measured": str(reason)}}

    found = remembered(run, f"test {' '.join(map(str, steps))} {weights}", score)
    return {"fine": {name: value for name, value in found.items() if name != "legacy"}, "legacy": found["legacy"]}


def _for_folds(run: Run, weights: Weights, steps: Sequence[int]) -> Centres:
    if len(set(steps)) == 1:
        return _centres(run, weights, steps[0])
    drawn = {step: _centres(run, weights, step) for step in set(steps)}
    return [drawn[step] for step in steps]


def _validation(run: Run, weights: Weights, step: int, points: Sequence[HeldOut]) -> Found:
    centres = _centres(run, weights, step)
    return {grid: [_nats(centres, one, grid) for one in points] for grid in ("fine", "legacy")}


def _nats(centres: NDArray[np.float32], points: HeldOut, grid: Grid) -> float | None:
    try:
        return likelihood(centres, points, grid).nats
    except NotMeasurable:
        return None


def _centres(run: Run, weights: Weights, step: int) -> NDArray[np.float32]:
    return flat(load_sampler(run, weights, step).draw(SAMPLES, run.config().seed))


def remembered(run: Run, key: str, make: Callable[[], Found]) -> Found:
    """Return what RUN/curve.json holds under a key of this protocol, or make it and keep it there."""
    file, key = run.path / "curve.json", f"{key}, {SAMPLES} samples, protocol {PROTOCOL}"
    known: Found = read_json(file) if file.is_file() else {}
    if key not in known:
        known[key] = make()
        write_json(file, known)
    found: Found = known[key]
    return found
