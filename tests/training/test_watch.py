"""What a run does about bad verdicts: it says so, stops, or goes back to where it was well and makes smaller steps."""

import dataclasses
import json

import pytest

from advnets import doctor, history
from advnets.config import StackConfig
from advnets.doctor import Verdict
from advnets.errors import InputError
from advnets.runs import Run
from advnets.training import checkpoint, train, watch
from advnets.training.watch import ROLLBACKS, rollbacks
from training.games import data, tiny

LOGGED = {"steps": 20, "log_every": 2, "checkpoint_every": 4}


@pytest.fixture
def bad_at(monkeypatch):
    """Let verdicts be collapsed from a step on, `healthy` before, for as long as learning rates are not smaller."""

    def install(step, until=1.0, name="collapsed"):
        def judge(lines, train):
            if not lines:
                return None
            last = lines[-1]
            gone = last["step"] >= step and last["learning_rate"] > 0.09 * until
            return Verdict(name if gone else "healthy", "evidence", "advice")

        monkeypatch.setattr(doctor, "judge", judge)

    return install


def rates(run: Run) -> list[float]:
    return [round(line["learning_rate"], 3) for line in history.read_log(run)]


def bits(run: Run) -> dict[str, bytes]:
    folder = run.checkpoint(run.checkpoint_steps()[-1])
    return {file.name: file.read_bytes() for file in folder.iterdir()} | {"log": run.log.read_bytes()}


def test_by_default_a_bad_verdict_is_told_and_training_goes_on(tmp_path, bad_at):
    bad_at(10)
    run = Run(tmp_path / "run")
    seen = []
    outcome = train(tiny(**LOGGED), data(), run, report=lambda progress: seen.append(progress.verdict))
    assert (outcome.state, outcome.verdict.name) == ("finished", "collapsed")
    assert [verdict and verdict.name for verdict in seen[:2] + seen[8:11]] == [None] + 2 * ["healthy"] + 2 * [
        "collapsed"
    ]
    assert run.status() == {
        "step": 20,
        "state": "finished",
        "verdict": "collapsed",
        "evidence": "evidence",
        "advice": "advice",
    }


def test_stop_ends_the_run_with_a_checkpoint_of_that_step(tmp_path, bad_at):
    bad_at(10)
    run = Run(tmp_path / "run")
    outcome = train(tiny(**LOGGED, on_bad="stop"), data(), run)
    assert (outcome.state, outcome.step, outcome.verdict.name) == ("interrupted", 10, "collapsed")
    assert run.checkpoint_steps()[-1] == 10
    assert run.status()["verdict"] == "collapsed"
    assert train(tiny(**LOGGED, on_bad="warn"), data(), run, resume=True).state == "finished"


def test_rollback_goes_on_from_the_last_healthy_checkpoint_at_half_the_rates(tmp_path, bad_at):
    bad_at(10)
    run, straight = Run(tmp_path / "run"), Run(tmp_path / "straight")
    seen = []
    config = tiny(**LOGGED, on_bad="rollback", discriminator_learning_rate=0.2)
    outcome = train(config, data(), run, report=lambda progress: seen.append(progress.rollback))
    assert (outcome.state, outcome.verdict.name) == ("finished", "healthy")
    told = {"at": 10, "verdict": "collapsed", "to": 8}
    assert rollbacks(run) == [told] and [one for one in seen if one] == [told]
    lines = history.read_log(run)
    assert [line["step"] for line in lines] == list(range(2, 21, 2))
    assert rates(run) == 4 * [0.1] + 6 * [0.05]
    assert [round(line["discriminator_learning_rate"], 3) for line in lines] == 4 * [0.2] + 6 * [0.1]
    train(tiny(**LOGGED, discriminator_learning_rate=0.2), data(), straight)
    assert run.log.read_text().splitlines()[:4] == straight.log.read_text().splitlines()[:4]


def test_a_run_that_was_rolled_back_resumes_exactly(tmp_path, bad_at):
    bad_at(10)
    config = tiny(**LOGGED, on_bad="rollback")
    whole, parts = Run(tmp_path / "whole"), Run(tmp_path / "parts")
    train(config, data(), whole)
    calls = iter(range(1, 10**9))
    assert train(config, data(), parts, stop=lambda: next(calls) >= 14).state == "interrupted"
    assert len(rollbacks(parts)) == 1
    assert train(config, data(), parts, resume=True).state == "finished"
    assert bits(whole) == bits(parts)


