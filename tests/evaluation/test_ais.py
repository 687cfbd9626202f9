"""Annealed importance sampling against densities known in closed form, and its bounds against each other."""

import dataclasses
import json
import math

import numpy as np
import pytest
import torch
from scipy import stats
from scipy.special import iv, logsumexp
from torch import nn

from advnets import noise
from advnets.config import NoiseConfig
from advnets.errors import InputError, NotMeasurable
from advnets.evaluation.ais import annealed_importance_sampling, bdmc, simulate, to_latent
from advnets.evaluation.hamiltonian import Chains, transition
from advnets.evaluation.observation import GaussianPixels
from advnets.seeds import stream

GAUSSIAN = NoiseConfig("gaussian", 10)
WIDE = NoiseConfig("gaussian", 1)


def linear(latent, pixels, seed=0):
    """x = W·z + b with columns of W of very different lengths."""
    random = stream(seed, "test")
    net = nn.Linear(latent, pixels).double()
    lengths = torch.logspace(0, -1, latent, dtype=torch.float64)
    net.weight.data = torch.randn(pixels, latent, dtype=torch.float64, generator=random) * lengths / math.sqrt(latent)
    net.bias.data = torch.randn(pixels, dtype=torch.float64, generator=random)
    return net


def exact(net, x, sigma):
    """log N(x; b, W·Wᵀ + σ²·I)."""
    weight, bias = net.weight.detach().numpy(), net.bias.detach().numpy()
    covariance = weight @ weight.T + sigma**2 * np.eye(len(bias))
    return stats.multivariate_normal(bias, covariance).logpdf(x.reshape(-1, len(bias)))


def mean_error(values):
    return values.mean(), values.std(ddof=1) / math.sqrt(len(values))


def test_linear_gaussian_decoder_within_a_tenth_of_a_nat():
    net, sigma = linear(10, 30), 0.3
    _, x = simulate(net, GAUSSIAN, 4, observation=GaussianPixels(sigma), seed=1)
    found = annealed_importance_sampling(
        net, GAUSSIAN, x, observation=GaussianPixels(sigma), steps=600, chains=400, leapfrog=4, seed=2
    )
    truth = exact(net, x, sigma)
    assert truth.std() > 1, "the examples differ by more than the tolerance"
    np.testing.assert_allclose(found.log_likelihoods, truth, rtol=0, atol=0.1)


def test_a_point_far_from_the_model_is_measured_too():
    net, sigma = linear(3, 8), 0.5
    x = np.stack([net.bias.detach().numpy() + shift for shift in (0.0, 3.0)])
    found = annealed_importance_sampling(
        net, NoiseConfig("gaussian", 3), x, observation=GaussianPixels(sigma), steps=400, chains=32, leapfrog=4, seed=2
    )
    np.testing.assert_allclose(found.log_likelihoods, exact(net, x, sigma), rtol=0, atol=0.1)


@pytest.mark.parametrize("low", [-1.0, 0.5])
def test_uniform_prior_in_closed_form(low):
    high, sigma = 2.0, 0.2
    prior = NoiseConfig("uniform", 1, low=low, high=high)
    x = np.linspace(low - 0.5, high + 0.5, 9)[:, None]
    found = annealed_importance_sampling(
        nn.Identity(), prior, x, observation=GaussianPixels(sigma), steps=100, chains=512, leapfrog=4, seed=0
    )
    share = stats.norm.cdf((x[:, 0] - low) / sigma) - stats.norm.cdf((x[:, 0] - high) / sigma)
    np.testing.assert_allclose(found.log_likelihoods, np.log(share / (high - low)), rtol=0, atol=0.1)


