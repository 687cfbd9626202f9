"""How a likelihood grows with the epochs: over seeds, as fitted laws, and as a picture."""

import math
import warnings
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from numpy.typing import NDArray
from scipy.optimize import OptimizeWarning, curve_fit

from advnets.reproduce import drawing

_COLOURS = {"raw": "#1b6ca8", "average": "#c2410c"}
_WORDS = {"raw": "raw weights", "average": "averaged weights"}
GRIDS = ("fine", "legacy")
_FEWEST = 5  # points, for laws of two and three numbers

Found = dict[str, Any]


def over_seeds(seeds: Sequence[Found], steps_per_epoch: int) -> Iterator[Found]:
    """Mean and standard deviation of the test likelihood over the seeds that were not lost, by epochs and weights."""
    at: dict[tuple[int, str], list[Found]] = {}
    for seed in seeds:
        for point in () if seed["lost"] else seed["at_epochs"]:
            for weights in seed["chosen"]:
                at.setdefault((point["step"] // steps_per_epoch, weights), []).append(point[weights])
    for (epoch, weights), found in sorted(at.items()):
        row: Found = {"epoch": epoch, "weights": weights, "n": len(found)}
        for grid in GRIDS:
            nats = [one[grid]["nats"] for one in found if "nats" in one[grid]]
            if len(nats) == len(found):
                row[grid] = {
                    "nats": float(np.mean(nats)),
                    "deviation": float(np.std(nats, ddof=1)) if len(nats) > 1 else None,
                    "standard_error": float(np.mean([one[grid]["standard_error"] for one in found])),
                }
        yield row


@np.errstate(over="ignore")  # beyond all epochs is None
def laws(rows: Sequence[Found], weights: str, grid: str, goal: float | None) -> dict[str, Found]:
    """Fit nats = a + b·log(epochs) and nats = limit − c·epochs^−p to means over seeds, by least squares.

    Each law comes with the epochs it was fitted to, first and last, with the root of its mean squared residual, in
    nats, and with the epochs at which it reaches the goal: None where it never does, or where there is no goal. Fewer
    than five points have no law, and the second law is left out where its fit does not settle.
    """
    points = [(row["epoch"], row[grid]["nats"]) for row in rows if row["weights"] == weights and grid in row]
    if len(points) < _FEWEST:
        return {}
    epochs, nats = np.array(points, float).T
    slope, start = map(float, np.polyfit(np.log(epochs), nats, 1))
    found: dict[str, Found] = {
        "logarithm": {
            "a": start,
            "b": slope,
            "fitted": [int(epochs.min()), int(epochs.max())],
            "residual": _rms(nats - logarithm(epochs, start, slope)),
            "epochs_to_goal": _finite(np.exp((goal - start) / slope)) if goal is not None and slope > 0 else None,
        }
    }
    try:
        with warnings.catch_warnings(action="error", category=OptimizeWarning):
            (limit, c, p), _ = curve_fit(power, epochs, nats, p0=(nats[-1] + 20, 300.0, 0.5), maxfev=20_000)
    except (RuntimeError, OptimizeWarning):
        return found
    reached = goal is not None and limit > goal and min(c, p) > 0
    found["power"] = {
        "limit": float(limit),
        "c": float(c),
        "p": float(p),
        "fitted": found["logarithm"]["fitted"],
        "residual": _rms(nats - power(epochs, limit, c, p)),
        "epochs_to_goal": _finite((c / (limit - goal)) ** (1 / p)) if reached else None,
    }
    return found


def logarithm(epochs: NDArray[Any], a: float, b: float) -> NDArray[Any]:
    """Return a + b·log(epochs)."""
    return np.asarray(a + b * np.log(epochs))


def power(epochs: NDArray[Any], limit: float, c: float, p: float) -> NDArray[Any]:
    """Return limit − c·epochs^−p."""
    return np.asarray(limit - c * epochs**-p)


def draw(column: Found, paper: Found, file: Path) -> list[Path]:
    """Draw the test likelihood of every seed that was not lost against epochs, by the paper's grid, with its laws."""
    figure = Figure(figsize=(7, 4.6), layout="constrained")
    axes = figure.subplots()
    drawn = [seed for seed in column["seeds"] if not seed["lost"]]
    ticks = sorted({row["epoch"] for row in column["epochs"]})
    for weights, fitted in column["laws"].items():
        for seed in drawn:
            points = [point for point in seed["at_epochs"] if "nats" in point[weights]["legacy"]]
            epochs = [point["step"] / column["steps_per_epoch"] for point in points]
            nats = [point[weights]["legacy"]["nats"] for point in points]
            axes.plot(epochs, nats, "o-", color=_COLOURS[weights], lw=0.8, ms=3, alpha=0.7)
        words = _law(axes, weights, fitted["legacy"].get("power"), max(ticks))
        axes.plot([], [], "o-", color=_COLOURS[weights], ms=3, label=words)
    reference = column["references"]["training_images"]["legacy"]["nats"]
    axes.axhline(reference, color="0.2", lw=1, ls="--", label=f"training images, {reference:.0f} nats")
    axes.axhline(paper["nats"], color="0.5", lw=1, ls=":", label=f"the paper, {paper['nats']:.0f} nats")
    axes.set(xscale="log", xlabel="epochs", ylabel="test log-likelihood (nats, the paper's grid)")
    axes.set_xticks(ticks, [str(tick) for tick in ticks])
    axes.set_xticks([], minor=True)
    axes.legend(fontsize=8, frameon=False)
    names = ", ".join(str(seed["seed"]) for seed in drawn)
    axes.set_title(f"recipe {column['recipe']}, seeds {names}, a line each", fontsize=9)
    return drawing.save(figure, file)


def _law(axes: Axes, weights: str, law: Found | None, last: int) -> str:
    """Draw the power law over the epochs it was fitted to, dashed beyond, and return the words for the legend."""
    if law is None:
        return _WORDS[weights]
    for (start, end), style in ((law["fitted"], "-"), ((law["fitted"][1], last), "--")):
        dense = np.geomspace(start, max(start, end), 100)
        nats = power(dense, law["limit"], law["c"], law["p"])
        axes.plot(dense, nats, style, color=_COLOURS[weights], lw=2.4, alpha=0.35)
    return f"{_WORDS[weights]}; {law['limit']:.0f} − {law['c']:.0f}·epochs$^{{{-law['p']:.2f}}}$"


def _finite(epochs: float) -> float | None:
    return float(epochs) if math.isfinite(epochs) else None


def _rms(residuals: NDArray[Any]) -> float:
    return math.sqrt(float(np.mean(residuals**2)))
