"""The game of figure 1, live: laws on the line and in the plane whose density is known, so that D* and JSD are too."""

import dataclasses
import math
import threading
import time
from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Literal

import numpy as np
import torch
from lightning_fabric import Fabric
from numpy.typing import NDArray

from advnets.config import Config, DiscriminatorConfig, GeneratorConfig, NoiseConfig
from advnets.noise import draw
from advnets.reproduce import figure1_game as figure1
from advnets.seeds import stream
from advnets.theory import discrete, jensen_shannon, optimal_discriminator
from advnets.training.batches import Batches
from advnets.training.game import Game, new_game
from advnets.training.step import paper_step

Floats = NDArray[np.float64]
Loss = Literal["non-saturating", "minimax", "half of each"]

SMOOTHING = 0.08
"""Standard deviation of the kernel that makes a density of G's samples in the plane; the data's is smoothed alike."""
LINE = figure1.X
SIDE = np.linspace(-1.9, 1.9, 58)
_SAMPLES, _ARROWS, _EXAMPLES, _KEPT = 3000, 24, 2**15, 600


@dataclass(frozen=True)
class Mixture:
    """Equally likely round Gaussians: centres (k, d), d of 1 or 2, and their standard deviation."""

    centres: Floats
    sd: float

    def draw(self, count: int, seed: int) -> torch.Tensor:
        """Draw x (count, d)."""
        random = np.random.default_rng([seed, 1])
        which = random.integers(len(self.centres), size=count)
        x = self.centres[which] + self.sd * random.standard_normal((count, self.centres.shape[1]))
        return torch.from_numpy(x.astype(np.float32))

    def density(self) -> Floats:
        """Return p on LINE (d = 1), or p smoothed by SMOOTHING on SIDE × SIDE (d = 2), exactly."""
        if self.centres.shape[1] == 1:
            return np.asarray(_bells(LINE, self.centres[:, 0], self.sd).mean(1))
        return _smoothed(self.centres, math.hypot(self.sd, SMOOTHING))


class Bell:
    """The density of figure 1 (`figure1_game.data_density`)."""

    centres: Floats = np.zeros((1, 1))

    def draw(self, count: int, seed: int) -> torch.Tensor:
        """Draw x (count, 1)."""
        return figure1.draw_data(count, seed)

    def density(self) -> Floats:
        """Return p on LINE."""
        return figure1.data_density(LINE)


def _ring() -> Floats:
    angles = 2 * math.pi * np.arange(8) / 8
    return 1.3 * np.stack([np.cos(angles), np.sin(angles)], axis=1)


def _square() -> Floats:
    ticks = np.array([-1.2, 0.0, 1.2])
    return np.stack(np.meshgrid(ticks, ticks, indexing="ij"), axis=-1).reshape(-1, 2)


LAWS: Mapping[str, Mixture | Bell] = MappingProxyType(
    {
        "line: the bell of figure 1": Bell(),
        "line: two bumps": Mixture(np.array([[-1.1], [1.1]]), 0.35),
        "plane: ring of eight": Mixture(_ring(), 0.1),
        "plane: square of nine": Mixture(_square(), 0.1),
        "plane: one blob": Mixture(np.array([[0.7, 0.5]]), 0.35),
    }
)


@dataclass(frozen=True)
class Rules:
    """What may change while the game goes on."""

    k: int = 1
    loss: Loss = "non-saturating"
    d_rate: float = 1e-3
    g_rate: float = 1e-3


@dataclass(frozen=True)
class View:
    """Both players at one step, on LINE or on SIDE × SIDE."""

    step: int
    p_data: Floats
    p_g: Floats
    d: Floats
    best: Floats
    """D*, proposition 1; NaN where both densities are 0."""
    jsd: float
    """JSD of p_data and p_g in nats; in the plane of both smoothed, and what lies outside counts as one place."""
    value: float
    """Mean V(D, G) over the steps since the view before; NaN before the first."""
    z: Floats
    """Points of the prior (n, latent)."""
    samples: Floats
    """G(z), (n, d)."""

    @property
    def criterion(self) -> float:
        """C(G) = −log 4 + 2·JSD, theorem 1: what V would be with D*."""
        return -math.log(4) + 2 * self.jsd

    @property
    def d_error(self) -> float:
        """Mean |D − D*| under (p_data + p_g)/2."""
        weight = self.p_data + self.p_g
        apart = np.where(weight > 0, np.abs(self.d - self.best), 0.0)
        return float((apart * weight).sum() / max(weight.sum(), 1e-300))


@dataclass
class Live:
    """A game in play, with what became of it so far."""

    law: Mixture | Bell
    x: torch.Tensor
    """Draws of the law."""
    game: Game
    batches: Batches
    course: deque[tuple[int, float, float]] = field(default_factory=lambda: deque(maxlen=_KEPT))
    """Step, JSD and V of the views so far."""
    lock: threading.Lock = field(default_factory=threading.Lock)

    @property
    def is_plane(self) -> bool:
        """Whether the data are in the plane."""
        return bool(self.law.centres.shape[1] == 2)

    @property
    def is_finite(self) -> bool:
        """Whether all weights still are numbers."""
        nets = (self.game.generator.net, self.game.discriminator.net)
        return all(bool(torch.isfinite(one).all()) for net in nets for one in net.parameters())


