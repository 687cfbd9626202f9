"""What codes are worth: against brute force, scikit-learn, and encoders whose worth is known."""

import numpy as np
import pytest
import torch
from sklearn.neighbors import KNeighborsClassifier

from advnets.config import DataConfig, NoiseConfig
from advnets.data import load
from advnets.data.dataset import DataSet, Scaling, Split
from advnets.extensions import codes
from advnets.extensions.encoder import Halves
from advnets.extensions.inference import Inference


class Times(torch.nn.Module):
    def __init__(self, factor: float) -> None:
        super().__init__()
        self.factor = torch.nn.Parameter(torch.tensor(factor))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.factor * x


def inference(factor: float) -> Inference:
    """G doubles z, and E multiplies by `factor`: 1/2 is right."""
    return Inference(NoiseConfig("gaussian", 5), Halves(torch.nn.Identity(), Times(2.0), 5, None), Times(factor))


def vectors(count: int = 200, seed: int = 0) -> DataSet:
    x = np.random.default_rng(seed).normal(1, 1, (count, 5)).astype(np.float32)
    parts = [Split(part, (part[:, 0] > 1).astype(np.int64)) for part in (x[:100], x[100:120], x[120:])]
    return DataSet("vectors", *parts, Scaling("none", np.array(0.0), np.array(1.0)), ("low", "high"), "", "")


def test_recovery_is_perfect_half_and_absent_where_it_should_be():
    perfect, none = codes.recovery(inference(0.5)), codes.recovery(inference(0.0))
    assert perfect.latent_mse < 1e-12 and perfect.correlation == pytest.approx(1)
    assert none.latent_mse == pytest.approx(1, abs=0.03) and none.correlation == 0
    scaled = codes.recovery(inference(0.25))
    assert scaled.correlation == pytest.approx(1) and scaled.latent_mse == pytest.approx(none.latent_mse / 4, rel=1e-5)


def test_correlation_is_numpys_and_nothing_where_there_is_none():
    random = np.random.default_rng(0)
    x = random.normal(size=(50, 3)).astype(np.float32)
    y = (x + random.normal(size=x.shape)).astype(np.float32)
    expected = [np.corrcoef(x[:, unit], y[:, unit])[0, 1] for unit in range(3)]
    np.testing.assert_allclose(codes.correlation(x, y), expected, rtol=1e-6)
    y[:, 1] = 7
    assert codes.correlation(x, y)[1] == 0


def test_errors_of_reconstruction_and_of_what_needs_no_encoder():
    data = vectors()
    x = data.test.x
    assert codes.reconstruction_mse(inference(0.5), x) < 1e-12
    assert codes.reconstruction_mse(inference(0.0), x) == pytest.approx(np.square(x, dtype=np.float64).mean())
    found = codes.baselines(inference(0.5), data, x, samples=300)
    assert found["mean_image"] == pytest.approx(np.square(x - data.train.x.mean(0)).mean(), rel=1e-5)
    samples = inference(0.5).draw(300, seed=1)[1]
    squares = np.square(x[:, None] - samples[None]).mean(2).min(1)
    assert found["nearest_sample"] == pytest.approx(squares.mean(), rel=1e-5)


def test_nearest_neighbour_accuracy_by_brute_force_and_without_the_unlabelled():
    random = np.random.default_rng(1)
    points, queries = (random.normal(size=(count, 4)).astype(np.float32) for count in (60, 40))
    labels, asked = (random.integers(-1, 3, count) for count in (60, 40))
    right = total = 0
    for query, label in zip(queries, asked, strict=True):
        if label >= 0:
            squares = np.where(labels >= 0, [np.square(point - query).sum() for point in points], np.inf)
            right, total = right + (labels[int(np.argmin(squares))] == label), total + 1
    assert codes.nearest_neighbour_accuracy(points, labels, queries, asked) == right / total


def test_digits_are_classified_as_scikit_learn_does():
    data = load(DataConfig("digits"))
    x = np.concatenate([data.train.x, data.validation.x]).reshape(-1, 64)
    y = np.concatenate([data.train.labels, data.validation.labels])
    test = data.test.x.reshape(-1, 64)
    expected = KNeighborsClassifier(1, algorithm="brute").fit(x, y).score(test, data.test.labels)
    assert codes.nearest_neighbour_accuracy(x, y, test, data.test.labels) == pytest.approx(expected, abs=1e-12)
    assert expected > 0.95


def test_feature_accuracy_takes_all_that_is_not_test_and_nothing_without_labels():
    data = vectors()
    found = codes.feature_accuracy(inference(0.5), data)
    assert found is not None and found["points"] == 120 and found["queries"] == 80
    assert found["codes"] == found["raw"] > 0.6  # codes are x/2: the same neighbours
    bare = DataSet(
        "bare", *(Split(part.x) for part in (data.train, data.validation, data.test)), data.scaling, (), "", ""
    )
    assert codes.feature_accuracy(inference(0.5), bare) is None
