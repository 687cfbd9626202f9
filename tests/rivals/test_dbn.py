"""Deep belief nets: one layer is a machine, more are a directed path down from one."""

import pytest
import torch

from advnets.config import RBMConfig
from advnets.rivals.dbn import DBN
from rivals.machines import joint, states


def random(seed=0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def net(*hidden: int, size=3, seed=0, **settings) -> DBN:
    dbn = DBN(RBMConfig(hidden, **settings), size, torch.full((size,), 0.5), random(seed), chains=4).double()
    with torch.no_grad():
        draws = random(seed)
        for parameter in dbn.parameters():
            parameter.copy_(torch.randn(parameter.shape, generator=draws))
    return dbn


def shares(bits: torch.Tensor) -> torch.Tensor:
    powers = 2.0 ** torch.arange(bits.shape[1] - 1, -1, -1, dtype=bits.dtype)
    return torch.bincount((bits @ powers).long(), minlength=2 ** bits.shape[1]).double() / len(bits)


def law(dbn: DBN) -> torch.Tensor:
    """p(x) by summing over all states of every hidden layer."""
    top = joint(dbn.top).sum(1)
    for stage in reversed(range(dbn.stages - 1)):
        machine = dbn.part(stage)
        up, down = states(machine.weight.shape[1]), states(machine.weight.shape[0])
        means = machine.visible(up)
        given = torch.where(down[None] == 1, means[:, None], 1 - means[:, None]).prod(-1)
        top = top @ given
    return top.detach()


def run(dbn: DBN, chains: int, steps: int) -> torch.Tensor:
    state = dbn.start(chains, random(1))
    draws = random(2)
    for _ in range(steps):
        state = dbn.move(state, draws)
    return state


@pytest.mark.parametrize("hidden", [(2,), (3, 2), (2, 3, 2)])
def test_samples_have_the_law_that_counting_gives(hidden):
    dbn = net(*hidden)
    assert float(law(dbn).sum()) == pytest.approx(1)
    state = run(dbn, 40_000, 30)
    assert (shares(dbn.pixels(state, random(3))) - law(dbn)).abs().sum() / 2 < 0.012
    mean = law(dbn) @ states(3)
    torch.testing.assert_close(dbn.means(state, random(3)).mean(0), mean, rtol=0, atol=0.01)


def test_only_the_last_step_down_is_a_mean():
    dbn = net(3, 2)
    means = dbn.means(run(dbn, 5000, 1), random(3))
    assert len(means.unique(dim=0)) <= 8, "E[x|h_1] of the 2^3 states of h_1"
    hidden = dbn.part(0).visible(states(3))
    assert all((hidden - row).abs().sum(1).min() < 1e-12 for row in means.unique(dim=0))


@pytest.mark.parametrize("visible", ["bernoulli", "gaussian"])
def test_chains_begin_at_hidden_units_of_pixels_around_the_mean(visible):
    dbn = net(3, 2, visible=visible)
    dbn.mean.copy_(torch.tensor([0.1, 0.5, 1.0]))
    start = dbn.start(40_000, random())
    pixels = states(3)
    weights = torch.where(pixels == 1, dbn.mean, 1 - dbn.mean).prod(1)
    if visible == "gaussian":
        pixels = dbn.mean + torch.randn(40_000, 3, generator=random(4), dtype=torch.float64)
        weights = torch.full((40_000,), 1 / 40_000, dtype=torch.float64)
    h = states(3)
    up = dbn.part(0).hidden(pixels)
    law_of_h = weights @ torch.where(h[None] == 1, up[:, None], 1 - up[:, None]).prod(-1)
    expected = law_of_h @ dbn.top.hidden(h)
    torch.testing.assert_close(start.mean(0), expected.detach(), rtol=0, atol=0.015)
    assert set(start.unique().tolist()) == {0.0, 1.0}


def test_a_layer_learns_draws_of_the_hidden_units_below():
    dbn = net(3, 2, gibbs_steps=2, weight_decay=0.1)
    x = states(3)[[1, 6, 7]]
    draws, own = random(9), random(9)
    loss = dbn.loss(x, 1, draws)
    assert torch.equal(loss, dbn.part(1).loss(dbn.part(0).draw_hidden(x, own), 2, 0.1, own))
    loss.backward()
    assert all(parameter.grad is None for parameter in dbn.part(0).parameters())
    assert all(parameter.grad is not None for parameter in dbn.part(1).parameters())


def test_real_numbers_are_at_the_bottom_alone():
    dbn = net(3, 2, visible="gaussian")
    assert [dbn.part(stage).kind for stage in (0, 1)] == ["gaussian", "bernoulli"]
    pixels = dbn.pixels(run(dbn, 2000, 1), random(3))
    residual = pixels - dbn.means(run(dbn, 2000, 1), random(3))
    assert len(pixels.unique()) > 1000 and 0.8 < float(residual.std()) < 2


def test_first_pixels_biases_follow_the_mean():
    mean = torch.tensor([0.2, 0.5, 0.9])
    dbn = DBN(RBMConfig((4, 3)), 3, mean, random(), chains=2)
    torch.testing.assert_close(dbn.part(0).visible_bias.sigmoid(), mean)
    assert not dbn.part(1).visible_bias.any()


def test_chains_of_training_are_kept_where_they_are_persistent():
    assert all(layer.chains is None for layer in net(3, 2).layers)
    assert [tuple(layer.chains.shape) for layer in net(3, 2, persistent="on").layers] == [(4, 3), (4, 3)]


def test_numbers_that_are_none_are_no_error_so_that_training_can_say_so():
    dbn = net(3, 2)
    with torch.no_grad():
        dbn.part(0).weight.fill_(torch.nan)
    assert not torch.isfinite(dbn.loss(states(3), 0, random()))
