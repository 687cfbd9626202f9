"""Figure 1: the densities are right, each phase moves the player it says, the pictures are what they have to be."""

import dataclasses
import json

import numpy as np
import pytest
import torch
from PIL import Image

from advnets.errors import InputError
from advnets.reproduce import drawing, figure1, figure1_game
from advnets.reproduce.artefact import Plan
from advnets.reproduce.figure1_game import (
    CONFIG,
    PHASES,
    Phase,
    State,
    X,
    Z,
    data_density,
    draw_data,
    measure,
    moments,
    play,
    pushforward_density,
    start,
)
from advnets.theory import optimal_discriminator

CELLS = np.linspace(0.005, 0.995, 100)  # the middles of a hundred cells of [0, 1]
SMALL = dataclasses.replace(CONFIG, train=dataclasses.replace(CONFIG.train, batch_size=64))


@pytest.mark.parametrize(
    ("low", "g", "cdf"),
    [
        (0, np.sqrt, lambda x: x**2),
        (0, np.square, np.sqrt),
        (0, lambda z: 1 - z, lambda x: x),
        (-1, np.square, np.sqrt),  # two branches, one falling
        (-1, lambda z: np.where(z < 0, 1 + z, z), lambda x: x),  # one after the other over the same support
    ],
)
def test_density_is_the_change_of_variables(low, g, cdf):
    z = np.linspace(low, 1, 4001)
    p = pushforward_density(z, g(z), CELLS)
    exact = (cdf(CELLS + 0.005) - cdf(CELLS - 0.005)) / 0.01  # the mean density of each cell
    assert np.abs(p - exact).mean() < 0.01
    assert p.sum() * 0.01 == pytest.approx(1, abs=1e-3)


@pytest.mark.parametrize("g", [np.zeros_like, lambda z: 0.001 * z, np.sin, lambda z: np.clip(z, -0.5, 0.5)])
def test_no_mass_is_lost_where_g_is_flat_or_steep(g):
    z = np.linspace(-1.5, 1.5, 301)
    x = np.linspace(-2, 2, 201)
    assert pushforward_density(z, g(z), x).sum() * (x[1] - x[0]) == pytest.approx(1)


def test_moments_are_those_of_a_piecewise_linear_map():
    z = np.array([0.0, 1.0, 3.0])  # a third of the mass uniform on [0, 1], the rest on [-2, 1]
    mean = (0.5 - 2 * 0.5) / 3
    second = (1 / 3 + 2 * 1) / 3
    assert moments(z, np.array([0.0, 1.0, -2.0])) == pytest.approx((mean, np.sqrt(second - mean**2)))


def test_data_have_mean_0_and_sd_1_and_follow_their_density():
    p, step = data_density(X), X[1] - X[0]
    assert [(p * X**power).sum() * step for power in (0, 1, 2)] == pytest.approx([1, 0, 1], abs=3e-3)
    x = draw_data(100_000, 0).double().numpy()[:, 0]
    counts, edges = np.histogram(x, bins=64, range=(-3.2, 3.2))
    exact = data_density(np.linspace(-3.2, 3.2, 6401)[:-1] + 0.0005).reshape(64, 100).mean(1)
    assert np.abs(counts / len(x) / (edges[1] - edges[0]) - exact).max() < 0.02


def state(d=None, p_g=None) -> State:
    p_g = data_density(X) if p_g is None else p_g
    return State("d", 7, Z, p_g, np.full_like(X, 0.5) if d is None else d)


def test_at_equilibrium_every_distance_is_0():
    values = measure(state())
    assert values["d_error"] == values["d_from_half"] == values["total_variation"] == 0
    assert values["monotone"]
    assert values["step"] == 7


def test_distances_are_from_the_theory():
    p_g = data_density(X - 0.4)
    best = optimal_discriminator(data_density(X), p_g)
    values = measure(state(np.nan_to_num(best), p_g))
    assert values["d_error"] == pytest.approx(0, abs=1e-12)
    assert values["d_from_half"] > 0.1
    assert measure(state(np.nan_to_num(best + 0.1), p_g))["d_error"] == pytest.approx(0.1)
    far = measure(state(p_g=np.roll(data_density(X), 50)))  # a shift by half a unit
    exact = np.abs(data_density(X) - data_density(X - 0.5)).sum() * (X[1] - X[0]) / 2
    assert far["total_variation"] == pytest.approx(exact)


def test_a_g_that_turns_back_is_not_monotone():
    assert not measure(dataclasses.replace(state(), x_of_z=Z**2))["monotone"]
    assert measure(dataclasses.replace(state(), x_of_z=-Z))["monotone"]


def weights(net: torch.nn.Module) -> torch.Tensor:
    return torch.cat([parameter.detach().flatten().clone() for parameter in net.parameters()])


