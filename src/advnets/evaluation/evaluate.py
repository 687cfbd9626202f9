"""All measures of one subject, with the protocol they were taken by: what `advnets evaluate` runs."""

from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, replace
from functools import cached_property
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from advnets.config import NoiseConfig
from advnets.data import DataSet, toys
from advnets.data.splits import shuffled
from advnets.errors import InputError, NotMeasurable
from advnets.evaluation import ais, coverage, memorisation, shares, two_sample
from advnets.evaluation.conditional import class_conditional
from advnets.evaluation.features import FeatureNet, feature_net_of_all
from advnets.evaluation.folds import Folds
from advnets.evaluation.kept import kept
from advnets.evaluation.likelihood import VALIDATION_POINTS, HeldOut, flat, likelihood, parzen
from advnets.evaluation.observation import GaussianPixels, Observation, of_vae
from advnets.evaluation.progress import Report, silent
from advnets.evaluation.references import NAMES, references
from advnets.evaluation.subjects import Subject
from advnets.rivals.vae import VAE
from advnets.sampling import draw_latents, generate
from advnets.seeds import stream

_EXAMPLES = 16
_ELBO_DRAWS, _IMPORTANCE_DRAWS = 1000, 5000  # the second as Burda, Grosse and Salakhutdinov (2016)
_ANNEALING: dict[str, Any] = {"steps": 500, "chains": 8, "leapfrog": 5}  # minutes for the paper's G on two cores

VERSION = 1  # raised whenever any number below would come out different
Rows = NDArray[Any]
Progress = Callable[[str], Report]
"""Given the name of what is about to be measured, returns whom to tell how far it is."""


@dataclass(frozen=True)
class Plan:
    """What is measured, and how."""

    metrics: tuple[str, ...] = ()
    """Names out of METRICS; none stands for all that make sense for the data, but for ais."""
    samples: int = 10_000
    """Samples drawn, or taken from a file."""
    seed: int = 0
    """Seed of the noise, and of everything random in the measures."""
    redraws: int = 3
    """Further draws of as many samples, for the deviation of the Parzen likelihood."""
    references: tuple[str, ...] = NAMES
    """Rows beside the Parzen likelihood."""


@dataclass(frozen=True)
class Scene:
    """The samples beside the data set's parts, flat or as features, in one place for every measure."""

    subject: Subject
    data: DataSet
    plan: Plan
    samples: Rows
    """Samples (n, *shape) in the data set's units."""
    progress: Progress
    folds: Folds | None = None
    """For data that come in folds: where the Parzen likelihood is taken."""

    @cached_property
    def net(self) -> FeatureNet:
        """The features of images; raises NotMeasurable for vectors."""
        if len(self.data.shape) != 3:
            raise NotMeasurable(f"{self.data.name} holds vectors, and features are made for images")
        return feature_net_of_all(self.data, report=self.progress("features"))

    @cached_property
    def parts(self) -> tuple[Rows, Rows]:
        """Training and test examples, as many as samples were asked for."""
        return self._rows(self.data.train.x), self._rows(self.data.test.x)

    @cached_property
    def plain(self) -> tuple[Rows, Rows, Rows]:
        """Training examples, test examples and samples (n, d), as pixels or values."""
        train, test = self.parts
        return flat(train), flat(test), flat(self.samples)

    @cached_property
    def spaces(self) -> dict[str, tuple[Rows, Rows, Rows]]:
        """The same in every space: pixels and features of images; values of vectors."""
        if len(self.data.shape) != 3:
            return {"values": self.plain}
        train, test, samples = (self.net.extract(x) for x in (*self.parts, self.samples))
        return {"pixels": self.plain, "features": (train, test, samples)}

    def _rows(self, x: Rows) -> Rows:
        """As many rows as samples were asked for, in a fixed random order: MNIST is in the order of its writers."""
        return self.data.scaling.undo(x[shuffled(len(x))[: self.plan.samples]])


Compare = Callable[[Rows, Rows, Rows, int, Report], Any]
"""Compares samples with the test and training parts: f(train, test, samples, seed, report)."""


def _fid(train: Rows, test: Rows, samples: Rows, seed: int, report: Report) -> two_sample.Frechet:
    return two_sample.Frechet(**shares.once(lambda: asdict(two_sample.fid(*_equal(test, samples), report=report))))


