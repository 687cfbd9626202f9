"""Likelihood of the `mnist` recipe trained in float32 and with products in bfloat16, over seeds.

    ADVNETS_DATA=... python benchmarks/precision.py FOLDER [--recipe mnist] [--seeds 3] [--score] [--json FILE]

Trains what is not in FOLDER yet, a run PRECISION-SEED each, and goes on with what was interrupted; then scores every
finished run as `advnets evaluate --metrics parzen` does, by 10,000 samples of the averaged weights. Runs may be trained
by hand too: `advnets train mnist --seed 0 --precision bf16-mixed --out FOLDER/bf16-mixed-0`. With --score nothing is
trained: runs that are finished are scored, and of others that are there (as those stopped once D had won) step and
verdict are written.
"""

import argparse
import dataclasses
import json
import os
import platform
import statistics
from pathlib import Path

import torch

from advnets import recipes
from advnets.data import load
from advnets.evaluation.evaluate import Plan, evaluate
from advnets.evaluation.subjects import of_run
from advnets.runs import Run
from advnets.training import train

PRECISIONS = ("32-true", "bf16-mixed")


def trained(run, recipe, precision, seed):
    """Bring a run to its end, wherever it stands."""
    config = recipes.get(recipe)
    config = dataclasses.replace(config, seed=seed, train=dataclasses.replace(config.train, precision=precision))
    data = load(config.data)
    if run.exists():
        config = run.config()
        if run.status().get("state") == "finished":
            return data
    outcome = train(config, data, run, resume=run.exists())
    print(f"{run.path.name}: {outcome.state} at step {outcome.step} after {outcome.seconds:.0f} s", flush=True)
    return data


def row(run, data, precision, seed):
    plan = Plan(metrics=("parzen",), redraws=0, references=())
    if run.status().get("state") != "finished":
        told = {"steps": run.status()["step"], "nats": None, "verdict": run.status().get("verdict")}
        return {"precision": precision, "seed": seed, **told}
    found = evaluate(of_run(run), data, plan)["parzen"]
    times = [json.loads(line)["milliseconds_per_step"] for line in run.timing.read_text().splitlines()]
    return {
        "precision": precision,
        "seed": seed,
        "steps": run.status()["step"],
        "nats": found["nats"],
        "standard_error": found["standard_error"],
        "paper_grid_nats": found["legacy"]["nats"],
        "verdict": run.status().get("verdict"),
        "milliseconds_per_step": statistics.median(times),
        "machine": run.read()["machine"],
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--recipe", default="mnist")
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--score", action="store_true")
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    rows = []
    for seed in range(options.seeds):
        for precision in PRECISIONS:
            run = Run(options.folder / f"{precision}-{seed}")
            if options.score and not run.exists():
                continue
            data = load(run.config().data) if options.score else trained(run, options.recipe, precision, seed)
            rows.append(row(run, data, precision, seed))
            print(json.dumps({name: value for name, value in rows[-1].items() if name != "machine"}), flush=True)
            if options.json:
                about = {"recipe": options.recipe, "torch": torch.__version__, "system": platform.platform()}
                options.json.write_text(
                    json.dumps({**about, "processors": os.cpu_count(), "rows": rows}, indent=1) + "\n"
                )
    for precision in PRECISIONS:
        nats = [one["nats"] for one in rows if one["precision"] == precision and one["nats"] is not None]
        spread = f" ± {statistics.stdev(nats):.1f}" if len(nats) > 1 else ""
        print(f"{precision}: {statistics.fmean(nats):.1f}{spread} nats over {len(nats)} seeds")


if __name__ == "__main__":
    main()
