"""Both fully connected nets as lists of layers, whose backward pass moves every weight as soon as it can.

The nets of `advnets.nets` with autograd are what is played; these are the same maps for `advnets.training.compiled`,
where a gradient by weights is never laid out in memory if it can be added to the velocity while it is made.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import cast

from jaxtyping import Float, Int
from torch import Tensor, nn

from advnets.config import Activation
from advnets.nets.dropout import Random
from advnets.nets.init import for_layer
from advnets.nets.maxout import Maxout, MaxoutDiscriminator
from advnets.nets.mlp import MLPGenerator, activate
from advnets.training import kernels
from advnets.training.kernels import Moved, largest, linear, masked, numbers, slope

Weights = dict[str, Tensor]


@dataclass(frozen=True)
class Layer:
    """h = activation(m ⊙ x · Wᵀ + b) with a dropout mask m; with `pieces`, h_u = max_j over rows (j, u) of W and b."""

    name: str
    """The prefix of its weight and bias among the parameters of the net."""
    keep: float
    activation: Activation = "linear"
    pieces: int = 1
    by_columns: bool = False
    """Whether it takes zeros, from rectifiers, and gets none in its gradient: W is best laid out by columns."""


@dataclass(frozen=True)
class Passed:
    """What a layer's forward pass leaves to its backward pass: m ⊙ x, what decided on m, h, the pieces."""

    x: Float[Tensor, "batch below"]
    numbers: Int[Tensor, "batch below"] | None
    h: Float[Tensor, "batch above"]
    piece: Int[Tensor, "batch above"] | None


@dataclass(frozen=True)
class State:
    """A player's weights, the same as they are multiplied (in bfloat16, or themselves), velocities, lr and μ."""

    weights: Weights
    played: Weights
    velocities: Weights
    rate: float
    momentum: float


def layers_of(net: nn.Module) -> list[Layer]:
    """Return the layers of a fully connected G or of a D without convolutions, the lowest first."""
    if isinstance(net, MLPGenerator):
        mlp = net.net
        rectified = [False, *(activation == "rectifier" for activation in mlp.activations)]
        return [
            Layer(
                f"net.layers.{index}",
                for_layer(mlp.keep, index),
                activation,
                by_columns=rectified[index] and not rectified[index + 1],
            )
            for index, activation in enumerate(mlp.activations)
        ]
    if not isinstance(net, MaxoutDiscriminator) or net.convolutions:
        raise TypeError(f"{type(net).__name__} is more than fully connected layers")
    keep = [for_layer(net.keep, index) for index in range(len(net.layers) + 1)]
    pieces = [cast(Maxout, layer).pieces for layer in net.layers]
    hidden = [Layer(f"layers.{index}.linear", keep[index], pieces=count) for index, count in enumerate(pieces)]
    return [*hidden, Layer("logit", keep[-1])]


def forward(
    layers: Sequence[Layer], weights: Weights, x: Float[Tensor, "batch below"], random: Random
) -> tuple[Float[Tensor, "batch above"], list[Passed]]:
    """Return what the top layer passes on, and what the backward pass needs; dropout masks come from `random`."""
    passed = []
    for layer in layers:
        weight, bias = weights[f"{layer.name}.weight"], weights[f"{layer.name}.bias"]
        drawn = numbers(x, random) if layer.keep < 1 else None
        x = masked(x, drawn, layer.keep).to(weight.dtype)
        y = linear(x, weight, bias)
        h, piece = largest(y, layer.pieces) if layer.pieces > 1 else (activate(y, layer.activation), None)
        passed.append(Passed(x, drawn, h, piece))
        x = h
    return x, passed


def backward(
    layers: Sequence[Layer],
    state: State,
    passed: Sequence[Passed],
    gradient: Float[Tensor, "batch above"],
    fixed: int | None = None,
) -> Float[Tensor, "rest below"] | None:
    """Move a player by the gradient at the top of its net, and return the gradient by its input.

    The first `fixed` rows of the input want none, and it is not made for them; None: no row does. `gradient` may be
    overwritten.
    """
    below: Tensor | None = gradient
    for index in reversed(range(len(layers))):
        assert below is not None  # only that of the lowest layer's input is
        layer, kept = layers[index], passed[index]
        skipped: int | None = 0 if index else fixed
        below = _through(layer, state, kept, below, skipped)
        if below is not None and kept.numbers is not None:
            below = masked(below, kept.numbers[skipped:], layer.keep)
    return below


def _through(
    layer: Layer, state: State, kept: Passed, gradient: Float[Tensor, "batch above"], skipped: int | None
) -> Float[Tensor, "rest below"] | None:
    """Move a layer by the gradient by its h; return that by what it multiplied, without the rows skipped."""
    name = f"{layer.name}.weight"
    weight, played = state.weights[name], state.played[name]
    coarse = None if played.dtype == weight.dtype else played
    moved = Moved(weight, state.velocities[name], coarse, state.rate, state.momentum)
    of_bias = state.velocities[f"{layer.name}.bias"]
    if kept.piece is None:
        gradient = slope(gradient.to(played.dtype), kept.h, layer.activation)
    below = kernels.backward(moved, of_bias, gradient, kept.piece, kept.x, skipped)
    bias = state.weights[f"{layer.name}.bias"].sub_(of_bias, alpha=state.rate)
    if coarse is not None:
        state.played[f"{layer.name}.bias"].copy_(bias)
    return below
