"""Section 7, its third extension: one generator of p(x_S given the rest), S any part of an example."""

from collections.abc import Iterator, Mapping
from dataclasses import asdict
from functools import partial
from types import MappingProxyType
from typing import Any

import numpy as np
from matplotlib.figure import Figure

from advnets import pictures, recipes
from advnets.data import DataSet
from advnets.evaluation.completion import completions, mean_fill, nearest_fill
from advnets.evaluation.features import feature_net
from advnets.extensions.completing import Mask
from advnets.reproduce import drawing
from advnets.reproduce.artefact import Artefact, Budget, Plan
from advnets.reproduce.curves import remembered
from advnets.reproduce.runs import lasting, trained
from advnets.reproduce.section7.claims import Claim, all_hold, claim
from advnets.sampling import Sampler, load_sampler

RUNS: Mapping[Budget, tuple[str, int]] = MappingProxyType(
    {"quick": ("digits-completion", 8_000), "full": ("mnist-completion", 12_000)}
)
MASKS = ("random:.5", "left", "bottom", "random:.05")
_TEST: Mapping[Budget, int] = MappingProxyType({"quick": 1_000, "full": 4_000})  # images, where there are as many
_EACH = 10  # completions of each
_ROWS, _SHOWN = 8, 8
_MIDDLE, _FIRST = "advnets, truncation 0", "nearest, the first"  # one completion each, the most typical and the nearest

Found = dict[str, Any]


def reproduce(plan: Plan) -> Artefact:
    """Train one generator for all masks, and measure completions beside those of simple rivals."""
    recipe, steps = RUNS[plan.budget]
    config = lasting(recipes.get(recipe), steps)
    data = plan.load(config.data)
    run = trained(plan, config, data)
    sampler = load_sampler(run)
    found = {
        mask: remembered(
            run,
            f"five fills of mask {mask}, {_TEST[plan.budget]} images, step {sampler.step}",
            partial(_measured, plan, sampler, data, mask),
        )
        for mask in MASKS
    }
    claims = [*_claims(plan.budget, found)]
    summary = {"recipe": recipe, "step": sampler.step, "run": run.path.name, "masks": found, "claims": claims}
    files = drawing.save(_picture(sampler, data, recipe), plan.folder / "section7-completion.png")
    return Artefact([*_table(summary)], summary, files, holds=all_hold(claims))


def _measured(plan: Plan, sampler: Sampler, data: DataSet, mask: str) -> Found:
    count = _TEST[plan.budget]
    x, labels = data.test.x[:count], None if data.test.labels is None else data.test.labels[:count]
    known = Mask(mask).of(x, 1.0, 0).known
    net = feature_net(data, report=plan.progress("the classifier that judges"))
    near = nearest_fill(data.train.x)
    fills = {
        "advnets": sampler.complete,
        _MIDDLE: lambda x, known, count, seed: sampler.complete(x, known, 1, seed, truncation=0.0),
        "nearest": near,
        _FIRST: lambda x, known, count, seed: near(x, known, 1, seed),
        "mean": mean_fill(data.train.x),
    }
    plan.say(f"completing {len(x):,} test images, {mask} hidden")
    return {
        name: asdict(completions(fill, x, known, each=_EACH, labels=labels, net=net)) for name, fill in fills.items()
    }


def _claims(budget: Budget, found: Mapping[str, Found]) -> Iterator[Claim]:
    """A draw is held against one of ten neighbours, and the completion of z in its middle against the single nearest.

    The latter's class is not asked for of the few test digits, which tell no difference of some hundredths.
    """
    for own, rival, words, against in (
        ("advnets", "nearest", "a completion", "one of ten neighbours"),
        (_MIDDLE, _FIRST, "that of z in its middle", "the single nearest"),
    ):
        psnr = {name: one["psnr"] for name, one in found["random:.5"].items()}
        most = max(psnr["mean"], psnr[rival])
        yield claim(
            f"half of the pixels hidden: {words} has a better PSNR than the mean image and {against} ({most:.1f} dB)",
            f"{psnr[own]:.1f} dB",
            holds=psnr[own] > most,
        )
        for mask in ("left", "bottom") if rival == "nearest" or budget == "full" else ():
            kept = {name: one["agreement"] for name, one in found[mask].items()}
            yield claim(
                f"{mask} half hidden: {words} keeps the class more often than {against} ({kept[rival]:.3f})",
                f"{kept[own]:.3f}",
                holds=kept[own] > kept[rival],
            )
    open_, shut = (found[mask]["advnets"]["diversity"] for mask in ("left", "random:.05"))
    yield claim(
        "completions differ more where more is open (a half, a twentieth hidden)",
        f"sd {open_:.3f}, {shut:.3f}",
        holds=open_ > shut,
    )


def _picture(sampler: Sampler, data: DataSet, name: str) -> Figure:
    """Show test images, what is known of them with a half hidden, and completions."""
    x = data.test.x[:_ROWS]
    known = Mask("half").of(x, 1.0, 0).known
    made = sampler.complete(x, known, _SHOWN, 0)
    rows = np.concatenate([x[:, None], pictures.masked(x, known)[:, None], made.swapaxes(0, 1)], 1)
    figure = Figure(figsize=(5.8, 5.2), layout="constrained")
    drawing.panel(
        figure.subplots(),
        rows.reshape(-1, *x.shape[1:]).astype(np.float32),
        _SHOWN + 2,
        drawing.caption(sampler, name),
        stretch=False,
    )
    figure.supxlabel("A test image, not picked, what is known of it, completions.", fontsize=9)
    return figure


def _table(found: Found) -> Iterator[tuple[str, ...]]:
    yield (
        *(f"{found['recipe']}, {found['step']:,} steps: hidden", "filled by", "PSNR, one", "PSNR, mean of ten"),
        *("class kept", "sd of a hidden pixel"),
    )
    for mask, fills in found["masks"].items():
        for name, one in fills.items():
            kept = "" if one["agreement"] is None else f"{one['agreement']:.3f}"
            spread = "" if one["each"] == 1 else f"{one['diversity']:.3f}"
            yield (mask, name, f"{one['psnr']:.1f}", f"{one['psnr_mean']:.1f}", kept, spread)
