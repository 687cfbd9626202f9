"""The picture of the efficiency study: validation likelihood against steps, a panel a factor."""

import math
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from advnets.reproduce import drawing

_COLOURS = ("#1b6ca8", "#c2410c", "#2f855a", "#7c3aed")
_ACROSS = 4

Found = dict[str, Any]


def draw(summary: Found, file: Path) -> list[Path]:
    """Draw the mean over seeds of every setting, with all seeds within its band, beside the base in black."""
    base, *others = summary["settings"]
    factors = list(dict.fromkeys(one["factor"] for one in others))
    down = math.ceil(len(factors) / _ACROSS)
    figure = Figure(figsize=(3.4 * _ACROSS, 3.0 * down + 0.4), layout="constrained")
    grid = figure.subplots(down, _ACROSS, squeeze=False, sharex=True, sharey=True)
    for axes in grid.flat[len(factors) :]:
        axes.set_axis_off()
    for axes, factor in zip(grid.flat, factors, strict=False):
        axes.axhline(summary["goal"], color="0.6", lw=0.8, ls=":")
        _line(axes, base, "black", "as it is")
        for colour, one in zip(_COLOURS, (one for one in others if one["factor"] == factor), strict=False):
            _line(axes, one, colour, one["words"])
        axes.set_title(factor, fontsize=10)
        axes.legend(fontsize=7, frameon=False, loc="upper left")
        axes.set_ylim(*_limits(summary))
    figure.supxlabel("steps", fontsize=9)
    figure.supylabel("validation likelihood (nats)", fontsize=9)
    seeds = len(base["runs"])
    figure.suptitle(f"{summary['recipe']}, one factor at a time: mean and range of {seeds} seeds", fontsize=10)
    return drawing.save(figure, file)


def _line(axes: Axes, one: Found, colour: str, words: str) -> None:
    curves = [dict(run["curve"]) for run in one["runs"] if run["curve"]]
    steps = sorted(set.intersection(*(set(curve) for curve in curves))) if curves else []
    nats = np.array([[math.nan if curve[step] is None else curve[step] for step in steps] for curve in curves])
    lost = "" if all(run["diverged"] is None for run in one["runs"]) else ", diverged"
    axes.plot(steps, nats.mean(0) if steps else [], color=colour, lw=1.4, label=words + lost)
    if steps:
        axes.fill_between(steps, nats.min(0), nats.max(0), color=colour, alpha=0.15, lw=0)


def _limits(summary: Found) -> tuple[float, float]:
    """Show from a little below half of what the base gains before the goal up to the best of all."""
    ends = [run["curve"] for one in summary["settings"] for run in one["runs"] if run["curve"]]
    found = [nats for curve in ends for _, nats in curve if nats is not None]
    top = max([summary["goal"], *found])
    return top - 1.6 * abs(top), top + 0.05 * abs(top)
