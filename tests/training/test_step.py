import dataclasses
import math

import pytest
import torch

import oracles
from advnets import objectives
from advnets.nets.init import layer_weights
from advnets.training.step import paper_step, released_step
from training.games import TINY, data, dirac, game_of, tiny

STEPS = {"paper": paper_step, "released": released_step}
WEIGHTS = {"non-saturating": (0.0, 1.0), "minimax": (1.0, 0.0), "blend": (0.7, 1.9)}


def gradients(net):
    return [parameter.grad for parameter in net.parameters()]


@pytest.mark.parametrize("weights", WEIGHTS.values(), ids=WEIGHTS)
@pytest.mark.parametrize("scale", [1.0, 60.0], ids=["calm", "confident"])
def test_one_pass_equals_two_passes(weights, scale, monkeypatch):
    """Gradients of both players, float64, with dropout; also where D is sure of every fake."""
    config = tiny(precision="64-true", minimax_weight=weights[0], non_saturating_weight=weights[1])
    game, batches = game_of(config, data())
    with torch.no_grad():
        for parameter in game.discriminator.net.logit.parameters():
            parameter.mul_(scale).sub_(scale / 6)
    monkeypatch.setattr(type(game), "update", lambda self, player, per_epoch, **more: None)  # keep the gradients
    latents, mask_seed = game.latents(5), 11
    game.random.manual_seed(mask_seed)
    monkeypatch.setattr(type(game), "latents", lambda self, count, c=None: latents)
    released_step(game, batches)
    d_twin, g_twin = oracles.two_pass_gradients(
        game.generator.net,
        game.discriminator.net,
        batches[0],
        latents,
        mask_seed,
        objectives.released_discriminator_loss,
        lambda logits: objectives.generator_loss(logits, *weights),
    )
    for mine, twin in zip(
        gradients(game.discriminator.net) + gradients(game.generator.net), d_twin + g_twin, strict=True
    ):
        torch.testing.assert_close(mine, twin, rtol=1e-10, atol=1e-10 * max(1.0, float(twin.abs().max())))
    assert any(float(twin.abs().max()) > 1e-6 for twin in g_twin), "the comparison is not of zeros"


def test_one_pass_survives_a_logit_of_minus_1000():
    game, batches = game_of(tiny(), data())
    with torch.no_grad():
        game.discriminator.net.logit.bias.fill_(-1000.0)
    released_step(game, batches)
    for player in (game.generator, game.discriminator):
        assert all(torch.isfinite(parameter).all() for parameter in player.net.parameters())


@pytest.mark.parametrize("mode", STEPS)
@pytest.mark.parametrize("theta", [0.8, -0.3])
@pytest.mark.parametrize(("minimax", "non_saturating"), [(1.0, 0.0), (0.0, 1.0)])
def test_dirac_gan_update_is_the_closed_form(mode, theta, minimax, non_saturating):
    psi, rate = 0.6, 0.1
    game, batches = dirac(theta, psi, rate, mode=mode, minimax_weight=minimax, non_saturating_weight=non_saturating)
    STEPS[mode](game, batches)
    half = 0.5 if mode == "released" else 1.0
    new_psi = psi - rate * half * oracles.sigmoid(psi * theta) * theta
    seen = new_psi if mode == "paper" else psi  # in Algorithm 1 G answers the updated D
    push = minimax * oracles.sigmoid(seen * theta) + non_saturating * oracles.sigmoid(-seen * theta)
    assert game.discriminator.net.psi.item() == pytest.approx(new_psi, rel=1e-12)
    assert game.generator.net.theta.item() == pytest.approx(theta + rate * push * seen, rel=1e-12)


@pytest.mark.parametrize("mode", STEPS)
def test_both_generator_losses_share_the_fixed_point_and_no_other(mode):
    for minimax, non_saturating in ((1.0, 0.0), (0.0, 1.0)):
        rest = {"mode": mode, "minimax_weight": minimax, "non_saturating_weight": non_saturating}
        game, batches = dirac(0.0, 0.0, 0.1, **rest)
        STEPS[mode](game, batches)
        assert game.generator.net.theta.item() == game.discriminator.net.psi.item() == 0.0
        for theta, psi in ((0.5, 0.0), (0.0, 0.5)):
            game, batches = dirac(theta, psi, 0.1, **rest)
            STEPS[mode](game, batches)
            assert (game.generator.net.theta.item(), game.discriminator.net.psi.item()) != (theta, psi)


def test_minimax_game_circles_the_fixed_point():
    """θ̇ = σ(ψθ)ψ, ψ̇ = −σ(ψθ)θ turns at constant distance; with small steps the angle runs on and the radius stays."""
    game, batches = dirac(0.5, 0.0, 0.01, mode="released", minimax_weight=0.5, non_saturating_weight=0.0)
    turned = False
    for step in range(1500):
        released_step(game, batches)
        game.step = step
        turned |= game.generator.net.theta.item() < -0.3
    radius = math.hypot(game.generator.net.theta.item(), game.discriminator.net.psi.item())
    assert turned
    assert radius == pytest.approx(0.5, rel=0.05)


