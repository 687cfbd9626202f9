"""The adversarial row of Table 1, in small: the protocol, resuming, and what the table says."""

import dataclasses
import json

import numpy as np
import pytest

from advnets import recipes
from advnets.config import DataConfig
from advnets.data import load
from advnets.errors import InputError, NotMeasurable
from advnets.evaluation.likelihood import HeldOut, flat, likelihood
from advnets.reproduce import curves, growth, rivals, scoring, table1
from advnets.reproduce.artefact import Plan
from advnets.runs import Run
from advnets.sampling import load_sampler
from advnets.training import Outcome, train

LENGTH = table1.Length(steps=44, seeds=2, keep_every=11)


@pytest.fixture(scope="module")
def config():
    base = recipes.get("digits")
    generator = dataclasses.replace(base.generator, hidden=(24,), activations=("rectifier",))
    discriminator = dataclasses.replace(base.discriminator, hidden=(12, 12))
    return dataclasses.replace(
        base, generator=generator, discriminator=discriminator, train=dataclasses.replace(base.train, average_decay=0.9)
    )


@pytest.fixture(scope="module")
def made(config, tmp_path_factory):
    plan = Plan(tmp_path_factory.mktemp("reproduced"))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(curves, "SAMPLES", 300)
        patch.setattr(table1, "SAMPLES", 300)
        patch.setattr(scoring, "EPOCHS", (1, 2, 4, 8))
        return plan, table1.column(plan, config, LENGTH)


def test_the_kept_checkpoint_of_the_best_validation_likelihood_is_scored(made):
    plan, column = made
    held_out = HeldOut.of(load(DataConfig("digits")))
    validation = HeldOut(held_out.validation, held_out.validation)
    for seed, found in enumerate(column["seeds"]):
        run = Run(plan.folder / "runs" / f"digits-seed{seed}")
        assert [point["step"] for point in found["validation"]] == [11, 22, 33, 44]
        for weights in ("raw", "average"):
            samples = {step: flat(load_sampler(run, weights, step).draw(300, seed)) for step in (11, 22, 33, 44)}
            for grid in ("legacy", "fine"):
                nats = {step: likelihood(x, validation, grid).nats for step, x in samples.items()}
                assert {p["step"]: p[grid][weights][0] for p in found["validation"]} == pytest.approx(nats)
            best = max(nats, key=nats.get)
            assert found["chosen"][weights]["step"] == best
            expected = likelihood(samples[best], held_out, "fine")
            assert found["chosen"][weights]["fine"]["nats"] == pytest.approx(expected.nats)


def test_rows_are_means_over_seeds_with_their_deviation(made):
    _, column = made
    for row in column["rows"]:
        nats = [seed["chosen"][row["weights"]][row["grid"]]["nats"] for seed in column["seeds"]]
        assert row["n"] == len(nats) == 2
        assert row["nats"] == pytest.approx(np.mean(nats))
        assert row["deviation"] == pytest.approx(np.std(nats, ddof=1))
    assert {(row["weights"], row["grid"]) for row in column["rows"]} == {
        (weights, grid) for weights in ("raw", "average") for grid in ("fine", "legacy")
    }


def test_fixed_epochs_are_scored_whatever_validation_says(made):
    _, column = made
    assert column["steps_per_epoch"] == 11
    assert [point["step"] for point in column["seeds"][0]["at_epochs"]] == [11, 22, 44]


def test_some_seeds_go_the_first_part_only_and_count_in_the_epochs_but_not_in_the_rows(made, config, monkeypatch):
    plan, column = made
    monkeypatch.setattr(curves, "SAMPLES", 300)
    monkeypatch.setattr(scoring, "EPOCHS", (1, 2, 4, 8))
    found = table1.column(plan, config, dataclasses.replace(LENGTH, more=1, first=22))
    assert [(seed["steps"], seed["lost"]) for seed in found["seeds"]] == [(44, False), (44, False), (22, False)]
    assert found["rows"] == column["rows"]
    counts = {(row["epoch"], row["n"]) for row in found["epochs"]}
    assert counts == {(1, 3), (2, 3), (4, 2)}


