"""Section 7 in small: what each extension is held against, what is measured once, and the efficiency study."""

import dataclasses
import functools
import json

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from advnets import recipes
from advnets.config import check, flatten
from advnets.data import load
from advnets.evaluation.completion import completions, nearest_fill
from advnets.extensions import codes, features
from advnets.extensions.completing import Mask
from advnets.extensions.inference import load_inference
from advnets.reproduce import section7
from advnets.reproduce.artefact import Plan
from advnets.reproduce.runs import lasting
from advnets.reproduce.section7 import completion, conditional, efficiency, few_labels, inference
from advnets.reproduce.section7.claims import all_hold, claim
from advnets.runs import Run
from advnets.sampling import load_sampler
from advnets.training import train

STUDY = efficiency.Study("digits", steps=20, every=10, goal=0.5)
KEPT = ("base", "alternate", "z-fewer")


def scoring(config, data, run, *, resume=False):
    """Train with a score that costs nothing: the mean pixel of nothing, which is the steps it was asked for."""
    if config.semi:
        from advnets.extensions import semi_supervised

        return semi_supervised.train(config, data, run, resume=resume)
    asked = iter(range(1, 1000))
    return train(config, data, run, resume=resume, validate=lambda net: float(next(asked)) - 1 + config.seed / 2)


@pytest.fixture(scope="module")
def small():
    """Shorten every training and every measure to what a test has time for."""
    everything = efficiency.settings
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(conditional, "RUNS", {"quick": ("digits-conditional", 30)})
        patch.setattr(conditional, "class_conditional", functools.partial(conditional.class_conditional, each=20))
        patch.setattr("advnets.evaluation.conditional.taught_accuracy", lambda *given, **more: 0.5)
        patch.setattr(codes, "recovery", functools.partial(codes.recovery, count=300))
        patch.setattr(codes, "baselines", functools.partial(codes.baselines, samples=300))
        patch.setattr(inference, "LENGTHS", {"quick": inference.Length("digits", 30, 10)})
        patch.setattr(completion, "RUNS", {"quick": ("digits-completion", 20)})
        patch.setattr(completion, "_TEST", {"quick": 40})
        patch.setattr(completion, "_EACH", 3)
        patch.setattr(few_labels, "RUNS", {"quick": ("digits-semi-supervised", 20, 2)})
        patch.setattr(few_labels, "lasting", lambda base, steps, **more: lasting(base, 20, **more))
        patch.setattr(features, "fit_from_scratch", functools.partial(features.fit_from_scratch, steps=20))
        patch.setattr(efficiency, "STUDIES", {"quick": STUDY})
        patch.setattr(efficiency, "settings", lambda base: (one for one in everything(base) if one.slug in KEPT))
        patch.setattr(efficiency, "_ROUNDS", 2)
        patch.setattr(efficiency, "_STEPS", 2)
        yield


@pytest.fixture(scope="module")
def made(small, cache, tmp_path_factory):
    plan = Plan(tmp_path_factory.mktemp("reproduced"), seeds=2, train=scoring)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("XDG_CACHE_HOME", str(cache))
        yield plan, section7.reproduce(plan)


def test_all_five_are_there_with_what_they_have_to_show(made):
    _, artefact = made
    summary = artefact.summary
    assert [*summary] == ["budget", *section7.PARTS]
    head, *rows = artefact.rows
    claims = [(name, one) for name in section7.PARTS for one in summary[name]["claims"]]
    assert len(rows) == len(claims) and all(len(row) == len(head) for row in rows)
    assert [row[0] for row in rows] == [name for name, _ in claims]
    assert [row[-1] == "holds" for row in rows] == [one["holds"] for _, one in claims]
    assert artefact.holds == all(one["holds"] for _, one in claims)
    assert len(artefact.further) == 5
    assert {file.name for file in artefact.files} == {
        f"section7-{name}.png" for name in ("conditional", "inference", "completion", "efficiency")
    }
    assert all(file.is_file() for file in artefact.files)
    json.dumps(summary, allow_nan=False)


def test_one_part_alone(made, monkeypatch):
    plan, artefact = made
    for name in section7.PARTS:
        alone = section7.reproduce(dataclasses.replace(plan, part=name))
        assert [*alone.summary] == ["budget", name] and len(alone.further) == 1
        assert alone.summary[name]["claims"] == artefact.summary[name]["claims"]


