"""How the time and the memory of a step grow with the minibatch and with the width of the nets, and by which exponents.

    ADVNETS_DATA=... python benchmarks/growth.py [--json FILE] [--picture FILE] [--seconds 6]

The `mnist` recipe as it is, but for its minibatch (25 to 3,200 examples), or for all hidden layers of both nets at once
(an eighth to four times as wide, minibatches of 100). Each size has a process of its own: it takes steps for --seconds
after a second that does not count, and tells the milliseconds of its fastest steps (the first decile, for other work on
the machine only adds), and its largest resident size above what it had with data and libraries loaded. y = a + b·sizeᵖ
is fitted by least squares of log y: a is what a step costs at any size, p the exponent of growth.
"""

import argparse
import dataclasses
import json
import os
import platform
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
from scipy.optimize import least_squares

BATCHES = (25, 50, 100, 200, 400, 800, 1600, 3200)
WIDTHS = (0.125, 0.25, 0.5, 1, 1.5, 2, 3, 4)
NAMES = {"batch": "examples in a minibatch", "width": "width of hidden layers, 1 as in the recipe"}


def resident(what: str) -> int:
    """Bytes that are resident now (VmRSS), or were at most (VmHWM); Linux."""
    lines = dict(line.split(":", 1) for line in Path("/proc/self/status").read_text().splitlines())
    return 1024 * int(lines[what].split()[0])


def one(axis: str, size: float, seconds: float) -> dict[str, Any]:
    """Measure one size in this process."""
    import torch
    from lightning_fabric import Fabric

    from advnets import recipes
    from advnets.data import load
    from advnets.parameters import parameter_counts
    from advnets.training.batches import Batches
    from advnets.training.game import new_game
    from advnets.training.processor import fast_products, keep_memory
    from advnets.training.step import released_step

    torch.set_flush_denormal(True)
    config = recipes.get("mnist")
    if axis == "batch":
        config = dataclasses.replace(config, train=dataclasses.replace(config.train, batch_size=int(size)))
    else:
        wide = {
            name: dataclasses.replace(part, hidden=tuple(round(size * units) for units in part.hidden))
            for name, part in (("generator", config.generator), ("discriminator", config.discriminator))
        }
        config = dataclasses.replace(config, **wide)
    x = torch.from_numpy(load(config.data).train.x)
    Path("/proc/self/clear_refs").write_text("5")  # begins the largest size anew
    before = resident("VmRSS")
    game = new_game(config, (1, 28, 28), x.mean(0), Fabric(accelerator="cpu", devices=1))
    keep_memory(game.generator.net, game.discriminator.net)
    batches, times, begun = Batches(x, config.train.batch_size, 0), [], time.perf_counter()
    with fast_products(torch.device("cpu")):
        while time.perf_counter() - begun < 1 + seconds or len(times) < 5:
            start = time.perf_counter()
            released_step(game, batches)
            game.step += 1
            if start - begun > 1:
                times.append(time.perf_counter() - start)
    return {
        "size": size,
        "milliseconds": 1000 * float(np.quantile(times, 0.1)),
        "mib": (resident("VmHWM") - before) / 2**20,
        "steps": len(times),
        "parameters": sum(parameter_counts(config, (1, 28, 28)).values()),
    }


def law(rows: list[dict[str, Any]], what: str) -> list[float]:
    """Fit y = a + b·sizeᵖ in logarithms, with a and b from 0 on; return a, b, p."""
    x, y = (np.array([row[name] for row in rows], float) for name in ("size", what))

    def residuals(values: np.ndarray) -> np.ndarray:
        a, b, p = values
        return np.log(a + b * x**p) - np.log(y)

    found = least_squares(residuals, (y[0] / 2, y[-1] / x[-1], 1.0), bounds=([0, 1e-9, 0.1], [y[0], np.inf, 4]))
    return [float(value) for value in found.x]


def draw(found: dict[str, Any], file: Path) -> None:
    """Plot time and memory against both sizes, log-log, with the fitted lines."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(9, 7), dpi=100, layout="constrained")
    panels = figure.subplots(2, 2)
    for column, axis in enumerate(NAMES):
        rows = found[axis]
        for row, (what, words) in enumerate((("milliseconds", "ms a step"), ("mib", "MiB of a step and both nets"))):
            panel, (a, b, p) = panels[row][column], found["laws"][axis][what]
            x, y = (np.array([one[name] for one in rows], float) for name in ("size", what))
            panel.loglog(x, y, "o-", color="C0", base=10)
            fine = np.geomspace(x[0], x[-1], 100)
            panel.loglog(fine, a + b * fine**p, "--", color="C3", label=f"{a:.3g} + {b:.3g} · size^{p:.2f}")
            for one_axis in (panel.xaxis, panel.yaxis):
                one_axis.set_major_formatter("{x:g}")
                one_axis.set_minor_formatter("")
            if axis == "width":
                panel.set_xticks(x)
            panel.set(xlabel=NAMES[axis], ylabel=words)
            panel.grid(visible=True, which="major", alpha=0.3)
            panel.legend(frameon=False)
    figure.savefig(file)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--json", type=Path)
    parser.add_argument("--picture", type=Path)
    parser.add_argument("--seconds", type=float, default=6)
    parser.add_argument("--one", nargs=2, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.one:
        print(json.dumps(one(options.one[0], float(options.one[1]), options.seconds)))
        return 0
    found: dict[str, Any] = {}
    for axis, sizes in (("batch", BATCHES), ("width", WIDTHS)):
        found[axis] = []
        for size in sizes:
            words = [sys.executable, __file__, "--one", axis, str(size), "--seconds", str(options.seconds)]
            told = subprocess.run(words, check=True, capture_output=True, text=True).stdout
            found[axis].append(json.loads(told))
            print(axis, found[axis][-1], flush=True)
    found["laws"] = {axis: {what: law(found[axis], what) for what in ("milliseconds", "mib")} for axis in NAMES}
    found["machine"] = {"processor": platform.processor() or platform.machine(), "processors": os.cpu_count()}
    print(found["laws"])
    if options.json:
        options.json.write_text(json.dumps(found, indent=2) + "\n")
    if options.picture:
        draw(found, options.picture)
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
