"""What the doctor says of the runs of library.py, after every line of their logs.

    python benchmarks/doctor/confusion.py LOGS [--recipes digits ring] [--seeds 0 1] [--verbose]
                                               [--json FILE] [--check FILE] [--pack FILE]

LOGS is the folder that library.py filled, or a file that --pack wrote: results/doctor-logs.json.xz holds the runs that
the docs speak of. A broken run is found if one of the verdicts that library.py calls right for it stood before half of
its steps, or "diverged" where it did; a good run is a false alarm if any line of it had a bad verdict.
"""

import argparse
import json
import lzma
import re
import sys
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from library import CASES

from advnets import doctor
from advnets.config import TrainConfig, from_json, to_json
from advnets.runs import Run

FOLDER = re.compile(r"(.+)-seed(\d+)")


@dataclass(frozen=True)
class Log:
    """The log of one run of the library."""

    recipe: str
    case: str
    seed: int
    train: TrainConfig
    lines: list[dict[str, Any]]


def logs(source: Path) -> Iterator[Log]:
    """Read runs from a folder or a packed file."""
    if source.is_file():
        for one in json.loads(lzma.decompress(source.read_bytes())):
            yield Log(one["recipe"], one["case"], one["seed"], from_json(TrainConfig, one["train"]), one["lines"])
        return
    for folder in sorted(source.glob("*/*/")):
        match, run = FOLDER.fullmatch(folder.name), Run(folder)
        if match and run.exists() and run.status().get("state") in ("finished", "diverged"):
            yield Log(folder.parent.name, match[1], int(match[2]), run.config().train, doctor.read_log(run))


def pack(found: list[Log], file: Path) -> None:
    """Write logs as one small file, numbers to five digits."""
    content = [
        {"recipe": log.recipe, "case": log.case, "seed": log.seed, "train": to_json(log.train), "lines": _short(log)}
        for log in found
    ]
    file.write_bytes(lzma.compress(json.dumps(content).encode(), preset=9))


def _short(log: Log) -> list[dict[str, Any]]:
    def number(value: float | None) -> float | None:
        return None if value is None else float(f"{value:.5g}")

    return [
        {
            "step": line["step"],
            "value": number(line["value"]),
            "signals": {name: number(value) for name, value in line["signals"].items()},
        }
        for line in log.lines
    ]


def course(log: Log) -> list[tuple[int, str]]:
    """The verdict after every line."""
    verdicts = [doctor.judge(log.lines[: i + 1], log.train) for i in range(len(log.lines))]
    return [(line["step"], verdict.name) for line, verdict in zip(log.lines, verdicts, strict=True) if verdict]


def scored(log: Log) -> dict[str, Any]:
    """Whether the doctor was right about a run, and what it said."""
    bad = [(step, name) for step, name in course(log) if name not in doctor.GOOD]
    if log.case == "good":
        step, name = bad[0] if bad else (course(log) or [(0, "none")])[-1]
        return {"right": not bad, "step": step, "verdict": name}
    half = [(step, name) for step, name in bad if step <= log.train.steps / 2]
    right = [(step, name) for step, name in half if name in (*CASES[log.case].right, "diverged")]
    step, name = right[0] if right else half[0] if half else (log.train.steps // 2, "none")
    return {"right": bool(right), "step": step, "verdict": name}


def _changes(log: Log) -> str:
    verdicts = course(log)
    said = [one for i, one in enumerate(verdicts) if i == 0 or verdicts[i - 1][1] != one[1]]
    return " ".join(f"{step}:{name}" for step, name in said[:12])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("logs", type=Path)
    parser.add_argument("--recipes", nargs="+")
    parser.add_argument("--seeds", nargs="+", type=int)
    parser.add_argument("--json", type=Path)
    parser.add_argument("--check", type=Path, help="fail unless this file says the same")
    parser.add_argument("--pack", type=Path)
    parser.add_argument("--verbose", action="store_true", help="print the verdicts of every run")
    options = parser.parse_args()
    runs = [
        log
        for log in logs(options.logs)
        if (not options.recipes or log.recipe in options.recipes) and (not options.seeds or log.seed in options.seeds)
    ]
    found = [{"recipe": log.recipe, "case": log.case, "seed": log.seed, **scored(log)} for log in runs]
    if options.verbose:
        for log, one in zip(runs, found, strict=True):
            print("ok " if one["right"] else "BAD", f"{log.recipe} {log.case}-seed{log.seed}", _changes(log))
    for case_name in CASES:
        verdicts = Counter(one["verdict"] for one in found if one["case"] == case_name)
        print(f"{case_name:<12}", ", ".join(f"{name} {count}" for name, count in verdicts.most_common()))
    broken, good = ([one for one in found if (one["case"] == "good") == fine] for fine in (False, True))
    print(f"broken runs found before half of their steps: {sum(one['right'] for one in broken)} of {len(broken)}")
    print(f"  with any bad verdict: {sum(one['verdict'] != 'none' for one in broken)}")
    print(f"good runs with a false alarm: {sum(not one['right'] for one in good)} of {len(good)}")
    if options.json:
        options.json.write_text(json.dumps(found, indent=1) + "\n")
    if options.pack:
        pack(runs, options.pack)
    if options.check and json.loads(options.check.read_text()) != found:
        sys.exit(f"{options.check} says something else; write it anew with --json")


if __name__ == "__main__":
    main()
