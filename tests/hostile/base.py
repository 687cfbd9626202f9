"""A small run, an estimator and data, made once a process, that hostile inputs replace parts of."""

import dataclasses
import functools
import shutil
import tempfile
from pathlib import Path

import numpy as np

from advnets import AdversarialNets, recipes
from advnets.config import ChainConfig, Config, RBMConfig
from advnets.data import DataSet, load
from advnets.evaluation import features
from advnets.runs import Run
from advnets.training import train

RUN = ("state.json", "generator", "discriminator", "average", "generator-optimiser", "discriminator-optimiser", "game")
STEP = 4


@functools.cache
def digits() -> DataSet:
    """The digits inside scikit-learn."""
    return load(recipes.get("digits").data)


@functools.cache
def points() -> DataSet:
    """Vectors of two numbers."""
    return load(recipes.get("ring").data)


def config() -> Config:
    """Settings of nets so small that their files are."""
    base, often = recipes.get("digits"), {"log_every": 1, "checkpoint_every": 2, "sample_every": 4, "batch_size": 5}
    return dataclasses.replace(
        base,
        noise=dataclasses.replace(base.noise, dimension=2),
        generator=dataclasses.replace(base.generator, hidden=(2,)),
        discriminator=dataclasses.replace(base.discriminator, hidden=(2,), pieces=2),
        train=dataclasses.replace(base.train, steps=STEP, **often),
    )


@functools.cache
def run() -> Path:
    """The folder of a finished run of STEP steps on digits, which went back once."""
    folder = Path(tempfile.mkdtemp(prefix="hostile-")) / "run"
    train(config(), digits(), Run(folder))
    (folder / "rollbacks.json").write_text('{"rollbacks": [{"at": 3, "verdict": "collapsed", "to": 2}]}')
    (folder / "validation.jsonl").write_text('{"step": 2, "nats": 1.5}\n{"step": 4, "nats": 2.5}\n')
    shutil.rmtree(folder / "samples")
    (folder / "samples.png").unlink()
    return folder


RIVAL = ("state.json", "model", "model-optimiser", "game")


def rival_config() -> Config:
    """Settings of a small belief net, whose second layer has begun at STEP."""
    small = RBMConfig((3, 2), layer_steps=2, persistent="on")
    train = dataclasses.replace(config().train, batch_size=3)
    chain = ChainConfig(chains=4, burn_in=1, thinning=1)
    return Config("dbn", data=config().data, train=train, rbm=small, chain=chain)


@functools.cache
def rival() -> Path:
    """The folder of a finished run of STEP steps of a rival on digits."""
    folder = Path(tempfile.mkdtemp(prefix="hostile-")) / "rival"
    train(rival_config(), digits(), Run(folder))
    shutil.rmtree(folder / "samples")
    (folder / "samples.png").unlink()
    return folder


@functools.cache
def estimator() -> Path:
    """The folder that an estimator of 2x2 images wrote."""
    folder = Path(tempfile.mkdtemp(prefix="hostile-")) / "estimator"
    x = np.random.default_rng(0).random((30, 2, 2))
    settings = {"generator.hidden": (2,), "discriminator.hidden": (2,), "noise.dimension": 2, "train.batch_size": 5}
    AdversarialNets(steps=2, settings=settings, n_centres=10, bandwidth=0.5, random_state=0).fit(x).save(folder)
    shutil.rmtree(folder / "samples", ignore_errors=True)
    (folder / "samples.png").unlink(missing_ok=True)
    return folder


@functools.cache
def classifier() -> Path:
    """The cache of a classifier of digits, hardly trained."""
    folder = Path(tempfile.mkdtemp(prefix="hostile-")) / "features"
    before, features._STEPS = features._STEPS, 2
    try:
        features.feature_net(digits(), cache=folder)
    finally:
        features._STEPS = before
    return folder


@functools.cache
def contents(folder: Path) -> dict[str, bytes]:
    """The files of a folder, by their paths in it."""
    files = [path for path in sorted(folder.rglob("*")) if path.is_file() and path.name != ".lock"]
    return {str(path.relative_to(folder)): path.read_bytes() for path in files}


def warm_up() -> None:
    """Make all of it, outside of what is measured."""
    digits(), points()
    for make in (run, rival, estimator, classifier):
        contents(make())
