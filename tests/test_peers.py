"""Other libraries train the nets that ours are: the arms of benchmarks/peers.py."""

import importlib.util
import inspect
import math
import sys

import costs
import numpy as np
import peer_arms
import peers
import pytest
import step
import torch
import tutorial_nets
from torch.utils.flop_counter import FlopCounterMode

from advnets import recipes
from advnets.parameters import parameter_counts

OURS = parameter_counts(recipes.get("mnist"), (1, 28, 28))
IMPORTED = {"vegans": "vegans", "torchgan": "torchgan", "jax": "optax", "jax-fused": "optax", "keras-torch": "keras"}


class EnoughError(Exception):
    pass


class Few:
    """Turns of five steps: vegans takes three minibatches to look at before it begins."""

    def __init__(self):
        self.left = 5

    def start(self, parameters, weights):
        self.parameters, self.weights = parameters, weights
        self.before = weights()

    def step(self, wait=lambda: None):
        if not self.left:
            wait()
            self.after = self.weights()
            raise EnoughError
        self.left -= 1


def images(count=200):
    return np.random.default_rng(0).random((count, 784), dtype=np.float32)


def all_moved(before, after):
    return all(np.isfinite(new).all() and (old != new).any() for old, new in zip(before, after, strict=True))


@pytest.mark.filterwarnings("ignore")  # of libraries that are not ours
@pytest.mark.parametrize("name", peer_arms.ARMS)
def test_every_library_trains_nets_of_as_many_parameters_and_moves_all_of_them(name):
    if importlib.util.find_spec(IMPORTED[name]) is None:
        pytest.skip(f"{IMPORTED[name]} is not installed")
    turns = Few()
    with pytest.raises(EnoughError):
        peer_arms.ARMS[name](images(), turns)
    assert turns.parameters == OURS
    assert all_moved(turns.before, turns.after)


def test_the_tutorials_nets_have_as_many_parameters_and_a_step_moves_all_of_them():
    nets = {"generator": tutorial_nets.generator(), "discriminator": tutorial_nets.discriminator()}
    assert {name: sum(one.numel() for one in net.parameters()) for name, net in nets.items()} == OURS
    block = step.tutorial(torch.from_numpy(images()).view(-1, 1, 28, 28))
    made = inspect.getclosurevars(block).nonlocals
    weights = [one for name in nets for one in made[name].parameters()]
    before = [one.detach().numpy().copy() for one in weights]
    block(1)
    assert all_moved(before, [one.detach().numpy() for one in weights])


@pytest.mark.parametrize("recipe", ["digits", "mnist"])
def test_the_bare_products_are_the_least_that_a_step_can_do_with(recipe):
    """Ours may pass a gradient back to real images too, which nothing asks for."""
    config, shape = recipes.get(recipe), {"digits": (1, 8, 8), "mnist": (1, 28, 28)}[recipe]
    x, pixels = torch.rand(200, *shape), math.prod(shape)
    counts = []
    for block in (step.ours(x, recipe), step.products(recipe, pixels)):
        block(1)  # the first step of a process makes products to see how exact they are
        with FlopCounterMode(display=False) as counter:
            block(1)
        counts.append(counter.get_total_flops())
    batch, above = config.train.batch_size, config.discriminator.hidden[0] * config.discriminator.pieces
    assert counts[0] - counts[1] in (0, 2 * batch * pixels * above)


def test_ratios_are_of_turns_of_one_round():
    arms = {"ours": {"milliseconds": [1.0, 2.0, 4.0]}, "other": {"milliseconds": [3.0, 6.0, 12.0]}}
    peers.compare(arms)
    assert arms["other"]["median"] == 6
    assert arms["other"]["over_ours"] == {"median": 3, "quartiles": [3, 3]}


def test_an_arm_that_cannot_start_is_left_out_with_its_reason():
    found = peers.measure(["products", "no-such-library"], sys.executable, "digits", 1, 1)
    assert list(found["arms"]) == ["products"] and found["arms"]["products"]["mib"] > 50
    assert "no-such-library" in found["failed"]["no-such-library"]


def test_a_command_is_told_with_its_seconds_and_memory_and_a_failed_one_by_a_line_without_folders():
    spent = costs.cost([sys.executable, "-c", "import time; x = bytearray(2**26); time.sleep(0.3); print(len(x))"])
    assert spent["said"] == f"{2**26}\n" and spent["seconds"] >= 0.3
    assert spent["mib"] > 64
    with pytest.raises(costs.FailedError, match=r"^nothing in FOLDER, ask$"):
        costs.cost([sys.executable, "-c", "raise SystemExit('nothing in /one/two/three, ask')"])
