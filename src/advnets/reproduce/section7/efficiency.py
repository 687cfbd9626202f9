"""Section 7, efficiency: what better coordination of G and D, and other laws of z, buy, one factor at a time.

"Training could be accelerated greatly by devising better methods for coordinating G and D or determining better
distributions to sample z from during training."
"""

import dataclasses
import statistics
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import numpy as np
import torch
from lightning_fabric import Fabric

from advnets import recipes
from advnets.config import Config
from advnets.data import DataSet
from advnets.reproduce.artefact import Artefact, Budget, Plan
from advnets.reproduce.runs import DivergenceError, lasting, trained
from advnets.reproduce.section7 import efficiency_figure
from advnets.reproduce.section7.claims import all_hold, claim
from advnets.training.batches import Batches
from advnets.training.game import new_game
from advnets.training.processor import fast_products
from advnets.training.session import threads_for
from advnets.training.step import paper_step, released_step

Found = dict[str, Any]
Changes = Mapping[str, Mapping[str, Any]]
"""Settings by section and name."""

_SEEDS = 3
_ROUNDS, _STEPS = 7, 12  # of timing, interleaved
_UNSCORED = -1e29  # what the validator says where no bandwidth is best is below


@dataclass(frozen=True)
class Study:
    """What is varied, how long each run is, and which score has to be reached."""

    recipe: str
    steps: int
    every: int
    """Steps between validations."""
    goal: float
    """Nats of validation images, by the fine grid."""


STUDIES: Mapping[Budget, Study] = {
    "quick": Study("digits", 4_000, 250, 2.0),
    "full": Study("mnist-best", 3_000, 250, 120.0),
}


@dataclass(frozen=True)
class Setting:
    """One factor changed: a name for the run, the factor, the change in words, and the settings."""

    slug: str
    factor: str
    words: str
    changes: Changes


def settings(base: Config) -> Iterator[Setting]:
    """Yield the base, unchanged, and every change of one factor."""
    yield Setting("base", "", f"{base.recipe} as it is", {})
    yield from _coordination(base)
    yield from _average_and_rates(base)
    yield from _minibatch_and_noise(base)


def _coordination(base: Config) -> Iterator[Setting]:
    """Yield who moves when.

    Where players alternate, D takes whole gradients and released mode takes half of them, so that its rate is halved
    there: what differs is that it moves first.
    """
    d_rate = base.train.discriminator_learning_rate or base.train.learning_rate
    alternate = {"mode": "paper", "discriminator_learning_rate": d_rate / 2}
    up_to_5 = {**alternate, "k": 5, "rest_above": 0.5}
    for slug, factor, words, changed in (
        ("alternate", "order", "G after D (Algorithm 1), two passes", alternate),
        ("k2", "updates a step", "Algorithm 1, 2 of D", {**alternate, "k": 2}),
        ("g2", "updates a step", "Algorithm 1, 2 of G", {**alternate, "generator_steps": 2}),
        ("rest", "D rests", "above .5", {"rest_above": 0.5}),
        ("rest-k5", "D rests", "Algorithm 1, up to 5 of D, above .5", up_to_5),
    ):
        yield Setting(slug, factor, words, {"train": changed})


def _average_and_rates(base: Config) -> Iterator[Setting]:
    rate = base.train.learning_rate
    d_rate = base.train.discriminator_learning_rate or rate
    span = 10_000 if base.train.average_decay <= 0.999 else 1_000
    yield Setting("raw", "average of G", "none", {"train": {"average_decay": 0.0}})
    yield Setting(f"average-{span}", "average of G", f"over {span:,} steps", {"train": {"average_decay": 1 - 1 / span}})
    adam = {"optimiser": "adam", "decay_per_update": 1.0}
    for slug, factor, words, of_g, of_d, rule in (
        ("d-half", "rates", "D's halved", rate, d_rate / 2, {}),
        ("d-twice", "rates", "D's doubled", rate, 2 * d_rate, {}),
        ("g-half", "rates", "G's halved", rate / 2, d_rate, {}),
        ("adam", "Adam", "2e-4 both", 2e-4, 2e-4, adam),
        ("adam-two", "Adam", "two time scales: G 1e-4, D 4e-4", 1e-4, 4e-4, adam),
        ("adam-g", "Adam", "the other way: G 4e-4, D 1e-4", 4e-4, 1e-4, adam),
    ):
        rates = {"learning_rate": of_g, "discriminator_learning_rate": of_d}
        yield Setting(slug, factor, words, {"train": {**rule, **rates}})


