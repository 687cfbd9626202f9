"""An evaluation in words: rows for the terminal, and a page with pictures."""

import base64
import html
import io
from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from PIL import Image

from advnets import pictures, sampling
from advnets.data import DataSet
from advnets.evaluation.likelihood import flat
from advnets.evaluation.neighbours import matrices, nearest
from advnets.evaluation.subjects import Subject

Result = Mapping[str, Any]
Row = tuple[str, str, str, str, str]

_GRID, _NEIGHBOURS = 100, 10

MEANINGS: dict[str, str] = {
    "parzen": "mean log-likelihood of test data under Gaussian kernels on the samples, in nats; more is better, up to "
    "the row training_images, above which it rewards smoothing, not quality",
    "references": "the same measure with these centres in place of samples",
    "fid": "Fréchet distance between Gaussians fitted to test data and samples; 0 is best, compare with its zero",
    "kid": "kernel distance between test data and samples, without bias; 0 is best, compare with its zero",
    "precision_recall": "precision: samples that lie among the data; recall: data that lie among the samples; density "
    "and coverage: the same, less moved by outliers; all best at their zero",
    "nearest_neighbour": "how often a point's nearest neighbour is of its own kind: .5 cannot be told apart; collapse "
    "makes samples high and data low; copying makes it fall below .5",
    "ndb": "share of k-means bins that samples fill differently from test data; best at .05",
    "classes": "classes that a classifier sees in the samples; KL to what it sees in test data, best at 0",
    "conditional": "samples of each class that was asked for: how many a classifier of real examples sees as it, and "
    "how well a classifier that learned from them sees real examples; both best at their values for real data",
    "modes": "modes of the mixture that samples reach, and the share within 3 sd of one",
    "memorisation": "whether samples lie nearer to training data than held-out data do",
    "duplicates": "samples that are nearly the same as another one",
    "ais": "log-likelihood under the generator itself with Gaussian noise, or under a variational autoencoder beside "
    "its own two bounds, by annealed importance sampling",
}

# What of a measure's result stands for it in one row.
_HEADLINES: dict[str, tuple[str, ...]] = {
    "fid": ("value",),
    "kid": ("mean", "deviation"),
    "precision_recall": ("precision", "recall", "density", "coverage"),
    "nearest_neighbour": ("accuracy", "real_accuracy", "fake_accuracy", "p_value"),
    "ndb": ("different", "jensen_shannon"),
    "classes": ("hit", "classes", "kl", "p_value"),
    "conditional": (
        *("agreement", "agreement_real", "lowest", "missing", "taught", "taught_real", "spread", "nats"),
        "standard_error",
    ),
    "modes": ("covered", "modes", "high_quality", "kl"),
    "memorisation": ("memorised", "copied_share", "copied_p_value", "copies", "mean_distance", "held_out_distance"),
    "duplicates": ("repeated", "near_share", "near_share_real", "support", "support_real"),
}


def lines(result: Result) -> list[Row]:
    """List every number as (metric, on what, number, value, the same of real data or a remark)."""
    rows: list[Row] = [("metric", "on", "", "", "real data, or remark")]
    for name, content in result.items():
        if name in MEANINGS:
            rows += list(_rows(name, content))
    return rows


def _rows(name: str, content: Mapping[str, Any]) -> Iterator[Row]:
    if "not_measured" in content:
        yield name, "", "not measured", "", content["not_measured"]
    elif name == "parzen":
        yield from _likelihood_rows("parzen", content)
        for number, fold in enumerate(content.get("folds", []), start=1):
            seen = f", {fold['seen']} of {fold['test_points']} test images seen in training" if fold.get("seen") else ""
            value = f"{fold['nats']:.1f} ± {fold['standard_error']:.1f} nats"
            yield "", f"fold {number}", "likelihood", value, f"σ {fold['bandwidth']:.4g}{seen}"
        for point in content.get("streamed", []):
            yield from _likelihood_rows("", point, "streamed")
        if "redraws" in content:
            again = content["redraws"]
            yield "", "", "deviation", f"{again['deviation']:.2f}", f"over {again['n'] + 1} draws"
    elif name == "references":
        for row, inner in content.items():
            yield from _likelihood_rows(f"  {row}", inner)
    elif all(isinstance(inner, dict) for inner in content.values()):
        for index, (space, inner) in enumerate(content.items()):
            yield from _number_rows("" if index else name, space, _headlines(name, inner), inner, inner.get("zero", {}))
    else:
        yield from _number_rows(name, "", _headlines(name, content), content, {})


def _likelihood_rows(name: str, content: Mapping[str, Any], first: str = "fine grid") -> Iterator[Row]:
    """One row a grid, of which the first is called `first`."""
    if "not_measured" in content:
        yield name, "", "not measured", "", content["not_measured"]
        return
    for label, grid, kind in ((name, content, first), ("", content.get("legacy", {}), "legacy grid")):
        if "nats" in grid:
            value = f"{grid['nats']:.1f} ± {grid['standard_error']:.1f} nats"
            yield label, kind, "likelihood", value, f"σ {grid['bandwidth']:.4g}, {grid['centres']:,} centres"
        elif grid:
            yield label, kind, "not measured", "", grid["not_measured"]


def _number_rows(
    name: str, space: str, numbers: tuple[str, ...], content: Mapping[str, Any], zero: Mapping[str, Any]
) -> Iterator[Row]:
    if "not_measured" in content:
        yield name, space, "not measured", "", content["not_measured"]
        return
    for index, number in enumerate(numbers):
        start = ("", "") if index else (name, space)
        yield *start, number.replace("_", " "), _short(content[number]), _short(zero[number]) if number in zero else ""


