"""Table 1, the rows of the rivals on MNIST: trained here, drawn from by their chains, scored by both grids."""

import dataclasses
import math
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any, Literal

import numpy as np

from advnets import recipes
from advnets.config import ChainConfig, Config, to_json
from advnets.data import DataSet
from advnets.errors import NotMeasurable
from advnets.evaluation.likelihood import HeldOut, both_grids, flat
from advnets.reproduce.artefact import Budget, Plan
from advnets.reproduce.curves import SAMPLES, minutes, remembered
from advnets.reproduce.runs import DivergenceError, lasting, trained
from advnets.runs import Run
from advnets.sampling import Sampler, load_sampler, lowest_layers

Found = dict[str, Any]
Pixels = Literal["means", "samples"]
PIXELS: tuple[Pixels, ...] = ("means", "samples")


@dataclass(frozen=True)
class Line:
    """A model of the table: a recipe, or the lowest layers of one, and what its authors published."""

    name: str
    recipe: str
    layers: int
    nats: float | None = None
    error: float | None = None


LINES = (
    Line("deep belief net, 1 layer", "dbn", 1, -243.91, 54.11),
    Line("deep belief net", "dbn", 2, 137.89, 2.11),
    Line("contractive autoencoder, 1 layer", "cae", 1, 67.69, 2.87),
    Line("stacked contractive autoencoder", "cae", 2, 121.17, 1.59),
    Line("deep generative stochastic network", "gsn", 2, 214.0, 1.1),
    Line("variational autoencoder", "vae", 1),
)
"""Bengio, Mesnil, Dauphin and Rifai 2013, and Bengio et al. 2014 for the GSN; the VAE is in Table 2 only."""

PUBLISHED = (
    ("conditional adversarial nets (Mirza and Osindero 2014)", "132 ± 1.8"),
    ("generative moment matching net with autoencoder (Li et al. 2015)", "282 ± 2"),
    ("variational autoencoder, 8 latent units (as scored by Makhzani et al. 2015)", "290 ± 2"),
    ("best small variational autoencoder", "325 ± 2"),
    ("adversarial autoencoder (Makhzani et al. 2015)", "340 ± 2"),
)

_QUICK = MappingProxyType({"dbn": 1_000, "cae": 1_000, "gsn": 250, "vae": 3_000})
"""Steps of a layer in a few minutes."""


def config_of(recipe: str, budget: Budget, seed: int) -> Config:
    """Return a recipe, or under `quick` a shorter one, whose layers have equally many steps."""
    base = recipes.get(recipe)
    if budget == "full":
        return lasting(base, base.train.steps, seed=seed)
    steps, layers = _QUICK[recipe], 1
    if base.rbm:
        base, layers = dataclasses.replace(base, rbm=dataclasses.replace(base.rbm, layer_steps=steps)), 2
    if base.cae:
        base, layers = dataclasses.replace(base, cae=dataclasses.replace(base.cae, layer_steps=steps)), 2
    return lasting(dataclasses.replace(base, recipe=f"{recipe}-{steps}-steps"), steps * layers, seed=seed)


def rows(plan: Plan, lines: Sequence[Line] = LINES) -> list[Found]:
    """Train every model, and score it with means and with draws of pixels as centres; a row for each line."""
    found = []
    for line in lines:
        seeds = [*_seeds(plan, line)]
        paper = None if line.nats is None else {"nats": line.nats, "error": line.error}
        found.append({"model": line.name, "recipe": line.recipe, "layers": line.layers, "paper": paper, "seeds": seeds})
    return found


def _seeds(plan: Plan, line: Line) -> Iterator[Found]:
    """Score seed after seed; one that diverged is told and left out."""
    for seed in range(plan.seeds or 1):
        try:
            yield _seed(plan, line, config_of(line.recipe, plan.budget, seed))
        except DivergenceError as diverged:
            plan.say(f"{diverged.run.path} diverged, and is in no row")


def _seed(plan: Plan, line: Line, config: Config) -> Found:
    data = plan.load(config.data)
    run = trained(plan, config, data)
    sampler = load_sampler(run)
    whole = config.layer_steps is None or line.layers == len(getattr(config.rival, "hidden", ()))
    if not whole:
        sampler = lowest_layers(sampler, line.layers)
    steps = sampler.step if whole else line.layers * (config.layer_steps or 0)
    chain = config.chain or ChainConfig()
    shown = {pixels: sampler.by(dataclasses.replace(chain, pixels=pixels)) for pixels in PIXELS}
    return {
        "run": run.path.name,
        "seed": config.seed,
        "steps": steps,
        "epochs": steps * config.train.batch_size / len(data.train.x),
        "minutes": minutes(run, steps),
        "seconds": sampling_seconds(run, shown["means"], line.layers),
        "training_images": len(data.train.x),
        "chain": {**to_json(chain), "start": "noise"} if config.has_chain else None,
        "scores": {pixels: scored(plan, run, one, data, line.layers) for pixels, one in shown.items()},
    }


