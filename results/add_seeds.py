"""Score the runs of a folder and put them beside the seeds that results/table1.json already holds.

    ADVNETS_DATA=... python results/add_seeds.py FOLDER

FOLDER/runs holds `mnist-seedN` and `mnist-best-seedN` as `advnets reproduce table1 --budget full --out FOLDER` trains
them. That command prints the table of its own runs only; this one joins machines and days. A seed that is here again is
replaced; where a recipe has another length now, its old seeds are dropped. Everything else is summed up anew.
"""

import argparse
import json
from pathlib import Path
from typing import Any

from advnets import recipes
from advnets.reproduce import growth, table1
from advnets.reproduce.artefact import Plan
from advnets.reproduce.scoring import Basis, given_up, scored
from advnets.runs import Run, write_json

FILE = Path(__file__).parent / "table1.json"


def seeds_of(plan: Plan, recipe: str, length: table1.Length) -> dict[int, Any]:
    """Score every run of a recipe that went one of the table's ways, or was given up because D had won."""
    base = recipes.get(recipe)
    basis, found = Basis.of(plan, base), {}
    for folder in sorted((plan.folder / "runs").glob(f"{recipe}-seed*")):
        run, number = Run(folder), int(folder.name.removeprefix(f"{recipe}-seed"))
        state, made = run.status().get("state"), max([0, *run.checkpoint_steps()])
        if state == "running":
            print(f"{folder}: still in training")
            continue
        steps = max([way for way in (length.steps, length.first, length.probe) if 0 < way <= made], default=0)
        lost = state == "diverged" or (steps > 0 and given_up(run, length.probe, steps))
        if not lost and steps in (0, length.probe):
            print(f"{folder}: {made:,} steps are not enough")
            continue
        facts = {"seed": number, "steps": steps, "lost": lost}
        found[number] = scored(plan, basis, run, facts, length.keep_every, table1.goal(base))
        print(f"{folder}: {steps:,} steps{', lost' if lost else ''}", flush=True)
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    plan = Plan(parser.parse_args().folder, "full")
    summary = json.loads(FILE.read_text())
    for recipe in ("mnist", "mnist-best"):
        base, length = recipes.get(recipe), table1.LENGTHS["full"][recipe]
        column = summary["columns"][recipe]
        new = seeds_of(plan, recipe, length)
        old = {one["seed"]: one for one in column["seeds"] if column["steps"] == length.steps}
        if not new and not old:
            print(f"{recipe}: nothing of {length.steps:,} steps; what was there stays")
            continue
        seeds = [one for _, one in sorted((old | new).items())]
        column |= table1.summed(base, length.steps, column["steps_per_epoch"], seeds)
        column["seeds"] = seeds
    write_json(FILE, summary)
    picture = FILE.parents[1] / "docs" / "images" / "table1.png"
    growth.draw(summary["columns"]["mnist"], summary["paper"]["mnist"], picture)


if __name__ == "__main__":
    main()