@pytest.mark.parametrize("d", [2, 3, 5])
def test_spherical_prior_in_closed_form(d):
    # ∫ exp(κ·cos) over the unit sphere in d dimensions is Γ(d/2)·(2/κ)^(d/2 − 1)·I_{d/2−1}(κ), κ = |x|/σ².
    sigma, radii = 0.5, np.array([0.2, 1.0, 1.7])
    x = np.zeros((3, d))
    x[:, -1] = radii
    order, kappa = d / 2 - 1, radii / sigma**2
    integral = np.log(iv(order, kappa)) + math.lgamma(d / 2) - order * np.log(kappa / 2)
    truth = integral - (radii**2 + 1) / (2 * sigma**2) - d / 2 * math.log(2 * math.pi * sigma**2)
    found = annealed_importance_sampling(
        nn.Identity(),
        NoiseConfig("spherical", d),
        x,
        observation=GaussianPixels(sigma),
        steps=100,
        chains=64,
        leapfrog=4,
        seed=0,
    )
    np.testing.assert_allclose(found.log_likelihoods, truth, rtol=0, atol=0.1)


PRIORS = [NoiseConfig("uniform", 3, low=-1.0, high=3.0), NoiseConfig("gaussian", 3), NoiseConfig("spherical", 3)]


@pytest.mark.parametrize("prior", PRIORS, ids=lambda prior: prior.kind)
def test_the_map_from_normal_numbers_has_the_prior_s_law(prior):
    u = torch.randn(4000, 3, generator=stream(0, "normal"))
    z, drawn = to_latent(prior, u), noise.draw(prior, 4000, stream(1, "test"))
    for column, other in zip(z.T, drawn.T, strict=True):
        assert stats.ks_2samp(column.numpy(), other.numpy()).pvalue > 1e-3
    torch.testing.assert_close(z.norm(dim=1).std(), drawn.norm(dim=1).std(), atol=0.03, rtol=0)
    assert torch.equal(to_latent(prior, u[None])[0], z), "the last axis is that of z"


@pytest.fixture(scope="module")
def short_chains():
    """One chain for each of many one-dimensional examples, long enough to adapt its steps, and the exact density."""
    net, sigma = nn.Linear(1, 1).double(), 0.7
    net.weight.data.fill_(1.5)
    net.bias.data.fill_(0.3)
    settings = {"observation": GaussianPixels(sigma), "steps": 25, "chains": 1, "leapfrog": 2, "seed": 3}
    _, x = simulate(net, WIDE, 20_000, observation=GaussianPixels(sigma), seed=3)
    return net, x, exact(net, x, sigma), bdmc(net, WIDE, examples=20_000, **settings)


def test_forward_weights_are_unbiased(short_chains):
    # E[w] = p(x), at any number of steps: only with transitions that leave their targets invariant.
    _, _, truth, found = short_chains
    mean, error = mean_error(np.exp(np.array(found.lower_bounds) - truth))
    assert error < 0.01
    assert abs(mean - 1) < 4 * error


def test_inverse_reverse_weights_are_unbiased(short_chains):
    # E[1/w] = 1/p(x) for chains that start at the z that made x.
    _, _, truth, found = short_chains
    mean, error = mean_error(np.exp(truth - np.array(found.upper_bounds)))
    assert error < 0.01
    assert abs(mean - 1) < 4 * error


def test_single_step_is_importance_sampling_from_the_prior():
    # No transition at all: log w = log N(x; G(z), σ²I), z ~ p_z, whose mean for x = W·z + b has a closed form.
    net, sigma = linear(2, 3), 1.0
    x = net.bias.detach().numpy()[None].repeat(2, 0)
    found = annealed_importance_sampling(
        net, NoiseConfig("gaussian", 2), x, observation=GaussianPixels(sigma), steps=1, chains=4000, leapfrog=1, seed=0
    )
    np.testing.assert_allclose(found.log_likelihoods, exact(net, x, sigma), rtol=0, atol=0.05)
    assert 1 < min(found.effective_sample_sizes) < max(found.effective_sample_sizes) < 4000


