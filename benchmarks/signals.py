"""What the signals of a line of the log cost, and the verdict on it, beside the steps between two lines.

    ADVNETS_DATA=... python benchmarks/signals.py [RECIPE ...] [--size 16] [--turns 10] [--json FILE]

Steps and signals take turns in one process, 30 steps and 3 signals each, with as many threads as `advnets train` takes.
Quote the share; milliseconds are the machine's.
"""

import argparse
import dataclasses
import json
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from lightning_fabric import Fabric

from advnets import doctor, recipes, verdicts
from advnets.config import Config
from advnets.data import load
from advnets.data.dataset import DataSet
from advnets.seeds import stream
from advnets.training.batches import Batches
from advnets.training.facts import threads
from advnets.training.fit import move as move_rival
from advnets.training.fit import new_fit
from advnets.training.fit_signals import new_probe as new_rival_probe
from advnets.training.fit_signals import take as take_rival
from advnets.training.game import new_game
from advnets.training.processor import fast_products
from advnets.training.signals import new_probe, take
from advnets.training.step import paper_step, released_step

STEPS, SIGNALS = 30, 3


Act = Callable[[], object]


def cost(name: str, size: int | None, turns: int) -> dict[str, Any]:
    config = recipes.get(name)
    config = dataclasses.replace(config, data=dataclasses.replace(config.data, size=size))
    data = load(config.data)
    torch.set_num_threads(threads(config, data.shape))
    step, see = (of_rival if config.rival else of_game)(config, data)
    seconds = {"step": 0.0, "signals": 0.0}
    for turn in range(turns + 1):
        for what, act, count in (("step", step, STEPS), ("signals", see, SIGNALS)):
            spent = timed(act, count)
            seconds[what] += spent / count if turn else 0.0  # the first turn is a warm-up
    milliseconds = {what: 1000 * total / turns for what, total in seconds.items()}
    share = milliseconds["signals"] / milliseconds["step"] / config.train.log_every
    return {"recipe": name, "threads": torch.get_num_threads(), "milliseconds": milliseconds, "share": share}


def of_rival(config: Config, data: DataSet) -> tuple[Act, Act]:
    """A step of a rival's training, of its first layer, and what a line of its log costs: the 250th."""
    fit = new_fit(config, data, torch.device("cpu"))
    batches = Batches(torch.from_numpy(data.train.x).flatten(1), config.train.batch_size, config.seed)
    probe = new_rival_probe(fit.model, data, config.seed)
    lines: list[dict[str, Any]] = []

    def see() -> None:
        signals = take_rival(fit.model, fit.stage, probe, 1e-3, stream(config.seed, "signals", len(lines)))
        line = {"step": 10 * (len(lines) + 1), "layer": 1, "loss": 1.0, "signals": signals}
        lines.extend([line | {"step": 10 * step} for step in range(1, 250)] if not lines else [line])
        verdicts.judge(lines, config)

    return lambda: move_rival(fit, batches), see


def of_game(config: Config, data: DataSet) -> tuple[Act, Act]:
    """A step of a game, and what a line of its log costs."""
    x = torch.from_numpy(data.train.x)
    game = new_game(config, data.shape, x.mean(0), Fabric(accelerator="cpu", devices=1))
    batches, probe = Batches(x, config.train.batch_size, config.seed), new_probe(game, data)
    move = paper_step if config.train.mode == "paper" else released_step

    lines: list[dict[str, Any]] = []

    def step() -> None:
        move(game, batches)
        game.step += 1

    def see() -> None:
        """As after the 250th line of a run."""
        line = {"step": 100 * (len(lines) + 1), "value": -1.2, "signals": take(game, probe)}
        lines.extend([line | {"step": 100 * step} for step in range(1, 250)] if not lines else [line])
        doctor.judge(lines, config.train)

    return step, see


def timed(act: Callable[[], object], count: int) -> float:
    begun = time.perf_counter()
    for _ in range(count):
        with fast_products(torch.device("cpu")):
            act()
    return time.perf_counter() - begun


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("recipes", nargs="*", default=["digits", "mnist", "ring", "gaussian"])
    parser.add_argument("--turns", type=int, default=10)
    parser.add_argument("--json", type=Path)
    parser.add_argument("--size", type=int, help="make images so wide and high")
    options = parser.parse_args()
    available = torch.get_num_threads()
    torch.set_flush_denormal(True)
    found = []
    for name in options.recipes:
        torch.set_num_threads(available)
        found.append(cost(name, options.size, options.turns))
        step, signals = found[-1]["milliseconds"].values()
        print(
            f"{name:<10} step {step:6.2f} ms, signals {signals:6.2f} ms, {found[-1]['share']:.1%} of training",
            flush=True,
        )
    if options.json:
        options.json.write_text(json.dumps({"torch": torch.__version__, "recipes": found}, indent=2) + "\n")


if __name__ == "__main__":
    main()