def test_parts_made_one_after_the_other_stand_in_one_summary(made):
    plan, _ = made
    file = plan.folder / "section7.json"
    for budget, kept in (("quick", ["inference"]), ("full", [])):
        file.write_text(json.dumps({"budget": budget, "inference": {"claims": [claim("a", "b", holds=True)]}}))
        together = section7.reproduce(dataclasses.replace(plan, part="conditional"))
        assert [*together.summary] == ["budget", "conditional", *kept] and len(together.further) == 1
        assert ("inference" in {row[0] for row in together.rows}) == bool(kept)
        everything = section7.reproduce(plan)
        assert everything.summary["inference"]["claims"][0]["wanted"] != "a"
    file.unlink()


def test_nothing_is_trained_or_measured_twice(made, monkeypatch):
    plan, artefact = made

    def refuse(*given, **more):
        raise AssertionError("again")

    for module, name in (
        (conditional, "class_conditional"),
        (codes, "reconstruction_mse"),
        (completion, "completions"),
        (features, "fit_on_features"),
    ):
        monkeypatch.setattr(module, name, refuse)
    again = section7.reproduce(dataclasses.replace(plan, train=refuse))
    ours, before = json.loads(json.dumps([again.summary, artefact.summary]))
    for one in (ours, before):
        del one["efficiency"]["settings"]  # whose costs are timed anew
    assert ours == before


def test_numbers_are_those_of_the_measures_themselves(made):
    plan, artefact = made
    data, runs = load(recipes.get("digits").data), plan.folder / "runs"
    found = artefact.summary["inference"]["encoders"][-1]
    assert found["reconstruction"] == 100
    stored = load_inference(Run(runs / "digits-seed0"))
    assert found["reconstruction_mse"] == pytest.approx(codes.reconstruction_mse(stored, data.test.x))
    x = data.test.x[:40]
    sampler = load_sampler(Run(runs / "digits-completion-seed0"))
    near = nearest_fill(data.train.x)
    for name, fill in (
        ("advnets", sampler.complete),
        ("nearest", near),
        ("advnets, truncation 0", lambda x, known, count, seed: sampler.complete(x, known, 1, 7, truncation=0.0)),
        ("nearest, the first", lambda x, known, count, seed: near(x, known, 1, 7)),
    ):
        twin = completions(fill, x, Mask("left").of(x, 1.0, 0).known, each=3)
        assert artefact.summary["completion"]["masks"]["left"][name]["psnr"] == pytest.approx(twin.psnr)
    assert len(artefact.summary["conditional"]["by_class"]) == 10 and artefact.summary["conditional"]["each"] == 20


def test_draws_of_labels_are_the_same_for_all_and_runs_are_of_that_many(made):
    plan, artefact = made
    wrong = artefact.summary["few_labels"]["errors"]
    assert {*wrong} == {"semi", "features", "scratch", "pixels"} and all(len(one) == 2 for one in wrong.values())
    assert all(0 < one < 300 for of_draws in wrong.values() for one in of_draws)
    for seed in range(2):
        config = Run(plan.folder / f"runs/digits-semi-supervised-seed{seed}").config()
        assert (config.semi.labels, config.seed) == (20, seed)


@pytest.mark.parametrize(
    ("features_", "scratch", "semi", "held"),
    [((9, 8), (10, 9), (150, 150), [True, True]), ((9, 9), (20, 9), (1, 300), [False, False])],
)
def test_mnist_is_held_to_the_published_numbers_on_every_draw(features_, scratch, semi, held):
    wrong = {"features": features_, "scratch": scratch, "semi": semi, "pixels": (0, 0)}
    assert [one["holds"] for one in few_labels._claims("full", wrong)] == held


def test_a_draw_is_held_against_a_draw_and_the_typical_completion_against_the_single_nearest():
    def one(psnr, agreement, diversity=0.0):
        return {"psnr": psnr, "agreement": agreement, "diversity": diversity}

    rivals = {"nearest": one(12.0, 0.8), "nearest, the first": one(13.0, 0.9), "mean": one(11.0, 0.7)}
    middle = "advnets, truncation 0"
    found = {
        "random:.5": {"advnets": one(12.1, 0.9), middle: one(13.1, 0.9), **rivals},
        "left": {"advnets": one(9.0, 0.81, 0.2), middle: one(9.0, 0.91), **rivals},
        "bottom": {"advnets": one(9.0, 0.8), middle: one(9.0, 0.9), **rivals},
        "random:.05": {"advnets": one(9.0, 0.9, 0.1), middle: one(9.0, 0.9), **rivals},
    }
    held = [claim["holds"] for claim in completion._claims("full", found)]
    assert held == [True, True, False, True, True, False, True]
    assert [claim["holds"] for claim in completion._claims("quick", found)] == [True, True, False, True, True]
    found["random:.5"] |= {"advnets": one(12.0, 0.9), middle: one(13.0, 0.9)}
    found["random:.05"]["advnets"] = one(9.0, 0.9, 0.2)
    held = [claim["holds"] for claim in completion._claims("full", found)]
    assert held == [False, True, False, False, True, False, False]


