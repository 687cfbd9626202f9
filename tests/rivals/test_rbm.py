"""Restricted Boltzmann machines against the count of all their states."""

import numpy as np
import pytest
import torch
from sklearn.neural_network import BernoulliRBM

from advnets.rivals.rbm import RBM
from rivals.machines import energy, joint, log_z, machine, states


def random(seed=0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def test_energies_are_those_of_the_definition():
    rbm = machine()
    v, h = states(5)[[3, 17, 30]], states(4)[[1, 9, 14]]
    expected = [energy(rbm, one, other) for one, other in zip(v, h, strict=True)]
    torch.testing.assert_close(rbm.energy(v, h), torch.tensor(expected, dtype=torch.float64))


@pytest.mark.parametrize("hidden", [1, 4, 6])
def test_free_energy_and_conditionals_are_those_of_the_joint_law(hidden):
    rbm = machine(4, hidden)
    table, v, h = joint(rbm), states(4), states(hidden)
    torch.testing.assert_close((-rbm.free_energy(v) - log_z(rbm)).exp(), table.sum(1))
    torch.testing.assert_close((-rbm.hidden_free_energy(h) - log_z(rbm)).exp(), table.sum(0))
    torch.testing.assert_close(rbm.hidden(v), table @ h / table.sum(1, keepdim=True))
    torch.testing.assert_close(rbm.visible(h), table.T @ v / table.sum(0)[:, None])


def test_gaussian_units_have_the_law_that_quadrature_gives():
    rbm = machine(1, 3, kind="gaussian")
    v = torch.linspace(-20, 20, 20_001, dtype=torch.float64)[:, None]
    weights = torch.stack([(-rbm.energy(v, h.expand(len(v), 3))).exp() for h in states(3)])
    torch.testing.assert_close((-rbm.free_energy(v)).exp(), weights.sum(0))
    torch.testing.assert_close(rbm.visible(states(3))[:, 0], weights @ v[:, 0] / weights.sum(1), rtol=1e-6, atol=1e-6)
    drawn = rbm.draw_visible(states(3)[5].expand(20_000, 3), random())
    assert abs(float((drawn.mean() - rbm.visible(states(3)[5:6])).detach())) < 0.03
    assert abs(float(drawn.detach().std()) - 1) < 0.03


def test_the_gradient_at_the_model_s_own_law_is_that_of_the_likelihood():
    """∂(mean F(x) − E_p F) is ∂(−mean log p(x)) where the expectation is over all states."""
    rbm, x = machine(), states(5)[[0, 3, 11, 12, 29]]
    law = joint(rbm).sum(1)
    loss = rbm.free_energy(x).mean() - (law * rbm.free_energy(states(5))).sum()
    by_loss = torch.autograd.grad(loss, list(rbm.parameters()))
    likelihood = -rbm.free_energy(x).mean() - (-rbm.free_energy(states(5))).logsumexp(0)
    exact = torch.autograd.grad(-likelihood, list(rbm.parameters()))
    for one, other in zip(by_loss, exact, strict=True):
        torch.testing.assert_close(one, other)


@pytest.mark.parametrize("steps", [1, 3])
@pytest.mark.parametrize("kind", ["bernoulli", "gaussian"])
def test_the_gradient_is_that_of_contrastive_divergence(kind, steps):
    rbm, x = machine(kind=kind, scale=0.5), states(5)[[1, 4, 22, 25]]
    rbm.loss(x, steps, 0.3, random(5)).backward()
    negative = rbm.gibbs(x, steps, random(5))
    expected = (negative.T @ rbm.hidden(negative) - x.T @ rbm.hidden(x)) / 4 + 0.3 * rbm.weight
    torch.testing.assert_close(rbm.weight.grad, expected)
    torch.testing.assert_close(rbm.visible_bias.grad, (negative - x).mean(0))
    torch.testing.assert_close(rbm.hidden_bias.grad, (rbm.hidden(negative) - rbm.hidden(x)).mean(0))


def test_the_chain_ends_in_the_model_s_law():
    rbm = machine(3, 2)
    end = rbm.gibbs(rbm.noise(40_000, random(1)), 30, random(2))
    shares = torch.bincount((end @ torch.tensor([4.0, 2.0, 1.0], dtype=torch.float64)).long(), minlength=8) / len(end)
    law = joint(rbm).sum(1)
    start = torch.full((8,), 1 / 8, dtype=torch.float64)
    assert (shares - law).abs().sum() / 2 < 0.01 < (start - law).abs().sum() / 2


def test_persistent_chains_go_on_from_where_they_were_and_are_saved():
    rbm, other = machine(chains=6, seed=1), machine(chains=6, seed=2)
    first = rbm.chains.clone()
    rbm.loss(states(5)[:3], 2, 0.0, random(7))
    assert torch.equal(rbm.chains, machine(chains=6, seed=1).gibbs(first, 2, random(7)))
    other.load_state_dict(rbm.state_dict())
    assert torch.equal(other.chains, rbm.chains) and not torch.equal(first, rbm.chains)
    assert "chains" not in machine().state_dict()


def test_persistent_chains_begin_at_noise():
    chains = RBM(50, 3, random(), chains=400).chains
    assert set(chains.unique().tolist()) == {0.0, 1.0} and abs(float(chains.mean()) - 0.5) < 0.02
    normal = RBM(50, 3, random(), kind="gaussian", chains=400).chains
    assert abs(float(normal.mean())) < 0.02 and abs(float(normal.std()) - 1) < 0.02


def test_first_weights_and_biases():
    rbm = RBM(90, 60, random())
    assert 0.75 < float(rbm.weight.detach().abs().max()) <= 0.8 and not rbm.hidden_bias.any()
    assert float(RBM(90, 60, random(), kind="gaussian").weight.detach().abs().max()) <= 0.2
    rbm.begin_at(torch.linspace(0, 1, 90))
    torch.testing.assert_close(rbm.visible_bias.sigmoid(), torch.linspace(0, 1, 90).clamp(0.01, 0.99))


def test_large_numbers_do_not_overflow():
    rbm = machine(scale=1e4, dtype=torch.float32)
    loss = rbm.loss(states(5, torch.float32), 1, 1e-4, random())
    loss.backward()
    assert torch.isfinite(loss) and all(torch.isfinite(p.grad).all() for p in rbm.parameters())


def test_scikit_learn_has_the_same_conditionals_and_free_energies():
    rbm, theirs = machine(6, 4), BernoulliRBM(4)
    theirs.components_ = rbm.weight.detach().numpy().T
    theirs.intercept_visible_, theirs.intercept_hidden_ = (
        bias.detach().numpy() for bias in (rbm.visible_bias, rbm.hidden_bias)
    )
    v = states(6)
    np.testing.assert_allclose(rbm.free_energy(v).detach().numpy(), theirs._free_energy(v.numpy()))
    np.testing.assert_allclose(rbm.hidden(v).detach().numpy(), theirs._mean_hiddens(v.numpy()))


def test_learns_as_much_as_scikit_learn_in_as_many_steps():
    """Exact log-likelihood of bars, 4x2 bits, after persistent contrastive divergence on either side."""
    bars = torch.tensor([[1, 1, 0, 0, 0, 0, 0, 0], [0, 0, 1, 1, 0, 0, 0, 0], [0, 0, 0, 0, 1, 1, 1, 1]] * 10).double()
    theirs = BernoulliRBM(6, learning_rate=0.1, batch_size=10, n_iter=200, random_state=0).fit(bars.numpy())
    rbm = RBM(8, 6, random(), chains=10).double()
    with torch.no_grad():
        rbm.weight.mul_(0.05)
    optimiser = torch.optim.SGD(rbm.parameters(), lr=0.1)
    draws = random(3)
    for step in range(600):
        optimiser.zero_grad()
        rbm.loss(bars[10 * (step % 3) : 10 * (step % 3) + 10], 1, 0.0, draws).backward()
        optimiser.step()

    def likelihood(free_energy) -> float:
        return float(-free_energy(bars).mean() - (-free_energy(states(8))).logsumexp(0))

    ours = likelihood(lambda v: rbm.free_energy(v).detach())
    sklearns = likelihood(lambda v: torch.from_numpy(theirs._free_energy(v.numpy())))
    assert ours > sklearns - 0.3 and ours > -2.5, "log 1/3 = -1.1 is the best, fair bits have -5.5"
