"""The 8x8 digits inside scikit-learn."""

import numpy as np

from advnets.config import DataConfig
from advnets.data.splits import Raw, cut

HELD_OUT = 300


def read(config: DataConfig) -> Raw:
    """Return the 1,797 digits of scikit-learn, pixels 0..16, as 1,197 / 300 / 300 images in a fixed shuffled order."""
    from sklearn.datasets import load_digits

    digits = load_digits()
    images = digits.images.astype(np.uint8)[:, None]
    train, validation, test = cut(images, digits.target.astype(np.int64), HELD_OUT)
    names = tuple(str(digit) for digit in range(10))
    return Raw(train, validation, test, 16.0, "unit", "inside scikit-learn", names)