def test_laws_are_fitted_to_the_seeds_that_went_all_the_way(made, config, monkeypatch):
    plan, _ = made
    monkeypatch.setattr(curves, "SAMPLES", 300)
    monkeypatch.setattr(scoring, "EPOCHS", (1, 2, 3, 4, 5))
    found = table1.column(plan, config, table1.Length(55, 1, 11, more=1, first=22))
    alone = list(growth.over_seeds(found["seeds"][:1], 11))
    for grid in ("fine", "legacy"):
        assert found["laws"]["raw"][grid] == growth.laws(alone, "raw", grid, None) != {}
    assert [row for row in found["epochs"] if row["n"] == 2], "the other one counts there"


def test_a_number_of_seeds_that_was_asked_for_is_the_number_that_is_trained(made, config, monkeypatch):
    plan, column = made
    monkeypatch.setattr(curves, "SAMPLES", 300)
    monkeypatch.setattr(scoring, "EPOCHS", (1, 2, 4, 8))
    one = dataclasses.replace(plan, seeds=1)
    found = table1.column(one, config, dataclasses.replace(LENGTH, more=1, first=22))
    assert [seed["chosen"] for seed in found["seeds"]] == [column["seeds"][0]["chosen"]]


def test_a_seed_whose_d_has_won_goes_no_further_counts_in_no_mean_and_another_takes_its_place(
    made, config, monkeypatch, tmp_path
):
    monkeypatch.setattr(curves, "SAMPLES", 300)
    monkeypatch.setattr(table1, "SAMPLES", 300)
    monkeypatch.setattr(scoring, "EPOCHS", (1, 2, 4, 8))
    monkeypatch.setattr(scoring, "lost", lambda run, step: run.path.name.endswith("seed0"))
    said = []
    plan = Plan(tmp_path, say=said.append)
    found = table1.column(plan, config, dataclasses.replace(LENGTH, seeds=1, probe=22))
    folder = tmp_path / "runs" / "digits-seed0"
    assert said[0] == f"D has won in {folder}, which goes no further than step 22"
    assert Run(folder).checkpoint_steps() == [11, 22]
    assert [(seed["steps"], seed["lost"]) for seed in found["seeds"]] == [(22, True), (44, False)]
    assert found["lost_seeds"] == [0]
    assert {row["n"] for row in [*found["rows"], *found["epochs"]]} == {1}
    _, column = made
    assert found["seeds"][1]["chosen"] == column["seeds"][1]["chosen"]
    summary = {"paper": {}, "columns": {"mnist": found}}
    assert list(table1.notes(summary)) == ["mnist: lost, and in no mean, are 1 of 2 seeds: 0"]


def test_where_every_seed_is_lost_there_is_no_row(made, config, monkeypatch):
    plan, _ = made
    monkeypatch.setattr(curves, "SAMPLES", 300)
    monkeypatch.setattr(scoring, "lost", lambda run, step: True)
    said = []
    found = table1.column(
        dataclasses.replace(plan, say=said.append), config, dataclasses.replace(LENGTH, steps=11, seeds=1)
    )
    assert found["lost_seeds"] == [0, 1, 2], "no more are tried"
    assert said[-1] == "1 fewer seeds are here than were wanted: too many were lost"
    assert found["rows"] == [] and found["epochs"] == [] and found["laws"] == {}


@pytest.mark.parametrize("recipe", ["mnist", "mnist-best"])
def test_a_quick_run_can_be_gone_on_with_in_full(recipe):
    quick, full = (table1.LENGTHS[budget][recipe] for budget in ("quick", "full"))
    assert quick.keep_every == full.keep_every and quick.steps % quick.keep_every == 0
    assert all(steps % full.keep_every == 0 for steps in (full.steps, full.first, full.probe))


def timed(run, *lines):
    for step, pace in lines:
        run.append(run.timing, {"step": step, "milliseconds_per_step": pace})


def test_minutes_count_every_step_once_however_often_it_was_made(tmp_path):
    run = Run(tmp_path)
    timed(run, (100, 60.0), (200, 30.0), (300, 90.0), (200, 120.0), (250, 60.0), (300, 60.0))  # killed at 300, at 100
    assert curves.minutes(run, 250) == pytest.approx((100 * 60 + 100 * 120 + 50 * 60) / 60_000)


