import math

import pytest
import torch
from scipy import stats

from advnets import noise
from advnets.config import NoiseConfig
from advnets.seeds import stream


def draw(config, count=4000, seed=0):
    return noise.draw(config, count, stream(seed, "test"))


@pytest.mark.parametrize(
    ("config", "law"),
    [
        (NoiseConfig("uniform", 5), stats.uniform(-math.sqrt(3), 2 * math.sqrt(3))),
        (NoiseConfig("uniform", 5, low=-1.0, high=3.0), stats.uniform(-1, 4)),
        (NoiseConfig("gaussian", 5), stats.norm(0, 1)),
    ],
)
def test_follows_its_law(config, law):
    z = draw(config)
    assert z.shape == (4000, 5)
    for column in z.T:
        assert stats.kstest(column.numpy(), law.cdf).pvalue > 1e-3


def test_default_uniform_has_unit_variance():
    assert draw(NoiseConfig("uniform", 50)).var().item() == pytest.approx(1.0, abs=0.01)


def test_spherical_covers_the_unit_sphere_evenly():
    z = draw(NoiseConfig("spherical", 3))
    torch.testing.assert_close(z.norm(dim=1), torch.ones(4000))
    # Archimedes: on the sphere in three dimensions every coordinate is uniform on [−1, 1].
    assert stats.kstest(z[:, 0].numpy(), stats.uniform(-1, 2).cdf).pvalue > 1e-3


@pytest.mark.parametrize("kind", ["uniform", "gaussian", "spherical"])
def test_is_a_function_of_the_seed(kind):
    config = NoiseConfig(kind, 4)
    assert torch.equal(draw(config, 10, 1), draw(config, 10, 1))
    assert not torch.equal(draw(config, 10, 1), draw(config, 10, 2))


def test_streams_of_one_seed_differ_by_purpose_and_index():
    draws = [torch.rand(8, generator=stream(3, *key)) for key in (("a",), ("b",), ("a", 1))]
    assert all(not torch.equal(x, y) for i, x in enumerate(draws) for y in draws[:i])


def test_does_not_touch_the_global_generator():
    before = torch.get_rng_state()
    draw(NoiseConfig("spherical", 3))
    assert torch.equal(before, torch.get_rng_state())


@pytest.mark.parametrize(
    "config", [NoiseConfig("uniform", 4, low=1.0, high=5.0), NoiseConfig("gaussian", 4), NoiseConfig("spherical", 4)]
)
def test_truncated_noise_keeps_its_mean_and_a_share_of_its_deviation(config):
    z = draw(config)
    half = noise.truncated(z, config, 0.5)
    torch.testing.assert_close(half.std(0), z.std(0) / 2)
    torch.testing.assert_close(half.mean(0), z.mean(0), atol=0.06, rtol=0)
    assert noise.truncated(z, config, 1.0) is z
    assert noise.truncated(z, config, 0.0).unique().numel() == 1
