"""Rivals train as adversarial nets do: exact over interruptions, honest about numbers that are not finite."""

import dataclasses
import json

import pytest
import torch

from advnets import checksums
from advnets.config import CAEConfig, ChainConfig, Config, GSNConfig, RBMConfig, TrainConfig, VAEConfig
from advnets.errors import InputError
from advnets.runs import Run
from advnets.sampling import load_sampler
from advnets.seeds import stream
from advnets.training import train
from advnets.training.batches import Batches
from advnets.training.fit import move, new_fit
from training.games import data

TRAIN = TrainConfig(steps=12, batch_size=5, log_every=4, sample_every=6, checkpoint_every=5, device="cpu")
CHAIN = ChainConfig(chains=7, burn_in=3, thinning=2)
MODELS = {
    "rbm": {"rbm": RBMConfig((6,))},
    "persistent": {"rbm": RBMConfig((6,), persistent="on", gibbs_steps=2)},
    "dbn": {"rbm": RBMConfig((6, 4, 5), layer_steps=4, persistent="on")},
    "cae": {"cae": CAEConfig((6, 4), layer_steps=7)},
    "gsn": {"gsn": GSNConfig((6, 4))},
    "vae": {"vae": VAEConfig((6,), latent=3), "train": dataclasses.replace(TRAIN, optimiser="adam")},
}


def rival(name: str, **settings) -> Config:
    config = Config(name, train=TRAIN, chain=CHAIN)
    config = dataclasses.replace(config, **MODELS[name])
    return dataclasses.replace(config, train=dataclasses.replace(config.train, **settings))


def bits(run: Run) -> dict[str, bytes]:
    folder = run.checkpoint(run.checkpoint_steps()[-1])
    files = {file.name: file.read_bytes() for file in folder.iterdir()}
    return files | {"log.jsonl": run.log.read_bytes(), "samples": (run.path / "samples.png").read_bytes()}


@pytest.mark.parametrize("cut", [4, 7])
@pytest.mark.parametrize("name", MODELS)
def test_interrupted_and_resumed_equals_straight_through(tmp_path, name, cut):
    whole, parts = Run(tmp_path / "whole"), Run(tmp_path / "parts")
    assert train(rival(name), data(), whole).state == "finished"
    count = iter(range(1, 100))
    assert train(rival(name), data(), parts, stop=lambda: next(count) >= cut).state == "interrupted"
    assert parts.status().items() >= {"step": cut, "state": "interrupted"}.items()
    assert train(rival(name), data(), parts, resume=True).state == "finished"
    assert bits(whole) == bits(parts)


@pytest.mark.parametrize("name", ["dbn", "cae"])
def test_more_steps_on_a_finished_run_equal_a_longer_run(tmp_path, name):
    long, short = Run(tmp_path / "long"), Run(tmp_path / "short")
    train(rival(name, steps=16), data(), long)
    train(rival(name), data(), short)
    train(rival(name, steps=16), data(), short, resume=True)
    assert bits(long) == bits(short)


