"""Figure 1 of the paper from a game that is really played: p_data, p_g, D and the arrows z → x, in four panels."""

import dataclasses
import time
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from PIL import Image

from advnets.config import to_json
from advnets.reproduce import drawing
from advnets.reproduce.artefact import Artefact, Plan
from advnets.reproduce.figure1_game import (
    CONFIG,
    PHASES,
    SWING,
    Floats,
    State,
    X,
    Z,
    data_density,
    measure,
    play,
    start,
)
from advnets.theory import optimal_discriminator

SHOWS = {
    "a": "near convergence, D partially accurate",
    "b": "D trained to D*, G fixed",
    "c": "G updated along the gradient of D",
    "d": "after training",
}
MOVES = {
    "a": "(a) D and G in turn, k = 1",
    "b": "(b) D alone, G fixed",
    "c": "(c) G alone, D fixed",
    "d": "(d) D and G in turn, k = 1",
}
"""Who moves before each panel."""
ARROWS = 17
LIMITS = {"d_error_b": 0.03, "d_from_half_d": 0.05, "total_variation_d": 0.08}
"""Of mean |D − D*| in panel (b), and of mean |D − 1/2| and the total variation between p_g and p_data in panel (d)."""

Panels = dict[str, State]


def reproduce(plan: Plan) -> Artefact:
    """Play the game of figure 1 for every seed and draw that of seed 0: a PNG and an SVG of four panels, and a GIF."""
    measured: list[dict[str, Any]] = []
    states: list[State] = []
    for seed in range(plan.seeds or 1):
        plan.say(f"figure 1: playing the game of seed {seed}, {sum(phase.steps for phase in PHASES)} steps")
        began = time.monotonic()
        played = played_states(seed)
        seconds = round(time.monotonic() - began, 1)
        panels = {panel: measure(state) for panel, state in last_of_each(played).items()}
        measured.append({"seed": seed, "holds": holds(panels), "seconds": seconds, "panels": panels})
        states = states or played
    plan.say("figure 1: drawing")
    summary = {
        "drawn_seed": 0,
        "holds": all(one["holds"] for one in measured),
        "limits": LIMITS,
        "seeds": measured,
        "config": to_json(CONFIG),
        "phases": [to_json(phase) for phase in PHASES],
        "swing": SWING,
    }
    stills = [plan.folder / f"figure1.{suffix}" for suffix in ("png", "svg")]
    files = drawing.save(draw_panels(last_of_each(states)), *stills)
    files.append(_write_film(states, plan.folder / "figure1.gif"))
    return Artefact(_rows(measured[0]["panels"]), summary, files, summary["holds"])


def played_states(seed: int) -> list[State]:
    """Play all phases of one game; every state that was looked at, in order."""
    game, batches = start(dataclasses.replace(CONFIG, seed=seed))
    return [state for phase in PHASES for state in play(game, batches, phase)]


def last_of_each(states: list[State]) -> Panels:
    """Take the last state of each phase, which is what its panel shows."""
    return {state.panel: state for state in states}


def holds(panels: dict[str, dict[str, Any]]) -> bool:
    """Whether the measures of the four panels say what the paper's caption says.

    (b) mean |D − D*| < 0.03; (c) p_g nearer to p_data than in (b), by total variation; (d) mean |D − 1/2| < 0.05 and
    total variation < 0.08. Figure 1.
    """
    b, c, d = panels["b"], panels["c"], panels["d"]
    return bool(
        b["d_error"] < LIMITS["d_error_b"]
        and c["total_variation"] < b["total_variation"]
        and d["d_from_half"] < LIMITS["d_from_half_d"]
        and d["total_variation"] < LIMITS["total_variation_d"]
    )


def _rows(panels: dict[str, dict[str, Any]]) -> list[tuple[str, ...]]:
    rows: list[tuple[str, ...]] = [("panel", "step", "|D - D*|", "TV(p_g, p_data)", "shows")]
    for panel, values in panels.items():
        errors = (f"{values[name]:.3f}" for name in ("d_error", "total_variation"))
        rows.append((panel, str(values["step"]), *errors, SHOWS[panel]))
    return rows


def draw_panels(panels: Panels) -> Figure:
    """Draw the four panels side by side, each above its arrows from z to x = G(z). Figure 1."""
    figure = Figure(figsize=(12.4, 4.3))
    FigureCanvasAgg(figure)
    grid = figure.add_gridspec(
        2, 4, height_ratios=(2.4, 1), hspace=0, wspace=0.09, left=0.05, right=0.95, top=0.8, bottom=0.15
    )
    for column, (panel, state) in enumerate(panels.items()):
        above, below = figure.add_subplot(grid[0, column]), figure.add_subplot(grid[1, column])
        right = _draw_state(above, below, state)
        above.set_title(f"({panel}) {SHOWS[panel]}", fontsize=9.5)
        if column:
            above.tick_params(labelleft=False)
            above.set_ylabel("")
        if column < len(panels) - 1:
            right.tick_params(labelright=False)
            right.set_ylabel("")
    _legend(figure, above, right, 0.995)
    steps = ", ".join(f"({panel}) {state.step}" for panel, state in panels.items())
    figure.text(0.05, 0.02, f"Algorithm 1, game figure1, seed 0; steps: {steps}", fontsize=8.5, color="0.3")
    return figure


