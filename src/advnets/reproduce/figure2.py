"""Figure 2: samples, drawn at random, with the nearest training examples of the samples in the last column but one."""

import contextlib
import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from matplotlib.figure import Figure

from advnets import recipes
from advnets.config import Config, DataConfig
from advnets.data import DataSet
from advnets.data.dataset import FloatArray
from advnets.errors import InputError
from advnets.evaluation.likelihood import flat
from advnets.evaluation.neighbours import matrices, nearest
from advnets.reproduce import drawing
from advnets.reproduce.artefact import Artefact, Budget, Plan
from advnets.reproduce.curves import minutes
from advnets.reproduce.runs import KEEP_EVERY, DivergenceError, lasting, of_faces, run_of, trained
from advnets.runs import Run
from advnets.sampling import load_sampler

ROWS, COLUMNS = 6, 8  # the last column holds training examples
NAMES = {"mnist": "(a) MNIST", "tfd": "(b) TFD", "cifar10-fc": "(c) CIFAR-10, fully connected"}
NAMES["cifar10-conv"] = "(d) CIFAR-10, convolutional"
FRAMED = "Random draws, not picked. Framed: the training example nearest to the sample on its left."
STEPS: dict[Budget, dict[str, int]] = {
    "quick": {"mnist": 10_000, "cifar10-fc": 20, "cifar10-conv": 20, "tfd": 20},
    "full": {"mnist": 125_000, "cifar10-fc": 100_000, "cifar10-conv": 100_000, "tfd": 72_600},
}


@dataclass(frozen=True)
class Panel:
    """Samples and neighbours of one run, ready to be shown."""

    name: str
    x: FloatArray
    """(ROWS·COLUMNS, c, h, w), row by row; the last of each row is a training example."""
    caption: str
    stretch: bool
    distances: tuple[float, ...]
    """Of the neighbouring sample to the training example, per row, in the nets' units."""
    made: dict[str, Any]
    """Recipe, seed, step, weights, and milliseconds a step."""


def reproduce(plan: Plan) -> Artefact:
    """Read all data, train what is missing, draw, and find the neighbours.

    Recipes without data, and runs that diverge, are left out, which is a bad answer but for TFD, the user's own. Where
    training is stopped, what is trained so far is drawn.
    """
    wanted, left_out = _wanted(plan)
    panels = []
    try:
        for recipe, config in wanted.items():
            data = plan.load(config.data)
            try:
                panels.append(panel(trained(plan, config, data), data, NAMES[recipe]))
            except DivergenceError as error:
                left_out[recipe] = str(error)
    except KeyboardInterrupt:
        _draw_so_far(plan, wanted)
        raise
    if not panels:
        raise InputError(next(iter(left_out.values())))
    files = drawing.save(draw(panels), plan.folder / "figure2.png")
    rows = [("panel", "what", "distance to the neighbour"), *((p.name, _one_line(p.caption), _mean(p)) for p in panels)]
    notes = [f"{NAMES[name]} is left out: {reason}" for name, reason in left_out.items()]
    summary = {"panels": [_facts(one) for one in panels], "left_out": left_out}
    return Artefact(rows, summary, files, holds={*left_out} <= {"tfd"}, notes=notes)


def _wanted(plan: Plan) -> tuple[dict[str, Config], dict[str, str]]:
    """Read every data set before anything is trained; return what to train, and why recipes are left out.

    Data are let go and read again when their turn comes, so that one set is in memory at a time. Raises InputError
    where none can be read.
    """
    bases = {recipe: of_faces() if recipe == "tfd" else recipes.get(recipe) for recipe in NAMES}
    refused = {data: _refusal(plan, data) for data in dict.fromkeys(base.data for base in bases.values())}
    left_out = {recipe: str(error) for recipe, base in bases.items() if (error := refused[base.data])}
    if len(left_out) == len(bases):
        raise InputError(next(iter(left_out.values())))
    for recipe, reason in left_out.items():
        plan.say(f"{NAMES[recipe]} is left out: {reason}")
    steps = STEPS[plan.budget]
    return {
        recipe: lasting(base, steps[recipe], keep_every=KEEP_EVERY.get(recipe, 0))
        for recipe, base in bases.items()
        if recipe not in left_out
    }, left_out


def _refusal(plan: Plan, data: DataConfig) -> InputError | None:
    """Return why a data set cannot be read; None where it can."""
    try:
        plan.load(data)
    except InputError as error:
        return error
    return None


def _draw_so_far(plan: Plan, wanted: dict[str, Config]) -> None:
    """Draw the runs that have a checkpoint, if any; errors are told, since an interruption is under way."""
    panels = []
    for recipe, config in wanted.items():
        run = run_of(plan, config)
        if run.checkpoint_steps():
            with _telling(plan):
                run.check_settings(config)
                panels.append(panel(run, plan.load(config.data), NAMES[recipe]))
    if panels:
        with _telling(plan):
            (file,) = drawing.save(draw(panels), plan.folder / "figure2.png")
            plan.say(f"drew {file} from what is trained so far: {', '.join(one.name for one in panels)}")


@contextlib.contextmanager
def _telling(plan: Plan) -> Iterator[None]:
    try:
        yield
    except InputError as error:
        plan.say(str(error))


def panel(run: Run, data: DataSet, name: str, seed: int = 0) -> Panel:
    """Draw samples, never picked, and put the training example nearest to each row's last sample beside it."""
    sampler = load_sampler(run)
    samples = sampler.draw(ROWS * (COLUMNS - 1), seed).reshape(ROWS, COLUMNS - 1, *data.shape)
    train = data.scaling.undo(data.train.x)
    queries, points = matrices(samples=flat(samples[:, -1]), train=flat(train))
    found = nearest(queries, points)
    x = np.concatenate([samples, train[found.indices[:, 0]][:, None]], axis=1)
    return Panel(
        name,
        x.reshape(-1, *data.shape),
        drawing.caption(sampler, name),
        data.scaling.kind == "contrast",
        tuple(found.distances[:, 0].tolist()),
        {
            "recipe": sampler.config.recipe,
            "seed": sampler.config.seed,
            "step": sampler.step,
            "weights": sampler.weights,
            "milliseconds_per_step": _pace(run, sampler.step),
        },
    )


def _pace(run: Run, step: int) -> float | None:
    """Milliseconds that a step took on average up to the last line of timing.jsonl before it; None without one."""
    timed = step - step % run.config().train.log_every
    spent = minutes(run, timed)
    return 60_000 * spent / timed if spent else None


def draw(panels: list[Panel]) -> Figure:
    """Put the panels two by two."""
    down = math.ceil(len(panels) / 2)
    across = min(2, len(panels))
    figure = Figure(figsize=(5.4 * across, 4.6 * down + 0.5), layout="constrained")
    for axes in (grid := figure.subplots(down, across, squeeze=False)).flat[len(panels) :]:
        axes.set_axis_off()
    for axes, one in zip(grid.flat, panels, strict=False):
        drawing.panel(axes, one.x, COLUMNS, one.caption, stretch=one.stretch, framed=True)
    figure.supxlabel(FRAMED if across > 1 else FRAMED.replace(". ", ".\n"), fontsize=9)
    return figure


def _one_line(text: str) -> str:
    return text.split("\n")[1]


def _mean(one: Panel) -> str:
    return f"{np.mean(one.distances):.3g}"


def _facts(one: Panel) -> dict[str, Any]:
    return {"panel": one.name, "caption": one.caption, **one.made, "distances": one.distances}
