"""What the lab shows of runs, without a browser: names from outside, walks through z, curves, drawings."""

import math
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch

from advnets.cli.main import main
from advnets.errors import InputError
from advnets.lab import curves, exploring, latent, watching, widgets
from advnets.lab.comparing import beside, ranking
from advnets.lab.drawing import OWN, TEST, Drawing
from advnets.lab.exploring import ANY, Exploring
from advnets.lab.latent import Walk
from advnets.lab.near import Near, rows
from advnets.lab.shelf import Shelf
from advnets.lab.watching import Watching
from advnets.runs import Run
from advnets.sampling import load_sampler

SHORT = ["--steps", "40", "--train.log_every", "10", "--json"]


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("runs")
    small = ["--generator.hidden", "32", "--discriminator.hidden", "16"]
    assert main(["train", "digits", *SHORT, *small, "--out", str(folder / "plain")]) == 0
    assert main(["train", "digits-conditional", *SHORT, *small, "--out", str(folder / "classes")]) == 0
    return folder


@pytest.fixture
def shelf(folder):
    return Shelf([], folder)


@pytest.mark.parametrize("name", ["/etc", "../plain", "plain", "", None])
def test_a_name_that_is_not_on_the_shelf_is_refused(shelf, name):
    with pytest.raises(InputError, match=r"allowed: .*classes"):
        shelf.run(name)


def test_runs_come_while_the_page_is_open_and_named_ones_stay(folder):
    assert [Path(name).name for name in Shelf([], folder).names()] == ["classes", "plain"], "the newest first"
    assert Shelf([folder / "plain"], folder).names() == [str(folder / "plain")]
    assert Shelf([], folder / "nothing").names() == []


def test_what_was_loaded_is_kept_until_a_newer_checkpoint(shelf, folder):
    name = str(folder / "plain")
    assert shelf.sampler(name) is shelf.sampler(name)
    assert shelf.data(name) is shelf.data(str(folder / "classes"))
    assert shelf.inference(name) is None


def test_a_walk_draws_what_sample_draws(shelf, folder):
    name = str(folder / "plain")
    sampler, walk = load_sampler(Run(Path(name))), Walk(shelf.sampler(name))
    np.testing.assert_array_equal(walk.samples(walk.latents(5, 3), None), sampler.draw(5, 3))
    given = Walk(shelf.sampler(str(folder / "classes")), "7")
    assert given.sampler.conditions is not None
    c = given.sampler.conditions.of_class("7").repeat(5, 1)
    np.testing.assert_array_equal(
        given.samples(given.latents(5, 3), given.conditions(5, 3)), given.sampler.draw_given(c, 3)
    )


def test_ways_through_z_pass_their_ends():
    a, b, c = torch.randn(3, 8, generator=torch.Generator().manual_seed(0))
    line = latent.between(a, b, [0.0, 0.5, 1.0])
    torch.testing.assert_close(line, torch.stack([a, (a + b) / 2, b]))
    corners = latent.plane(a, b, c, [(0.0, 0.0), (1.0, 0.0), (0.0, 1.0)])
    torch.testing.assert_close(corners, torch.stack([a, b, c]))
    torch.testing.assert_close(
        latent.along(a, torch.eye(8)[:2], [0.5, -2.0]) - a, torch.tensor([0.5, -2.0] + [0.0] * 6)
    )
    torch.testing.assert_close(latent.along(a, torch.eye(8)[:2], [0, 0]), a)


def test_directions_are_those_in_which_the_first_layer_changes_most(shelf, folder):
    walk = Walk(shelf.sampler(str(folder / "classes")))
    size = walk.sampler.config.noise.dimension
    weights = next(one for one in walk.sampler.net.parameters() if one.dim() == 2)[:, :size]
    found = walk.directions(6)
    torch.testing.assert_close(found @ found.T, torch.eye(len(found)), atol=1e-5, rtol=0)
    lengths = (weights @ found.T).norm(dim=0)
    assert (lengths.diff() <= 1e-5).all(), "the most first"
    anywhere = torch.nn.functional.normalize(torch.randn(100, size), dim=1)
    assert (weights @ anywhere.T).norm(dim=0).max() <= lengths[0] + 1e-5


