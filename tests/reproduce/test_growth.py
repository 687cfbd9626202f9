"""Likelihood against epochs: means over seeds, fitted laws, and the picture."""

import numpy as np
import pytest
from PIL import Image

from advnets.reproduce import growth

EPOCHS = (10, 20, 50, 100, 200)


def seed_with(number, nats, *, lost=False, legacy=None):
    at_epochs = []
    for epoch, value in zip(EPOCHS, nats, strict=False):
        fine = {"nats": float(value), "standard_error": 1.5}
        at_epochs.append({"step": epoch * 500, "raw": {"fine": fine, "legacy": legacy or {"not_measured": "edge"}}})
    return {"seed": number, "lost": lost, "chosen": {"raw": {}}, "at_epochs": at_epochs}


def rows_of(nats):
    return list(growth.over_seeds([seed_with(0, nats)], 500))


def test_means_leave_out_lost_seeds_and_count_the_rest():
    seeds = [seed_with(0, [100, 120, 140]), seed_with(1, [104, 122]), seed_with(2, [-400] * 5, lost=True)]
    rows = list(growth.over_seeds(seeds, 500))
    assert [(row["epoch"], row["n"], row["fine"]["nats"]) for row in rows] == [(10, 2, 102), (20, 2, 121), (50, 1, 140)]
    assert rows[0]["fine"]["deviation"] == pytest.approx(np.std([100, 104], ddof=1))
    assert rows[2]["fine"]["deviation"] is None
    assert not any("legacy" in row for row in rows)


def test_a_logarithm_is_found_again_with_the_epochs_to_the_goal():
    found = growth.laws(rows_of(growth.logarithm(np.array(EPOCHS), 30, 25)), "raw", "fine", 225)["logarithm"]
    assert (found["a"], found["b"]) == pytest.approx((30, 25))
    assert found["residual"] == pytest.approx(0, abs=1e-9)
    assert found["epochs_to_goal"] == pytest.approx(np.exp((225 - 30) / 25))


@pytest.mark.parametrize(("limit", "reached"), [(230, True), (210, False)])
def test_a_power_law_is_found_again_and_its_limit_may_be_short_of_the_goal(limit, reached):
    found = growth.laws(rows_of(growth.power(np.array(EPOCHS), limit, 500, 0.6)), "raw", "fine", 225)["power"]
    assert (found["limit"], found["c"], found["p"]) == pytest.approx((limit, 500, 0.6), rel=1e-4)
    expected = (500 / (limit - 225)) ** (1 / 0.6) if reached else None
    assert found["epochs_to_goal"] == (pytest.approx(expected, rel=1e-3) if reached else None)


@pytest.mark.parametrize("nats", [[300, 280, 260, 250, 245], [100, 100, 100, 100, 100.00001]])
def test_a_goal_out_of_reach_or_behind_is_none_and_no_infinity(nats):
    found = growth.laws(rows_of(nats), "raw", "fine", 225)
    assert {law["epochs_to_goal"] for law in found.values()} == {None}


def test_laws_are_those_of_the_grid_that_is_asked_for_and_say_where_they_were_fitted():
    rows = rows_of([100, 120, 135, 142, 148])
    assert growth.laws(rows, "raw", "legacy", 225) == {}
    for row in rows:
        row["legacy"] = {"nats": row["fine"]["nats"] - 7}
    fine, legacy = (growth.laws(rows, "raw", grid, 225)["logarithm"] for grid in growth.GRIDS)
    assert legacy["a"] == pytest.approx(fine["a"] - 7) and legacy["b"] == pytest.approx(fine["b"])
    assert legacy["fitted"] == [10, 200]


def test_too_few_points_have_no_law():
    assert growth.laws(rows_of([100, 120, 130, 140]), "raw", "fine", 225) == {}


def test_no_goal_has_no_epochs_to_it():
    assert growth.laws(rows_of([100, 120, 135, 142, 148]), "raw", "fine", None)["logarithm"]["epochs_to_goal"] is None


def test_the_picture_is_the_same_every_time_and_without_lost_seeds(tmp_path):
    legacy = {"nats": 110.0, "standard_error": 1.0}
    seeds = [seed_with(0, [100, 120, 135, 142, 148], legacy=legacy), seed_with(1, [90, 115])]  # one not measured
    lost = seed_with(2, [-400] * 5, lost=True)
    rows = list(growth.over_seeds(seeds, 500))
    law = growth.laws(rows, "raw", "fine", 225)
    column = {
        "recipe": "mnist",
        "steps_per_epoch": 500,
        "seeds": seeds,
        "epochs": rows,
        "laws": {"raw": {"fine": law, "legacy": law}},
        "references": {"training_images": {"nats": 243.0, "legacy": {"nats": 241.0}}},
    }
    for name, drawn in (("a.png", seeds), ("b.png", [*seeds, lost])):
        growth.draw({**column, "seeds": drawn}, {"nats": 225.0}, tmp_path / name)
    assert (tmp_path / "a.png").read_bytes() == (tmp_path / "b.png").read_bytes()
    assert np.asarray(Image.open(tmp_path / "a.png")).std() > 10
