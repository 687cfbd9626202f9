"""What commands of advnets cost: seconds and largest resident size of real runs, each a process of its own.

The parts of table.py, by name in PARTS; each returns what goes into results/speed.json. This process stays small, for
a child's largest size begins with that of the process that started it.
"""

import json
import os
import re
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from advnets import recipes

HERE = Path(__file__).parent
ADVNETS = (sys.executable, "-m", "advnets")
REPEATS = 3
STEPS, HEAVY = 25, {"cifar10-fc": 2, "cifar10-conv": 2, "tfd": 2, "gsn": 5, "cae": 5, "mnist-semi-supervised": 3}
"""Steps between two lines of timing.jsonl, and where those take too long; three times as many are taken."""
CONNECTED = {"digits": (50, 6), "mnist": (25, 6), "cifar10-fc": (2, 3)}
"""Recipes in released mode with fully connected nets and momentum: steps of a turn, and turns."""
MEASURES = ("parzen", "fid", "kid", "precision_recall", "nearest_neighbour", "ndb", "classes", "memorisation")
MEASURES += ("duplicates",)


class FailedError(Exception):
    """A command that ended badly; says its last line."""


def cost(words: list[str] | tuple[str, ...], **environment: str) -> dict[str, Any]:
    """Run a command to its end: wall-clock seconds, MiB at most, and what it printed."""
    begun = time.perf_counter()
    with tempfile.TemporaryFile("w+") as said, tempfile.TemporaryFile("w+") as errors:
        child = subprocess.Popen(words, stdout=said, stderr=errors, env={**os.environ, **environment})
        _, status, usage = os.wait4(child.pid, 0)
        seconds = time.perf_counter() - begun
        child.returncode = os.waitstatus_to_exitcode(status)
        if child.returncode:
            errors.seek(0)
            last = (errors.read().strip().splitlines() or [f"exit status {child.returncode}"])[-1]
            raise FailedError(re.sub(r"(?<![\w.])/[^\s,]+", "FOLDER", last))  # results name no folder of this machine
        said.seek(0)
        return {"seconds": seconds, "mib": round(usage.ru_maxrss / 1024), "said": said.read()}


def trained(recipe: str, folder: Path, every: int, *options: str, **environment: str) -> dict[str, Any]:
    """Train for three lines of timing.jsonl and tell the lesser of the last two, as the first has the warm-up."""
    words = ["train", recipe, "--steps", str(3 * every), "--train.log-every", str(every), "--out", str(folder)]
    config = recipes.get(recipe)
    if config.semi is None:  # which has no such signals
        words += ["--train.signals", "off"]
    for section in ("rbm", "cae"):
        if getattr(config, section) is not None:  # the first layer up to the first line, so that the top one is timed
            words += [f"--{section}.layer-steps", str(every)]
    spent = cost([*ADVNETS, *words, "--offline", *options], **environment)
    lines = (folder / "timing.jsonl").read_text().splitlines()
    times = [json.loads(line)["milliseconds_per_step"] for line in lines]
    return {
        "steps": 3 * every,
        "milliseconds": min(times[1:]),
        "seconds": spent["seconds"],
        "mib": spent["mib"],
    }


def of_recipes(names: Iterable[str] = recipes.RECIPES) -> list[dict[str, Any]]:
    rows = []
    for name in names:
        row: dict[str, Any] = {"recipe": name}
        with tempfile.TemporaryDirectory() as folder:
            try:
                row |= trained(name, Path(folder) / "run", HEAVY.get(name, STEPS))
                told = json.loads((Path(folder) / "run" / "config.json").read_text())
                row["parameters"] = sum(told["parameters"].values())
                row["minibatch"] = told["config"]["train"]["batch_size"]
                row["threads"] = told["machine"]["threads"]
            except FailedError as failure:
                row["failed"] = str(failure)
        print(row, flush=True)
        rows.append(row)
    return rows


def of_bounds() -> dict[str, Any]:
    """A tutorial's step and the bare products, beside ours, for each of the paper's fully connected nets."""
    found = {}
    for name, (block, rounds) in CONNECTED.items():
        try:
            words = ["--recipe", name, "--arms", "ours", "tutorial", "products", "--block", str(block)]
            found[name] = of_peers(sys.executable, *words, "--rounds", str(rounds))
        except FailedError as failure:
            found[name] = {"failed": str(failure)}
        print(name, {arm: one["median"] for arm, one in found[name].get("arms", {}).items()}, flush=True)
    return found


def of_peers(python: str, *options: str) -> dict[str, Any]:
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "peers.json"
        told = cost([sys.executable, str(HERE / "peers.py"), "--python", python, *options, "--json", str(file)])
        print(told["said"], end="", flush=True)
        return json.loads(file.read_text())


def of_start() -> list[dict[str, Any]]:
    """Seconds from a command to its end, the median of some after one that fills the caches of files."""
    rows = []
    with tempfile.TemporaryDirectory() as folder:
        commands = {
            "python -c pass": [sys.executable, "-c", "pass"],
            'python -c "import torch"': [sys.executable, "-c", "import torch"],
            'python -c "import advnets"': [sys.executable, "-c", "import advnets"],
            "advnets --help": [*ADVNETS, "--help"],
            "advnets recipes": [*ADVNETS, "recipes"],
            "advnets train --dry-run": [*ADVNETS, "train", "--dry-run"],
            "advnets train digits --steps 1": [*ADVNETS, "train", "digits", "--steps", "1"],
            "advnets train mnist --steps 1": [*ADVNETS, "train", "mnist", "--steps", "1"],
        }
        for name, words in commands.items():
            spent = []
            for repeat in range(REPEATS + 1):
                out = ["--out", f"{folder}/{len(rows)}-{repeat}"] if "--steps" in words else []
                spent.append(cost([*words, *out]))
            seconds = [one["seconds"] for one in spent[1:]]
            middle = statistics.median(seconds)
            rows.append({"command": name, "seconds": middle, "each": seconds, "mib": spent[-1]["mib"]})
            print(rows[-1], flush=True)
    return rows


def of_evaluation(measures: Iterable[str] = MEASURES) -> list[dict[str, Any]]:
    """Each measure of a run of `mnist` by a command of its own: start-up, samples and reference rows are in each."""
    rows = []
    with tempfile.TemporaryDirectory() as folder:
        run = Path(folder) / "run"
        trained("mnist", run, STEPS)
        for measure in measures:
            words = ["evaluate", str(run), "--metrics", measure, "--redraws", "0", "--offline", "--json"]
            spent = cost([*ADVNETS, *words])
            rows.append({"measure": measure, "seconds": spent["seconds"], "mib": spent["mib"]})
            print(rows[-1], flush=True)
    return rows


def of_processes() -> list[dict[str, Any]]:
    """`mnist` by one process with one thread and with all, and by two."""
    cases = {"1 process, 1 thread": ("1", "1"), "1 process, all threads": ("1", ""), "2 processes": ("2", "")}
    rows = []
    for name, (devices, threads) in cases.items():
        with tempfile.TemporaryDirectory() as folder:
            limit = {"OMP_NUM_THREADS": threads} if threads else {}
            row = {"case": name, **trained("mnist", Path(folder) / "run", STEPS, "--devices", devices, **limit)}
        print(row, flush=True)
        rows.append(row)
    return rows


PARTS = {
    "recipes": of_recipes,
    "bounds": of_bounds,
    "start": of_start,
    "evaluation": of_evaluation,
    "processes": of_processes,
}
