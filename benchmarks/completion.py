"""Measure how well one generator fills in any part of images and tables, beside simple rivals.

    ADVNETS_DATA=... python benchmarks/completion.py RUN [...] [--tables] [--gsn RUN] [--n 1000]
        [--masks NAME ...] [--json FILE]

RUN are trained runs of images with masks (digits-completion, mnist-completion), of one recipe or of several; those of
one recipe are its seeds, and take the place of what FILE had of it. Test images are completed 10 times
under each mask, and so are they by the mean training image, by the nearest training images over the known pixels
(and by the single nearest, and by the one completion of z in its middle, whose classes are compared example by example)
and, with --gsn, by a chain with the known pixels held. --tables trains on tables of scikit-learn of which 20 %
of all cells are made missing at random, and measures the error of these cells in standard deviations of the column,
beside scikit-learn's imputers, all of them given the same table. Writes into FILE beside what it holds already.
"""

import argparse
import json
import tempfile
import time
from dataclasses import asdict
from pathlib import Path

import numpy as np
import torch
from sklearn import datasets
from sklearn.experimental import enable_iterative_imputer  # noqa: F401, makes the next import possible
from sklearn.impute import IterativeImputer, KNNImputer, SimpleImputer

from advnets import masks, recipes
from advnets.config import Config, DataConfig
from advnets.data import load
from advnets.evaluation.completion import clamped_fill, completions, mean_fill, nearest_fill
from advnets.evaluation.features import feature_net
from advnets.runs import Run
from advnets.sampling import load_sampler
from advnets.seeds import stream
from advnets.training import train

SIDES = ("left", "bottom", "block")
SHARES = (0.05, 0.5, 0.9)
EACH = 10
MIDDLE, FIRST = "advnets, truncation 0", "nearest, the first"  # one completion each, of those with noise and without
MASKS = (*SIDES, *(f"random:{share:g}" for share in SHARES))


def known_under(name, shape):
    """Return the mask of this name for examples (n, *shape)."""
    if name in SIDES:
        return np.broadcast_to(masks.side(name, shape[1:]).numpy() > 0, shape).copy()
    shares = torch.full(shape[:1], float(name.partition(":")[2]))
    return masks.hidden_share(shares, shape[1:], stream(0, "benchmark")).numpy() > 0


def of_images(run, count, gsn, names):
    sampler = load_sampler(run)
    data = load(sampler.config.data)
    x, labels = data.test.x[:count], data.test.labels[:count]
    net = feature_net(data)
    near = nearest_fill(data.train.x)
    fills = {
        "advnets": sampler.complete,
        "advnets, their mean": lambda x, known, count, seed: sampler.complete(x, known, count, seed).mean(0)[None],
        MIDDLE: lambda x, known, count, seed: sampler.complete(x, known, 1, seed, truncation=0.0),
        "mean": mean_fill(data.train.x),
        "nearest": near,
        FIRST: lambda x, known, count, seed: near(x, known, 1, seed),
    }
    if gsn is not None and gsn.shape() == data.shape:
        fills["gsn clamped"] = clamped_fill(load_sampler(gsn))
    found, apart = {}, {}
    for name in names:
        known = known_under(name, x.shape)
        found[name] = {
            fill: asdict(completions(made, x, known, each=EACH, labels=labels, net=net)) for fill, made in fills.items()
        }
        apart[name] = kept_by_one_alone(fills[MIDDLE], fills[FIRST], x, known, labels, net)
        for fill, one in found[name].items():
            print(
                f"{name:12} {fill:12} psnr {one['psnr']:5.2f}, of the mean {one['psnr_mean']:5.2f}, "
                f"agreement {one['agreement']:.3f}, diversity {one['diversity']:.3f}",
                flush=True,
            )
        print(f"{name:12} class kept by one alone: {apart[name]}", flush=True)
    config = sampler.config
    told = {"recipe": config.recipe, "seed": config.seed, "steps": sampler.step}
    return {**told, "test_images": len(x), "each": EACH, "masks": found, "kept_by_one_alone": apart}


