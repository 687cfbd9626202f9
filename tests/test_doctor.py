"""Verdicts follow from the lines of a log alone; each is told from a game that goes well by its own signals."""

import dataclasses
import json
import math

import hypothesis
import pytest

from advnets import doctor, history
from advnets.config import Config, StackConfig, TrainConfig
from advnets.errors import InputError
from advnets.runs import Run

TRAIN = TrainConfig(steps=10_000)
WELL = {
    "accuracy_real": 0.7,
    "accuracy_fake": 0.75,
    "margin": 1.0,
    "rejected": 0.0,
    "gap": 0.0,
    "d_gradient": 1.0,
    "g_gradient": 2.0,
    "spread": 0.98,
    "repeated": 0.05,
    "crowd": 0.02,
    "nearness": 1.1,
    "classes": 1.0,
    "class_distance": 0.1,
    "dead": 0.1,
    "g_weights": 50.0,
    "g_update": 1e-3,
    "d_weights": 20.0,
    "d_update": 3e-3,
    "non_finite": 0.0,
}
CHANCE = -math.log(4)


def log(count=20, value=-1.2, every=100, **signals):
    """Lines of a log; a signal is a number or a function of the line's index."""

    def at(what, index):
        return what(index) if callable(what) else what

    return [
        {
            "step": every * (index + 1),
            "value": at(value, index),
            "signals": WELL | {name: at(what, index) for name, what in signals.items()},
        }
        for index in range(count)
    ]


SURE = {"accuracy_real": 0.99, "accuracy_fake": 1.0, "margin": 15.0, "rejected": 0.9}
GAMES = {
    "healthy": log(),
    "learning": log(value=-0.5, accuracy_fake=1.0, accuracy_real=0.95, spread=lambda i: 0.1 + 0.04 * i),
    "diverged": [*log(), {**log(1)[0], "step": 2100, "value": None}],
    "dead-units": log(dead=0.95),
    "stalled": log(value=CHANCE, margin=1e-5, spread=0.01),
    "generator-ahead": log(value=-3.0, margin=-2.0),
    "discriminator-won": log(value=-0.01, **SURE, spread=0.1, nearness=3.0),
    "collapsed": log(spread=lambda i: max(0.9 - 0.1 * i, 0.02), crowd=lambda i: min(0.1 * i + 0.02, 1.0), classes=0.1),
    "partly-collapsed": log(classes=0.25, class_distance=0.7),
    "oscillating": log(value=lambda i: -1.2 + 0.4 * (-1) ** i),
    "memorising": log(nearness=0.3),
}


@pytest.mark.parametrize("name", GAMES)
def test_each_verdict_has_its_game(name):
    verdict = doctor.judge(GAMES[name], TRAIN)
    assert verdict.name == name, verdict
    assert verdict.bad == (name not in doctor.GOOD)
    assert verdict.evidence and verdict.advice == doctor.ADVICE[name]


