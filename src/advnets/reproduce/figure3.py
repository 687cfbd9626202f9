"""Figure 3: digits along straight lines between random points of z space."""

import dataclasses

from matplotlib.figure import Figure

from advnets import recipes, sampling
from advnets.reproduce import drawing
from advnets.reproduce.artefact import Artefact, Plan
from advnets.reproduce.figure2 import STEPS
from advnets.reproduce.runs import trained
from advnets.sampling import load_sampler

LINES, POINTS = 8, 14


def reproduce(plan: Plan) -> Artefact:
    """Train `mnist` where it is missing, and draw the lines, never picked."""
    config = recipes.get("mnist")
    steps = STEPS[plan.budget]["mnist"]
    train = dataclasses.replace(
        config.train, steps=steps, checkpoint_every=min(1_000, steps), sample_every=max(1, steps // 5)
    )
    sampler = load_sampler(trained(plan, dataclasses.replace(config, train=train), plan.load(config.data)))
    latents = sampling.lines(sampler.config.noise, LINES, POINTS, seed=0)
    text = drawing.caption(sampler, "Straight lines between random points of z space, ends included, a row each")
    figure = Figure(figsize=(8, 5.2), layout="constrained")
    drawing.panel(figure.subplots(), sampler.from_latents(latents), POINTS, text, stretch=False)
    files = drawing.save(figure, plan.folder / "figure3.png")
    facts = {"recipe": sampler.config.recipe, "seed": sampler.config.seed, "step": sampler.step}
    rows = [("lines", "points a line", "what"), (str(LINES), str(POINTS), text.split("\n")[1])]
    return Artefact(rows, {**facts, "weights": sampler.weights, "lines": LINES, "points": POINTS}, files)
