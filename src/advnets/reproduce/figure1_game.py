"""The game behind figure 1: a density on the line, one uniform z, both densities known at every step."""

import math
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import torch
from lightning_fabric import Fabric
from numpy.typing import NDArray

from advnets.config import Config, DiscriminatorConfig, GeneratorConfig, NoiseConfig, TrainConfig
from advnets.seeds import stream
from advnets.theory import optimal_discriminator
from advnets.training.batches import Batches
from advnets.training.game import Game, new_game
from advnets.training.step import paper_step

Floats = NDArray[np.float64]

CONTRAST = 0.5
HALF_WIDTH = 1 / math.sqrt(1 / 3 - 2 * CONTRAST / math.pi**2)  # where the standard deviation is 1
EXAMPLES = 2**17
SWING = 0.3
"""Panel (a) waits until the means of p_g and p_data are this far apart, in standard deviations of the data."""

CONFIG = Config(
    "figure1",
    noise=NoiseConfig("uniform", dimension=1),
    generator=GeneratorConfig(
        hidden=(64, 64),
        activations=("rectifier", "sigmoid"),
        hidden_biases=(0.5,),
        output="linear",
        output_bias="zero",
        init_range=0.5,
    ),
    discriminator=DiscriminatorConfig(hidden=(64, 64), pieces=5, keep=(1.0,), init_range=0.3),
    train=TrainConfig(mode="paper", batch_size=512, optimiser="adam", decay_per_update=1.0, device="cpu"),
)
Z = np.linspace(CONFIG.noise.low, CONFIG.noise.high, 2001)
X = np.linspace(-3.2, 3.2, 641)


@dataclass(frozen=True)
class Phase:
    """Steps of Algorithm 1 with rates that fall, or rise, geometrically from the first to the second number."""

    panel: str
    steps: int
    generator_rates: tuple[float, float]
    """(0, 0) holds G fixed, so that the steps are the inner loop over D."""
    discriminator_rates: tuple[float, float]
    """(0, 0) holds D fixed."""
    frames: int
    """States to look at on the way."""
    extra: int = 0
    """Further steps at the last rates, at most, until p_g is off by SWING."""


PHASES = (
    Phase("a", 700, (1e-3, 1e-3), (2e-3, 3e-3), frames=14, extra=600),
    Phase("b", 1500, (0, 0), (1e-2, 1e-4), frames=10),
    Phase("c", 14, (1e-4, 1e-4), (0, 0), frames=6),
    Phase("d", 4000, (7e-4, 1e-5), (4e-3, 1e-4), frames=20),
)


@dataclass(frozen=True)
class State:
    """Both players at one step: G on the grid Z, D and p_g on the grid X."""

    panel: str
    step: int
    x_of_z: Floats
    p_g: Floats
    d: Floats


def data_density(x: Floats) -> Floats:
    """Return p_data, a bell on a bounded support with mean 0 and standard deviation 1.

    p_data(x) = (1 + c·cos(πx/L)) / 2L for |x| ≤ L, with c = CONTRAST and L = HALF_WIDTH; shape as x. It stays above 0
    up to its ends, as does the density of a piecewise smooth G of one uniform z. Figure 1, the dotted line.
    """
    return np.where(np.abs(x) <= HALF_WIDTH, (1 + CONTRAST * np.cos(np.pi * x / HALF_WIDTH)) / (2 * HALF_WIDTH), 0.0)


def draw_data(count: int, seed: int) -> torch.Tensor:
    """Draw x ~ p_data of shape (count, 1), as F⁻¹(u) of uniform u, F(x) = (x + L)/2L + c·sin(πx/L)/2π."""
    x = np.linspace(-HALF_WIDTH, HALF_WIDTH, 20_001)
    share = (x + HALF_WIDTH) / (2 * HALF_WIDTH) + CONTRAST * np.sin(np.pi * x / HALF_WIDTH) / (2 * np.pi)
    u = torch.rand(count, generator=stream(seed, "figure1 data"), dtype=torch.float64).numpy()
    return torch.from_numpy(np.interp(u, share, x).astype(np.float32)[:, None])


