"""Score the runs of a folder and put them beside the seeds that results/table1.json already holds.

    ADVNETS_DATA=... python results/add_seeds.py FOLDER

FOLDER/runs holds `mnist-seedN` and `mnist-best-seedN` as `advnets reproduce table1 --budget full --out FOLDER` trains
them. That command prints the table of its own runs only; this one joins machines and days. Seeds of a recipe that has
another length now are dropped, a seed that is here again is replaced, everything else is summed up anew.
"""

import json
import sys
from pathlib import Path
from typing import Any

from advnets import recipes
from advnets.reproduce import growth, table1
from advnets.reproduce.artefact import Plan
from advnets.reproduce.runs import lost
from advnets.runs import Run

FILE = Path(__file__).parent / "table1.json"


def seeds_of(plan: Plan, recipe: str, length: table1.Length) -> dict[int, Any]:
    """Score every run of a recipe that went one of the table's ways, or was given up because D had won."""
    found = {}
    for folder in sorted((plan.folder / "runs").glob(f"{recipe}-seed*")):
        run, number = Run(folder), int(folder.name.removeprefix(f"{recipe}-seed"))
        made = max([0, *run.checkpoint_steps()])
        ways = [steps for steps in (length.steps, length.first, length.probe) if 0 < steps <= made]
        if not ways:
            print(f"{folder}: {made:,} steps are not enough")
            continue
        won = lost(run, ways[0])
        if ways[0] != length.probe or won:
            facts = {"seed": number, "steps": ways[0], "lost": won}
            found[number] = table1.scored(plan, recipes.get(recipe), length, run, facts)
            print(f"{folder}: {ways[0]:,} steps{', D has won' if won else ''}", flush=True)
    return found


def main() -> None:
    plan = Plan(Path(sys.argv[1]), "full")
    summary = json.loads(FILE.read_text())
    for recipe in ("mnist", "mnist-best"):
        base, length = recipes.get(recipe), table1.LENGTHS["full"][recipe]
        column = summary["columns"][recipe]
        before = {one["seed"]: one for one in column["seeds"] if column["steps"] == length.steps}
        seeds = before | seeds_of(plan, recipe, length)
        ordered = [seeds[number] for number in sorted(seeds)]
        column |= table1.summed(base, length.steps, column["steps_per_epoch"], ordered)
        column["seeds"] = ordered
    FILE.write_text(json.dumps(summary, indent=2, allow_nan=False) + "\n")
    picture = FILE.parents[1] / "docs" / "images" / "table1.png"
    growth.draw(summary["columns"]["mnist"], summary["paper"]["mnist"], picture)


if __name__ == "__main__":
    main()
