"""Milliseconds per step of the `mnist` recipe beside the same nets in other libraries, and the memory of each.

    ADVNETS_DATA=... python benchmarks/peers.py [--python PATH] [--rounds 10] [--block 25] [--arms NAME ...]
        [--recipe NAME] [--json FILE]

Arms: those of step.py, and those of peer_arms.py, which says how each trains. The latter run with the interpreter at
PATH, of an environment with those libraries, and without one with this interpreter:

    python -m venv PEERS && PEERS/bin/pip install torch==2.13.0 jax optax keras
    PEERS/bin/pip install --no-deps vegans torchgan torchvision==0.28.0
    PEERS/bin/pip install matplotlib tensorboard                 # what vegans imports

Each arm is a process of its own, with as many threads as its library takes by itself; all are made first, take a few
steps, and then have turns of --block steps. A ratio is that of two turns of one round, so that other work on the
machine hits both alike; its median and its quartiles over rounds are told. Memory is the largest resident size of the
process, libraries and images included. An arm that cannot start is left out, with the last line that it wrote.
"""

import argparse
import contextlib
import importlib.metadata
import json
import os
import platform
import re
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import peer_arms

OF_STEP = ("ours", "ours-compiled", "ours-bf16", "ours-bf16-compiled", "tutorial", "products", "products-bf16")
LIBRARIES = {
    "vegans": ("vegans", "torch", "torchvision"),
    "torchgan": ("torchgan", "torch", "torchvision"),
    "jax": ("jax", "jaxlib", "optax"),
    "jax-fused": ("jax", "jaxlib", "optax"),
    "keras-torch": ("keras", "torch"),
}
WARM_UP = 10


class Pipes:
    """Turns of a process of its own: a line with a number of steps comes, one with what they took goes."""

    def __init__(self, answers: Any) -> None:
        self.answers, self.granted, self.left, self.begun = answers, 0, 0, 0.0

    def tell(self, answer: dict[str, Any]) -> None:
        print(json.dumps(answer), file=self.answers, flush=True)

    def ask(self) -> int:
        line = sys.stdin.readline()
        if not line:
            sys.exit()  # the parent has ended
        return int(line)

    def start(self, parameters: dict[str, int], weights: Callable[[], list[np.ndarray]]) -> None:
        self.tell({"parameters": parameters, "threads": threads()})

    def step(self, wait: Callable[[], object] = lambda: None) -> None:
        if not self.left:
            if self.granted:
                wait()
                self.took(time.perf_counter() - self.begun)
            self.granted = self.left = self.ask()
            self.begun = time.perf_counter()
        self.left -= 1

    def took(self, seconds: float) -> None:
        status = Path("/proc/self/status").read_text()
        peak = re.search(r"VmHWM:\s+(\d+) kB", status)
        self.tell({"milliseconds": 1000 * seconds / self.granted, "mib": round(int(peak[1]) / 1024) if peak else None})


def threads() -> int | None:
    """How many threads torch computes with, where it is what computes."""
    torch = sys.modules.get("torch")
    return torch.get_num_threads() if torch else None


def serve(name: str, images: str, recipe: str) -> None:
    """Be one arm; what libraries print goes to stderr."""
    turns = Pipes(os.fdopen(os.dup(1), "w"))
    os.dup2(2, 1)
    if name not in OF_STEP:
        x = np.load(images)
        peer_arms.ARMS[name](x.reshape(len(x), -1), turns)
    import step
    import torch

    from advnets import recipes
    from advnets.training.facts import threads as threads_for

    if name != "tutorial":  # as `advnets train` does
        torch.set_flush_denormal(True)
        torch.set_num_threads(threads_for(recipes.get(recipe), np.load(images, mmap_mode="r").shape[1:]))
    block = step.make(name, recipe)
    turns.start({}, list)
    while True:
        turns.granted, begun = turns.ask(), time.perf_counter()
        block(turns.granted)
        turns.took(time.perf_counter() - begun)


class Arm:
    """A process that serves, as its parent sees it."""

    def __init__(self, name: str, python: str, recipe: str, images: Path, log: Path) -> None:
        interpreter = sys.executable if name in OF_STEP else python
        words = [interpreter, __file__, "--serve", name, str(images), recipe]
        self.name, self.log, pipe = name, log, subprocess.PIPE
        with log.open("w") as errors:
            self.process = subprocess.Popen(words, stdin=pipe, stdout=pipe, stderr=errors, text=True)

    def answer(self) -> dict[str, Any]:
        line = self.process.stdout.readline()
        if not line:
            self.end()
            said = self.log.read_text().strip().splitlines()
            raise RuntimeError(said[-1] if said else f"exit status {self.process.returncode}")
        return json.loads(line)

    def take(self, steps: int) -> dict[str, Any]:
        with contextlib.suppress(BrokenPipeError):
            print(steps, file=self.process.stdin, flush=True)
        return self.answer()

    def end(self) -> None:
        for pipe in (self.process.stdin, self.process.stdout):
            with contextlib.suppress(BrokenPipeError):
                pipe.close()
        try:
            self.process.wait(20)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()


