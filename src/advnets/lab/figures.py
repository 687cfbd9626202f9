"""Pictures of the live game, as figure 1 draws it, and what they say in a line."""

import math
from collections.abc import Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from PIL import Image

from advnets.lab.game import LINE, SIDE, SMOOTHING, Floats, Live, View

READING = (
    "On the line as in figure 1: p_data dotted, p_g green, D blue and dashed, D* grey; below, arrows from z to G(z).",
    f"In the plane: data in black, samples in green, over D (left) and D* (right), blue where data are "
    f"likelier. There both densities are smoothed by a Gaussian of {SMOOTHING}. D* is white where neither is.",
    "C(G) = −log 4 + 2·JSD is what V(D, G) would be with D*; training ends where JSD is 0 and both are −log 4.",
)
_POINTS = 700
_LEAST = 1e-3  # of the largest density: where D* is drawn


def told(view: View) -> str:
    """Say in a line where the game is."""
    value = "not measured yet" if math.isnan(view.value) else f"{view.value:.3f}"
    return (
        f"Step {view.step:,}: JSD(p_data, p_g) {view.jsd:.3f} nats, V(D, G) {value}, C(G) {view.criterion:.3f}, "
        f"mean |D − D*| {view.d_error:.3f}"
    )


def draw(live: Live, view: View) -> Image.Image:
    """Draw both players, and JSD and V so far."""
    figure = Figure(figsize=(9.4, 6.2), dpi=80, layout="constrained")
    canvas = FigureCanvasAgg(figure)
    spots = figure.add_gridspec(4, 2, height_ratios=(3, 1, 1, 1))
    if live.is_plane:
        _plane([figure.add_subplot(spots[:2, column]) for column in (0, 1)], live, view)
    else:
        main = figure.add_subplot(spots[0, :])
        _line(main, figure.add_subplot(spots[1, :], sharex=main), view)
    _course([figure.add_subplot(spots[2:, column]) for column in (0, 1)], live)
    canvas.draw()
    return Image.fromarray(np.asarray(canvas.buffer_rgba())).convert("RGB")


def _seen(view: View) -> Floats:
    """D* where either law is to be found; NaN elsewhere, where it is a ratio of two numbers next to nothing."""
    both = view.p_data + view.p_g
    return np.where(both > _LEAST * both.max(), view.best, np.nan)


def _line(main: Axes, arrows: Axes, view: View) -> None:
    main.plot(LINE, view.p_data, ":k", label="p_data")
    main.plot(LINE, view.p_g, "C2", label="p_g")
    main.plot(LINE, _seen(view), "0.7", label="D*")
    main.plot(LINE, view.d, "--C0", label="D")
    main.axhline(0.5, color="0.9", linewidth=0.8, zorder=0)
    main.set(ylim=(0, 1.25), xlim=(LINE[0], LINE[-1]))
    main.legend(loc="upper right", ncols=4, frameon=False)
    low, high = view.z.min(), view.z.max()
    spread = LINE[0] + (view.z[:, 0] - low) / (high - low) * (LINE[-1] - LINE[0])
    arrows.plot(np.stack([spread, view.samples[:, 0]]), [[0] * len(spread), [1] * len(spread)], "k", linewidth=0.6)
    arrows.set(ylim=(0, 1), yticks=(0, 1), yticklabels=("z", "x = G(z)"), xlabel="x")


def _plane(axes: Sequence[Axes], live: Live, view: View) -> None:
    data, samples = live.x[:_POINTS].numpy(), view.samples[:_POINTS]
    for one, values, title in zip(axes, (view.d, _seen(view)), ("D", "D*"), strict=True):
        one.imshow(
            values.T,
            origin="lower",
            extent=(SIDE[0], SIDE[-1], SIDE[0], SIDE[-1]),
            vmin=0,
            vmax=1,
            cmap="RdBu",
            alpha=0.7,
        )
        one.scatter(data[:, 0], data[:, 1], s=3, color="k", linewidths=0, label="data")
        one.scatter(samples[:, 0], samples[:, 1], s=3, color="C2", linewidths=0, label="samples")
        one.set(title=title, xlim=(SIDE[0], SIDE[-1]), ylim=(SIDE[0], SIDE[-1]), aspect="equal")
    axes[0].legend(loc="upper right", markerscale=3)


def _course(axes: Sequence[Axes], live: Live) -> None:
    steps, jsd, value = np.array([*live.course]).T
    mark = "." if len(steps) < 10 else ""
    axes[0].plot(steps, jsd, "C3", marker=mark)
    axes[0].set(title="JSD in nats", ylim=(0, 0.72), xlabel="step")
    axes[0].axhline(math.log(2), color="0.8", linewidth=0.8)
    axes[1].plot(steps, value, "C0", marker=mark, label="V(D, G)")
    axes[1].plot(steps, -math.log(4) + 2 * jsd, "0.5", marker=mark, label="C(G)")
    axes[1].axhline(-math.log(4), color="0.8", linewidth=0.8)
    axes[1].set(title="V(D, G) and C(G)", ylim=(-1.6, 0.1), xlabel="step")
    axes[1].legend(loc="upper right", frameon=False)
