"""Figures 2, 3 and the Helvetica scenario, in small."""

import dataclasses

import numpy as np
import pytest
from PIL import Image

from advnets import recipes
from advnets.config import flatten
from advnets.data import load
from advnets.errors import InputError
from advnets.reproduce import drawing, figure2, figure3, helvetica, table1
from advnets.reproduce.artefact import Plan
from advnets.reproduce.runs import trained
from advnets.sampling import load_sampler
from advnets.training import Outcome

DIGITS = recipes.get("digits")


def small(recipe: str, steps: int = 3):
    generator = dataclasses.replace(DIGITS.generator, hidden=(16,), activations=("rectifier",))
    discriminator = dataclasses.replace(DIGITS.discriminator, hidden=(8,))
    train = dataclasses.replace(DIGITS.train, steps=steps)
    return dataclasses.replace(DIGITS, recipe=recipe, generator=generator, discriminator=discriminator, train=train)


@pytest.fixture(scope="module")
def plan(tmp_path_factory):
    return Plan(tmp_path_factory.mktemp("reproduced"))


@pytest.fixture(scope="module")
def panel(plan):
    config = small("mnist")
    data = load(config.data)
    run = trained(plan, config, data)
    return run, data, figure2.panel(run, data, "(a) MNIST")


def test_the_last_column_holds_the_training_example_nearest_to_its_left_neighbour(panel):
    run, data, made = panel
    x = made.x.reshape(figure2.ROWS, figure2.COLUMNS, -1)
    train = data.train.x.reshape(len(data.train.x), -1)
    for row, distance in zip(x, made.distances, strict=True):
        squares = ((train.astype(float) - row[-2]) ** 2).sum(1)
        np.testing.assert_array_equal(row[-1], train[squares.argmin()])
        assert distance == pytest.approx(np.sqrt(squares.min()), rel=1e-6)
    drawn = load_sampler(run).draw(figure2.ROWS * (figure2.COLUMNS - 1), 0).reshape(figure2.ROWS, -1, 64)
    np.testing.assert_array_equal(x[:, :-1], drawn)  # in the order they were drawn


def test_captions_state_recipe_seed_step_and_weights(panel):
    assert panel[2].caption == "(a) MNIST\nrecipe mnist, seed 0, step 3, averaged weights"


@pytest.mark.parametrize("count", [1, 2, 3, 4])
def test_any_number_of_panels_is_drawn_large_enough_to_print(panel, count, tmp_path):
    (file,) = drawing.save(figure2.draw([panel[2]] * count), tmp_path / "figure2.png")
    with Image.open(file) as picture:
        assert picture.width >= 1000
        pixels = np.asarray(picture.convert("L"))
        assert all((edge == 255).all() for edge in (pixels[0], pixels[-1], pixels[:, 0], pixels[:, -1])), "cut off"


def test_files_come_out_the_same_every_time(panel, tmp_path):
    for suffix in ("png", "svg"):
        files = [tmp_path / f"{name}.{suffix}" for name in "ab"]
        for file in files:
            drawing.save(figure2.draw([panel[2]]), file)
        assert files[0].read_bytes() == files[1].read_bytes()


def test_a_place_that_refuses_is_named(panel, tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(InputError, match=r"cannot write .*figure2.png"):
        drawing.save(figure2.draw([panel[2]]), tmp_path / "file" / "figure2.png")


def test_figure_2_leaves_out_what_the_user_lacks(plan, panel, monkeypatch, tmp_path):
    monkeypatch.setattr(figure2, "NAMES", {name: figure2.NAMES[name] for name in ("mnist", "tfd")})
    monkeypatch.setattr(figure2.recipes, "get", small)
    monkeypatch.setattr(figure2, "STEPS", {"quick": {"mnist": 3, "tfd": 3}})
    monkeypatch.setenv("ADVNETS_DATA", str(tmp_path))
    made = figure2.reproduce(plan)
    assert [one["panel"] for one in made.summary["panels"]] == ["(a) MNIST"]
    assert "TFD_48x48.mat" in made.summary["left_out"]["tfd"]
    assert made.files == [plan.folder / "figure2.png"] and made.files[0].stat().st_size > 10_000


def test_figure_3_draws_straight_lines(plan, panel, monkeypatch):
    monkeypatch.setattr(figure3.recipes, "get", small)
    monkeypatch.setattr(figure3, "STEPS", {"quick": {"mnist": 3}})
    drawn = []
    monkeypatch.setattr(
        figure3.drawing, "panel", lambda axes, x, columns, text, **options: drawn.append((x, columns, text))
    )
    made = figure3.reproduce(plan)
    ((x, columns, text),) = drawn
    assert x.shape == (figure3.LINES * figure3.POINTS, 1, 8, 8) and columns == figure3.POINTS
    sampler = load_sampler(panel[0])
    ends = sampler.draw(2 * figure3.LINES, 0)
    np.testing.assert_allclose(x[:: figure3.POINTS], ends[: figure3.LINES], atol=1e-6)
    np.testing.assert_allclose(x[figure3.POINTS - 1 :: figure3.POINTS], ends[figure3.LINES :], atol=1e-6)
    assert made.summary["step"] == 3 and "step 3" in text


@pytest.mark.parametrize("figure", [figure2, figure3])
@pytest.mark.parametrize("budget", ["quick", "full"])
def test_the_run_of_a_figure_can_be_scored_for_table_1(figure, budget, tmp_path):
    asked = []

    def train(config, data, run, *, resume):
        asked.append(config)
        return Outcome("interrupted", 1, 0.0)

    with pytest.raises(KeyboardInterrupt):
        figure.reproduce(Plan(tmp_path, budget, load=lambda data: None, train=train))
    length = table1.LENGTHS[budget]["mnist"]
    assert (asked[0].recipe, asked[0].train.keep_every, asked[0].train.steps) == (
        "mnist",
        length.keep_every,
        length.steps,
    )


def test_more_updates_of_g_are_the_only_difference_between_the_two_runs():
    healthy, collapsed = (flatten(helvetica.configured(each, 6)) for each in (1, 30))
    assert {name for name in healthy if healthy[name] != collapsed[name]} == {"recipe", "train.generator_steps"}


def test_the_numbers_tell_collapsed_samples_from_real_ones():
    data = load(DIGITS.data)
    real = helvetica.numbers(data.test.x, data.train.x[:300])
    few = helvetica.numbers(data.test.x, np.repeat(data.train.x[:3], 100, axis=0))
    assert real["recall"] > 0.9 > 0.1 > few["recall"]
    assert real["coverage"] > 0.9 > 0.2 > few["coverage"]
    assert real["distance"] == pytest.approx(1, abs=0.05)
    assert few["near"] == few["fake_accuracy"] == 1.0
    assert abs(real["fake_accuracy"] - 0.5) < 0.1


@pytest.mark.parametrize(("spread", "holds"), [(0.0, True), (1.0, False)])
def test_the_scenario_holds_only_where_the_second_run_collapsed(spread, holds, plan, monkeypatch):
    data = load(DIGITS.data)
    healthy = data.train.x[:300]
    collapsed = (healthy.mean(0) + spread * (healthy - healthy.mean(0))).astype(np.float32)
    samples = iter([healthy, collapsed])

    def side(plan, data, generator_steps, steps):
        x = next(samples)
        return helvetica.Side(f"{generator_steps}\n", x, helvetica.numbers(data.test.x, x))

    monkeypatch.setattr(helvetica, "_side", side)
    made = helvetica.reproduce(plan)
    assert made.holds == holds
    assert made.files[0].stat().st_size > 10_000
