"""Runs side by side are what each is alone."""

import dataclasses

import pytest
import torch
from lightning_fabric import Fabric
from semi_ensemble import Ensemble

from advnets import recipes
from advnets.data import load
from advnets.extensions.classifier import errors, probabilities
from advnets.extensions.semi_step import move, new_game

BASE = recipes.get("digits-semi-supervised")
CONFIG = dataclasses.replace(
    BASE,
    train=dataclasses.replace(BASE.train, batch_size=40, decay_per_update=1.01),
    semi=dataclasses.replace(BASE.semi, hidden=(24, 16), generator_hidden=(16, 12)),
)


@pytest.fixture(scope="module")
def digits():
    return load(CONFIG.data)


@pytest.mark.parametrize("count", [20, 50, 80])
def test_one_run_of_an_ensemble_makes_the_steps_of_a_run_alone(digits, count):
    alone = dataclasses.replace(CONFIG, seed=3, semi=dataclasses.replace(CONFIG.semi, labels=count))
    game = new_game(alone, digits, Fabric(accelerator="cpu", devices=1))
    ensemble = Ensemble(CONFIG, digits, [(count, 3)], "cpu")
    for _ in range(20):  # past an epoch of the labelled and of the unlabelled ones
        move(game)
        ensemble.move()
    for net, weights in ((game.discriminator.net, ensemble.d), (game.generator.net, ensemble.g)):
        for name, parameter in net.named_parameters():
            torch.testing.assert_close(weights[name][0], parameter, atol=2e-3, rtol=0, msg=lambda t, n=name: n + t)
    torch.testing.assert_close(ensemble.sums[:, 0], game.sums[[0, 1, 2]], rtol=1e-3, atol=0)
    p = probabilities(game.average, digits.test.x)
    assert abs(probabilities(ensemble.net(0), digits.test.x.reshape(300, -1)) - p).max() < 0.01
    found = errors(lambda x: probabilities(ensemble.net(0), x), digits.test)
    assert ensemble.errors(digits.test) == [found.wrong]


def test_no_run_of_an_ensemble_knows_the_others(digits):
    one, two = (Ensemble(CONFIG, digits, [(40, 3), other], "cpu") for other in ((40, 4), (20, 5)))
    for _ in range(5):
        one.move()
        two.move()
    for name in one.d:
        torch.testing.assert_close(one.d[name][0], two.d[name][0], atol=1e-6, rtol=1e-6)
        assert name == "layers.0.scale" or not torch.equal(one.d[name][1], two.d[name][1])
