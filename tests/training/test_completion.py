"""p(x_S | x_notS): the masks, what both players are told, what is missing, and two laws with closed forms."""

import dataclasses
import math

import numpy as np
import pytest
import torch

from advnets import conditions, masks, objectives, sampling
from advnets.config import ConditionConfig, DataConfig, DiscriminatorConfig, GeneratorConfig, MaskKind, NoiseConfig
from advnets.data.dataset import Split
from advnets.errors import InputError
from advnets.nets.build import build_discriminator, build_generator, parameter_count
from advnets.parameters import parameter_counts
from advnets.runs import Run
from advnets.seeds import stream
from advnets.training import train
from advnets.training.batches import Batches
from advnets.training.given import given, of_masks
from advnets.training.step import paper_step, released_step
from training.games import data as plain
from training.games import game_of, tiny
from training.test_resume import bits, stop_after

KINDS: tuple[MaskKind, ...] = ConditionConfig.masks
SHAPE = (1, 3, 3)


def gappy(count=31, shape=SHAPE, share=0.3):
    """Noise of which some numbers are missing."""
    data = plain(count, shape)

    def holed(split, seed):
        gone = np.random.default_rng(seed).random(split.x.shape) < share
        return Split(np.where(gone, np.float32(np.nan), split.x))

    parts = {name: holed(getattr(data, name), seed) for seed, name in enumerate(("train", "validation", "test"))}
    return dataclasses.replace(data, **parts)


def masked(**settings):
    config = tiny(**settings)
    return dataclasses.replace(config, data=DataConfig("noise", missing="hide"), condition=ConditionConfig("masks"))


def played(data=None, **settings):
    data = data or plain()
    config = conditions.resolved(masked(**settings), data)
    game, _ = game_of(config, dataclasses.replace(data, train=Split(np.nan_to_num(data.train.x, nan=0.4))))
    game.conditions = conditions.of_data(config, data)
    x, c = conditions.of_split(data.train, game.conditions)
    c = None if c is None else c.to(game.dtype)
    return game, Batches(x.to(game.dtype), config.train.batch_size, config.seed, c)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("shape", [(1, 8, 8), (3, 6, 5), (1, 1, 1), (7,), (1,)])
def test_masks_are_of_their_kind(kind, shape):
    if len(shape) == 1 and kind not in ("pixels", "columns", "all"):
        return
    known = masks.draw([kind], 400, shape, torch.Generator().manual_seed(1))
    assert known.shape == (400, *shape) and known.unique().tolist() in ([0.0, 1.0], [0.0])
    assert torch.equal(known, masks.draw([kind], 400, shape, torch.Generator().manual_seed(1)))
    hidden = (1 - known).reshape(400, *(shape if len(shape) == 3 else (1, 1, *shape)))
    assert (hidden == hidden[:, :1]).all(), "channels share a mask"
    rows, columns = hidden[:, 0].amax(2), hidden[:, 0].amax(1)
    if kind == "blocks":
        assert torch.equal(hidden[:, 0], rows[:, :, None] * columns[:, None, :])
    if kind in ("blocks", "columns"):
        assert ((columns[:, 1:] - columns[:, :-1]).clamp_min(0).sum(1) + columns[:, 0] <= 1).all(), "one run"
        assert columns.sum(1).min() >= 1
    if kind == "columns":
        assert torch.equal(hidden[:, 0], columns[:, None, :].expand_as(hidden[:, 0]))
    if kind == "halves" and shape == (1, 8, 8):
        assert (hidden.flatten(1).sum(1) == 32).all() and len(hidden.flatten(1).unique(dim=0)) == 4
    if kind == "pixels" and math.prod(shape) > 20:
        shares = hidden[:, 0].flatten(1).mean(1)
        assert math.isclose(shares.mean(), 0.5, abs_tol=0.05) and math.isclose(shares.var(), 1 / 12, abs_tol=0.03)
    if kind == "strokes" and shape == (1, 8, 8):
        assert 0.1 < hidden.mean() < 0.9
    assert kind != "all" or hidden.all()