@pytest.mark.parametrize("seed", range(3))
def test_bounds_bracket_the_exact_value_and_more_steps_narrow_them(seed):
    net, sigma, examples = linear(10, 30), 0.1, 24
    _, x = simulate(net, GAUSSIAN, examples, observation=GaussianPixels(sigma), seed=seed)
    truth = exact(net, x, sigma)
    gaps = []
    for steps in (10, 40, 160):
        found = bdmc(
            net,
            GAUSSIAN,
            observation=GaussianPixels(sigma),
            examples=examples,
            steps=steps,
            chains=4,
            leapfrog=4,
            seed=seed,
        )
        below, below_error = mean_error(truth - np.array(found.lower_bounds))
        above, above_error = mean_error(np.array(found.upper_bounds) - truth)
        assert below > -3 * below_error
        assert above > -3 * above_error
        if steps == 10:
            assert below > 3 * below_error and above > 3 * above_error, "short chains leave a gap on both sides"
        gaps.append(found.gap)
    assert gaps[0] > 3 * gaps[1] > 9 * gaps[2]


def test_schedule_spends_its_steps_where_they_are_needed():
    # Measured for these 40 steps: 18 to 25 nats, by the sigmoid of Wu et al. 72 to 84, by equal steps 450 to 510.
    found = bdmc(
        linear(10, 30), GAUSSIAN, observation=GaussianPixels(0.03), examples=24, steps=40, chains=4, leapfrog=4, seed=0
    )
    assert found.gap < 40


def test_bdmc_reports_the_means_of_its_bounds():
    net = linear(10, 30)
    found = bdmc(net, GAUSSIAN, observation=GaussianPixels(0.3), examples=5, steps=10, chains=2, leapfrog=2, seed=0)
    lower, upper = np.array(found.lower_bounds), np.array(found.upper_bounds)
    assert (found.lower, found.lower_standard_error) == pytest.approx(mean_error(lower))
    assert (found.upper, found.upper_standard_error) == pytest.approx(mean_error(upper))
    assert (found.gap, found.gap_standard_error) == pytest.approx(mean_error(upper - lower))
    assert json.loads(json.dumps(dataclasses.asdict(found)))["n"] == 5


def test_more_chains_do_what_log_mean_exp_does():
    # With one seed the estimate over k chains is a mean over chains of equal law, so it rises with k on average.
    net, sigma = linear(10, 30), 0.3
    _, x = simulate(net, GAUSSIAN, 20, observation=GaussianPixels(sigma), seed=5)
    means = [
        annealed_importance_sampling(
            net, GAUSSIAN, x, observation=GaussianPixels(sigma), steps=10, chains=k, leapfrog=2, seed=1
        ).mean
        for k in (1, 8, 64)
    ]
    assert means[0] < means[1] < means[2] < exact(net, x, sigma).mean() + 0.5


def test_proposals_that_overflow_are_refused():
    def evaluate(u):  # a net whose outputs are not finite for |u| > 1
        inside = torch.where(u.abs() > 1, torch.nan, 0.0)
        return Chains(u, inside.sum(2).double(), inside)

    chains = evaluate(torch.zeros(2, 50, 3))
    far, near = torch.tensor([5.0, 1e-3], dtype=torch.float64), torch.ones(2, dtype=torch.float64)
    moved, acceptance = transition(evaluate, chains, near, far, 2, stream(0, "test"))
    assert all(torch.isfinite(part).all() for part in (*moved, acceptance))
    assert (moved.u[0] == 0).all() and (acceptance[0] == 0).all()
    assert (moved.u[1] != 0).all() and (acceptance[1] > 0.999).all()


def test_acceptance_is_near_its_target():
    net, sigma = linear(10, 30), 0.1
    _, x = simulate(net, GAUSSIAN, 10, observation=GaussianPixels(sigma), seed=5)
    found = annealed_importance_sampling(
        net, GAUSSIAN, x, observation=GaussianPixels(sigma), steps=200, chains=8, leapfrog=4, seed=1
    )
    assert found.acceptance == pytest.approx(0.65, abs=0.05)


