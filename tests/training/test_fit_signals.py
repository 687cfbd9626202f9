"""Signals of rivals: each against its definition, counted by hand; and training that is the same without them."""

import dataclasses
import json
import math
import re
from pathlib import Path

import numpy as np
import pytest
import torch

from advnets.config import CAEConfig, ChainConfig, Config, GSNConfig, RBMConfig, TrainConfig, VAEConfig
from advnets.data.dataset import Split
from advnets.rivals.bits import draw_bits
from advnets.runs import Run
from advnets.training import train
from advnets.training.batches import Batches
from advnets.training.fit import move, new_fit
from advnets.training.fit_signals import new_probe, take
from training.games import data as noise

TRAIN = TrainConfig(steps=12, batch_size=5, log_every=4, sample_every=12, checkpoint_every=5, device="cpu")
CHAIN = ChainConfig(chains=7, burn_in=3, thinning=2)
MODELS = {
    "rbm": {"rbm": RBMConfig((6,))},
    "persistent": {"rbm": RBMConfig((6,), persistent="on", gibbs_steps=2)},
    "dbn": {"rbm": RBMConfig((6, 4), layer_steps=4, persistent="on")},
    "cae": {"cae": CAEConfig((6, 4), layer_steps=7, contraction=0.1)},
    "gsn": {"gsn": GSNConfig((6, 4))},
    "vae": {"vae": VAEConfig((6,), latent=3)},
    "gaussian": {"vae": VAEConfig((6,), latent=3, visible="gaussian")},
}


def rival(name, **settings):
    return dataclasses.replace(
        Config(name, train=dataclasses.replace(TRAIN, **settings), chain=CHAIN, **MODELS[name]),
    )


def data():
    """Validation data that training has not seen."""
    return dataclasses.replace(noise(), validation=noise(20, seed=1).train)


def fitted(name, steps=6, examples=None, **settings):
    examples = examples or data()
    fit = new_fit(rival(name, **settings), examples, torch.device("cpu"))
    batches = Batches(torch.from_numpy(examples.train.x).flatten(1), 5, 0)
    for _ in range(steps):
        move(fit, batches)
    if steps:
        fit.model.requires_grad_(False)  # so that numbers are read without a warning
    return fit, new_probe(fit.model, examples, 0)


def random():
    return torch.Generator().manual_seed(3)


def taken(fit, probe, moved=None):
    return take(fit.model, fit.stage, probe, moved, random())


def sigmoid(a):
    return 1 / (1 + math.exp(-a))


@torch.no_grad()
def free_energy(machine, v):
    """F(v) of bits, a unit at a time."""
    total = -sum(float(b * one) for b, one in zip(machine.visible_bias, v, strict=True))
    for j, c in enumerate(machine.hidden_bias):
        total -= math.log1p(math.exp(float(c) + sum(float(machine.weight[i, j] * v[i]) for i in range(len(v)))))
    return total


def mean(numbers):
    return sum(numbers) / len(numbers)


@pytest.mark.parametrize("name", ["rbm", "persistent"])
def test_scores_of_a_machine_are_mean_free_energies(name):
    fit, probe = fitted(name)
    found = taken(fit, probe)
    assert len(probe.train) == 31 and len(probe.held_out) == 20
    train, held_out = (mean([free_energy(fit.model.top, v) for v in x]) for x in (probe.train, probe.held_out))
    assert found["train_score"] == pytest.approx(train, rel=1e-5)
    assert found["held_out_score"] == pytest.approx(held_out, rel=1e-5)
    assert found["gap"] == pytest.approx(held_out - train, abs=1e-4)


def test_scores_of_an_upper_machine_are_on_draws_from_below():
    fit, probe = fitted("dbn")
    assert fit.stage == 1
    found, draws = taken(fit, probe), random()
    below = [draw_bits(fit.model.part(0).hidden(x), draws).detach() for x in (probe.train, probe.held_out)]
    train, held_out = (mean([free_energy(fit.model.part(1), v) for v in x]) for x in below)
    assert (found["train_score"], found["held_out_score"]) == pytest.approx((train, held_out), rel=1e-5)