def test_every_example_has_a_kind_of_its_own():
    known = masks.draw(["all", "columns"], 2000, (1, 8, 8), torch.Generator().manual_seed(0))
    everything = known.flatten(1).sum(1) == 0
    assert math.isclose(everything.float().mean(), 1 / 2 + 1 / 16, abs_tol=0.04)
    shares = torch.tensor([0.05, 0.9]).repeat_interleave(100)
    drawn = masks.hidden_share(shares, (3, 8, 8), torch.Generator().manual_seed(0))
    assert torch.equal(drawn[:, 0], drawn[:, 2])
    assert math.isclose(drawn[:100].mean(), 0.95, abs_tol=0.02) and math.isclose(drawn[100:].mean(), 0.1, abs_tol=0.02)


@pytest.mark.parametrize(
    ("name", "hidden"), [("left", 5 * 3), ("right", 15), ("top", 15), ("bottom", 15), ("block", 9)]
)
def test_sides_hide_the_middle_of_an_odd_number_too(name, hidden):
    known = masks.side(name, (3, 5, 5))
    assert (known[0] == 0).sum() == hidden and torch.equal(known[0], known[2]) and known[0, 2, 2] == 0


@pytest.mark.parametrize("own", [(), (3, 4)])
def test_g_keeps_what_is_known_bit_for_bit_and_is_its_formula(own):
    config = conditions.resolved(masked(), plain())
    condition = dataclasses.replace(config.condition, generator_units=own, discriminator_units=own)
    config = dataclasses.replace(config, condition=condition)
    g = build_generator(config, SHAPE, torch.full(SHAPE, 0.4), stream(0, "weights"))
    d = build_discriminator(config, SHAPE, stream(0, "weights"))
    assert parameter_counts(config, SHAPE) == {"generator": parameter_count(g), "discriminator": parameter_count(d)}
    z, x, m = torch.randn(6, 4), torch.rand(6, *SHAPE), (torch.rand(6, *SHAPE) < 0.5).float()
    given = torch.cat([z, (x * m).flatten(1), m.flatten(1)], 1)
    made = g.inner(given)
    out = g(given)
    assert torch.equal(out[m == 1], x[m == 1]) and torch.equal(out[m == 0], made[m == 0])
    torch.testing.assert_close(out, x * m + made * (1 - m))


def test_g_can_see_what_is_known_centred_add_a_linear_map_and_see_its_own_draft():
    config = conditions.resolved(masked(), plain())
    told = dataclasses.replace(config.condition, centre="on", linear="on", rounds=2)
    config = dataclasses.replace(config, condition=told, generator=GeneratorConfig(hidden=(5,), output="linear"))
    mean = torch.rand(SHAPE)
    g = build_generator(config, SHAPE, mean, stream(0, "weights"))
    assert parameter_counts(config, SHAPE)["generator"] == parameter_count(g)
    assert not g.linear.weight.any(), "a game begins without it"
    torch.nn.init.normal_(g.linear.weight, std=0.1)
    z, x, m = torch.randn(6, 4), torch.rand(6, 9), (torch.rand(6, 9) < 0.5).float()
    m[0] = 0  # nothing is known: no division by 0
    above = x - mean.flatten()

    def once(seen):
        return g.inner(torch.cat([z, seen, m], 1)).flatten(1) + torch.cat([seen, m], 1) @ g.linear.weight.T

    draft = once(above * m / m.mean(1, keepdim=True).clamp_min(1 / 9).sqrt())
    made = once(torch.where(m > 0, x, draft) - mean.flatten())
    out = g(torch.cat([z, x * m, m], 1)).flatten(1)
    assert torch.equal(out[m == 1], x[m == 1])
    torch.testing.assert_close(out, torch.where(m > 0, x, made))
    other = build_generator(config, SHAPE, torch.zeros(SHAPE), stream(1, "weights"))
    other.load_state_dict(g.state_dict())
    assert torch.equal(other(torch.cat([z, x * m, m], 1)).flatten(1), out), "the mean is kept with the weights"


def test_pixels_are_centred_on_the_scale_of_minus_one_to_one():
    config = conditions.resolved(masked(), plain())
    config = dataclasses.replace(config, condition=dataclasses.replace(config.condition, centre="on"))
    g = build_generator(config, SHAPE, torch.full(SHAPE, 0.4), stream(0, "weights"))
    z, x = torch.randn(3, 4), torch.rand(3, 9)
    seen = []
    g.inner.register_forward_hook(lambda net, given, made: seen.append(given[0]))
    g(torch.cat([z, x, torch.ones(3, 9)], 1))
    torch.testing.assert_close(seen[0][:, 4:13], 2 * (x - 0.4))


