"""What AdversarialNets does beside sampling and scoring (section 7 of the paper), and the units of X that all share."""

from collections.abc import Callable
from pathlib import Path
from typing import Any, Self

import numpy as np
from numpy.typing import ArrayLike, NDArray
from sklearn.exceptions import NotFittedError
from sklearn.utils.validation import check_is_fitted

from advnets import recipes
from advnets.config import Config
from advnets.data.arrays import arrange
from advnets.data.dataset import FloatArray, Scaling
from advnets.data.scaling import contrast
from advnets.errors import InputError
from advnets.estimator_data import Form
from advnets.estimator_settings import seed_of, whole
from advnets.extensions import encoder_fit, inference
from advnets.extensions.classifier import Probabilities
from advnets.extensions.completing import Mask
from advnets.extensions.encoder import InferenceConfig
from advnets.extensions.semi_supervised import load_classifier
from advnets.runs import Run
from advnets.sampling import load_sampler


class NotOffered(InputError, AttributeError):  # noqa: N818  # hasattr says no, as scikit-learn asks
    """A method that the recipe has no use for: one line that says which recipes have."""


class Extended:
    """The part of AdversarialNets that fills in, tells classes, or needs further nets, trained after fit."""

    recipe: str
    run_: Path
    config_: Config
    classes_: NDArray[Any]
    _form: Form

    def complete(
        self,
        X: ArrayLike,
        mask: str | ArrayLike | None = None,
        n: int = 1,
        random_state: int | np.random.RandomState | None = None,
        truncation: float = 1.0,
    ) -> NDArray[Any]:
        """Fill in what the mask hides of X, or what is NaN in it, as `advnets complete` does.

        mask: half, left, right, top, bottom, block or random:SHARE, or an array, 1 where known and 0 where not, of
        X's shape or of one example; None takes what is NaN. Returns X's shape for n = 1, else (examples, n, *shape), in
        X's units, what is known as in X, bit for bit. truncation: 1 for draws, down to 0 for the one completion in the
        middle of the noise. Raises InputError for a model that did not learn from masks.
        """
        check_is_fitted(self)
        config, form = self.config_, self._form
        if config.condition is None or config.condition.kind != "masks":
            allowed = 'one of mnist-completion or digits-completion, or of settings {"condition.kind": "masks"}'
            raise InputError(f"a model of {config.recipe} does not fill in, allowed: {allowed}; fit one")
        scaling, seed = self._scaling(), seed_of(random_state)
        if scaling.kind == "contrast":
            raise InputError("data.scaling is contrast, which needs whole images, allowed: unit, standard; fit anew")
        given = mask if mask is None or isinstance(mask, str) else np.asarray(mask)
        if isinstance(given, np.ndarray) and _is_last(form) and given.shape[-3:] == form.shape:
            given = np.moveaxis(given, -1, -3)
        x = arrange(self._validated(X, fewest=1, reset=False), "X", missing="all")
        wanted = Mask(given).of(x, form.white or 1.0, seed)
        made = wanted.completed(load_sampler(Run(self.run_)), whole(n, "n"), seed, truncation)
        made = self._laid_out(made)
        return made[0] if n == 1 else np.ascontiguousarray(made.swapaxes(0, 1))

    @property
    def predict_proba(self) -> Callable[[ArrayLike], Probabilities]:
        """Return p(class | x) of the examples of X, (n, classes), in the order of `classes_`; see `predict`."""
        self._require_classifier("predict_proba")
        return self._probabilities

    @property
    def predict(self) -> Callable[[ArrayLike], NDArray[Any]]:
        """Return the class (n,) of each example of X, by the averaged D of a semi-supervised recipe; others have none.

        Of y the labels given are used, all and no others; -1 stands for none.
        """
        self._require_classifier("predict")
        return self._classes

    def _require_classifier(self, name: str) -> None:
        fitted = getattr(self, "config_", None) or getattr(recipes.RECIPES.get(self.recipe), "config", None)
        if fitted is None or fitted.semi is None:
            able = ", ".join(one for one, recipe in recipes.RECIPES.items() if recipe.config.semi)
            raise NotOffered(f"recipe {self.recipe} has no {name}, allowed: {able}; fit one of these with labels y")

    def _classes(self, X: ArrayLike) -> NDArray[Any]:
        numbers = self._probabilities(X).argmax(1)
        found: NDArray[Any] = self.classes_[numbers]
        return found

    def _probabilities(self, X: ArrayLike) -> Probabilities:
        check_is_fitted(self)
        return load_classifier(Run(self.run_))(self._for_nets(X))

    def fit_inference(
        self, X: ArrayLike | None = None, *, steps: int = 5000, target: str = "z", reconstruction: float = 0.0
    ) -> Self:
        """Train an encoder E of the fitted generator on fresh pairs (z, G(z)), by ‖E(G(z)) − z‖²; see `encode`.

        `target` may name a hidden layer of G instead of z, "hidden-1", "hidden-2", …; `reconstruction` is the weight of
        ‖G(E(x)) − x‖² for the examples of X, in the loss. E is kept in the run folder, and has to be trained anew after
        `fit` and `partial_fit`. Raises InputError for settings that do not fit.
        """
        check_is_fitted(self)
        settings = InferenceConfig(
            steps=steps, target=target, reconstruction=float(reconstruction), seed=self.config_.seed
        )
        encoder_fit.fit(Run(self.run_), settings, None if X is None else self._for_nets(X), refit=True)
        return self

    def encode(self, X: ArrayLike) -> NDArray[np.float32]:
        """Predict the noise (n, dimension), or hidden units, of which the generator would make the examples of X."""
        return self._inference().encode(self._for_nets(X))

    def reconstruct(self, X: ArrayLike) -> NDArray[Any]:
        """Return G(E(x)) for the examples x of X, in the shape and units that `sample` has."""
        inverse = self._inference()
        return self._in_units(self._scaling().undo(inverse.decode(inverse.encode(self._for_nets(X)))))

    def _inference(self) -> inference.Inference:
        check_is_fitted(self)
        if not inference.has_encoder(Run(self.run_)):
            raise NotFittedError("there is no encoder yet, allowed: a model that has one; call fit_inference first")
        return inference.load_inference(Run(self.run_))

    def _scaling(self) -> Scaling:
        run = Run(self.run_)
        return Scaling.from_json(run.read().get("data", {}).get("scaling"), run.shape())

    def _for_nets(self, X: ArrayLike) -> FloatArray:
        """Bring X to the layout and units in which the nets see it."""
        return self._scaling().apply(np.asarray(self._in_scored_units(X), np.float32))

    def _in_scored_units(self, X: ArrayLike) -> NDArray[Any]:
        """Check X and bring pixels to [0, 1], or images to their contrast; leave vectors as they are."""
        x = arrange(self._validated(X, fewest=1, reset=False), "X")
        data = self.config_.data
        return contrast(x, data.contrast_scale) if data.scaling == "contrast" else x / (self._form.white or 1.0)

    def _in_units(self, x: FloatArray) -> NDArray[Any]:
        """Bring what the generator makes, pixels in [0, 1], to the shape and units of X in fit."""
        form = self._form
        x = self._laid_out(x) * np.float32(form.white or 1)
        return np.clip(np.rint(x), 0, 255).astype(np.uint8) if form.bytes else x

    def _laid_out(self, x: NDArray[Any]) -> NDArray[Any]:
        """Bring examples, whatever axes are before theirs, from the nets' layout to that of X."""
        shape = self._form.shape
        if x.shape[-len(shape) :] == shape and len(shape) != 2:
            return x
        lead = x.shape[:-3]
        return np.ascontiguousarray(np.moveaxis(x, -3, -1)).reshape(*lead, *shape)

    def _validated(self, X: ArrayLike, *, fewest: int, reset: bool) -> NDArray[Any]:
        raise NotImplementedError


def _is_last(form: Form) -> bool:
    """Whether channels are the last axis of X."""
    return len(form.shape) == 3 and form.shape[0] not in (1, 3)
