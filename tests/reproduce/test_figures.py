"""Figures 2, 3 and the Helvetica scenario, in small."""

import contextlib
import dataclasses
import json
import shutil

import numpy as np
import pytest
from PIL import Image

from advnets import recipes
from advnets.config import FREE_ON_RESUME, flatten
from advnets.data import load
from advnets.errors import InputError
from advnets.reproduce import drawing, figure2, figure3, helvetica, table1
from advnets.reproduce.artefact import Plan
from advnets.reproduce.runs import trained
from advnets.runs import Run
from advnets.sampling import load_sampler
from advnets.training import Outcome, train

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


@pytest.fixture
def several(monkeypatch):
    """Figure 2 of four tiny runs of three steps on digits, each on data of its own, two on the same."""
    data = {"mnist": "digits", "tfd": "ring", "cifar10-fc": "bimodal", "cifar10-conv": "bimodal"}

    def named(recipe):
        config = small(recipe)
        return dataclasses.replace(config, data=dataclasses.replace(config.data, name=data[recipe]))

    monkeypatch.setattr(figure2.recipes, "get", named)
    monkeypatch.setattr(figure2, "of_faces", lambda: named("tfd"))
    monkeypatch.setattr(figure2, "STEPS", {"quick": dict.fromkeys(figure2.NAMES, 3)})


class Loader:
    """Reads digits, whatever is asked for, and refuses what is in `missing`."""

    def __init__(self, *missing):
        self.missing, self.asked = missing, []

    def __call__(self, config):
        self.asked.append(config.name)
        if config.name in self.missing:
            raise InputError(f"{config.name} is not here")
        return load(DIGITS.data)


def test_figure_2_reads_all_data_before_it_trains(several, tmp_path):
    loader, asked = Loader(), []

    def watched(*arguments, **options):
        asked.append(list(loader.asked))
        return train(*arguments, **options)

    made = figure2.reproduce(Plan(tmp_path, load=loader, train=watched))
    assert asked[0][:3] == ["digits", "ring", "bimodal"], "each set once, though two recipes share one"
    assert [one["recipe"] for one in made.summary["panels"]] == list(figure2.NAMES)
    assert made.summary["left_out"] == {} and not made.notes


def test_figure_2_leaves_out_recipes_without_data_and_says_so_before_it_trains(several, tmp_path):
    said = []
    made = figure2.reproduce(Plan(tmp_path, load=Loader("ring", "bimodal"), say=said.append))
    assert [one["panel"] for one in made.summary["panels"]] == ["(a) MNIST"]
    reasons = {"tfd": "ring", "cifar10-fc": "bimodal", "cifar10-conv": "bimodal"}
    assert made.summary["left_out"] == {name: f"{data} is not here" for name, data in reasons.items()}
    assert (
        said
        == list(made.notes)
        == [f"{figure2.NAMES[name]} is left out: {reasons[name]} is not here" for name in reasons]
    )
    assert made.files == [tmp_path / "figure2.png"] and made.files[0].stat().st_size > 10_000
    assert len(made.rows) == 2
    assert not made.holds, "only the user's own TFD may be missing"
    assert figure2.reproduce(Plan(tmp_path, load=Loader("ring"))).holds


def test_figure_2_leaves_out_what_diverges_and_draws_the_rest(several, tmp_path):
    def diverging(config, data, run, *, resume):
        if config.recipe != "cifar10-fc":
            return train(config, data, run, resume=resume)
        run.create(config, {})
        return Outcome("diverged", 2, 0.0)

    made = figure2.reproduce(Plan(tmp_path, load=Loader(), train=diverging))
    assert [one["recipe"] for one in made.summary["panels"]] == ["mnist", "tfd", "cifar10-conv"]
    assert "diverged at step 2" in made.summary["left_out"]["cifar10-fc"] and not made.holds


