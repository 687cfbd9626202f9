"""Adversarial nets as a scikit-learn estimator: fit an array, draw more of its kind, score other examples."""

import contextlib
import math
import shutil
import tempfile
import textwrap
import warnings
import weakref
from collections.abc import Callable, Iterator, Mapping, Sequence
from numbers import Integral, Real
from pathlib import Path
from typing import Any, Self

import numpy as np
from numpy.typing import ArrayLike, NDArray
from sklearn.base import BaseEstimator, DensityMixin
from sklearn.exceptions import ConvergenceWarning
from sklearn.utils.validation import check_is_fitted, validate_data

from advnets import recipes
from advnets.config import Config, from_json, to_json
from advnets.data.arrays import arrange
from advnets.data.dataset import DataSet, FloatArray, Scaling
from advnets.data.scaling import scale, scale_as_before, white_of
from advnets.data.splits import FEWEST_EXAMPLES
from advnets.errors import InputError, NotMeasurable
from advnets.estimator_data import Form, beside, classes_from, condition, cut
from advnets.estimator_extensions import Extended
from advnets.estimator_settings import NAME, override, plain, seed_of, settled, whole
from advnets.evaluation.parzen import Grid, ParzenWindow
from advnets.extensions import semi_supervised
from advnets.runs import Run, read_json, reporting, write_json
from advnets.sampling import load_sampler
from advnets.training import train

_FILE = "estimator.json"  # beside the run's own files: what they do not tell
_MOST = 1_000_000  # centres that a file may ask for
_POINTS = 1000  # held-out examples that choose the bandwidth, as in advnets evaluate
_DIMMEST = 64  # whole numbers that stay below count as grey levels of another range than 0..255