def test_claims():
    good, bad = claim("a", "b", holds=True), claim("a", "b", holds=np.bool_(False))
    assert all_hold([good]) and not all_hold([good, bad])
    json.dumps(bad)


@pytest.mark.parametrize("recipe", ["digits", "mnist-best"])
def test_every_setting_changes_one_factor(recipe):
    study = dataclasses.replace(STUDY, recipe=recipe)
    every = [*efficiency.settings(recipes.get(recipe))]
    configs = {one.slug: efficiency.configured(study, one, 3) for one in every}
    assert len(configs) == len(every) and every[0].slug == "base" and len({one.words for one in every}) == len(every)
    base = flatten(configs["base"])
    assert base["seed"] == 3 and base["train.validate_every"] == 10 and base["train.steps"] == 20
    seen = set()
    for one in every[1:]:
        check(configs[one.slug])
        other = flatten(configs[one.slug])
        changed = {name: other[name] for name in other if other[name] != base[name]}
        assert changed.pop("recipe") == f"{recipe}-{one.slug}"
        assert changed and {name.partition(".")[0] for name in changed} == {*one.changes}
        seen.add(str(changed))
        if other["train.mode"] == "paper":  # half of what released mode makes of D's gradient
            whole = base["train.discriminator_learning_rate"] or base["train.learning_rate"]
            assert other["train.discriminator_learning_rate"] == whole / 2
    assert len(seen) == len(every) - 1


@given(st.lists(st.one_of(st.none(), st.integers(-100, 100)), min_size=1, max_size=9), st.integers(-99, 99))
def test_the_goal_is_reached_between_the_last_below_and_the_first_above(nats, goal):
    curve = [(10 * (at + 1), one) for at, one in enumerate(nats)]
    found = efficiency.to_goal(curve, goal)
    there = [at for at, one in enumerate(nats) if one is not None and one >= goal]
    assert (found is None) == (not there)
    if there:
        last = 10 * (there[0] + 1)
        assert last - 10 <= found <= last
        steps, known = zip(*((step, one) for step, one in curve[: there[0] + 1] if one is not None), strict=True)
        if there[0] and nats[there[0] - 1] is not None:
            assert np.interp(found, steps, known) == pytest.approx(goal, abs=1e-6)


def test_the_study_tells_steps_time_and_ends_over_seeds(made):
    _, artefact = made
    found = artefact.summary["efficiency"]
    assert [one["slug"] for one in found["settings"]] == [*KEPT]
    for one in found["settings"]:
        # scores 0, 1 and .5, 1.5: the goal of .5 is reached halfway between 10 and 20, and at 10
        assert [run["to_goal"] for run in one["runs"]] == [15, 10]
        assert [run["curve"] for run in one["runs"]] == [[(10, 0.0), (20, 1.0)], [(10, 0.5), (20, 1.5)]]
    _, base, *others = artefact.further[-1]
    assert base[1:3] == ("digits as it is", "12 ± 4") and base[3:] == ("1.00", "1.00", "1.2 ± 0.4")
    for row, one in zip(others, found["settings"][1:], strict=True):
        assert row[3] == row[4] == f"{one['cost'] / found['settings'][0]['cost']:.2f}"


def test_a_seed_that_does_not_get_there_is_told():
    run = {"seed": 0, "curve": [(10, -1.0)], "to_goal": None, "diverged": None}
    base = {"factor": "", "words": "b", "cost": 2.0, "runs": [{**run, "to_goal": 5.0}] * 2}
    some = {"factor": "f", "words": "s", "cost": 4.0, "runs": [{**run, "to_goal": 5.0}, run]}
    none = {"factor": "f", "words": "n", "cost": 1.0, "runs": [run, {**run, "curve": [], "diverged": 7}]}
    lost = {"factor": "f", "words": "l", "cost": 1.0, "runs": [{**run, "diverged": 7}] * 2}
    blank = {"factor": "f", "words": "x", "cost": 1.0, "runs": [{**run, "curve": [(10, None)]}] * 2}
    rows = [*efficiency.table({"goal": 3.0, "settings": [base, some, none, lost, blank]})]
    assert rows[2][2:] == ("1 of 2 seeds", "2.00", "", "-1.0 ± 0.0")
    assert rows[3][2:] == ("not reached", "0.50", "", "-1.0, 1 diverged")
    assert rows[4][2:] == ("not reached", "0.50", "", "diverged")
    assert rows[5][2:] == ("not reached", "0.50", "", "not measured")
