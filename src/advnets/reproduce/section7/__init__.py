"""Section 7 of the paper: its five extensions, each trained and measured, ours beside the published."""

from collections.abc import Callable, Iterator, Mapping
from types import MappingProxyType
from typing import Any

from advnets.disk import read_json
from advnets.reproduce.artefact import Artefact, Plan
from advnets.reproduce.section7 import completion, conditional, efficiency, few_labels, inference

PARTS: Mapping[str, tuple[str, Callable[[Plan], Artefact]]] = MappingProxyType(
    {
        "conditional": ("p(x given c): c is an input of both G and D", conditional.reproduce),
        "inference": ("learned approximate inference: a net predicts z from x", inference.reproduce),
        "completion": ("all conditionals p(x_S given the rest), by models that share parameters", completion.reproduce),
        "few_labels": ("features of D, or of the inference net, where labels are few", few_labels.reproduce),
        "efficiency": ("better coordination of G and D, better laws of z", efficiency.reproduce),
    }
)
"""The paper's words in short, in its order, and what reproduces them."""


def reproduce(plan: Plan) -> Artefact:
    """Reproduce every extension, or the one that the plan names: a table of what holds, then one for each.

    Of one, the summary keeps what section7.json has of the others, of the same budget.
    """
    made = {name: part(plan) for name, (_, part) in PARTS.items() if plan.part in ("all", name)}
    found = {**_before(plan), **{name: one.summary for name, one in made.items()}}
    summary: dict[str, Any] = {"budget": plan.budget, **{name: found[name] for name in PARTS if name in found}}
    return Artefact(
        [*claims(summary)],
        summary,
        [file for one in made.values() for file in one.files],
        holds=all(one.holds for one in made.values()),
        notes=[f"{name}: {note}" for name, one in made.items() for note in one.notes],
        further=[one.rows for one in made.values()],
    )


def _before(plan: Plan) -> dict[str, Any]:
    file = plan.folder / "section7.json"
    if plan.part == "all" or not file.is_file():
        return {}
    content = read_json(file)
    return content if content.get("budget") == plan.budget else {}


def claims(summary: Mapping[str, Any]) -> Iterator[tuple[str, ...]]:
    """Print what every extension in a summary has to show, and whether it does."""
    yield ("section 7", "the paper's words", "wanted", "found", "")
    for name, (words, _) in PARTS.items():
        for one in summary[name]["claims"] if name in summary else ():
            yield (name, words, one["wanted"], one["found"], "holds" if one["holds"] else "does not hold")
