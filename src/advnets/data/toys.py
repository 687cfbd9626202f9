"""Densities known in closed form, drawn with a fixed seed, and digits stacked to 1,000 modes."""

import math
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from advnets.config import DataConfig
from advnets.data.mnist import read as read_mnist
from advnets.data.splits import Part, Raw
from advnets.errors import InputError

SIZES = (50_000, 10_000, 10_000)
MIXTURES = ("gaussian", "bimodal", "ring", "grid")
SEED = 2014

Points = NDArray[np.float64]


def modes(name: str) -> tuple[Points, float]:
    """Return the centres (k, d) and the standard deviation of a mixture of equally likely round Gaussians."""
    match name:
        case "gaussian":
            return np.array([[3.0]]), 0.5
        case "bimodal":
            return np.array([[-2.0], [2.0]]), 0.5
        case "ring":
            angles = 2 * math.pi * np.arange(8) / 8  # linspace(0, 2π, 8) would visit angle 0 twice
            return np.stack([np.cos(angles), np.sin(angles)], axis=1), 0.01
        case "grid":
            ticks = np.arange(-4.0, 5.0, 2.0)
            return np.stack(np.meshgrid(ticks, ticks, indexing="ij"), axis=-1).reshape(-1, 2), 0.05
        case _:
            raise InputError(f"{name} has no modes, allowed are {', '.join(MIXTURES)}; choose one of these")


def read(config: DataConfig) -> Raw:
    """Draw one of the toy densities; the labels of a mixture are its components."""
    names: tuple[str, ...] = ()
    labels: NDArray[np.int64] | None = None
    generator = np.random.default_rng(SEED)
    n = sum(SIZES)
    match config.name:
        case "uniform":
            x = generator.uniform(-1.0, 1.0, (n, 1))
        case "swiss_roll":
            x = _swiss_roll(n)
        case name:
            centres, spread = modes(name)
            labels = generator.integers(len(centres), size=n)
            x = centres[labels] + spread * generator.standard_normal((n, centres.shape[1]))
            names = tuple(" ".join(f"{round(value, 2) + 0:g}" for value in centre) for centre in centres)
    train, validation, test = _in_order(x.astype(np.float32), labels)
    return Raw(train, validation, test, None, "none", "generated", names)


def read_stacked_mnist(config: DataConfig, folder: Path) -> Raw:
    """Put three random digits of MNIST into the three channels; the label is 100a + 10b + c (VEEGAN, section 4.2).

    Each part draws from the same part of MNIST.
    """
    digits = read_mnist(config, "mnist", folder)
    generator = np.random.default_rng(SEED)
    train, validation, test = (_stack(part, n, generator) for part, n in zip(digits.parts, SIZES, strict=True))
    names = tuple(f"{number:03d}" for number in range(1000))
    return Raw(train, validation, test, 255.0, "unit", f"three digits each of {digits.source}", names)


def _stack(part: Part, n: int, generator: np.random.Generator) -> Part:
    assert part.labels is not None
    rows = generator.integers(len(part.x), size=(n, 3))
    return Part(part.x[rows, 0], part.labels[rows] @ np.array([100, 10, 1]))


def _swiss_roll(n: int) -> Points:
    """Return the two coordinates that roll, divided by 7.5 as in the code of Improved Training of Wasserstein GANs."""
    from sklearn.datasets import make_swiss_roll

    points: Points = make_swiss_roll(n, noise=0.25, random_state=SEED)[0]
    return points[:, [0, 2]] / 7.5


def _in_order(x: NDArray[Any], labels: NDArray[np.int64] | None) -> tuple[Part, Part, Part]:
    """Cut independent draws by position."""
    first, second = SIZES[0], SIZES[0] + SIZES[1]
    parts = (slice(0, first), slice(first, second), slice(second, None))
    train, validation, test = (Part(x[rows], None if labels is None else labels[rows]) for rows in parts)
    return train, validation, test