def test_minutes_that_were_not_taken_are_none_and_a_line_cut_by_a_kill_is_left_out(tmp_path):
    run = Run(tmp_path)
    assert curves.minutes(run, 300) is None, "no file"
    timed(run, (100, 60.0))
    with run.timing.open("a") as stream:
        stream.write('{"step": 200, "millisec\n[]\n')
    timed(run, (300, 60.0))
    assert curves.minutes(run, 300) == pytest.approx(300 * 60 / 60_000)
    assert curves.minutes(run, 900) is None, "the file ends before"


def test_minutes_to_the_goal_are_those_of_the_first_kept_step_that_reaches_it_by_the_paper_s_grid(made, monkeypatch):
    plan, column = made
    run = Run(plan.folder / "runs" / "digits-seed0")
    curve = [
        {"step": 11, "fine": {"raw": [230.0]}, "legacy": {"raw": [224.9]}},
        {"step": 22, "fine": {"raw": [230.0]}, "legacy": {"raw": [None]}},
        {"step": 33, "fine": {"raw": [224.0]}, "legacy": {"raw": [225.0]}},
    ]
    monkeypatch.setattr(scoring, "minutes", lambda run, step: step / 10)
    found = scoring._to_goal(run, curve, "raw", 225.0)
    assert found == {"step": 33, "minutes": 3.3}
    assert scoring._to_goal(run, curve, "raw", 225.1) is None and scoring._to_goal(run, curve, "raw", None) is None
    seeds = [{"to_goal": {"raw": reached, "average": None}, "steps": 44, "lost": False} for reached in (found, found)]
    seeds[1] = {**seeds[1], "to_goal": {"raw": {"step": 11, "minutes": 1.1}, "average": None}}
    cells = {**column, "recipe": "mnist", "seeds": [*seeds, {**seeds[0], "lost": True}, {**seeds[0], "steps": 22}]}
    assert table1._reached(cells, "raw") == "1.1 to 3.3 on 2 of 2 seeds"
    assert table1._reached({**cells, "seeds": seeds[:1]}, "raw") == "3.3 on 1 of 1 seeds"
    assert table1._reached(cells, "average") == "not in 4 epochs"
    untimed = {**seeds[0], "to_goal": {"raw": {"step": 33, "minutes": None}}}
    assert table1._reached({**cells, "seeds": [untimed]}, "raw") == "not timed on 1 of 1 seeds"
    assert table1._reached(column, "raw") == "", "digits have no number in the paper"


def test_each_fold_chooses_by_its_own_validation_points(made, monkeypatch):
    plan, _ = made
    run = Run(plan.folder / "runs" / "digits-seed0")
    monkeypatch.setattr(curves, "SAMPLES", 300)
    held_out = HeldOut.of(load(DataConfig("digits")))
    two = (held_out, HeldOut(held_out.validation, held_out.test[:100]))
    basis = dataclasses.replace(scoring.Basis.of(plan, run.config()), held_out=two, in_folds=True)
    curve = [
        {
            "step": step,
            "fine": {w: nats for w in ("raw", "average")},
            "legacy": {w: [0.0, 0.0] for w in ("raw", "average")},
        }
        for step, nats in ((11, [1.0, 5.0]), (22, [3.0, None]), (33, [2.0, 4.0]))
    ]
    monkeypatch.setattr(scoring, "validation_curve", lambda *arguments: curve)
    found = scoring.scored(plan, basis, run, {"seed": 0, "steps": 44, "lost": False}, 11, None)
    assert found["chosen"]["raw"]["step"] == [22, 11]
    parts = found["chosen"]["raw"]["fine"]["folds"]
    for part, step, fold in zip(parts, (22, 11), two, strict=True):
        expected = likelihood(flat(load_sampler(run, "raw", step).draw(300, 0)), fold, "fine")
        assert part["nats"] == pytest.approx(expected.nats)


def test_a_collapsed_generator_is_not_measured_and_ends_nothing(made, monkeypatch):
    plan, _ = made
    run = Run(plan.folder / "runs" / "digits-seed0")

    def refuse(*arguments, **options):
        raise NotMeasurable("all samples are alike")

    monkeypatch.setattr(curves, "SAMPLES", 299)  # nothing is remembered of so many
    monkeypatch.setattr(curves, "likelihood", refuse)
    monkeypatch.setattr(curves, "both_grids", refuse)
    basis = scoring.Basis.of(plan, run.config())
    found = scoring.scored(plan, basis, run, {"seed": 0, "steps": 44, "lost": False}, 11, 225.0)
    assert found["chosen"]["raw"] == {
        "step": 11,
        "fine": {"not_measured": "all samples are alike"},
        "legacy": {"not_measured": "all samples are alike"},
    }
    assert found["to_goal"] == {"raw": None, "average": None}
    json.dumps(found, allow_nan=False)