@pytest.mark.parametrize(
    ("name", "lines"),
    [
        ("healthy", log(gap=0.6)),
        ("memorising", log(gap=0.13, spread=0.6)),
        ("memorising", log(gap=0.13, crowd=0.25)),
        ("learning", log(gap=0.1, spread=0.6)),
        ("memorising", log(nearness=lambda i: 0.9 - 0.018 * i)),
        ("healthy", log(nearness=lambda i: 0.8 - 0.009 * i)),
        ("healthy", log(nearness=lambda i: 0.64 - 0.001 * i)),
        ("generator-ahead", log(value=-3.0)),
        ("generator-ahead", log(margin=-2.0)),
        ("collapsed", log(crowd=0.6, classes=0.6)),
        ("learning", log(crowd=0.6, classes=0.85)),
        ("collapsed", log(spread=0.1, classes=0.85)),
        ("learning", log(crowd=0.6, classes=0.6, spread=lambda i: 0.1 + 0.04 * i)),
        ("collapsed", log(40, crowd=0.6, classes=0.6, spread=lambda i: 0.1 + 0.02 * i)),
        ("learning", log(crowd=0.35, classes=0.6, spread=lambda i: 0.1 + 0.04 * i)),
        ("partly-collapsed", log(40, crowd=0.35, classes=0.6, spread=lambda i: 0.1 + 0.02 * i)),
        ("partly-collapsed", log(crowd=0.35, classes=0.6)),
        ("partly-collapsed", log(60, class_distance=0.7)),
        ("healthy", log(30, class_distance=0.7)),
        ("stalled", log(24, spread=lambda i: 0.02 + 0.001 * i)),
        ("collapsed", log(spread=lambda i: 0.25 if i < 10 else 0.1)),
        ("stalled", log(spread=3.0)),
        ("learning", log(spread=lambda i: 3.0 - 0.1 * i)),
        ("discriminator-won", log(value=-0.01, **SURE)),
        ("discriminator-won", log(12, value=-0.005, **SURE)),
        ("learning", log(12, value=-0.02, **SURE)),
        ("learning", log(value=-0.1, **SURE)),
        ("learning", log(value=-0.01, **SURE | {"accuracy_real": 0.6}, spread=0.6)),
        ("discriminator-won", log(value=-0.2, **SURE | {"rejected": 0.1}, spread=0.1)),
        ("discriminator-won", log(value=-0.2, **SURE | {"rejected": 0.1}, crowd=0.7, classes=0.1)),
        ("discriminator-won", log(value=-0.2, **SURE | {"rejected": 0.1}, spread=0.4)),
        (
            "collapsed",
            log(value=-0.2, **SURE | {"margin": 5.0, "rejected": 0.1}, spread=lambda i: max(0.9 - 0.1 * i, 0.1)),
        ),
        ("stalled", log(spread=lambda i: 0.28 - 0.2 * 0.9**i)),
        ("learning", log(spread=lambda i: 0.8 - 0.7 * 0.99**i)),
        ("learning", log(spread=lambda i: (0.2 if i < 11 else 0.15 if i < 16 else 0.4) + 0.001 * i)),
        ("stalled", log(nearness=200.0)),
        ("learning", log(nearness=lambda i: 900.0 * 0.93**i)),
        ("learning", log(nearness=30.0)),
        ("healthy", log(nearness=5.0)),
        ("oscillating", log(value=lambda i: -1.2 + 0.2 * (-1) ** i)),
        ("oscillating", log(12, value=-16.0, margin=100.0)),
        ("generator-ahead", log(12, value=-16.0, margin=1.0)),
        ("collapsed", log(value=CHANCE, margin=0.0, spread=lambda i: 0.4 if i < 3 else 0.02 * (1 + i % 2))),
        ("stalled", log(value=CHANCE, margin=1e-5, spread=lambda i: 0.1 + 0.004 * i)),
        ("healthy", log(value=lambda i: -1.2 + 0.1 * (-1) ** i)),
        ("learning", log(accuracy_real=0.95, accuracy_fake=0.95)),
    ],
)
def test_where_one_verdict_ends_and_another_begins(name, lines):
    verdict = doctor.judge(lines, TRAIN)
    assert verdict.name == name, verdict


def test_saturated_is_what_a_lost_minimax_game_is():
    train = dataclasses.replace(TRAIN, minimax_weight=1.0, non_saturating_weight=0.0)
    verdict = doctor.judge(log(value=-0.01, **SURE, spread=0.1, d_gradient=1e-6), train)
    assert verdict.name == "saturated"
    assert "1e-06 at the image, not 2" in verdict.evidence


def test_every_verdict_has_advice_and_a_test():
    assert set(GAMES) | {"saturated"} == set(doctor.ADVICE)


def test_nothing_is_said_without_signals():
    assert doctor.judge([], TRAIN) is None
    assert doctor.judge([{"step": 100, "value": -1.2}], TRAIN) is None


@pytest.mark.parametrize("name", sorted(set(GAMES) - {"diverged", "learning", "stalled"}))
def test_a_verdict_does_not_depend_on_how_often_the_game_is_logged(name):
    game = GAMES[name]
    often = [{**line, "step": line["step"] - early} for line in game for early in (75, 50, 25, 0)]
    assert doctor.judge(often, TRAIN).name == name


