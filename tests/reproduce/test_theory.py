import json
import math

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
    if math.isfinite(residual):
        assert main(["reproduce", "theory", "--out", str(tmp_path)]) == 1
        assert "FAILS" in capsys.readouterr().out


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
    assert not all(claim.holds for claim in theory.proposition_2())
