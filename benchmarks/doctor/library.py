"""Runs that are broken on purpose, each with the verdicts that are right for it, and good ones.

    ADVNETS_DATA=... python benchmarks/doctor/library.py OUT [--recipes digits ring] [--seeds 0 1] [--cases CASE ...]

Trains OUT/RECIPE/CASE-seedN, ordinary run folders without their checkpoints; folders that are there are left alone.
A recipe may be `cancer`, `diabetes` or `iris` (scikit-learn's tables), `fashion` (Fashion-MNIST, of Debian's package
dataset-fashion-mnist), `mnist16`, `cifar1016` or the path of an array of images; images are made 16x16.
Each run's outcome.json says by measures that the doctor does not use what the run has come to; benchmarks/doctor/
confusion.py calls broken what they call broken, and says what the doctor makes of it.
"""

import argparse
import contextlib
import dataclasses
import gzip
import shutil
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from unittest import mock

import numpy as np
import torch
from scipy.spatial.distance import cdist
from sklearn.datasets import load_breast_cancer, load_diabetes, load_iris

from advnets import objectives, recipes, sampling
from advnets.config import Config, DataConfig
from advnets.data import load
from advnets.data.dataset import DataSet, Split
from advnets.errors import NotMeasurable
from advnets.evaluation.coverage import precision_recall
from advnets.runs import Run, write_json
from advnets.training import train
from advnets.training.batches import Batches
from advnets.training.game import Game, Player

STEPS = {"digits": 4_000, "ring": 4_000, "grid": 4_000, "gaussian": 4_000}
"""Steps of a broken run; of arrays of images SLOW, of others MANY. Good: the recipe's own, at most LONGEST."""
MANY, SLOW, LONGEST = 3_000, 6_000, 20_000  # on the faces D has not begun before step 1,500
FASHION = Path("/usr/share/datasets/fashion-mnist")
TABLES = {"cancer": load_breast_cancer, "diabetes": load_diabetes, "iris": load_iris}
POINTS = ("ring", "grid", "gaussian")
"""Of these 20 examples are no tiny set: G learns their density, no example by heart."""

Change = Callable[[Config], Config]
Spoil = Callable[[DataSet], DataSet]
Sabotage = Callable[[Config], AbstractContextManager[Any]]


@dataclass(frozen=True)
class Case:
    """A way for a run to go wrong, or well."""

    right: tuple[str, ...]
    """Verdicts that are right for it."""
    change: Change = lambda config: config
    spoil: Spoil = lambda data: data
    sabotage: Sabotage = lambda config: contextlib.nullcontext()


def setting(**changes: Any) -> Change:
    return lambda config: dataclasses.replace(config, train=dataclasses.replace(config.train, **changes))


def rates(generator: float, discriminator: float) -> Change:
    """Multiply either player's learning rate."""

    def change(config: Config) -> Config:
        rate = config.train.learning_rate
        own = config.train.discriminator_learning_rate or rate
        return setting(learning_rate=rate * generator, discriminator_learning_rate=own * discriminator)(config)

    return change


def rows(change: Callable[[np.ndarray], np.ndarray]) -> Spoil:
    """Change training and validation examples."""

    def spoil(data: DataSet) -> DataSet:
        parts = {name: Split(change(getattr(data, name).x), None) for name in ("train", "validation")}
        return dataclasses.replace(data, **parts)

    return spoil


def tiny(data: DataSet) -> DataSet:
    """Twenty examples, over and over; held-out ones stay."""
    return dataclasses.replace(data, train=Split(np.repeat(data.train.x[:20], 20, 0), None))


def constant(x: np.ndarray) -> np.ndarray:
    return np.broadcast_to(x[:1], x.shape).copy()