def state(net):
    return [tensor.clone() for tensor in net.state_dict().values()]


def test_each_player_s_step_leaves_the_other_alone(monkeypatch):
    game, batches = game_of(tiny(mode="paper", k=3), data())
    before = {"generator": state(game.generator.net), "discriminator": state(game.discriminator.net)}
    updates = []
    update = type(game).update

    def watched(self, player, per_epoch, **rest_of_call):
        name, other = (
            ("generator", self.discriminator) if player is self.generator else ("discriminator", self.generator)
        )
        rest = state(other.net)
        assert all(gradient is None for gradient in gradients(other.net)), f"{name}'s step left gradients in the other"
        update(self, player, per_epoch, **rest_of_call)
        assert all(map(torch.equal, rest, state(other.net)))
        updates.append(name)

    monkeypatch.setattr(type(game), "update", watched)
    paper_step(game, batches)
    assert updates == ["discriminator"] * 3 + ["generator"], "k ascents of D, one descent of G"
    for name, player in (("generator", game.generator), ("discriminator", game.discriminator)):
        assert not all(map(torch.equal, before[name], state(player.net))), f"{name} moved"


def test_paper_step_draws_fresh_noise_and_fresh_data_for_every_update(monkeypatch):
    game, batches = game_of(tiny(mode="paper", k=2), data())
    noises, numbers = [], []
    draw, take = type(game).latents, type(batches).__getitem__
    monkeypatch.setattr(type(game), "latents", lambda self, *given: noises.append(draw(self, *given)) or noises[-1])
    monkeypatch.setattr(type(batches), "__getitem__", lambda self, n: numbers.append(n) or take(self, n))
    for step in range(2):
        game.step = step
        paper_step(game, batches)
    assert numbers == [0, 1, 2, 3]
    assert len(noises) == 6
    assert all(not torch.equal(a, b) for i, a in enumerate(noises) for b in noises[:i])


def test_generator_steps_are_updates_of_g_on_fresh_noise_against_the_same_d(monkeypatch):
    game, batches = game_of(tiny(mode="paper", generator_steps=3), data())
    noises, moves = [], []
    draw, update = type(game).latents, type(game).update
    monkeypatch.setattr(type(game), "latents", lambda self, *given: noises.append(draw(self, *given)) or noises[-1])

    def told(self, player, *rest, **options):
        moves.append("G" if player is self.generator else "D")
        update(self, player, *rest, **options)

    monkeypatch.setattr(type(game), "update", told)
    paper_step(game, batches)
    assert moves == ["D", "G", "G", "G"]
    assert all(not torch.equal(a, b) for i, a in enumerate(noises) for b in noises[:i]) and len(noises) == 4
    assert all(parameter.requires_grad for parameter in game.discriminator.net.parameters())


@pytest.mark.parametrize("mode", STEPS)
def test_a_d_that_tells_fakes_apart_rests_and_g_moves_on(mode):
    """D(x) − D(G(z)) of the fresh nets is somewhere in (−.5, .5): above −.9 always, above .9 never."""
    before, after = {}, {}
    for above in (-0.9, 0.9, 1.0):
        game, batches = game_of(tiny(mode=mode, rest_above=above), data())
        before[above] = torch.nn.utils.parameters_to_vector(game.discriminator.net.parameters()).clone()
        STEPS[mode](game, batches)
        after[above] = [
            torch.nn.utils.parameters_to_vector(player.net.parameters())
            for player in (game.discriminator, game.generator)
        ]
        assert all(grad is None for grad in gradients(game.discriminator.net)), "nothing is left for the next step"
    assert torch.equal(after[-0.9][0], before[-0.9]), "it rested"
    assert not torch.equal(after[0.9][0], before[0.9])
    assert all(map(torch.equal, after[0.9], after[1.0])), "what never happens changes nothing"
    if mode == "released":  # G answers the D from before its update
        assert torch.equal(after[-0.9][1], after[1.0][1])
    else:
        assert not torch.equal(after[-0.9][1], after[1.0][1])


def test_in_algorithm_1_k_is_the_most_that_d_moves(monkeypatch):
    """D, at first without an opinion, moves until it tells the fakes of a minibatch apart."""
    game, batches = dirac(2.0, 0.0, 0.4, mode="paper", k=50, rest_above=0.3)
    moves, update = [], type(game).update
    monkeypatch.setattr(
        type(game),
        "update",
        lambda self, player, *rest, **more: (moves.append(player), update(self, player, *rest, **more)),
    )

    def gap(psi):
        return 0.5 - oracles.sigmoid(2.0 * psi)

    psi, wanted = 0.0, 0
    while gap(psi) <= 0.3:
        psi, wanted = psi - 0.4 * oracles.sigmoid(2.0 * psi) * 2.0, wanted + 1
    paper_step(game, batches)
    assert 1 < wanted < 50
    assert [player is game.discriminator for player in moves] == [True] * wanted + [False]
    assert game.discriminator.net.psi.item() == pytest.approx(psi, rel=1e-12)


