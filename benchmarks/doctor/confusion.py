"""What the doctor says of the runs of library.py, after every line of their logs.

    python benchmarks/doctor/confusion.py LOGS ... [--recipes digits ring] [--seeds 0 1] [--verbose]
                                               [--json FILE] [--check FILE] [--pack FILE]

LOGS are folders that library.py filled, and files that --pack wrote: results/doctor-logs.json.xz holds the runs that
the docs speak of. What a run is, its outcome says, and not what it was meant to be:
  good     was meant to be and ended well; a false alarm if any line of it had a bad verdict
  broken   was meant to be and ended badly; found if one of the verdicts that library.py calls right for it stood before
           half of its steps, or "diverged" where it did
  spoilt   was meant to be good and ended badly; found if any bad verdict stood before half of its steps
  escaped  was meant to be broken and ended well: no failure to find; right if its last verdict is not bad
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

from advnets import doctor, history
from advnets.config import TrainConfig, from_json, to_json
from advnets.runs import Run

KINDS = ("good", "broken", "spoilt", "escaped")
ENERGY, COVERAGE = 0.05, 0.2
"""A run has ended well with at most this energy distance to held-out data and at least this coverage of them."""
FOLDER = re.compile(r"(.+)-seed(\d+)")


@dataclass(frozen=True)
class Log:
    """The log of one run of the library."""

    recipe: str
    case: str
    seed: int
    train: TrainConfig
    lines: list[dict[str, Any]]
    outcome: dict[str, float]

    @property
    def kind(self) -> str:
        """What the run is by its outcome."""
        well = self.outcome["energy"] <= ENERGY and self.outcome["coverage"] >= COVERAGE
        return (("spoilt", "good") if self.case == "good" else ("broken", "escaped"))[well]


def logs(source: Path) -> Iterator[Log]:
    """Read runs from a folder or a packed file."""
    if source.is_file():
        for one in json.loads(lzma.decompress(source.read_bytes())):
            yield Log(**{**one, "train": from_json(TrainConfig, one["train"], "train")})
        return
    for folder in sorted(source.glob("*/*/")):
        match, run = FOLDER.fullmatch(folder.name), Run(folder)
        if match and run.exists() and run.status().get("state") in ("finished", "diverged"):
            outcome = json.loads((folder / "outcome.json").read_text())
            yield Log(folder.parent.name, match[1], int(match[2]), run.config().train, history.read_log(run), outcome)


def pack(found: list[Log], file: Path) -> None:
    """Write logs as one small file, numbers to eight digits."""
    content = [{**vars(log), "train": to_json(log.train), "lines": _short(log)} for log in found]
    file.write_bytes(lzma.compress(json.dumps(content).encode(), preset=9))


def _short(log: Log) -> list[dict[str, Any]]:
    def number(value: float | None) -> float | None:
        return None if value is None else float(f"{value:.8g}")

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
    said = course(log) or [(0, "none")]
    bad = [(step, name) for step, name in said if name not in (*doctor.GOOD, "none")]
    if log.kind == "good":
        step, name = bad[0] if bad else said[-1]
        return {"right": not bad, "step": step, "verdict": name}
    if log.kind == "escaped":
        step, name = said[-1]
        return {"right": name in doctor.GOOD, "step": step, "verdict": name}
    half = [(step, name) for step, name in bad if step <= log.train.steps / 2]
    expected = CASES[log.case].right if log.kind == "broken" else doctor.ADVICE
    right = [(step, name) for step, name in half if name in (*expected, "diverged")]
    step, name = right[0] if right else half[0] if half else (log.train.steps // 2, "none")
    return {"right": bool(right), "step": step, "verdict": name}


def _changes(log: Log) -> str:
    verdicts = course(log)
    said = [one for i, one in enumerate(verdicts) if i == 0 or verdicts[i - 1][1] != one[1]]
    return " ".join(f"{step}:{name}" for step, name in said[:12])


def _chosen(options: argparse.Namespace, recipe: str, seed: int) -> bool:
    """Whether --recipes and --seeds name a run."""
    return (not options.recipes or recipe in options.recipes) and (not options.seeds or seed in options.seeds)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("logs", type=Path, nargs="+")
    parser.add_argument("--recipes", nargs="+")
    parser.add_argument("--seeds", nargs="+", type=int)
    parser.add_argument("--json", type=Path)
    parser.add_argument("--check", type=Path, help="fail unless this file says the same")
    parser.add_argument("--pack", type=Path)
    parser.add_argument("--verbose", action="store_true", help="print the verdicts of every run")
    options = parser.parse_args()
    runs = [log for source in options.logs for log in logs(source) if _chosen(options, log.recipe, log.seed)]
    found = [
        {"recipe": log.recipe, "case": log.case, "seed": log.seed, "kind": log.kind, **scored(log)} for log in runs
    ]
    if options.verbose:
        for log, one in zip(runs, found, strict=True):
            name = f"{log.kind} {log.recipe} {log.case}-seed{log.seed}"
            print("ok " if one["right"] else "BAD", name, log.outcome, _changes(log))
    for kind in KINDS:
        for case_name in CASES:
            verdicts = Counter(one["verdict"] for one in found if (one["kind"], one["case"]) == (kind, case_name))
            if verdicts:
                print(f"{kind:<8}{case_name:<12}", ", ".join(f"{name} {n}" for name, n in verdicts.most_common()))
        those = [one["right"] for one in found if one["kind"] == kind]
        print(f"{kind}: {sum(those)} of {len(those)} right")
    if options.json:
        options.json.write_text(json.dumps(found, indent=1) + "\n")
    if options.pack:
        pack(runs, options.pack)
    if options.check:
        record = [one for one in json.loads(options.check.read_text()) if _chosen(options, one["recipe"], one["seed"])]
        if record != found:
            sys.exit(f"{options.check} says something else; write it anew with --json")


if __name__ == "__main__":
    main()
