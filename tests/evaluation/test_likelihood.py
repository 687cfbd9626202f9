import dataclasses
import json

import numpy as np
import pytest
import torch

from advnets import recipes
from advnets.config import DataConfig
from advnets.data import load
from advnets.errors import NotMeasurable
from advnets.evaluation import kept, references
from advnets.evaluation.likelihood import HeldOut, both_grids, flat, likelihood, parzen, validator
from advnets.evaluation.subjects import Subject
from oracles import parzen_log_likelihoods


@pytest.fixture(scope="module")
def digits():
    return load(DataConfig("digits"))


def drawing_from(pool):
    """A generator that draws real examples with replacement, another choice for every seed."""

    def draw(count, seed):
        return pool[np.random.default_rng(seed).choice(len(pool), count)]

    return Subject(draw, DataConfig("digits"), {"run": "none"})


def test_the_score_is_the_mean_over_test_points_with_its_standard_error(digits):
    held_out = HeldOut.of(digits)
    result = likelihood(digits.train.x, held_out, "fine")
    by_hand = parzen_log_likelihoods(flat(digits.train.x).astype(float), held_out.test.astype(float), result.bandwidth)
    assert result.nats == pytest.approx(by_hand.mean(), rel=1e-9)
    assert result.standard_error == pytest.approx(by_hand.std(ddof=1) / np.sqrt(len(by_hand)), rel=1e-9)
    assert (result.centres, result.test_points) == (len(digits.train.x), len(digits.test.x))


def test_the_bandwidth_is_chosen_without_the_test_points(digits):
    held_out = HeldOut.of(digits)
    other = dataclasses.replace(held_out, test=np.random.default_rng(0).random(held_out.test.shape, np.float32))
    chosen = [likelihood(digits.train.x, points, "legacy").bandwidth for points in (held_out, other)]
    assert chosen[0] == chosen[1]


def test_a_legacy_grid_without_an_inside_says_so_beside_the_fine_one():
    ring = load(DataConfig("ring"))
    held_out = HeldOut(flat(ring.validation.x[:300]), flat(ring.test.x[:300]))
    result = both_grids(ring.train.x[:500], [held_out])
    assert result["nats"] > 0
    assert "smallest, 0.1" in result["legacy"]["not_measured"]


def test_redraws_tell_how_far_the_score_varies_and_the_curve_grows_with_the_samples(digits):
    result = parzen(drawing_from(digits.train.x), [HeldOut.of(digits)], samples=400, seed=0, redraws=2)
    assert len({result["nats"], *result["redraws"]["nats"]}) == 3
    assert result["redraws"]["deviation"] == pytest.approx(np.std([result["nats"], *result["redraws"]["nats"]], ddof=1))
    assert [point["centres"] for point in result["curve"]] == [100, 300, 400]
    assert result["curve"][0]["nats"] < result["curve"][-1]["nats"] == result["nats"]


def test_samples_in_a_file_are_not_drawn_again(digits):
    subject = dataclasses.replace(drawing_from(digits.train.x), available=400)
    assert "redraws" not in parzen(subject, [HeldOut.of(digits)], samples=400, seed=0, redraws=2)


def test_references_are_kept_and_a_damaged_file_is_made_anew(digits, tmp_path, monkeypatch):
    monkeypatch.setattr(kept, "cache", lambda: tmp_path)
    rows = references.references(digits, 300)
    assert [*rows] == ["training_images", "kmeans", "gaussian", "gaussian_mixture", "test_images"]
    assert rows["gaussian"]["nats"] < rows["gaussian_mixture"]["nats"] < rows["training_images"]["nats"]
    assert rows["training_images"]["nats"] < rows["test_images"]["nats"]  # the leak that this row is there to show
    for file in (tmp_path / "references").iterdir():
        file.write_text(file.read_text().replace("{", "[", 1))
    assert references.references(digits, 300) == rows
    monkeypatch.setattr(references, "_row", lambda *arguments: pytest.fail("computed again"))
    assert references.references(digits, 300) == json.loads(json.dumps(rows))


def test_the_gaussian_reference_has_the_moments_of_the_training_data(digits):
    train = flat(digits.train.x).astype(float)
    drawn = references.gaussian(train, 40_000, lambda done, total: None)
    np.testing.assert_allclose(drawn.mean(0), train.mean(0), atol=0.01)
    np.testing.assert_allclose(np.cov(drawn.T), np.cov(train.T), atol=0.01)


def test_centroids_are_means_of_what_is_nearest_to_them():
    train = np.concatenate([np.random.default_rng(0).normal(mean, 0.1, (50, 2)) for mean in (0, 5, 9)])
    centroids = references.kmeans(train, 60, lambda done, total: None)
    assert len(centroids) == 60
    nearest = ((train[:, None] - centroids[None]) ** 2).sum(-1).argmin(1)
    moved = [np.linalg.norm(train[nearest == j].mean(0) - centroids[j]) for j in range(60) if (nearest == j).any()]
    assert np.median(moved) < 0.01


def test_there_are_at_most_half_as_many_centroids_as_examples():
    train = np.random.default_rng(0).random((10, 2))
    assert len(references.kmeans(train, 60, lambda done, total: None)) == 5


def test_the_validator_scores_a_generator_on_validation_points_alone(digits):
    config = recipes.get("digits")

    class Copier(torch.nn.Module):
        def __init__(self, pool):
            super().__init__()
            self.pool = torch.nn.Parameter(torch.from_numpy(pool))

        def forward(self, z):
            return self.pool[: len(z)]

    score = validator(config, digits, samples=500)
    real, noise = Copier(digits.train.x), Copier(np.random.default_rng(0).random((1000, 1, 8, 8), np.float32))
    held_out = HeldOut.of(digits)
    expected = likelihood(digits.train.x[:500], HeldOut(held_out.validation, held_out.validation), "fine").nats
    assert score(real) == pytest.approx(expected)
    assert score(noise) < score(real)
    assert score(Copier(np.full((500, 1, 8, 8), np.inf, np.float32))) == -1e30  # below any other


def test_one_point_everywhere_is_a_sentence():
    flat_points = HeldOut(np.ones((5, 3), np.float32), np.ones((5, 3), np.float32))
    with pytest.raises(NotMeasurable, match="one point"):
        likelihood(np.ones((10, 3)), flat_points, "fine")
