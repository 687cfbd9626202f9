"""Adversarial nets as a scikit-learn estimator: fit an array, draw more of its kind, score other examples."""

import contextlib
import json
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
from sklearn.utils import check_random_state
from sklearn.utils.validation import check_is_fitted, validate_data

from advnets import recipes
from advnets.config import Config, check, flatten, from_json, to_json
from advnets.data.arrays import arrange
from advnets.data.dataset import DataSet, FloatArray, Scaling
from advnets.data.scaling import scale, scale_as_before, white_of
from advnets.data.splits import FEWEST_EXAMPLES, Part, Raw, shuffled
from advnets.errors import InputError, NotMeasurable
from advnets.estimator_extensions import Extended, Form
from advnets.evaluation.parzen import Grid, ParzenWindow
from advnets.runs import Run, read_json, reporting, write_json
from advnets.sampling import load_sampler
from advnets.training import train

_FILE = "estimator.json"  # beside the run's own files: what they do not tell
_NAME = "(array)"  # of the data in config.json: neither a path nor a data set, so that no others are read by mistake
_MOST = 1_000_000  # centres that a file may ask for
_POINTS = 1000  # held-out examples that choose the bandwidth, as in advnets evaluate
_DIMMEST = 64  # whole numbers that stay below count as grey levels of another range than 0..255
_DECIDED = {"recipe", "seed", "train.steps", "train.device", "data.name", "data.size", "data.colour", "data.fold"}


