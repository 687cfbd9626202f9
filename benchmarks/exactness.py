"""A run killed and interrupted at random moments against one left alone, compared bit for bit.

    ADVNETS_DATA=... python benchmarks/exactness.py mnist [--steps 400] [--kills 3] [--mode released]

Starts `advnets train` on RECIPE three times: left alone; killed by SIGKILL at random moments and resumed until it ends;
the same with SIGINT (Ctrl-C). Compares every file of the last checkpoint (weights, averages, optimisers, random states,
counters) and log.jsonl. Exit status 1 if a byte differs.
"""

import argparse
import random
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

SCHEDULE = ["--train.checkpoint_every", "50", "--train.sample_every", "100000", "--train.log_every", "10"]


def start(options: argparse.Namespace, folder: Path) -> subprocess.Popen[bytes]:
    command = [sys.executable, "-m", "advnets", "train", options.recipe, "--out", str(folder), "--json"]
    command += ["--mode", options.mode, "--steps", str(options.steps), *SCHEDULE]
    if (folder / "config.json").exists():
        command.append("--resume")
    return subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)


def lines(folder: Path) -> int:
    log = folder / "log.jsonl"
    return len(log.read_bytes().splitlines()) if log.exists() else 0


def disturbed(options: argparse.Namespace, folder: Path, number: signal.Signals, moments: random.Random) -> list[int]:
    """Resume until the end, stopped `kills` times once the log has grown past a random line; return these lines."""
    goals = sorted(moments.sample(range(1, options.steps // 10 - 1), options.kills))
    hit = []
    for goal in [*goals, None]:
        process = start(options, folder)
        while process.poll() is None:
            if goal is not None and lines(folder) >= goal:
                time.sleep(moments.random() * 0.3)
                process.send_signal(number)
                process.wait()
                hit.append(lines(folder))
            time.sleep(0.005)
    return hit


def bits(folder: Path, steps: int) -> dict[str, bytes]:
    files = {file.name: file.read_bytes() for file in (folder / "checkpoints" / f"step-{steps}").iterdir()}
    return files | {"log.jsonl": (folder / "log.jsonl").read_bytes()}


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("recipe")
    parser.add_argument("--mode", default="released", choices=["paper", "released"])
    parser.add_argument("--steps", type=int, default=400)
    parser.add_argument("--kills", type=int, default=3)
    parser.add_argument("--seed", type=int, default=0, help="of the random moments")
    options = parser.parse_args()
    moments = random.Random(options.seed)
    different = []
    with tempfile.TemporaryDirectory() as scratch:
        whole = Path(scratch) / "whole"
        start(options, whole).wait()
        expected = bits(whole, options.steps)
        for number in (signal.SIGKILL, signal.SIGINT):
            folder = Path(scratch) / number.name
            hit = disturbed(options, folder, number, moments)
            found = bits(folder, options.steps)
            wrong = sorted(name for name in expected | found if expected.get(name) != found.get(name))
            size = sum(map(len, expected.values()))
            print(
                f"{options.recipe}, {options.mode} mode, {options.steps} steps, {number.name} after log lines {hit}: "
                + (f"DIFFERENT: {wrong}" if wrong else f"{len(expected)} files, {size:,} bytes, all equal"),
                flush=True,
            )
            different += wrong
    return 1 if different else 0


if __name__ == "__main__":
    sys.exit(main())
