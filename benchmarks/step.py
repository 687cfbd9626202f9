"""Milliseconds per step of the `mnist` recipe, beside a tutorial's training loop and beside bare matrix products.

    ADVNETS_DATA=... python benchmarks/step.py [--steps 4000] [--one-process] [--json FILE]

Seven arms take turns, `block` steps each, or the four in float32 where `--precision auto` finds that bfloat16 saves
nothing (a processor without instructions for it takes ten times as long):

ours                advnets.training.step.released_step on the `mnist` recipe as it is, averaging included
ours-compiled       the same with --train.compile on
ours-bf16           the same with --precision bf16-mixed
ours-bf16-compiled  the same with both
tutorial            the same nets in plain PyTorch: nn.Dropout, BCELoss, two optimisers, a DataLoader, alternate updates
products            only the matrix products that ours needs, into buffers made beforehand: no step can be faster
products-bf16       the same in bfloat16

Ours and the bare products multiply as `advnets train` does (advnets.training.processor), the tutorial as PyTorch does
by itself.

How a processor treats denormal numbers is fixed when the worker threads of a process start. With --one-process all arms
share one process, and none meets denormals. Without it each arm has a process of its own, idle while the others have
their turn: ours flushes denormals to zero as `advnets train` does, the tutorial's does what PyTorch does by default,
and a long run shows what that costs. Quote ratios of one run; absolute times are the machine's.
"""

import argparse
import contextlib
import dataclasses
import json
import math
import os
import platform
import statistics
import time
from collections.abc import Callable
from itertools import pairwise
from multiprocessing import get_context
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Literal

import torch
import tutorial_nets
from lightning_fabric import Fabric
from torch import Tensor, nn
from torch.utils.data import DataLoader, TensorDataset

from advnets import recipes
from advnets.data import load
from advnets.training.batches import Batches
from advnets.training.compiled import compiled_step
from advnets.training.game import new_game
from advnets.training.precision import chosen
from advnets.training.processor import fast_products, keep_memory
from advnets.training.schedules import momentum
from advnets.training.step import released_step

Block = Callable[[int], None]
RATIOS = {
    "tutorial_over_ours": ("tutorial", "ours"),
    "ours_over_products": ("ours", "products"),
    "tutorial_over_compiled": ("tutorial", "ours-compiled"),
    "compiled_over_products": ("ours-compiled", "products"),
    "tutorial_over_ours_bf16": ("tutorial", "ours-bf16"),
    "ours_bf16_over_products_bf16": ("ours-bf16", "products-bf16"),
    "tutorial_over_compiled_bf16": ("tutorial", "ours-bf16-compiled"),
    "compiled_bf16_over_products_bf16": ("ours-bf16-compiled", "products-bf16"),
}
ARMS = ("ours", "ours-compiled", "ours-bf16", "ours-bf16-compiled", "tutorial", "products", "products-bf16")
IN_FLOAT32 = tuple(name for name in ARMS if "bf16" not in name)
UNITS = {"rectifier": nn.ReLU, "sigmoid": nn.Sigmoid, "linear": nn.Identity}


def ours(images: Tensor, recipe: str = "mnist", *, coarse: bool = False, compiled: bool = False) -> Block:
    config = recipes.get(recipe)
    precision: Literal["bf16-mixed", "32-true"] = "bf16-mixed" if coarse else "32-true"
    config = dataclasses.replace(config, train=dataclasses.replace(config.train, precision=precision))
    fabric = Fabric(accelerator="cpu", devices=1, precision=precision)
    game = new_game(config, tuple(images.shape[1:]), images.mean(0), fabric)
    batches = Batches(images, config.train.batch_size, config.seed)
    keep_memory(game.generator.net, game.discriminator.net)
    move = compiled_step(game) if compiled else released_step

    def block(steps: int) -> None:
        with fast_products(torch.device("cpu")):
            for _ in range(steps):
                move(game, batches)
                game.step += 1

    return block


