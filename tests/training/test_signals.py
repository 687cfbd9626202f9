"""Signals: each against its definition, on games made so that its value is known."""

import dataclasses
import json
import math
import re
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

from advnets import objectives
from advnets.data.dataset import Split
from advnets.runs import Run
from advnets.training import signals, train
from advnets.training.signals import new_probe, take
from advnets.training.step import paper_step, released_step
from training.games import data, game_of, tiny


class Fixed(nn.Module):
    """A generator that gives these rows, whatever z."""

    def __init__(self, rows):
        super().__init__()
        self.rows = nn.Parameter(torch.as_tensor(rows, dtype=torch.float32))

    def forward(self, z, generator=None):
        return self.rows[torch.arange(len(z)) % len(self.rows)] * 1.0


class Brightness(nn.Module):
    """Logit a·(sum of x) + b."""

    def __init__(self, a, b):
        super().__init__()
        self.a, self.b = (nn.Parameter(torch.tensor(float(value))) for value in (a, b))

    def forward(self, x, generator=None, c=None, fixed=0):
        return self.a * x.flatten(1).sum(1) + self.b


def played(examples, rows=None, discriminator=None, steps=0, move=released_step, **train):
    game, batches = game_of(tiny(**train), examples)
    for step in range(steps):
        game.step = step
        move(game, batches)
    if rows is not None:
        game.generator.net = Fixed(rows)
    if discriminator is not None:
        game.discriminator.net = discriminator
    return game, new_probe(game, examples)


