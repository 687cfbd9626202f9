"""Section 7, its first extension: a conditional generative model p(x given c), by giving c to both G and D."""

from collections.abc import Iterator, Mapping
from dataclasses import asdict
from types import MappingProxyType
from typing import Any

import numpy as np
from matplotlib.figure import Figure

from advnets import recipes
from advnets.evaluation.conditional import class_conditional
from advnets.evaluation.features import feature_net
from advnets.reproduce import drawing
from advnets.reproduce.artefact import Artefact, Budget, Plan
from advnets.reproduce.curves import remembered
from advnets.reproduce.runs import lasting, trained
from advnets.reproduce.section7.claims import all_hold, claim
from advnets.sampling import Sampler, load_sampler

RUNS: Mapping[Budget, tuple[str, int]] = MappingProxyType(
    {"quick": ("digits-conditional", 6_000), "full": ("mnist-conditional", 40_000)}
)
_ENOUGH = 0.97
_PUBLISHED = "132 ± 1.8 (MNIST, Mirza and Osindero 2014, by the paper's grid)"
_COLUMNS = 10

Found = dict[str, Any]


def reproduce(plan: Plan) -> Artefact:
    """Train p(x given class), and ask classifiers what they see and what they learn from it."""
    recipe, steps = RUNS[plan.budget]
    config = lasting(recipes.get(recipe), steps)
    data = plan.load(config.data)
    run = trained(plan, config, data)
    sampler = load_sampler(run)

    def measure() -> Found:
        net = feature_net(data, report=plan.progress("the classifier that judges"))
        return asdict(class_conditional(sampler, data, net, report=plan.progress("samples of classes")))

    found = remembered(run, f"classes of step {sampler.step}", measure)
    count = len(found["by_class"]) * found["each"]
    claims = [
        claim(
            f"{_ENOUGH:.0%} of {count:,} samples seen as their class",
            f"{found['agreement']:.2%}",
            holds=found["agreement"] >= _ENOUGH,
        ),
        claim("no class missing", f"{found['missing']} missing", holds=found["missing"] == 0),
    ]
    summary = {"recipe": recipe, "step": sampler.step, "run": run.path.name, **found, "claims": claims}
    files = drawing.save(_picture(sampler, recipe), plan.folder / "section7-conditional.png")
    return Artefact([*_table(summary)], summary, files, holds=all_hold(claims))


def _picture(sampler: Sampler, name: str) -> Figure:
    """Draw a row of samples of each class, never picked; a column has one z."""
    assert sampler.conditions is not None  # it is trained with one
    x = sampler.draw_given(sampler.conditions.rows.repeat_interleave(_COLUMNS, 0), 0)
    figure = Figure(figsize=(5.4, 5.8), layout="constrained")
    drawing.panel(figure.subplots(), x, _COLUMNS, drawing.caption(sampler, name), stretch=False)
    figure.supxlabel("A row a class; random draws, not picked.", fontsize=9)
    return figure


def _table(found: Found) -> Iterator[tuple[str, ...]]:
    yield (f"{found['recipe']}, {found['step']:,} steps", "samples", "real test images")
    yield ("seen as their class by a classifier", f"{found['agreement']:.4f}", f"{found['agreement_real']:.4f}")
    yield ("… of the worst class", f"{found['lowest']:.3f}", "")
    yield ("right after learning from them, on test images", f"{found['taught']:.4f}", f"{found['taught_real']:.4f}")
    yield ("distance of two of a class, over that of training images", f"{found['spread']:.2f}", "")
    nats = f"{found['nats']:.1f} (error {found['standard_error']:.1f})"
    yield (f"Parzen nats, {found['each']:,} a class; published: {_PUBLISHED}", nats, "")
    assert np.isfinite(found["nats"])