@contextlib.contextmanager
def frozen(side: str) -> Iterator[None]:
    """Let one player never move."""
    update = Game.update

    def without(game: Game, player: Player, *arguments: Any, **options: Any) -> None:
        if player is getattr(game, side):
            player.optimiser.zero_grad(set_to_none=True)
        else:
            update(game, player, *arguments, **options)

    with mock.patch.object(Game, "update", without):
        yield


@contextlib.contextmanager
def swapped(config: Config) -> Iterator[None]:
    """Tell D that data are samples and samples are data."""
    value = objectives.value
    with mock.patch.object(objectives, "value", lambda real, fake: value(fake, real)):
        yield


@contextlib.contextmanager
def spoiled_late(config: Config) -> Iterator[None]:
    """Minibatches hold a number that is none after a fifth of the steps."""
    get = Batches.__getitem__

    def spoilt(batches: Batches, index: int) -> torch.Tensor:
        batch = get(batches, index)
        return batch * torch.nan if index >= config.train.steps * config.train.k // 5 else batch

    with mock.patch.object(Batches, "__getitem__", spoilt):
        yield


def dead(config: Config) -> Config:
    """Begin G's rectifiers far below nought."""
    biases = (-50.0,) * len(config.generator.hidden)
    return dataclasses.replace(config, generator=dataclasses.replace(config.generator, hidden_biases=biases))


def linear(config: Config) -> Config:
    """Let G reach numbers beyond 0 to 1."""
    return dataclasses.replace(config, generator=dataclasses.replace(config.generator, output="linear"))


def saturating(config: Config) -> Config:
    """Descend log(1 - D(G(z))) from a D that is ahead: more steps for it, and larger ones."""
    return setting(mode="paper", k=5, minimax_weight=1.0, non_saturating_weight=0.0)(rates(0.3, 1)(config))


FINE = ("healthy", "learning")
CASES: dict[str, Case] = {
    "good": Case(FINE),
    "rates-x100": Case(
        ("diverged", "discriminator-won", "saturated", "collapsed", "oscillating", "dead-units"), rates(100, 100)
    ),
    "rates-x0.01": Case(("stalled",), rates(0.01, 0.01)),
    "no-d": Case(("stalled", "generator-ahead", "collapsed"), sabotage=lambda config: frozen("discriminator")),
    "no-g": Case(("stalled", "discriminator-won", "saturated"), sabotage=lambda config: frozen("generator")),
    "too-many-d": Case(("discriminator-won", "saturated"), lambda c: setting(mode="paper", k=20)(rates(0.05, 1)(c))),
    "too-many-g": Case(
        ("collapsed", "partly-collapsed", "generator-ahead", "oscillating"), setting(mode="paper", generator_steps=20)
    ),
    "swapped": Case(("generator-ahead", "collapsed", "stalled"), sabotage=swapped),
    "dead-g": Case(("dead-units", "collapsed"), dead),
    "constant": Case(("collapsed",), spoil=rows(constant)),
    "tiny": Case(("memorising", "discriminator-won"), spoil=tiny),  # D, who learns them first, may win before G does
    "nan": Case(("diverged",), sabotage=spoiled_late),
    "scale-x255": Case(("discriminator-won", "saturated", "diverged", "stalled"), linear, rows(lambda x: 255 * x)),
    "minimax": Case(("saturated", "discriminator-won"), saturating),
}


