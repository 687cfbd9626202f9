"""Pictures of Table 2: what chains show step after step, and how fast they forget."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from matplotlib.figure import Figure

from advnets.reproduce import drawing
from advnets.sampling import Sampler

CHAINS, STATES = 3, 20
SHOWN, COLUMNS = 64, 8
_COLOURS = ("C0", "C1", "C2", "C4", "C3")


def draw(samplers: Mapping[str, Sampler], mixed: Mapping[str, Mapping[str, Any]], folder: Path) -> list[Path]:
    """Write table2-samples.png, table2-chains.png and table2-autocorrelation.png."""
    figures = {
        "samples": random_samples(samplers),
        "chains": consecutive(samplers),
        "autocorrelation": autocorrelations(mixed),
    }
    return [path for name, one in figures.items() for path in drawing.save(one, folder / f"table2-{name}.png")]


def random_samples(samplers: Mapping[str, Sampler]) -> Figure:
    """Show 64 samples of every model, not picked: each from a chain of its own, at the end of its burn-in."""
    columns = min(3, len(samplers))
    rows = -(-len(samplers) // columns)
    figure = Figure(figsize=(3.6 * columns, 3.9 * rows), layout="constrained")
    axes = list(figure.subplots(rows, columns, squeeze=False).flat)
    for one in axes:
        one.set_axis_off()
    for one, (name, sampler) in zip(axes, samplers.items(), strict=False):
        drawing.panel(one, sampler.draw(SHOWN, sampler.config.seed), COLUMNS, name, stretch=False)
    return figure


def consecutive(samplers: Mapping[str, Sampler]) -> Figure:
    """Show 20 consecutive states, after burn-in, of three chains of every model; independent draws where none is."""
    figure = Figure(figsize=(8, 1.75 * len(samplers)), layout="constrained")
    rows = figure.subplots(len(samplers), 1, squeeze=False)[:, 0]
    for axes, (name, sampler) in zip(rows, samplers.items(), strict=True):
        x = sampler.trajectories(CHAINS, STATES, sampler.config.seed)
        what = "consecutive means, a chain a row" if sampler.config.has_chain else "independent draws"
        title = f"{name}, step {sampler.step:,}: {what}"
        drawing.panel(axes, x.reshape(-1, *x.shape[2:]), STATES, title, stretch=False)
    return figure


def autocorrelations(mixed: Mapping[str, Mapping[str, Any]]) -> Figure:
    """Plot the autocorrelation of pixels over the steps of the chains."""
    figure = Figure(figsize=(6.5, 4), layout="constrained")
    axes = figure.subplots()
    for colour, (name, found) in zip(_COLOURS, mixed.items(), strict=False):
        if rho := found.get("autocorrelation"):
            axes.plot(range(1, len(rho)), rho[1:], color=colour, label=name, linewidth=1.5)
    axes.axhline(0, color="0.6", linewidth=0.8)
    axes.set_xscale("log")
    axes.set_ylim(-0.1, 1.02)
    axes.set_xlabel("steps apart")
    axes.set_ylabel("autocorrelation of pixels")
    axes.legend(fontsize=8, frameon=False)
    return figure
