"""Observation models of decoders against scipy, and their likelihoods by annealing against quadrature over z."""

import copy
import itertools
import math

import numpy as np
import pytest
import torch
from scipy import stats
from scipy.integrate import trapezoid
from scipy.special import expit, logsumexp, xlogy
from torch import Tensor, nn

from advnets.config import NoiseConfig, VAEConfig
from advnets.errors import InputError, NotMeasurable
from advnets.evaluation.ais import DecoderLikelihood, annealed_importance_sampling, bdmc, simulate
from advnets.evaluation.observation import BernoulliPixels, GaussianPixels, of_vae
from advnets.rivals.vae import VAE
from advnets.seeds import stream

LINE = NoiseConfig("gaussian", 1)


def normal(*shape: int, seed: int) -> Tensor:
    return torch.randn(shape, generator=stream(seed, "test"), dtype=torch.float64)


class Curve(nn.Module):
    """A curve in the logits of five bits, without a closed form."""

    def forward(self, z: Tensor) -> Tensor:
        return torch.cat([3 * z, z.square() - 1, 4 * torch.sin(2 * z), -2 * z, z + 1], dim=1)


def by_quadrature(decoder: nn.Module, x: Tensor, sigma: float | None = None) -> np.ndarray:
    """log p(x) for one latent unit: the trapezoidal rule over z from −10 to 10; bits where sigma is None."""
    z, pixels = np.linspace(-10, 10, 2001), x.numpy()
    with torch.no_grad():
        outputs = decoder(torch.from_numpy(z)[:, None])[:, None].numpy()
    if sigma is None:
        log_p = xlogy(pixels, expit(outputs)) + xlogy(1 - pixels, expit(-outputs))
    else:
        log_p = stats.norm.logpdf(pixels, outputs, sigma)
    return np.log(trapezoid(stats.norm.pdf(z)[:, None] * np.exp(log_p.sum(-1)), z, axis=0))


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_densities_are_those_of_scipy(dtype):
    outputs, x = normal(3, 4, 2, 3, seed=1).to(dtype), torch.rand(3, 2, 3, generator=stream(2, "test")).to(dtype)
    gaussian = stats.norm.logpdf(x[:, None].double(), outputs.double(), 0.3).sum((2, 3))
    found = GaussianPixels(0.3).log_likelihood(outputs, x)
    assert found.dtype == torch.float64
    np.testing.assert_allclose(found, gaussian, rtol=1e-6)
    bits = x.round()
    bernoulli = stats.bernoulli.logpmf(bits[:, None].double(), outputs.double().sigmoid()).sum((2, 3))
    found = BernoulliPixels().log_likelihood(outputs, bits)
    assert found.dtype == torch.float64
    np.testing.assert_allclose(found, bernoulli, rtol=1e-12)


def test_grey_levels_count_as_means_of_bits():
    outputs = normal(1, 4, 2, seed=1)
    first, second = (
        BernoulliPixels().log_likelihood(outputs, torch.tensor([row]).double()) for row in ([1, 0], [0, 0])
    )
    both = BernoulliPixels().log_likelihood(outputs, torch.tensor([[0.3, 0.0]]).double())
    torch.testing.assert_close(both, 0.3 * first + 0.7 * second)


def test_extreme_logits_keep_their_log_likelihoods_and_slopes():
    logits = torch.tensor([[[1000.0, -1000.0, 1000.0, -1000.0, 0.0]]], requires_grad=True)
    value = BernoulliPixels().log_kernel(logits, torch.tensor([[1.0, 0.0, 0.0, 1.0, 0.5]]))
    assert value.item() == pytest.approx(-2000 - math.log(2))
    value.sum().backward()
    torch.testing.assert_close(logits.grad, torch.tensor([[[0.0, 0.0, -1.0, 1.0, 0.0]]]))


def test_draws_follow_their_law():
    outputs = torch.tensor([-40.0, -1.0, 0.5, 40.0]).expand(20_000, -1)
    bits = BernoulliPixels().draw(outputs, stream(0, "test"))
    assert set(bits.unique().tolist()) == {0.0, 1.0}
    torch.testing.assert_close(bits.mean(0), outputs[0].sigmoid(), atol=0.015, rtol=0)
    assert abs(float(bits.T[1:3].corrcoef()[0, 1])) < 0.03
    noise = GaussianPixels(0.3).draw(outputs, stream(0, "test")) - outputs
    assert stats.kstest(noise[:, 1] / 0.3, "norm").pvalue > 1e-3
    for pixels in (BernoulliPixels(), GaussianPixels(0.3)):
        assert torch.equal(pixels.draw(outputs, stream(3, "test")), pixels.draw(outputs, stream(3, "test")))


@pytest.mark.parametrize("sigma", [0.0, -1.0, math.inf, math.nan])
def test_noise_of_no_width_is_refused(sigma):
    with pytest.raises(InputError, match=r"sigma is .*, allowed is a finite number above 0; set sigma"):
        GaussianPixels(sigma)


@pytest.mark.parametrize("value", [-0.01, 1.01])
def test_examples_beyond_0_and_1_are_refused_where_pixels_are_bits(value):
    x = np.full((3, 5), 0.5)
    x[1, 2] = value
    settings = {"steps": 2, "chains": 2, "leapfrog": 1, "seed": 0}
    with pytest.raises(InputError, match=r"x reaches from .* to .*, allowed is 0 to 1, .*; rescale x") as caught:
        annealed_importance_sampling(Curve(), LINE, x, observation=BernoulliPixels(), **settings)
    assert "\n" not in str(caught.value)
    annealed_importance_sampling(Curve(), LINE, x, observation=GaussianPixels(1.0), **settings)


