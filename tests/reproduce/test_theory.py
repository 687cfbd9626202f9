import json
import math

import numpy as np
import pytest

from advnets.cli.main import main
from advnets.reproduce import theory
from advnets.reproduce.artefact import Plan


def test_every_claim_holds(tmp_path):
    made = theory.reproduce(Plan(tmp_path))
    wrong = [claim for claim in made.summary["claims"] if not claim["residual"] <= claim["tolerance"]]
    assert not wrong
    assert made.holds
    assert {claim["tag"] for claim in made.summary["claims"]} == {
        "P1",
        "P1b",
        "E1s",
        "E4",
        "E5",
        "E6",
        "T1",
        "P2",
        "P2b",
    }


def test_tolerances_are_tight():
    claims = [claim for check in theory.CHECKS for claim in check()]
    assert max(claim.tolerance for claim in claims) <= 1e-9


@pytest.mark.parametrize("residual", [1e-3, math.inf, math.nan])
def test_a_claim_that_does_not_hold_is_a_bad_answer(residual, tmp_path, monkeypatch, capsys):
    wrong = theory.Claim("T1", "two is three", "2", residual, 1e-10)
    monkeypatch.setattr(theory, "CHECKS", (lambda: iter([wrong]),))
    assert not theory.reproduce(Plan(tmp_path)).holds
    assert main(["reproduce", "theory", "--out", str(tmp_path)]) == 1
    shown = capsys.readouterr()
    assert "FAILS" in shown.out and not shown.err
    (claim,) = json.loads((tmp_path / "theory.json").read_text())["claims"]
    assert claim["residual"] == (residual if math.isfinite(residual) else None) and not claim["holds"]


def test_a_value_that_is_no_number_fails(tmp_path, monkeypatch, capsys):
    nothing = theory.theory.Integral(math.nan, 0.0)
    monkeypatch.setattr(theory.theory, "value", lambda *_: nothing)
    monkeypatch.setattr(theory, "CHECKS", (theory.proposition_1, theory.likelihood_of_labels))
    assert main(["reproduce", "theory", "--out", str(tmp_path)]) == 1
    assert not capsys.readouterr().err
    claims = json.loads((tmp_path / "theory.json").read_text())["claims"]
    assert [claim["claim"] for claim in claims if claim["residual"] is None and not claim["holds"]] == [
        "no D beats D*",
        "V(D*) − V(D) = 2 E KL(D* ‖ D)",
        "V(D)/2 = E log P(Y = y | x)",
    ]


@pytest.mark.parametrize(
    ("name", "failing"),
    [("criterion", 8), ("jensen_shannon", 5), ("kullback_leibler", 2), ("total_variation", 1)],
)
def test_no_claim_holds_by_what_is_no_number(name, failing, monkeypatch):
    nothing = theory.theory.Integral(math.nan, 0.0)
    monkeypatch.setattr(theory.theory, name, lambda *_: nothing)
    assert sum(not claim.holds for claim in theory.theorem_1()) == failing


def test_the_global_minimum_is_neither_a_false_minimum_nor_a_saddle(monkeypatch):
    monkeypatch.setattr(theory.theory.TwoModes, "critical_point", lambda *_: np.array([-2.0, 2.0]))
    claims = list(theory.critical_points())
    assert len(claims) == 4 and not any(claim.holds for claim in claims)


def test_a_minimum_is_no_saddle_and_a_saddle_no_minimum(monkeypatch):
    find = theory.theory.TwoModes.critical_point
    monkeypatch.setattr(theory.theory.TwoModes, "critical_point", lambda game, start: find(game, start * [1, -1]))
    assert [claim.holds for claim in theory.critical_points()] == [False, True, False, True]


@pytest.mark.parametrize(("sign", "steps"), [(-1, 40), (1, 0)])  # to the data; nowhere
def test_a_path_that_does_not_end_in_the_false_minimum_fails(sign, steps, monkeypatch):
    go = theory.theory.TwoModes.descend
    monkeypatch.setattr(
        theory.theory.TwoModes, "descend", lambda game, start, size, _: go(game, sign * start, size, steps)
    )
    assert [claim.holds for claim in theory.paths()] == [False, True]


def test_a_path_of_p_g_that_does_not_end_at_the_data_fails(monkeypatch):
    flow = theory.theory.flow
    monkeypatch.setattr(theory.theory, "flow", lambda data, start, step, size, _: flow(data, start, step, size, 20))
    assert [claim.holds for claim in theory.paths()] == [True, False]


def test_a_false_theory_fails(monkeypatch):
    monkeypatch.setattr(theory, "LOG4", math.log(4.001))
    assert not all(claim.holds for claim in theory.theorem_1())


def test_the_command_prints_a_table_and_writes_json(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    assert main(["reproduce", "theory"]) == 0
    shown = capsys.readouterr().out
    assert "C = −log 4 where p_g = p_data" in shown and "wrote reproduced/theory.json" in shown
    assert main(["reproduce", "theory", "--json"]) == 0
    assert json.loads(capsys.readouterr().out) == json.loads((tmp_path / "reproduced" / "theory.json").read_text())


@pytest.mark.parametrize(
    "pulls", [lambda sharpness: (sharpness, 2 * sharpness), lambda sharpness: (sharpness**-2, 1 / sharpness)]
)
def test_gradients_that_do_not_fade_or_fade_both_fail(pulls, monkeypatch):
    monkeypatch.setattr(theory.theory, "generator_gradients", lambda data, model, sharpness: pulls(sharpness))
    assert [claim.holds for claim in theory.saturation()] == [False]


def test_what_cannot_be_reproduced_is_refused_in_one_line(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    assert main(["reproduce", "figure9"]) == 2
    error = capsys.readouterr().err
    assert "figure9" in error and "theory" in error and error.count("\n") == 1
    assert main(["reproduce", "theory", "--seeds", "0"]) == 2
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("limit", [2.0, 5.0])
def test_a_wrong_limit_of_the_step_size_fails(limit, monkeypatch):
    monkeypatch.setattr(theory.dynamics, "ENTROPIC_LIMIT", limit)
    assert [claim.holds for claim in theory.step_sizes()] == [False, True, False, True]


def test_four_times_the_least_probability_is_no_limit_for_an_uneven_law(monkeypatch):
    monkeypatch.setattr(theory.dynamics, "euclidean_limit", lambda data: 4 * data.min())
    assert [claim.holds for claim in theory.step_sizes()] == [True, True, True, False]
