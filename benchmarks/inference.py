"""How well encoders undo the generator of a run: by z or a hidden layer, without and with weight on real examples.

    python benchmarks/inference.py RUN [--steps 5000] [--pair STEPS] [--json FILE] [--pictures FOLDER]

One line for each encoder, and with --pair one for a generator and encoder of the recipe's nets trained together, on the
test part of the run's data. The run is copied first, and keeps its own encoder. With --json rows are added to those of
other runs in the file.
"""

import argparse
import json
import shutil
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np

from advnets import pictures
from advnets.config import Config
from advnets.data import DataSet, load
from advnets.extensions import bigan, codes
from advnets.extensions.encoder import InferenceConfig
from advnets.extensions.encoder_fit import fit
from advnets.extensions.inference import Inference, build, game_of, load_inference
from advnets.runs import Run

VARIANTS = (("z", 0.0), ("z", 10.0), ("z", 100.0), ("hidden-1", 0.0), ("hidden-1", 1.0))
"""What E predicts, and the weight of the reconstruction error of training examples."""


def measured(run: Run, data: DataSet, settings: InferenceConfig) -> tuple[dict[str, Any], Inference]:
    """Fit one encoder and measure it."""
    fitted = fit(run, settings, data.train.x, refit=True)
    inference = load_inference(run)
    recovery = codes.recovery(inference)
    row = {"target": settings.target, "reconstruction": settings.reconstruction, "steps": settings.steps}
    row |= {"seconds": round(fitted.seconds, 1), "latent_mse": recovery.latent_mse, "correlation": recovery.correlation}
    row |= {"reconstruction_mse": codes.reconstruction_mse(inference, data.test.x)}
    return row | {"accuracy": accuracy(data, inference.encode)}, inference


def accuracy(data: DataSet, features: Any) -> float | None:
    """Classify test examples by the nearest training or validation example; None without labels."""
    known = [part for part in (data.train, data.validation) if part.labels is not None]
    if not known or data.test.labels is None:
        return None
    points, labels = (np.concatenate([getattr(part, name) for part in known]) for name in ("x", "labels"))
    return codes.nearest_neighbour_accuracy(features(points), labels, features(data.test.x), data.test.labels)


def untrained(run: Run) -> Inference:
    """Return an encoder with its first weights: what codes are worth without having learned anything."""
    sampler = game_of(run, InferenceConfig())
    cut, encoder = build(sampler, InferenceConfig())
    return Inference(sampler.config.noise, cut, encoder.eval())


def trained_together(config: Config, data: DataSet, steps: int) -> tuple[dict[str, Any], Inference]:
    """Train G and E together, adversarially, and measure E."""
    started = time.perf_counter()
    inference = bigan.train_pair(bigan.for_pairs(config, steps), data)
    seconds = time.perf_counter() - started
    recovery = codes.recovery(inference)
    row = {"target": "pair", "reconstruction": 0.0, "steps": steps, "seconds": round(seconds, 1)}
    row |= {"latent_mse": recovery.latent_mse, "correlation": recovery.correlation}
    row |= {"reconstruction_mse": codes.reconstruction_mse(inference, data.test.x)}
    return row | {"accuracy": accuracy(data, inference.encode)}, inference


def picture(data: DataSet, inference: Inference, file: Path) -> None:
    """Draw 32 test examples, each beside its reconstruction."""
    x = data.test.x[:32]
    pairs = np.stack([x, inference.decode(inference.encode(x))], axis=1).reshape(-1, *x.shape[1:])
    file.parent.mkdir(parents=True, exist_ok=True)
    pictures.save(pictures.grid(pairs, columns=16), file)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("run", type=Path)
    parser.add_argument("--steps", type=int, default=InferenceConfig().steps)
    parser.add_argument("--pair", type=int, metavar="STEPS", default=0)
    parser.add_argument("--json", type=Path)
    parser.add_argument("--pictures", type=Path)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        ignored = shutil.ignore_patterns(".lock", "samples", "encoder*")
        run = Run(Path(shutil.copytree(options.run, Path(folder) / options.run.name, ignore=ignored)))
        config = run.config()
        data = load(config.data)
        common = {"recipe": config.recipe, "seed": config.seed, "generator_step": run.checkpoint_steps()[-1]}
        rows: list[dict[str, Any]] = []
        for target, weight in (*VARIANTS, *([("pair", 0.0)] if options.pair else [])):
            if target == "pair":
                row, inference = trained_together(config, data, options.pair)
            else:
                settings = InferenceConfig(target, steps=options.steps, reconstruction=weight)
                row, inference = measured(run, data, settings)
            if not rows:
                raw = accuracy(data, lambda x: x.reshape(len(x), -1))
                common |= {"baseline_mse": codes.baselines(inference, data, data.test.x), "raw_accuracy": raw}
                common |= {"untrained_accuracy": accuracy(data, untrained(run).encode)}
                common |= {"data": data.name, "test_examples": len(data.test.x)}
            rows.append(row)
            print(json.dumps(row), flush=True)
            if options.pictures:
                picture(data, inference, options.pictures / f"{config.recipe}-{target}-{weight:g}.png")
            if options.json:
                keep(options.json, {**common, "encoders": rows})
    print(json.dumps(common))


def keep(file: Path, found: dict[str, Any]) -> None:
    """Put the rows of a run in the place of its earlier ones."""
    runs = json.loads(file.read_text())["runs"] if file.exists() else []
    others = [one for one in runs if (one["recipe"], one["seed"]) != (found["recipe"], found["seed"])]
    file.write_text(json.dumps({"runs": [*others, found]}, indent=2) + "\n")


if __name__ == "__main__":
    main()