def _draw_state(above: Axes, below: Axes, state: State) -> Axes:
    """Draw the densities and, on an axis of its own that is returned, D; below them the arrows."""
    p_data = data_density(X)
    above.plot(X, p_data, "k:", linewidth=1.8, label="$p_{data}$", zorder=3)
    above.plot(X, state.p_g, color="tab:green", linewidth=1.8, label="$p_g$", zorder=2)
    above.set(xlim=(X[0], X[-1]), ylim=(0, 0.6), ylabel="density")
    above.set_xticks((-1, 0, 1))
    above.tick_params(axis="x", direction="in", pad=-14)
    right = above.twinx()
    right.plot(X, optimal_discriminator(p_data, state.p_g), color="0.65", linewidth=1.0, label="$D^*$")
    defined = p_data + state.p_g > 0  # elsewhere neither player is trained, and D is drawn faint
    right.plot(X, np.where(defined, state.d, np.nan), "--", color="tab:blue", linewidth=1.8, label="$D$")
    right.plot(X, np.where(defined, np.nan, state.d), "--", color="tab:blue", linewidth=1.0, alpha=0.3)
    right.set(ylim=(0, 1.2), yticks=(0, 0.5, 1), ylabel="$D(x)$")
    _draw_arrows(below, state.x_of_z)
    return right


def _draw_arrows(axes: Axes, x_of_z: Floats) -> None:
    """Draw z → G(z) at equal distances of z; the axis of z is turned round where G falls, so that no arrows cross."""
    turn = 1.0 if x_of_z[-1] >= x_of_z[0] else -1.0
    arrow = {"arrowstyle": "-|>", "color": "0.25", "linewidth": 0.7, "mutation_scale": 6, "shrinkA": 0, "shrinkB": 0}
    for z in np.linspace(Z[0], Z[-1], ARROWS):
        axes.annotate("", (np.interp(z, Z, x_of_z), 1), (turn * z, 0), arrowprops=arrow, annotation_clip=False)
    axes.plot(Z[[0, -1]], (0, 0), color="k", linewidth=1.5, clip_on=False)
    for z in (Z[0], 0.0, Z[-1]):
        axes.annotate(
            f"{z:.2f}".replace("-", "−"), (turn * z, 0), (0, -4), textcoords="offset points", ha="center", va="top"
        )
    axes.set(xlim=(X[0], X[-1]), ylim=(0, 1), xticks=(), yticks=())
    axes.spines[["left", "right", "bottom"]].set_visible(False)
    axes.text(X[0] + 0.1, 0.87, "$x$", va="center")
    axes.text(X[0] + 0.1, 0.0, "$z$", va="center")


def _legend(figure: Figure, above: Axes, right: Axes, top: float) -> None:
    handles = [line for line in [*above.get_lines(), *right.get_lines()] if str(line.get_label()).startswith("$")]
    names = [str(line.get_label()) for line in handles]
    figure.legend(handles, names, loc="upper center", bbox_to_anchor=(0.5, top), ncols=4, frameon=False, fontsize=11)


def _write_film(states: list[State], file: Path) -> Path:
    """Write the states as an animated GIF; the panels of the figure stay for longer.

    Raises InputError where the disk refuses.
    """
    stills = {id(state) for state in last_of_each(states).values()}
    frames = [_frame(state).quantize(48, dither=Image.Dither.NONE) for state in states]
    durations = [2000 if id(state) in stills else 150 for state in states]
    with drawing.writing(file):
        frames[0].save(file, save_all=True, append_images=frames[1:], duration=durations, loop=0)
    return file


def _frame(state: State) -> Image.Image:
    figure = Figure(figsize=(8, 5.4), dpi=100)
    canvas = FigureCanvasAgg(figure)
    grid = figure.add_gridspec(2, 1, height_ratios=(2.6, 1), hspace=0, left=0.08, right=0.92, top=0.85, bottom=0.11)
    above, below = figure.add_subplot(grid[0]), figure.add_subplot(grid[1])
    right = _draw_state(above, below, state)
    _legend(figure, above, right, 0.94)
    figure.text(0.5, 0.955, f"step {state.step}: {MOVES[state.panel]}", ha="center", fontsize=12)
    canvas.draw()
    return Image.fromarray(np.asarray(canvas.buffer_rgba())).convert("RGB")