class Dropping(nn.Module):
    """A decoder that is another function in training mode, with one part kept in evaluation mode on purpose."""

    def __init__(self):
        super().__init__()
        self.linear = nn.Linear(4, 6)
        self.dropout = nn.Dropout(0.5)
        self.frozen = nn.BatchNorm1d(6)
        self.train()
        self.frozen.eval()

    def forward(self, z):
        return self.frozen(self.dropout(self.linear(z)))


def test_net_is_used_in_evaluation_mode_and_left_as_it_was():
    net, prior = Dropping(), NoiseConfig("gaussian", 4)
    before = {name: value.clone() for name, value in net.state_dict().items()}
    untouched = torch.full_like(net.linear.weight, 7.0)
    net.linear.weight.grad = untouched.clone()
    global_random = torch.get_rng_state()
    settings = {"observation": GaussianPixels(0.5), "steps": 20, "chains": 4, "leapfrog": 2, "seed": 0}

    trained = bdmc(net, prior, examples=3, **settings)

    assert net.training and net.dropout.training and not net.frozen.training
    assert torch.equal(net.linear.weight.grad, untouched) and net.linear.bias.grad is None
    assert all(parameter.requires_grad for parameter in net.parameters())
    assert all(torch.equal(value, before[name]) for name, value in net.state_dict().items())
    assert torch.equal(torch.get_rng_state(), global_random)
    with torch.no_grad():
        assert bdmc(net.eval(), prior, examples=3, **settings) == trained
    assert not net.dropout.training


def test_is_a_function_of_the_seed():
    net = linear(10, 30)
    _, x = simulate(net, GAUSSIAN, 3, observation=GaussianPixels(0.3), seed=0)

    def estimate(seed):
        return annealed_importance_sampling(
            net, GAUSSIAN, x, observation=GaussianPixels(0.3), steps=5, chains=2, leapfrog=2, seed=seed
        )

    assert estimate(1) == estimate(1)
    assert estimate(1).log_likelihoods != estimate(2).log_likelihoods


def test_layout_of_examples_does_not_matter():
    net = linear(10, 30)
    _, x = simulate(net, GAUSSIAN, 4, observation=GaussianPixels(0.3), seed=0)
    locked = x.copy()
    locked.setflags(write=False)
    settings = {"observation": GaussianPixels(0.3), "steps": 5, "chains": 2, "leapfrog": 2, "seed": 0}
    found = annealed_importance_sampling(net, GAUSSIAN, x, **settings)
    for same in (locked, np.asfortranarray(x), x[::-1].copy()[::-1]):
        assert annealed_importance_sampling(net, GAUSSIAN, same, **settings) == found


def test_single_precision_agrees_with_double():
    net, sigma = linear(10, 30), 0.3
    _, x = simulate(net, GAUSSIAN, 6, observation=GaussianPixels(sigma), seed=1)
    truth = exact(net, x, sigma)
    found = annealed_importance_sampling(
        net.float(),
        GAUSSIAN,
        x.astype(np.float32),
        observation=GaussianPixels(sigma),
        steps=400,
        chains=16,
        leapfrog=4,
        seed=2,
    )
    assert found.mean == pytest.approx(truth.mean(), abs=0.2)


def test_images_and_blocks_of_examples():
    class Picture(nn.Module):
        def __init__(self):
            super().__init__()
            self.linear = linear(3, 12)

        def forward(self, z):
            return self.linear(z).unflatten(1, (3, 2, 2))

    net, prior, seen = Picture(), NoiseConfig("gaussian", 3), []
    _, x = simulate(net, prior, 500, observation=GaussianPixels(1.0), seed=0)
    assert x.shape == (500, 3, 2, 2)
    found = annealed_importance_sampling(
        net,
        prior,
        x,
        observation=GaussianPixels(1.0),
        steps=20,
        chains=30,
        leapfrog=2,
        seed=0,
        report=lambda *now: seen.append(now),
    )
    np.testing.assert_allclose(found.log_likelihoods, exact(net.linear, x, 1.0), rtol=0, atol=0.7)
    assert found.mean == pytest.approx(exact(net.linear, x, 1.0).mean(), abs=0.02)
    total = seen[0][1]
    assert seen == [(done, total) for done in range(1, total + 1)]
    assert total > 20, "more than one block"


