"""The auxiliary net that predicts z from x, or a hidden layer of G from x, and what it descends."""

import copy
import math
import re
from dataclasses import dataclass
from itertools import pairwise
from typing import Literal, cast

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn.functional import softplus

from advnets.config import Activation, NoiseConfig
from advnets.errors import InputError
from advnets.nets.conv import DeconvolutionGenerator
from advnets.nets.init import uniform_
from advnets.nets.mlp import MLP, MLPGenerator, StackedGenerator
from advnets.sampling import Weights

_TARGET = re.compile(r"hidden-([1-9][0-9]?)")
_MOST = 2**31  # parameters of a layer


@dataclass(frozen=True)
class InferenceConfig:
    """Everything that decides an encoder of a fixed generator: same settings, same generator, same bits."""

    target: str = "z"
    """What E predicts: z, or a hidden layer of G by number from the noise up, hidden-1, hidden-2, …"""
    hidden: tuple[int, ...] | None = None
    """Rectifier units of each hidden layer of E, from x up; None takes those of G, from x down."""
    steps: int = 5000
    """Updates of E."""
    batch_size: int = 100
    """Fresh pairs (z, G(z)) an update, and as many real examples where the reconstruction has a weight."""
    learning_rate: float = 0.001
    """Adam's learning rate at first; it falls to 0 along a straight line."""
    reconstruction: float = 0.0
    """Weight of the reconstruction error of real examples, in the loss; 0 is the paper's words to the letter."""
    seed: int = 0
    """Seed of initial weights, latents and the order of real examples."""
    weights: Weights = "auto"
    """Which weights of G: auto, the moving average where the run keeps one."""

    def rate(self, step: int) -> float:
        """Return the learning rate of the update after `step` others: learning_rate·(1 − step/steps)."""
        return self.learning_rate * (1 - step / self.steps)


def check(settings: InferenceConfig) -> InferenceConfig:
    """Return the settings unchanged; raises InputError that names the first one out of range."""
    tests = {
        "target": (settings.target == "z" or bool(_TARGET.fullmatch(settings.target)), "z, hidden-1, hidden-2, …"),
        "hidden": (
            settings.hidden is None or all(1 <= units <= 2**16 for units in settings.hidden or (0,)),
            "one or more layers of 1 to 65536 units",
        ),
        "steps": (1 <= settings.steps < 2**40, "1 or more"),
        "batch_size": (1 <= settings.batch_size <= 2**20, "1 to 1048576"),
        "learning_rate": (0 < settings.learning_rate < 1e3, "a number above 0 and below 1000"),
        "reconstruction": (0 <= settings.reconstruction < 1e9, "a number from 0 on"),
        "seed": (0 <= settings.seed < 2**63, "an integer from 0 to 2^63 - 1"),
    }
    for name, (right, allowed) in tests.items():
        if not right:
            value = getattr(settings, name)
            shown = " ".join(map(str, value)) if isinstance(value, tuple) else value
            raise InputError(f"--{name} is {shown}, allowed: {allowed}; set --{name}")
    return settings


@dataclass(frozen=True)
class Support:
    """Where targets lie, so that outputs of the encoder can be kept there."""

    kind: Literal["line", "interval", "sphere", "half-line"]
    low: float = 0.0
    high: float = 1.0

    def onto(self, a: Float[Tensor, "batch units"]) -> Float[Tensor, "batch units"]:
        """Map any numbers there.

        interval: (low + high)/2 + (high − low)/2·tanh a; sphere: a/‖a‖; half-line: log(1 + e^a); line: a itself.
        The best guess by squared error is the posterior mean, which lies in the convex hull of the support; on the
        sphere it is the mean direction that is best.
        """
        match self.kind:
            case "line":
                return a
            case "interval":
                return (self.low + self.high) / 2 + (self.high - self.low) / 2 * a.tanh()
            case "sphere":
                length: Tensor = a.norm(dim=1, keepdim=True)
                return a / length.clamp_min(1e-12)
            case "half-line":
                return softplus(a)  # which unlike a rectifier cannot die