@pytest.mark.parametrize("name", ["dbn", "cae"])
def test_a_stack_trains_a_layer_at_a_time(name):
    config = rival(name, steps=14)
    fit = new_fit(config, data(), torch.device("cpu"))
    batches = Batches(torch.from_numpy(data().train.x).flatten(1), 5, 0)
    before = {key: tensor.clone() for key, tensor in fit.model.state_dict().items()}
    for step in range(14):
        move(fit, batches)
        now = {key: tensor.clone() for key, tensor in fit.model.state_dict().items()}
        moved = {key for key in now if not torch.equal(now[key], before[key])}
        own = {id(tensor) for tensor in fit.model.part(fit.stage).state_dict(keep_vars=True).values()}
        names = {key for key, tensor in fit.model.state_dict(keep_vars=True).items() if id(tensor) in own}
        assert moved and moved <= names
        layers = fit.model.stages
        assert fit.stage == min(step // config.layer_steps, layers - 1)
        before = now


@pytest.mark.parametrize("name", MODELS)
def test_samples_are_of_the_data_s_shape_and_follow_from_the_seed(tmp_path, name):
    run = Run(tmp_path / "run")
    train(rival(name), data(), run)
    sampler = load_sampler(run)
    first, again, other = sampler.draw(9, 1), sampler.draw(9, 1), sampler.draw(9, 2)
    assert first.shape == (9, 1, 3, 3) and first.min() >= 0 and first.max() <= 1
    assert (first == again).all() and not (first == other).all()
    assert (sampler.draw(20, 1)[:7] == first[:7]).all(), "the first state of each chain"
    with pytest.raises(
        InputError, match=r"lines through z are drawn for adversarial nets alone, allowed: a run of these"
    ):
        sampler.from_latents(torch.zeros(1, 3))


def test_samples_in_place_of_means_are_bits(tmp_path):
    run = Run(tmp_path / "run")
    train(dataclasses.replace(rival("dbn"), chain=dataclasses.replace(CHAIN, pixels="samples")), data(), run)
    assert set(load_sampler(run).draw(50).ravel()) == {0.0, 1.0}


def test_a_run_that_diverges_says_so_and_keeps_its_last_good_checkpoint(tmp_path):
    run = Run(tmp_path / "run")
    outcome = train(rival("vae", learning_rate=1e30, checkpoint_every=1, optimiser="momentum"), data(), run)
    assert (outcome.state, outcome.verdict.name, run.status()["state"]) == ("diverged", "diverged", "diverged")
    assert run.status()["verdict"] == "diverged"


def test_a_verdict_outlasts_an_interruption(tmp_path):
    run = Run(tmp_path / "run")
    settings = {"learning_rate": 1e-9, "minimum_learning_rate": 1e-9, "log_every": 1}
    count = iter(range(1, 100))
    outcome = train(rival("gsn", **settings), data(), run, stop=lambda: next(count) >= 10)
    status = run.status()
    assert (outcome.verdict.name, status["verdict"], status["evidence"]) == (
        "stalled",
        "stalled",
        outcome.verdict.evidence,
    )
    assert outcome.verdict.evidence.startswith("in all steps together")
    assert train(rival("gsn", **settings), data(), run, resume=True).verdict.name == "stalled"


@pytest.mark.parametrize("name", ["dbn", "vae"])
def test_the_log_tells_the_loss_and_the_layer(tmp_path, name):
    run = Run(tmp_path / "run")
    train(rival(name), data(), run)
    lines = [json.loads(line) for line in run.log.read_text().splitlines()]
    assert [line["step"] for line in lines] == [4, 8, 12]
    assert (lines[0]["layer"] == 1 and lines[-1]["layer"] == len(getattr(rival(name).rival, "hidden", ()))) or name in (
        "gsn",
        "vae",
    )
    assert all(isinstance(line["loss"], float) for line in lines)


def test_data_beyond_0_and_1_are_refused_where_units_are_bits(tmp_path):
    wild = dataclasses.replace(data(), train=dataclasses.replace(data().train, x=data().train.x * 3))
    with pytest.raises(InputError, match=r"data reach from 0\.\d+ to 2\.\d+, allowed: data from 0 to 1; set --data"):
        train(rival("rbm"), wild, Run(tmp_path / "run"))
    gaussian = dataclasses.replace(rival("rbm"), rbm=RBMConfig((6,), visible="gaussian"))
    assert train(gaussian, wild, Run(tmp_path / "run")).state == "finished"


def test_a_checkpoint_of_another_model_is_refused(tmp_path):
    run, other = Run(tmp_path / "run"), Run(tmp_path / "other")
    train(rival("rbm"), data(), run)
    train(rival("dbn"), data(), other)
    folder = run.checkpoint(12)
    (folder / "model.safetensors").write_bytes((other.checkpoint(12) / "model.safetensors").read_bytes())
    (folder / "SHA256SUMS").unlink()
    checksums.write(folder)
    with pytest.raises(InputError, match=r"holds weights of another net than config\.json describes"):
        load_sampler(run)
    with pytest.raises(InputError, match=r"holds weights of another net than config\.json describes"):
        train(rival("rbm", steps=16), data(), run, resume=True)


def test_a_layer_that_is_not_due_yet_is_refused(tmp_path):
    run = Run(tmp_path / "run")
    train(rival("dbn"), data(), run)
    file = run.checkpoint(12) / "state.json"
    file.write_text(json.dumps({**json.loads(file.read_text()), "step": 3}))
    (file.parent / "SHA256SUMS").unlink()
    checksums.write(file.parent)
    with pytest.raises(InputError, match=r"state\.json holds weights of another net than config\.json describes"):
        train(rival("dbn", steps=16), data(), run, resume=True)


def test_another_seed_draws_other_weights():
    fits = [new_fit(dataclasses.replace(rival("gsn"), seed=seed), data(), torch.device("cpu")) for seed in (0, 0, 1)]
    first, again, other = (torch.cat([p.flatten() for p in fit.model.parameters()]) for fit in fits)
    assert torch.equal(first, again) and not torch.equal(first, other)
    assert stream(0, "weights").initial_seed() != stream(0, "play").initial_seed()
