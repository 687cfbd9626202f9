import numpy as np
import pytest
from scipy import stats

from advnets.config import DataConfig
from advnets.data import load, toys


@pytest.mark.parametrize(("name", "count"), [("gaussian", 1), ("bimodal", 2), ("ring", 8), ("grid", 25)])
def test_mixtures_have_their_modes(name: str, count: int) -> None:
    centres, spread = toys.modes(name)
    assert len(np.unique(centres.round(6), axis=0)) == len(centres) == count
    data = load(DataConfig(name=name))
    assert data.scaling.kind == "none" and len(data.class_names) == count
    for split, size in zip((data.train, data.validation, data.test), toys.SIZES, strict=True):
        assert split.x.shape == (size, centres.shape[1]) and split.x.dtype == np.float32
        assert split.labels is not None
        residuals = (split.x - centres[split.labels]) / spread
        assert stats.kstest(residuals.ravel(), "norm").pvalue > 1e-4
        assert count == 1 or stats.chisquare(np.bincount(split.labels, minlength=count)).pvalue > 1e-4
        distances = np.linalg.norm(split.x[:, None] - centres, axis=2)
        if name != "bimodal":  # its modes overlap a little
            np.testing.assert_array_equal(distances.argmin(axis=1), split.labels)


def test_ring_lies_on_the_unit_circle() -> None:
    centres, _ = toys.modes("ring")
    np.testing.assert_allclose(np.linalg.norm(centres, axis=1), 1)
    gaps = np.linalg.norm(centres - np.roll(centres, 1, axis=0), axis=1)
    np.testing.assert_allclose(gaps, 2 * np.sin(np.pi / 8))


def test_uniform() -> None:
    x = load(DataConfig(name="uniform")).train.x
    assert stats.kstest(x.ravel(), stats.uniform(-1, 2).cdf).pvalue > 1e-4


def test_swiss_roll_is_of_about_unit_size() -> None:
    x = load(DataConfig(name="swiss_roll")).train.x
    assert x.shape == (50_000, 2)
    assert 0.7 < x.std() < 1.4


@pytest.mark.parametrize("name", ["ring", "uniform", "swiss_roll"])
def test_the_seed_is_fixed_and_global_states_are_left_alone(name: str) -> None:
    np.random.seed(0)
    before = np.random.get_state()[1].copy()
    one, other = (load(DataConfig(name=name)) for _ in range(2))
    assert one.fingerprint == other.fingerprint
    assert not np.array_equal(one.train.x[:10_000], one.test.x)
    np.testing.assert_array_equal(np.random.get_state()[1], before)


def test_stacked_mnist(data_folder) -> None:
    data = load(DataConfig(name="stacked_mnist"), offline=True)
    digits = load(DataConfig(name="mnist"), offline=True)
    assert data.train.x.shape == (50_000, 3, 28, 28) and data.test.x.shape == (10_000, 3, 28, 28)
    assert data.test.labels is not None and digits.test.labels is not None
    assert len(np.unique(data.train.labels)) == 1000
    known = {image.tobytes(): label for image, label in zip(digits.test.x, digits.test.labels, strict=True)}
    for image, label in zip(data.test.x[:200], data.test.labels, strict=False):
        assert f"{label:03d}" == "".join(str(known[channel.tobytes()]) for channel in image)
        assert data.class_names[label] == f"{label:03d}"


def test_no_modes(refuses) -> None:
    with refuses("uniform", "ring, grid"):
        toys.modes("uniform")
