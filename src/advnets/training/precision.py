"""Which precision pays on this machine, for who asks for `auto`."""

import dataclasses
import math
import time
from itertools import pairwise
from typing import Literal

import torch
from torch.nn.functional import linear

from advnets.config import Config
from advnets.data.dataset import DataSet
from advnets.parameters import parameter_counts
from advnets.runs import Run
from advnets.training.facts import SMALL
from advnets.training.outcome import check_device
from advnets.training.processor import fast_products
from advnets.training.session import threads_for

_PAYS = 0.8
"""Of float32's time, what products in bfloat16 may take at most; less is gained and lost elsewhere in a step."""
_ROUNDS, _SECONDS = 15, 2.0

Chosen = Literal["32-true", "bf16-mixed"]


def resolved(config: Config, data: DataSet, begun: Run | None = None) -> Config:
    """Put the precision that `auto` stands for here into a configuration: that of the run to go on with, if any.

    Raises InputError for a device that is not there.
    """
    if config.train.precision != "auto":
        return config
    check_device(config)
    with threads_for(config, data):
        precision = begun.config().train.precision if begun else chosen(config, data.shape)
    return dataclasses.replace(config, train=dataclasses.replace(config.train, precision=precision))


def chosen(config: Config, shape: tuple[int, ...]) -> Chosen:
    """Return bf16-mixed where it is tried and found faster than float32, by enough; rivals have float32 alone.

    What is tried is a layer as large as the largest of the nets, forward and backward, for one minibatch: time goes
    there, and casting has to be paid for by it; in small nets it goes elsewhere. Nobody's random numbers are touched.
    """
    device = _device(config.train.device)
    small = sum(parameter_counts(config, shape).values()) < SMALL
    if config.rival or small or device.type not in ("cpu", "cuda"):
        return "32-true"
    below, above = _largest(config, shape)
    x = torch.full((config.train.batch_size, below), 0.5, device=device, requires_grad=True)
    weight = torch.full((above, below), 0.01, device=device, requires_grad=True)
    best = {False: math.inf, True: math.inf}
    begun = time.perf_counter()
    with fast_products(device):
        for number in range(_ROUNDS):
            for coarse in best:
                seconds = _seconds(x, weight, coarse=coarse)
                best[coarse] = min(best[coarse], seconds) if number else math.inf  # the first of each warms up
            if number and time.perf_counter() - begun > _SECONDS:
                break
    return "bf16-mixed" if best[True] <= _PAYS * best[False] else "32-true"


def _seconds(x: torch.Tensor, weight: torch.Tensor, *, coarse: bool) -> float:
    """Time what a layer costs in a step."""
    begun = time.perf_counter()
    with torch.autocast(x.device.type, torch.bfloat16, enabled=coarse):
        y = linear(x, weight)
    torch.autograd.grad(y, (x, weight), y.detach())
    if x.device.type == "cuda":
        torch.cuda.synchronize(x.device)
    return time.perf_counter() - begun


def _device(name: str) -> torch.device:
    """Return where lightning-fabric would compute."""
    if name != "auto":
        return torch.device(name)
    if torch.cuda.is_available():
        return torch.device("cuda")
    return torch.device("mps" if torch.backends.mps.is_available() else "cpu")


def _largest(config: Config, shape: tuple[int, ...]) -> tuple[int, int]:
    """Inputs and outputs of the largest fully connected layer of the nets, those of c left out."""
    size, latent = math.prod(shape), config.noise.dimension
    if config.semi:
        stacks = [[latent, *config.semi.generator_hidden, size], [size, *config.semi.hidden]]
        layers = [layer for stack in stacks for layer in pairwise(stack)]
    else:
        pieces, top = config.discriminator.pieces, [] if config.generator.maps else [size]
        layers = [*pairwise([latent, *config.generator.hidden, *top])]
        layers += [(below, above * pieces) for below, above in pairwise([size, *config.discriminator.hidden])]
    return max(layers, key=math.prod)