def test_a_run_without_kept_checkpoints_is_refused_in_one_line(made, config, tmp_path):
    plan, _ = made
    run = Run(tmp_path / "run")
    train(dataclasses.replace(config, train=dataclasses.replace(config.train, steps=44)), load(config.data), run)
    with pytest.raises(InputError, match=r"keeps no checkpoint at a multiple of 13 steps.*--train.keep_every 13"):
        facts = {"seed": 0, "steps": 44, "lost": False}
        scoring.scored(plan, scoring.Basis.of(plan, config), run, facts, 13, None)


def test_what_is_there_is_neither_trained_nor_scored_again(made, config, monkeypatch):
    plan, column = made
    monkeypatch.setattr(curves, "SAMPLES", 300)
    monkeypatch.setattr(table1, "SAMPLES", 300)
    monkeypatch.setattr(scoring, "EPOCHS", (1, 2, 4, 8))
    monkeypatch.setattr(curves, "likelihood", lambda *arguments: pytest.fail("scored again"))
    monkeypatch.setattr(curves, "both_grids", lambda *arguments, **options: pytest.fail("scored again"))
    again = dataclasses.replace(plan, train=lambda *arguments, **options: pytest.fail("trained again"))
    assert table1.column(again, config, LENGTH) == json.loads(json.dumps(column))


def test_a_stopped_training_is_gone_on_with(config, tmp_path, monkeypatch):
    monkeypatch.setattr(curves, "SAMPLES", 200)
    monkeypatch.setattr(table1, "SAMPLES", 200)
    length = dataclasses.replace(LENGTH, seeds=1)
    steps = iter(range(1, 1000))

    def stopping(*arguments, resume):
        return train(*arguments, resume=resume, stop=lambda: next(steps) == 15)

    with pytest.raises(KeyboardInterrupt):
        table1.column(Plan(tmp_path / "parts", train=stopping), config, length)
    said = []
    parts = table1.column(Plan(tmp_path / "parts", say=said.append), config, length)
    assert said == [f"going on with {tmp_path / 'parts' / 'runs' / 'digits-seed0'} at step 15 of 44"]
    assert parts["rows"] == table1.column(Plan(tmp_path / "whole"), config, length)["rows"]


def test_a_run_with_other_settings_is_refused(made, config):
    plan, _ = made
    other = dataclasses.replace(config, train=dataclasses.replace(config.train, learning_rate=0.05))
    with pytest.raises(InputError, match=r"train.learning_rate is 0.1 in the run and 0.05 here"):
        table1.column(plan, other, LENGTH)


def test_both_recipes_stand_beside_the_paper_and_a_curve_is_drawn(made, config, monkeypatch, tmp_path):
    plan, _ = made
    monkeypatch.setattr(curves, "SAMPLES", 300)
    monkeypatch.setattr(table1, "SAMPLES", 300)
    monkeypatch.setattr(scoring, "EPOCHS", (1, 2, 3, 4, 5))
    monkeypatch.setenv("ADVNETS_DATA", str(tmp_path))
    monkeypatch.setattr(table1.recipes, "get", lambda name: config)
    monkeypatch.setattr(rivals, "SAMPLES", 300)
    monkeypatch.setattr(rivals, "_QUICK", dict.fromkeys(rivals._QUICK, 11))
    long, short = table1.Length(55, 1, 11), table1.Length(22, 1, 11)
    monkeypatch.setitem(table1.LENGTHS, "quick", {"mnist": long, "mnist-best": short, "tfd": short})
    found = table1.reproduce(dataclasses.replace(plan, folder=tmp_path))
    assert list(found.summary["columns"]) == ["mnist", "mnist-best", "tfd"]
    assert found.files == [tmp_path / "table1.png"] and found.files[0].stat().st_size > 10_000
    assert found.rows[1] == ("the paper", "225 ± 2", "225 ± 2", "2057 ± 26")
    assert {len(row) for row in found.rows} == {4}
    json.dumps(found.summary, allow_nan=False)

    monkeypatch.setitem(table1.LENGTHS, "quick", {"mnist": short, "mnist-best": short, "tfd": short})
    few = table1.reproduce(dataclasses.replace(plan, folder=tmp_path / "short", models="adversarial"))
    assert few.files == [], "two points are no curve"


