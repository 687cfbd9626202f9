"""Features to compare images by, without any download: those of a small classifier of the data set itself.

Labelled images get a convolutional classifier, trained once, on one thread and from a fixed seed, and kept in the
cache; its penultimate activations are the features, and its classes serve class histograms. Images without labels, and
vectors, get such a net with random weights and no classes. `FeatureNet.describe` says which, and how well it does.
"""

import contextlib
import dataclasses
import hashlib
import itertools
import math
import os
import shutil
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch
from jaxtyping import Float, Int
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn.functional import cross_entropy, max_pool2d

from advnets.data import places
from advnets.data.dataset import DataSet, Split
from advnets.errors import InputError
from advnets.evaluation import shares
from advnets.evaluation.progress import Report, silent
from advnets.nets.dropout import dropout
from advnets.nets.files import load_net, write_tensors
from advnets.runs import read_json, write_json
from advnets.seeds import stream

VERSION = 1
"""Part of the cache's key: counts the versions of this module that give other features."""
DIMENSION = 64
"""Numbers a feature vector; three times as many for stacked MNIST."""

_SEED = 2014
_STEPS, _BATCH, _RATE = 1200, 128, 2e-3  # three epochs of MNIST; the rate is the highest of one cycle
_WIDTHS = (16, 32, 64)  # channels above each convolution; the last serves the rest
_SIDE = 7  # maps are pooled until no side is longer
_KEEP = 0.75  # of the numbers below and above the features, by dropout
_MOMENTS = 10_000  # examples whose mean and sd standardise all
_CHUNK = 500
_WEIGHTS, _FACTS = "net.safetensors", "facts.json"

Examples = NDArray[np.floating[Any]]


class ConvolutionalFeatures(nn.Module):
    """3×3 convolutions with rectifiers and pooling (none for vectors), 64 rectified features, and class logits."""

    shift: Tensor
    scale: Tensor

    def __init__(self, shape: tuple[int, ...], classes: int) -> None:
        super().__init__()
        moments = shape if len(shape) == 1 else ()
        self.register_buffer("shift", torch.zeros(moments))
        self.register_buffer("scale", torch.ones(moments))
        self.convolutions = nn.ModuleList()
        below, sides = shape[0], shape[1:]
        self.pooled = 0  # convolutions that pooling follows
        while sides:
            above = _WIDTHS[min(len(self.convolutions), len(_WIDTHS) - 1)]
            self.convolutions.append(nn.Conv2d(below, above, 3, padding=1))
            below = above
            if max(sides) <= _SIDE:
                break
            sides = tuple(math.ceil(side / 2) for side in sides)
            self.pooled += 1
        self.features = nn.Linear(below * math.prod(sides), DIMENSION)
        self.logits = nn.Linear(DIMENSION, classes)

    def forward(
        self, x: Float[Tensor, "batch *shape"], generator: torch.Generator | None = None
    ) -> Float[Tensor, "batch features"]:
        """Map a batch to features; masks, in training mode, come from `generator`."""
        x = (x - self.shift) / self.scale
        for index, convolution in enumerate(self.convolutions):
            x = convolution(x).relu()
            if index < self.pooled:
                x = max_pool2d(x, 2, ceil_mode=True)
        features: Tensor = self.features(self.drop(x.flatten(1), generator)).relu()
        return features

    def drop(self, x: Float[Tensor, "batch n"], generator: torch.Generator | None) -> Float[Tensor, "batch n"]:
        """Apply dropout in training mode."""
        return dropout(x, _KEEP, generator) if self.training else x