@pytest.mark.parametrize("killed_at", ["checkpoint", "cut", "note"])
def test_a_rollback_killed_half_way_is_made_again(tmp_path, bad_at, monkeypatch, killed_at):
    bad_at(10)
    config = tiny(**LOGGED, on_bad="rollback")
    whole, parts = Run(tmp_path / "whole"), Run(tmp_path / "parts")
    train(config, data(), whole)

    def kill(*arguments, **options):
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        if killed_at == "note":
            patch.setattr(watch, "write_json", kill)
        else:
            patch.setattr(Run, {"checkpoint": "drop_checkpoints_after", "cut": "cut_log"}[killed_at], kill)
        with pytest.raises(KeyboardInterrupt):
            train(config, data(), parts)
    assert train(config, data(), parts, resume=True).state == "finished"
    assert bits(whole) == bits(parts) and rollbacks(whole) == rollbacks(parts)


def test_a_rollback_drops_newer_checkpoints_pictures_scores_and_lines(tmp_path, monkeypatch):
    """Bad from step 10 on by the log, which tells so only at step 14."""
    run = Run(tmp_path / "run")
    late = []

    def judge(lines, train):
        steps = [line["step"] for line in lines]
        if not steps or lines[-1]["learning_rate"] < 0.09:
            return None
        late.append(max(steps))
        return Verdict("collapsed" if steps[-1] >= 10 and max(late) >= 14 else "healthy", "evidence", "advice")

    monkeypatch.setattr(doctor, "judge", judge)
    config = tiny(**LOGGED, on_bad="rollback", validate_every=4, sample_every=6)
    seen = []

    def told(progress):
        if progress.rollback:
            seen.append((run.checkpoint_steps(), run.status()["step"], [line["step"] for line in run.validations()]))
            seen.append(sorted(file.name for file in (run.path / "samples").iterdir()))

    train(config, data(), run, report=told, validate=lambda net: float(len(late)))
    assert rollbacks(run) == [{"at": 14, "verdict": "collapsed", "to": 8}]
    assert seen == [([0, 4, 8], 8, [4, 8]), ["step-6.png"]] or seen == [([0, 8], 8, [4, 8]), ["step-6.png"]]
    assert [line["step"] for line in run.validations()] == [4, 8, 12, 16, 20]


def test_the_best_checkpoint_before_a_rollback_is_not_lost_to_a_later_best(tmp_path, monkeypatch):
    run = Run(tmp_path / "run")
    scores = iter([5.0, 1.0, 9.0, 2.0, 3.0, 4.0, 1.0, 1.0])

    def judge(lines, train):
        gone = lines and lines[-1]["step"] >= 14 and lines[-1]["learning_rate"] > 0.09
        worse = lines and lines[-1]["step"] >= 10 and lines[-1]["learning_rate"] > 0.09 and judge.gone
        judge.gone = judge.gone or bool(gone)
        return Verdict("collapsed" if gone or worse else "healthy", "evidence", "advice")

    judge.gone = False
    monkeypatch.setattr(doctor, "judge", judge)
    train(tiny(**LOGGED, on_bad="rollback", validate_every=4), data(), run, validate=lambda net: next(scores))
    assert rollbacks(run)[0]["to"] == 8
    assert run.best_step() in run.checkpoint_steps()


def test_weights_that_are_not_finite_between_two_lines_of_the_log_are_rolled_back_too(tmp_path, monkeypatch):
    finite = iter([True] * 3 + [False] + [True] * 50)
    monkeypatch.setattr(checkpoint, "is_finite", lambda game: next(finite))
    run = Run(tmp_path / "run")
    outcome = train(tiny(**LOGGED | {"log_every": 10}, on_bad="rollback"), data(), run)
    assert outcome.state == "finished"
    assert rollbacks(run) == [{"at": 16, "verdict": "diverged", "to": 12}]
    assert rates(run) == [0.1, 0.05]


STACKED = {"second_stage": StackConfig(after=9, hidden=(5,))}


def test_a_second_stage_that_goes_bad_at_once_goes_back_to_its_beginning(tmp_path, bad_at):
    bad_at(10)
    run, straight = Run(tmp_path / "run"), Run(tmp_path / "straight")
    config = dataclasses.replace(tiny(**LOGGED, on_bad="rollback"), **STACKED)
    assert train(config, data(), run).state == "finished"
    assert rollbacks(run) == [{"at": 10, "verdict": "collapsed", "to": 9}]
    assert rates(run) == 4 * [0.1] + 6 * [0.05]
    assert train(dataclasses.replace(config, train=tiny(**LOGGED).train), data(), straight).state == "finished"


def test_a_rollback_in_the_first_stage_slows_the_second_and_a_resume(tmp_path, bad_at):
    bad_at(6)
    whole, parts = Run(tmp_path / "whole"), Run(tmp_path / "parts")
    config = dataclasses.replace(tiny(**LOGGED, on_bad="rollback"), **STACKED)
    train(config, data(), whole)
    assert rates(whole) == 2 * [0.1] + 8 * [0.05]
    calls = iter(range(1, 10**9))
    train(config, data(), parts, stop=lambda: next(calls) >= 16)
    train(config, data(), parts, resume=True)
    assert bits(whole) == bits(parts)