def test_faces_that_cannot_be_read_are_refused_before_training(tmp_path):
    plan = Plan(tmp_path, faces=tmp_path / "none.mat", train=lambda *arguments, **options: pytest.fail("trained"))
    with pytest.raises(InputError, match=r"none.mat is not there"):
        table1.reproduce(plan)


def test_a_seed_that_diverges_is_told_and_another_takes_its_place(made, config, monkeypatch, tmp_path):
    monkeypatch.setattr(curves, "SAMPLES", 300)
    monkeypatch.setattr(table1, "SAMPLES", 300)
    monkeypatch.setattr(scoring, "EPOCHS", (1, 2, 4, 8))

    def diverging(config, data, run, *, resume):
        if config.seed == 0:
            run.create(config, {})
            run.write_status(7, "diverged", "diverged")
            return Outcome("diverged", 7, 0.0)
        return train(config, data, run, resume=resume)

    said = []
    plan = Plan(tmp_path, train=diverging, say=said.append)
    found = table1.column(plan, config, dataclasses.replace(LENGTH, seeds=1))
    assert said == [f"{tmp_path / 'runs' / 'digits-seed0'} diverged, and goes no further"]
    assert found["lost_seeds"] == [0] and found["seeds"][0]["chosen"] == {}
    _, column = made
    assert found["seeds"][1]["chosen"] == column["seeds"][1]["chosen"]
    assert {row["n"] for row in found["rows"]} == {1}


def test_where_no_seed_is_left_the_answer_is_bad(config, monkeypatch, tmp_path):
    monkeypatch.setattr(table1, "SAMPLES", 300)
    monkeypatch.setenv("ADVNETS_DATA", str(tmp_path))
    monkeypatch.setattr(table1.recipes, "get", lambda name: config)
    length = table1.Length(11, 1, 11)
    monkeypatch.setitem(table1.LENGTHS, "quick", {"mnist": length, "mnist-best": length, "tfd": length})

    def diverging(config, data, run, *, resume):
        assert not resume, "once is enough"
        run.create(config, {})
        run.write_status(7, "diverged", "diverged")
        return Outcome("diverged", 7, 0.0)

    assert not table1.reproduce(Plan(tmp_path / "out", train=diverging, models="adversarial")).holds


def test_the_table_sets_ours_beside_the_paper_s_and_says_what_is_missing(made, monkeypatch, tmp_path):
    _, column = made
    monkeypatch.setenv("ADVNETS_DATA", str(tmp_path))
    missing = table1._faces(Plan(tmp_path), None)
    assert "TFD_48x48.mat" in missing["not_measured"]
    paper = {"mnist": {"nats": 225.0, "error": 2.0}, "tfd": {"nats": 2057.0, "error": 26.0}}
    rows = list(table1.table({"paper": paper, "columns": {"mnist": column, "tfd": missing, "faces, not TFD": column}}))
    assert rows[0] == ("adversarial nets", "mnist", "tfd", "faces, not TFD")
    assert rows[1] == ("the paper", "225 ± 2", "2057 ± 26", "")
    raw = next(row for row in column["rows"] if (row["weights"], row["grid"]) == ("raw", "legacy"))
    cell = f"{raw['nats']:.1f} ± {raw['deviation']:.1f} over 2 seeds (error {raw['standard_error']:.1f})"
    assert rows[2] == ("ours, raw weights, legacy grid", cell, "", cell)
    assert all(len(row) == 4 for row in rows)
    summary = {"columns": {"mnist": column, "tfd": missing}}
    assert [note[:33] for note in table1.notes(summary)] == ["tfd: needs your own TFD_48x48.mat"]


def test_an_unmeasured_score_is_a_sentence_and_no_number(made):
    _, column = made
    seeds = json.loads(json.dumps(column["seeds"]))
    seeds[1]["chosen"]["raw"]["legacy"] = {"not_measured": "the edge of the grid"}
    rows = {(row["weights"], row["grid"]): row for row in table1._rows(seeds)}
    assert rows["raw", "legacy"]["not_measured"] == "the edge of the grid" and "nats" not in rows["raw", "legacy"]
    assert rows["raw", "fine"]["n"] == 2