@dataclass(frozen=True)
class FeatureNet:
    """A fixed map from examples to features, and to classes where the data set is of labelled images."""

    net: ConvolutionalFeatures
    kind: Literal["classifier", "random"]
    """classifier: trained on the labels; random: seeded random weights."""
    shape: tuple[int, ...]
    """Shape of one example."""
    channels_apart: bool = False
    """Whether each channel is a grey image with a digit of its own, as in stacked MNIST."""
    accuracy: float | None = None
    """Share of labelled test examples that are classified rightly; None for random weights."""
    n_test: int = 0
    """Number of these examples."""

    @property
    def dimension(self) -> int:
        """Numbers a feature vector."""
        return DIMENSION * (self.shape[0] if self.channels_apart else 1)

    def extract(self, x: Examples) -> NDArray[np.float64]:
        """Features (n, dimension) of examples (n, *shape), in the units of the data set's own x; no dropout, ever.

        Raises InputError for examples of another shape, for none, and for numbers that are not finite.
        """
        return self._by_chunks(x, lambda chunk: self._features(chunk).double().numpy())

    def classify(self, x: Examples) -> NDArray[np.int64]:
        """Predicted labels (n,) of examples (n, *shape); 100a + 10b + c for stacked MNIST.

        Raises InputError as `extract` does, and for random features, which know no classes.
        """
        if self.kind == "random":
            raise InputError("random features have no classes, allowed are those of labelled images; label the data")
        return self._by_chunks(x, self._labels)

    def describe(self) -> dict[str, Any]:
        """What a number measured on these features depends on, in plain JSON values."""
        return {
            "kind": self.kind,
            "accuracy": self.accuracy,
            "n_test": self.n_test,
            "dimension": self.dimension,
            "seed": _SEED,
            "version": VERSION,
        }

    def _by_chunks(self, x: Examples, of: Callable[[Float[Tensor, "n *shape"]], NDArray[Any]]) -> NDArray[Any]:
        """Compute something of every chunk, each process its own ones where several share them."""
        self._check(x)
        mine = shares.split(len(x), _CHUNK)
        rows = x[mine.own]
        chunks = (rows[first : first + _CHUNK] for first in range(0, len(rows), _CHUNK))
        return mine.stack(np.concatenate([of(torch.from_numpy(np.array(x, np.float32, order="C"))) for x in chunks]))

    def _check(self, x: Examples) -> None:
        if x.shape[1:] != self.shape or not len(x):
            raise InputError(
                f"the examples have the shape {x.shape}, allowed is one or more of {self.shape}; bring them to the "
                "data set's shape"
            )
        if not np.isfinite(x).all():
            raise InputError("x holds numbers that are not finite, allowed are finite ones; remove those examples")

    @torch.no_grad()
    def _features(self, x: Float[Tensor, "n *shape"]) -> Float[Tensor, "n dimension"]:
        self.net.eval()
        features: Tensor = self.net(x.flatten(0, 1)[:, None] if self.channels_apart else x)
        return features.reshape(len(x), -1)

    @torch.no_grad()
    def _labels(self, x: Float[Tensor, "n *shape"]) -> NDArray[np.int64]:
        digits = self.net.logits(self._features(x).unflatten(1, (-1, DIMENSION))).argmax(2).numpy()
        labels: NDArray[np.int64] = digits @ _place_values(digits.shape[1])
        return labels


def feature_net(data: DataSet, *, report: Report = silent, cache: Path | None = None) -> FeatureNet:
    """Return the feature net of a data set: a classifier where it is of labelled images, else random features.

    Labelled: two or more classes in the training part, and any label in the test part. The classifier is trained at the
    first call, which reports each step, and kept in `cache`, by default the folder `features` of the user's cache. What
    is damaged there is trained again; a folder that cannot be written to keeps nothing.
    """
    train, test = _labelled(data.train), _labelled(data.test)
    if len(data.shape) != 3 or len(np.unique(train.labels)) < 2 or not len(test.x):
        net = _build(data.shape, 1, data.train.x)
        nn.init.normal_(net.features.bias, generator=stream(_SEED, "biases"))
        return FeatureNet(net, "random", data.shape)
    folder = (places.cache() / "features" if cache is None else cache) / f"{data.fingerprint[:32]}-{VERSION}"
    classes = 10 if _channels_apart(data) else 1 + int(max(train.labels.max(), test.labels.max()))
    return _read(folder, data, classes) or _made(folder, data, classes, train, test, report)


def feature_net_of_all(data: DataSet, *, report: Report = silent) -> FeatureNet:
    """Return the first process's `feature_net` in every one that shares the work: their caches may hold another."""
    own: list[FeatureNet] = []

    def parts() -> tuple[dict[str, NDArray[Any]], Any, bool, float | None, int]:
        own.append(feature_net(data, report=report))
        found = own[0]
        weights = {name: tensor.detach().numpy() for name, tensor in found.net.state_dict().items()}
        return weights, found.kind, found.channels_apart, found.accuracy, found.n_test

    weights, kind, apart, accuracy, n_test = shares.once(parts)
    if own:
        return own[0]
    with torch.random.fork_rng(devices=[]):
        net = ConvolutionalFeatures((1, *data.shape[1:]) if apart else data.shape, len(weights["logits.bias"]))
    net.load_state_dict({name: torch.from_numpy(array) for name, array in weights.items()})
    return FeatureNet(net.eval(), kind, data.shape, apart, accuracy, n_test)


def taught_accuracy(train: Split, test: Split, *, report: Report = silent) -> float:
    """Train the classifier of `feature_net` on labelled images and return its accuracy on others that have labels."""
    known, asked = _labelled(train), _labelled(test)
    net = _build(known.x.shape[1:], 1 + int(max(known.labels.max(), asked.labels.max())), known.x)
    with _one_thread():
        _train(net, torch.from_numpy(known.x), torch.from_numpy(known.labels), report)
        found = FeatureNet(net, "classifier", known.x.shape[1:])
        return float(np.mean(found.classify(asked.x) == asked.labels))


@dataclass(frozen=True)
class _Labelled:
    x: Examples
    labels: NDArray[np.int64]


def _labelled(split: Split) -> _Labelled:
    """The examples of a split that have a label."""
    labels = np.full(len(split.x), -1) if split.labels is None else split.labels
    known = labels >= 0
    return _Labelled(split.x, labels) if known.all() else _Labelled(split.x[known], labels[known])


def _channels_apart(data: DataSet) -> bool:
    return data.name == "stacked_mnist"


