"""Pairs: the losses by hand, who is moved by what, and that digits are rebuilt."""

import dataclasses
import math

import numpy as np
import pytest
import torch

from advnets.config import ConvolutionConfig, DiscriminatorConfig, GeneratorConfig
from advnets.errors import InputError
from advnets.extensions import bigan, codes
from advnets.extensions.bigan import for_pairs, new_pair, pair_loss, pair_step, train_pair
from advnets.objectives import discriminator_loss
from advnets.training.batches import Batches
from training.games import TINY, data, tiny


def test_the_makers_loss_by_hand_and_where_pairs_cannot_be_told_apart():
    data_logits, sample_logits = torch.tensor([0.0, 2.0]), torch.tensor([0.0, -1.0])
    by_hand = [-math.log(0.5) - math.log(0.5), math.log(1 + math.exp(2)) + math.log(1 + math.exp(1))]
    torch.testing.assert_close(pair_loss(data_logits, sample_logits), torch.tensor(by_hand))
    zero = torch.zeros(3)
    assert torch.equal(pair_loss(zero, zero), discriminator_loss(zero, zero))


def test_d_and_makers_pull_every_logit_in_opposite_directions():
    logits = torch.linspace(-20, 20, 41).requires_grad_()
    for sides in ((logits, logits.detach()), (logits.detach(), logits)):
        (theirs,) = torch.autograd.grad(pair_loss(*sides).sum(), logits)
        (ds,) = torch.autograd.grad(discriminator_loss(*sides).sum(), logits)
        assert (theirs * ds < 0).all()


def weights(player):
    return [parameter.detach().clone() for parameter in player.net.parameters()]


@pytest.mark.parametrize("mover", ["generator", "encoder", "discriminator"])
def test_each_player_descends_its_own_loss_alone(mover):
    """One step of momentum is p − rate·∂loss/∂p, with the loss written out and the other players' weights of before."""
    config = tiny(learning_rate=0.1, momentum=0.0, final_momentum=0.0, decay_per_update=1.0)
    config = dataclasses.replace(config, discriminator=dataclasses.replace(config.discriminator, keep=(1.0,)))
    x = torch.from_numpy(data().train.x)
    pair, twin = (new_pair(config, (1, 3, 3), x.mean(0)) for _ in "ab")
    pair_step(pair, Batches(x, 5, 0))
    real, z = (
        Batches(x, 5, 0)[0],
        torch.empty(5, 4).uniform_(config.noise.low, config.noise.high, generator=twin.random),
    )
    g, e, d = twin.generator.net, twin.encoder.net, twin.discriminator.net
    on_data = d(torch.cat([real.flatten(1), e(real)], 1)).sigmoid()
    on_samples = d(torch.cat([g(z).flatten(1), z], 1)).sigmoid()
    ds = -(on_data.log() + (1 - on_samples).log()).mean()
    makers = -((1 - on_data).log() + on_samples.log()).mean()
    parameters = list(getattr(twin, mover).net.parameters())
    gradients = torch.autograd.grad(ds if mover == "discriminator" else makers, parameters)
    for now, before, gradient in zip(weights(getattr(pair, mover)), parameters, gradients, strict=True):
        torch.testing.assert_close(now, before.detach() - 0.1 * gradient, rtol=1e-4, atol=1e-7)


def test_same_seed_same_bits_and_averages_are_what_is_returned():
    config = tiny(average_decay=0.9, steps=5)
    first, again, raw = (train_pair(one, data()) for one in (config, config, tiny(steps=5)))
    x = data().test.x
    np.testing.assert_array_equal(first.encode(x), again.encode(x))
    np.testing.assert_array_equal(first.decode(first.encode(x)), again.decode(again.encode(x)))
    assert not np.array_equal(first.encode(x), raw.encode(x))
    assert first.encode(x).shape == (3, 4) and first.decode(first.encode(x)).shape == x.shape


def test_a_line_is_learned_with_its_inverse():
    """x = ±1.5 beside noise of .1 in one column: E tells the sides of the data apart, by one direction of z."""
    random = np.random.default_rng(0)
    side = random.choice([-1.5, 1.5], 2000)
    x = (side + random.normal(0, 0.1, 2000))[:, None].astype(np.float32)
    examples = data()
    examples = dataclasses.replace(examples, train=dataclasses.replace(examples.train, x=x))
    nets = dataclasses.replace(
        TINY,
        noise=dataclasses.replace(TINY.noise, dimension=1),
        generator=GeneratorConfig(hidden=(32, 32), output="linear", init_range=0.3),
        discriminator=DiscriminatorConfig(hidden=(32, 32), pieces=2),
        train=dataclasses.replace(TINY.train, batch_size=64),
    )
    config = for_pairs(nets, 800)
    config = dataclasses.replace(config, train=dataclasses.replace(config.train, learning_rate=0.002))
    inference = train_pair(config, examples)
    assert abs(np.corrcoef(inference.encode(x)[:, 0], side)[0, 1]) > 0.9
    assert codes.reconstruction_mse(inference, x) < 0.3 * x.var()


def test_stopping_and_refusals():
    calls = iter([False, True])
    seen = []
    train_pair(tiny(), data(), stop=lambda: next(calls), report=lambda done, total: seen.append(done))
    assert seen == [1]
    layer = ConvolutionConfig(4, 2, 2, 0, 2, 2)
    with pytest.raises(InputError, match="no fully connected discriminator"):
        bigan.train_pair(dataclasses.replace(TINY, discriminator=DiscriminatorConfig(convolutions=(layer,))), data())
    with pytest.raises(InputError, match=r"not finite at step .*learning_rate"):
        train_pair(tiny(learning_rate=1e30, steps=30), data())