def prepared(name: str, case_name: str, seed: int, out: Path) -> Config:
    """The settings of one run of the library."""
    case = CASES[case_name]
    base = recipes.get(name) if name in recipes.RECIPES else _auto(name, out)
    steps = min(LONGEST, base.train.steps) if case_name == "good" else STEPS.get(name, SLOW if "." in name else MANY)
    config = case.change(setting(steps=steps)(dataclasses.replace(base, seed=seed)))
    if case_name.startswith("too-many"):  # each of these steps is twenty
        config = setting(steps=steps // 2, log_every=25)(config)
    return setting(sample_every=config.train.steps, checkpoint_every=config.train.steps)(config)


def _auto(name: str, out: Path) -> Config:
    own = DataConfig(name.removesuffix("16"), size=16)
    if name in TABLES:
        own = DataConfig(str(out / f"{name}.npy"))
        np.save(own.name, TABLES[name]().data)
    if name == "fashion":
        own = DataConfig(str(out / "fashion.npz"), size=16)
        np.savez(own.name, x=_idx("train-images-idx3", 16, (-1, 28, 28)), y=_idx("train-labels-idx1", 8, (-1,)))
    data = load(own)
    return recipes.auto(Config(data=own), data.shape, len(data.train.x), unit=data.scaling.kind == "unit")


def _idx(name: str, header: int, shape: tuple[int, ...]) -> np.ndarray:
    with gzip.open(FASHION / f"{name}-ubyte.gz") as file:
        return np.frombuffer(file.read(), np.uint8, offset=header).reshape(shape)


def make(run: Run, name: str, case_name: str, seed: int) -> str:
    """Train one run; return how it ended."""
    config, case = prepared(name, case_name, seed, run.path.parent.parent), CASES[case_name]
    data = case.spoil(load(config.data))
    with case.sabotage(config):
        ending = train(config, data, run)
    found = {"coverage": 0.0, "energy": 1.0} if ending.state == "diverged" else outcome(run, data)
    write_json(run.path / "outcome.json", found)
    shutil.rmtree(run.path / "checkpoints", ignore_errors=True)
    return f"{ending.state} at step {ending.step} after {ending.seconds:.0f} s: {found}"


def outcome(run: Run, data: DataSet) -> dict[str, float]:
    """Measure what a run has come to: 1,000 samples of its raw weights beside as many held-out examples.

    coverage: the share of examples whose ball of 5 neighbours holds a sample, over that expected of the data's law.
    energy: (2 E|x-y| - E|x-x'| - E|y-y'|) / (2 E|x-y|), 0 for one law, 1 for laws of a point each.
    """
    sampler = sampling.load_sampler(run, "raw")
    samples = sampling.generate(sampler.net, sampling.draw_latents(sampler.config.noise, 1000, 7)).reshape(1000, -1)
    held_out = data.validation.x[:1000].reshape(min(1000, len(data.validation.x)), -1)
    if not np.isfinite(samples).all():
        return {"coverage": 0.0, "energy": 1.0}
    try:
        balls = precision_recall(held_out, samples)
        coverage = balls.coverage / balls.expected_coverage
    except NotMeasurable:  # all examples are alike
        coverage = 0.0
    across, within, among = cdist(samples, held_out).mean(), _apart(samples), _apart(held_out)
    return {"coverage": coverage, "energy": float(1 - (within + among) / (2 * across)) if across else 0.0}


def _apart(x: np.ndarray) -> float:
    """Mean distance of two different rows."""
    return float(cdist(x, x).sum()) / (len(x) * (len(x) - 1))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("out", type=Path)
    parser.add_argument("--recipes", nargs="+", default=["digits", "ring"])
    parser.add_argument("--seeds", nargs="+", type=int, default=[0])
    parser.add_argument("--cases", nargs="+", default=list(CASES), choices=list(CASES))
    options = parser.parse_args()
    for seed in options.seeds:
        for name in options.recipes:
            for case_name in options.cases:
                if case_name == "tiny" and name in POINTS:
                    continue
                run = Run(options.out / Path(name).name / f"{case_name}-seed{seed}")
                if run.status().get("state") not in ("finished", "diverged"):
                    shutil.rmtree(run.path, ignore_errors=True)  # left half made
                    print(name, case_name, seed, make(run, name, case_name, seed), flush=True)
                elif not (run.path / "outcome.json").exists():  # a run of another origin, with its checkpoints
                    write_json(run.path / "outcome.json", outcome(run, load(run.config().data)))


if __name__ == "__main__":
    main()
