"""Verdicts on rivals follow from the lines of a log alone, a layer at a time."""

import dataclasses
import json

import hypothesis
import pytest
from hypothesis import strategies

from advnets import doctor, doctor_rivals, history, recipes, verdicts
from advnets.errors import InputError
from advnets.runs import Run

WELL = {"told_apart": 0.5, "gap": 0.1, "dead": 0.1, "weights": 40.0, "update": 1e-3, "non_finite": 0.0}
COURSES = {
    "rbm": {"train_score": lambda i: -50.0 + i, "held_out_score": lambda i: -50.1 + i, "spread": 0.98},
    "cae": {
        "train_score": lambda i: 18 + 20 * 0.7**i,
        "held_out_score": lambda i: 18.1 + 20 * 0.7**i,
        "over_mean": lambda i: -7 + 20 * 0.7**i,
    },
}
COURSES["gsn"] = COURSES["vae"] = COURSES["cae"]
COURSES["dbn"] = COURSES["rbm"]


def config(kind="vae", steps=1000):
    """The recipe of a kind with so many steps for each layer."""
    base = recipes.get(kind)
    if base.layer_steps and len(base.rival.hidden) > 1:
        part = "rbm" if base.rbm else "cae"
        base = dataclasses.replace(base, **{part: dataclasses.replace(base.rival, layer_steps=steps)})
        steps *= 2
    return dataclasses.replace(base, train=dataclasses.replace(base.train, steps=steps))


def log(kind="vae", count=20, layer=1, begun=0, loss=1.0, every=50, **signals):
    """Lines of a log; a signal is a number, None, or a function of the line's index."""
    own = WELL | COURSES[kind] | signals
    return [
        {
            "step": begun + every * (index + 1),
            "layer": layer,
            "loss": loss,
            "signals": {name: what(index) if callable(what) else what for name, what in own.items()},
        }
        for index in range(count)
    ]


def judged(kind, lines):
    return doctor_rivals.judge(lines, config(kind))


BAD = {
    "dead-units": {"dead": 0.95},
    "stalled": {"update": 1e-6},
    "memorising": {"told_apart": lambda i: min(0.5 + 0.02 * i, 0.8)},
}


@pytest.mark.parametrize("kind", ["rbm", "cae", "gsn", "vae"])
@pytest.mark.parametrize("name", BAD)
def test_each_bad_verdict_comes_with_advice_that_the_model_can_follow(kind, name):
    verdict = judged(kind, log(kind, **BAD[name]))
    assert (verdict.name, verdict.bad) == (name, True), verdict
    others = {"rbm", "cae", "gsn", "vae"} - {kind}
    assert verdict.evidence and not any(f"--{other}." in verdict.advice for other in others)
    given = config(kind)
    for word in verdict.advice.replace("(", " ").replace(")", " ").replace(",", " ").split():
        if word.startswith("--"):
            section, _, setting = word[2:].partition(".")
            assert hasattr(getattr(given, section), setting), word


@pytest.mark.parametrize("kind", COURSES)
def test_what_goes_well_is_learning_and_then_healthy(kind):
    lines = log(kind)
    names = [judged(kind, lines[: count + 1]).name for count in range(20)]
    assert set(names[:7]) == {"learning"} and names[-1] == "healthy" and set(names) <= {*doctor.GOOD}


@pytest.mark.parametrize(
    ("name", "kind", "signals"),
    [
        ("diverged", "vae", {"non_finite": 3.0}),
        ("diverged", "gsn", {"loss": None}),
        ("healthy", "vae", {"dead": 0.85}),
        ("dead-units", "vae", {"dead": lambda i: 0.1 if i < 17 else 1.0}),
        ("healthy", "vae", {"dead": lambda i: 0.1 if i < 18 else 1.0}),
        ("stalled", "rbm", {"update": 1e-4}),
        ("healthy", "rbm", {"update": lambda i: 0.05 if i < 4 else 1e-6}),  # it has come a long way
        ("healthy", "cae", {"update": 1e-4}),
        ("stalled", "cae", {"update": 0.0}),
        ("collapsed", "rbm", {"spread": 0.1}),
        ("learning", "rbm", {"spread": 0.5}),
        ("learning", "rbm", {"spread": 2.0}),
        ("healthy", "rbm", {"spread": None}),
        ("memorising", "rbm", {"told_apart": 0.8}),
        ("learning", "rbm", {"told_apart": 0.68}),  # by chance, as from the first line on
        ("memorising", "vae", {"held_out_score": lambda i: 20 + abs(i - 8), "train_score": lambda i: 30.0 - i}),
        ("oscillating", "vae", {"held_out_score": lambda i: 20 + abs(i - 8), "train_score": lambda i: 20 + abs(i - 8)}),
        ("worse-than-mean", "gsn", {"over_mean": 40.0}),
        ("worse-than-mean", "cae", {"over_mean": lambda i: 40 - 0.1 * i}),
        ("learning", "gsn", {"over_mean": lambda i: 40 - 2.0 * i}),
        ("healthy", "rbm", {"held_out_score": lambda i: -50.0 + i, "train_score": lambda i: -50.0 + i}),
        ("healthy", "vae", {"held_out_score": lambda i: 20 + (-1) ** i, "train_score": lambda i: 20 + (-1) ** i}),
        ("learning", "vae", {"held_out_score": lambda i: 40.0 - i, "train_score": lambda i: 40.0 - i, "every": 25}),
        (
            "healthy",
            "vae",
            {"held_out_score": lambda i: 40.0 - i, "train_score": lambda i: 40.0 - i},
        ),  # no step is left
    ],
)
def test_where_one_verdict_ends_and_another_begins(name, kind, signals):
    verdict = judged(kind, log(kind, **signals))
    assert verdict.name == name, verdict