def bright(count=300, low=0.8, high=1.0, seed=0):
    x = np.random.default_rng(seed).uniform(low, high, (count, 1, 3, 3)).astype(np.float32)
    base = data()
    return dataclasses.replace(base, train=Split(x[: count // 2]), validation=Split(x[count // 2 :]))


@pytest.mark.parametrize(("a", "b", "real", "fake"), [(10, -45, 1, 1), (-10, 45, 0, 0), (0, 1, 1, 0), (0, -1, 0, 1)])
def test_accuracies_are_shares_on_the_right_side(a, b, real, fake):
    found = take(*played(bright(), np.zeros((4, 1, 3, 3)), Brightness(a, b)))
    assert (found["accuracy_real"], found["accuracy_fake"]) == (real, fake)


def test_margin_gap_and_rejected_are_those_of_the_logits():
    examples = bright()
    game, probe = played(examples, np.full((2, 1, 3, 3), 0.1), Brightness(2, -6))
    found = take(game, probe)
    logits = [2 * x.flatten(1).sum(1) - 6 for x in (probe.real, probe.held_out)]
    assert found["margin"] == pytest.approx(float(logits[0].mean()) - (2 * 0.9 - 6), rel=1e-5)
    assert found["gap"] == pytest.approx(float(logits[0].sigmoid().mean() - logits[1].sigmoid().mean()), abs=1e-6)
    assert found["rejected"] == 0.0, "D(G(z)) is .0148"
    game.discriminator.net = Brightness(2, -7)
    assert take(game, probe)["rejected"] == 1.0


def test_gradients_at_the_image_are_those_of_the_losses():
    game, probe = played(data(), steps=4)
    found = take(game, probe)
    discriminator = game.discriminator.net.eval()
    image = game.generator.net.eval()(probe.latents).detach().requires_grad_()
    logits = discriminator(image)
    none = torch.zeros_like(logits)
    by_hand = {
        "d_gradient": objectives.discriminator_loss(none, logits),
        "g_gradient": objectives.non_saturating_generator_loss(logits),
    }
    for name, losses in by_hand.items():
        (gradient,) = torch.autograd.grad(losses.sum(), image, retain_graph=True)
        assert found[name] == pytest.approx(float(gradient.flatten(1).norm(dim=1).mean()), rel=1e-5)


def test_a_generator_of_one_image_has_no_spread_and_one_crowd():
    found = take(*played(bright(), np.full((1, 1, 3, 3), 0.9)))
    assert (found["spread"], found["repeated"], found["crowd"]) == (0.0, 1.0, 1.0)


def test_two_images_share_the_crowd():
    rows = np.stack([np.zeros((1, 3, 3)), np.ones((1, 3, 3))])
    found = take(*played(bright(), rows))
    assert found["repeated"] == 1.0 and found["crowd"] == 0.5


def test_fresh_data_look_like_data():
    fresh = bright(signals.SAMPLES, seed=7)
    rows = np.concatenate([fresh.train.x, fresh.validation.x])
    found = take(*played(bright(), rows))
    assert found["spread"] == pytest.approx(1, abs=0.1) and found["nearness"] == pytest.approx(1, abs=0.1)
    assert found["repeated"] < 0.1 and found["crowd"] < 0.1


def test_copies_of_training_examples_are_near():
    examples = bright()
    found = take(*played(examples, examples.train.x[:50]))
    assert found["nearness"] == pytest.approx(0, abs=0.01)


def test_classes_that_no_sample_is_nearest_to_are_missing():
    base = data(90)
    labels = np.arange(90) % 3
    x = (labels[:, None, None, None] / 2 + np.zeros((90, 1, 3, 3))).astype(np.float32)
    x += np.random.default_rng(0).normal(0, 0.01, x.shape).astype(np.float32)
    labels = np.where(np.arange(90) < 6, -1, labels)  # some have none
    examples = dataclasses.replace(base, train=Split(x, labels))
    both = take(*played(examples, np.stack([np.zeros((1, 3, 3)), np.ones((1, 3, 3))])))
    assert both["classes"] == 2 / 3, "to the last bit: a rule compares with .4"
    assert both["class_distance"] == pytest.approx(1 / 3, abs=0.01)
    assert "classes" not in take(*played(base)), "no labels"


@pytest.mark.parametrize(("optimiser", "move"), [("momentum", released_step), ("adam", paper_step)])
def test_the_last_update_is_that_of_the_weights(optimiser, move):
    mode = "paper" if move is paper_step else "released"
    examples = data()
    game, batches = game_of(tiny(optimiser=optimiser, mode=mode), examples)
    probe = new_probe(game, examples)
    for step in range(4):
        before = [
            [p.detach().clone() for p in player.net.parameters()] for player in (game.generator, game.discriminator)
        ]
        game.step = step
        move(game, batches)
    found = take(game, probe)
    for name, player, old in (("g", game.generator, before[0]), ("d", game.discriminator, before[1])):
        new = [p.detach() for p in player.net.parameters()]
        moved = math.sqrt(sum(float((a - b).square().sum()) for a, b in zip(new, old, strict=True)))
        size = math.sqrt(sum(float(a.square().sum()) for a in new))
        assert found[f"{name}_weights"] == pytest.approx(size, rel=1e-5)
        assert found[f"{name}_update"] == pytest.approx(moved / size, rel=1e-3)


def test_units_that_are_nought_for_every_latent_are_dead():
    game, probe = played(data())
    first, second = game.generator.net.net.layers[:2]
    with torch.no_grad():
        first.bias.fill_(100.0)
        second.bias.fill_(-1000.0)
    assert take(game, probe)["dead"] == 0.5
    with torch.no_grad():
        first.bias.fill_(-100.0)
    assert take(game, probe)["dead"] == 1.0


def test_what_is_not_finite_is_counted_and_never_written():
    game, probe = played(data())
    with torch.no_grad():
        game.generator.net.net.layers[0].weight.fill_(float("nan"))
    found = take(game, probe)
    assert found["non_finite"] > 0 and found["margin"] is None and found["spread"] is None
    json.dumps(found, allow_nan=False)


def test_equal_data_leave_ratios_unmeasured():
    x = np.full((20, 1, 3, 3), 0.5, np.float32)
    examples = dataclasses.replace(data(), train=Split(x), validation=Split(x[:3]))
    found = take(*played(examples))
    assert found["spread"] is None and found["nearness"] is None


def test_the_docs_have_a_line_for_every_signal_and_for_nothing_else():
    labelled = data(60)
    labelled = dataclasses.replace(labelled, train=Split(labelled.train.x, np.arange(60) % 2))
    text = (Path(__file__).parents[2] / "docs" / "signals.md").read_text().partition("## Rivals")[0]
    rows = [line.split("|")[1] for line in text.splitlines() if line.startswith("| `")]
    assert sorted(re.findall(r"`(\w+)`", " ".join(rows))) == sorted(take(*played(labelled)))


def test_a_run_plays_the_same_game_with_and_without_signals(tmp_path):
    for name, on in (("with", "on"), ("without", "off")):
        train(tiny(signals=on, average_decay=0.9), data(), Run(tmp_path / name))
    folders = [Run(tmp_path / name).checkpoint(12) for name in ("with", "without")]
    files = sorted(file.name for file in folders[0].iterdir() if file.suffix == ".safetensors")
    assert files and all((folders[0] / name).read_bytes() == (folders[1] / name).read_bytes() for name in files)
    logs = [
        [json.loads(line) for line in Run(tmp_path / name).log.read_text().splitlines()] for name in ("with", "without")
    ]
    assert all(line.pop("signals") for line in logs[0]) and logs[0] == logs[1]
