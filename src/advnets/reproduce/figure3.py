"""Figure 3: digits along straight lines between random points of z space."""

from matplotlib.figure import Figure

from advnets import recipes, sampling
from advnets.reproduce import drawing
from advnets.reproduce.artefact import Artefact, Plan
from advnets.reproduce.figure2 import STEPS
from advnets.reproduce.runs import KEEP_EVERY, lasting, trained
from advnets.sampling import load_sampler

LINES, POINTS = 8, 14


def reproduce(plan: Plan) -> Artefact:
    """Train `mnist` where it is missing, and draw the lines, never picked."""
    config = recipes.get("mnist")
    wanted = lasting(config, STEPS[plan.budget]["mnist"], keep_every=KEEP_EVERY["mnist"])
    run = trained(plan, wanted, plan.load(config.data))
    sampler = load_sampler(run)
    latents = sampling.lines(sampler.config.noise, LINES, POINTS, 0, sampler.conditions)
    text = drawing.caption(sampler, "Straight lines between random points of z space, ends included, a row each")
    figure = Figure(figsize=(8, 5.2), layout="constrained")
    drawing.panel(figure.subplots(), sampler.from_latents(latents), POINTS, text, stretch=False)
    files = drawing.save(figure, plan.folder / "figure3.png")
    facts = {"recipe": sampler.config.recipe, "seed": sampler.config.seed, "step": sampler.step}
    rows = [("lines", "points a line", "what"), (str(LINES), str(POINTS), text.split("\n")[1])]
    return Artefact(rows, {**facts, "weights": sampler.weights, "lines": LINES, "points": POINTS}, files)
