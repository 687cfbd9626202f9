import numpy as np
import pytest
from sklearn.datasets import load_digits

from advnets.config import DataConfig
from advnets.data import load
from advnets.data.scaling import contrast


def test_digits() -> None:
    data = load(DataConfig(name="digits"))
    assert [len(split.x) for split in (data.train, data.validation, data.test)] == [1197, 300, 300]
    assert data.shape == (1, 8, 8) and data.source == "inside scikit-learn"
    together = np.concatenate([data.train.x, data.validation.x, data.test.x])
    labels = np.concatenate([data.train.labels, data.validation.labels, data.test.labels])
    official = load_digits()
    order, expected = (np.lexsort(x.reshape(1797, 64).T) for x in (together, official.images))
    np.testing.assert_array_equal(together[order, 0] * 16, official.images[expected])
    np.testing.assert_array_equal(labels[order], official.target[expected])


def test_the_split_of_digits_never_changes() -> None:
    data = load(DataConfig(name="digits"))
    assert data.train.labels is not None
    assert data.train.labels[:12].tolist() == [0, 6, 3, 8, 1, 8, 4, 1, 5, 8, 9, 7]
    assert data.fingerprint[:16] == "66bd20db0f3af8ee"


def test_standardised_images_go_back_to_unit_pixels() -> None:
    unit, standard = (load(DataConfig(name="digits", scaling=kind)) for kind in ("unit", "standard"))
    back = standard.scaling.undo(standard.test.x)
    np.testing.assert_allclose(back, unit.test.x, atol=1e-5)
    varying = unit.train.x.std(axis=0) > 0
    np.testing.assert_allclose(standard.train.x.std(axis=0), varying, atol=1e-4)


def test_undo_leaves_other_kinds_alone() -> None:
    data = load(DataConfig(name="digits"))
    assert data.scaling.undo(data.test.x) is data.test.x


def test_contrast_of_nothing_is_nothing() -> None:
    assert contrast(np.zeros((0, 1, 8, 8)), 55.0).shape == (0, 1, 8, 8)


def test_contrast_scale() -> None:
    data = load(DataConfig(name="digits", scaling="contrast", contrast_scale=3.0))
    flat = data.test.x.reshape(300, -1)
    np.testing.assert_allclose(np.linalg.norm(flat, axis=1), 3, rtol=1e-5)
    np.testing.assert_allclose(flat.mean(axis=1), 0, atol=1e-6)


def test_fingerprints_tell_settings_and_data_apart() -> None:
    settings = [{}, {"scaling": "standard"}, {"scaling": "contrast"}, {"scaling": "contrast", "contrast_scale": 2.0}]
    prints = {load(DataConfig(name="digits", **each)).fingerprint for each in settings}
    prints |= {load(DataConfig(name=name)).fingerprint for name in ("ring", "grid")}
    assert len(prints) == 6
    assert load(DataConfig(name="digits", scaling="unit")).fingerprint in prints


@pytest.mark.parametrize(
    ("name", "scaling"), [("ring", "contrast"), ("ring", "unit"), ("digits", "none"), ("gaussian", "contrast")]
)
def test_senseless_scalings_are_refused(name: str, scaling: str, refuses) -> None:
    with refuses(f"--data.scaling {scaling}", name):
        load(DataConfig(name=name, scaling=scaling))


def test_size_and_colour_of_arrays() -> None:
    data = load(DataConfig(name="digits", size=16, colour="rgb"))
    assert data.shape == (3, 16, 16)
    assert data.train.x.min() >= 0 and data.train.x.max() <= 1
    grey = load(DataConfig(name="digits", colour="grey"))
    np.testing.assert_array_equal(grey.train.x, load(DataConfig(name="digits")).train.x)


def test_vectors_have_no_size(refuses) -> None:
    with refuses("--data.size", "ring"):
        load(DataConfig(name="ring", size=8))
