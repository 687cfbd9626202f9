"""Slow, obvious twins of what the package computes."""

import math
from collections.abc import Callable

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn


def sigmoid(logit: float) -> float:
    return 1.0 / (1.0 + math.exp(-logit))


def maxout(x: Tensor, weight: Tensor, bias: Tensor, units: int, pieces: int) -> Tensor:
    """max over j of x·W_ij + b_ij, one number at a time."""
    out = torch.empty(len(x), units, dtype=x.dtype)
    for n in range(len(x)):
        for i in range(units):
            out[n, i] = max(float(x[n] @ weight[j * units + i] + bias[j * units + i]) for j in range(pieces))
    return out


def transposed_convolution(maps: NDArray, weight: NDArray, stride: int) -> NDArray:
    """Every input pixel paints its kernel on the output."""
    count, channels, height, width = maps.shape
    _, out_channels, kernel, _ = weight.shape
    out = np.zeros((count, out_channels, (height - 1) * stride + kernel, (width - 1) * stride + kernel))
    for n in range(count):
        for c in range(channels):
            for i in range(height):
                for j in range(width):
                    patch = maps[n, c, i, j] * weight[c]
                    out[n, :, i * stride : i * stride + kernel, j * stride : j * stride + kernel] += patch
    return out


def two_pass_gradients(
    generator: nn.Module,
    discriminator: nn.Module,
    real: Tensor,
    z: Tensor,
    mask_seed: int,
    d_loss: Callable[[Tensor, Tensor], Tensor],
    g_loss: Callable[[Tensor], Tensor],
) -> tuple[list[Tensor], list[Tensor]]:
    """Gradients of both players by two separate passes through D with the same dropout masks."""
    gradients = []
    for player, loss in ((discriminator, lambda r, f: d_loss(r, f).mean()), (generator, lambda r, f: g_loss(f).mean())):
        random = torch.Generator().manual_seed(mask_seed)
        fake = generator(z, None)
        logits = discriminator(torch.cat([real, fake]), random)
        gradients.append(torch.autograd.grad(loss(*logits.split(len(real))), list(player.parameters())))
    return list(gradients[0]), list(gradients[1])


def parzen_log_likelihoods(centres, x, sigma):
    """log 1/N Σ_j N(x; c_j, σ²I), from the formula, with the largest term taken out."""
    d = centres.shape[1]
    exponents = -((x[:, None, :] - centres[None, :, :]) ** 2).sum(-1) / (2 * sigma**2)
    largest = exponents.max(1)
    log_sum = largest + np.log(np.exp(exponents - largest[:, None]).sum(1))
    return log_sum - np.log(len(centres)) - d * np.log(sigma * np.sqrt(2 * np.pi))
