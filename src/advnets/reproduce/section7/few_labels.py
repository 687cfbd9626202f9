"""Section 7, its fourth extension: classifiers from few labels, by features of D or by a D of K + 1 classes."""

import dataclasses
from collections.abc import Iterator, Mapping, Sequence
from types import MappingProxyType
from typing import Any

import numpy as np
from numpy.typing import NDArray

from advnets import recipes
from advnets.config import Config
from advnets.data import DataSet
from advnets.errors import InputError
from advnets.extensions import features, labels
from advnets.extensions.classifier import Classify, errors
from advnets.extensions.semi_supervised import load_classifier
from advnets.reproduce.artefact import Artefact, Budget, Plan
from advnets.reproduce.curves import remembered
from advnets.reproduce.runs import lasting, trained
from advnets.reproduce.section7.claims import Claim, all_hold, claim
from advnets.reproduce.section7.inference import generator_of
from advnets.runs import Run

RUNS: Mapping[Budget, tuple[str, int, int]] = MappingProxyType(
    {"quick": ("digits-semi-supervised", 50, 3), "full": ("mnist-semi-supervised", 100, 5)}
)
"""Recipe, labels, draws of them."""
_MOST = 150  # of 10,000
_PUBLISHED = "93 ± 6.5 of 10,000 (MNIST, 100 labels, Salimans et al. 2016)"
_WORDS = {
    "semi": "D of K + 1 classes, feature matching",
    "features": "logistic regression on D's hidden units",
    "scratch": "D's net on the labels alone",
    "pixels": "logistic regression on pixels",
}

Found = dict[str, Any]


def reproduce(plan: Plan) -> Artefact:
    """Count errors on test images of classifiers that saw the same few labels, over draws of these."""
    recipe, count, draws = RUNS[plan.budget]
    config = generator_of(plan.budget)
    data = plan.load(config.data)
    run = trained(plan, config, data)
    seeds = range(plan.seeds or draws)
    wrong: dict[str, list[int]] = {"semi": [_semi(plan, recipe, count, seed, data) for seed in seeds]}
    for method in ("features", "scratch", "pixels"):
        wrong[method] = [_plain(plan, run, config, data, method, count, seed) for seed in seeds]
    claims = [*_claims(plan.budget, wrong)]
    n = len(data.test.x)
    summary = {"recipe": recipe, "labels": count, "test_images": n, "errors": wrong, "claims": claims}
    return Artefact([*_table(summary)], summary, [], holds=all_hold(claims))


def _claims(budget: Budget, wrong: Mapping[str, Sequence[int]]) -> Iterator[Claim]:
    """On MNIST, what the published numbers ask for; on the few test digits, means beside those of the others."""
    means = {name: float(np.mean(of_draws)) for name, of_draws in wrong.items()}
    if budget == "quick":
        yield claim(
            f"features of D beat its net from scratch ({means['scratch']:.0f} errors)",
            f"{means['features']:.0f}",
            holds=means["features"] < means["scratch"],
        )
        least = min(means[name] for name in ("features", "scratch", "pixels"))
        yield claim(f"K + 1 classes beat all others ({least:.0f})", f"{means['semi']:.0f}", holds=means["semi"] < least)
        return
    better = [a < b for a, b in zip(wrong["features"], wrong["scratch"], strict=True)]
    wanted = "features of D beat its net from scratch on every draw"
    yield claim(wanted, f"{sum(better)} of {len(better)}", holds=all(better))
    yield claim(f"K + 1 classes: at most {_MOST} errors", f"{means['semi']:.0f}", holds=means["semi"] <= _MOST)


def _semi(plan: Plan, recipe: str, count: int, seed: int, data: DataSet) -> int:
    """Train a D of K + 1 classes on one draw of labels."""
    base = recipes.get(recipe)
    assert base.semi is not None  # these recipes have it
    semi = dataclasses.replace(base.semi, labels=count)
    config = lasting(dataclasses.replace(base, semi=semi), base.train.steps, seed=seed)
    return _wrong(load_classifier(trained(plan, config, data)), data)


def _plain(plan: Plan, run: Run, config: Config, data: DataSet, method: str, count: int, seed: int) -> int:
    """Fit one of the simple classifiers on one draw of labels."""

    def measure() -> Found:
        plan.say(f"{_WORDS[method]}, {count} labels, draw {seed}")
        classes = labels.class_count(data)
        rows = labels.draw(data, count, classes, seed)
        return {"wrong": _wrong(_fitted(run, config, data, method, rows, classes, seed), data)}

    return int(remembered(run, f"{method}, {count} labels, draw {seed}, step {config.train.steps}", measure)["wrong"])


def _fitted(
    run: Run, config: Config, data: DataSet, method: str, rows: NDArray[np.int64], classes: int, seed: int
) -> Classify:
    match method:
        case "features":
            return features.fit_on_features(features.load_features(run), data, rows, seed)
        case "scratch":
            return features.fit_from_scratch(config, data, rows, classes, seed=seed)
    return features.fit_on_features(features.pixels, data, rows, seed)


def _wrong(classify: Classify, data: DataSet) -> int:
    found = errors(classify, data.test)
    if found is None:
        raise InputError(f"{data.name} has no labelled test images, allowed: data that have; name others")
    return found.wrong


def _table(found: Found) -> Iterator[tuple[str, ...]]:
    yield (f"errors of {found['test_images']:,} test images", f"{found['labels']} labels", "draws")
    for method, words in _WORDS.items():
        wrong = found["errors"][method]
        yield (words, _over(wrong), ", ".join(map(str, wrong)))
    yield ("published", _PUBLISHED, "")


def _over(wrong: Sequence[int]) -> str:
    spread = f" ± {np.std(wrong, ddof=1):.0f}" if len(wrong) > 1 else ""
    return f"{np.mean(wrong):.0f}{spread}"
