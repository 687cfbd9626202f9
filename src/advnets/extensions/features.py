"""Classifiers from few labels on what a discriminator has learned without any, and what they have to beat.

"Features from the discriminator or inference net could improve performance of classifiers when limited labeled data is
available" (section 7 of the paper).
"""

import functools
import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from jaxtyping import Float
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn.functional import cross_entropy

from advnets.config import Config
from advnets.data.dataset import DataSet, FloatArray
from advnets.errors import InputError
from advnets.extensions.classifier import Classify, Probabilities, probabilities
from advnets.extensions.semi_step import Labelled
from advnets.nets.build import build_discriminator
from advnets.nets.files import load_net
from advnets.nets.init import uniform_
from advnets.nets.maxout import MaxoutDiscriminator
from advnets.runs import Run
from advnets.seeds import stream
from advnets.training import checkpoint
from advnets.training.processor import fast_products

Features = Callable[[FloatArray], NDArray[np.float64]]
"""Maps examples (n, *shape) to features (n, f)."""
_CHUNK = 2000
_STRENGTHS = np.logspace(-4, 1, 6)  # C of the logistic regression; larger is less regularised
_FOLDS = 5
_FLOOR = 0.1  # of the largest standard deviation of a feature, below which none is divided by


def pixels(x: FloatArray) -> NDArray[np.float64]:
    """Return the numbers of each example as they are, (n, d)."""
    return x.reshape(len(x), -1).astype(np.float64)


def load_features(run: Run, step: int | None = None) -> Features:
    """Return the map to the hidden units of a run's discriminator, all its layers side by side, in evaluation mode.

    Raises InputError for a run that has no such discriminator, no checkpoint or a damaged one.
    """
    config, shape = run.config(), run.shape()
    folder = run.verified_checkpoint(step)
    if not config.is_game or folder is None:
        raise InputError(
            f"{run.path} has no discriminator in a checkpoint, allowed: a run of adversarial nets that has saved one; "
            "name such a run"
        )
    checkpoint.require_sizes(config, shape, folder)
    net = build_discriminator(config, shape, stream(0, "weights"))
    load_net(net, folder / "discriminator.safetensors")
    assert isinstance(net, MaxoutDiscriminator)  # the only kind there is
    return functools.partial(hidden_features, net)


@torch.no_grad()
def hidden_features(net: MaxoutDiscriminator, x: FloatArray) -> NDArray[np.float64]:
    """Return the hidden units of every layer of a discriminator side by side (n, f), without dropout, in chunks."""
    training, weight = net.training, next(net.parameters())
    net.eval()
    chunks = []
    for first in range(0, len(x), _CHUNK):
        found = net.hidden(torch.from_numpy(x[first : first + _CHUNK]).to(weight))
        chunks.append(torch.cat([layer.flatten(1) for layer in found], 1).double().cpu().numpy())
    net.train(training)
    return np.concatenate(chunks)


@dataclass(frozen=True)
class FeatureClassifier:
    """A logistic regression on features that are standardised by those of all training examples, labelled or not."""

    features: Features
    shift: NDArray[np.float64]
    scale: NDArray[np.float64]
    model: Any
    """A fitted LogisticRegression of scikit-learn."""

    def __call__(self, x: FloatArray) -> Probabilities:
        """Return probabilities (n, classes)."""
        found: Probabilities = self.model.predict_proba((self.features(x) - self.shift) / self.scale)
        return found


def fit_on_features(features: Features, data: DataSet, rows: NDArray[np.int64], seed: int = 0) -> FeatureClassifier:
    """Fit a logistic regression to the labels of these rows of the training part.

    Its strength C has the best likelihood in a cross-validation within these rows, of up to five folds, by `seed`;
    0.01 where a class has a single label. A feature is divided by its standard deviation, by a tenth of the largest one
    at least.
    """
    from sklearn.linear_model import LogisticRegression
    from sklearn.model_selection import GridSearchCV, StratifiedKFold

    assert data.train.labels is not None  # whose rows these are
    seen, y = features(data.train.x), data.train.labels[rows]
    shift, spread = seen.mean(0), seen.std(0)
    scale = np.maximum(spread, _FLOOR * spread.max())
    x = (seen[rows] - shift) / scale
    fewest = int(np.unique(y, return_counts=True)[1].min())
    model = LogisticRegression(C=0.01, max_iter=5000)
    if fewest > 1:
        split = StratifiedKFold(min(_FOLDS, fewest), shuffle=True, random_state=seed % 2**32)
        model = GridSearchCV(model, {"C": _STRENGTHS}, scoring="neg_log_loss", cv=split).fit(x, y).best_estimator_
    return FeatureClassifier(features, shift, scale, model.fit(x, y))


class MaxoutClassifier(nn.Module):
    """The hidden layers of a discriminator, with their dropout, below one linear layer of class logits."""

    def __init__(self, config: Config, shape: tuple[int, ...], classes: int, random: torch.Generator) -> None:
        super().__init__()
        self.body = MaxoutDiscriminator(config.discriminator, shape, random)
        self.logits = nn.Linear(self.body.logit.in_features, classes)
        uniform_(self.logits.weight, config.discriminator.init_range, random)
        nn.init.zeros_(self.logits.bias)
        self.body.logit.requires_grad_(False)  # it has no part in this

    def forward(
        self, x: Float[Tensor, "batch *shape"], random: torch.Generator | None = None
    ) -> tuple[Float[Tensor, "batch classes"], Float[Tensor, "batch features"]]:
        """Return the logits of the classes and the last hidden layer; in training mode masks come from `random`."""
        *_, top = self.body.hidden(x, random)
        return self.logits(top), top


def fit_from_scratch(
    config: Config, data: DataSet, rows: NDArray[np.int64], classes: int, *, seed: int = 0, steps: int = 2000
) -> Classify:
    """Train the discriminator's net, with fresh weights and a class for each logit, on these labelled rows alone.

    Adam at 1e-3, falling to 0 as a half cosine; minibatches and dropout of the configuration.
    """
    assert data.train.labels is not None  # whose rows these are
    net = MaxoutClassifier(config, data.shape, classes, stream(seed, "weights"))
    optimiser = torch.optim.Adam([p for p in net.parameters() if p.requires_grad], fused=True)
    x, y = torch.from_numpy(data.train.x[rows]), torch.from_numpy(data.train.labels[rows])
    labelled, random = Labelled(x, y, config.train.batch_size, seed), stream(seed, "play")
    for step in range(steps):
        optimiser.param_groups[0]["lr"] = 1e-3 * (1 + math.cos(math.pi * step / steps)) / 2
        images, wanted = labelled[step]
        with fast_products(torch.device("cpu")):
            cross_entropy(net(images, random)[0], wanted).backward()
        optimiser.step()
        optimiser.zero_grad(set_to_none=True)
    return functools.partial(probabilities, net)
