import math

import numpy as np
import pytest
import torch
from scipy import stats

from advnets.config import Config, DataConfig, VAEConfig
from advnets.data import load
from advnets.evaluation import evaluate
from advnets.evaluation.evaluate import Plan, Scene
from advnets.evaluation.progress import silent
from advnets.evaluation.subjects import Subject
from advnets.rivals.vae import VAE
from advnets.sampling import Sampler
from advnets.seeds import stream


@pytest.fixture(scope="module")
def scene():
    data = load(DataConfig("digits"))
    subject = Subject(lambda count, seed: data.test.x[:count], DataConfig("digits"), {})
    return Scene(subject, data, Plan(samples=100), data.test.x[:100], lambda name: silent)


def test_real_rows_are_a_random_choice_since_files_are_in_the_order_of_their_writers(scene):
    for chosen, part in zip(scene.parts, (scene.data.train.x, scene.data.test.x), strict=True):
        rows = [int(np.flatnonzero((part == image).all((1, 2, 3)))[0]) for image in chosen]
        assert len(rows) == 100
        assert np.median(rows) > 100  # not the first hundred
        assert rows != sorted(rows)
    again = Scene(scene.subject, scene.data, scene.plan, scene.samples, scene.progress)
    np.testing.assert_array_equal(again.parts[0], scene.parts[0])


def linear_vae(train: torch.Tensor, config: VAEConfig) -> VAE:
    """x = b + .4·(two principal directions)·z + noise of variance .1; q is the posterior with e times its variance."""
    model, mean = VAE(config, 64, train.mean(0), stream(0, "test")), train.mean(0)
    weight = 0.4 * torch.linalg.svd(train - mean)[2][:2].T
    precision = 1 + 0.4**2 / 0.1
    with torch.no_grad():
        model.log_variance.fill_(math.log(0.1))
        model.decoder[0].weight.copy_(weight)
        model.encoder[0].weight.copy_(torch.cat([weight.T / (0.1 * precision), torch.zeros(2, 64)]))
        model.encoder[0].bias.copy_(torch.cat([-weight.T @ mean / (0.1 * precision), torch.ones(2)]))
        model.encoder[0].bias[2:] -= math.log(precision)
    return model


def test_a_linear_vae_is_annealed_and_bounded_as_its_closed_form_says(scene, monkeypatch):
    monkeypatch.setattr(evaluate, "_ANNEALING", {"steps": 60, "chains": 32, "leapfrog": 3})
    data, config = scene.data, Config("vae", vae=VAEConfig((), 2, "gaussian"))
    model = linear_vae(torch.from_numpy(data.train.x).flatten(1), config.vae)
    sampler = Sampler(config, model, data.scaling, 0, "model", data.shape)
    subject = Subject(scene.subject.draw, DataConfig("digits"), {}, sampler=sampler)
    found = evaluate.evaluate(subject, data, Plan(("ais",), samples=10))["ais"]
    x = data.test.x[:16].reshape(16, 64)
    weight, bias = model.decoder[0].weight.detach().double().numpy(), model.decoder[0].bias.detach().double().numpy()
    assert model.posterior(torch.from_numpy(x))[0].abs().max() > 2, "a prior within root 3 would do worse"
    exact = stats.multivariate_normal(bias, weight @ weight.T + 0.1 * np.eye(64)).logpdf(x)
    error = exact.std(ddof=1) / 4
    assert (found["mean"], found["standard_error"]) == pytest.approx((exact.mean(), error), abs=0.1)
    importance = found["importance_bound"], found["importance_bound_standard_error"]
    assert importance == pytest.approx((exact.mean(), error), abs=0.02)
    gap = math.e - 2  # of two units of z, (e − 1 − 1)/2 each
    assert (found["elbo"], found["elbo_standard_error"]) == pytest.approx((exact.mean() - gap, error), abs=0.05)
