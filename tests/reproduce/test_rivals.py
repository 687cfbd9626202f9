"""The rivals' rows of Table 1, in small: what is drawn, what is scored, what the table says of it."""

import dataclasses
import json

import pytest

from advnets import recipes
from advnets.config import ChainConfig, DataConfig
from advnets.data import load
from advnets.errors import InputError, NotMeasurable
from advnets.evaluation.likelihood import HeldOut, flat, likelihood
from advnets.reproduce import curves, rivals
from advnets.reproduce.artefact import Plan
from advnets.reproduce.runs import lasting
from advnets.runs import Run
from advnets.sampling import load_sampler, lowest_layers
from advnets.training import Outcome, train

CONFIG_OF = rivals.config_of
CHAIN = ChainConfig(chains=20, burn_in=5, thinning=2)


def small(recipe: str, budget: str = "quick", seed: int = 0):
    base = recipes.get(recipe)
    parts = {"rbm": base.rbm, "cae": base.cae, "gsn": base.gsn}
    changed = {name: dataclasses.replace(part, hidden=(16, 8)) for name, part in parts.items() if part}
    for name in changed.keys() & {"rbm", "cae"}:
        changed[name] = dataclasses.replace(changed[name], layer_steps=30)
    if base.vae:
        changed = {"vae": dataclasses.replace(base.vae, hidden=(16,), latent=3)}
    chain = dataclasses.replace(CHAIN, burn_in=min(5, base.chain.burn_in))
    config = dataclasses.replace(base, data=DataConfig("digits"), chain=chain, **changed)
    return lasting(config, 60, seed=seed)


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    plan = Plan(tmp_path_factory.mktemp("reproduced"))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(rivals, "SAMPLES", 200)
        patch.setattr(curves, "SAMPLES", 200)
        patch.setattr(rivals, "config_of", small)
        yield plan, rivals.rows(plan)


def test_the_score_is_that_of_what_the_chains_show(made):
    plan, rows = made
    held_out = HeldOut.of(load(DataConfig("digits")))
    assert [row["model"] for row in rows] == [line.name for line in rivals.LINES]
    for row in (rows[1], rows[4]):
        sampler = load_sampler(Run(plan.folder / "runs" / row["seeds"][0]["run"]))
        for pixels in rivals.PIXELS:
            chain = dataclasses.replace(CHAIN, pixels=pixels)
            told = dataclasses.replace(sampler, config=dataclasses.replace(sampler.config, chain=chain))
            score = row["seeds"][0]["scores"][pixels]
            assert score["nats"] == pytest.approx(likelihood(flat(told.draw(200, 0)), held_out, "fine").nats)
            assert score["centres"] == 200 and row["seeds"][0]["seconds"] > 0
    means, draws = (rows[1]["seeds"][0]["scores"][pixels]["nats"] for pixels in rivals.PIXELS)
    assert means > draws + 5, "draws have the noise of their pixels besides"


@pytest.mark.parametrize("recipe", ["dbn", "cae"])
def test_the_lowest_layer_is_the_model_that_is_trained_alone(made, tmp_path, recipe):
    plan, rows = made
    stack = small(recipe)
    name = "rbm" if recipe == "dbn" else "cae"
    one = dataclasses.replace(stack, **{name: dataclasses.replace(getattr(stack, name), hidden=(16,))})
    run = Run(tmp_path / "run")
    train(lasting(one, 30), load(one.data), run)
    alone = flat(load_sampler(run).draw(50))
    lower = lowest_layers(load_sampler(Run(plan.folder / "runs" / f"{recipe}-seed0")), 1)
    assert flat(lower.draw(50)).tobytes() == alone.tobytes()
    first = next(row for row in rows if row["recipe"] == recipe)["seeds"][0]
    assert first["steps"] == 30 and first["epochs"] == pytest.approx(30 * 100 / first["training_images"])


def test_what_has_no_lower_layers_is_refused_in_one_line(made):
    plan, _ = made
    for name, layers in (("gsn", 1), ("dbn", 3), ("dbn", 0)):
        with pytest.raises(InputError, match=f"layers is {layers} and the model is {name}, allowed: 1 up to"):
            lowest_layers(load_sampler(Run(plan.folder / "runs" / f"{name}-seed0")), layers)


def test_what_is_there_is_neither_trained_nor_scored_again(made, monkeypatch):
    plan, rows = made
    monkeypatch.setattr(rivals, "both_grids", lambda *arguments, **options: pytest.fail("scored again"))
    again = dataclasses.replace(plan, train=lambda *arguments, **options: pytest.fail("trained again"))
    assert rivals.rows(again) == json.loads(json.dumps(rows, allow_nan=False))


def test_the_table_says_what_centres_are_and_sets_ours_beside_the_published(made):
    _, rows = made
    references = {"training_images": {"nats": 241.04, "standard_error": 2.0, "legacy": {"nats": 240.0}}}
    references["training_images"]["legacy"]["standard_error"] = 2.1
    lines = list(rivals.table(rows, references))
    assert {len(line) for line in lines} == {len(lines[0])}
    table = {(line[0], line[4]): line for line in lines}
    net = table["deep belief net", "means given the hidden units; 20 chains from noise, every 2nd state"]
    assert net[1] == "137.9 ± 2.1" and " (error " in net[3] and net[6].endswith(" s")
    assert ("deep belief net", "draws; 20 chains from noise, every 2nd state") in table
    assert ("variational autoencoder", "draws; independent") in table
    real = next(line for line in lines if "training images" in line[0])
    assert real[2:4] == ("240.0 (error 2.1)", "241.0 (error 2.0)")
    assert next(line for line in lines if line[0].startswith("adversarial autoencoder"))[1] == "340 ± 2"
    assert "240.0 nats here, this measure rewards smoothing" in next(iter(rivals.notes(references)))


def test_a_model_of_one_state_is_a_row_without_a_number(made, monkeypatch):
    plan, _ = made

    def refuse(*arguments, **options):
        raise NotMeasurable("all samples are alike")

    monkeypatch.setattr(rivals, "SAMPLES", 199)
    monkeypatch.setattr(curves, "SAMPLES", 199)  # nothing is remembered of so many
    monkeypatch.setattr(rivals, "both_grids", refuse)
    rows = rivals.rows(plan, rivals.LINES[1:2])
    assert rows[0]["seeds"][0]["scores"]["means"]["not_measured"] == "all samples are alike"
    assert list(rivals.table(rows, {}))[1][2:4] == ("not measured", "not measured")


def test_a_model_that_diverged_is_told_and_has_no_row(made, tmp_path):
    def diverging(config, data, run, *, resume):
        run.create(config, {})
        run.write_status(7, "diverged", "diverged")
        return Outcome("diverged", 7, 0.0)

    said = []
    rows = rivals.rows(Plan(tmp_path, train=diverging, say=said.append), rivals.LINES[1:2])
    assert rows[0]["seeds"] == [] and said == [f"{tmp_path / 'runs' / 'dbn-seed0'} diverged, and is in no row"]
    assert list(rivals.table(rows, {}))[1][:3] == ("deep belief net", "137.9 ± 2.1", "diverged")


def test_quick_models_are_those_of_the_recipes_but_shorter():
    for recipe in ("dbn", "cae", "gsn", "vae"):
        quick, full = (CONFIG_OF(recipe, budget, 0) for budget in ("quick", "full"))
        assert quick.recipe != full.recipe == recipe
        assert quick.train.steps < full.train.steps and quick.train.learning_rate == full.train.learning_rate
        assert quick.layer_steps is None or quick.layer_steps * 2 == quick.train.steps
