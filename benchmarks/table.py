"""Measure what advnets costs, beside other libraries, and write the tables of docs/speed.md.

    ADVNETS_DATA=... python benchmarks/table.py [--python PEERS/bin/python] [--only PART ...] [--recipes NAME ...]
        [--measures NAME ...] [--json results/speed.json]

peers        a step of `mnist` beside other libraries (peers.py; --python is the interpreter of their environment)
bounds       a step of the paper's fully connected nets beside a tutorial's and beside the bare matrix products
recipes      milliseconds a step and largest resident size of `advnets train`, for every recipe whose data are here
start        seconds until a command has ended, or has trained one step
evaluation   seconds and largest resident size of `advnets evaluate` with a run of `mnist`, a measure at a time
processes    `mnist` by one process and by two

Each part is written as soon as it is measured. Parts left out by --only stay as they were in the file, and so do
recipes and measures that are not named; fifteen minutes on two cores for all. How time grows with the minibatch and
the width is measured by growth.py, with the number of centres by `advnets evaluate --centres`, and cited in the same
page. Afterwards, `python results/tables.py` writes the page's tables. Absolute times are the machine's; run it with
nothing beside it, or where that cannot be had with OMP_NUM_THREADS=1: threads wait for each other, and so for whatever
else runs.
"""

import argparse
import json
import os
import platform
import sys
from collections.abc import Iterable
from importlib import metadata
from pathlib import Path
from typing import Any

import costs

from advnets import recipes

PARTS = ("peers", *costs.PARTS)


def measured(part: str, options: argparse.Namespace, before: Any) -> Any:
    """Return what a part comes to; rows that are not named stay as they were before."""
    if part == "peers":
        return costs.of_peers(options.python, "--rounds", "8", "--block", "15")
    if part == "recipes":
        return merged("recipe", recipes.RECIPES, before, costs.of_recipes(options.recipes))
    if part == "evaluation":
        return merged("measure", costs.MEASURES, before, costs.of_evaluation(options.measures))
    return costs.PARTS[part]()


def merged(key: str, order: Iterable[str], before: Any, rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    known = {row[key]: row for row in [*(before or []), *rows]}
    return [known[name] for name in order if name in known]


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--python", default=sys.executable, help="interpreter of the environment with other libraries")
    parser.add_argument("--only", nargs="+", choices=PARTS, default=PARTS, metavar="PART")
    parser.add_argument("--recipes", nargs="+", choices=recipes.RECIPES, default=[*recipes.RECIPES], metavar="NAME")
    parser.add_argument("--measures", nargs="+", choices=costs.MEASURES, default=costs.MEASURES, metavar="NAME")
    parser.add_argument("--json", type=Path, default=Path("results/speed.json"))
    options = parser.parse_args()
    found = json.loads(options.json.read_text()) if options.json.exists() else {}
    for part in options.only:
        print(f"--- {part}", flush=True)
        found[part] = measured(part, options, found.get(part))
        threads = found.get("machine", {}).get("threads", {}) | {part: os.environ.get("OMP_NUM_THREADS", "all")}
        about = {"system": platform.platform(), "processors": os.cpu_count(), "torch": metadata.version("torch")}
        found["machine"] = about | {"threads": threads}
        options.json.write_text(json.dumps(found, indent=2) + "\n")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