def test_figure_2_without_any_data_is_refused(several, tmp_path):
    with pytest.raises(InputError, match="digits is not here"):
        figure2.reproduce(Plan(tmp_path, load=Loader("digits", "ring", "bimodal")))
    assert not list(tmp_path.iterdir())


def stopping(recipe, step):
    """A training that is stopped in one recipe before this step; 0 stops before there is a checkpoint."""

    def run(config, data, run, *, resume):
        if config.recipe != recipe:
            return train(config, data, run, resume=resume)
        if step:
            train(dataclasses.replace(config, train=dataclasses.replace(config.train, steps=step)), data, run)
        raise KeyboardInterrupt(143)

    return run


@pytest.mark.parametrize(("step", "drawn"), [(0, ["mnist"]), (2, ["mnist", "tfd"])])
def test_figure_2_draws_what_is_trained_when_it_is_stopped(several, tmp_path, monkeypatch, step, drawn):
    panels, said, draw = [], [], figure2.draw
    monkeypatch.setattr(figure2, "draw", lambda found: panels.extend(found) or draw(found))
    with pytest.raises(KeyboardInterrupt) as stop:
        figure2.reproduce(Plan(tmp_path, load=Loader(), train=stopping("tfd", step), say=said.append))
    assert stop.value.args == (143,), "the exit status"
    assert [(one.made["recipe"], one.made["step"]) for one in panels] == list(zip(drawn, (3, 2), strict=False))
    assert (tmp_path / "figure2.png").stat().st_size > 10_000
    names = ", ".join(figure2.NAMES[name] for name in drawn)
    assert said[-1] == f"drew {tmp_path / 'figure2.png'} from what is trained so far: {names}"


def test_figure_2_stopped_before_any_checkpoint_draws_nothing(several, tmp_path):
    with pytest.raises(KeyboardInterrupt):
        figure2.reproduce(Plan(tmp_path, load=Loader(), train=stopping("mnist", 0)))
    assert not (tmp_path / "figure2.png").exists()


def test_a_figure_2_that_cannot_be_drawn_does_not_hide_that_it_was_stopped(several, tmp_path):
    said = []
    (tmp_path / "figure2.png").mkdir()
    with pytest.raises(KeyboardInterrupt):
        figure2.reproduce(Plan(tmp_path, load=Loader(), train=stopping("tfd", 0), say=said.append))
    assert said[-1].startswith(f"cannot write {tmp_path / 'figure2.png'}")


def test_figure_2_says_what_made_each_panel_and_how_fast(panel, plan):
    run, data, made = panel
    assert made.made == {
        "recipe": "mnist",
        "seed": 0,
        "step": 3,
        "weights": "average",
        "milliseconds_per_step": None,  # no line of timing in so few steps
    }
    config = small("timed", 25)
    run = trained(plan, dataclasses.replace(config, train=dataclasses.replace(config.train, log_every=10)), data)
    paces = [json.loads(line)["milliseconds_per_step"] for line in run.timing.read_text().splitlines()]
    pace = figure2.panel(run, data, "timed").made["milliseconds_per_step"]
    assert len(paces) == 2 and pace == pytest.approx(np.mean(paces))


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


def test_more_updates_of_g_are_the_only_difference_between_the_two_games():
    healthy, collapsed = (flatten(helvetica.configured(each, 6)) for each in (1, 30))
    differing = {name for name in healthy if healthy[name] != collapsed[name]} - {*FREE_ON_RESUME}
    assert differing == {"recipe", "train.generator_steps"}


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
        return helvetica.Side(f"{generator_steps}\n", x, helvetica.numbers(data.test.x, x), {})

    monkeypatch.setattr(helvetica, "_side", side)
    made = helvetica.reproduce(plan)
    assert made.holds == holds
    assert made.files[0].stat().st_size > 10_000