def scored(plan: Plan, run: Run, sampler: Sampler, data: DataSet, layers: int) -> Found:
    """Likelihood of the test data under so many samples, by both grids, or why there is none."""
    chain = sampler.config.chain

    def make() -> Found:
        report = plan.progress(f"{run.path.name}, {layers} layers, {chain.pixels if chain else 'samples'}")
        centres = flat(sampler.draw(SAMPLES, sampler.config.seed))
        try:
            return both_grids(centres, (HeldOut.of(data),), report=report)
        except NotMeasurable as reason:
            return {"not_measured": str(reason), "legacy": {"not_measured": str(reason)}}

    return remembered(run, f"rival, {layers} layers, step {sampler.step}, {chain}", make)


def sampling_seconds(run: Run, sampler: Sampler, layers: int) -> float:
    """Seconds that so many samples take to draw, burn-in included."""

    def make() -> Found:
        before = time.perf_counter()
        sampler.draw(SAMPLES, sampler.config.seed)
        return {"seconds": time.perf_counter() - before}

    key = f"seconds, {layers} layers, step {sampler.step}, {sampler.config.chain}"
    return float(remembered(run, key, make)["seconds"])


def table(found: Sequence[Found], references: Mapping[str, Found]) -> Iterator[tuple[str, ...]]:
    """Ours beside the published, for each kind of centres, with the reference rows and records below."""
    yield ("MNIST, nats", "published", "paper's grid", "fine grid", "centres", "training", f"{SAMPLES:,} samples")
    for row in found:
        for pixels in PIXELS:
            yield _line(row, pixels)
    for name, one in references.items():
        fine, legacy = (_nats([one]), _nats([one["legacy"]])) if "legacy" in one else ("not measured", "")
        yield (f"centres that no model made: {name.replace('_', ' ')}", "", legacy, fine, "", "", "")
    for name, nats in PUBLISHED:
        yield (name, nats, "", "", "", "", "")


def _line(row: Found, pixels: str) -> tuple[str, ...]:
    seeds, paper = row["seeds"], row["paper"]
    published = f"{paper['nats']:.1f} ± {paper['error']:.1f}" if paper and pixels == "means" else ""
    if not seeds:
        return (row["model"], published, "diverged", "", pixels, "", "")
    how, chain = "independent", seeds[0]["chain"]
    if chain:
        how = f"{chain['chains']} chains from noise, every {_ordinal(chain['thinning'])}state"
    shown = "means given the hidden units" if pixels == "means" else "draws"
    timed = [one["minutes"] for one in seeds if one["minutes"] is not None]
    training = f"{np.mean(timed):.0f} min, {seeds[0]['epochs']:.3g} epochs" if timed else "not timed"
    return (
        row["model"],
        published,
        _nats([one["scores"][pixels]["legacy"] for one in seeds]),
        _nats([one["scores"][pixels] for one in seeds]),
        f"{shown}; {how}",
        training,
        f"{np.mean([one['seconds'] for one in seeds]):.1f} s" if pixels == "means" else "",
    )


def _ordinal(number: int) -> str:
    """Spell 1 as nothing, 2 as 2nd, 10 as 10th."""
    ending = {2: "nd", 3: "rd"}.get(number, "th")
    return "" if number == 1 else f"{number}{ending} "


def _nats(seeds: Sequence[Found]) -> str:
    nats = [one["nats"] for one in seeds if math.isfinite(one.get("nats", math.nan))]
    if len(nats) < len(seeds):
        return "not measured"
    error = float(np.mean([one["standard_error"] for one in seeds]))
    if len(nats) == 1:
        return f"{nats[0]:.1f} (error {error:.1f})"
    return f"{np.mean(nats):.1f} ± {np.std(nats, ddof=1):.1f} over {len(nats)} seeds (error {error:.1f})"


def notes(references: Mapping[str, Found]) -> Iterator[str]:
    """What has to stand under the table."""
    legacy = references.get("training_images", {}).get("legacy", {}).get("nats")
    real = "" if legacy is None else f", {legacy:.1f} nats here,"
    yield (
        f"above the score of training images{real} this measure rewards smoothing, not quality: centroids of k-means "
        "beat real data (Theis, van den Oord and Bethge 2016)"
    )
    yield "published rows submit means of pixels, not draws, which is worth hundreds of nats here"
