"""The protocol of Table 1: Parzen likelihood of test data under samples, with everything that moves the number."""

from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from torch import nn

from advnets import conditions
from advnets.config import Config
from advnets.data import DataSet
from advnets.errors import InputError, NotMeasurable
from advnets.evaluation.parzen import Grid, ParzenWindow
from advnets.evaluation.progress import Report, part, silent
from advnets.evaluation.subjects import Subject
from advnets.sampling import draw_latents, generate

VALIDATION_POINTS = 1000
_WORST = -1e30
Centres = NDArray[Any] | list[NDArray[Any]]
"""Centres for every fold alike, or a list of centres for each."""
_CURVE = (100, 300, 1000, 3000, 10_000, 30_000, 100_000)


@dataclass(frozen=True)
class Likelihood:
    """A Parzen likelihood with the part of its protocol that belongs beside it."""

    nats: float
    """Mean log-likelihood of the test points; more is better, up to what training images reach."""
    standard_error: float
    """Standard deviation over test points, divided by the root of their number."""
    bandwidth: float
    """Width σ of the kernels, chosen on validation points."""
    grid: str
    """Where σ was sought: legacy or fine."""
    centres: int
    """Samples the kernels stand on."""
    test_points: int
    """Test points scored."""


@dataclass(frozen=True)
class HeldOut:
    """The points that choose the bandwidth and those that are scored, flat and in the samples' units."""

    validation: NDArray[np.float32]
    test: NDArray[np.float32]

    @classmethod
    def of(cls, data: DataSet) -> "HeldOut":
        """Take the validation and test parts of a data set."""
        return cls(flat(data.scaling.undo(data.validation.x)), flat(data.scaling.undo(data.test.x)))


def flat(x: NDArray[Any]) -> NDArray[np.float32]:
    """Return examples as rows (n, d)."""
    return np.ascontiguousarray(x.reshape(len(x), -1), np.float32)


def likelihood(centres: NDArray[Any], held_out: HeldOut, grid: Grid, *, report: Report = silent) -> Likelihood:
    """Choose σ on the first 1,000 validation points, then score every test point; raises NotMeasurable."""
    window = ParzenWindow(grid, validation_points=VALIDATION_POINTS)
    window.fit(flat(centres), validation=held_out.validation, report=part(report, 0, 2))
    scores = window.score_samples(held_out.test, report=part(report, 1, 2))
    if not np.isfinite(scores).all():
        raise NotMeasurable("the likelihood is beyond the range of numbers; bring samples and data to one scale")
    return Likelihood(
        nats=float(scores.mean()),
        standard_error=float(scores.std(ddof=1) / np.sqrt(len(scores))) if len(scores) > 1 else 0.0,
        bandwidth=window.bandwidth_,
        grid=grid,
        centres=window.n_centres_,
        test_points=len(scores),
    )


def in_folds(centres: Centres, held_out: Sequence[HeldOut], grid: Grid, *, report: Report = silent) -> list[Likelihood]:
    """Score centres in every fold, each with the σ that suits its own validation points best."""
    n = len(held_out)
    every = centres if isinstance(centres, list) else [centres] * n
    return [likelihood(every[k], fold, grid, report=part(report, k, n)) for k, fold in enumerate(held_out)]


def over_folds(parts: Sequence[Likelihood]) -> Likelihood:
    """Mean over the folds of a data set, with the standard error over folds; one fold stays as it is.

    nats = 1/K Σ_k nats_k, error = sd(nats_k)/√K; the bandwidth is the mean of those chosen. Goodfellow et al. (2014),
    section 5, for TFD.
    """
    if len(parts) == 1:
        return parts[0]
    nats = [one.nats for one in parts]
    return Likelihood(
        nats=float(np.mean(nats)),
        standard_error=_deviation(nats) / len(nats) ** 0.5,
        bandwidth=float(np.mean([one.bandwidth for one in parts])),
        grid=parts[0].grid,
        centres=parts[0].centres,
        test_points=sum(one.test_points for one in parts),
    )


def both_grids(centres: Centres, held_out: Sequence[HeldOut], *, report: Report = silent) -> dict[str, Any]:
    """Score in every fold with the fine grid, and with the grid of the paper's script where that has an inside.

    The second is found under `legacy`; where there are several folds, each one's likelihood under `folds`.
    """
    parts = in_folds(centres, held_out, "fine", report=part(report, 0, 2))
    result = asdict(over_folds(parts)) | ({"folds": list(map(asdict, parts))} if len(parts) > 1 else {})
    try:
        legacy = in_folds(centres, held_out, "legacy", report=part(report, 1, 2))
        return {**result, "legacy": asdict(over_folds(legacy))}
    except NotMeasurable as reason:
        return {**result, "legacy": {"not_measured": str(reason)}}


def parzen(
    subject: Subject, held_out: Sequence[HeldOut], *, samples: int, seed: int, redraws: int, report: Report = silent
) -> dict[str, Any]:
    """Score a subject: both grids, the deviation over further draws, and the curve over the number of samples.

    The curve takes the first 100, 300, 1,000 … of the same samples and chooses σ anew for each.
    """
    total = 2 + (redraws if subject.available is None else 0)
    centres = subject.draw(samples, seed)
    result = both_grids(centres, held_out, report=part(report, 0, total))
    sizes = [size for size in _CURVE if size < len(centres)]
    result["curve"] = [*(_point(centres[:size], held_out) for size in sizes), _without_legacy(result)]
    part(report, 1, total)(1, 1)
    if total > 2:
        again = []
        for done in range(redraws):
            draw, inner = subject.draw(samples, seed + 1 + done), part(report, 2 + done, total)
            again.append(over_folds(in_folds(draw, held_out, "fine", report=inner)).nats)
        result["redraws"] = {"n": redraws, "nats": again, "deviation": _deviation([result["nats"], *again])}
    return result


def validator(config: Config, data: DataSet, samples: int = 10_000) -> Callable[[nn.Module], float]:
    """Make the function that scores a generator on the first 1,000 validation points, at its best σ, while it trains.

    Its samples come from the same latents every time. A generator that cannot be scored counts as −1e30.
    """
    if not data.is_whole:
        raise InputError(
            f"--train.validate_every is {config.train.validate_every} and numbers of {data.name} are missing (NaN), "
            "allowed: 0; leave it out"
        )
    latents = draw_latents(config.noise, samples, config.seed, conditions.of_data(config, data))
    validation = HeldOut.of(data).validation[:VALIDATION_POINTS]

    def score(net: nn.Module) -> float:
        window, centres = ParzenWindow("fine"), flat(data.scaling.undo(generate(net, latents)))
        if not np.isfinite(centres).all():
            return _WORST
        try:
            window.fit(centres, validation=validation)
        except NotMeasurable:
            return _WORST
        return window.score(validation)

    return score


def _point(centres: NDArray[Any], held_out: Sequence[HeldOut]) -> dict[str, Any]:
    try:
        return asdict(over_folds(in_folds(centres, held_out, "fine")))
    except NotMeasurable as reason:
        return {"centres": len(centres), "not_measured": str(reason)}


def _without_legacy(result: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in result.items() if name not in ("legacy", "folds")}


def _deviation(nats: Sequence[float]) -> float:
    return float(np.std(nats, ddof=1))