@pytest.mark.parametrize("steps", [3, 9])
def test_scores_of_an_autoencoder_are_its_loss_in_nats(steps):
    fit, probe = fitted("cae", steps)
    assert fit.stage == steps // 7
    layer = fit.model.part(fit.stage)
    rows = probe.held_out if fit.stage == 0 else fit.model.part(0).encode(probe.held_out).detach()
    total = 0.0
    for x in rows.tolist():
        h = [
            sigmoid(float(b) + sum(float(w) * one for w, one in zip(row, x, strict=True)))
            for row, b in zip(layer.weight, layer.hidden_bias, strict=True)
        ]
        for i, (one, bias) in enumerate(zip(x, layer.visible_bias, strict=True)):
            p = sigmoid(float(bias) + sum(float(layer.weight[j, i]) * h[j] for j in range(len(h))))
            total -= one * math.log(p) + (1 - one) * math.log(1 - p)
        total += 0.1 * sum((one * (1 - one)) ** 2 * float((layer.weight[j] ** 2).sum()) for j, one in enumerate(h))
    assert taken(fit, probe)["held_out_score"] == pytest.approx(total / len(rows), rel=1e-4)


def test_scores_of_a_stochastic_network_are_nats_a_reconstruction():
    fit, probe = fitted("gsn")
    draws = random()
    expected = [float(fit.model.loss(x, 0, draws)) * 9 / 4 for x in (probe.train, probe.held_out)]  # 9 pixels, 4 steps
    found = taken(fit, probe)
    assert (found["train_score"], found["held_out_score"]) == pytest.approx(expected, rel=1e-6)


@pytest.mark.parametrize("name", ["vae", "gaussian"])
def test_scores_of_a_variational_autoencoder_are_minus_its_bound(name):
    fit, probe = fitted(name)
    draws = random()
    expected = [-float(fit.model.elbo(x, draws, 1).mean()) for x in (probe.train, probe.held_out)]
    found = taken(fit, probe)
    assert (found["train_score"], found["held_out_score"]) == pytest.approx(expected, rel=1e-6)


@pytest.mark.parametrize("name", ["rbm", "cae"])
def test_told_apart_is_the_share_of_held_out_examples_worse_than_the_middle_training_example(name):
    examples = dataclasses.replace(noise(51), validation=noise(60, seed=1).train)
    fit, probe = fitted(name, 3, examples)
    part = fit.model.part(0)
    score = part.free_energy if name == "rbm" else lambda x: part.losses(x, 0.1)
    middle = sorted(score(probe.train).tolist())[25]  # of 51
    expected = sum(one > middle for one in score(probe.held_out).tolist()) / 60
    assert 0 < expected < 1 and taken(fit, probe)["told_apart"] == expected
    assert taken(*fitted(name, 3))["told_apart"] is None, "31 and 20 say too little"


@pytest.mark.parametrize("name", ["cae", "gsn", "vae", "gaussian"])
def test_over_mean_is_what_is_lost_to_the_mean_example(name):
    fit, probe = fitted(name, 3)
    means = [mean(column) for column in zip(*probe.train.tolist(), strict=True)]
    differences = [[a - m for a, m in zip(x, means, strict=True)] for x in probe.train.tolist()]
    variance = mean([mean([one**2 for one in row]) for row in differences])
    total = 0.0
    for x in probe.held_out.tolist():
        for one, m in zip(x, means, strict=True):
            if name == "gaussian":
                total += (one - m) ** 2 / variance / 2 + math.log(2 * math.pi * variance) / 2
            else:
                total -= one * math.log(m) + (1 - one) * math.log(1 - m)
    found = taken(fit, probe)
    own = found["held_out_score"]
    if name == "cae":  # the contraction is no part of what examples lose
        own = float(fit.model.part(0).losses(probe.held_out, 0.0).mean())
    assert found["over_mean"] == pytest.approx(own - total / len(probe.held_out), abs=1e-4)


@pytest.mark.parametrize("name", MODELS)
def test_the_last_update_is_that_of_the_weights(name):
    fit, probe = fitted(name, 0, momentum=0.0, final_momentum=0.0)
    batches = Batches(torch.from_numpy(data().train.x).flatten(1), 5, 0)
    for step in range(8):
        before = [p.detach().clone() for p in fit.model.parameters()]
        move(fit, batches)
        if step == 3:
            assert fit.moved is not None and fit.moved > 0, "a line is due after four steps"
    after = [p.detach() for p in fit.model.parameters()]
    moved = math.sqrt(sum(float((a - b).square().sum()) for a, b in zip(after, before, strict=True)))
    size = math.sqrt(sum(float(p.detach().square().sum()) for p in fit.model.part(fit.stage).parameters()))
    found = taken(fit, probe, fit.moved)
    assert (found["weights"], found["update"]) == pytest.approx((size, moved / size), rel=1e-5)


@pytest.mark.parametrize("name", ["rbm", "dbn", "cae"])
def test_units_that_hardly_vary_are_dead(name):
    fit, probe = fitted(name, 9)
    part = fit.model.part(fit.stage)
    assert taken(fit, probe)["dead"] == 0
    with torch.no_grad():
        part.hidden_bias[0], part.hidden_bias[1] = 100.0, -100.0
    assert taken(fit, probe)["dead"] == 2 / len(part.hidden_bias)


