"""Partition functions against the count of all states, and likelihoods against laws that sum to one."""

import math

import pytest
import torch

from advnets.errors import InputError
from advnets.rivals.partition import (
    annealed_log_partition,
    exact_log_partition,
    importance_bound,
    log_likelihood,
    lower_bound,
)
from rivals.machines import joint, log_z, machine, states
from rivals.test_dbn import law, net


def random(seed=0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


@pytest.mark.parametrize(("size", "hidden"), [(5, 4), (4, 5), (3, 3), (6, 1)])
def test_counting_the_smaller_layer_counts_both(size, hidden):
    rbm = machine(size, hidden)
    assert exact_log_partition(rbm) == pytest.approx(log_z(rbm), abs=1e-9)


def test_counting_in_blocks_counts_all():
    rbm = machine(14, 13, scale=0.5)
    free = rbm.free_energy(states(14))
    assert exact_log_partition(rbm) == pytest.approx(float((-free).logsumexp(0).detach()), abs=1e-9)


def test_real_numbers_are_integrated_out():
    rbm = machine(1, 3, kind="gaussian")
    v = torch.linspace(-30, 30, 60_001, dtype=torch.float64)[:, None]
    by_quadrature = math.log(float((-rbm.free_energy(v).detach()).exp().sum()) * 1e-3)
    assert exact_log_partition(rbm) == pytest.approx(by_quadrature, abs=1e-6)


@pytest.mark.parametrize("scale", [0.1, 1.0, 2.0])
@pytest.mark.parametrize("kind", ["bernoulli", "gaussian"])
def test_annealing_is_within_a_tenth_of_a_nat_of_counting(kind, scale):
    rbm = machine(8, 10, scale=scale if kind == "bernoulli" else scale / 3, kind=kind)
    estimate = annealed_log_partition(rbm, random(1), particles=200, temperatures=400)
    assert abs(estimate.value - exact_log_partition(rbm)) < 0.1
    assert 0 <= estimate.standard_error < 0.1 and (estimate.particles, estimate.temperatures) == (200, 400)


def test_annealing_tells_its_error():
    rbm = machine(8, 10, scale=1.5)
    estimates = [annealed_log_partition(rbm, random(seed), particles=20, temperatures=20) for seed in range(150)]
    errors = torch.tensor([one.value - exact_log_partition(rbm) for one in estimates])
    told = torch.tensor([one.standard_error for one in estimates]).mean()
    assert 0.75 < float(errors.std() / told) < 1.35


def test_without_weights_there_is_nothing_to_anneal():
    rbm = machine(6, 4)
    with torch.no_grad():
        rbm.weight.zero_()
        rbm.hidden_bias.zero_()
    estimate = annealed_log_partition(rbm, random(), particles=3, temperatures=2)
    assert estimate.value == pytest.approx(exact_log_partition(rbm), abs=1e-12) and estimate.standard_error == 0


def test_probabilities_of_all_states_sum_to_one():
    rbm = machine()
    assert float(log_likelihood(rbm, states(5), exact_log_partition(rbm)).exp().sum()) == pytest.approx(1)


def test_a_layer_too_large_to_count_is_refused():
    with pytest.raises(InputError, match="the smaller layer has 21 units, allowed: up to 20, to count their states"):
        exact_log_partition(machine(30, 21))


def divergence_and_posterior(dbn):
    """KL(Q(h|x) ‖ p(h|x)) of two layers for every x, by counting, and log p(x)."""
    lower, h = dbn.part(0), states(dbn.part(0).weight.shape[1])
    x = states(dbn.part(0).weight.shape[0])
    prior = joint(dbn.top).sum(1).log()
    means = lower.visible(h)
    log_given = torch.where(x[:, None] == 1, means.log(), (1 - means).log()).sum(-1)  # rows x, columns h
    log_joint = log_given + prior
    upward = lower.hidden(x)
    log_q = torch.where(h[None] == 1, upward[:, None].log(), (1 - upward[:, None]).log()).sum(-1)
    log_p = log_joint.logsumexp(1)
    return (log_q.exp() * (log_q - log_joint + log_p[:, None])).sum(1).detach(), log_p.detach()


def test_the_bound_is_below_the_likelihood_by_the_divergence_of_the_upward_law():
    dbn = net(3, 2)
    divergence, log_p = divergence_and_posterior(dbn)
    torch.testing.assert_close(log_p, law(dbn).log())
    bound = lower_bound(dbn, states(3), exact_log_partition(dbn.top), random(), draws=4000)
    torch.testing.assert_close(bound, log_p - divergence, rtol=0, atol=0.08)
    assert divergence.max() > 0.3, "or the two would be told apart by nothing"


def test_more_draws_take_the_bound_to_the_likelihood():
    dbn = net(3, 2)
    log_z, (divergence, log_p) = exact_log_partition(dbn.top), divergence_and_posterior(dbn)
    one, many = (importance_bound(dbn, states(3), log_z, random(), draws) for draws in (1, 20_000))
    torch.testing.assert_close(one, lower_bound(dbn, states(3), log_z, random(), draws=1))
    torch.testing.assert_close(many, log_p, rtol=0, atol=0.05)
    assert divergence.max() > 0.3, "or the two would be told apart by nothing"


def test_the_bound_of_real_numbers_is_below_their_density():
    dbn = net(3, 2, visible="gaussian")
    x, h = torch.randn(40, 3, generator=random(), dtype=torch.float64), states(3)
    prior = joint(dbn.top).sum(1)
    squares = (x[:, None] - dbn.part(0).visible(h)).square().sum(-1)
    density = (prior * (-squares / 2).exp()).sum(1).detach() / (2 * math.pi) ** 1.5
    bound = lower_bound(dbn, x, exact_log_partition(dbn.top), random(), draws=1000)
    gap = density.log() - bound
    assert (gap > -0.05).all() and 0.01 < gap.mean() < 3


def test_the_bound_of_one_layer_is_exact():
    dbn = net(3)
    bound = lower_bound(dbn, states(3), exact_log_partition(dbn.top), random(), draws=1)
    torch.testing.assert_close(bound, law(dbn).log())


def test_the_bound_is_exact_where_the_upper_machine_mirrors_the_lower():
    """Two machines with tied weights, W_2 = W_1ᵀ, are one: the upward law is then the true posterior."""
    dbn = net(4, 3)
    lower, upper = dbn.part(0), dbn.part(1)
    with torch.no_grad():
        upper.weight.copy_(lower.weight.T)
        upper.visible_bias.copy_(lower.hidden_bias)
        upper.hidden_bias.copy_(lower.visible_bias)
    bound = lower_bound(dbn, states(3), exact_log_partition(upper), random(), draws=1)
    torch.testing.assert_close(bound, law(dbn).log())


def test_a_mean_of_few_temperatures_is_unbiased():
    """Moves belong to the temperature that the weight has just reached: at the one before it the mean is another."""
    rbm = machine(5, 4, scale=1.0)
    estimate = annealed_log_partition(rbm, random(1), particles=200_000, temperatures=3)
    assert abs(estimate.value - exact_log_partition(rbm)) < 4 * estimate.standard_error < 0.05


@pytest.mark.parametrize("wrong", [{"particles": 1}, {"temperatures": 0}])
def test_an_estimate_of_nothing_is_refused(wrong):
    with pytest.raises(InputError, match="allowed: 2 or more, and 1 or more; set both so"):
        annealed_log_partition(machine(), random(), **wrong)
