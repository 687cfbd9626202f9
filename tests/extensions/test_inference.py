"""Learned inference: closed forms, exact resumption, and no encoder passed off as that of another generator."""

import dataclasses
import hashlib
import json
import shutil

import numpy as np
import pytest
import torch

from advnets import checksums
from advnets.config import Config, GeneratorConfig, NoiseConfig, TrainConfig, VAEConfig
from advnets.errors import InputError
from advnets.extensions import codes, encoder_fit
from advnets.extensions.encoder import Encoder, InferenceConfig, halves, support_of
from advnets.extensions.encoder_fit import Fit, fit, move
from advnets.extensions.inference import Inference, has_encoder, load_inference, settings_of
from advnets.nets.files import write_tensors
from advnets.nets.mlp import MLPGenerator
from advnets.runs import Run
from advnets.sampling import load_sampler
from advnets.seeds import stream
from advnets.training import train
from training.games import data, tiny

SHORT = InferenceConfig(hidden=(8,), steps=12, batch_size=5)


@pytest.fixture(scope="session")
def trained_once(tmp_path_factory):
    run = Run(tmp_path_factory.mktemp("game") / "run")
    train(tiny(average_decay=0.5), data(), run)
    return run


@pytest.fixture
def run(trained_once, tmp_path):
    shutil.copytree(trained_once.path, tmp_path / "run")
    return Run(tmp_path / "run")


def contents(folder, *without):
    files = {str(file.relative_to(folder)): file.read_bytes() for file in folder.rglob("*") if file.is_file()}
    return {name: content for name, content in files.items() if name not in without}


def fitted(generator, noise, steps=700, hidden=(40, 40), target="z", rate=0.005):
    """An encoder of a generator that is in no run."""
    cut = halves(generator, target)
    size = generator.net.layers[-1].out_features
    settings = InferenceConfig(steps=steps, hidden=hidden, learning_rate=rate)
    encoder = Encoder([size, *hidden, cut.size], support_of(noise, cut.activation), stream(0, "encoder-weights"))
    optimiser = torch.optim.Adam(encoder.parameters())
    state = Fit(settings, noise, cut, encoder, optimiser, stream(0, "inference"), torch.zeros(2))
    for _ in range(steps):
        move(state, None)
    return Inference(noise, cut, encoder.eval())


def toy(latent, size, hidden=(), output="linear"):
    config = GeneratorConfig(hidden=hidden, output=output, output_bias="zero", init_range=0.8)
    return MLPGenerator(config, latent, (size,), torch.zeros(size), stream(1, "weights"))


def test_of_a_linear_gaussian_generator_it_is_the_posterior_mean():
    """x = Az with z ∼ N(0, I), 4 numbers into 2: E[z | x] = A⁺x, and the least error is the lost share, 2 of 4."""
    inference = fitted(toy(4, 2), NoiseConfig("gaussian", 4), hidden=(40,))
    z, x = inference.draw(4000, seed=0)
    matrix = toy(4, 2).net.layers[0].weight.detach().numpy()
    posterior_mean = x @ np.linalg.pinv(matrix).T
    found = inference.encode(x)
    assert np.square(found - posterior_mean).mean() < 0.005
    least = np.square(posterior_mean - z).mean()
    assert least == pytest.approx(0.5, abs=0.02)
    assert least <= np.square(found - z).mean() < least + 0.005


@pytest.mark.parametrize("kind", ["uniform", "gaussian", "spherical"])
def test_z_is_recovered_from_an_invertible_generator(kind):
    inference = fitted(toy(3, 5, hidden=(20,)), NoiseConfig(kind, 3))
    recovery = codes.recovery(inference, count=2000)
    assert recovery.correlation > 0.95
    variance = 1 / 3 if kind == "spherical" else 1
    assert recovery.latent_mse < 0.1 * variance


def test_hidden_units_are_recovered_too_and_the_upper_half_rebuilds_x():
    generator, noise = toy(3, 12, hidden=(6,)), NoiseConfig("uniform", 3)
    inference = fitted(generator, noise, target="hidden-1")
    assert codes.recovery(inference, count=2000).correlation > 0.95
    _, x = inference.draw(500, seed=5)
    assert codes.reconstruction_mse(inference, x) < 0.03 * x.var()