def pushforward_density(z: Floats, x_of_z: Floats, x: Floats) -> Floats:
    """Return the density of G(z) for z uniform on [z_0, z_n], by change of variables.

    p_g(x) = Σ over the branches of p_z / |G′(z)|: each segment [z_i, z_{i+1}] spreads its mass evenly over its image,
    and the value at x is the mean density over the cell of the grid around x, so that even a flat piece of G has one.
    Exact for a piecewise linear G with its corners in z, monotone or not. Shapes: z and x_of_z (n,), x (m,), ascending
    z and x; returns (m,). Figure 1, the solid line.
    """
    edges = np.concatenate([[1.5 * x[0] - 0.5 * x[1]], (x[1:] + x[:-1]) / 2, [1.5 * x[-1] - 0.5 * x[-2]]])
    mass = np.diff(z) / (z[-1] - z[0])
    low, high = np.minimum(x_of_z[:-1], x_of_z[1:]), np.maximum(x_of_z[:-1], x_of_z[1:])
    width = np.maximum(high - low, np.finfo(np.float64).tiny)
    with np.errstate(over="ignore"):
        share = np.clip((edges[:, None] - low) / width, 0.0, 1.0)  # of each segment, below each edge
    return np.asarray(np.diff(share @ mass) / np.diff(edges))


def moments(z: Floats, x_of_z: Floats) -> tuple[float, float]:
    """Return mean and standard deviation of G(z), z uniform on [z_0, z_n] and G linear between the points (n,)."""
    mass, low, high = np.diff(z) / (z[-1] - z[0]), x_of_z[:-1], x_of_z[1:]
    mean = float(mass @ (low + high) / 2)
    second = float(mass @ (low**2 + low * high + high**2) / 3)
    return mean, math.sqrt(max(second - mean**2, 0.0))


def measure(state: State) -> dict[str, float | bool | int]:
    """Compare the players of one step with the theory.

    `d_error` = mean |D − D*| with D* = p_data / (p_data + p_g) (proposition 1) and `d_from_half` = mean |D − 1/2|,
    both over the points of X where p_data + p_g is over 1 % of its maximum; `total_variation` = ½ ∫ |p_g − p_data| dx;
    mean and sd are those of p_g. Figure 1.
    """
    p_data = data_density(X)
    best = optimal_discriminator(p_data, state.p_g)
    seen = p_data + state.p_g > 0.01 * (p_data + state.p_g).max()
    mean, sd = moments(Z, state.x_of_z)
    slopes = np.diff(state.x_of_z)
    return {
        "step": state.step,
        "d_error": float(np.abs(state.d - best)[seen].mean()),
        "total_variation": float(np.abs(state.p_g - p_data).sum() * (X[1] - X[0]) / 2),
        "mean": mean,
        "sd": sd,
        "d_from_half": float(np.abs(state.d - 0.5)[seen].mean()),
        "monotone": bool((slopes >= 0).all() or (slopes <= 0).all()),
    }


@torch.no_grad()
def look(game: Game, panel: str) -> State:
    """Evaluate both players on the grids Z and X."""
    z, x = (torch.from_numpy(grid).to(game.dtype)[:, None] for grid in (Z, X))
    x_of_z = game.generator.net(z).squeeze(1).double().numpy()
    d = game.discriminator.net(x).double().sigmoid().numpy()
    return State(panel, game.step, x_of_z, pushforward_density(Z, x_of_z, X), d)


def start(config: Config) -> tuple[Game, Batches]:
    """Make both players with fresh weights, and the data, from the configuration's seed."""
    x = draw_data(EXAMPLES, config.seed)
    game = new_game(config, (1,), x.mean(0), Fabric(accelerator="cpu", devices=1))
    return game, Batches(x, config.train.batch_size, config.seed)


def play(game: Game, batches: Batches, phase: Phase) -> Iterator[State]:
    """Train through one phase by Algorithm 1; yields the state of about `frames` steps, the last one included.

    The player whose rate is 0 stays where it is: with G's at 0 the steps are the algorithm's inner loop, k = steps.
    """
    every = max(phase.steps // phase.frames, 1)
    for step in range(1, phase.steps + phase.extra + 1):
        share = min((step - 1) / max(phase.steps - 1, 1), 1.0)
        game.generator.initial_rate = _between(phase.generator_rates, share)
        game.discriminator.initial_rate = _between(phase.discriminator_rates, share)
        paper_step(game, batches)
        game.step += 1
        if step >= phase.steps and (step == phase.steps + phase.extra or _off_centre(game)):
            break
        if step % every == 0:
            yield look(game, phase.panel)
    yield look(game, phase.panel)


def _between(rates: tuple[float, float], share: float) -> float:
    first, last = rates
    return first * (last / first) ** share if first else 0.0


def _off_centre(game: Game) -> bool:
    with torch.no_grad():
        x_of_z = game.generator.net(torch.from_numpy(Z).to(game.dtype)[:, None])
    return abs(float(x_of_z.mean())) >= SWING