@pytest.mark.parametrize(("rates", "moved"), [((0.0, 1e-3), (False, True)), ((1e-3, 0.0), (True, False))])
def test_a_player_without_a_rate_stands_still(rates, moved):
    game, batches = start(SMALL)
    nets = game.generator.net, game.discriminator.net
    before = [weights(net) for net in nets]
    phase = Phase("b", 3, (rates[0],) * 2, (rates[1],) * 2, frames=1)
    assert [seen.step for seen in play(game, batches, phase)] == [3]
    assert tuple(not torch.equal(weights(net), old) for net, old in zip(nets, before, strict=True)) == moved


def test_rates_go_geometrically_from_the_first_to_the_last():
    game, batches = start(SMALL)
    seen = []
    for _ in play(game, batches, Phase("d", 3, (1e-2, 1e-4), (1e-3, 1e-3), frames=3)):
        seen.append((game.generator.initial_rate, game.discriminator.initial_rate))
    assert seen == [pytest.approx(pair) for pair in [(1e-2, 1e-3), (1e-3, 1e-3), (1e-4, 1e-3)]]


def test_extra_steps_end_as_soon_as_the_means_are_apart(monkeypatch):
    game, batches = start(SMALL)
    phase = Phase("a", 2, (0, 0), (1e-3, 1e-3), frames=1, extra=3)
    monkeypatch.setattr(figure1_game, "SWING", 99.0)
    assert list(play(game, batches, phase))[-1].step == 5
    monkeypatch.setattr(figure1_game, "SWING", 0.0)
    assert list(play(game, batches, phase))[-1].step == 7


def test_the_inner_loop_brings_d_towards_its_optimum():
    game, batches = start(SMALL)
    first, *_, last = play(game, batches, Phase("b", 80, (0, 0), (1e-2, 1e-3), frames=20))
    assert measure(last)["d_error"] < measure(first)["d_error"] / 2


GOOD = {
    "b": {"d_error": 0.02, "total_variation": 0.2},
    "c": {"d_error": 0.1, "total_variation": 0.1},
    "d": {"d_error": 0.02, "total_variation": 0.03, "d_from_half": 0.01},
}


@pytest.mark.parametrize(
    ("panel", "name", "value"),
    [
        ("b", "d_error", 0.03),
        ("c", "total_variation", 0.2),
        ("d", "total_variation", 0.5),
        ("d", "d_from_half", 0.5),
    ],
)
def test_every_claim_of_the_caption_is_needed(panel, name, value):
    assert figure1.holds(GOOD)
    assert not figure1.holds(GOOD | {panel: GOOD[panel] | {name: value}})


@pytest.fixture
def quick(monkeypatch):
    phases = tuple(dataclasses.replace(phase, steps=4, extra=0, frames=1) for phase in PHASES)
    monkeypatch.setattr(figure1, "PHASES", phases)
    monkeypatch.setattr(figure1, "CONFIG", SMALL)


def test_pictures_table_and_numbers(tmp_path, quick):
    lines = []
    made = figure1.reproduce(Plan(tmp_path / "new", seeds=2, say=lines.append))
    assert {file.name for file in made.files} == {"figure1.png", "figure1.svg", "figure1.gif"}
    with Image.open(tmp_path / "new" / "figure1.png") as still:
        assert still.width >= 1800
    with Image.open(tmp_path / "new" / "figure1.gif") as film:
        assert (film.n_frames, film.width) == (4, 800)
    assert [row[:2] for row in made.rows] == [("panel", "step"), ("a", "4"), ("b", "8"), ("c", "12"), ("d", "16")]
    assert json.loads(json.dumps(made.summary, allow_nan=False))["holds"] is made.holds is False
    assert [one["seed"] for one in made.summary["seeds"]] == [0, 1]
    assert made.summary["seeds"][0]["panels"] != made.summary["seeds"][1]["panels"]
    assert len(lines) == 3


def test_a_film_that_the_disk_refuses_is_named(tmp_path, quick, monkeypatch):
    save = Image.Image.save

    def refuse(image, file, *arguments, **options):
        if str(file).endswith(".gif"):
            raise OSError(28, "No space left on device")
        save(image, file, *arguments, **options)

    monkeypatch.setattr(Image.Image, "save", refuse)
    with pytest.raises(InputError, match=r"cannot write .*figure1\.gif \(No space left on device\), allowed: .*--out"):
        figure1.reproduce(Plan(tmp_path))


def test_the_svg_is_the_same_anywhere(tmp_path):
    texts = []
    for name in ("one", "two"):
        drawing.save(figure1.draw_panels({"d": state()}), tmp_path / name / "figure1.svg")
        texts.append((tmp_path / name / "figure1.svg").read_text())
    assert texts[0] == texts[1]
    assert "<dc:date>" not in texts[0]
    assert str(tmp_path) not in texts[0]
