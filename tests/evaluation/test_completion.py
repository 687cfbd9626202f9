"""What measures of completions say of fills whose errors are known."""

import dataclasses
import math

import numpy as np
import pytest
import torch

from advnets import masks
from advnets.config import ChainConfig, DataConfig, GSNConfig
from advnets.data import load
from advnets.errors import NotMeasurable
from advnets.evaluation.completion import clamped_fill, completions, mean_fill, nearest_fill, psnr
from advnets.rivals.gsn import GSN
from advnets.sampling import Sampler
from advnets.seeds import stream


@pytest.fixture(scope="module")
def digits():
    return load(DataConfig("digits"))


def test_errors_and_variety_have_their_closed_forms():
    """Errors b + s·ε: rmse √(b² + s²), of the mean of k √(b² + s²/k), diversity s."""
    x = np.random.default_rng(0).random((200, 30), dtype=np.float32)
    known = np.random.default_rng(1).random(x.shape) < 0.5

    def fill(given, known, count, seed):
        assert (given[~known] == 0).all(), "hidden numbers are not told"
        noise = np.random.default_rng(seed).normal(0.3, 0.4, (count, *x.shape))
        return np.where(known, x, x + noise)

    found = completions(fill, x, known, each=10)
    assert math.isclose(found.rmse, 0.5, rel_tol=0.02) and math.isclose(found.diversity, 0.4, rel_tol=0.02)
    assert math.isclose(found.rmse_mean, math.sqrt(0.09 + 0.016), rel_tol=0.03)
    assert math.isclose(found.psnr, -20 * math.log10(found.rmse)) and found.agreement is None
    assert psnr(0.1) == pytest.approx(20) and psnr(0.0) == math.inf
    with pytest.raises(NotMeasurable, match="nothing is hidden"):
        completions(fill, x, np.ones_like(known))


def test_the_nearest_is_that_of_a_search_by_hand_over_what_is_known(digits):
    train, x = digits.train.x[:300], digits.test.x[:20]
    known = masks.draw(["pixels", "halves"], 20, (1, 8, 8), torch.Generator().manual_seed(0)).numpy() > 0
    made = nearest_fill(train)(x, known, 3, 0)
    for index in range(20):
        there = known[index]
        order = np.argsort([np.square(x[index][there] - one[there]).sum() for one in train], kind="stable")
        apart = [np.square(x[index][there] - made[k, index][there]).sum() for k in range(3)]
        assert apart == [0.0] * 3
        if there.sum() > 10:
            assert np.array_equal(made[0, index][~there], train[order[0]][~there])
    assert np.array_equal(mean_fill(train)(x, known, 3, 0)[0][~known], np.broadcast_to(train.mean(0), x.shape)[~known])


def test_neighbours_beat_the_mean_on_digits(digits):
    known = np.broadcast_to(masks.side("left", (1, 8, 8)).numpy() > 0, digits.test.x.shape)
    near, mean = (completions(f(digits.train.x), digits.test.x, known, each=3) for f in (nearest_fill, mean_fill))
    assert near.psnr_mean > mean.psnr + 1 and near.each == 3 and mean.each == 1 and mean.diversity == 0


def test_a_clamped_chain_holds_what_is_known(digits):
    net = GSN(GSNConfig(hidden=(20,)), 64, torch.full((64,), 0.3), stream(0, "weights"))
    scaling = digits.scaling
    sampler = Sampler(
        dataclasses.replace(_config(), gsn=GSNConfig(hidden=(20,)), chain=ChainConfig()),
        net,
        scaling,
        1,
        "model",
        (1, 8, 8),
    )
    x = digits.test.x[:4]
    known = np.broadcast_to(masks.side("top", (1, 8, 8)).numpy() > 0, x.shape)
    made = clamped_fill(sampler, 5)(x, known, 2, 0)
    assert made.shape == (2, 4, 1, 8, 8) and (made[:, known] == x[known]).all() and not np.array_equal(made[0], made[1])
    with pytest.raises(NotMeasurable, match="no chain to clamp"):
        clamped_fill(dataclasses.replace(sampler, net=torch.nn.Linear(1, 1)))


def _config():
    from advnets import recipes

    return recipes.get("digits")
