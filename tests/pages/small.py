"""What stands for the real thing while pages are run: the same commands and scripts, at sizes that take no time.

Nets of a few units that learn for four steps; for MNIST scikit-learn's digits, enlarged; a few samples. What is
appended to a command, or put in the place of a number in it or in a script, is listed here and nowhere else.
"""

import contextlib
import dataclasses
import io
import re
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from advnets import recipes
from advnets.cli import sweeping
from advnets.cli.main import main
from advnets.config import Config, DataConfig
from advnets.data.splits import Part, Raw
from advnets.evaluation import likelihood, two_sample
from advnets.reproduce.artefact import Artefact

STEPS = 4
INSTEAD = {
    "train": {"--steps": STEPS, "--train.steps": STEPS, "--devices": 1, "--train.device": "auto"},
    "sweep": {"--steps": STEPS, "--seeds": 1, "--trials": 2, "--jobs": 1},
    "evaluate": {"--devices": 1, "--centres": 2000, "--samples": 100},
    "sample": {"--n": 16, "--burn_in": 2},
    "encode": {"--steps": STEPS},
}
"""Values in the place of those that a command line gives to these options."""
APPENDED = {
    "train": {"--train.log_every": 2},
    "evaluate": {"--samples": 100, "--redraws": 0},
    "sweep": {"--seeds": 1},
    "encode": {"--steps": STEPS, "--no_neighbours": None},
}
"""Options that a command line gets where it has not got them."""
IN_SCRIPTS = (
    (re.compile(r"\bsteps=\d+"), f"steps={STEPS}"),
    (re.compile(r"(?<=in range\()\d{3,}"), str(STEPS)),
    (re.compile(r"(?<=, )n_centres=\d+"), "n_centres=100"),
    (re.compile(r"^.*push_to_hub.*\n", re.M), ""),
)
"""Numbers, and the one line that needs a network, in scripts."""


def words(line: list[str]) -> list[str]:
    """Return the words after `advnets`, with small numbers."""
    name, *rest = line
    instead, found, told = INSTEAD.get(name, {}), [name], iter(rest)
    for word in told:
        option, equals, _ = word.partition("=")
        found.append(option if option in instead else word)
        if option in instead:
            found.append(str(instead[option]))
            if not equals:
                next(told)
    for option, value in APPENDED.get(name, {}).items():
        if option not in found and not (option == "--train.log_every" and "--resume" in found):
            found += [option] if value is None else [option, str(value)]
    return found


def script(text: str) -> str:
    for pattern, small in IN_SCRIPTS:
        text = pattern.sub(small, text)
    return text


@contextlib.contextmanager
def everything() -> Iterator[None]:
    """Make recipes, data and what else takes long small."""
    with pytest.MonkeyPatch.context() as patch:
        for name, recipe in recipes.RECIPES.items():
            patch.setitem(recipes.RECIPES, name, dataclasses.replace(recipe, config=smaller(recipe.config)))
        auto, completion = recipes.auto, recipes.completion
        patch.setattr(recipes, "auto", lambda *given, **more: smaller(auto(*given, **more)))
        patch.setattr(recipes, "completion", lambda *given: smaller(completion(*given)))
        patch.setattr("advnets.data._locate", lambda *given: Path())
        patch.setattr("advnets.data.mnist.read", enlarged_digits)
        patch.setattr("advnets.export.page.fetched", lambda given: _Runtime())
        patch.setattr("advnets.evaluation.features._train", lambda *given: None)
        patch.setattr(sweeping, "start", _started)
        patch.setattr(likelihood.validator, "__defaults__", (100,))
        patch.setitem(two_sample.kid.__kwdefaults__, "subsets", 5)
        yield


class _Runtime(dict):
    """Every file of onnxruntime-web, empty."""

    def __missing__(self, name: str) -> bytes:
        return b""


class _Ended:
    """A process that has ended."""

    def __init__(self, status: int) -> None:
        self.pid, self.returncode = 1, status

    def poll(self) -> int:
        return self.returncode

    def wait(self) -> int:
        return self.returncode


def _started(given: list[str], threads: int, errors: io.IOBase) -> _Ended:
    with contextlib.redirect_stdout(io.StringIO()), contextlib.redirect_stderr(io.StringIO()):
        return _Ended(main(["train", *given]))


def smaller(config: Config) -> Config:
    """Return a recipe with nets of a few units, for a few steps."""
    shrunk = dataclasses.replace(
        config,
        noise=dataclasses.replace(config.noise, dimension=6),
        generator=dataclasses.replace(config.generator, hidden=(16,) * len(config.generator.hidden)),
        discriminator=dataclasses.replace(config.discriminator, hidden=(8,) * len(config.discriminator.hidden)),
        train=dataclasses.replace(config.train, steps=STEPS, batch_size=20, log_every=2),
    )
    if config.generator.maps:  # convolutions are only read
        return config
    for name in ("rbm", "cae", "gsn", "vae"):
        if model := getattr(config, name):
            small = {"hidden": (8,) * len(model.hidden)}
            small |= {"layer_steps": STEPS // 2} if hasattr(model, "layer_steps") else {}
            shrunk = dataclasses.replace(shrunk, **{name: dataclasses.replace(model, **small)})
    if config.chain:
        shrunk = dataclasses.replace(shrunk, chain=dataclasses.replace(config.chain, chains=8, burn_in=2, thinning=1))
    if config.semi:
        hidden = {"hidden": (16,) * len(config.semi.hidden), "generator_hidden": (16, 16)}
        shrunk = dataclasses.replace(shrunk, semi=dataclasses.replace(config.semi, **hidden))
    return shrunk


def enlarged_digits(config: DataConfig, name: str, folder: Path) -> Raw:
    """Return scikit-learn's digits as images of 28 by 28."""
    from sklearn.datasets import load_digits

    digits = load_digits()
    x = np.kron(digits.images * 255 / 16, np.ones((3, 3))).astype(np.uint8)
    x, labels = np.pad(x, ((0, 0), (2, 2), (2, 2)))[:, None], digits.target.astype(np.int64)
    parts = (Part(x[start:end], labels[start:end]) for start, end in ((0, 400), (400, 500), (500, 600)))
    return Raw(*parts, 255.0, "unit", "digits, enlarged", tuple("0123456789"))


def nothing(plan: object) -> Artefact:
    """Stand for what takes minutes to reproduce; its options are read and checked as ever."""
    return Artefact([("claim",)], {})