def tutorial(images: Tensor, recipe: str = "mnist") -> Block:
    config, pixels = recipes.get(recipe), images[0].numel()
    settings, batch, latents = config.train, config.train.batch_size, config.noise.dimension
    hidden, kinds = config.generator.hidden, config.generator.activations
    units = [UNITS[kinds[min(layer, len(kinds) - 1)]] for layer in range(len(hidden))]
    generator = tutorial_nets.generator((latents, *hidden, pixels), [*units, UNITS[config.generator.output]])
    discriminator = tutorial_nets.discriminator((pixels, *config.discriminator.hidden, 1), config.discriminator.pieces)
    criterion = nn.BCELoss()
    optimizer_g = torch.optim.SGD(generator.parameters(), lr=settings.learning_rate, momentum=0.5)
    optimizer_d = torch.optim.SGD(discriminator.parameters(), lr=settings.learning_rate / 2, momentum=0.5)
    loader = DataLoader(TensorDataset(images.flatten(1)), batch_size=batch, shuffle=True, drop_last=True)
    ones, zeros = torch.ones(batch, 1), torch.zeros(batch, 1)

    def epochs():
        epoch = 1
        while True:
            for optimizer in (optimizer_g, optimizer_d):
                optimizer.param_groups[0]["momentum"] = momentum(settings, epoch)
            yield from loader
            epoch += 1

    batches = epochs()

    def block(steps: int) -> None:
        for _ in range(steps):
            (real,) = next(batches)
            fake = generator(tutorial_nets.noise(batch, latents))
            optimizer_d.zero_grad()
            loss_d = criterion(discriminator(real), ones) + criterion(discriminator(fake.detach()), zeros)
            loss_d.backward()
            optimizer_d.step()
            optimizer_g.zero_grad()
            fake = generator(tutorial_nets.noise(batch, latents))
            loss_g = criterion(discriminator(fake), ones)
            loss_g.backward()
            optimizer_g.step()

    return block


def products(recipe: str = "mnist", pixels: int = 784, dtype: torch.dtype = torch.float32) -> Block:
    """The products of one one-pass step: forward, by weights, by inputs; D sees two minibatches, G makes one."""
    config = recipes.get(recipe)
    batch, pieces = config.train.batch_size, config.discriminator.pieces
    below_d, above_d = (pixels, *config.discriminator.hidden), (*config.discriminator.hidden, 1)
    layers = []  # rows, below, above, rows whose gradient is passed on below
    for below, above in pairwise((config.noise.dimension, *config.generator.hidden, pixels)):
        layers.append((batch, below, above, batch if layers else 0))
    for below, above in zip(below_d, above_d, strict=True):
        passed = batch if below == pixels else 2 * batch
        layers.append((2 * batch, below, above if above == 1 else above * pieces, passed))
    jobs = []
    for rows, below, above, passed in layers:
        sizes = (rows, below), (above, below), (rows, above)
        x, weight, gradient = (torch.randn(size).to(dtype) for size in sizes)
        jobs.append((x, weight.t(), torch.empty_like(gradient)))
        jobs.append((gradient.t(), x, torch.empty_like(weight)))
        if passed:
            jobs.append((gradient[:passed], weight, torch.empty_like(x[:passed])))

    def block(steps: int) -> None:
        with fast_products(torch.device("cpu")):
            for _ in range(steps):
                for left, right, out in jobs:
                    torch.mm(left, right, out=out)

    return block


def timed(block: Block, steps: int) -> float:
    begun = time.perf_counter()
    block(steps)
    return 1000 * (time.perf_counter() - begun) / steps


def make(name: str, recipe: str = "mnist") -> Block:
    images = torch.from_numpy(load(recipes.get(recipe).data).train.x)
    kind, *how = name.split("-")
    if kind == "products":
        return products(recipe, images[0].numel(), torch.bfloat16 if how else torch.float32)
    return (
        tutorial(images, recipe)
        if kind == "tutorial"
        else ours(images, recipe, coarse="bf16" in how, compiled="compiled" in how)
    )