def _headlines(name: str, content: Mapping[str, Any]) -> tuple[str, ...]:
    """The numbers of a result that are shown: those chosen above, or all single ones."""
    single = tuple(key for key, value in content.items() if isinstance(value, bool | int | float | str))
    return tuple(key for key in _HEADLINES.get(name, single) if key in content)


def _short(value: Any) -> str:
    return f"{value:.4g}" if isinstance(value, float) else str(value)


def page(result: Result, subject: Subject, data: DataSet) -> str:
    """Write the whole evaluation as one HTML page that needs no other file."""
    samples = subject.draw(min(_GRID, subject.available or _GRID), int(result["protocol"]["seed"]))
    facts = {name: value for name, value in subject.facts.items() if name != "chain"} | subject.facts.get("chain", {})
    title = ", ".join(f"{name.replace('_', ' ')} {value}" for name, value in facts.items())
    parts = [
        f"<h1>{html.escape(title)}</h1>",
        f"<p>Compared with {html.escape(data.name)}: {html.escape(data.source)}</p>",
        "<h2>Samples, not picked</h2>",
        _image(sampling.picture(samples, data.scaling, _behind(data)), "random samples"),
        *_neighbour_part(samples, data),
        *_curve_part(result),
        "<h2>Measures</h2>",
        _table(lines(result)),
        "<h2>What they mean</h2><dl>",
        *(f"<dt>{name}</dt><dd>{html.escape(MEANINGS[name])}</dd>" for name in result if name in MEANINGS),
        "</dl><h2>Protocol</h2><dl>",
        *(f"<dt>{name}</dt><dd>{html.escape(str(value))}</dd>" for name, value in result["protocol"].items()),
        "</dl>",
    ]
    return _PAGE.replace("TITLE", html.escape(title)).replace("BODY", "\n".join(parts))


_PAGE = """<!doctype html>
<html lang="en"><head><meta charset="utf-8"><title>advnets: TITLE</title>
<meta name="viewport" content="width=device-width, initial-scale=1">
<style>
body { font: 16px/1.5 system-ui, sans-serif; max-width: 62rem; margin: 2rem auto; padding: 0 1rem; color: #222; }
h1 { font-size: 1.3rem; overflow-wrap: anywhere } h2 { font-size: 1.1rem; margin-top: 2rem }
img { max-width: 100%; height: auto } table { border-collapse: collapse; font-size: .9rem }
td, th { text-align: left; padding: .25rem .8rem .25rem 0; border-bottom: 1px solid #ddd; vertical-align: top }
dt { font-weight: 600 } dd { margin: 0 0 .5rem 1rem; overflow-wrap: anywhere }
</style></head><body>
BODY
</body></html>
"""


def _behind(data: DataSet) -> Any:
    return data.scaling.undo(data.train.x[:2500]) if len(data.shape) == 1 else None


def _table(rows: list[Row]) -> str:
    head, *body = rows
    cells = "".join(f"<th>{html.escape(cell)}</th>" for cell in head)
    lines = ("".join(f"<td>{html.escape(cell)}</td>" for cell in row) for row in body)
    return f"<table><tr>{cells}</tr>{''.join(f'<tr>{line}</tr>' for line in lines)}</table>"


def _neighbour_part(samples: Any, data: DataSet) -> list[str]:
    """Show samples above their nearest training examples, which a generator that memorises would repeat."""
    if len(data.shape) != 3:
        return []
    train, shown = data.scaling.undo(data.train.x), samples[:_NEIGHBOURS]
    queries, points = matrices(fake=flat(shown), train=flat(train))
    found = nearest(queries, points).indices[:, 0]
    both = np.concatenate([shown, train[found]])
    picture = pictures.grid(both, columns=len(shown), stretch=data.scaling.kind == "contrast")
    return ["<h2>Samples above their nearest training examples</h2>", _image(picture, "samples and nearest examples")]


def _curve_part(result: Result) -> list[str]:
    """Plot the score against the number of centres, with the reference rows as lines."""
    measured = result.get("parzen", {})
    points = [point for point in measured.get("curve", []) if "nats" in point]
    if len(points) < 2:
        return []
    figure = Figure(figsize=(7, 4), dpi=110, layout="constrained")
    axes = figure.add_subplot()
    x, y, error = (np.array([point[key] for point in points]) for key in ("centres", "nats", "standard_error"))
    axes.errorbar(x, y, error, marker="o", color="C2", label="samples")
    if many := [point for point in measured.get("streamed", []) if "nats" in point]:
        axes.plot([one["centres"] for one in many], [one["nats"] for one in many], "--", color="C2", label="streamed")
    for index, (name, row) in enumerate(result.get("references", {}).items()):
        if "nats" in row:
            axes.plot(row["centres"], row["nats"], "s", color=f"C{3 + index}", label=name.replace("_", " "))
    axes.set(xscale="log", xlabel="centres", ylabel="nats (fine grid)")
    axes.legend(loc="center left", bbox_to_anchor=(1, 0.5), frameon=False)
    canvas = FigureCanvasAgg(figure)
    canvas.draw()
    return [
        "<h2>Score against number of centres</h2>",
        _image(
            Image.fromarray(np.asarray(canvas.buffer_rgba())).convert("RGB"), "likelihood against number of centres"
        ),
    ]


def _image(picture: Image.Image, words: str) -> str:
    stream = io.BytesIO()
    picture.save(stream, format="PNG", optimize=True)
    return f'<p><img alt="{words}" src="data:image/png;base64,{base64.b64encode(stream.getvalue()).decode()}"></p>'
