"""Errors on MNIST's 10,000 test images of classifiers from 20, 50, 100 and 1,000 labels, beside the published ones.

    python benchmarks/semi_supervised.py --methods pixels features scratch [--features RUN] [--jobs N] --out a.json
    python benchmarks/semi_supervised.py --methods semi --labels 100 --device cuda --minutes 3 --out b.json
    python benchmarks/semi_supervised.py --merge a.json b.json --out results/semi-supervised.json

semi      D of K + 1 classes with feature matching: recipe mnist-semi-supervised, all budgets and seeds side by side in
          one process (semi_ensemble.py), --steps long or as many as --minutes allow
features  logistic regression on the hidden units of a D that saw no label: RUN, or recipe mnist trained here first
pixels    the same regression on pixels
scratch   the net of that D, maxout and dropout, on the labelled examples alone

Labels are drawn from the 50,000 training images, one draw a seed, the same for all methods; the other training images
serve `semi` unlabelled, and `features` to train D. Settings are chosen on validation images: --choosing counts errors
on these alone, and no test image is looked at. Otherwise the test images are classified once, at the end. Budgets of
one process have to fill their minibatches alike: 20, 50 and 100 fill 100 examples, 1,000 go by themselves.
"""

import argparse
import dataclasses
import json
import os
import platform
import statistics
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import torch
from semi_ensemble import Ensemble

from advnets import recipes
from advnets.config import Config, to_json
from advnets.data import DataSet, load
from advnets.extensions import features, labels
from advnets.extensions.classifier import errors
from advnets.runs import Run
from advnets.training import train
from advnets.training.processor import fast_products

RECIPE = "mnist-semi-supervised"
METHODS = ("semi", "features", "scratch", "pixels")
NAMES = {
    "semi": "D of K + 1 classes, feature matching",
    "features": "logistic regression on D's hidden units",
    "scratch": "D's net on the labels alone",
    "pixels": "logistic regression on pixels",
}
PUBLISHED = {20: "1677 ± 452", 50: "221 ± 136", 100: "93 ± 6.5"}
_SPEED_STEPS = 200
_LINES = 20  # readings of the validation errors of a run
Row = dict[str, Any]


def config_of(options: argparse.Namespace, steps: int) -> Config:
    """The recipe with the options' settings on top; its rate falls to 1/fall in all steps."""
    base = recipes.get(RECIPE)
    if options.data:
        base = dataclasses.replace(base, data=dataclasses.replace(base.data, name=options.data))
    given: dict[str, dict[str, Any]] = {"train": {}, "semi": {}}
    for one in options.set:
        name, _, value = one.partition("=")
        section, _, setting = name.partition(".")
        given[section][setting] = json.loads(value)
    settings = {"steps": steps, "decay_per_update": options.fall ** (1 / steps), **given["train"]}
    settings = {name: tuple(v) if isinstance(v, list) else v for name, v in settings.items()}
    semi = {name: tuple(v) if isinstance(v, list) else v for name, v in given["semi"].items()}
    assert base.semi is not None
    train_config = dataclasses.replace(base.train, **settings)
    return dataclasses.replace(base, train=train_config, semi=dataclasses.replace(base.semi, **semi))


def steps_in(options: argparse.Namespace, data: DataSet, runs: Sequence[tuple[int, int]]) -> int:
    """--steps or the recipe's, or what --minutes allow at the speed of the first ones where that is less."""
    wanted = int(options.steps or recipes.get(RECIPE).train.steps)
    if not options.minutes:
        return wanted
    ensemble = Ensemble(config_of(options, 1000), data, runs, options.device)
    seconds = 0.0
    for _ in range(2):  # the first time warms up
        begun = time.perf_counter()
        for _ in range(_SPEED_STEPS):
            ensemble.move()
        ensemble.wait()
        ensemble.errors(data.validation)
        seconds = time.perf_counter() - begun
    steps = int(options.minutes * 60 / seconds * _SPEED_STEPS / 1000) * 1000
    print(f"{1000 * seconds / _SPEED_STEPS:.2f} ms a step of {len(runs)} runs: {steps} steps", flush=True)
    return min(wanted, max(1000, steps))