@contextlib.contextmanager
def two_short_runs():
    """The two runs in small: 60 updates of G in a quick one, 120 in a full one, a line of log every other step."""
    base = small("digits")
    config = dataclasses.replace(base, train=dataclasses.replace(base.train, log_every=2))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(helvetica.recipes, "get", lambda name: config)
        patch.setattr(helvetica, "UPDATES", {"quick": 60, "full": 120})
        yield


@pytest.fixture
def short():
    with two_short_runs():
        yield


@pytest.fixture(scope="module")
def quick_full_quick(tmp_path_factory):
    """What each budget gave, one after the other in one folder, the last without training."""
    folder = tmp_path_factory.mktemp("quick-first")
    untrained = Plan(folder, train=lambda *arguments, **options: pytest.fail("trained again"))
    with two_short_runs():
        return [helvetica.reproduce(plan) for plan in (Plan(folder), Plan(folder, "full"), untrained)]


@pytest.fixture(scope="module")
def full_quick(tmp_path_factory):
    """A folder, and what a full budget gave there, then a quick one."""
    folder = tmp_path_factory.mktemp("full-first")
    with two_short_runs():
        return folder, [helvetica.reproduce(Plan(folder, budget)) for budget in ("full", "quick")]


def test_both_runs_are_compared_after_as_many_updates_as_is_said(quick_full_quick, full_quick):
    quick, full, again = (made.summary for made in quick_full_quick)
    for made, updates in ((quick, 60), (full, 120)):
        assert made["updates_of_g"] == updates
        assert [one["step"] * one["generator_steps"] for one in made["runs"]] == [updates, updates]
        assert [one["generator_steps"] for one in made["runs"]] == [1, 30]
        assert all(f"step {one['step']}," in one["caption"] for one in made["runs"])
    assert quick["runs"] != full["runs"]
    assert again == quick, "quick after full is what it was before"
    assert full_quick[1][1].summary == quick, "and where only full was asked for"


def test_the_budgets_share_their_runs():
    quick, full = helvetica.UPDATES["quick"], helvetica.UPDATES["full"]
    for each in (1, helvetica.TOO_MANY):
        assert quick % each == 0 and (full // each) % (quick // each) == 0
        assert helvetica.configured(each, full // each).train.keep_every == quick // each


def test_a_run_that_kept_no_checkpoint_of_the_step_is_refused(short, full_quick, tmp_path):
    shutil.copytree(full_quick[0], tmp_path, dirs_exist_ok=True)
    run = Run(tmp_path / "runs" / "digits-30-of-g-seed0")
    run.checkpoint(2).rename(tmp_path / "elsewhere")
    with pytest.raises(
        InputError, match=r"digits-30-of-g-seed0 has passed step 2 and kept no checkpoint of it, allowed"
    ):
        helvetica.reproduce(Plan(tmp_path))


def test_real_images_stand_beside_both_runs(quick_full_quick):
    made = quick_full_quick[0]
    data = load(DIGITS.data)
    real = helvetica.numbers(data.test.x, data.train.x[:300])
    assert made.summary["real"] == {"caption": helvetica.REAL, **real}
    column = made.rows[0].index(helvetica.REAL)
    assert [row[column] for row in made.rows[1:]] == [f"{real[row[0]]:.3f}" for row in made.rows[1:]]
    assert len(made.summary["runs"]) == 2, "as results/tables.py reads it"


def test_what_d_said_at_the_end_is_in_the_summary(full_quick):
    folder, both = full_quick
    for made, steps in zip(both, ((120, 4), (60, 2)), strict=True):
        for each, step, one in zip((1, 30), steps, made.summary["runs"], strict=True):
            lines = map(json.loads, Run(folder / "runs" / f"digits-{each}-of-g-seed0").log.read_text().splitlines())
            (line,) = (line for line in lines if line["step"] == step)
            assert {name: one[name] for name in helvetica.LOGGED} == {name: line[name] for name in helvetica.LOGGED}
    assert {"d_real", "d_fake"} <= {*helvetica.LOGGED}