@pytest.mark.parametrize("kind", ["uniform", "spherical", "gaussian"])
def test_points_are_brought_back_to_where_noise_is_drawn(kind):
    noise = SimpleNamespace(kind=kind, low=-1.0, high=1.0)
    walk = Walk(SimpleNamespace(config=SimpleNamespace(noise=noise)))
    z = 5 * torch.randn(20, 4, generator=torch.Generator().manual_seed(1))
    inside = walk.support(z)
    match kind:
        case "uniform":
            assert inside.abs().max() <= 1
            torch.testing.assert_close(walk.support(z / 100), z / 100)
        case "spherical":
            torch.testing.assert_close(inside.norm(dim=1), torch.ones(20))
        case _:
            torch.testing.assert_close(inside, z)


def test_the_nearest_example_of_a_training_example_is_itself(shelf, folder):
    name = str(folder / "plain")
    data = shelf.data(name)
    shown = Near(shelf).shown(name, rows(data.train.x[7:8], data).reshape(data.shape))
    assert 'alt="Training example 7"' in shown and "0 apart" in shown and shown.count("<figure>") == 3
    assert Near(shelf).usual(data, rows(data.train.x, data)) == Near(shelf).usual(data, rows(data.train.x, data)) > 0


def test_curves_hold_every_step_or_means_of_equal_parts():
    lines = [{"step": step, "value": float(step), "signals": {"d_gradient": 2.0}} for step in range(1, 1001)]
    few = curves.table(lines[:10], {"value": "V"})
    assert few["step"].tolist() == list(range(1, 11)) and few["value"].tolist() == few["step"].tolist()
    many = curves.table(lines, {"value": "V"}, chance=True)
    assert len(many) <= 302 and many["step"].max() == 1000
    assert many[many["curve"] == "V"]["value"].mean() == pytest.approx(500.5)
    assert many[many["curve"] == curves.CHANCE]["value"].tolist() == [-math.log(4)] * 2
    assert curves.table([{"step": 1, "value": None}], {"value": "V"}).empty
    assert curves.signals(lines) == ["d_gradient"]


def test_the_state_says_step_and_verdict(shelf, folder):
    run = shelf.run(str(folder / "plain"))
    assert curves.state(run).endswith("digits, seed 0, finished, step 40 of 40")
    name, why, bad = curves.verdict(run)
    assert name and why and not bad
    run.write_status(40, "diverged", "diverged")
    assert curves.verdict(run)[::2] == ("diverged", True)
    run.write_status(40, "finished", None)


def test_a_run_of_few_labels_is_watched_too(tmp_path):
    words = ["--steps", "20", "--train.log_every", "10", "--semi.labels", "50", "--json"]
    assert main(["train", "digits-semi-supervised", *words, "--out", str(tmp_path / "few")]) == 0
    run = Shelf([], tmp_path).run(str(tmp_path / "few"))
    assert curves.table(curves.lines_of(run), curves.GROUPS["Losses"])["step"].tolist() == [10, 20, 10, 20]
    assert curves.verdict(run)[0] == "no verdict"


def test_an_earlier_picture_stays_while_a_run_goes_on(shelf, folder):
    tab, name = Watching(shelf, None), str(folder / "plain")
    tab.outputs = [None] * 13
    seen, _, newest, slider, *_ = tab.look(name, "d_gradient", ("", 0), 2)
    assert "newest" in newest and slider["value"] == seen[1] >= 1
    before = ("another state of the run", 5)
    assert "newest" in tab.look(name, "d_gradient", before, 5)[2], "the newest one was looked at"
    kept, slider = tab.look(name, "d_gradient", before, 3)[2:4]
    assert "value" not in slider and not isinstance(kept, str)


