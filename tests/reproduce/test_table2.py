"""Table 2 in small: what is measured of every family, and what the table says."""

import dataclasses
import json
import math

import numpy as np
import pytest
import torch

from advnets import recipes
from advnets.data import load
from advnets.reproduce import costs, curves, explicit, rivals, table2, table2_figures
from advnets.reproduce.artefact import Plan
from advnets.reproduce.runs import lasting
from advnets.runs import Run
from advnets.sampling import load_sampler
from rivals.machines import states
from rivals.test_dbn import law, net

from .test_rivals import small


def tiny(plan: Plan, recipe: str):
    if recipe != "mnist-best":
        return small(recipe)
    base = recipes.get("digits")
    generator = dataclasses.replace(base.generator, hidden=(16,), activations=("rectifier",))
    discriminator = dataclasses.replace(base.discriminator, hidden=(8, 8))
    return lasting(dataclasses.replace(base, generator=generator, discriminator=discriminator), 40)


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    plan = Plan(tmp_path_factory.mktemp("reproduced"))
    with pytest.MonkeyPatch.context() as patch:
        for module in (curves, table2, rivals):
            patch.setattr(module, "SAMPLES", 200)
        patch.setattr(table2, "_config", tiny)
        patch.setattr(table2, "_WATCHED", {"quick": (5, 60)})
        patch.setattr(explicit, "_EXAMPLES", {"quick": 3})
        patch.setattr(explicit, "_ANNEALING", {"steps": 20, "chains": 2, "leapfrog": 2, "seed": 0})
        patch.setattr(explicit, "_TEMPERATURES", {"quick": 50})
        patch.setattr(explicit, "_SMALL_STEPS", 50)
        patch.setattr(explicit, "_COUNTED", {"particles": 50, "temperatures": 100})
        patch.setattr(costs, "_REPEATS", 2)
        yield plan, table2.reproduce(plan)


def test_every_family_has_the_papers_words_and_ours(made):
    _, artefact = made
    rows = list(artefact.rows)
    assert rows[0] == ("", *(f"{family.name}: {family.recipe}" for family in table2.FAMILIES))
    assert [row[0] for row in rows[1:3]] == ["training, the paper", "training, measured"]
    assert len(rows) == 11 and all(cell for row in rows[1:] for cell in row)
    cells = {row[0]: row[1:] for row in rows}
    assert "1,000 draws" in cells["likelihood, measured"][0] and "AIS" in cells["likelihood, measured"][0]
    assert "log Z by AIS" in cells["likelihood, measured"][1]
    assert all("Parzen" in cell for cell in cells["likelihood, measured"])
    assert "independent" in cells["sampling, measured"][0] and "independent" in cells["sampling, measured"][4]
    assert all("20 chains, 5 steps of burn-in" in cell for cell in cells["sampling, measured"][1:4])


def test_what_is_independent_takes_a_draw_a_sample(made):
    _, artefact = made
    for one in artefact.summary["columns"]:
        if one["recipe"] in ("vae", "mnist-best"):
            assert one["mixing"]["settled"] and one["mixing"]["steps_per_sample"] == pytest.approx(1, abs=0.2)
            assert one["chains"] is None
        else:
            assert one["chains"] == 20 and one["burn_in"] == 5


def test_costs_are_shares_of_a_step(made):
    _, artefact = made
    needs = {one["recipe"]: one["cost"] for one in artefact.summary["columns"]}
    assert "encoder" in needs["vae"]["needs"] and "5 Gibbs steps" in needs["dbn"]["needs"]
    assert "3 walkback steps" in needs["gsn"]["needs"] and "step of D" in needs["mnist-best"]["needs"]
    assert needs["cae"]["share"] == 0 and all(cost["milliseconds"] > 0 for cost in needs.values())
    assert all(needs[name]["share"] > 0 for name in ("vae", "dbn")) and 0 < needs["mnist-best"]["share"] < 1


def test_more_gibbs_steps_are_a_larger_share(made, monkeypatch):
    plan, _ = made
    data = load(recipes.get("digits").data)
    sampler = load_sampler(Run(plan.folder / "runs" / "dbn-seed0"))
    monkeypatch.setattr(costs, "_REPEATS", 15)
    shares = []
    for steps in (1, 50):
        sampler.net.config = dataclasses.replace(sampler.net.config, gibbs_steps=steps)
        shares.append(costs.training_cost(sampler, data).share)
    assert shares[0] < shares[1]


def test_pictures_are_written_and_the_summary_is_plain(made):
    plan, artefact = made
    names = {f"table2-{name}.png" for name in ("samples", "chains", "autocorrelation")}
    assert {path.name for path in artefact.files} == names
    assert all((plan.folder / name).read_bytes()[:4] == b"\x89PNG" for name in names)
    json.dumps(artefact.summary, allow_nan=False)


def test_a_row_of_the_picture_is_one_chain_step_after_step(made):
    plan, _ = made
    sampler = load_sampler(Run(plan.folder / "runs" / "dbn-seed0"))
    x = sampler.trajectories(3, 4, 0)
    one = dataclasses.replace(sampler.config.chain, chains=3, thinning=1)
    drawn = dataclasses.replace(sampler, config=dataclasses.replace(sampler.config, chain=one)).draw(12, 0)
    assert np.array_equal(x, drawn.reshape(4, 3, *drawn.shape[1:]).swapaxes(0, 1))
    shown = table2_figures.random_samples({"a name": sampler, "another": sampler})
    assert [len(axes.images) for axes in shown.axes] == [1, 1]
    figure = table2_figures.consecutive({"a name": sampler})
    assert len(figure.axes[0].images) == 1
    assert figure.axes[0].get_title() == "a name, step 60: consecutive means, a chain a row"


def test_nothing_is_measured_twice(made, monkeypatch):
    plan, artefact = made
    for module, name in ((table2, "mixing"), (rivals, "both_grids"), (table2, "training_cost")):
        monkeypatch.setattr(module, name, lambda *arguments, **options: pytest.fail("measured again"))
    monkeypatch.setattr(explicit, "likelihoods", lambda *arguments: pytest.fail("measured again"))
    monkeypatch.setattr(explicit, "small_machines", lambda *arguments: pytest.fail("measured again"))
    again = dataclasses.replace(plan, train=lambda *arguments, **options: pytest.fail("trained again"))
    assert table2.reproduce(again).summary == json.loads(json.dumps(artefact.summary))


def test_the_likelihood_of_a_small_belief_net_is_counted():
    dbn = net(3, 2)
    counted = explicit.exact_log_likelihood(dbn, states(3))
    torch.testing.assert_close(counted, law(dbn).log())
    assert float(counted.exp().sum()) == pytest.approx(1)


def test_bounds_of_a_variational_autoencoder_stand_in_order(made):
    _, artefact = made
    found = artefact.summary["columns"][0]["explicit"]
    order = [found[name]["mean"] for name in ("elbo", "importance_bound")]
    assert order[0] < order[1] + 0.05 and math.isfinite(found["ais"]["mean"])


def test_bits_have_their_grey_levels_as_means():
    x = load(recipes.get("digits").data).train.x
    bits = explicit.as_bits(x)
    assert set(np.unique(bits)) == {0, 1}
    assert float(bits.mean()) == pytest.approx(float(x.mean()), abs=0.01)
    assert torch.equal(bits, explicit.as_bits(x)), "the same every time"