class AdversarialNets(Extended, DensityMixin, BaseEstimator):  # type: ignore[misc]  # scikit-learn ships no types
    """A generator G and a discriminator D, trained on X by Algorithm 1 or as the released code does.

    X holds images (n, h, w), (n, h, w, c) or (n, c, h, w), with c 1 or 3 and pixels in [0, 1] or 0..255, or vectors
    (n, d). A tenth of it (the setting data.held_out) is kept from training, to choose the bandwidth of scores.

    recipe: "auto", nets sized from X, or a preset whose nets and training are put to X (see `advnets recipes`).
    steps: updates of G in `fit`, and more of them in each `partial_fit`; None takes the recipe's number.
    settings: other settings by dotted name, as {"train.learning_rate": 0.05}; messages say --train.learning_rate.
    n_centres, bandwidth: samples, and bandwidth or how to choose it, of the Parzen window that scores.
    device: "auto", "cpu", "cuda" or "mps". random_state: seed of training and of the window's samples.

    After `fit`: `run_` (the run folder), `config_`, `n_steps_`, `n_features_in_` (numbers in an example), and
    `feature_names_in_` where X has names. Goodfellow et al. (2014), Algorithm 1 and section 5.
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

    def fit(self, X: ArrayLike, y: object = None, *, out: str | Path | None = None) -> Self:
        """Train new nets on X in a new run folder: `out`, or a temporary one that goes when the estimator goes.

        Where this raises, by KeyboardInterrupt too, the estimator stays as it was, and `load(out)` opens the last
        checkpoint. Raises InputError for wrong X or settings, and for training that diverges.
        """
        with self._all_or_nothing():
            given = self._validated(X, fewest=FEWEST_EXAMPLES, reset=True)
            x = arrange(given, "X")
            white = white_of(x)
            if x.ndim == 4 and (white is None or (white == 255 and x.max() < _DIMMEST)):
                allowed = f"0 to 1, or whole numbers from 0 to 255 that reach {_DIMMEST}"
                raise InputError(f"X holds pixels {x.min():g} to {x.max():g}, allowed: {allowed}; divide X by white")
            seed = _seed(self.random_state)
            config = self._settled(seed)
            data = scale(_cut(x, white, config.data.held_out), config.data)
            if self.recipe == "auto":
                sized = recipes.auto(config, data.shape, len(data.train.x), unit=data.scaling.kind == "unit")
                config = self._settled(seed, sized)
            pixels = data.scaling.kind == "unit" or (x.ndim == 4 and data.scaling.kind != "contrast")
            in_bytes = pixels and x.dtype == np.uint8 and white == 255
            self._form = Form(given.shape[1:], white if pixels else None, in_bytes)
            return self._train(config, data, out, resume=False)

    def partial_fit(self, X: ArrayLike, y: object = None, *, out: str | Path | None = None) -> Self:
        """Train `steps` more on X in a copy of the run folder, in `out` or a temporary one; the first time, `fit`.

        With the X of before the result is, bit for bit, that of one longer `fit`. Another X, of the same shape and
        units, takes its place: nets, optimisers, counters and scaling stay; minibatches, and the examples that choose
        the bandwidth, come from the new X alone. Of the parameters only `steps` and `device` count. Raises as `fit`.
        """
        if not hasattr(self, "run_"):
            return self.fit(X, out=out)
        with self._all_or_nothing():
            x = arrange(self._validated(X, fewest=FEWEST_EXAMPLES, reset=False), "X")
            wanted, run = self._settled(seed=0).train, Run(self.run_)
            steps = {"train.steps": self.n_steps_ + wanted.steps, "train.device": wanted.device}
            config = _override(run.config(), steps)
            raw = _cut(x, self._form.white or white_of(x), config.data.held_out)
            before = run.read()["data"]
            data = scale_as_before(raw, config.data, Scaling.from_json(before["scaling"]), before["fingerprint"])
            return self._train(config, data, out, resume=True)

    def sample(self, n_samples: int = 1, random_state: int | np.random.RandomState | None = None) -> NDArray[Any]:
        """Draw samples in the shape and units of X, by averaged weights where the recipe keeps them.

        They are uint8 where X held uint8 pixels up to 255, float32 otherwise; contrast-normalised images stay
        normalised. Equal seeds draw equal samples, those of `advnets sample --seed`.
        """
        check_is_fitted(self)
        return self._in_units(self._draw(n_samples, "n_samples", _seed(random_state)))

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

        Made on first use and kept until `n_centres` or `bandwidth` change. Raises NotMeasurable where no width is best.
        """
        check_is_fitted(self)
        asked = str(_plain([self.n_centres, self.bandwidth]))
        if asked not in self._windows:
            width = self._widths.get(asked, self.bandwidth)
            if self._validation is None and not isinstance(width, Real):
                allowed = "the bandwidth and n_centres of save, or a number; set one of these, or call partial_fit"
                raise InputError(f"bandwidth {width!r} lacks held-out examples, which save omits, allowed: {allowed}")
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
        white = self._form.white
        if white and (x.min() < 0 or x.max() > white or (white > 1 and 0 < x.max() <= 1)):
            found = f"{x.min():g} to {x.max():g}"
            raise InputError(f"X holds pixels from {found}, allowed: 0 to {white:g}, as in fit; rescale X")
        return x

    def _settled(self, seed: int, sized: Config | None = None) -> Config:
        """Put the parameters on the recipe's configuration, or on the one that auto has sized."""
        games = [name for name, recipe in recipes.RECIPES.items() if recipe.config.of_x_alone]
        if self.recipe not in ("auto", *games):
            raise InputError(f"recipe is {self.recipe!r}, allowed: auto, {', '.join(games)}; name one")
        base = sized or (Config("auto") if self.recipe == "auto" else recipes.get(self.recipe))
        if not isinstance(self.settings, Mapping | None):
            example = '{"train.learning_rate": 0.05}'
            raise InputError(f"settings is {self.settings!r}, allowed: None or a mapping; write settings={example}")
        if unknown := [name for name in self.settings or () if name in _DECIDED or name not in flatten(base)]:
            allowed = "what advnets train --dry-run lists, but for what parameters or X decide"
            raise InputError(f"settings name {unknown[0]!r}, allowed: {allowed}; rename it or leave it out")
        decided = {"train.device": self.device, "seed": seed, "data.name": _NAME}
        steps = {} if self.steps is None else {"train.steps": self.steps}
        return _override(base, {**(self.settings or {}), **decided, **steps})

    def _train(self, config: Config, data: DataSet, out: str | Path | None, *, resume: bool) -> Self:
        """Train in a new folder, which takes the place of the one before once all went well."""
        folder, remove = self._temporary() if out is None else (Path(out).absolute(), None)
        run, remove_last, made = Run(folder), self._remove, self.n_steps_ if resume else 0
        run.require_free()
        try:
            if resume:
                _copy(self.run_, folder)
                _note_data(run, data, made)
            outcome = train(config, data, run, resume=resume)
            if outcome.state == "diverged":
                fix = f'set "train.learning_rate" below {config.train.learning_rate:g}'
                raise InputError(f"a loss or weight diverged at step {outcome.step}, allowed: finite ones; {fix}")
            if outcome.verdict and outcome.verdict.bad:
                what = f"{outcome.verdict.name}: {outcome.verdict.evidence}; {outcome.verdict.advice}"
                warnings.warn(what, ConvergenceWarning, stacklevel=3)
            points = data.scaling.undo(data.validation.x[:_POINTS])
            self._adopt(run, points.reshape(len(points), -1))
            if out is not None:
                self._describe(folder, choose=True)
        except BaseException:
            if out is not None and [made] < run.checkpoint_steps()[-1:]:
                self._describe(folder, choose=False)
            else:
                shutil.rmtree(folder, ignore_errors=True)
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
        """Make a folder that goes with the estimator, or before on call."""
        folder = Path(tempfile.mkdtemp(prefix="advnets-"))
        return folder, weakref.finalize(self, shutil.rmtree, folder, ignore_errors=True)

    def _draw(self, count: int, name: str, seed: int) -> FloatArray:
        """Draw samples in the nets' layout, pixels in [0, 1]."""
        if not isinstance(count, Integral) or count < 1:
            raise InputError(f"{name} is {count!r}, allowed: a whole number, 1 or more; set {name}")
        return load_sampler(Run(self.run_)).draw(int(count), seed)

    def _describe(self, folder: Path, *, choose: bool) -> None:
        """Write estimator.json, with no bandwidth where none was asked for or none is best."""
        width = None
        with contextlib.suppress(NotMeasurable):
            width = self.parzen().bandwidth_ if choose else None
        parameters = self.get_params(deep=False)
        if not isinstance(self.random_state, Integral | None):
            parameters["random_state"] = Run(folder).config().seed
        content = {"format": 1, "parameters": parameters, "form": to_json(self._form), "bandwidth": width}
        content["feature_names"] = getattr(self, "feature_names_in_", None)
        with reporting(f"cannot write {folder / _FILE}"):
            write_json(folder / _FILE, _plain(content))