def test_simulated_examples_follow_the_model():
    net, sigma = linear(10, 30), 0.3
    u, x = simulate(net, GAUSSIAN, 4000, observation=GaussianPixels(sigma), seed=0)
    residual = x - net(u).detach().numpy()
    assert stats.kstest(residual.ravel()[:5000] / sigma, "norm").pvalue > 1e-3
    assert stats.kstest(u.numpy().ravel()[:5000], "norm").pvalue > 1e-3


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"steps": 0}, "steps is 0"),
        ({"chains": 0}, "chains is 0"),
        ({"leapfrog": 0}, "leapfrog is 0"),
        ({"x": np.zeros((3, 7))}, "(30,)"),
        ({"x": np.zeros((1, 30))}, "2 or more"),
        ({"x": np.full((3, 30), np.nan)}, "not finite"),
    ],
)
def test_refusals(change, words):
    settings = {
        "x": np.zeros((3, 30)),
        "observation": GaussianPixels(0.3),
        "steps": 5,
        "chains": 2,
        "leapfrog": 2,
        "seed": 0,
    } | change
    with pytest.raises(InputError) as caught:
        annealed_importance_sampling(linear(10, 30), GAUSSIAN, **settings)
    assert words in str(caught.value) and "\n" not in str(caught.value)


def test_net_that_diverged_is_not_measurable():
    net = linear(10, 30)
    net.bias.data[3] = math.nan
    with pytest.raises(NotMeasurable, match="not finite"):
        annealed_importance_sampling(
            net, GAUSSIAN, np.zeros((3, 30)), observation=GaussianPixels(0.3), steps=5, chains=2, leapfrog=2, seed=0
        )


def test_effective_sample_size_by_hand():
    # A decoder that ignores z gives every chain the same weight.
    net = nn.Linear(2, 3).double()
    net.weight.data.zero_()
    found = annealed_importance_sampling(
        net,
        NoiseConfig("gaussian", 2),
        np.zeros((2, 3)),
        observation=GaussianPixels(1.0),
        steps=3,
        chains=5,
        leapfrog=1,
        seed=0,
    )
    assert found.effective_sample_sizes == pytest.approx((5, 5))
    bias = net.bias.detach().numpy()
    by_hand = -(bias @ bias) / 2 - 1.5 * math.log(2 * math.pi)
    assert found.log_likelihoods == pytest.approx((by_hand, by_hand))
    assert found.standard_error == pytest.approx(0, abs=1e-12)


def test_brute_force_on_a_bent_decoder():
    # log p(x) by a fine grid over z, for a decoder without a closed form and a posterior with two modes.
    class Bent(nn.Module):
        def forward(self, z):
            return torch.cat([z.square(), torch.sin(2 * z)], dim=1)

    sigma, grid = 0.3, np.linspace(-8, 8, 200_001)
    x = np.array([[1.0, 0.0], [0.0, 0.0], [2.5, 0.3]])
    outputs = np.stack([grid**2, np.sin(2 * grid)], axis=1)
    log_joint = [
        stats.norm.logpdf(grid) + stats.norm.logpdf(row, outputs, sigma).sum(1) + math.log(grid[1] - grid[0])
        for row in x
    ]
    found = annealed_importance_sampling(
        Bent(), WIDE, x, observation=GaussianPixels(sigma), steps=200, chains=64, leapfrog=4, seed=0
    )
    np.testing.assert_allclose(found.log_likelihoods, logsumexp(log_joint, axis=1), rtol=0, atol=0.1)