def test_rates_at_their_floor_are_halved_too(tmp_path, bad_at):
    run = Run(tmp_path / "run")
    config = tiny(**LOGGED, on_bad="rollback", decay_per_update=2.0, minimum_learning_rate=0.095)
    bad_at(10)
    train(config, data(), run)
    assert rates(run)[-1] == pytest.approx(0.0475, abs=1e-3)


def test_signals_that_are_switched_on_late_are_judged_by_themselves(tmp_path):
    run = Run(tmp_path / "run")
    train(tiny(steps=100, log_every=2, signals="off"), data(), run)
    outcome = train(tiny(steps=104, log_every=2, on_bad="stop"), data(), run, resume=True)
    assert (outcome.state, outcome.verdict.name) == ("finished", "learning")


def test_a_bad_verdict_on_the_last_step_is_no_less_bad(tmp_path, bad_at):
    bad_at(20)
    outcome = train(tiny(**LOGGED, on_bad="stop"), data(), Run(tmp_path / "run"))
    assert (outcome.state, outcome.stopped) == ("finished", True)


def test_the_user_who_stops_a_resumed_run_is_not_taken_for_the_verdict(tmp_path, bad_at):
    bad_at(10)
    run = Run(tmp_path / "run")
    assert train(tiny(**LOGGED, on_bad="stop"), data(), run).stopped
    again = train(tiny(**LOGGED, on_bad="stop"), data(), run, resume=True, stop=lambda: True)
    assert (again.state, again.step, again.stopped) == ("interrupted", 11, False)


def test_rollbacks_are_counted_and_the_next_bad_verdict_ends_the_run(tmp_path, bad_at):
    bad_at(10, until=0.0)
    run = Run(tmp_path / "run")
    outcome = train(tiny(**LOGGED, on_bad="rollback"), data(), run)
    assert (outcome.state, outcome.step, outcome.verdict.name) == ("interrupted", 10, "collapsed")
    assert len(rollbacks(run)) == ROLLBACKS
    assert rates(run)[-1] == pytest.approx(0.1 / 2**ROLLBACKS, abs=1e-3)


@pytest.mark.parametrize("name", doctor.LASTING)
def test_what_a_smaller_step_does_not_mend_ends_the_run(tmp_path, bad_at, name):
    bad_at(10, name=name)
    outcome = train(tiny(**LOGGED, on_bad="rollback"), data(), Run(tmp_path / "run"))
    assert (outcome.state, outcome.step, outcome.verdict.name) == ("interrupted", 10, name)


def test_a_run_that_diverges_at_once_begins_again_with_half_the_rates_until_it_does_not(tmp_path):
    run = Run(tmp_path / "run")
    config = tiny(steps=40, log_every=2, checkpoint_every=4, learning_rate=50.0, on_bad="rollback")
    whole = train(config, data(), run)
    assert train(tiny(steps=40, log_every=2, learning_rate=50.0), data(), Run(tmp_path / "warn")).state == "diverged"
    assert whole.state == "finished", (whole, rollbacks(run))
    assert {line["verdict"] for line in rollbacks(run)} == {"diverged"}


def test_a_resume_that_the_verdict_stops_again_says_so_and_warn_goes_on(tmp_path, bad_at):
    bad_at(10)
    run = Run(tmp_path / "run")
    train(tiny(**LOGGED, on_bad="stop"), data(), run)
    again = train(tiny(**LOGGED, on_bad="stop"), data(), run, resume=True)
    assert (again.state, again.step) == ("interrupted", 12)


def test_acting_on_verdicts_needs_signals(tmp_path):
    with pytest.raises(
        InputError, match=r"--train\.on_bad is stop, allowed without signals: warn; set --train\.signals on"
    ):
        train(tiny(on_bad="stop", signals="off"), data(), Run(tmp_path / "run"))


def test_a_damaged_list_of_rollbacks_is_one_clear_line(tmp_path, bad_at):
    bad_at(10)
    run = Run(tmp_path / "run")
    train(tiny(**LOGGED, on_bad="rollback"), data(), run)
    line = {"at": 3, "verdict": "collapsed", "to": 1}
    for made in ([3], 7 * [line], [line | {"at": "x"}], [line | {"to": -1}], [line | {"verdict": []}], {}, None):
        (run.path / "rollbacks.json").write_text(json.dumps({"rollbacks": made}))
        with pytest.raises(InputError, match=r"rollbacks.json is damaged, allowed: .*; restore it from a copy"):
            train(tiny(**LOGGED | {"steps": 30}, on_bad="rollback"), data(), run, resume=True)