class AdversarialNets(Extended, DensityMixin, BaseEstimator):  # type: ignore[misc]  # scikit-learn ships no types
    """A generator G and a discriminator D, trained on X by Algorithm 1 or as the released code does.

    X holds images (n, h, w), (n, h, w, c) or (n, c, h, w), with c 1 or 3 and pixels in [0, 1] or 0..255, or vectors
    (n, d). A tenth of it (the setting data.held_out) is kept from training, to choose the bandwidth of scores. y is
    for recipes that learn p(x | y), or classes from few labels; NaN in X for those that fill in.

    recipe: "auto", nets sized from X, or a preset whose nets and training are put to X (see `advnets recipes`).
    steps: updates of G in `fit`, and more of them in each `partial_fit`; None takes the recipe's number.
    settings: other settings by dotted name, as {"train.learning_rate": 0.05}; messages say --train.learning_rate.
    n_centres, bandwidth: samples, and bandwidth or how to choose it, of the Parzen window that scores.
    device: "auto", "cpu", "cuda" or "mps". random_state: seed of training and of the window's samples.

    After `fit`: `run_` (the run folder), `config_`, `n_steps_`, `n_features_in_` (numbers in an example),
    `feature_names_in_` where X has names, and `classes_` where y has classes.
    Goodfellow et al. (2014), Algorithm 1 and sections 5 and 7.
    """

    n_steps_: int
    _validation: FloatArray | None
    _windows: dict[str, ParzenWindow]
    _widths: dict[str, float]
    _remove: Callable[[], object] | None = None  # the run folder, if temporary

    def __init__(
        self,
        recipe: str = "auto",
        *,
        steps: int | None = None,
        settings: Mapping[str, Any] | None = None,
        n_centres: int = 10_000,
        bandwidth: float | Grid | Sequence[float] = "fine",
        device: str = "auto",
        random_state: int | np.random.RandomState | None = None,
    ) -> None:
        self.recipe = recipe
        self.steps = steps
        self.settings = settings
        self.n_centres = n_centres
        self.bandwidth = bandwidth
        self.device = device
        self.random_state = random_state

    def fit(self, X: ArrayLike, y: ArrayLike | None = None, *, out: str | Path | None = None) -> Self:
        """Train new nets on X in a new run folder: `out`, or a temporary one that goes when the estimator goes.

        y (n,) holds the classes of X, -1 for none, or y (n, m) vectors, where the recipe needs them; others ignore y.
        Where this raises, by KeyboardInterrupt too, the estimator stays as it was, and `load(out)` opens the last
        checkpoint. Raises InputError for wrong X or settings, and for training that diverges.
        """
        with self._all_or_nothing():
            given = self._validated(X, fewest=FEWEST_EXAMPLES, reset=True)
            seed = seed_of(self.random_state)
            config = self._settled(seed)
            x = arrange(given, "X", missing=config.data.missing == "hide")
            white, most = white_of(x), np.fmax.reduce(x, axis=None)
            if x.ndim == 4 and (white is None or (white == 255 and most < _DIMMEST)):
                allowed = f"0 to 1, or whole numbers from 0 to 255 that reach {_DIMMEST}"
                least = np.fmin.reduce(x, axis=None)
                raise InputError(f"X holds pixels {least:g} to {most:g}, allowed: {allowed}; divide X by white")
            told = beside(y, len(x), config)
            data = scale(cut(x, white, config, told), config.data)
            if self.recipe == "auto":
                config = self._settled(seed, _sized(config, data))
            pixels = data.scaling.kind == "unit" or (x.ndim == 4 and data.scaling.kind != "contrast")
            in_bytes = pixels and x.dtype == np.uint8 and white == 255
            self._form = Form(given.shape[1:], white if pixels else None, in_bytes)
            self._name_classes(told.classes)
            return self._train(told.sized(config), data, out, resume=False)

    def partial_fit(self, X: ArrayLike, y: ArrayLike | None = None, *, out: str | Path | None = None) -> Self:
        """Train `steps` more on X in a copy of the run folder, in `out` or a temporary one; the first time, `fit`.

        With the X of before the result is, bit for bit, that of one longer `fit`. Another X, of the same shape and
        units, takes its place: nets, optimisers, counters and scaling stay; minibatches, and the examples that choose
        the bandwidth, come from the new X alone. Of the parameters only `steps` and `device` count. Raises as `fit`.
        """
        if not hasattr(self, "run_"):
            return self.fit(X, y, out=out)
        with self._all_or_nothing():
            wanted, run = self._settled(seed=0).train, Run(self.run_)
            steps = {"train.steps": self.n_steps_ + wanted.steps, "train.device": wanted.device}
            config = override(run.config(), steps)
            given = self._validated(X, fewest=FEWEST_EXAMPLES, reset=False)
            x = arrange(given, "X", missing=config.data.missing == "hide")
            told = beside(y, len(x), config, getattr(self, "classes_", None))
            raw = cut(x, self._form.white or white_of(x), config, told)
            before = run.read()["data"]
            data = scale_as_before(raw, config.data, Scaling.from_json(before["scaling"]), before["fingerprint"])
            if told.vectors is not None and data.fingerprint != before["fingerprint"]:
                raise InputError("X or y are not those of fit, allowed with vectors y: the same; call fit for others")
            return self._train(config, data, out, resume=True)

    def sample(
        self,
        n_samples: int | None = None,
        random_state: int | np.random.RandomState | None = None,
        *,
        y: ArrayLike | None = None,
    ) -> NDArray[Any]:
        """Draw samples in the shape and units of X, by averaged weights where the recipe keeps them.

        They are uint8 where X held uint8 pixels up to 255, float32 otherwise; contrast-normalised images stay
        normalised. Equal seeds draw equal samples, those of `advnets sample --seed`. Of a conditional model y is what
        they are given: a class or vector for all, or one for each; without y it is drawn as the data have it.
        Without n_samples there is one, or one for each of y.
        """
        check_is_fitted(self)
        seed = seed_of(random_state)
        if y is None:
            return self._in_units(self._draw(1 if n_samples is None else n_samples, "n_samples", seed))
        sampler = load_sampler(Run(self.run_))
        return self._in_units(sampler.draw_given(condition(y, n_samples, sampler.conditions, self.config_), seed))

    def score_samples(self, X: ArrayLike) -> NDArray[np.float64]:
        """Log-likelihood log p(x) of every example of X under `parzen()`, in nats.

        p is a density over vectors in the units of X, and over images with pixels in [0, 1], whatever the units of X,
        as in the paper's Table 1; over contrast-normalised images after normalisation.
        """
        check_is_fitted(self)
        x = self._in_scored_units(X)
        return self.parzen().score_samples(x.reshape(len(x), -1))

    def score(self, X: ArrayLike, y: object = None) -> float:
        """Mean log-likelihood of the examples of X in nats; see `score_samples`."""
        return float(self.score_samples(X).mean())

    def parzen(self) -> ParzenWindow:
        """Return the window that scores: around `n_centres` samples, as wide as suits the held-out examples best.

        Made on first use and kept until `n_centres` or `bandwidth` change. Raises NotMeasurable where no width is best,
        or no whole example held out: `save` omits them, and where all have labels, or lack numbers, there is none.
        """
        check_is_fitted(self)
        asked = str(plain([self.n_centres, self.bandwidth]))
        if asked not in self._windows:
            width = self._widths.get(asked, self.bandwidth)
            if self._validation is None and not isinstance(width, Real):
                allowed = "the bandwidth and n_centres of save, or a number; set one of these, or call partial_fit"
                raise NotMeasurable(f"bandwidth {width!r} lacks held-out examples that are whole, allowed: {allowed}")
            centres = self._draw(self.n_centres, "n_centres", self.config_.seed)
            window = ParzenWindow(width, device=self.device)
            window.fit(centres.reshape(len(centres), -1), validation=self._validation)
            self._windows, self._widths[asked] = {asked: window}, window.bandwidth_
        return self._windows[asked]

    def save(self, folder: str | Path) -> None:
        """Write a new folder: the run's files, and estimator.json with the bandwidth, chosen now if it was not yet.

        Raises InputError where the folder holds anything.
        """
        check_is_fitted(self)
        target = Path(folder)
        Run(target).require_free()
        try:
            _copy(self.run_, target)
            self._describe(target, choose=True)
        except BaseException:
            shutil.rmtree(target, ignore_errors=True)
            raise

    @classmethod
    def load(cls, folder: str | Path) -> Self:
        """Open what `save`, or `fit` with `out`, wrote; runs no code from the folder, which has to stay where it is.

        Raises InputError where it is no such folder, or a damaged one.
        """
        run = Run(Path(folder).absolute())
        if not (run.path / _FILE).is_file():
            raise InputError(f"{folder} has no {_FILE}, allowed: a folder that AdversarialNets.save wrote; name one")
        content = read_json(run.path / _FILE)
        form = from_json(Form, content.get("form"), "form")
        width = from_json(float | None, content.get("bandwidth"), "bandwidth")
        names = from_json(tuple[str, ...] | None, content.get("feature_names"), "feature_names")
        parameters: Any = content.get("parameters")
        right = content.get("format") == 1 and isinstance(parameters, dict)
        right = right and {*parameters} == {*cls._get_param_names()} and run.verified_checkpoint() is not None
        right = right and form.white in (None, 1, 255) and min(form.shape, default=1) > 0
        right = right and type(parameters["n_centres"]) is int and parameters["n_centres"] <= _MOST
        if not right or math.prod(form.shape) != math.prod(run.shape()) or not (width is None or 0 < width < 1e18):
            raise InputError(f"{folder} is damaged or of another version, allowed: format 1 as written; restore it")
        model = cls(**parameters)
        model._adopt(run, None)
        model._form, model.n_features_in_ = form, math.prod(form.shape)
        model._name_classes(classes_from(content.get("classes"), model.config_))
        if names is not None:
            model.feature_names_in_ = np.asarray(names, object)
        if width is not None:
            model._widths[str([model.n_centres, model.bandwidth])] = width
        return model

    def __getstate__(self) -> dict[str, Any]:
        """Take the run's files along: a copy, pickled or not, has its own folder."""
        state = {**super().__getstate__()}
        if "run_" in state:
            files = [file for file in self.run_.rglob("*") if file.is_file() and file.name not in (".lock", _FILE)]
            state["run_"] = {str(file.relative_to(self.run_)): file.read_bytes() for file in files}
            state |= {"_windows": {}, "_remove": None}
        return state

    def __setstate__(self, state: dict[str, Any]) -> None:
        """Put the run's files into a temporary folder."""
        super().__setstate__(state)
        if "run_" in state:
            self.run_, self._remove = self._temporary()
            for name, content in state["run_"].items():
                (self.run_ / name).parent.mkdir(parents=True, exist_ok=True)
                (self.run_ / name).write_bytes(content)

    @contextlib.contextmanager
    def _all_or_nothing(self) -> Iterator[None]:
        """Put every attribute back where the block raises."""
        before = dict(self.__dict__)
        try:
            yield
        except BaseException:
            self.__dict__.clear()
            self.__dict__.update(before)
            raise

    def _validated(self, X: ArrayLike, *, fewest: int, reset: bool) -> NDArray[Any]:
        """Check X as scikit-learn does, and against the X of fit unless `reset`; `arrange` then looks for NaN."""
        try:
            flat = (X.ndim if hasattr(X, "ndim") else np.ndim(X)) <= 2
            checks = {"allow_nd": True, "ensure_2d": flat, "ensure_all_finite": False, "ensure_min_samples": fewest}
            x: NDArray[Any] = validate_data(self, X, reset=reset, **checks)
        except ValueError as error:
            raise InputError(textwrap.shorten(str(error), 400)) from None  # some show the whole of X
        if reset:
            self.n_features_in_ = math.prod(x.shape[1:])
            return x
        if x.shape[1:] != self._form.shape:
            raise InputError(f"X holds examples {x.shape[1:]}, allowed: {self._form.shape}, as in fit; reshape X")
        white, low, high = self._form.white, np.fmin.reduce(x, axis=None), np.fmax.reduce(x, axis=None)
        if white and (low < 0 or high > white or (white > 1 and 0 < high <= 1)):
            found = f"{low:g} to {high:g}"
            raise InputError(f"X holds pixels from {found}, allowed: 0 to {white:g}, as in fit; rescale X")
        return x

    def _settled(self, seed: int, sized: Config | None = None) -> Config:
        """Put the parameters on the recipe's configuration, or on the one that auto has sized."""
        decided = {"train.device": self.device, "seed": seed, "data.name": NAME}
        steps = {} if self.steps is None else {"train.steps": self.steps}
        return settled(self.recipe, self.settings, {**decided, **steps}, sized)

    def _name_classes(self, classes: NDArray[Any] | None) -> None:
        """Keep what the nets' numbers of classes stand for, if they know any."""
        self.__dict__.pop("classes_", None)
        if classes is not None:
            self.classes_ = classes

    def _train(self, config: Config, data: DataSet, out: str | Path | None, *, resume: bool) -> Self:
        """Train in a new folder, which takes the place of the one before once all went well."""
        folder, remove = self._temporary() if out is None else (Path(out).absolute(), None)
        run, remove_last, made = Run(folder), self._remove, self.n_steps_ if resume else 0
        run.require_free()
        try:
            if resume:
                _copy(self.run_, folder)
                _note_data(run, data, made)
            outcome = (semi_supervised.train if config.semi else train)(config, data, run, resume=resume)
            if outcome.state == "diverged":
                fix = f'set "train.learning_rate" below {config.train.learning_rate:g}'
                raise InputError(f"a loss or weight diverged at step {outcome.step}, allowed: finite ones; {fix}")
            if outcome.verdict and outcome.verdict.bad:
                what = f"{outcome.verdict.name}: {outcome.verdict.evidence}; {outcome.verdict.advice}"
                warnings.warn(what, ConvergenceWarning, stacklevel=3)
            points = data.scaling.undo(data.validation.x[:_POINTS])
            points = points.reshape(len(points), math.prod(data.shape))
            points = points[np.isfinite(points).all(1)]
            self._adopt(run, points if len(points) else None)
            if out is not None:
                self._describe(folder, choose=True)
        except BaseException:
            if out is not None and [made] < run.checkpoint_steps()[-1:]:
                self._describe(folder, choose=False)
            elif remove is None:
                shutil.rmtree(folder, ignore_errors=True)
            else:
                remove()
            raise
        self._remove = remove
        if remove_last is not None:
            remove_last()
        return self

    def _adopt(self, run: Run, validation: FloatArray | None) -> None:
        """Make a run's last checkpoint what samples are drawn from."""
        self.run_, self.config_, self.n_steps_ = run.path, run.config(), run.checkpoint_steps()[-1]
        self._validation, self._windows, self._widths = validation, {}, {}

    def _temporary(self) -> tuple[Path, Callable[[], object]]:
        """Make a place for a run, alone in a folder that goes with the estimator, or before on call."""
        folder = Path(tempfile.mkdtemp(prefix="advnets-"))
        return folder / "run", weakref.finalize(self, shutil.rmtree, folder, ignore_errors=True)

    def _draw(self, count: int, name: str, seed: int) -> FloatArray:
        """Draw samples in the nets' layout, pixels in [0, 1]."""
        return load_sampler(Run(self.run_)).draw(whole(count, name), seed)

    def _describe(self, folder: Path, *, choose: bool) -> None:
        """Write estimator.json, with no bandwidth where none was asked for or none is best."""
        width = None
        with contextlib.suppress(NotMeasurable):
            width = self.parzen().bandwidth_ if choose else None
        parameters = self.get_params(deep=False)
        if not isinstance(self.random_state, Integral | None):
            parameters["random_state"] = Run(folder).config().seed
        content = {"format": 1, "parameters": parameters, "form": to_json(self._form), "bandwidth": width}
        content |= {
            "feature_names": getattr(self, "feature_names_in_", None),
            "classes": getattr(self, "classes_", None),
        }
        with reporting(f"cannot write {folder / _FILE}"):
            write_json(folder / _FILE, plain(content))


def _sized(config: Config, data: DataSet) -> Config:
    """Size nets from the data, as `advnets train ARRAY` does."""
    sized = recipes.auto(config, data.shape, len(data.train.x), unit=data.scaling.kind == "unit")
    masked = config.condition is not None and config.condition.kind == "masks"
    return recipes.completion(sized, data.shape) if masked else sized


def _note_data(run: Run, data: DataSet, step: int) -> None:
    """Make other data the data of a run, and write down until which step it had which."""
    content = run.read()
    before = content["data"]
    if before["fingerprint"] != data.fingerprint:
        earlier = [*before.get("earlier", []), {"fingerprint": before["fingerprint"], "until_step": step}]
        sizes = {"train": len(data.train.x), "validation": len(data.validation.x)}
        before |= {**sizes, "fingerprint": data.fingerprint, "earlier": earlier}
        write_json(run.path / "config.json", content)


def _copy(source: Path, target: Path) -> None:
    with reporting(f"cannot copy {source} to {target}"):
        shutil.copytree(source, target, ignore=shutil.ignore_patterns(".lock", _FILE), dirs_exist_ok=True)