def started(names: list[str], python: str, block: int, folder: Path, found: dict[str, Any]) -> list[Arm]:
    """Make the arms that can be made, and note what they tell of themselves, or why they cannot."""
    from advnets import recipes
    from advnets.data import load

    recipe, images = found["recipe"], folder / "images.npy"
    np.save(images, load(recipes.get(recipe).data).train.x)
    arms = []
    for name in names:
        arm = Arm(name, python, recipe, images, folder / f"{name}.log")
        try:
            told = arm.answer()
            arm.take(min(WARM_UP, block))
        except RuntimeError as failure:
            found["failed"][name] = str(failure)
            print(f"{name:<12} left out: {failure}", flush=True)
            continue
        found["arms"][name] = {**told, "milliseconds": []}
        arms.append(arm)
    return arms


def measure(names: list[str], python: str, recipe: str, rounds: int, block: int) -> dict[str, Any]:
    found: dict[str, Any] = {"recipe": recipe, "rounds": rounds, "block": block, "arms": {}, "failed": {}}
    with tempfile.TemporaryDirectory() as folder:
        arms = started(names, python, block, Path(folder), found)
        for _ in range(rounds):
            for arm in arms:
                told, one = arm.take(block), found["arms"][arm.name]
                one["milliseconds"].append(told["milliseconds"])
                one["mib"] = told["mib"]
        for arm in arms:
            arm.end()
    return found


def compare(arms: dict[str, Any]) -> None:
    """Write each arm's median, and quartiles of its ratio to ours round by round, into what was found."""
    for one in arms.values():
        one["median"] = statistics.median(one["milliseconds"])
        if "ours" in arms:
            pairs = zip(one["milliseconds"], arms["ours"]["milliseconds"], strict=True)
            low, middle, high = np.quantile([theirs / ours for theirs, ours in pairs], (0.25, 0.5, 0.75))
            one["over_ours"] = {"median": float(middle), "quartiles": [float(low), float(high)]}


def versions(python: str, names: list[str]) -> dict[str, dict[str, str]]:
    """Of the libraries that the arms are made with."""
    wanted = sorted({library for name in names for library in LIBRARIES.get(name, ())})
    code = f"import importlib.metadata as m, json; print(json.dumps({{n: m.version(n) for n in {wanted}}}))"
    told = subprocess.run([python, "-c", code], capture_output=True, text=True)
    installed = json.loads(told.stdout) if not told.returncode else {}
    mine = {"torch": importlib.metadata.version("torch")}
    return {
        name: {library: installed.get(library, "?") for library in LIBRARIES[name]} if name in LIBRARIES else mine
        for name in names
    }


def line(name: str, one: dict[str, Any]) -> str:
    if "over_ours" not in one:
        return f"{name:<12} {one['median']:7.1f} ms, {one['mib']} MiB"
    middle, (low, high) = one["over_ours"].values()
    return f"{name:<12} {one['median']:7.1f} ms, {middle:5.2f} times ours ({low:.2f} to {high:.2f}), {one['mib']} MiB"


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--python", default=sys.executable, help="interpreter of the environment with other libraries")
    parser.add_argument("--rounds", type=int, default=10)
    parser.add_argument("--block", type=int, default=25, help="steps before the next arm's turn")
    parser.add_argument("--arms", nargs="+", choices=[*OF_STEP, *peer_arms.ARMS], help="all that this machine is for")
    parser.add_argument("--json", type=Path)
    parser.add_argument("--recipe", default="mnist", help="another with fully connected nets: for arms of step.py")
    parser.add_argument("--serve", nargs=3, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.serve:
        serve(*options.serve)
    if options.arms is None:
        import step  # what serves a library may have no torch

        options.arms = [*step.arms_here(), *peer_arms.ARMS]
    if options.recipe != "mnist" and not {*options.arms} <= {*OF_STEP}:
        parser.error(f"--recipe {options.recipe}: other libraries have the nets of mnist alone, so give --arms ours …")
    found = measure(options.arms, options.python, options.recipe, options.rounds, options.block)
    compare(found["arms"])
    for name, libraries in versions(options.python, list(found["arms"])).items():
        found["arms"][name]["libraries"] = libraries
    for name, one in found["arms"].items():
        print(line(name, one))
    found["machine"] = {"system": platform.platform(), "processors": os.cpu_count()}
    if options.json:
        options.json.write_text(json.dumps(found, indent=2) + "\n")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