def begin(law: str, seed: int = 0) -> Live:
    """Make both players with fresh weights, and the data; `law` is a name of LAWS."""
    chosen = LAWS[law]
    config = dataclasses.replace(figure1.CONFIG, seed=seed)
    config = dataclasses.replace(config, train=dataclasses.replace(config.train, batch_size=256))
    if chosen.centres.shape[1] == 2:
        config = _in_the_plane(config)
    x = chosen.draw(_EXAMPLES, seed)
    game = new_game(config, tuple(x.shape[1:]), x.mean(0), Fabric(accelerator="cpu", devices=1))
    return Live(chosen, x, game, Batches(x, config.train.batch_size, seed))


def _in_the_plane(config: Config) -> Config:
    return dataclasses.replace(
        config,
        noise=NoiseConfig("gaussian", dimension=2),
        generator=GeneratorConfig(
            hidden=(128, 128),
            activations=("rectifier", "rectifier"),
            output="linear",
            output_bias="zero",
            init_range=0.1,
        ),
        discriminator=DiscriminatorConfig(hidden=(64, 64), pieces=4, keep=(1.0,), init_range=0.1),
    )


def advance(live: Live, rules: Rules, steps: int, seconds: float = math.inf) -> None:
    """Play steps of Algorithm 1 by these rules, fewer where the seconds run out."""
    game, end = live.game, time.monotonic() + seconds
    minimax = {"minimax": 1.0, "non-saturating": 0.0, "half of each": 0.5}[rules.loss]
    train = dataclasses.replace(
        game.config.train, k=rules.k, minimax_weight=minimax, non_saturating_weight=1.0 - minimax
    )
    game.config = dataclasses.replace(game.config, train=train)
    game.generator.initial_rate, game.discriminator.initial_rate = rules.g_rate, rules.d_rate
    for _ in range(steps):
        paper_step(game, live.batches)
        game.step += 1
        if time.monotonic() > end:
            break


@torch.no_grad()
def look(live: Live) -> View:
    """Evaluate both players on the grid, and add a point to the course."""
    game = live.game
    z, samples, p_g = _in_plane(game) if live.is_plane else _on_line(game)
    points = _grid() if live.is_plane else LINE[:, None]
    d = game.discriminator.net(torch.from_numpy(points).float()).double().sigmoid().numpy()
    p_data = live.law.density()
    best = optimal_discriminator(p_data, p_g)
    value = float(game.sums[0]) / game.summed if game.summed else math.nan
    game.sums.zero_()
    game.summed = 0
    view = View(game.step, p_data, p_g, d.reshape(p_data.shape), best, divergence(p_data, p_g), value, z, samples)
    live.course.append((view.step, view.jsd, view.value))
    return view


def divergence(p: Floats, q: Floats) -> float:
    """JSD in nats of the laws that two densities give the cells of LINE or SIDE × SIDE and the one place outside."""
    step = LINE[1] - LINE[0] if p.ndim == 1 else (SIDE[1] - SIDE[0]) ** 2
    laws = []
    for density in (p, q):
        inside = density.ravel() * step
        masses = np.append(inside, max(0.0, 1.0 - inside.sum()))
        laws.append(discrete(np.arange(len(masses)), masses / masses.sum()))
    return float(jensen_shannon(*laws))


def _on_line(game: Game) -> tuple[Floats, Floats, Floats]:
    x_of_z = game.generator.net(torch.from_numpy(figure1.Z).float()[:, None]).squeeze(1).double().numpy()
    p_g = figure1.pushforward_density(figure1.Z, x_of_z, LINE)
    rows = np.linspace(0, len(figure1.Z) - 1, _ARROWS).astype(int)
    return figure1.Z[rows, None], x_of_z[rows, None], p_g


def _in_plane(game: Game) -> tuple[Floats, Floats, Floats]:
    z = draw(game.config.noise, _SAMPLES, stream(0, "samples"))
    samples = game.generator.net(z).double().numpy()
    return z.double().numpy(), samples, _smoothed(samples, SMOOTHING)


def _grid() -> Floats:
    return np.stack(np.meshgrid(SIDE, SIDE, indexing="ij"), axis=-1).reshape(-1, 2)


def _bells(at: Floats, centres: Floats, sd: float) -> Floats:
    """Densities (points, centres) of Gaussians on the line."""
    return np.asarray(np.exp(-(((at[:, None] - centres) / sd) ** 2) / 2) / (sd * math.sqrt(2 * math.pi)))


def _smoothed(points: Floats, sd: float) -> Floats:
    """Mean density on SIDE × SIDE of round Gaussians at points (n, 2)."""
    across, along = (_bells(SIDE, points[:, axis], sd) for axis in (0, 1))
    return np.asarray(across @ along.T / len(points))