def test_a_learned_step_is_adam_on_the_loss_of_fresh_pairs():
    """Two updates equal those of a twin that writes the loss, the noise and the gradient rule out."""
    noise, generator = NoiseConfig("uniform", 3), toy(3, 4, hidden=(5,), output="sigmoid")
    cut, settings = halves(generator, "z"), InferenceConfig(steps=4, hidden=(6,), learning_rate=0.01, batch_size=7)
    first, twin = (Encoder([4, 6, 3], support_of(noise, None), stream(0, "w")) for _ in "ab")
    state = Fit(settings, noise, cut, first, torch.optim.Adam(first.parameters()), stream(0, "i"), torch.zeros(2))
    random = stream(0, "i")
    moments = [[torch.zeros_like(p), torch.zeros_like(p)] for p in twin.parameters()]
    for step in range(2):
        move(state, None)
        z = torch.empty(7, 3).uniform_(-(3**0.5), 3**0.5, generator=random)
        x = generator(z).detach()
        loss = sum(((twin(x)[i] - z[i]) ** 2).sum() / 3 for i in range(7)) / 7
        gradients = torch.autograd.grad(loss, list(twin.parameters()))
        with torch.no_grad():
            for p, g, m in zip(twin.parameters(), gradients, moments, strict=True):
                m[0], m[1] = 0.9 * m[0] + 0.1 * g, 0.999 * m[1] + 0.001 * g**2
                mean, square = m[0] / (1 - 0.9 ** (step + 1)), m[1] / (1 - 0.999 ** (step + 1))
                p -= 0.01 * (1 - step / 4) * mean / (square.sqrt() + 1e-8)
    for one, other in zip(first.parameters(), twin.parameters(), strict=True):
        torch.testing.assert_close(one, other, rtol=1e-4, atol=1e-6)


def test_reconstruction_of_real_examples_gets_better_where_it_has_a_weight(tmp_path):
    run, examples = Run(tmp_path / "run"), data().train.x
    train(dataclasses.replace(tiny(), generator=GeneratorConfig(hidden=(8, 8), init_range=1.0)), data(), run)
    errors = []
    for weight in (0.0, 100.0):
        settings = dataclasses.replace(SHORT, steps=300, reconstruction=weight, hidden=(30,))
        fit(run, settings, examples, refit=True)
        errors.append(codes.reconstruction_mse(load_inference(run), examples))
    assert errors[1] < 0.9 * errors[0]
    assert {"latent", "reconstruction"} <= {
        *json.loads((run.path / "encoder" / "log.jsonl").read_text().splitlines()[0])
    }


@pytest.mark.parametrize("weight", [0.0, 2.0])
@pytest.mark.parametrize("cut", [1, 5, 11])
def test_interrupted_and_resumed_equals_straight_through(run, tmp_path, cut, weight):
    settings, examples = dataclasses.replace(SHORT, reconstruction=weight), data().train.x
    other = Run(shutil.copytree(run.path, tmp_path / "other"))
    fit(run, settings, examples)
    calls = iter(range(1, 100))
    stopped = fit(other, settings, examples, stop=lambda: next(calls) >= cut)
    assert (stopped.state, stopped.step) == ("interrupted", cut)
    assert not (other.path / "encoder").exists() and settings_of(other) == settings
    assert fit(other, settings, examples).state == "finished"
    whole, parts = (contents(one.path / "encoder", "config.json", "SHA256SUMS") for one in (run, other))
    assert whole == parts and {*whole} == {"encoder.safetensors", "log.jsonl"}
    assert not list(other.path.glob("*encoder?*"))


def test_killed_between_checkpoints_it_goes_on_from_the_last_one(run, tmp_path, monkeypatch):
    monkeypatch.setattr(encoder_fit, "_SAVE_EVERY", 4)
    monkeypatch.setattr(encoder_fit, "_LOG_EVERY", 3)
    other = Run(shutil.copytree(run.path, tmp_path / "other"))
    fit(run, SHORT)

    def die(done, total):
        if done == 7:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        fit(other, SHORT, report=die)
    assert Run(other.path / "encoder-training").checkpoint_steps() == [4]
    fit(other, SHORT)
    without = ("config.json", "SHA256SUMS")
    assert contents(run.path / "encoder", *without) == contents(other.path / "encoder", *without)


def test_same_seed_same_bits_other_seed_other_bits(run):
    seen = []
    for seed in (0, 1, 0):
        fit(run, dataclasses.replace(SHORT, seed=seed), refit=True)
        seen.append((run.path / "encoder" / "encoder.safetensors").read_bytes())
    assert seen[0] == seen[2] != seen[1]


def test_the_game_is_left_as_it_was(run):
    before = contents(run.path)
    fit(run, SHORT)
    assert {name: content for name, content in contents(run.path).items() if not name.startswith("encoder/")} == before


def test_a_finished_encoder_is_kept_and_another_one_has_to_be_asked_for(run):
    assert settings_of(run) is None and not has_encoder(run)
    fit(run, SHORT)
    before = contents(run.path)
    assert fit(run, SHORT).seconds == 0 and fit(run, SHORT, refit=True).seconds == 0
    assert contents(run.path) == before and settings_of(run) == SHORT and has_encoder(run)
    other = dataclasses.replace(SHORT, steps=3, hidden=(4,))
    with pytest.raises(InputError, match=r"made with hidden 8 there and 4 here, steps 12 there and 3 here.*--refit"):
        fit(run, other)
    assert contents(run.path) == before
    fit(run, other, refit=True)
    assert settings_of(run) == other


