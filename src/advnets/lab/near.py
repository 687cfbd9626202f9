"""The training examples nearest to a sample, beside how near those held out from training have theirs."""

import threading

import numpy as np
from numpy.typing import NDArray

from advnets.data.dataset import DataSet, FloatArray
from advnets.errors import InputError
from advnets.evaluation.neighbours import nearest
from advnets.lab import widgets
from advnets.lab.shelf import Shelf

FOUND = 3
_HELD_OUT = 200
_MOST = 60_000_000  # numbers of training data that are searched


class Near:
    """What is nearest in the data of the runs of a shelf."""

    def __init__(self, shelf: Shelf) -> None:
        self.shelf = shelf
        self._usual: dict[str, float] = {}
        self._lock = threading.Lock()

    def shown(self, run: str | None, x: FloatArray, among: FloatArray | None = None) -> str:
        """Show the examples nearest to a sample x of a run, in the units of `advnets sample`."""
        try:
            data = self.shelf.data(run)
        except InputError as error:
            return widgets.refusal(error)
        train = rows(data.train.x, data)
        if train.size > _MOST or not data.is_whole:
            return widgets.words("Nearest training examples: not searched for, the data are too large or have gaps.")
        found = nearest(np.ascontiguousarray(x.reshape(1, -1), np.float32), train, min(FOUND, len(train)))
        stretch = data.scaling.kind == "contrast"
        shown = [
            (
                widgets.sample(train[one].reshape(x.shape), f"Training example {one}", stretch=stretch, among=among),
                f"{far:.3g} apart",
            )
            for one, far in zip(found.indices[0], found.distances[0], strict=True)
        ]
        usual = f"An example held out from training is {self.usual(data, train):.3g} from its nearest, in the median."
        return widgets.words(f"Nearest training examples. {usual}") + widgets.figures(*shown)

    def usual(self, data: DataSet, train: NDArray[np.float32]) -> float:
        """Median distance from held-out examples to the nearest training example."""
        with self._lock:
            if data.fingerprint not in self._usual:
                held_out = rows(data.validation.x[:_HELD_OUT], data)
                self._usual[data.fingerprint] = float(np.median(nearest(held_out, train, 1).distances))
            return self._usual[data.fingerprint]


def rows(x: FloatArray, data: DataSet) -> NDArray[np.float32]:
    """Return examples as rows in the units of `advnets sample`."""
    return np.ascontiguousarray(data.scaling.undo(x).reshape(len(x), -1), np.float32)