def test_what_is_told_says_known_hidden_and_missing():
    x, known = torch.tensor([[2.0, 3.0, 0.0]]), torch.tensor([[1.0, 0.0, 1.0]])
    told = of_masks(x, known, torch.tensor([[1.0, 1.0, 0.0]]))
    assert told.generator.tolist() == [[2, 0, 0, 1, 0, 0]]
    assert told.discriminator.tolist() == [[1, 0, -1]]
    assert told.hidden.tolist() == [[0, 1, 0]]
    assert told.seen(torch.ones(1, 3)).tolist() == [[1, 1, 0]]
    whole = of_masks(x, known, None)
    assert whole.discriminator.tolist() == [[1, 0, 1]] and whole.seen(x) is x


@pytest.mark.parametrize("data", [plain(), gappy()], ids=["whole", "gappy"])
@pytest.mark.parametrize("move", [paper_step, released_step])
def test_d_sees_examples_and_completions_of_them_under_one_mask(move, data):
    game, batches = played(data, batch_size=8)
    seen, told = [], []
    game.discriminator.net.register_forward_hook(lambda net, given, logits: seen.append(given))
    game.generator.net.register_forward_hook(lambda net, given, made: told.append(given[0]))
    move(game, batches)
    x, _, c, *_ = seen[0]
    real, fake, (c, also) = x[:8], x[8:], c.split(8)
    assert torch.equal(c, also) and torch.equal(real, batches[0])
    known, missing = c.view_as(real) == 1, c.view_as(real) == -1
    assert torch.equal(real[known], fake[known]) and known.any()
    assert (real[missing] == 0).all() and (fake[missing] == 0).all()
    assert missing.any() == (batches.c is not None)
    assert all(torch.equal(given[:, 4 + 9 :].view_as(real) == 1, known) for given in told)
    assert not any(given.isnan().any() for given in told)


@pytest.mark.parametrize("weight", [0.0, 3.0])
@pytest.mark.parametrize("data", [plain(), gappy()], ids=["whole", "gappy"])
def test_one_pass_equals_two_passes_with_the_error_of_completions(data, weight, monkeypatch):
    game, batches = played(data, precision="64-true", reconstruction_weight=weight)
    monkeypatch.setattr(type(game), "update", lambda self, player, per_epoch, **more: None)
    game.random.manual_seed(5)
    told = given(game, batches[0], batches.condition(0))
    one, other = game.latents(5, told.generator), game.latents(5, told.generator)
    drawn = iter([one, other])
    monkeypatch.setattr(type(game), "latents", lambda self, count, c: next(drawn))
    monkeypatch.setattr("advnets.training.step.given", lambda game, real, c: told)
    game.random.manual_seed(11)
    released_step(game, batches)
    g, d, x = game.generator.net, game.discriminator.net, batches[0]
    random = torch.Generator().manual_seed(11)
    c = told.discriminator.repeat(2, 1)
    real, fake = d(torch.cat([x, told.seen(g(one))]), random, c).split(5)
    d_loss = objectives.released_discriminator_loss(real, fake).mean()
    hidden = told.hidden.double()
    errors = (x - g(one)) * (x - g(other)) * hidden
    g_loss = objectives.generator_loss(fake, 0.0, 1.0).mean() + weight * errors.sum() / hidden.sum()
    for net, loss in ((d, d_loss), (g, g_loss)):
        twins = torch.autograd.grad(loss, list(net.parameters()), retain_graph=True)
        for parameter, twin in zip(net.parameters(), twins, strict=True):
            torch.testing.assert_close(parameter.grad, twin, rtol=1e-10, atol=1e-12)


def test_the_error_of_the_mean_completion_is_unbiased_and_asks_for_no_less_variety():
    random = torch.Generator().manual_seed(0)
    real, n = torch.full((200_000, 4), 2.0), 200_000
    hidden = torch.tensor([[1.0, 1.0, 0.0, 0.0]]).expand(n, 4)
    for sd in (0.0, 1.0):
        one, other = (1.5 + sd * torch.randn(n, 4, generator=random) for _ in range(2))
        assert math.isclose(objectives.reconstruction_loss(one, other, real, hidden), 0.25, abs_tol=0.01)
    assert objectives.reconstruction_loss(one, other, real, 0 * hidden) == 0


