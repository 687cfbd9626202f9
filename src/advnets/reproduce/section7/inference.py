"""Section 7, its second extension: an auxiliary net predicts z from x, trained for a fixed G after its training."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any

import numpy as np
from matplotlib.figure import Figure

from advnets import recipes
from advnets.config import Config
from advnets.data import DataSet
from advnets.extensions import codes
from advnets.extensions.encoder import InferenceConfig
from advnets.extensions.encoder_fit import fit
from advnets.extensions.inference import Inference, load_inference
from advnets.reproduce import drawing
from advnets.reproduce.artefact import Artefact, Budget, Plan
from advnets.reproduce.curves import remembered
from advnets.reproduce.runs import lasting, trained
from advnets.reproduce.section7.claims import all_hold, claim
from advnets.runs import Run

WEIGHTS = (0.0, 100.0)
"""Of the reconstruction of training images, beside the paper's error of z; the last encoder stays in the run."""
_PUBLISHED = (
    ("MNIST, Donahue et al. 2017: BiGAN", 0.9739),
    ("MNIST, Donahue et al. 2017: latent regressor", 0.9744),
)
_SHOWN = 48

Found = dict[str, Any]


@dataclass(frozen=True)
class Length:
    """A generator, and how long it and its encoders are trained."""

    recipe: str
    steps: int
    updates: int


LENGTHS: Mapping[Budget, Length] = MappingProxyType(
    {"quick": Length("digits", 10_000, 1_500), "full": Length("mnist-best", 40_000, 5_000)}
)


def generator_of(budget: Budget) -> Config:
    """Return the run whose generator is undone, and whose D gives features to the fourth extension."""
    length = LENGTHS[budget]
    return lasting(recipes.get(length.recipe), length.steps)


def reproduce(plan: Plan) -> Artefact:
    """Train a generator, then encoders of it, and measure what their codes are worth."""
    config = generator_of(plan.budget)
    data = plan.load(config.data)
    run = trained(plan, config, data)
    found = [_encoder(plan, run, data, weight) for weight in WEIGHTS]
    last = _load(plan, run, data, WEIGHTS[-1])
    base = remembered(run, f"no encoder, step {config.train.steps}", lambda: codes.baselines(last, data, data.test.x))
    best, mean = min(one["reconstruction_mse"] for one in found), base["mean_image"]
    wanted = f"test images rebuilt better than by the mean image ({mean:.4f})"
    claims = [claim(wanted, f"{best:.4f}", holds=best < mean)]
    summary = {"recipe": config.recipe, "run": run.path.name, "encoders": found, "baseline_mse": base, "claims": claims}
    files = drawing.save(_picture(last, data), plan.folder / "section7-inference.png")
    return Artefact([*_table(summary)], summary, files, holds=all_hold(claims))


def _settings(plan: Plan, weight: float) -> InferenceConfig:
    return InferenceConfig(steps=LENGTHS[plan.budget].updates, reconstruction=weight)


def _load(plan: Plan, run: Run, data: DataSet, weight: float) -> Inference:
    """Return the encoder of this weight, trained where the run holds another one or none."""
    fit(run, _settings(plan, weight), data.train.x, refit=True, report=plan.progress(f"encoder, weight {weight:g}"))
    return load_inference(run)


def _encoder(plan: Plan, run: Run, data: DataSet, weight: float) -> Found:
    def measure() -> Found:
        inference = _load(plan, run, data, weight)
        recovery = codes.recovery(inference)
        features = codes.feature_accuracy(inference, data)
        return {
            "reconstruction": weight,
            "steps": LENGTHS[plan.budget].updates,
            "latent_mse": recovery.latent_mse,
            "correlation": recovery.correlation,
            "reconstruction_mse": codes.reconstruction_mse(inference, data.test.x),
            "nearest_neighbour_accuracy": features,
        }

    return remembered(run, f"encoder, weight {weight}, {LENGTHS[plan.budget]}", measure)


def _picture(inference: Inference, data: DataSet) -> Figure:
    x = data.test.x[:_SHOWN]
    pairs = np.stack([x, inference.decode(inference.encode(x))], axis=1).reshape(-1, *x.shape[1:])
    figure = Figure(figsize=(7, 4.4), layout="constrained")
    name = f"{data.name}: test images, not picked, each beside G(E(x))"
    drawing.panel(figure.subplots(), data.scaling.undo(pairs), 12, name, stretch=False)
    return figure


def _table(found: Found) -> Iterator[tuple[str, ...]]:
    yield (f"{found['recipe']}", "G(E(x)): squared error", "E(G(z)): correlation with z", "1-NN by codes")
    for one in found["encoders"]:
        features = one["nearest_neighbour_accuracy"]
        yield (
            f"E after {one['steps']:,} updates, weight {one['reconstruction']:g} on real images",
            f"{one['reconstruction_mse']:.4f}",
            f"{one['correlation']:.3f}",
            "" if features is None else f"{features['codes']:.2%}",
        )
    for name, words in (("mean_image", "no net: the mean image"), ("nearest_sample", "no net: the nearest sample")):
        yield (words, f"{found['baseline_mse'][name]:.4f}", "", "")
    features = found["encoders"][0]["nearest_neighbour_accuracy"]
    if features is not None:
        yield ("no net: raw pixels", "", "", f"{features['raw']:.2%}")
    for name, accuracy in _PUBLISHED:
        yield (name, "", "", f"{accuracy:.2%}")
