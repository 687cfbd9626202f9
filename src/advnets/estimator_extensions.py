"""What AdversarialNets does beside sampling and scoring (section 7 of the paper), and the units of X that all share."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

import numpy as np
from numpy.typing import ArrayLike, NDArray
from sklearn.exceptions import NotFittedError
from sklearn.utils.validation import check_is_fitted

from advnets.config import Config
from advnets.data.arrays import arrange
from advnets.data.dataset import FloatArray, Scaling
from advnets.data.scaling import contrast
from advnets.extensions import encoder_fit, inference
from advnets.extensions.encoder import InferenceConfig
from advnets.pictures import channels_last
from advnets.runs import Run


@dataclass(frozen=True)
class Form:
    """What X was in fit: shape of an example, number that stands for a white pixel, whether pixels were bytes."""

    shape: tuple[int, ...]
    white: float | None
    bytes: bool


class Extended:
    """The part of AdversarialNets that needs further nets, trained after fit."""

    run_: Path
    config_: Config
    _form: Form

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
        x = x if x.shape[1:] == form.shape else channels_last(x).reshape(-1, *form.shape)
        x = x * np.float32(form.white or 1)
        return np.clip(np.rint(x), 0, 255).astype(np.uint8) if form.bytes else x

    def _validated(self, X: ArrayLike, *, fewest: int, reset: bool) -> NDArray[Any]:
        raise NotImplementedError
