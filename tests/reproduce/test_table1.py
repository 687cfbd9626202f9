"""The adversarial row of Table 1, in small: the protocol, resuming, and what the table says."""

import dataclasses
import json

import numpy as np
import pytest

from advnets import recipes
from advnets.config import DataConfig
from advnets.data import load
from advnets.errors import InputError
from advnets.evaluation.likelihood import HeldOut, flat, likelihood
from advnets.reproduce import curves, table1
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
        patch.setattr(table1, "EPOCHS", (1, 2, 4, 8))
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
            nats = {step: likelihood(x, validation, "fine").nats for step, x in samples.items()}
            assert {point["step"]: point[weights] for point in found["validation"]} == pytest.approx(nats)
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


def test_what_is_there_is_neither_trained_nor_scored_again(made, config, monkeypatch):
    plan, column = made
    monkeypatch.setattr(curves, "SAMPLES", 300)
    monkeypatch.setattr(table1, "SAMPLES", 300)
    monkeypatch.setattr(table1, "EPOCHS", (1, 2, 4, 8))
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


def test_faces_that_cannot_be_read_are_refused_before_training(tmp_path):
    plan = Plan(tmp_path, faces=tmp_path / "none.mat", train=lambda *arguments, **options: pytest.fail("trained"))
    with pytest.raises(InputError, match=r"none.mat is not there"):
        table1.reproduce(plan)


def test_divergence_is_told(config, tmp_path):
    plan = Plan(tmp_path, train=lambda *arguments, **options: Outcome("diverged", 7, 0.0))
    with pytest.raises(InputError, match=r"digits-seed0 diverged at step 7"):
        table1.column(plan, config, LENGTH)


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
    assert rows[-1][0].startswith("tfd: needs your own TFD_48x48.mat")
    assert all(len(row) == 4 for row in rows)


def test_an_unmeasured_score_is_a_sentence_and_no_number(made):
    _, column = made
    seeds = json.loads(json.dumps(column["seeds"]))
    seeds[1]["chosen"]["raw"]["legacy"] = {"not_measured": "the edge of the grid"}
    rows = {(row["weights"], row["grid"]): row for row in table1._rows(seeds)}
    assert rows["raw", "legacy"]["not_measured"] == "the edge of the grid" and "nats" not in rows["raw", "legacy"]
    assert rows["raw", "fine"]["n"] == 2
