"""Figure 2: samples, drawn at random, with the nearest training examples of the samples in the last column but one."""

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
from matplotlib.figure import Figure

from advnets import recipes
from advnets.data import DataSet, find
from advnets.data.dataset import FloatArray
from advnets.evaluation.likelihood import flat
from advnets.evaluation.neighbours import matrices, nearest
from advnets.reproduce import drawing
from advnets.reproduce.artefact import Artefact, Budget, Plan
from advnets.reproduce.runs import KEEP_EVERY, lasting, of_faces, trained
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


def reproduce(plan: Plan) -> Artefact:
    """Train what is missing, draw, and find the neighbours; TFD is left out where the user's file is not there."""
    panels, left_out = [], {}
    for recipe in NAMES:
        if recipe == "tfd" and find("tfd") is None:
            left_out[recipe] = "needs your own TFD_48x48.mat: advnets data info tfd"
            continue
        config = of_faces() if recipe == "tfd" else recipes.get(recipe)
        data = plan.load(config.data)
        wanted = lasting(config, STEPS[plan.budget][recipe], keep_every=KEEP_EVERY.get(recipe, 0))
        run = trained(plan, wanted, data)
        panels.append(panel(run, data, NAMES[recipe]))
    files = drawing.save(draw(panels), plan.folder / "figure2.png")
    rows = [("panel", "what", "distance to the neighbour"), *((p.name, _one_line(p.caption), _mean(p)) for p in panels)]
    rows += [(NAMES[name], reason, "") for name, reason in left_out.items()]
    return Artefact(rows, {"panels": [_facts(one) for one in panels], "left_out": left_out}, files)


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
    )


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
    return {"panel": one.name, "caption": one.caption, "distances": one.distances}
