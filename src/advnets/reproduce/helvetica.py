"""The Helvetica scenario on demand: G trained too much without updating D maps many z to the same x (section 6)."""

import dataclasses
from dataclasses import dataclass
from typing import Any

import numpy as np
from matplotlib.figure import Figure
from scipy.spatial.distance import pdist

from advnets import recipes
from advnets.config import Config
from advnets.data import DataSet
from advnets.data.dataset import FloatArray
from advnets.evaluation.coverage import precision_recall
from advnets.evaluation.likelihood import flat
from advnets.evaluation.memorisation import duplicates
from advnets.evaluation.two_sample import nearest_neighbour_test
from advnets.reproduce import drawing
from advnets.reproduce.artefact import Artefact, Plan
from advnets.reproduce.runs import trained
from advnets.sampling import load_sampler

UPDATES = {"quick": 6_000, "full": 20_000}  # of G, in both runs
TOO_MANY = 30  # updates of G for each one of D
SHOWN, COLUMNS = 100, 10
MEANINGS = {
    "recall": "share of test images that lie among the samples",
    "coverage": "share of test images with a sample near",
    "distance": "mean distance between two samples, over that between two test images",
    "near": "share of samples with another one nearer than real images ever are to each other in so many",
    "fake_accuracy": "how often a sample's nearest neighbour is a sample: .5 if real",
}


@dataclass(frozen=True)
class Side:
    """One of the two runs: its samples, what they are called, and what tells them from data."""

    title: str
    x: FloatArray
    numbers: dict[str, float]


def reproduce(plan: Plan) -> Artefact:
    """Train `digits` by Algorithm 1 twice, with one and with far too many updates of G for each of D."""
    data = plan.load(recipes.get("digits").data)
    sides = [_side(plan, data, each, UPDATES[plan.budget] // each) for each in (1, TOO_MANY)]
    files = drawing.save(draw(sides), plan.folder / "helvetica.png")
    healthy, collapsed = (side.numbers for side in sides)
    rows = [("", *(side.title.split("\n")[0] for side in sides), "what it is")]
    rows += [(name, f"{healthy[name]:.3f}", f"{collapsed[name]:.3f}", words) for name, words in MEANINGS.items()]
    summary: dict[str, Any] = {"updates_of_g": UPDATES[plan.budget], "runs": [_facts(side) for side in sides]}
    holds = collapsed["coverage"] < healthy["coverage"] / 2 and collapsed["distance"] < healthy["distance"]
    return Artefact(rows, summary, files, holds=holds)


def _side(plan: Plan, data: DataSet, generator_steps: int, steps: int) -> Side:
    config = configured(generator_steps, steps)
    sampler = load_sampler(trained(plan, config, data), "raw")
    x, test = sampler.draw(len(data.test.x), 0), data.test.x
    each = f"{generator_steps} update{'s' * (generator_steps > 1)} of G for each of D"
    return Side(f"{each}\n{drawing.caption(sampler, 'digits').split(chr(10))[1]}", x, numbers(test, x))


def configured(generator_steps: int, steps: int) -> Config:
    """Return `digits` by Algorithm 1 with so many updates of G in each step."""
    base = recipes.get("digits")
    train = dataclasses.replace(
        base.train, mode="paper", generator_steps=generator_steps, steps=steps, average_decay=0.0, sample_every=steps
    )
    return dataclasses.replace(base, recipe=f"digits-{generator_steps}-of-g", train=train)


def numbers(test: FloatArray, x: FloatArray) -> dict[str, float]:
    """What reveals a collapse: as many samples as test images, compared in pixels."""
    real, fake = flat(test), flat(x)
    lying = precision_recall(real, fake)
    return {
        "recall": lying.recall,
        "coverage": lying.coverage,
        "distance": float(np.mean(pdist(fake)) / np.mean(pdist(real))),
        "near": duplicates(real, fake).near_share,
        "fake_accuracy": nearest_neighbour_test(real, fake).fake_accuracy,
    }


def draw(sides: list[Side]) -> Figure:
    """Put the first samples of both runs side by side, with the numbers below."""
    figure = Figure(figsize=(11, 6.6), layout="constrained")
    for axes, side in zip(figure.subplots(1, 2), sides, strict=True):
        drawing.panel(axes, side.x[:SHOWN], COLUMNS, side.title, stretch=False)
        text = ", ".join(f"{name.replace('_', ' ')} {value:.2f}" for name, value in side.numbers.items())
        axes.text(0.5, -0.02, text, transform=axes.transAxes, ha="center", va="top", fontsize=9)
    return figure


def _facts(side: Side) -> dict[str, Any]:
    return {"caption": side.title.replace("\n", "; "), **side.numbers}
