"""What the likelihood of samples hides: Fréchet distance, precision and recall beside it, raw and averaged weights.

    python benchmarks/quality.py RUN[:STEP]... [--samples 10000] [--json FILE]

One line for each run and kind of weights, at a kept step or the last, against its data set's test part; the last
line is training images against the same test images.
"""

import argparse
import json
from pathlib import Path
from typing import Any

from advnets.data import load
from advnets.evaluation.evaluate import Plan, evaluate
from advnets.evaluation.subjects import of_run
from advnets.reproduce.curves import weights_of
from advnets.runs import Run

NAMES = ("precision", "recall", "density", "coverage")


def quality(run: Run, weights: Any, samples: int, step: int | None) -> tuple[dict[str, Any], dict[str, Any]]:
    """Measure one kind of weights of a run; return that, and the same for training images in the place of samples."""
    subject = of_run(run, weights=weights, step=step)
    plan = Plan(("parzen", "fid", "precision_recall"), samples, redraws=0, references=("training_images",))
    found = evaluate(subject, load(subject.data), plan)
    fid, pixels = found["fid"]["features"], found["precision_recall"]["pixels"]
    row = {**subject.facts, "weights": weights, "nats": found["parzen"]["nats"], "fid": fid["value"]}
    real = {"nats": found["references"]["training_images"]["nats"], "fid": fid["zero"]["value"]}
    return row | {name: pixels[name] for name in NAMES}, real | {name: pixels["zero"][name] for name in NAMES}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("runs", nargs="+", metavar="RUN[:STEP]")
    parser.add_argument("--samples", type=int, default=10_000)
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    rows, real = [], {}
    for text in options.runs:
        folder, _, step = text.partition(":")
        run = Run(Path(folder))
        for weights in weights_of(run):
            row, real = quality(run, weights, options.samples, int(step) if step else None)
            rows.append({**row, "run": run.path.name})
            print(_line(f"{run.path.name} {row['weights']}", row), flush=True)
    print(_line("training images", real))
    if options.json:
        options.json.write_text(json.dumps({"samples": options.samples, "rows": rows, "real": real}, indent=2) + "\n")


def _line(name: str, row: dict[str, Any]) -> str:
    return f"{name:<32} {row['nats']:8.1f} nats  FID {row['fid']:6.1f}  " + "  ".join(
        f"{n} {row[n]:.2f}" for n in NAMES
    )


if __name__ == "__main__":
    main()