def support_of(noise: NoiseConfig, activation: Activation | None) -> Support:
    """Return where z lies, or the units of a hidden layer with an activation."""
    match activation:
        case "rectifier":
            return Support("half-line")
        case "sigmoid":
            return Support("interval")
        case "linear":
            return Support("line")
    match noise.kind:
        case "uniform":
            return Support("interval", noise.low, noise.high)
        case "spherical":
            return Support("sphere")
        case "gaussian":
            return Support("line")


class Encoder(nn.Module):
    """E(x): rectifier layers above the flattened example, and outputs in the support of what they predict.

    Weights start at U(±sqrt(6/below)) under rectifiers and U(±sqrt(3/below)) at the top, biases at 0.
    """

    def __init__(self, sizes: list[int], support: Support, random: torch.Generator) -> None:
        super().__init__()
        rectifiers: list[Activation] = ["rectifier"] * (len(sizes) - 2)
        self.net = MLP(sizes, [*rectifiers, "linear"])
        self.support = support
        for index, layer in enumerate(self.net.layers):
            linear, top = cast(nn.Linear, layer), index == len(self.net.layers) - 1
            uniform_(linear.weight, math.sqrt((3 if top else 6) / linear.in_features), random)
            nn.init.zeros_(linear.bias)

    def forward(self, x: Float[Tensor, "batch *shape"]) -> Float[Tensor, "batch code"]:
        """Predict the codes of a batch of examples."""
        return self.support.onto(self.net(x.flatten(1)))


def parameters_of(sizes: list[int]) -> int:
    """Count the numbers that an encoder trains; raises InputError for more than any machine holds."""
    counts = [(below + 1) * above for below, above in pairwise(sizes)]
    if max(counts) > _MOST:
        raise InputError(f"a layer of the encoder has {max(counts):.3g} parameters, allowed: {_MOST:,}; lower --hidden")
    return sum(counts)


@dataclass(frozen=True)
class Halves:
    """A fixed generator cut at what the encoder predicts: G(z) = upper(lower(z)). Neither half learns."""

    lower: nn.Module
    upper: nn.Module
    size: int
    """Numbers at the cut."""
    activation: Activation | None
    """What made the numbers at the cut; None for z itself."""


def halves(generator: nn.Module, target: str) -> Halves:
    """Cut a copy of a generator at `target`, z or hidden-N; raises InputError for a layer that it lacks."""
    whole = copy.deepcopy(generator).eval().requires_grad_(False)
    if not isinstance(whole, MLPGenerator | DeconvolutionGenerator | StackedGenerator):
        raise InputError("there is no encoder for this model, allowed: the generator of adversarial nets; name a run")
    mlp = whole.bottom if isinstance(whole, StackedGenerator) else whole.net
    hidden = len(mlp.layers) - isinstance(whole, MLPGenerator)
    cut = 0 if target == "z" else int(target.removeprefix("hidden-"))
    if cut > hidden:
        names = ", ".join(["z", *(f"hidden-{layer}" for layer in range(1, hidden + 1))])
        raise InputError(f"--target is {target}, allowed for this generator: {names}; set --target")
    layers, activations = list(mlp.layers), mlp.activations
    lower = copy.copy(mlp)
    lower._modules = dict(mlp._modules)
    lower.layers, lower.activations = nn.ModuleList(layers[:cut]), activations[:cut]
    mlp.layers, mlp.activations = nn.ModuleList(layers[cut:]), activations[cut:]
    size = cast(nn.Linear, layers[cut]).in_features if cut < len(layers) else cast(nn.Linear, layers[-1]).out_features
    return Halves(lower, whole, size, activations[cut - 1] if cut else None)


def latent_loss(codes: Float[Tensor, "batch code"], targets: Float[Tensor, "batch code"]) -> Float[Tensor, " batch"]:
    """Return ‖E(G(z)) − z‖² / dimension of each pair."""
    return (codes - targets).square().mean(1)


def reconstruction_loss(
    reconstructions: Float[Tensor, "batch *shape"], x: Float[Tensor, "batch *shape"]
) -> Float[Tensor, " batch"]:
    """Return ‖G(E(x)) − x‖² / numbers in an example, of each."""
    return (reconstructions - x).square().flatten(1).mean(1)
