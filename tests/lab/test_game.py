"""The live game: its densities, D*, JSD and rules."""

import math

import numpy as np
import pytest

from advnets.lab import figures, game
from advnets.lab.game import LAWS, LINE, SIDE, Rules

LOG_2 = math.log(2)


@pytest.mark.parametrize("name", LAWS)
def test_the_density_of_a_law_is_that_of_its_draws(name):
    law = LAWS[name]
    density = law.density()
    cell = LINE[1] - LINE[0] if density.ndim == 1 else (SIDE[1] - SIDE[0]) ** 2
    assert abs(density.sum() * cell - 1) < 2e-3
    x = law.draw(200_000, 0).numpy().astype(float)
    axes = [LINE] if density.ndim == 1 else [SIDE, SIDE]
    smoothing = 0.0 if density.ndim == 1 else game.SMOOTHING
    for axis, ticks in enumerate(axes):
        weight = density if density.ndim == 1 else density.sum(1 - axis) * (SIDE[1] - SIDE[0])
        mean = (ticks * weight).sum() * (ticks[1] - ticks[0])
        second = (ticks**2 * weight).sum() * (ticks[1] - ticks[0])
        assert abs(mean - x[:, axis].mean()) < 0.02
        assert abs(second - (x[:, axis] ** 2).mean() - smoothing**2) < 0.02


@pytest.mark.parametrize("name", LAWS)
def test_jsd_is_zero_for_the_same_law_and_log_2_for_laws_apart(name):
    p = LAWS[name].density()
    assert game.divergence(p, p) == pytest.approx(0, abs=1e-12)
    elsewhere = np.zeros_like(p)  # all of it off the grid
    assert 0.99 * LOG_2 < game.divergence(p, elsewhere) <= LOG_2 + 1e-12


@pytest.mark.parametrize("name", ["line: the bell of figure 1", "plane: ring of eight"])
def test_a_view_is_what_the_theory_says_of_both_densities(name):
    live = game.begin(name)
    game.advance(live, Rules(), 5)
    view = game.look(live)
    both = view.p_data + view.p_g
    seen = both > 1e-9
    np.testing.assert_allclose(view.best[seen], (view.p_data / np.where(seen, both, 1))[seen], rtol=1e-12)
    assert view.criterion == pytest.approx(-math.log(4) + 2 * view.jsd)
    assert view.step == 5 and live.course[-1] == (5, view.jsd, view.value)
    assert -3 < view.value < 0, "the mean V of these steps"
    assert figures.told(view).startswith("Step 5: JSD")
    assert figures.draw(live, view).size[0] > 500


def test_the_game_on_the_line_learns():
    live = game.begin("line: the bell of figure 1")
    first = game.look(live).jsd
    game.advance(live, Rules(), 250)
    assert first > 0.4 and game.look(live).jsd < 0.5 * first


def test_the_game_in_the_plane_learns():
    live = game.begin("plane: one blob")
    first = game.look(live).jsd
    game.advance(live, Rules(), 250)
    assert game.look(live).jsd < 0.6 * first


def test_rules_change_while_it_goes_on():
    live = game.begin("line: two bumps")
    moves = {"generator": 0, "discriminator": 0}
    for name in moves:
        player = getattr(live.game, name)
        step = player.optimiser.step
        player.optimiser.step = lambda name=name, step=step: (moves.__setitem__(name, moves[name] + 1), step())
    game.advance(live, Rules(k=1), 2)
    game.advance(live, Rules(k=4, loss="minimax"), 2)
    assert moves == {"generator": 4, "discriminator": 10}
    assert live.game.config.train.minimax_weight == 1 and live.game.config.train.non_saturating_weight == 0
    before = [one.clone() for one in live.game.generator.net.parameters()]
    game.advance(live, Rules(g_rate=0.0), 2)
    assert all((a == b).all() for a, b in zip(before, live.game.generator.net.parameters(), strict=True))


def test_a_game_that_blew_up_says_so():
    live = game.begin("line: two bumps")
    assert live.is_finite
    next(live.game.generator.net.parameters()).data.fill_(math.nan)
    assert not live.is_finite