@pytest.mark.parametrize("mode", STEPS)
def test_measures_carry_the_right_names(mode):
    """D(x) is the data's: the 2014 code had the two exchanged."""
    game, batches = game_of(tiny(mode=mode), data())
    calls = []

    class Sure(torch.nn.Module):
        """Accepts the first half of a minibatch, the data, and rejects the fakes."""

        def __init__(self):
            super().__init__()
            self.bias = torch.nn.Parameter(torch.zeros(()))

        def forward(self, x, generator=None, c=None, fixed=0):
            calls.append(len(x))
            sign = torch.ones(len(x))
            if len(x) == 10:
                sign[5:] = -1
            return 2.0 * sign + self.bias + 0 * x.flatten(1).sum(1)

    game.discriminator.net = Sure()
    released_step(game, batches) if mode == "released" else paper_step(game, batches)
    value, d_loss, _, d_real, d_fake = (game.sums / game.summed).tolist()
    assert d_real == pytest.approx(oracles.sigmoid(2), rel=1e-5)
    assert d_fake == pytest.approx(oracles.sigmoid(-2), rel=1e-5)
    assert value == pytest.approx(2 * math.log(oracles.sigmoid(2)), rel=1e-5)
    assert d_loss == pytest.approx(-value * (0.5 if mode == "released" else 1.0), rel=1e-5)


def test_momentum_is_the_released_rule():
    """v = μv − lr·g, p += v, with both rates changing every step."""
    config = tiny(learning_rate=0.3, decay_per_update=1.3, momentum=0.2, final_momentum=0.9, momentum_epochs=3)
    game, batches = game_of(config, data())
    player = game.generator
    parameter = next(player.net.parameters())
    expected, velocity = parameter.detach().double().clone(), torch.zeros_like(parameter).double()
    for step in range(20):
        epoch = step // batches.per_epoch + 1
        gradient = torch.randn_like(parameter)
        for other in player.net.parameters():
            other.grad = torch.zeros_like(other)
        parameter.grad = gradient.clone()
        player.update(config.train, step, epoch)
        rate = max(0.3 / 1.3**step, 1e-6)
        mu = 0.2 + 0.7 * min((epoch - 1) / 2, 1)
        velocity = mu * velocity - rate * gradient.double()
        expected += velocity
    torch.testing.assert_close(parameter.detach().double(), expected, rtol=1e-4, atol=1e-6)


def test_column_norms_stay_under_the_limit():
    limited = dataclasses.replace(TINY.discriminator, max_column_norm=0.2)
    game, batches = game_of(dataclasses.replace(TINY, discriminator=limited), data())
    for step in range(3):
        game.step = step
        released_step(game, batches)
    assert longest(game.discriminator.net) == pytest.approx(0.2, rel=1e-5)
    assert longest(game.generator.net) != pytest.approx(0.2, rel=1e-5)


def longest(net):
    return max(float(weight.detach().norm(dim=1).max()) for weight in layer_weights(net))


@pytest.mark.parametrize(("decay", "interval"), [(0.5, 1), (0.99, 1), (0.997, 3), (0.999, 10), (0.9999, 10)])
def test_average_is_the_weighted_mean_of_the_generators_since_the_first_step(decay, interval):
    game, batches = game_of(tiny(average_decay=decay, learning_rate=1.0), data())
    seen, last = {}, 12 * interval + 2
    for step in range(last):
        game.step = step
        released_step(game, batches)
        seen[step + 1] = [parameter.detach().double().clone() for parameter in game.generator.net.parameters()]
        if step < 10 * interval or step == last - 1:
            agree(game.average.module, seen, decay, interval)


def agree(average, seen, decay, interval):
    """Late updates stand for those left out before them; early ones, and all of quick averages, for themselves."""
    for made in [*seen]:
        if made > 10 * interval and made % interval:
            following = made - made % interval + interval
            seen[made] = seen.get(following)
    taken = {made: weights for made, weights in seen.items() if weights is not None}
    shares = [decay ** (max(taken) - made) for made in taken]
    for index, mine in enumerate(average.parameters()):
        twin = sum(share * weights[index] for share, weights in zip(shares, taken.values(), strict=True)) / sum(shares)
        torch.testing.assert_close(mine.detach().double(), twin, rtol=2e-5, atol=1e-6)


def test_an_average_hardly_depends_on_what_it_leaves_out():
    game, batches = game_of(tiny(average_decay=0.999, learning_rate=0.1), data())
    every, made = [torch.zeros_like(one) for one in game.generator.net.parameters()], 400
    for step in range(made):
        game.step = step
        released_step(game, batches)
        for total, one in zip(every, game.generator.net.parameters(), strict=True):
            total.mul_(0.999).add_(one.detach())
    scale = sum(0.999**step for step in range(made))
    for mine, total, one in zip(game.average.module.parameters(), every, game.generator.net.parameters(), strict=True):
        away = (one.detach() - total / scale).norm()
        assert (mine - total / scale).norm() < 0.05 * away + 1e-6