def _place_values(channels: int) -> NDArray[np.int64]:
    """100, 10, 1 for three channels."""
    values: NDArray[np.int64] = 10 ** np.arange(channels)[::-1]
    return values


def _build(shape: tuple[int, ...], classes: int, x: Examples) -> ConvolutionalFeatures:
    """Make a net with random weights (He et al. 2015) that standardises examples as x: by pixel value, or by column."""
    with torch.random.fork_rng(devices=[]):  # layers draw weights from the global generator, which is not ours
        net = ConvolutionalFeatures(shape, classes)
    random = stream(_SEED, "weights")
    for parameter in net.parameters():
        if parameter.ndim > 1:
            nn.init.kaiming_normal_(parameter, nonlinearity="relu", generator=random)
        else:
            nn.init.zeros_(parameter)
    x, axis = x[:_MOMENTS], 0 if len(shape) == 1 else None
    spread = x.std(axis=axis, dtype=np.float64)
    net.shift.copy_(torch.as_tensor(x.mean(axis=axis, dtype=np.float64)))
    net.scale.copy_(torch.as_tensor(np.where(spread > 0, spread, 1.0)))
    return net


def _made(folder: Path, data: DataSet, classes: int, train: _Labelled, test: _Labelled, report: Report) -> FeatureNet:
    """Train the classifier of a data set, test it, and keep it."""
    x, labels, apart = train.x, train.labels, _channels_apart(data)
    if apart:  # (n, 3, h, w) with labels 100a + 10b + c is (3n, 1, h, w) with labels a, b, c
        x = x.reshape(-1, 1, *data.shape[1:])
        labels = (labels[:, None] // _place_values(data.shape[0]) % 10).ravel()
    net = _build(x.shape[1:], classes, x)
    with _one_thread():
        _train(net, torch.from_numpy(x), torch.from_numpy(labels), report)
        found = FeatureNet(net, "classifier", data.shape, apart)
        accuracy = float(np.mean(found.classify(test.x) == test.labels))
    found = dataclasses.replace(found, accuracy=accuracy, n_test=len(test.x))
    _keep(found, folder, data)
    return found


def _train(net: ConvolutionalFeatures, x: Float[Tensor, "n *shape"], labels: Int[Tensor, " n"], report: Report) -> None:
    """Descend the cross-entropy by Adam, with one cycle of the learning rate (Smith and Topin 2019)."""
    random = stream(_SEED, "training")
    optimiser = torch.optim.Adam(net.parameters(), _RATE)
    cycle = torch.optim.lr_scheduler.OneCycleLR(optimiser, _RATE, total_steps=_STEPS)
    net.train()
    with torch.enable_grad():
        for step, rows in enumerate(itertools.islice(_batches(len(x), random), _STEPS)):
            logits = net.logits(net.drop(net(x[rows], random), random))
            optimiser.zero_grad()
            cross_entropy(logits, labels[rows]).backward()
            optimiser.step()
            cycle.step()
            report(step + 1, _STEPS)
    net.eval()


def _batches(n: int, random: torch.Generator) -> Iterator[Int[Tensor, " batch"]]:
    """Yield the rows of minibatches, in a new order each epoch, without the rest that fills none."""
    size = min(n, _BATCH)
    while True:
        yield from torch.randperm(n, generator=random)[: n - n % size].split(size)


@contextlib.contextmanager
def _one_thread() -> Iterator[None]:
    """Compute on one thread: sums are then taken in the same order however many there are."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(before)


def _keep(found: FeatureNet, folder: Path, data: DataSet) -> None:
    """Write a classifier aside, then rename its folder into the cache; where that fails nothing is kept."""
    with contextlib.suppress(OSError):
        folder.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(prefix=".writing-", dir=folder.parent) as aside:
            whole = Path(aside, folder.name)
            whole.mkdir()
            write_tensors(found.net.state_dict(), whole / _WEIGHTS)
            facts = {**found.describe(), "data": data.name, "fingerprint": data.fingerprint, "torch": torch.__version__}
            write_json(whole / _FACTS, {**facts, "sha256": _sha256(whole / _WEIGHTS)})
            shutil.rmtree(folder, ignore_errors=True)
            os.replace(whole, folder)


def _read(folder: Path, data: DataSet, classes: int) -> FeatureNet | None:
    """Return a classifier from the cache; None where it is missing or damaged."""
    apart = _channels_apart(data)
    with torch.random.fork_rng(devices=[]):
        net = ConvolutionalFeatures((1, *data.shape[1:]) if apart else data.shape, classes)
    try:
        facts = read_json(folder / _FACTS)
        if facts["sha256"] != _sha256(folder / _WEIGHTS):
            return None
        load_net(net, folder / _WEIGHTS)
        return FeatureNet(net, "classifier", data.shape, apart, float(facts["accuracy"]), int(facts["n_test"]))
    except (InputError, OSError, KeyError, TypeError, ValueError):
        return None


def _sha256(file: Path) -> str:
    with file.open("rb") as content:
        return hashlib.file_digest(content, "sha256").hexdigest()