def test_a_unit_is_dead_below_a_hundredth():
    fit, probe = fitted("rbm")
    slope = float(probe.train.sum(1).std(correction=0)) / 4  # of 1/(1 + e^-a) at 0
    with torch.no_grad():
        fit.model.top.weight[:, :2] = torch.tensor([0.009, 0.011]) / slope
        fit.model.top.hidden_bias[:2] = -fit.model.top.weight[:, :2].T @ probe.train.mean(0)
    assert taken(fit, probe)["dead"] == 1 / 6


def test_units_of_every_hidden_layer_of_a_stochastic_network_count():
    fit, probe = fitted("gsn")
    with torch.no_grad():
        fit.model.biases[1][2], fit.model.biases[2][0] = 100.0, -100.0
    h = torch.tanh(probe.train @ fit.model.weights[0] + fit.model.biases[1])
    by_hand = [h, torch.tanh(h @ fit.model.weights[1] + fit.model.biases[2])]
    dead = sum(float(one[:, j].std(correction=0)) < 0.01 for one in by_hand for j in range(one.shape[1]))
    assert dead >= 2 and taken(fit, probe)["dead"] == dead / 10


def test_latents_that_say_nothing_of_x_are_dead():
    fit, probe = fitted("vae")
    with torch.no_grad():
        top = fit.model.encoder[-1]
        top.weight[[0, 3]], top.bias[[0, 3]] = 0.0, 0.0  # mean and log-variance of the first: N(0, 1) for every x
        top.bias[1] = 3.0
        top.bias[2] = 3.0
    assert taken(fit, probe)["dead"] == 1 / 3


@pytest.mark.parametrize("name", ["persistent", "dbn"])
def test_spread_is_that_of_particles_over_that_of_the_data_as_bits(name):
    fit, probe = fitted(name)
    draws = random()
    machine = fit.model.part(fit.stage)
    real = [probe.train, probe.held_out]
    if fit.stage:
        real = [draw_bits(fit.model.part(0).hidden(x), draws) for x in real]
    real = draw_bits(real[0], draws)
    ratio = float(machine.chains.numpy().var(0).sum() / real.detach().numpy().var(0).sum())
    assert taken(fit, probe)["spread"] == pytest.approx(ratio, rel=1e-5)
    machine.chains[:] = machine.chains[0].clone()
    assert taken(fit, probe)["spread"] == 0


def test_only_persistent_machines_have_a_spread():
    assert all(("spread" in taken(*fitted(name))) == (name in ("persistent", "dbn")) for name in MODELS)


def test_equal_data_leave_the_spread_unmeasured():
    examples = dataclasses.replace(data(), train=Split(np.ones((20, 1, 3, 3), np.float32)))
    assert taken(*fitted("persistent", examples=examples))["spread"] is None


@pytest.mark.parametrize("name", MODELS)
def test_what_is_not_finite_is_counted_and_never_written(name):
    fit, probe = fitted(name)
    assert taken(fit, probe)["non_finite"] == 0
    with torch.no_grad():
        next(fit.model.part(fit.stage).parameters()).fill_(float("nan"))
    found = taken(fit, probe, 1.0)
    assert found["non_finite"] > 0 and found["train_score"] is None and found["update"] is None
    json.dumps(found, allow_nan=False)


@pytest.mark.parametrize("name", MODELS)
def test_a_run_trains_the_same_with_and_without_signals(tmp_path, name):
    for folder, on in (("with", "on"), ("without", "off")):
        train(rival(name, signals=on), data(), Run(tmp_path / folder))
    folders = [Run(tmp_path / one).checkpoint(12) for one in ("with", "without")]
    files = sorted(file.name for file in folders[0].iterdir() if file.suffix == ".safetensors")
    assert files and all((folders[0] / one).read_bytes() == (folders[1] / one).read_bytes() for one in files)
    logs = [
        [json.loads(line) for line in Run(tmp_path / one).log.read_text().splitlines()] for one in ("with", "without")
    ]
    assert all(line.pop("signals") for line in logs[0]) and logs[0] == logs[1]


def test_the_docs_have_a_line_for_every_signal_of_rivals_and_for_nothing_else():
    text = (Path(__file__).parents[2] / "docs" / "signals.md").read_text().partition("## Rivals")[2]
    rows = [line.split("|")[1] for line in text.splitlines() if line.startswith("| `")]
    there = {*taken(*fitted("persistent")), *taken(*fitted("cae"))}
    assert sorted(re.findall(r"`(\w+)`", " ".join(rows))) == sorted(there)