@pytest.mark.parametrize("data", [plain(), gappy(), gappy(shape=(4,))], ids=["whole", "gappy", "vectors"])
@pytest.mark.parametrize("mode", ["paper", "released"])
@pytest.mark.parametrize("cut", [1, 7])
def test_a_run_of_masks_resumes_bit_for_bit(tmp_path, data, mode, cut):
    config = masked(mode=mode, average_decay=0.9, reconstruction_weight=1.0, signals="on", sample_every=6)
    if len(data.shape) == 1:
        given = ConditionConfig("masks", masks=("pixels", "columns"), centre="on", linear="on", rounds=2)
        linear = dataclasses.replace(config.generator, output="linear")
        config = dataclasses.replace(config, condition=given, generator=linear)
    whole, parts = Run(tmp_path / "whole"), Run(tmp_path / "parts")
    train(config, data, whole)
    train(config, data, parts, stop=stop_after(cut))
    train(parts.config(), data, parts, resume=True)
    assert bits(whole) == bits(parts)
    line = whole.read_log()[-1] if hasattr(whole, "read_log") else None
    assert line is None or line["signals"]["non_finite"] == 0
    x = sampling.load_sampler(whole).draw(5)
    assert x.shape == (5, *data.shape) and np.isfinite(x).all()


def test_without_masks_the_stream_is_as_ever():
    game, batches = game_of(tiny(), plain())
    before = game.random.get_state()
    told = given(game, batches[0], None)
    assert told.generator is told.discriminator is told.hidden is None and torch.equal(before, game.random.get_state())


@pytest.mark.parametrize(
    ("config", "data", "wrong"),
    [
        (tiny(), gappy(), r"has numbers that are missing \(NaN\), allowed: with --condition.kind masks"),
        (masked(), plain(shape=(4,)), "--condition.masks has blocks, halves, strokes and noise holds vectors"),
    ],
)
def test_what_does_not_fit_is_refused_before_anything_is_written(tmp_path, config, data, wrong):
    config = dataclasses.replace(config, data=DataConfig("noise", missing="hide"))
    with pytest.raises(InputError, match=wrong):
        train(config, data, Run(tmp_path / "run"))
    assert not (tmp_path / "run").exists()


def law(rho, share=0.0, count=4000):
    """A bivariate normal law with correlation ρ, of which a share is missing."""
    random = np.random.default_rng(0)
    x = random.normal(size=(count, 2)) @ np.linalg.cholesky([[1, rho], [rho, 1]]).T
    x = np.where(random.random(x.shape) < share, np.nan, x).astype(np.float32)
    return dataclasses.replace(plain(), train=Split(x), validation=Split(x[:500]), test=Split(x[:500]), name="line")


@pytest.mark.parametrize(("mode", "share"), [("paper", 0.0), ("released", 0.3)])
def test_completions_of_a_normal_law_have_its_conditional_mean_and_sd(tmp_path, mode, share):
    """E[x₂|x₁] = ρ x₁ and sd √(1 − ρ²), in either direction, and ρ where nothing is known."""
    rho = 0.8
    config = dataclasses.replace(
        masked(
            mode=mode,
            steps=500,
            batch_size=200,
            optimiser="adam",
            learning_rate=3e-3,
            decay_per_update=1.0,
            average_decay=0.99,
            reconstruction_weight=1.0,
            signals="off",
            log_every=500,
            checkpoint_every=500,
            sample_every=1000,
        ),
        noise=NoiseConfig("gaussian", dimension=4),
        generator=GeneratorConfig(hidden=(48, 48), output="linear", init_range=0.3),
        discriminator=DiscriminatorConfig(hidden=(48, 48), pieces=3, keep=(1.0,), init_range=0.2),
        condition=ConditionConfig("masks", masks=("pixels", "columns", "all")),
    )
    train(config, law(rho, share), Run(tmp_path / "run"))
    sampler = sampling.load_sampler(Run(tmp_path / "run"))
    given = np.linspace(-1.5, 1.5, 7, dtype=np.float32)
    for known in (0, 1):
        x = np.full((7, 2), np.nan, np.float32)
        x[:, known] = given
        made = sampler.complete(x, ~np.isnan(x), 400)
        assert made.shape == (400, 7, 2) and (made[:, :, known] == given).all()
        other = made[:, :, 1 - known]
        assert np.abs(other.mean(0) - rho * given).max() < 0.3
        assert math.isclose(other.std(0).mean(), math.sqrt(1 - rho**2), abs_tol=0.15)
    assert math.isclose(np.corrcoef(sampler.draw(2000).T)[0, 1], rho, abs_tol=0.1)