def semi(options: argparse.Namespace, data: DataSet) -> Iterator[Row]:
    """Train all runs side by side, telling validation errors on the way."""
    runs = [(count, seed) for count in options.labels for seed in range(options.seeds)]
    steps = steps_in(options, data, runs)
    config = config_of(options, steps)
    ensemble, begun, lines = Ensemble(config, data, runs, options.device), time.perf_counter(), max(1, steps // _LINES)
    with fast_products(torch.device(options.device)):
        while ensemble.step < steps:
            ensemble.move()
            if ensemble.step % lines == 0 or ensemble.step == steps:
                ensemble.wait()
                losses = (ensemble.sums / lines).mean(1).tolist()
                found = ensemble.errors(data.validation)
                ensemble.sums.zero_()
                spent = time.perf_counter() - begun
                told = " ".join(f"{loss:.3f}" for loss in losses)
                print(f"step {ensemble.step} of {steps}, {spent:.0f} s, losses {told}, validation {found}", flush=True)
    seconds = time.perf_counter() - begun
    test = None if options.choosing else ensemble.errors(data.test)
    for index, (count, seed) in enumerate(runs):
        yield {
            **row("semi", count, seed, found[index], len(data.validation.x)),
            **({"test_errors": test[index], "test_n": len(data.test.x)} if test else {}),
            "steps": steps,
            "seconds_of_all": round(seconds, 1),
            "side_by_side": len(runs),
            "settings": {"train": to_json(config.train), "semi": to_json(config.semi)},
        }


def row(method: str, count: int, seed: int, wrong: int, n: int) -> Row:
    return {"method": method, "labels": count, "seed": seed, "validation_errors": wrong, "validation_n": n}


def one_fit(method: str, name: str, count: int, seed: int, run: str | None, choosing: bool) -> Row:
    """Fit one classifier in a process of its own."""
    torch.set_num_threads(1)
    config = recipes.get("mnist")
    data = load(dataclasses.replace(config.data, name=name))
    classes, begun = labels.class_count(data), time.perf_counter()
    rows = labels.draw(data, count, classes, seed)
    match method:
        case "pixels":
            classify: Any = features.fit_on_features(features.pixels, data, rows, seed)
        case "features":
            classify = features.fit_on_features(features.load_features(Run(Path(str(run)))), data, rows, seed)
        case _:
            classify = features.fit_from_scratch(config, data, rows, classes, seed=seed)
    found = errors(classify, data.validation)
    assert found is not None
    made = row(method, count, seed, found.wrong, found.n)
    if not choosing and (tested := errors(classify, data.test)):
        made |= {"test_errors": tested.wrong, "test_n": tested.n}
    return {**made, "seconds": round(time.perf_counter() - begun, 1)}


def fits(options: argparse.Namespace, data: DataSet, folder: Path) -> Iterator[Row]:
    """Fit the classifiers that need no ensemble, --jobs at a time."""
    run = options.features
    if "features" in options.methods and not run:
        run = folder / "mnist"
        config = recipes.get("mnist")
        device, steps = options.device, options.features_steps or config.train.steps
        settings = dataclasses.replace(config.train, device=device, steps=steps, signals="off")
        named = dataclasses.replace(config.data, name=data.name)
        outcome = train(dataclasses.replace(config, train=settings, data=named), data, Run(run))
        print(f"mnist: {outcome.state} at step {outcome.step} after {outcome.seconds:.0f} s", flush=True)
    tasks = [
        (method, data.name, count, seed, run and str(run), options.choosing)
        for method in METHODS[1:]
        if method in options.methods
        for count in options.labels
        for seed in range(options.seeds)
    ]
    with ProcessPoolExecutor(options.jobs, mp_context=get_context("spawn")) as pool:
        for made in pool.map(one_fit, *zip(*tasks, strict=True)) if tasks else ():
            print({name: value for name, value in made.items() if name != "settings"}, flush=True)
            yield made


def table(rows: Sequence[Row]) -> Iterator[list[str]]:
    """Mean ± standard deviation over seeds of the errors of each method, a column a budget."""
    budgets = sorted({one["labels"] for one in rows})
    kind = "test" if any("test_errors" in one for one in rows) else "validation"
    yield ["", *(f"{count:,} labels" for count in budgets)]
    for method in METHODS:
        cells = []
        for count in budgets:
            chosen = [one for one in rows if (one["method"], one["labels"]) == (method, count)]
            found = [one[f"{kind}_errors"] for one in chosen if f"{kind}_errors" in one]
            spread = f" ± {statistics.stdev(found):.0f}" if len(found) > 1 else ""
            cells.append(f"{statistics.fmean(found):.0f}{spread} ({len(found)})" if found else "")
        if any(cells):
            yield [NAMES[method], *cells]
    if all(one.get("test_n", one["validation_n"]) == 10_000 for one in rows):
        yield ["published: Salimans et al. 2016", *(PUBLISHED.get(count, "") for count in budgets)]


def machine(device: str) -> dict[str, Any]:
    name = torch.cuda.get_device_name(device) if device.startswith("cuda") else platform.machine()
    return {"device": name, "torch": torch.__version__, "processors": os.cpu_count()}


def write(rows: Sequence[Row], machines: list[dict[str, Any]], file: Path | None) -> None:
    if file:
        file.parent.mkdir(parents=True, exist_ok=True)
        protocol = "MNIST, 50,000 training images, labels drawn evenly from them, settings chosen on 10,000 validation"
        content = {"protocol": protocol, "machines": machines, "rows": [*rows]}
        file.write_text(json.dumps(content, indent=1) + "\n")


def measured(options: argparse.Namespace) -> tuple[list[Row], list[dict[str, Any]]]:
    """Measure, writing after every method what there is."""
    data = load(dataclasses.replace(recipes.get(RECIPE).data, name=options.data or "mnist"))
    rows: list[Row] = []
    machines = [machine(options.device)]
    with tempfile.TemporaryDirectory() as folder:
        if "semi" in options.methods:
            rows += semi(options, data)
            write(rows, machines, options.out)
        for made in fits(options, data, Path(folder)):
            rows.append(made)
            write(rows, machines, options.out)
    return rows, machines


def merged(files: Sequence[Path]) -> tuple[list[Row], list[dict[str, Any]]]:
    """Put the rows of all files together; a file takes the place of what those before it have of the same draw."""
    contents = [json.loads(file.read_text()) for file in files]
    rows = {(one["method"], one["labels"], one["seed"]): one for part in contents for one in part["rows"]}
    return [*rows.values()], [one for part in contents for one in part["machines"]]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--methods", nargs="+", choices=METHODS, default=list(METHODS))
    parser.add_argument("--labels", nargs="+", type=int, default=[20, 50, 100, 1000])
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--steps", type=int)
    parser.add_argument("--minutes", type=float, help="of training of semi at most, at its first speed")
    parser.add_argument("--fall", type=float, default=50.0, help="what the rates of semi are divided by in all steps")
    parser.add_argument(
        "--set", nargs="+", default=[], metavar="NAME=JSON", help="settings, as train.learning_rate=1e-3"
    )
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--tf32", action="store_true", help="let a GPU multiply with 10 bits of mantissa")
    parser.add_argument("--jobs", type=int, default=1)
    parser.add_argument("--features", type=Path, metavar="RUN", help="a trained run of mnist; trained here without")
    parser.add_argument("--features-steps", type=int)
    parser.add_argument("--data", help="other data than mnist, with labels")
    parser.add_argument("--choosing", action="store_true")
    parser.add_argument("--merge", nargs="+", type=Path)
    parser.add_argument("--out", type=Path)
    options = parser.parse_args()
    torch.set_float32_matmul_precision("high" if options.tf32 else "highest")
    torch.set_flush_denormal(True)
    rows, machines = merged(options.merge) if options.merge else measured(options)
    write(rows, machines, options.out)
    lines = [*table(rows)]
    widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
    for line in lines:
        print("  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)).rstrip(), file=sys.stdout)


if __name__ == "__main__":
    main()
