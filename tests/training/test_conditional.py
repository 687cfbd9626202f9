"""p(x | c): what both players are given, what a run keeps of p(c), and that c is heard."""

import dataclasses
import math

import numpy as np
import pytest
import torch
from torch import nn

import oracles
from advnets import conditions, objectives, sampling
from advnets.config import (
    ConditionConfig,
    ConvolutionConfig,
    DataConfig,
    DiscriminatorConfig,
    GeneratorConfig,
    NoiseConfig,
    from_json,
    to_json,
)
from advnets.config import Config as Settings
from advnets.data.dataset import Split
from advnets.errors import InputError
from advnets.nets.build import build_discriminator, build_generator, parameter_count
from advnets.parameters import parameter_counts
from advnets.runs import Run
from advnets.seeds import stream
from advnets.training import train
from advnets.training.batches import Batches
from advnets.training.step import judge, paper_step, released_step
from training.games import data as plain
from training.games import game_of, tiny
from training.test_resume import bits, stop_after

OWN = {"generator_units": (3, 4), "discriminator_units": (4, 2)}
KINDS = {
    "labels": ConditionConfig("labels"),
    "own": ConditionConfig("labels", **OWN),
    "vectors": ConditionConfig("vectors"),
}


class Given(nn.Module):
    """D of the data and of the samples, each with the same c."""

    def __init__(self, net, c):
        super().__init__()
        self.net, self.c = net, c

    def forward(self, x, random, c=None, fixed=0):
        return self.net(x, random, self.c.repeat(len(x) // len(self.c), 1), fixed)


def examples(count=31, shape=(1, 3, 3)):
    """Noise with labels of three classes, one example without, and two numbers beside each."""
    data = plain(count, shape)

    def beside(split):
        labels = np.arange(len(split.x)) % 3
        labels[-1:] = -1 if len(labels) > 3 else 2
        vectors = np.random.default_rng(5).normal(7, 3, (len(labels), 2)).astype(np.float32)
        return Split(split.x, labels, vectors)

    parts = {name: beside(getattr(data, name)) for name in ("train", "validation", "test")}
    return dataclasses.replace(data, **parts, class_names=("a", "b", "c"))


def conditional(kind="labels", **settings):
    return dataclasses.replace(tiny(**settings), condition=KINDS[kind])


def played(kind="labels", **settings):
    """A game with a condition, and its minibatches."""
    data = examples()
    config = conditions.resolved(conditional(kind, **settings), data)
    game, _ = game_of(config, data)
    game.conditions = conditions.of_data(config, data)
    x, c = conditions.of_split(data.train, game.conditions)
    return game, Batches(x.to(game.dtype), config.train.batch_size, config.seed, c.to(game.dtype))


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("latent", [1, 4])
def test_g_and_d_are_what_their_formulas_say(kind, latent):
    config = conditions.resolved(conditional(kind), examples())
    config = dataclasses.replace(config, noise=NoiseConfig(dimension=latent))
    shape, size = (1, 3, 3), config.condition.size
    g = build_generator(config, shape, torch.full(shape, 0.4), stream(0, "weights"))
    d = build_discriminator(config, shape, stream(0, "weights")).eval()
    assert parameter_counts(config, shape) == {"generator": parameter_count(g), "discriminator": parameter_count(d)}
    z, c, x = torch.randn(5, latent), torch.randn(5, size), torch.rand(5, *shape)
    if kind == "own":
        below = torch.cat([(layer.layers[0](part)).relu() for layer, part in zip(g.own, (z, c), strict=True)], 1)
        pairs = zip(d.own, (x.flatten(1), c), strict=True)
        maxed = [layer.linear(part).unflatten(1, (5, -1)).amax(1) for layer, part in pairs]
        torch.testing.assert_close(d(x, None, c), d.inner(torch.cat(maxed, 1)))
    else:
        below = torch.cat([z, c], 1)
        h = torch.cat([x.flatten(1), c], 1)
        for layer in d.inner.layers:
            h = layer.linear(h).unflatten(1, (layer.pieces, layer.units)).amax(1)
        torch.testing.assert_close(d(x, None, c), d.inner.logit(h).squeeze(1))
    torch.testing.assert_close(g(torch.cat([z, c], 1)), g.inner(below))


def test_above_convolutions_c_is_beside_what_they_give():
    layer = ConvolutionConfig(2, 2, kernel=3, padding=1, pool=2, pool_stride=2)
    config = dataclasses.replace(
        tiny(), discriminator=DiscriminatorConfig(convolutions=(layer,), hidden=(4,)), condition=ConditionConfig(size=3)
    )
    d = build_discriminator(config, (1, 4, 4), stream(0, "weights")).eval()
    x, c = torch.rand(2, 1, 4, 4), torch.eye(3)[:2]
    h = torch.cat([d.inner.convolutions[0](x).flatten(1), c], 1)
    torch.testing.assert_close(d(x, None, c), d.inner.logit(d.inner.layers[0](h)).squeeze(1))
    assert parameter_counts(config, (1, 4, 4))["discriminator"] == parameter_count(d)


def test_dropout_leaves_c_alone():
    config = dataclasses.replace(
        tiny(), discriminator=DiscriminatorConfig(hidden=(4,), keep=(0.01, 1.0)), condition=ConditionConfig(size=3)
    )
    d = build_discriminator(config, (1, 3, 3), stream(0, "weights"))
    seen = []
    d.inner.layers[0].register_forward_hook(lambda layer, given, output: seen.append(given[0]))
    d(torch.ones(50, 1, 3, 3), torch.Generator().manual_seed(0), torch.ones(50, 3))
    assert (seen[0][:, :9] == 0).float().mean() > 0.9 and (seen[0][:, 9:] == 1).all()


@pytest.mark.parametrize("kind", KINDS)
def test_one_pass_equals_two_passes_given_c(kind, monkeypatch):
    game, batches = played(kind, precision="64-true")
    monkeypatch.setattr(type(game), "update", lambda self, player, per_epoch, **more: None)
    c = batches.condition(0)
    latents = game.latents(5, c)
    assert torch.equal(latents[:, 4:], c)
    game.random.manual_seed(11)
    monkeypatch.setattr(type(game), "latents", lambda self, count, c: latents)
    released_step(game, batches)
    d = game.discriminator.net
    twins = oracles.two_pass_gradients(
        game.generator.net,
        Given(d, c),
        batches[0],
        latents,
        11,
        objectives.released_discriminator_loss,
        lambda logits: objectives.generator_loss(logits, 0.0, 1.0),
    )
    mine = [parameter.grad for net in (d, game.generator.net) for parameter in net.parameters()]
    for one, twin in zip(mine, twins[0] + twins[1], strict=True):
        torch.testing.assert_close(one, twin, rtol=1e-10, atol=1e-12)


@pytest.mark.parametrize("move", [paper_step, released_step])
def test_d_sees_every_example_and_every_sample_with_the_c_of_that_example(move, monkeypatch):
    game, batches = played()
    seen = []
    game.discriminator.net.register_forward_hook(lambda net, given, logits: seen.append(given))
    move(game, batches)
    number_of = {tuple(x.flatten().tolist()): c for x, c in zip(batches.x, batches.c, strict=True)}
    x, _, c, *_ = seen[0]
    assert len(x) == 10 and torch.equal(c[:5], c[5:])
    pairs = zip(x[:5], c[:5], strict=True)
    assert all(torch.equal(number_of[tuple(one.flatten().tolist())], given) for one, given in pairs)
    assert all(torch.equal(given[2][-5:], c[:5]) for given in seen)


def test_minibatches_hold_examples_with_a_label_alone():
    _, batches = played()
    assert len(batches.x) == 30 == len(batches.c)


def test_without_a_condition_d_is_called_as_ever():
    game, _ = game_of(tiny(), plain())
    x = torch.rand(4, 1, 3, 3)
    game.random.manual_seed(3)
    one = judge(game.discriminator.net, x, game, None)
    game.random.manual_seed(3)
    assert torch.equal(one, game.discriminator.net(x, game.random))


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("cut", [1, 7])
def test_a_run_with_a_condition_resumes_bit_for_bit(tmp_path, kind, cut):
    config = conditional(kind, average_decay=0.9)
    whole, parts = Run(tmp_path / "whole"), Run(tmp_path / "parts")
    train(config, examples(), whole)
    train(config, examples(), parts, stop=stop_after(cut))
    train(parts.config(), examples(), parts, resume=True)
    assert bits(whole) == bits(parts)
    assert conditions.FILE in bits(whole)
    assert whole.config().condition.size == (2 if kind == "vectors" else 3)


@pytest.mark.parametrize("kind", KINDS)
def test_a_run_is_drawn_from_by_what_it_keeps(tmp_path, kind):
    run = Run(tmp_path / "run")
    train(conditional(kind), examples(), run)
    sampler = sampling.load_sampler(run)
    x = sampler.draw(30, 1)
    given = sampling.generate(sampler.net, sampling.draw_latents(sampler.config.noise, 30, 1, sampler.conditions))
    assert x.shape == (30, 1, 3, 3) and np.array_equal(x, given)
    c = sampler.conditions.rows[:1].repeat(4, 1)
    assert not np.array_equal(sampler.draw_given(c, 0), sampler.draw_given(c, 1))
    assert np.allclose(sampler.draw_given(c, 0)[:2], sampler.draw_given(c[:2], 0), atol=1e-6)
    line = sampling.lines(sampler.config.noise, 3, 5, 0, sampler.conditions)[:, 4:].reshape(3, 5, -1)
    assert torch.equal(line, line[:, :1].expand_as(line))


def test_a_damaged_file_of_conditions_is_refused_in_a_line(tmp_path):
    given = conditions.of_data(conditional(), examples())
    dataclasses.replace(given, shares=given.shares * 2).write(tmp_path / "c")
    with pytest.raises(InputError, match="holds weights of another net"):
        conditions.read(tmp_path / "c", 3, given.names)
    given.write(tmp_path / "d")
    with pytest.raises(InputError, match="another net"):
        conditions.read(tmp_path / "d", 4, given.names)
    with pytest.raises(InputError, match=r"data\.class_names .* is damaged"):
        conditions.names({"class_names": [1, 2]})
    again = conditions.read(tmp_path / "d", 3, given.names)
    assert torch.equal(again.rows, given.rows) and torch.equal(again.shares, given.shares)


def test_classes_are_drawn_by_their_shares_and_shown_alike():
    data = examples()
    labels = data.train.labels.copy()
    labels[:] = [0] * 20 + [1] * 10 + [-1]
    given = conditions.of_data(conditional(), dataclasses.replace(data, train=Split(data.train.x, labels)))
    drawn = given.draw(300, 0)
    assert drawn.sum(0).tolist() == [200, 100, 0]
    assert torch.equal(drawn, given.draw(300, 0)) and not torch.equal(drawn, given.draw(300, 1))
    assert 150 < drawn[:200, 0].sum() + drawn[200:, 1].sum() < 200, "in a random order"
    counts = given.draw(7, 0).sum(0)
    assert abs(float(counts[0]) - 14 / 3) < 1 and abs(float(counts[1]) - 7 / 3) < 1 and counts[2] == 0
    assert given.spread_out(9).argmax(1).tolist() == [0, 0, 0, 1, 1, 1, 2, 2, 2]
    assert torch.equal(given.of_class("b"), torch.eye(3)[1])


def test_vectors_are_standardised_and_come_in_the_users_units():
    data = examples(4001)
    given = conditions.of_data(conditional("vectors"), data)
    assert given.rows.mean(0).abs().max() < 1e-5 and (given.rows.std(0, correction=0) - 1).abs().max() < 1e-5
    vectors = data.train.vectors
    by_hand = torch.from_numpy((vectors[:3] - vectors.mean(0)) / vectors.std(0))
    torch.testing.assert_close(given.of_numbers(vectors[:3]), by_hand, atol=1e-5, rtol=0)
    with pytest.raises(InputError, match="c holds 3 numbers, allowed: the 2 finite ones"):
        given.of_numbers(np.zeros((1, 3)))
    with pytest.raises(InputError, match=r"--class is x and this run is conditioned on 2 numbers, .* use --c"):
        given.of_class("x")
    with pytest.raises(InputError, match="--class is x, allowed: a, b, c, or all"):
        conditions.of_data(conditional(), data).of_class("x")


@pytest.mark.parametrize(
    ("condition", "wrong"),
    [
        (ConditionConfig(), "noise has no classes to condition on, allowed: data with labels"),
        (ConditionConfig("vectors"), "noise has no vectors to condition on, allowed: an .npz file with a key c"),
    ],
)
def test_data_without_c_are_refused_before_anything_is_written(tmp_path, condition, wrong):
    with pytest.raises(InputError, match=wrong):
        train(dataclasses.replace(tiny(), condition=condition), plain(), Run(tmp_path / "run"))
    assert not (tmp_path / "run").exists()
    with pytest.raises(InputError, match=r"--condition\.size is 7 and noise has 3, allowed: 3; leave it out"):
        conditions.resolved(dataclasses.replace(tiny(), condition=ConditionConfig(size=7)), examples())


def test_older_runs_have_no_condition():
    content = to_json(tiny())
    del content["condition"]
    assert from_json(Settings, content) == tiny()


@pytest.mark.parametrize("kind", ["labels", "vectors"])
def test_c_is_heard(tmp_path, kind):
    """x = 2c − 1 with c in 0, 1, or x = c for c on a line, each with noise of .1: samples follow c."""
    random = np.random.default_rng(0)
    labels = random.integers(0, 2, 2000)
    c = labels if kind == "labels" else random.uniform(-1, 1, 2000)
    mean = 2.0 * labels - 1 if kind == "labels" else c
    x = (mean + 0.1 * random.normal(size=2000)).astype(np.float32)[:, None]
    split = Split(x, labels, c.astype(np.float32)[:, None])
    data = dataclasses.replace(
        plain(), train=split, validation=split, test=split, class_names=("low", "high"), name="line"
    )
    config = dataclasses.replace(
        tiny(
            mode="paper",
            steps=700,
            batch_size=100,
            optimiser="adam",
            learning_rate=2e-3,
            decay_per_update=1.0,
            average_decay=0.99,
            log_every=700,
            checkpoint_every=700,
            sample_every=700,
        ),
        data=DataConfig("line"),
        noise=NoiseConfig(dimension=2),
        generator=GeneratorConfig(hidden=(32, 32), output="linear", init_range=0.3),
        discriminator=DiscriminatorConfig(hidden=(32, 32), pieces=3, keep=(1.0,), init_range=0.2),
        condition=ConditionConfig(kind),
    )
    train(config, data, Run(tmp_path / "run"))
    sampler = sampling.load_sampler(Run(tmp_path / "run"))
    numbers = np.repeat([0.0, 1.0] if kind == "labels" else [-0.8, 0.8], 200)
    given = sampler.conditions
    asked = given.rows[numbers.astype(int)] if kind == "labels" else given.of_numbers(numbers[:, None])
    low, high = sampler.draw_given(asked, 0).reshape(2, 200).mean(1)
    wanted = 1.0 if kind == "labels" else 0.8
    assert math.isclose(low, -wanted, abs_tol=0.3) and math.isclose(high, wanted, abs_tol=0.3), (low, high)
