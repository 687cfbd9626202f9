"""What a discriminator learned without labels, and classifiers on it."""

import dataclasses

import numpy as np
import pytest
import torch

from advnets import recipes
from advnets.config import Config, DiscriminatorConfig, TrainConfig
from advnets.data import load
from advnets.errors import InputError
from advnets.extensions import features, labels
from advnets.extensions.classifier import errors
from advnets.nets.build import build_discriminator
from advnets.runs import Run
from advnets.seeds import stream
from advnets.training import train

TINY = dataclasses.replace(
    recipes.get("digits"),
    discriminator=DiscriminatorConfig(hidden=(12, 7), pieces=3, init_range=0.1),
    train=TrainConfig(steps=5, batch_size=20, log_every=5, device="cpu"),
)


@pytest.fixture(scope="module")
def digits():
    return load(TINY.data)


def test_features_are_the_hidden_maxout_units_of_all_layers_without_dropout(digits):
    net = build_discriminator(TINY, digits.shape, stream(0, "weights"))
    found = features.hidden_features(net, digits.test.x[:5])
    assert net.training and found.shape == (5, 19)
    x = torch.from_numpy(digits.test.x[:5]).flatten(1)
    for layer, part in zip(net.layers, np.split(found, [12], axis=1), strict=True):
        linear = layer.linear
        pieces = [x @ w.T + b for w, b in zip(linear.weight.chunk(3), linear.bias.chunk(3), strict=True)]
        x = torch.stack(pieces).amax(0)
        np.testing.assert_allclose(part, x.detach().numpy(), rtol=1e-5, atol=1e-6)


def test_the_logit_sees_what_hidden_returns(digits):
    net = build_discriminator(TINY, digits.shape, stream(0, "weights"))
    x = torch.from_numpy(digits.test.x[:5])
    one, two = (torch.Generator().manual_seed(0) for _ in "ab")
    assert torch.equal(net(x, one), net.logit(net.hidden(x, two)[-1]).squeeze(1))


def test_a_run_gives_the_features_of_its_checkpoint(digits, tmp_path):
    run = Run(tmp_path / "run")
    train(TINY, digits, run)
    found = features.load_features(run)(digits.test.x)
    assert found.shape == (300, 19)
    assert not np.allclose(
        found, features.hidden_features(build_discriminator(TINY, digits.shape, stream(0, "weights")), digits.test.x)
    )
    with pytest.raises(InputError, match="no discriminator of x alone in a checkpoint"):
        features.load_features(_begun(tmp_path))


def _begun(folder) -> Run:
    run = Run(folder / "begun")
    run.create(TINY, {"data": {"shape": [1, 8, 8]}})
    return run


def test_only_the_labels_of_these_rows_are_used(digits):
    """With all other labels shuffled, the classifier is the same to the last bit."""
    rows = labels.draw(digits, 50, 10, seed=0)
    mixed = digits.train.labels.copy()
    others = np.setdiff1d(np.arange(len(mixed)), rows)
    mixed[others] = np.random.default_rng(0).permutation(mixed[others])
    shuffled = dataclasses.replace(digits, train=dataclasses.replace(digits.train, labels=mixed))
    one, two = (features.fit_on_features(features.pixels, data, rows) for data in (digits, shuffled))
    assert np.array_equal(one(digits.test.x), two(digits.test.x))


@pytest.mark.parametrize("count", [10, 20, 200])
def test_a_regression_on_pixels_learns_digits_from_few_labels(digits, count):
    classify = features.fit_on_features(features.pixels, digits, labels.draw(digits, count, 10, seed=0))
    p = classify(digits.test.x)
    np.testing.assert_allclose(p.sum(1), 1)
    found = errors(classify, digits.test)
    assert found.n == 300 and found.wrong == (p.argmax(1) != digits.test.labels).sum()
    assert found.share < {10: 0.6, 20: 0.35, 200: 0.12}[count]


def test_the_discriminators_net_learns_from_labels_alone(digits):
    config = Config(discriminator=DiscriminatorConfig(hidden=(64, 64), pieces=3, init_range=0.05))
    rows = labels.draw(digits, 100, 10, seed=0)
    classify = features.fit_from_scratch(config, digits, rows, 10, steps=300)
    again = features.fit_from_scratch(config, digits, rows, 10, steps=300)
    assert np.array_equal(classify(digits.test.x), again(digits.test.x))
    assert errors(classify, digits.test).share < 0.2
