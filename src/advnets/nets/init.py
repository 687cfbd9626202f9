"""Initial weights and the limit on their norms, as in the released code."""

from collections.abc import Iterable, Sequence
from typing import TypeVar

import torch
from jaxtyping import Float
from torch import Tensor, nn

Value = TypeVar("Value")


@torch.no_grad()
def uniform_(weight: Tensor, bound: float, generator: torch.Generator) -> None:
    """Fill in place with U(−bound, bound)."""
    weight.uniform_(-bound, bound, generator=generator)


@torch.no_grad()
def sparse_(weight: Float[Tensor, "out in"], non_zero: int, generator: torch.Generator) -> None:
    """Fill in place with zeros but for `non_zero` standard normal weights a unit, at random inputs (Martens 2010)."""
    out_features, in_features = weight.shape
    non_zero = min(non_zero, in_features)
    columns = torch.rand(weight.shape, generator=generator).topk(non_zero, dim=1).indices
    weight.zero_().scatter_(1, columns, torch.randn(out_features, non_zero, generator=generator))


@torch.no_grad()
def marginal_bias_(bias: Tensor, mean: Tensor, output: str) -> None:
    """Start the top layer at the mean of the training data.

    Sigmoid units take logit(clip(mean, 1e-7, 1 − 1e-7)), linear units the mean itself.
    """
    mean = mean.reshape(bias.shape).double()
    bias.copy_(torch.logit(mean.clamp(1e-7, 1 - 1e-7)) if output == "sigmoid" else mean)


@torch.no_grad()
def limit_column_norms_(weights: Iterable[Tensor], limit: float) -> None:
    """Scale down in place every unit's incoming weights whose Euclidean norm exceeds `limit`.

    Units are along the first axis; for a convolution the norm is over a whole kernel.
    """
    for weight in weights:
        norms = weight.flatten(1).norm(dim=1)
        scale = (limit / norms.clamp_min(1e-7)).clamp_max(1.0)
        weight.mul_(scale.reshape(-1, *[1] * (weight.dim() - 1)))


def layer_weights(net: nn.Module) -> list[Tensor]:
    """List the weights, without the biases, of every layer of a net."""
    return [parameter for name, parameter in net.named_parameters() if name.rsplit(".", 1)[-1] == "weight"]


def for_layer(values: Sequence[Value], layer: int) -> Value:
    """Take the value for a layer; the last one given serves the layers that follow."""
    return values[min(layer, len(values) - 1)]