@pytest.mark.parametrize("lines", range(1, history.WINDOW))
def test_a_young_game_is_given_time(lines):
    for name in ("discriminator-won", "collapsed", "partly-collapsed", "oscillating", "generator-ahead", "stalled"):
        assert doctor.judge(GAMES[name][:lines], TRAIN).name in doctor.GOOD


CLEAR = {"classes": 0.1, "class_distance": 0.1}


@pytest.mark.parametrize(
    ("begins", "named"),
    [("collapsed", {"spread": 0.1}), ("partly-collapsed", {"crowd": 0.35}), ("stalled", {"spread": 3.0})],
)
def test_a_spell_shorter_than_a_fortieth_of_the_steps_is_announced_and_no_verdict_yet(begins, named):
    def spell(lines):
        """Lines of a game that goes well, and then not: long enough for its medians, and so many more."""
        return [*log(30, **CLEAR), *log(35 + lines, **CLEAR | named)[30:]]

    for steps in (20_000, 40_000):
        course = [doctor.judge(spell(lines), dataclasses.replace(TRAIN, steps=steps)) for lines in range(20)]
        since = next(i for i, verdict in enumerate(course) if "if it stays so" in verdict.evidence)
        names = [verdict.name for verdict in course[since:]]
        assert names == ["learning"] * (steps // 4000) + [begins] * (len(names) - steps // 4000)
        assert course[since].evidence.endswith(f": {begins}, if it stays so")


def test_games_that_were_bad_for_long_under_other_names_have_stood():
    lines = [*log(30, **CLEAR), *log(40, **CLEAR, crowd=0.35)[30:], *log(70, **CLEAR, crowd=0.7)[40:]]
    names = [doctor.judge(lines[:count], TRAIN).name for count in range(41, 60)]
    assert names == sorted(names, reverse=True) and {*names} == {"partly-collapsed", "collapsed"}


def test_updates_too_small_to_get_anywhere_are_stalled_after_a_quarter_of_the_steps():
    coming = {"spread": lambda i: 0.1 + 0.01 * i}
    slow = {"g_update": 1e-4, "d_update": 5e-4}  # 10,000 of these move D's weights by 5 times their norm
    assert [doctor.judge(log(n, **coming, **slow), TRAIN).name for n in (24, 25)] == ["learning", "stalled"]
    assert "weights move by 5 times their norm" in doctor.judge(log(25, **coming, **slow), TRAIN).evidence
    assert doctor.judge(log(25, **coming, **slow | {"d_update": 7e-4}), TRAIN).name == "learning"
    assert doctor.judge(log(25, **slow), TRAIN).name == "healthy"
    assert doctor.judge(log(25, **coming, g_update=None, d_update=None), TRAIN).name == "learning"


def test_samples_far_from_the_data_are_judged_by_their_pace():
    def game(pace, count=12):
        return log(count, value=-0.3, **SURE, spread=1.0, nearness=lambda i: math.exp(2.5 - pace * i))

    assert doctor.judge(game(0.01), dataclasses.replace(TRAIN, steps=100_000)).name == "learning"
    assert doctor.judge(game(0.01), dataclasses.replace(TRAIN, steps=2_000)).name == "discriminator-won"
    assert doctor.judge(game(-0.01, 40), dataclasses.replace(TRAIN, steps=100_000)).name == "discriminator-won"


def test_a_margin_that_grows_like_an_exponential_is_waited_for_and_one_that_does_not_is_not():
    growing = log(12, value=CHANCE, margin=lambda i: 1e-5 * 1.5**i, spread=0.01)
    assert doctor.judge(growing, TRAIN).name == "learning"
    slowly = log(12, value=CHANCE, margin=lambda i: 1e-5 * 1.05**i, spread=0.01)
    assert doctor.judge(slowly, dataclasses.replace(TRAIN, steps=100_000)).name == "learning"
    assert doctor.judge(slowly, dataclasses.replace(TRAIN, steps=5_000)).name == "stalled"
    assert doctor.judge(log(12, value=CHANCE, margin=1e-5, spread=0.01), TRAIN).name == "stalled"


def test_where_samples_are_like_the_data_a_d_that_answers_one_half_is_no_failure():
    assert doctor.judge(log(12, value=CHANCE, margin=1e-5), TRAIN).name == "learning"


def test_a_run_that_ends_young_is_not_blamed_for_it():
    growing = log(12, value=CHANCE, margin=lambda i: 1e-5 * 2.0**i, spread=0.01)
    assert doctor.judge(growing, dataclasses.replace(TRAIN, steps=1_200)).name == "learning"


def test_a_player_whose_weights_never_change_is_told_at_once():
    assert "D's weights" in doctor.judge(log(4, d_update=0.0), TRAIN).evidence
    assert "G's weights" in doctor.judge(log(4, g_update=0.0), TRAIN).evidence


def test_signals_that_cannot_be_measured_are_no_signs():
    nothing = log(count=20, **dict.fromkeys(("nearness", "classes", "class_distance", "dead", "g_update", "d_update")))
    assert doctor.judge(nothing, TRAIN).name == "healthy"


@pytest.mark.parametrize(
    "kept", [{"spread"}, {"accuracy_real", "spread"}, {"margin"}, set(WELL) - {"margin"}, set(WELL) - {"value"}]
)
def test_lines_with_few_signals_are_judged_by_these(kept):
    lines = [line | {"signals": {name: line["signals"][name] for name in kept}} for line in log(20)]
    assert doctor.judge(lines, TRAIN).name in ("healthy", "learning", "collapsed")


def test_all_training_examples_alike_is_said_after_three_lines():
    assert doctor.judge(log(2, spread=None), TRAIN).name == "learning"
    assert doctor.judge(log(3, spread=None), TRAIN).evidence.startswith("all training examples are alike")


def test_a_second_stage_is_judged_by_its_own_lines():
    lines = log(20)
    stacked = Config(second_stage=StackConfig(after=1000))
    assert [line["step"] for line in doctor.stage(lines, stacked)] == list(range(1100, 2001, 100))
    assert doctor.stage(lines[:10], stacked) == lines[:10]
    assert doctor.stage(lines, Config()) == lines and doctor.stage([], stacked) == []


def test_the_log_is_read_up_to_its_last_whole_line(tmp_path):
    run, lines = Run(tmp_path), log(3)
    assert history.read_log(run) == []
    run.log.write_text("".join(json.dumps(line) + "\n" for line in lines) + '{"step": 4')
    assert history.read_log(run) == lines


@hypothesis.given(
    hypothesis.strategies.lists(
        hypothesis.strategies.dictionaries(
            hypothesis.strategies.sampled_from(sorted(WELL)),
            hypothesis.strategies.none() | hypothesis.strategies.floats(-1e300, 1e300, allow_subnormal=False),
        ),
        max_size=30,
    ),
    hypothesis.strategies.floats(-1e300, 1e300, allow_subnormal=False),
)
def test_no_numbers_break_the_judge(signals, value):
    lines = [{"step": 100 * i, "value": value, "signals": one} for i, one in enumerate(signals)]
    verdict = doctor.judge(lines, TRAIN)
    assert (verdict is None) == (not any(signals))


@pytest.mark.parametrize(
    "damage",
    [
        "[]",
        "null",
        "{",
        '{"step": "1", "value": 0}',
        '{"step": -1, "value": 0}',
        '{"step": 100, "value": 0}',
        '{"step": 200, "signals": {}}',
        '{"step": 1, "value": "x"}',
        '{"step": 1, "value": NaN}',
        '{"step": 1, "value": 1e999}',
        '{"step": 1, "value": 1' + 400 * "0" + "}",
        '{"step": 1, "value": 0, "signals": 3}',
        '{"step": 1, "value": 0, "signals": {"margin": []}}',
        "[" * 100_000,
        "\xff",
    ],
)
def test_a_damaged_log_is_one_clear_line(tmp_path, damage):
    run = Run(tmp_path)
    run.log.write_text(json.dumps(log(1)[0]) + "\n" + damage + "\n", encoding="latin-1")
    with pytest.raises(InputError, match="is damaged in line 2, allowed: lines that training wrote; restore"):
        history.read_log(run)
