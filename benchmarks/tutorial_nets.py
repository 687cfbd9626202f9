"""The paper's fully connected nets as a tutorial writes them in plain PyTorch; by default those of recipe `mnist`.

Nothing of advnets is needed, so that an environment with other libraries alone can import this.
"""

from collections.abc import Sequence
from itertools import pairwise

import torch
from torch import Tensor, nn


class TutorialMaxout(nn.Module):
    def __init__(self, inputs: int, units: int, pieces: int) -> None:
        super().__init__()
        self.units, self.pieces = units, pieces
        self.linear = nn.Linear(inputs, units * pieces)

    def forward(self, x: Tensor) -> Tensor:
        return self.linear(x).view(-1, self.units, self.pieces).max(dim=2)[0]


def generator(
    sizes: Sequence[int] = (100, 1200, 1200, 784), units: Sequence[type[nn.Module]] = (nn.ReLU, nn.ReLU, nn.Sigmoid)
) -> nn.Sequential:
    layers: list[nn.Module] = []
    for (below, above), unit in zip(pairwise(sizes), units, strict=True):
        layers += [nn.Linear(below, above), unit()]
    return started(nn.Sequential(*layers), 0.05)


def discriminator(sizes: Sequence[int] = (784, 240, 240, 1), pieces: int = 5, logit: bool = False) -> nn.Sequential:
    """D, or with `logit` its logit, for losses that take that."""
    layers: list[nn.Module] = [nn.Dropout(0.2)]
    for below, above in pairwise(sizes[:-1]):
        layers += [TutorialMaxout(below, above, pieces), nn.Dropout(0.5)]
    layers.append(nn.Linear(sizes[-2], sizes[-1]))
    return started(nn.Sequential(*layers, *([] if logit else [nn.Sigmoid()])), 0.005)


def started(net: nn.Sequential, bound: float) -> nn.Sequential:
    for parameter in net.parameters():
        nn.init.uniform_(parameter, -bound, bound)
    return net


def noise(count: int, size: int = 100) -> Tensor:
    return (torch.rand(count, size) * 2 - 1) * 3**0.5
