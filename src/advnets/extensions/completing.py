"""Completions of examples in the user's own units, and what of these is known: by name, by an array, by what is NaN."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from advnets import masks
from advnets.errors import InputError
from advnets.sampling import Sampler
from advnets.seeds import stream

SIDES = ("left", "right", "top", "bottom", "block")
NAMES = ("half", *SIDES, "random")

Array = NDArray[Any]
Images = NDArray[np.float32]


@dataclass(frozen=True)
class Wanted:
    """Examples x (n, *shape) in the user's units, and what of them is known."""

    x: Array
    known: NDArray[np.bool_]
    white: float
    """What stands for 1 in the units of `Sampler.draw`."""
    mask: str

    def completed(self, sampler: Sampler, count: int, seed: int, truncation: float = 1.0) -> Array:
        """Return completions (count, n, *shape) in the units and the kind of number of x, known ones as in x.

        Images of whole numbers stay such; tables of whole numbers become float64.
        """
        unit: NDArray[np.floating] = self.x.astype(
            np.float64 if self.x.dtype.itemsize > 4 or self.x.dtype.kind != "f" else np.float32
        )
        unit = np.divide(unit, self.white, dtype=unit.dtype)
        made = sampler.complete(unit, self.known, count, seed, truncation=truncation) * self.white
        whole = self.x.dtype.kind in "ui" and self.x.ndim == 4
        filled = np.clip(np.rint(made), 0, self.white).astype(self.x.dtype) if whole else made.astype(unit.dtype)
        return np.where(self.known, self.x.astype(filled.dtype), filled)

    def shown(self) -> tuple[Images, Callable[[Array], Images]]:
        """Return the examples in [0, 1], and the way there for completions, example by example."""
        x = np.where(self.known, self.x, np.nan_to_num(self.x)) / self.white
        return x.astype(np.float32), lambda made: (made.swapaxes(0, 1) / self.white).astype(np.float32)


@dataclass(frozen=True)
class Mask:
    """A mask as the user gave it: a name of NAMES, or an array, 1 where a number is known; None takes what is NaN."""

    given: str | Array | None
    called: str = "mask"
    """The option, or the file of the array, in messages."""
    arrays: str = "an array of 0 and 1"
    """What arrays come as."""

    def of(self, x: Array, white: float, seed: int) -> Wanted:
        """Put it on examples x (n, *shape), whose NaN is hidden anyway; raises InputError where it does not fit.

        Where nothing is given and nothing NaN, half of each image is hidden, or half of the numbers of vectors.
        """
        there = np.isfinite(x)
        given = self.given
        if given is None and there.all():
            given = "half" if x.ndim == 4 else "random:.5"
        name = given if isinstance(given, str) else "NaN" if given is None else self.called
        known = there if given is None else there & self._known(given, x.shape, seed)
        if known.all():
            what = f"{self.called} is {given} and" if isinstance(given, str) else self.called
            raise InputError(f"{what} hides nothing, allowed: {self._allowed}; hide some, or give an array with NaN")
        return Wanted(x, known, white, name)

    @property
    def _allowed(self) -> str:
        return f"half, left, right, top, bottom, block, random:SHARE, or {self.arrays}"

    def _known(self, given: str | Array, shape: tuple[int, ...], seed: int) -> NDArray[np.bool_]:
        if not isinstance(given, str):
            return self._of_array(given, shape)
        kind, _, share = given.partition(":")
        random = stream(seed, "masks")
        if kind == "random":
            shares = torch.full(shape[:1], self._share(given, share))
            return masks.hidden_share(shares, shape[1:], random).numpy() > 0
        if kind not in NAMES:
            raise InputError(f"{self.called} is {given}, allowed: {self._allowed}; set {self.called}")
        if len(shape) != 4:
            raise InputError(
                f"{self.called} is {given} and the run is of vectors, allowed: random:SHARE, or {self.arrays}; set "
                f"{self.called}"
            )
        if kind == "half":
            return masks.draw(["halves"], shape[0], shape[1:], random).numpy() > 0
        return np.broadcast_to(masks.side(kind, shape[1:]).numpy() > 0, shape)

    def _share(self, name: str, share: str) -> float:
        try:
            value = float(share or 0.5)
        except ValueError:
            value = np.nan
        if not 0 < value <= 1:
            raise InputError(
                f"{self.called} is {name}, allowed: random: and a share above 0 and up to 1, as random:.5; set "
                f"{self.called}"
            )
        return value

    def _of_array(self, known: Array, shape: tuple[int, ...]) -> NDArray[np.bool_]:
        """Take a mask of one example for all, or one for each; of pixels, or of every channel."""
        if known.dtype.kind not in "buif" or not np.isin(known, (0, 1)).all():
            raise InputError(
                f"{self.called} holds other numbers than 0 and 1, allowed: 1 where known, 0 where not; threshold it"
            )
        one, pixels = shape[1:], shape[-2:]
        options = {shape: known, one: known[None], pixels: known[None, None], (shape[0], *pixels): known[:, None]}
        if len(shape) == 2:
            options = {one: known[None], shape: known}
        if known.shape not in options:
            raise InputError(
                f"{self.called} is a mask of shape {known.shape}, allowed: {', '.join(map(str, options))}; reshape it"
            )
        return np.broadcast_to(options[known.shape] > 0, shape)