def test_a_layer_begins_with_a_judgement_of_its_own_and_keeps_what_went_wrong_below():
    lower, upper = log("dbn"), log("dbn", 20, layer=2, begun=1000)
    assert [line["layer"] for line in doctor_rivals.stage([*lower, *upper])] == [2] * 20
    assert judged("dbn", [*lower, *upper[:3]]).name == "learning" and judged("dbn", [*lower, *upper]).name == "healthy"
    spoilt = judged("dbn", [*log("dbn", dead=1.0), *upper])
    assert spoilt.name == "dead-units" and spoilt.evidence.startswith("layer 1 ended so: 100% of the hidden units")
    assert judged("dbn", [*log("dbn", update=1e-6, layer=1), *upper[:1]]).name == "stalled"


@pytest.mark.parametrize("kind", ["rbm", "vae"])
def test_how_often_a_run_is_logged_does_not_matter(kind):
    often = log(kind, 1000, every=1, told_apart=lambda i: 0.5 if (i + 1) % 10 == 1 else 0.9)
    seldom = [line for line in often if line["step"] % 10 == 1]
    verdict = judged(kind, often)
    assert verdict == judged(kind, seldom) and not verdict.bad
    assert judged(kind, often[4:]).name == "memorising", "the lines in between say something else"


def test_no_signals_no_verdict():
    assert judged("vae", []) is None and judged("vae", [{"step": 1, "layer": 1, "loss": 1.0}]) is None


@hypothesis.settings(max_examples=60)
@hypothesis.given(strategies.data())
def test_no_line_that_is_read_stops_the_judge(data):
    numbers = strategies.none() | strategies.floats(-1e299, 1e299, allow_subnormal=False)
    names = strategies.sampled_from(sorted({*WELL, *COURSES["rbm"], *COURSES["cae"]}))
    signals = strategies.dictionaries(names, numbers)
    steps = sorted(data.draw(strategies.sets(strategies.integers(0, 5000), min_size=1, max_size=24)))
    layers = sorted(data.draw(strategies.lists(strategies.integers(1, 10**9), min_size=24, max_size=24)))
    layers = data.draw(strategies.sampled_from([layers, [1] * 24, [2] * 24]))
    over = {"over_mean": data.draw(numbers)} | WELL
    lines = [
        {"step": step, "layer": layer, "loss": 0.0, "signals": over | data.draw(signals)}
        for step, layer in zip(steps, layers, strict=False)
    ]
    for kind in COURSES:
        verdict = judged(kind, lines)
        assert verdict is None or verdict.name in doctor.ADVICE


def test_a_layer_that_no_run_has_stops_no_judge():
    lines = [
        line | {"step": 1981 + index} for index, line in enumerate(log("cae", layer=3, over_mean=40.0, update=None))
    ]
    assert (
        judged("cae", lines).name == "worse-than-mean"
    )  # the last line is of step 2,000, at which a third would begin


def run_of(folder, kind, lines):
    run = Run(folder / "run")
    run.path.mkdir()
    run.log.write_text("".join(json.dumps(line) + "\n" for line in lines))
    return run


@pytest.mark.parametrize(
    "line",
    [
        {"step": 2000, "layer": 1, "value": 1.0},
        {"step": 2000, "layer": 0, "loss": 1.0},
        {"step": 2000, "layer": "2", "loss": 1.0},
        {"step": 2000, "layer": 10**400, "loss": 1.0},
        {"step": 2000, "layer": 1, "loss": 1.0, "signals": [1]},
        {"step": 1000, "layer": 1, "loss": 1.0},
    ],
)
def test_a_log_that_training_did_not_write_is_refused(tmp_path, line):
    good = log("vae")
    assert verdicts.lines_of(run_of(tmp_path, "vae", good), config()) == good
    (tmp_path / "bad").mkdir()
    with pytest.raises(InputError, match=r"log\.jsonl is damaged in line 21, allowed: lines that training wrote"):
        verdicts.lines_of(run_of(tmp_path / "bad", "vae", [*good, line]), config())


def test_a_layer_that_comes_back_is_refused(tmp_path):
    lines = [*log("dbn"), *log("dbn", layer=2, begun=1000), *log("dbn", 1, begun=3000)]
    with pytest.raises(InputError, match="damaged in line 41"):
        history.read_log(run_of(tmp_path, "dbn", lines), "loss")