def _override(config: Config, settings: Mapping[str, Any]) -> Config:
    """Put settings by dotted name on a configuration; raises InputError for values that are not allowed."""
    content = to_json(config)
    for name, value in settings.items():
        *path, last = name.split(".")
        part = content
        for step in path:
            part = part[int(step)] if step.isdigit() else part[step]
        part[last] = _plain(value)
    return check(from_json(Config, content))


def _cut(x: NDArray[Any], white: float | None, share: float) -> Raw:
    """Cut X in a fixed shuffled order, as arrays from files are, into a training and a validation part."""
    order, held_out = shuffled(len(x)), max(1, round(share * len(x)))
    train, validation = Part(x[order[held_out:]]), Part(x[order[:held_out]])
    return Raw(train, validation, Part(x[:0]), white, "unit" if x.ndim == 4 else "standard", _NAME)


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


def _plain(value: Any) -> Any:
    """Turn numpy's numbers and arrays, tuples and the like into what JSON has."""
    return json.loads(json.dumps(value, default=lambda item: item.tolist() if hasattr(item, "tolist") else str(item)))


def _seed(random_state: int | np.random.RandomState | None) -> int:
    """Return a whole number itself, or draw one as scikit-learn does."""
    if isinstance(random_state, Integral):
        return int(random_state)
    return int(check_random_state(random_state).randint(2**31 - 1))