def _kid(train: Rows, test: Rows, samples: Rows, seed: int, report: Report) -> two_sample.Kernel:
    size = min(1000, len(test), len(samples))
    return two_sample.kid(test, samples, subset_size=max(size, 2), seed=seed, report=report)


def _precision_recall(train: Rows, test: Rows, samples: Rows, seed: int, report: Report) -> coverage.PrecisionRecall:
    return coverage.precision_recall(*_equal(test, samples), report=report)


def _nearest_neighbour(
    train: Rows, test: Rows, samples: Rows, seed: int, report: Report
) -> two_sample.NearestNeighbourTest:
    return two_sample.nearest_neighbour_test(*_equal(test, samples), report=report)


def _ndb(train: Rows, test: Rows, samples: Rows, seed: int, report: Report) -> coverage.Bins:
    bins = max(2, min(100, len(samples) // 10))
    return coverage.ndb(train, samples, bins=bins, seed=seed, report=report)


def _equal(test: Rows, samples: Rows) -> tuple[Rows, Rows]:
    """As many of each, so that chance levels are what they are for equal numbers."""
    n = min(len(test), len(samples))
    return test[:n], samples[:n]


COMPARISONS: Mapping[str, Compare] = {
    "fid": _fid,
    "kid": _kid,
    "precision_recall": _precision_recall,
    "nearest_neighbour": _nearest_neighbour,
    "ndb": _ndb,
}


def _compare(scene: Scene, name: str) -> dict[str, Any]:
    """One comparison in every space, each beside its zero: training data in the place of the samples."""
    results: dict[str, Any] = {}
    for space, rows in scene.spaces.items():
        value = _number(COMPARISONS[name], *rows, scene.plan.seed, scene.progress(f"{name} on {space}"))
        net = {"net": scene.net.describe()} if space == "features" else {}
        results[space] = {**value, "zero": _zero(scene, name, space, *rows), **net}
    return results


def _zero(scene: Scene, name: str, space: str, train: Rows, test: Rows, samples: Rows) -> dict[str, Any]:
    """What a perfect generator would get, kept in the cache: the same of training examples, of test ones for ndb."""
    like, seed = (test if name == "ndb" else train)[: len(samples)], scene.plan.seed
    net = scene.net.describe() if space == "features" else None
    key = (VERSION, name, space, net, scene.data.fingerprint, len(test), len(like), seed)
    report = scene.progress(f"zero of {name} on {space}")
    return kept("zeros", key, lambda: _number(COMPARISONS[name], train, test, like, seed, report))


def _number(compare: Compare, *arguments: Any) -> dict[str, Any]:
    """A result as plain values, or the sentence that says why there is none."""
    try:
        return asdict(compare(*arguments))
    except NotMeasurable as reason:
        return {"not_measured": str(reason)}


def _parzen(scene: Scene) -> dict[str, Any]:
    result = parzen(
        scene.subject,
        scene.folds.held_out if scene.folds else (HeldOut.of(scene.data),),
        samples=len(scene.samples),
        seed=scene.plan.seed,
        redraws=scene.plan.redraws,
        report=scene.progress("parzen"),
    )
    if scene.folds and scene.subject.sampler:
        result["folds"] = [{**fold, "seen": seen} for fold, seen in zip(result["folds"], scene.folds.seen, strict=True)]
    return result


def _classes(scene: Scene) -> dict[str, Any]:
    """Shares of the classes that a classifier sees, compared with those it sees in test data."""
    if scene.data.test.labels is None or not scene.data.class_names:
        raise NotMeasurable(f"{scene.data.name} has no labels to train a classifier on")
    classes = len(scene.data.class_names)
    predicted = scene.net.classify(scene.samples)
    reference = None
    if scene.data.name != "stacked_mnist":  # whose published protocol compares with uniform shares
        reference = np.bincount(scene.net.classify(scene.data.test.x), minlength=classes)
        if not reference.all():
            raise NotMeasurable(
                f"the classifier sees only {np.count_nonzero(reference)} of {classes} classes in the "
                f"{len(scene.data.test.x)} test examples of {scene.data.name}: hold out more of them"
            )
    result = asdict(coverage.class_histogram(predicted, classes, reference))
    return {
        **result,
        "names": list(scene.data.class_names) if classes <= 100 else None,
        "classifier": scene.net.describe(),
    }


def _conditional(scene: Scene) -> dict[str, Any]:
    """Samples of every class that the model was asked for."""
    if scene.subject.sampler is None:
        raise NotMeasurable("samples of a class are drawn from the model itself, and these are samples of one")
    report = scene.progress("conditional")
    found = class_conditional(scene.subject.sampler, scene.data, scene.net, seed=scene.plan.seed, report=report)
    return {**asdict(found), "names": list(scene.data.class_names), "classifier": scene.net.describe()}


def _modes(scene: Scene) -> dict[str, Any]:
    if scene.data.name not in toys.MIXTURES:
        raise NotMeasurable(f"{scene.data.name} is no mixture with known modes, as {', '.join(toys.MIXTURES)} are")
    return asdict(coverage.mode_coverage(flat(scene.samples), *toys.modes(scene.data.name)))


def _memorisation(scene: Scene) -> dict[str, Any]:
    train, test = (flat(scene.data.scaling.undo(part.x)) for part in (scene.data.train, scene.data.test))
    report = scene.progress("memorisation")
    return asdict(memorisation.memorisation(train, test, flat(scene.samples), report=report))


def _duplicates(scene: Scene) -> dict[str, Any]:
    test, samples = _equal(*scene.plain[1:])
    return asdict(memorisation.duplicates(test, samples, report=scene.progress("duplicates")))


def _ais(scene: Scene) -> dict[str, Any]:
    """Log-likelihood of test examples under a decoder, and bounds.

    G has noise of the Parzen bandwidth in the nets' units, a variational autoencoder has pixels of its own.
    """
    sampler = scene.subject.sampler
    if sampler is None:
        raise NotMeasurable("annealed importance sampling needs the generator itself, and these are samples of one")
    x = scene.data.test.x[:_EXAMPLES]
    if isinstance(sampler.net, VAE):
        return _ais_of_vae(scene, sampler.net, flat(x))
    if sampler.config.condition:
        raise NotMeasurable(
            "annealed importance sampling is over z, and this generator is given c too: its log p(x) is not estimated"
        )
    if sampler.config.rival:
        raise NotMeasurable(
            f"annealed importance sampling over z needs a generator, and {sampler.config.recipe} has none"
        )
    net, prior = sampler.net, sampler.config.noise
    centres = generate(net, draw_latents(prior, len(scene.samples), scene.plan.seed))
    own_units = HeldOut(flat(scene.data.validation.x), flat(x))
    return _annealed(scene, net, prior, x, GaussianPixels(likelihood(centres, own_units, "fine").bandwidth))


def _ais_of_vae(scene: Scene, model: VAE, x: Rows) -> dict[str, Any]:
    """Log-likelihood of rows x (n, d), and the bounds that the model's own q(z | x) gives, in nats.

    Standard errors are over examples. Raises NotMeasurable for an encoder whose outputs are not finite.
    """
    result = _annealed(scene, model.decoder, NoiseConfig("gaussian", model.latent), x, of_vae(model))
    rows, seed = torch.from_numpy(x).to(next(model.parameters())), scene.plan.seed
    with torch.no_grad():
        elbo = model.elbo(rows, stream(seed, "elbo", device=rows.device), _ELBO_DRAWS)
        importance = model.importance_bound(rows, stream(seed, "importance", device=rows.device), _IMPORTANCE_DRAWS)
    if not (torch.isfinite(elbo).all() and torch.isfinite(importance).all()):
        raise NotMeasurable("the encoder's outputs are not finite; a model that did not diverge has bounds")
    for name, values in (("elbo", elbo), ("importance_bound", importance)):
        mean, error = ais.mean_over_examples(values.double().cpu())
        result |= {name: mean, f"{name}_standard_error": error}
    visible = "bernoulli" if model.log_variance is None else "gaussian"
    return {**result, "elbo_draws": _ELBO_DRAWS, "importance_draws": _IMPORTANCE_DRAWS, "visible": visible}


def _annealed(scene: Scene, net: nn.Module, prior: NoiseConfig, x: Rows, observation: Observation) -> dict[str, Any]:
    """The estimate for x, and the bounds for as many examples that the decoder makes."""
    settings = {"observation": observation, "seed": scene.plan.seed, **_ANNEALING}
    estimate = ais.annealed_importance_sampling(net, prior, x, **settings, report=scene.progress("ais"))
    bounds = ais.bdmc(net, prior, examples=_EXAMPLES, **settings, report=scene.progress("ais bounds"))
    annealing = asdict(estimate.annealing)
    return {
        **_scalars(estimate),
        "median_effective_sample_size": float(np.median(estimate.effective_sample_sizes)),
        "gap_of_bounds": bounds.gap,
        "bounds": _scalars(bounds),
        "annealing": {**annealing.pop("observation"), **annealing},
    }


def _scalars(result: Any) -> dict[str, float]:
    return {name: value for name, value in asdict(result).items() if isinstance(value, int | float)}


OTHERS: Mapping[str, Callable[[Scene], dict[str, Any]]] = {
    "parzen": _parzen,
    "classes": _classes,
    "conditional": _conditional,
    "modes": _modes,
    "memorisation": _memorisation,
    "duplicates": _duplicates,
    "ais": lambda scene: shares.once(lambda: _ais(scene)),
}
METRICS = ("parzen", *COMPARISONS, "classes", "conditional", "modes", "memorisation", "duplicates", "ais")


def evaluate(
    subject: Subject,
    data: DataSet,
    plan: Plan,
    *,
    folds: Folds | None = None,
    progress: Progress = lambda name: silent,
) -> dict[str, Any]:
    """Measure a subject: one key per metric, `references` beside `parzen`, `subject` and `protocol`.

    With `folds` the Parzen likelihoods are means over them, the rest stays that of the subject's own fold.
    A measure without a value holds `not_measured`, one sentence. Raises InputError for an unknown metric.
    """
    require(plan, data)
    count = min(plan.samples, subject.available or plan.samples)
    subject = _drawn_once(subject)
    scene = Scene(subject, data, plan, subject.draw(count, plan.seed), progress, folds)
    result: dict[str, Any] = {}
    for name in plan.metrics or _sensible(data, subject):
        try:
            result[name] = _compare(scene, name) if name in COMPARISONS else OTHERS[name](scene)
        except NotMeasurable as reason:
            result[name] = {"not_measured": str(reason)}
        if name == "parzen":
            shared, held_out = (folds.shared, folds.held_out) if folds else (data, ())
            result["references"] = references(
                shared, count, held_out=held_out, names=plan.references, progress=progress
            )
    return {**result, "subject": subject.facts, "protocol": protocol(data, plan, count, folds)}


def require(plan: Plan, data: DataSet) -> None:
    """Raise InputError for what cannot be measured: an unknown metric, and data with gaps."""
    unknown = [name for name in plan.metrics if name not in METRICS]
    if unknown:
        raise InputError(f"there is no metric {unknown[0]!r}, allowed: {', '.join(METRICS)}; choose of these")
    if not data.is_whole:
        raise InputError(
            f"{data.name} has numbers that are missing (NaN) and measures compare whole examples, allowed: data "
            "without gaps; fill them first: advnets complete"
        )


def _drawn_once(subject: Subject) -> Subject:
    """Let the first of several processes draw samples for all: machines may round differently."""
    return replace(subject, draw=lambda count, seed: shares.once(lambda: subject.draw(count, seed)))


def _sensible(data: DataSet, subject: Subject) -> tuple[str, ...]:
    """Leave out what makes no sense for this subject and these data, and what takes long."""
    out = {"ais"}
    if not (subject.sampler and subject.sampler.conditions and subject.sampler.conditions.names):
        out.add("conditional")
    if data.name not in toys.MIXTURES:
        out.add("modes")
    if len(data.shape) != 3 or data.test.labels is None or not data.class_names:
        out.add("classes")
    return tuple(name for name in METRICS if name not in out)


def protocol(data: DataSet, plan: Plan, count: int, folds: Folds | None) -> dict[str, Any]:
    """Everything that moves the numbers, but for the generator itself: equal protocols make comparable numbers."""
    return {
        "version": VERSION,
        "data": data.name,
        "fingerprint": data.fingerprint,
        "scaling": data.scaling.kind,
        "units": "pixels in [0, 1]" if data.scaling.kind == "unit" else "the data's own",
        "train": len(data.train.x),
        **({"train_of": data.examples} if data.packed else {}),
        "folds": len(folds.held_out) if folds else 1,
        "validation_points": min(VALIDATION_POINTS, len(data.validation.x)),
        "test_points": len(data.test.x),
        "samples": count,
        "seed": plan.seed,
        "kernel": "gaussian",
        "bandwidth": "fine: coarse grid, then golden section, on validation points; legacy: logspace(-1, 0, 10)",
        "precision": "float64",
        "network": "evaluation mode",
    }