def test_an_interrupted_refit_leaves_the_old_encoder_in_use(run):
    fit(run, SHORT)
    before = contents(run.path / "encoder")
    other = dataclasses.replace(SHORT, seed=5)
    assert fit(run, other, refit=True, stop=lambda: True).state == "interrupted"
    assert contents(run.path / "encoder") == before and settings_of(run) == SHORT
    load_inference(run)
    assert fit(run, other, refit=True).state == "finished" and settings_of(run) == other
    assert not (run.path / "encoder-training").exists()


def test_an_unfinished_one_goes_on_only_as_it_began(run):
    fit(run, SHORT, stop=lambda: True)
    with pytest.raises(InputError, match=r"encoder-training was made with seed 0 there and 1 here"):
        fit(run, dataclasses.replace(SHORT, seed=1))
    fit(run, dataclasses.replace(SHORT, seed=1), refit=True)
    assert settings_of(run).seed == 1


@pytest.mark.parametrize("unfinished", [False, True])
def test_an_encoder_is_not_that_of_a_generator_that_trained_on(run, unfinished):
    fit(run, SHORT, stop=lambda: unfinished)
    train(tiny(average_decay=0.5, steps=20), data(), run, resume=True)
    message = r"belongs to average of step 12 and the run holds average of step 20, allowed: .*--refit"
    with pytest.raises(InputError, match=message):
        fit(run, SHORT)
    if not unfinished:
        with pytest.raises(InputError, match=message):
            load_inference(run)
    fit(run, SHORT, refit=True)
    load_inference(run)


def test_other_weights_of_the_same_step_are_another_generator(run):
    fit(run, SHORT)
    net = load_sampler(run).net
    folder = run.checkpoint(12)
    (folder / "average.safetensors").unlink()
    write_tensors({name: 2 * tensor for name, tensor in net.state_dict().items()}, folder / "average.safetensors")
    sums = (folder / "SHA256SUMS").read_text().splitlines()
    digest = hashlib.sha256((folder / "average.safetensors").read_bytes()).hexdigest()
    lines = [f"{digest}  average.safetensors" if line.endswith("  average.safetensors") else line for line in sums]
    (folder / "SHA256SUMS").write_text("\n".join(lines) + "\n")
    with pytest.raises(InputError, match="an encoder of the same weights"):
        load_inference(run)


@pytest.mark.parametrize("file", ["encoder.safetensors", "config.json", "log.jsonl"])
def test_a_damaged_encoder_is_refused_in_one_line_and_can_be_fitted_anew(run, file):
    fit(run, SHORT)
    content = (run.path / "encoder" / file).read_bytes()
    (run.path / "encoder" / file).write_bytes(content.replace(b"1", b"2"))
    with pytest.raises(InputError, match=r"damaged|allowed"):
        load_inference(run)
    fit(run, SHORT, refit=True)
    load_inference(run)


@pytest.mark.parametrize("hidden", [[65536, 65536], [4], "8", [-1], None])
def test_settings_that_do_not_fit_the_weights_are_refused_before_a_net_is_made(run, hidden):
    """Even where checksums are right: whoever writes a folder can write those."""
    fit(run, SHORT)
    folder = run.path / "encoder"
    content = json.loads((folder / "config.json").read_text())
    content["inference"]["hidden"] = hidden
    (folder / "config.json").write_text(json.dumps(content))
    (folder / "SHA256SUMS").unlink()
    checksums.write(folder)
    with pytest.raises(InputError):
        load_inference(run)


def test_without_an_encoder_and_without_examples(run):
    with pytest.raises(InputError, match=r"has no encoder, allowed: .*advnets encode"):
        load_inference(run)
    with pytest.raises(InputError, match=r"--reconstruction is 1.0 and needs real examples"):
        fit(run, dataclasses.replace(SHORT, reconstruction=1.0))
    with pytest.raises(InputError, match="was made with other examples"):
        settings = dataclasses.replace(SHORT, reconstruction=1.0)
        fit(run, settings, data().train.x)
        fit(run, settings, data(seed=1).train.x)


def rival(tmp_path, **settings):
    config = Config("rival", train=TrainConfig(steps=3, batch_size=5, optimiser="adam", learning_rate=0.01), **settings)
    run = Run(tmp_path / "rival")
    train(config, data(), run)
    return run


def test_a_vae_brings_its_own_encoder(tmp_path):
    run = rival(tmp_path, vae=VAEConfig(hidden=(6,), latent=2, visible="bernoulli"))
    inference, x = load_inference(run), torch.from_numpy(data().test.x)
    model = load_sampler(run).net
    with torch.no_grad():
        mean = model.posterior(x.flatten(1))[0]
        means = model.decoder(mean).sigmoid().reshape(x.shape)
    np.testing.assert_allclose(inference.encode(data().test.x), mean, atol=1e-6)
    np.testing.assert_allclose(inference.decode(mean.numpy()), means, atol=1e-6)
    assert has_encoder(run)
    with pytest.raises(InputError, match="an encoder of its own"):
        fit(run, SHORT)