def serve(name: str, connection: Connection) -> None:
    """One arm in a process of its own: gets a number of steps, answers with milliseconds per step."""
    if name != "tutorial":
        torch.set_flush_denormal(True)
    block = make(name)
    with contextlib.suppress(EOFError):  # the parent has ended
        while True:
            connection.send(timed(block, connection.recv()))


def arms_here() -> tuple[str, ...]:
    """The arms that this machine is made for."""
    return ARMS if chosen(recipes.get("mnist"), (1, 28, 28)) == "bf16-mixed" else IN_FLOAT32


def arms_in_processes() -> dict[str, Callable[[int], float]]:
    arms = {}
    for name in arms_here():
        here, there = get_context("spawn").Pipe()
        get_context("spawn").Process(target=serve, args=(name, there), daemon=True).start()
        arms[name] = lambda steps, here=here: here.send(steps) or here.recv()
    return arms


def arms_in_one_process() -> dict[str, Callable[[int], float]]:
    torch.set_flush_denormal(True)
    blocks = {name: make(name) for name in arms_here()}
    return {name: lambda steps, block=block: timed(block, steps) for name, block in blocks.items()}


def measure(arms: dict[str, Callable[[int], float]], steps: int, block: int) -> dict[str, list[float]]:
    for arm in arms.values():
        arm(10)  # a warm-up
    rows: dict[str, list[float]] = {name: [] for name in arms}
    for number in range(steps // block):
        for name, arm in arms.items():
            rows[name].append(arm(block))
        if (number + 1) * block % 1000 == 0:
            print_window(rows, (number + 1) * block, 1000 // block)
    return rows


def denormal_penalty() -> float:
    """How many times longer a momentum update takes where the velocity is denormal, unflushed, in this process."""
    best = {1e-3: math.inf, 1e-40: math.inf}
    for _ in range(5):
        for size in best:
            start, velocity = torch.full((1200, 1200), size), torch.empty(1200, 1200)
            gradient, weight = torch.zeros(1200, 1200), torch.randn(1200, 1200)

            def update(steps: int, start=start, velocity=velocity, gradient=gradient, weight=weight) -> None:
                for _ in range(steps):
                    velocity.copy_(start).mul_(0.7).add_(gradient)
                    weight.add_(velocity, alpha=-0.1)

            timed(update, 10)
            best[size] = min(best[size], timed(update, 50))
    return best[1e-40] / best[1e-3]


def print_window(rows: dict[str, list[float]], step: int, blocks: int) -> None:
    last = {name: statistics.median(times[-blocks:]) for name, times in rows.items()}
    told = ", ".join(f"{name} {time:.1f}" for name, time in last.items())
    print(f"steps {step - 1000:>6} to {step:>6}, milliseconds: {told}", flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--steps", type=int, default=4000, help="steps of each arm, a multiple of 1000")
    parser.add_argument("--block", type=int, default=50, help="steps before the next arm's turn")
    parser.add_argument("--one-process", action="store_true", help="all arms in one process, without denormals")
    parser.add_argument("--json", type=Path, help="write every block's milliseconds per step")
    options = parser.parse_args()
    rows = measure(arms_in_one_process() if options.one_process else arms_in_processes(), options.steps, options.block)
    total = {name: sum(times) for name, times in rows.items()}
    result = {"denormal_penalty": None if options.one_process else denormal_penalty()}
    for name, (above, below) in RATIOS.items():
        if above in total and below in total:
            result[name] = total[above] / total[below]
    where = "one process" if options.one_process else "a process each"
    machine = f"{where}, {os.cpu_count()} processors, {torch.get_num_threads()} threads, torch {torch.__version__}"
    print(f"over all {options.steps} steps, {machine}: {json.dumps(result)}")
    if options.json:
        about = {"machine": machine, "system": platform.platform(), "steps": options.steps, "block": options.block}
        options.json.write_text(json.dumps({**result, **about, "milliseconds_per_step": rows}) + "\n")


if __name__ == "__main__":
    main()