def test_logits_that_are_not_finite_are_not_measurable():
    net = nn.Linear(1, 5).double()
    net.bias.data[2] = math.inf
    with pytest.raises(NotMeasurable, match="not finite"):
        annealed_importance_sampling(
            net, LINE, np.ones((2, 5)), observation=BernoulliPixels(), steps=2, chains=2, leapfrog=1, seed=0
        )


def test_bits_and_grey_levels_within_a_tenth_of_a_nat_of_quadrature():
    every, grey = np.array(list(itertools.product([0.0, 1.0], repeat=5))), [0.2, 0.9, 0.5, 0.0, 1.0]
    x = np.concatenate([every, [grey]])
    found = annealed_importance_sampling(
        Curve(), LINE, x, observation=BernoulliPixels(), steps=80, chains=254, leapfrog=3, seed=0
    )
    truth = by_quadrature(Curve(), torch.from_numpy(x))
    assert truth.std() > 0.5, "the examples differ by more than the tolerance"
    np.testing.assert_allclose(found.log_likelihoods, truth, rtol=0, atol=0.1)
    assert logsumexp(found.log_likelihoods[:-1]) == pytest.approx(0, abs=0.02), "a law of 32 patterns"


def test_bounds_bracket_the_exact_value_of_bits():
    settings = {"observation": BernoulliPixels(), "seed": 4}
    _, x = simulate(Curve(), LINE, 500, **settings)
    truth = by_quadrature(Curve(), torch.from_numpy(x))
    gaps = []
    for steps in (2, 25):
        found = bdmc(Curve(), LINE, examples=500, steps=steps, chains=2, leapfrog=3, **settings)
        below, above = truth - np.array(found.lower_bounds), np.array(found.upper_bounds) - truth
        for gap in (below, above):
            error = gap.std() / math.sqrt(len(gap))
            assert gap.mean() > -3 * error
            if steps == 2:
                assert gap.mean() > 3 * error, "short chains leave a gap on both sides"
        gaps.append(found.gap)
    assert gaps[0] > 4 * gaps[1]


@pytest.fixture(scope="module", params=["bernoulli", "gaussian"])
def trained(request) -> tuple[VAE, Tensor]:
    """A variational autoencoder after a short training, its q made wider, and examples it was not trained on."""
    random, gaussian = stream(1, "test"), request.param == "gaussian"
    z = torch.randn(1000, 1, generator=random)
    logits = Curve()(z)
    noise = 0.3 * torch.randn(logits.shape, generator=random)
    x = logits.sigmoid() + noise if gaussian else torch.bernoulli(logits.sigmoid(), generator=random)
    model = VAE(VAEConfig((12,), 1, request.param), 5, x.mean(0), random)
    optimiser = torch.optim.Adam(model.parameters(), 2e-2)
    for rows in torch.arange(980).split(98) * 15:
        optimiser.zero_grad()
        model.loss(x[rows], 0, random).backward()
        optimiser.step()
    with torch.no_grad():
        model.encoder[-1].bias[1] += 1.0  # e times the variance: the bound falls by (e − 2)/2 nats, and holds
    return model.double(), x[980:].double()


def standard_errors(found: DecoderLikelihood) -> np.ndarray:
    """Of each estimate, by the delta method: the variance of the mean of w over its square is 1/ESS − 1/chains."""
    return np.sqrt(1 / np.array(found.effective_sample_sizes) - 1 / found.annealing.chains)


def test_a_trained_vae_lies_above_its_own_bounds_and_near_quadrature(trained):
    model, x = trained
    found = annealed_importance_sampling(
        model.decoder, LINE, x.numpy(), observation=of_vae(model), steps=100, chains=64, leapfrog=4, seed=0
    )
    sigma = None if model.log_variance is None else math.exp(model.log_variance.item() / 2)
    truth = by_quadrature(model.decoder, x, sigma)
    np.testing.assert_allclose(found.log_likelihoods, truth, rtol=0, atol=0.1)
    draws = torch.stack([model.elbo(x, stream(seed, "elbo"), 20) for seed in range(40)]).detach().numpy()
    weighted = torch.stack([model.importance_bound(x, stream(seed, "weighted"), 20) for seed in range(40)]).numpy()
    (elbo, elbo_error), (importance, importance_error) = (
        (rows.mean(), rows.mean(1).std() / math.sqrt(40)) for rows in (draws, weighted)
    )
    error = math.sqrt(np.square(standard_errors(found)).sum()) / len(x)
    assert elbo < importance - 0.1 - 3 * (elbo_error + importance_error), "q is visibly not the posterior"
    assert importance < found.mean + 3 * (importance_error + error)
    assert importance_error < 0.01 and error < 0.01


def test_the_observation_model_of_a_vae_is_its_density_of_pixels(trained):
    model, x = trained
    z = normal(20, 6, 1, seed=1)
    with torch.no_grad():
        slow = model.log_likelihood(x[:, None], z)
        torch.testing.assert_close(of_vae(model).log_likelihood(model.decoder(z), x), slow)


def test_single_precision_of_bits_agrees_with_double(trained):
    model, x = trained
    settings = {"observation": of_vae(model), "steps": 50, "chains": 32, "leapfrog": 3, "seed": 0}
    double = annealed_importance_sampling(model.decoder, LINE, x.numpy(), **settings)
    single = annealed_importance_sampling(copy.deepcopy(model.decoder).float(), LINE, x.numpy(), **settings)
    assert single.mean == pytest.approx(double.mean, abs=0.05)