def _minibatch_and_noise(base: Config) -> Iterator[Setting]:
    batch, z = base.train.batch_size, base.noise.dimension
    yield Setting("batch-half", "minibatch", f"{batch // 2}", {"train": {"batch_size": batch // 2}})
    yield Setting("batch-twice", "minibatch", f"{2 * batch}", {"train": {"batch_size": 2 * batch}})
    yield Setting("z-fewer", "noise", f"{z // 5} numbers", {"noise": {"dimension": z // 5}})
    yield Setting("z-more", "noise", f"{4 * z} numbers", {"noise": {"dimension": 4 * z}})
    yield Setting("z-gaussian", "noise", f"Gaussian, {z} numbers", {"noise": {"kind": "gaussian"}})


def configured(study: Study, setting: Setting, seed: int) -> Config:
    """Return the configuration of a run of the study."""
    base = lasting(recipes.get(study.recipe), study.steps, seed=seed)
    parts = {name: dataclasses.replace(getattr(base, name), **values) for name, values in setting.changes.items()}
    changed = dataclasses.replace(base, recipe=f"{study.recipe}-{setting.slug}", **parts)
    train = dataclasses.replace(
        changed.train, validate_every=study.every, checkpoint_every=study.steps, sample_every=study.steps
    )
    return dataclasses.replace(changed, train=train)


def reproduce(plan: Plan, study: Study | None = None) -> Artefact:
    """Train every setting for several seeds, and tell steps and time to the score."""
    study = study or STUDIES[plan.budget]
    base = recipes.get(study.recipe)
    data = plan.load(base.data)
    found = []
    for setting in settings(base):
        runs = [_seed(plan, study, setting, seed, data) for seed in range(plan.seeds or _SEEDS)]
        found.append({**dataclasses.asdict(setting), "runs": runs})
    report = plan.progress("milliseconds a step, all settings in turn")
    for one, cost in zip(found, costs(study, data, report), strict=True):
        one["cost"] = cost
    reached = sum(run["to_goal"] is not None for run in found[0]["runs"])
    wanted = f"{study.recipe} as it is reaches {study.goal:g} nats within {study.steps:,} steps on every seed"
    claims = [claim(wanted, f"{reached} of {len(found[0]['runs'])}", holds=reached == len(found[0]["runs"]))]
    summary = {**dataclasses.asdict(study), "settings": found, "claims": claims}
    files = efficiency_figure.draw(summary, plan.folder / "section7-efficiency.png")
    return Artefact([*table(summary)], summary, files, holds=all_hold(claims), notes=[*notes(summary)])


def _seed(plan: Plan, study: Study, setting: Setting, seed: int, data: DataSet) -> Found:
    """Train one run, and read how its validation likelihood went."""
    try:
        run, diverged = trained(plan, configured(study, setting, seed), data), None
    except DivergenceError as error:
        run, diverged = error.run, int(error.run.status()["step"])
    curve = [(int(line["step"]), float(line["nats"])) for line in run.validations() if line["step"] <= study.steps]
    scored = [(step, nats if nats > _UNSCORED else None) for step, nats in curve]
    return {"seed": seed, "curve": scored, "to_goal": to_goal(scored, study.goal), "diverged": diverged}


def to_goal(curve: Sequence[tuple[int, float | None]], goal: float) -> float | None:
    """Return the step at which a curve first reaches the goal, on the line between two validations; None if never."""
    for (before, low), (step, nats) in pairwise([(0, None), *curve]):
        if nats is not None and nats >= goal:
            return float(step) if low is None else before + (goal - low) / (nats - low) * (step - before)
    return None


def costs(study: Study, data: DataSet, report: Any) -> list[float]:
    """Time a step of every setting, in milliseconds: the median of rounds in which each has its turn."""
    configs = [configured(study, setting, 0) for setting in settings(recipes.get(study.recipe))]
    x = torch.from_numpy(data.train.x)
    fabric = Fabric(accelerator="cpu", devices=1)
    with threads_for(configs[0], data), fast_products(torch.device("cpu")):
        games = [(new_game(config, data.shape, x.mean(0), fabric), config.train) for config in configs]
        batches = [Batches(x, train.batch_size, 0) for _, train in games]
        spent: list[list[float]] = [[] for _ in games]
        for done in range(_ROUNDS + 1):  # the first warms up
            for times, (game, train), some in zip(spent, games, batches, strict=True):
                move, before = paper_step if train.mode == "paper" else released_step, time.perf_counter()
                for _ in range(_STEPS):
                    move(game, some)
                    game.step += 1
                times.append(1000 * (time.perf_counter() - before) / _STEPS)
            report(done, _ROUNDS)
    return [statistics.median(times[1:]) for times in spent]


def table(summary: Found) -> Iterator[tuple[str, ...]]:
    """Print steps and time to the score of every setting, beside those of the base."""
    base = summary["settings"][0]
    yield ("factor", "setting", f"steps to {summary['goal']:g} nats", "time of a step", "time to it", "nats at the end")
    for one in summary["settings"]:
        cost = one["cost"] / base["cost"]
        steps, there = _steps(one), _steps(base)
        spent = "" if not (steps and there) else f"{cost * np.mean(steps) / np.mean(there):.2f}"
        yield (one["factor"], one["words"], _reached(one, steps), f"{cost:.2f}", spent, _end(one))


def _steps(one: Found) -> list[float]:
    """Return the steps to the score, or nothing where a seed did not reach it."""
    steps = [run["to_goal"] for run in one["runs"]]
    return [] if None in steps else steps


def _reached(one: Found, steps: Sequence[float]) -> str:
    if steps:
        return _over_seeds(steps, 0)
    there = [run["to_goal"] for run in one["runs"] if run["to_goal"] is not None]
    return f"{len(there)} of {len(one['runs'])} seeds" if there else "not reached"


def _end(one: Found) -> str:
    lost = sum(run["diverged"] is not None for run in one["runs"])
    last = [run["curve"][-1][1] for run in one["runs"] if run["diverged"] is None and run["curve"]]
    if None in last or not last:
        return "diverged" if lost else "not measured"
    return _over_seeds(last, 1) + (f", {lost} diverged" if lost else "")


def _over_seeds(numbers: Sequence[float], digits: int) -> str:
    spread = f" ± {np.std(numbers, ddof=1):,.{digits}f}" if len(numbers) > 1 else ""
    return f"{np.mean(numbers):,.{digits}f}{spread}"


def notes(summary: Found) -> Iterator[str]:
    """What has to stand under the table."""
    seeds = len(summary["settings"][0]["runs"])
    yield (
        f"{summary['recipe']}, {summary['steps']:,} steps, {seeds} seeds (mean ± sd); Parzen likelihood of 1,000 "
        f"validation images under 10,000 samples every {summary['every']:,} steps, of the average of G where there is "
        "one; times are ratios to the first row, a step's measured in turn with all others"
    )