def kept_by_one_alone(a, b, x, known, labels, net):
    """Count examples whose class one of two fills keeps and the other does not, and how sure that makes of the better.

    z = (n_a − n_b) / √(n_a + n_b), standard normal where neither is better (McNemar 1947).
    """
    given = np.where(known, x, np.float32(0))
    kept = [net.classify(fill(given, known, 1, 0)[0].astype(np.float32)) == labels for fill in (a, b)]
    alone = [int((kept[i] & ~kept[1 - i]).sum()) for i in (0, 1)]
    return {MIDDLE: alone[0], FIRST: alone[1], "z": (alone[0] - alone[1]) / max(sum(alone), 1) ** 0.5}


def of_table(name, x, seed):
    """Error of cells made missing, in standard deviations of what is left of their column."""
    x = x.astype(np.float64)
    gone = np.random.default_rng(seed).random(x.shape) < 0.2
    gappy = np.where(gone, np.nan, x)
    scale, shift = np.nanstd(gappy, 0), np.nanmean(gappy, 0)
    standard = (gappy - shift) / scale
    imputers = {
        "mean": SimpleImputer(),
        "KNNImputer": KNNImputer(),
        "IterativeImputer": IterativeImputer(random_state=0, max_iter=20),
        "IterativeImputer, drawn": IterativeImputer(random_state=0, max_iter=20, sample_posterior=True),
    }
    filled = {which: imputer.fit_transform(standard) for which, imputer in imputers.items()}
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "table.npy"
        np.save(file, gappy)
        own = DataConfig(str(file), missing="hide", held_out=0.02)  # the imputers learn from all rows
        data = load(own)
        config = recipes.auto(Config(data=own, seed=seed), data.shape, len(data.train.x), unit=False)
        run, began = Run(Path(folder) / "run"), time.perf_counter()
        outcome = train(recipes.completion(config, data.shape), data, run)
        made = (load_sampler(run).complete(gappy, ~gone, 50) - shift) / scale
    filled |= {"advnets, one completion": made[0], "advnets, mean of 50": made.mean(0)}
    truth = (x - shift) / scale
    found = {which: float(np.sqrt(np.square((one - truth)[gone]).mean())) for which, one in filled.items()}
    print(
        name,
        seed,
        outcome.verdict.name if outcome.verdict else "",
        {k: round(v, 3) for k, v in found.items()},
        flush=True,
    )
    return {"rows": len(x), "columns": x.shape[1], "rmse": found, "seconds": round(time.perf_counter() - began)}


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("runs", nargs="*", type=Path)
    parser.add_argument("--tables", action="store_true")
    parser.add_argument("--seeds", type=int, default=1)
    parser.add_argument("--gsn", type=Path)
    parser.add_argument("--n", type=int, default=1000)
    parser.add_argument("--masks", nargs="+", choices=MASKS, default=MASKS)
    parser.add_argument("--json", type=Path)
    arguments = parser.parse_args()
    found = json.loads(arguments.json.read_text()) if arguments.json and arguments.json.exists() else {}
    gsn = Run(arguments.gsn) if arguments.gsn else None
    measured = [of_images(Run(path), arguments.n, gsn, arguments.masks) for path in arguments.runs]
    for recipe in {one["recipe"]: None for one in measured}:
        found.setdefault("images", {})[recipe] = [one for one in measured if one["recipe"] == recipe]
    if arguments.tables:
        tables = {"wine": datasets.load_wine, "breast_cancer": datasets.load_breast_cancer}
        for name, read in tables.items():
            x = read(return_X_y=True)[0]
            found.setdefault("tables", {})[name] = [of_table(name, x, seed) for seed in range(arguments.seeds)]
            write(found, arguments.json)
    write(found, arguments.json)


def write(found, file):
    if file:
        file.write_text(json.dumps(found, indent=1) + "\n")


if __name__ == "__main__":
    main()