def test_what_is_picked_is_what_is_shown_whatever_its_class(shelf, folder):
    tab, name = Exploring(shelf, None), str(folder / "classes")
    place = tab.draw(name, ANY, 0)[0]
    for letter, index in (("A", 7), ("B", 3), ("C", 0)):
        place = tab.pick(name, ANY, place, letter, SimpleNamespace(index=index))[0]
        assert widgets.source(place.x) == place.tiles[index]["src"]
    assert place.picked == (7, 3, 0)
    back = tab.again(name, ANY, place)[0]
    assert widgets.source(back.x) == place.tiles[7]["src"]
    assert tab.pick(name, ANY, None, "A", SimpleNamespace(index=7)) == [exploring.gr.skip()] * 14


def test_a_drawing_goes_on_top_of_the_example_that_is_shown(shelf, folder):
    tab, name = Drawing(shelf, None), str(folder / "plain")
    x = shelf.data(name).test.x[2]
    ink = np.zeros((8, 8), np.float32)
    ink[0] = 1
    drawn = tab._example(name, TEST, 2, ink)
    np.testing.assert_array_equal(drawn[:, 1:], x[:, 1:])
    assert (drawn[:, 0] == 1).all()
    alone = tab._example(name, OWN, 2, ink)
    assert alone.sum() == 8
    for nothing in (None, 0 * ink):
        with pytest.raises(InputError, match="nothing is drawn yet, allowed"):
            tab._example(name, OWN, 2, nothing)
    assert tab.turn(name, TEST, 3)[2:] == [None, None], "neither ink nor paint is left of the example before"


def test_pictures_are_of_the_run_or_refused(shelf, folder, tmp_path):
    run = shelf.run(str(folder / "plain"))
    assert 'src="data:image/png;base64,' in watching.picture(run, None)
    assert "No samples" in watching.picture(run, 123_456)
    (tmp_path / "samples.png").write_bytes(b"<script>alert(1)</script>")
    assert "is no picture, allowed" in watching.picture(Run(tmp_path), None)


def test_runs_side_by_side_show_where_they_differ(shelf):
    table = beside([shelf.run(name) for name in shelf.names()])
    assert "<th scope=row>condition.kind</th><td>labels</td><td>–</td>" in table
    assert "train.batch_size" not in table, "it is the same in both"
    assert ranking([shelf.run(name) for name in shelf.names()]).startswith('<div class=""><p>Not ranked: ')


def test_text_of_files_is_not_taken_for_a_page():
    hostile = "<img src=x onerror=alert(1)>"
    for shown in (widgets.words(hostile), widgets.refusal(InputError(hostile)), widgets.figures(("", hostile))):
        assert "<img" not in shown and "&lt;img" in shown


def test_a_drawing_has_the_pixels_of_the_canvas():
    pixels = [0.0, 0.25, 2.0, -1.0, math.nan, 1]
    drawing = widgets.drawn(SimpleNamespace(pixels=pixels), (1, 2, 3))
    np.testing.assert_array_equal(drawing, np.array([[0, 0.25, 1], [0, 0, 1]], np.float32))
    for wrong in (None, [], [0.0] * 5, ["0"] * 6, [True] * 6, "abcdef"):
        with pytest.raises(InputError, match="the drawing is not of 6 pixels, allowed: 2 × 3"):
            widgets.drawn(SimpleNamespace(pixels=wrong), (1, 2, 3))


def test_points_are_drawn_where_they_are():
    among = np.array([[0.0, 0.0], [1.0, 1.0]], np.float32)
    picture = np.asarray(widgets.dots(np.array([[1.0, 0.0]], np.float32), among)).astype(int)
    orange = np.argwhere((abs(picture - [249, 115, 22]) < 10).all(2)).mean(0)
    assert (orange > 0.9 * 200).all(), "to the right, and below"
    assert widgets.dots(np.zeros((1, 1), np.float32), np.zeros((3, 1), np.float32)).size == (200, 200)
