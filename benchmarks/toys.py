"""Do the toy recipes find what they should? Modes covered and share of good samples, or mean and sd, seed by seed.

    python benchmarks/toys.py ring [--seeds 5] [--samples 10000] [--json FILE]      (or grid, gaussian)

A sample is good within 3 sd of the nearest mode; a mode is covered if it is the nearest of any good sample. Averaged
and raw weights are both scored; the averaged ones are what `advnets sample` draws from by default.
"""

import argparse
import dataclasses
import json
import tempfile
from pathlib import Path

import numpy as np
import torch

from advnets import recipes
from advnets.data import load
from advnets.data.toys import modes
from advnets.runs import Run
from advnets.sampling import load_sampler
from advnets.training import train


def score(name: str, x: np.ndarray) -> dict[str, float]:
    if x.shape[1] == 1:
        return {"mean": float(x.mean()), "sd": float(x.std())}
    centres, sd = modes(name)
    distances = np.linalg.norm(x[:, None] - centres[None], axis=2)
    good, nearest = distances.min(1) < 3 * sd, distances.argmin(1)
    counts = np.bincount(nearest[good], minlength=len(centres))
    return {
        "modes": int((counts > 0).sum()),
        "of": len(centres),
        "good": float(good.mean()),
        "rarest_mode_share": float(counts.min() / len(x)),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("recipe", choices=["ring", "grid", "gaussian"])
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--samples", type=int, default=10_000)
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    config = recipes.get(options.recipe)
    data = load(config.data)
    target = score(options.recipe, data.scaling.undo(data.test.x))
    print(f"{options.recipe}, {len(data.test.x)} test points: {target}", flush=True)
    rows = []
    for seed in range(options.seeds):
        with tempfile.TemporaryDirectory() as folder:
            run = Run(Path(folder) / "run")
            outcome = train(dataclasses.replace(config, seed=seed), data, run)
            for weights in ("average", "raw"):
                x = load_sampler(run, weights).draw(options.samples, seed=1)
                rows.append(
                    {"seed": seed, "weights": weights, "seconds": round(outcome.seconds), **score(options.recipe, x)}
                )
                print(rows[-1], flush=True)
    if options.json:
        about = {"recipe": options.recipe, "samples": options.samples, "steps": config.train.steps}
        about |= {"torch": torch.__version__, "threads": torch.get_num_threads(), "test_points": target}
        options.json.write_text(json.dumps({**about, "rows": rows}, indent=1) + "\n")


if __name__ == "__main__":
    main()
