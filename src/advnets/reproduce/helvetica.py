"""The Helvetica scenario on demand: G trained too much without updating D maps many z to the same x (section 6)."""

import dataclasses
import json
from dataclasses import dataclass
from typing import Any

import numpy as np
from matplotlib.figure import Figure
from scipy.spatial.distance import pdist

from advnets import recipes
from advnets.config import Config
from advnets.data import DataSet
from advnets.data.dataset import FloatArray
from advnets.errors import InputError
from advnets.evaluation.coverage import precision_recall
from advnets.evaluation.likelihood import flat
from advnets.evaluation.memorisation import duplicates
from advnets.evaluation.two_sample import nearest_neighbour_test
from advnets.reproduce import drawing
from advnets.reproduce.artefact import Artefact, Plan
from advnets.reproduce.runs import trained
from advnets.runs import Run
from advnets.sampling import load_sampler

UPDATES = {"quick": 6_000, "full": 24_000}  # of G, in both runs; a full run passes, and keeps, the step of a quick one
TOO_MANY = 30  # updates of G for each one of D
SHOWN, COLUMNS = 100, 10
REAL = "training images in place of samples"
LOGGED = ("d_real", "d_fake", "discriminator_loss")
MEANINGS = {
    "recall": "share of test images that lie among the samples",
    "coverage": "share of test images with a sample near",
    "distance": "mean distance between two samples, over that between two test images",
    "near": "share of samples with another one nearer than real images ever are to each other in so many",
    "fake_accuracy": "how often a sample's nearest neighbour is a sample: .5 if real",
}


@dataclass(frozen=True)
class Side:
    """One of the two runs: its samples, what they are called, what tells them from data, and what made them."""

    title: str
    x: FloatArray
    numbers: dict[str, float]
    made: dict[str, Any]


def reproduce(plan: Plan) -> Artefact:
    """Train `digits` by Algorithm 1 twice, with one and with far too many updates of G for each of D."""
    data = plan.load(recipes.get("digits").data)
    sides = [_side(plan, data, each, UPDATES[plan.budget] // each) for each in (1, TOO_MANY)]
    real = numbers(data.test.x, data.train.x[: len(data.test.x)])
    files = drawing.save(draw(sides, real), plan.folder / "helvetica.png")
    healthy, collapsed = (side.numbers for side in sides)
    rows = [("", *(side.title.split("\n")[0] for side in sides), REAL, "what it is")]
    for name, words in MEANINGS.items():
        rows.append((name, *(f"{one[name]:.3f}" for one in (healthy, collapsed, real)), words))
    summary: dict[str, Any] = {
        "updates_of_g": UPDATES[plan.budget],
        "runs": [_facts(side) for side in sides],
        "real": {"caption": REAL, **real},
    }
    holds = collapsed["coverage"] < healthy["coverage"] / 2 and collapsed["distance"] < healthy["distance"]
    return Artefact(rows, summary, files, holds=holds)


def _side(plan: Plan, data: DataSet, generator_steps: int, steps: int) -> Side:
    """Train one run, and look at it at that very step, however far it has gone."""
    run = trained(plan, configured(generator_steps, steps), data)
    if steps not in run.checkpoint_steps():
        raise InputError(
            f"{run.path} has passed step {steps:,} and kept no checkpoint of it, allowed: a run that keeps it; move "
            "that folder away, and give the same command again"
        )
    sampler = load_sampler(run, "raw", steps)
    x, test = sampler.draw(len(data.test.x), 0), data.test.x
    each = f"{generator_steps} update{'s' * (generator_steps > 1)} of G for each of D"
    title = f"{each}\n{drawing.caption(sampler, 'digits').split(chr(10))[1]}"
    return Side(title, x, numbers(test, x), {"step": steps, "generator_steps": generator_steps, **_logged(run, steps)})


def configured(generator_steps: int, steps: int) -> Config:
    """Return `digits` by Algorithm 1 with so many updates of G in each step; a quick run's last step is kept for good.

    Both budgets share a run, so that the one may be shown after the other has gone on.
    """
    base = recipes.get("digits")
    train = dataclasses.replace(
        base.train,
        mode="paper",
        generator_steps=generator_steps,
        steps=steps,
        average_decay=0.0,
        keep_every=UPDATES["quick"] // generator_steps,
        sample_every=steps,
    )
    return dataclasses.replace(base, recipe=f"digits-{generator_steps}-of-g", train=train)


def _logged(run: Run, step: int) -> dict[str, Any]:
    """What the last line of the log up to a step says of D: means over the steps of that line; None without one."""
    lines = map(json.loads, run.log.read_text().splitlines() if run.log.exists() else ())
    last = [line for line in lines if line["step"] <= step][-1:]
    return {name: last[0][name] if last else None for name in LOGGED}


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


def draw(sides: list[Side], real: dict[str, float]) -> Figure:
    """Put the first samples of both runs side by side, with the numbers below, and below these what data have."""
    figure = Figure(figsize=(11, 6.6), layout="constrained")
    for axes, side in zip(figure.subplots(1, 2), sides, strict=True):
        drawing.panel(axes, side.x[:SHOWN], COLUMNS, side.title, stretch=False)
        axes.text(0.5, -0.02, _words(side.numbers), transform=axes.transAxes, ha="center", va="top", fontsize=9)
    figure.supxlabel(f"{REAL}: {_words(real)}", fontsize=9)
    return figure


def _words(found: dict[str, float]) -> str:
    return ", ".join(f"{name.replace('_', ' ')} {value:.2f}" for name, value in found.items())


def _facts(side: Side) -> dict[str, Any]:
    return {"caption": side.title.replace("\n", "; "), **side.made, **side.numbers}
