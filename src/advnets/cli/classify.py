"""`advnets classify`: which class images are of, by a run that learned from few labels or by its features."""

import csv
import io
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import tyro

from advnets.cli.arguments import parse
from advnets.cli.main import DONE
from advnets.cli.output import emit, say, table, writing
from advnets.cli.sample import in_range
from advnets.errors import InputError
from advnets.runs import Run

if TYPE_CHECKING:
    from advnets.data import DataSet
    from advnets.extensions.classifier import Classify
    from advnets.extensions.examples import Examples

_SUFFIXES = (".csv", ".npz")
_SHOWN = 10
_LABELS = 100


@dataclass(frozen=True)
class Arguments:
    """Tell the class of each image, with its probability, and count the errors where labels are known.

    RUN is a run of a recipe with few labels, as mnist-semi-supervised, whose D tells classes; or a run of adversarial
    nets, whose D's hidden units a logistic regression is then fitted on, with --labels of the training part's labels.
    """

    run: Annotated[Path, tyro.conf.Positional, tyro.conf.arg(metavar="RUN")]
    """A run folder."""
    data: Annotated[Path | None, tyro.conf.Positional, tyro.conf.arg(metavar="[DATA]")] = None
    """A folder of images, or a .npy or .npz file; by default the test part of the run's data."""
    labels: int | None = None
    """For a run of adversarial nets: how many labels to use, as many of each class; 100 by default."""
    seed: int = 0
    """The same: seed of their draw."""
    step: int | None = None
    """Step of an earlier checkpoint; the last one by default."""
    out: Annotated[Path | None, tyro.conf.arg(metavar="FILE")] = None
    """A .csv (image, class, probability, label) or .npz file (probabilities, classes, labels) for the answers."""
    offline: bool = False
    """Never fetch data."""
    json: bool = False
    """Print one JSON object on stdout."""


def run(tokens: list[str]) -> int:
    """Classify, write the answers, and print them."""
    arguments = parse(Arguments, tokens, "classify")
    target = Run(arguments.run)
    config = target.config()  # refuses what is no run before torch is imported
    if arguments.out and arguments.out.suffix.lower() not in _SUFFIXES:
        raise InputError(f"--out is {arguments.out}, allowed: a name that ends in .csv or .npz; rename it")
    if config.rival:
        raise InputError(
            f"{target.path} holds {config.recipe}, which has no discriminator, allowed: runs of adversarial nets; name "
            "another run"
        )
    if config.semi and arguments.labels is not None:
        raise InputError(
            f"--labels is {arguments.labels} and {target.path} has learned from {config.semi.labels or 'all'}, allowed "
            "with runs of adversarial nets; leave it out"
        )
    in_range("--seed", arguments.seed, 0, 2**63 - 1)

    from advnets.data import load
    from advnets.extensions import examples

    data = load(config.data, offline=arguments.offline, report=lambda line: print(line, file=sys.stderr))
    classify = _classifier(target, arguments, data)
    found = examples.of_file(arguments.data, config.data, data) if arguments.data else examples.of_test_part(data)
    answers = _answers(classify, found, data)
    if arguments.out:
        _write(arguments.out, answers, found)
    if arguments.json:
        emit({"run": str(target.path), "out": str(arguments.out) if arguments.out else None, **_content(answers)})
    else:
        _print(answers, arguments.out)
    return DONE


def _classifier(target: Run, arguments: Arguments, data: "DataSet") -> "Classify":
    from advnets.extensions import features, labels, semi_supervised

    if target.config().semi:
        return semi_supervised.load_classifier(target, arguments.step)
    count = _LABELS if arguments.labels is None else arguments.labels
    rows = labels.draw(data, count, labels.class_count(data), arguments.seed)
    return features.fit_on_features(features.load_features(target, arguments.step), data, rows, arguments.seed)


@dataclass(frozen=True)
class _Answers:
    probabilities: Any
    names: list[str]
    """Of the classes."""
    images: list[dict[str, Any]]
    errors: dict[str, int] | None


def _answers(classify: "Classify", found: "Examples", data: "DataSet") -> _Answers:
    p = classify(found.x)
    names = [data.class_names[one] if one < len(data.class_names) else str(one) for one in range(p.shape[1])]
    classes = p.argmax(1)
    images: list[dict[str, Any]] = []
    for index, one in enumerate(classes):
        row: dict[str, Any] = {"image": found.names[index], "class": names[one], "probability": float(p[index, one])}
        label = -1 if found.labels is None else int(found.labels[index])
        images.append(row | ({"label": names[label]} if label >= 0 else {}))
    known = [row for row in images if "label" in row]
    wrong = sum(row["label"] != row["class"] for row in known)
    return _Answers(p, names, images, {"wrong": wrong, "n": len(known)} if known else None)


def _content(answers: _Answers) -> dict[str, Any]:
    return {"classes": answers.names, "n": len(answers.images), "errors": answers.errors, "images": answers.images}


def _write(file: Path, answers: _Answers, found: "Examples") -> None:
    import numpy as np

    with writing(file) as stream:
        if file.suffix.lower() == ".npz":
            labels = np.full(len(found.x), -1) if found.labels is None else found.labels
            arrays = {"probabilities": answers.probabilities, "labels": labels}
            np.savez_compressed(stream, classes=np.array(answers.names), images=np.array(found.names), **arrays)
            return
        text = io.StringIO()
        writer = csv.DictWriter(text, ["image", "class", "probability", "label"], restval="")
        writer.writeheader()
        writer.writerows(answers.images)
        stream.write(text.getvalue().encode())


def _print(answers: _Answers, out: Path | None) -> None:
    rows = [
        (str(row["image"]), row["class"], f"{row['probability']:.3f}", row.get("label", ""))
        for row in answers.images[:_SHOWN]
    ]
    print(table([("image", "class", "probability", "label"), *rows]))
    left = len(answers.images) - len(rows)
    if left and not out:
        print(f"and {left:,} more; --out FILE.csv writes all")
    if out:
        say(f"{out}: all {len(answers.images):,}")
    if answers.errors:
        wrong, n = answers.errors["wrong"], answers.errors["n"]
        print(f"errors: {wrong:,} of {n:,} with a label ({wrong / n:.2%})")
