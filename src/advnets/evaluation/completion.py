"""How good completions are: their errors where the truth is hidden, their class, their variety, and simple rivals."""

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from advnets.data.dataset import FloatArray
from advnets.errors import NotMeasurable
from advnets.evaluation.features import FeatureNet
from advnets.rivals.gsn import GSN
from advnets.sampling import Sampler
from advnets.seeds import stream

Known = NDArray[np.bool_]
Fill = Callable[[FloatArray, Known, int, int], NDArray[np.floating]]
"""fill(x, known, count, seed) → completions (count, n, *shape) of x (n, *shape), as `Sampler.complete` makes them."""

_ROWS = 256  # examples at a time that are compared with all of training
_UPDATES = 50  # of a clamped chain


@dataclass(frozen=True)
class Completions:
    """How completions of examples fare under one kind of mask."""

    hidden: float
    """Share of numbers that are hidden."""
    rmse: float
    """Root of the mean square error of hidden numbers, of one completion, in the units of the examples."""
    rmse_mean: float
    """The same of the mean completion: the least that a mean square error can be, for p(x_S | x_notS) itself."""
    psnr: float
    """20·log10(1 / rmse), in decibels, of pixels in [0, 1]."""
    psnr_mean: float
    """The same of the mean completion."""
    diversity: float
    """Standard deviation over completions of a hidden number, the root of the mean variance."""
    agreement: float | None
    """Share of completions that a classifier sees as the class of the example; None without labels."""
    agreement_real: float | None
    """The same of the examples themselves."""
    n: int
    """Examples."""
    each: int
    """Completions of each."""


def completions(
    fill: Fill,
    x: FloatArray,
    known: Known,
    *,
    each: int = 10,
    labels: NDArray[np.int64] | None = None,
    net: FeatureNet | None = None,
    seed: int = 0,
) -> Completions:
    """Measure completions of whole examples x (n, *shape), of which `known` is told.

    Raises NotMeasurable where nothing is hidden.
    """
    hidden = ~known
    if not hidden.any():
        raise NotMeasurable("nothing is hidden; hide a part of the examples")
    made = fill(np.where(hidden, np.float32(0), x), known, each, seed)
    errors = (made - x)[:, hidden].astype(np.float64)
    one, mean = (float(np.sqrt(np.square(e).mean())) for e in (errors, errors.mean(0)))
    agreement = real = None
    if labels is not None and net is not None:
        flat = made.reshape(-1, *x.shape[1:]).astype(np.float32)
        agreement = float((net.classify(flat) == np.tile(labels, len(made))).mean())
        real = float((net.classify(x) == labels).mean())
    return Completions(
        hidden=float(hidden.mean()),
        rmse=one,
        rmse_mean=mean,
        psnr=psnr(one),
        psnr_mean=psnr(mean),
        diversity=float(np.sqrt(errors.var(0, ddof=1 if len(made) > 1 else 0).mean())),
        agreement=agreement,
        agreement_real=real,
        n=len(x),
        each=len(made),
    )


def psnr(rmse: float) -> float:
    """Peak signal to noise ratio, 20·log10(1 / rmse), in decibels, of pixels in [0, 1]."""
    return -20 * math.log10(rmse) if rmse > 0 else math.inf


def mean_fill(train: FloatArray) -> Fill:
    """Fill in the mean training example, once."""
    mean = train.mean(0)
    return lambda x, known, count, seed: np.where(known, x, mean)[None]


def nearest_fill(train: FloatArray) -> Fill:
    """Fill in what the nearest training examples have there, by squared distance over what is known, nearest first."""
    rows = torch.from_numpy(train).flatten(1)

    def fill(x: FloatArray, known: Known, count: int, seed: int) -> FloatArray:
        found: list[Tensor] = []
        for start in range(0, len(x), _ROWS):
            there = torch.tensor(known[start : start + _ROWS]).flatten(1).float()
            one = torch.tensor(x[start : start + _ROWS]).flatten(1) * there
            apart = one.square().sum(1, keepdim=True) - 2 * one @ rows.T + there @ rows.square().T
            found.append(apart.topk(min(count, len(rows)), largest=False).indices)
        filling = train[torch.cat(found).T.numpy()]
        return np.where(known, x, filling)

    return fill


def clamped_fill(sampler: Sampler, updates: int = _UPDATES) -> Fill:
    """Fill in what a generative stochastic network reconstructs while the known pixels of its chain are held.

    Chains begin at noise; after `updates` of them, E[x|h_1] (Bengio et al. 2014). Raises NotMeasurable for other nets.
    """
    net = sampler.net
    if not isinstance(net, GSN):
        raise NotMeasurable(f"{sampler.config.recipe} has no chain to clamp; name a run of gsn")

    def fill(x: FloatArray, known: Known, count: int, seed: int) -> FloatArray:
        random, size = stream(seed, "clamped"), math.prod(x.shape[1:])
        told, there = (torch.tensor(part).flatten(1).repeat(count, 1) for part in (x, known))
        state = net.start(len(told), random)
        for _ in range(updates):
            state[:, :size] = torch.where(there, told, state[:, :size])
            state = net.move(state, random)
        made = net.means(state, random)
        return np.where(known, x, made.reshape(count, *x.shape).numpy())

    return fill
