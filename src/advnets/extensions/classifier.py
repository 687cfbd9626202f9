"""What classifies: a net or a pipeline as one function from examples to class probabilities, and its errors."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from advnets.data.dataset import FloatArray, Split

Probabilities = NDArray[np.float64]
Classify = Callable[[FloatArray], Probabilities]
"""Maps examples (n, *shape), in the units of the data set's own x, to probabilities (n, classes)."""
_CHUNK = 2000


@dataclass(frozen=True)
class Errors:
    """How many of the labelled examples of a part were put into a wrong class."""

    wrong: int
    n: int

    @property
    def share(self) -> float:
        """Share of them, 0 to 1."""
        return self.wrong / self.n


@torch.no_grad()
def probabilities(net: nn.Module, x: FloatArray) -> Probabilities:
    """Return p(y | x, data), the softmax of the logits of a net that tells classes, in evaluation mode, in chunks."""
    training, weight = net.training, next(net.parameters())
    net.eval()
    chunks = []
    for first in range(0, len(x), _CHUNK):
        logits, _ = net(torch.from_numpy(x[first : first + _CHUNK]).to(weight))
        chunks.append(logits.double().softmax(1).cpu().numpy())
    net.train(training)
    return np.concatenate(chunks)


def errors(classify: Classify, part: Split) -> Errors | None:
    """Count the labelled examples that get a wrong class; None where no example has a label."""
    if part.labels is None or not (part.labels >= 0).any():
        return None
    known = part.labels >= 0
    found = classify(part.x[known]).argmax(1)
    return Errors(int((found != part.labels[known]).sum()), int(known.sum()))
