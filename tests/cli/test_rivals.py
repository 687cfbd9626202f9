"""Rivals are trained, resumed, sampled and scored by the commands that do so with adversarial nets."""

import json
from pathlib import Path

import numpy as np
import pytest
from safetensors.torch import load_file

from advnets.cli.doctor import OF_RIVALS
from advnets.cli.main import main
from advnets.evaluation import evaluate

SMALL = ["--steps", "40", "--train.log_every", "10", "--train.sample_every", "40", "--train.checkpoint_every", "20"]
CHAIN = ["--chain.chains", "20", "--chain.burn_in", "5", "--chain.thinning", "1"]
MODELS = {
    "rbm": ["--rbm.hidden", "16"],
    "dbn": ["--rbm.hidden", "16", "8", "--rbm.layer_steps", "20"],
    "cae": ["--cae.hidden", "16", "8", "--cae.layer_steps", "20"],
    "gsn": ["--gsn.hidden", "16", "8"],
    "vae": ["--vae.hidden", "16", "--vae.latent", "3"],
}


@pytest.fixture(scope="module")
def runs(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("rivals")
    for name, sizes in MODELS.items():
        out = ["--out", str(folder / name)]
        assert main(["train", name, "--data", "digits", *SMALL, *CHAIN, *sizes, *out]) == 0
    return folder


def answer(capsys, *words: str) -> dict:
    capsys.readouterr()
    assert main([*words, "--json"]) == 0
    return json.loads(capsys.readouterr().out)


def refusal(capsys, *words: str) -> str:
    capsys.readouterr()
    assert main([*words]) == 2
    printed = capsys.readouterr()
    assert printed.out == "" and printed.err.count("\n") == 1
    return printed.err


@pytest.mark.parametrize("name", ["dbn", "vae"])
def test_a_rival_is_sampled_and_scored_as_a_generator_is(runs, tmp_path, capsys, name):
    file = tmp_path / "samples.npz"
    told = answer(capsys, "sample", str(runs / name), "--n", "30", "--seed", "3", "--out", str(file))
    assert (told["step"], told["weights"], told["shape"]) == (40, "model", [30, 8, 8])
    assert np.load(file)["samples"].shape == (30, 8, 8)
    scored = answer(capsys, "evaluate", str(runs / name), "--metrics", "parzen", "--samples", "100", "--redraws", "1")
    assert np.isfinite(scored["parzen"]["nats"]) and scored["parzen"]["centres"] == 100
    assert scored["subject"]["chain"] == {
        "chains": 20,
        "burn_in": 5,
        "thinning": 1,
        "pixels": "means",
        "start": "noise",
    }
    page = (runs / name / "evaluation.html").read_text()
    assert "pixels means, start noise" in page and "{" not in page[page.index("<h1") : page.index("</h1")]


@pytest.fixture
def brief(monkeypatch) -> None:
    """Annealing in seconds."""
    monkeypatch.setattr(evaluate, "_ANNEALING", {"steps": 40, "chains": 4, "leapfrog": 3})


def test_a_vae_is_annealed_with_pixels_of_its_own_beside_its_own_bounds(runs, capsys, brief):
    found = answer(capsys, "evaluate", str(runs / "vae"), "--metrics", "ais", "--samples", "20")["ais"]
    assert found.keys() >= {"mean", "standard_error", "n", "gap_of_bounds", "bounds", "median_effective_sample_size"}
    assert (found["visible"], found["n"], found["elbo_draws"], found["importance_draws"]) == (
        "bernoulli",
        16,
        1000,
        5000,
    )
    assert found["annealing"] == {"steps": 40, "chains": 4, "leapfrog": 3, "seed": 0}
    assert found["elbo"] < found["importance_bound"] < found["mean"] + 0.3
    assert found["mean"] == pytest.approx(found["importance_bound"], abs=1.0), "examples and units are the same"
    assert 0 < found["elbo_standard_error"] < 3 and 0 < found["importance_bound_standard_error"] < 3


def test_a_vae_of_gaussian_pixels_is_annealed_with_its_own_variance(tmp_path, capsys, brief):
    out = ["--out", str(tmp_path / "run")]
    answer(
        capsys, "train", "vae", "--data", "digits", *SMALL, *CHAIN, *MODELS["vae"], "--vae.visible", "gaussian", *out
    )
    found = answer(capsys, "evaluate", str(tmp_path / "run"), "--metrics", "ais", "--samples", "20")["ais"]
    sigma = float(
        load_file(tmp_path / "run/checkpoints/step-40/model.safetensors")["log_variance"].double().div(2).exp()
    )
    assert found["visible"] == "gaussian"
    assert found["annealing"] == {"sigma": sigma, "steps": 40, "chains": 4, "leapfrog": 3, "seed": 0}
    assert found["elbo"] < found["importance_bound"] < found["mean"] + 0.3
    assert found["mean"] == pytest.approx(found["importance_bound"], abs=1.0), "examples and units are the same"


@pytest.mark.parametrize("name", ["rbm", "dbn", "cae", "gsn"])
def test_a_rival_without_a_decoder_is_not_annealed(runs, capsys, name):
    found = answer(capsys, "evaluate", str(runs / name), "--metrics", "ais", "--samples", "20")["ais"]
    said = f"annealed importance sampling over z needs a generator, and {name} has none"
    assert found == {"not_measured": said}


def test_chains_are_run_as_the_command_says(runs, tmp_path, capsys):
    def drawn(*words: str) -> np.ndarray:
        file = tmp_path / "samples.npy"
        answer(capsys, "sample", str(runs / "rbm"), "--out", str(file), "--burn_in", "3", *words)
        return np.load(file)

    side_by_side = drawn("--n", "12", "--chains", "4", "--thinning", "1")
    rows = drawn("--n", "12", "--chains", "4", "--consecutive")
    assert np.array_equal(rows.reshape(4, 3, 8, 8).swapaxes(0, 1), side_by_side.reshape(3, 4, 8, 8))
    assert np.mean(side_by_side % 1 == 0) < 0.5  # means, as the run has it
    assert set(np.unique(drawn("--n", "12", "--pixels", "samples"))) == {0, 1}
    thinned = drawn("--n", "8", "--chains", "4", "--thinning", "2", "--consecutive").reshape(4, 2, 8, 8)
    assert np.array_equal(thinned[:, 1], rows.reshape(4, 3, 8, 8)[:, 2])


def test_independent_draws_are_told_without_chains(runs, tmp_path, capsys):
    for name, told in (("vae", "; means of pixels\n"), ("rbm", "; means of pixels, 20 chains\n")):
        capsys.readouterr()
        assert main(["sample", str(runs / name), "--n", "20", "--out", str(tmp_path / "a.png")]) == 0
        assert capsys.readouterr().out.endswith(told)


def test_the_answer_tells_the_chain(runs, tmp_path, capsys):
    words = ["sample", str(runs / "rbm"), "--out", str(tmp_path / "a.npy"), "--n", "16", "--consecutive"]
    chain = answer(capsys, *words, "--pixels", "samples")["chain"]
    assert chain == {"chains": 8, "burn_in": 5, "thinning": 1, "pixels": "samples", "start": "noise"}


@pytest.mark.parametrize("name", ["dbn"])
def test_a_rival_goes_on(runs, tmp_path, capsys, name):
    out = str(tmp_path / "run")
    words = ["train", name, "--data", "digits", *SMALL, *CHAIN, *MODELS[name], "--out", out]
    assert answer(capsys, *words)["steps"] == 40
    went_on = answer(capsys, "train", "--resume", "--out", out, "--steps", "60")
    assert (went_on["state"], went_on["steps"], went_on["verdict"]) == ("finished", 60, "learning")


@pytest.mark.parametrize("name", MODELS)
def test_the_doctor_has_a_page_and_an_object_for_every_rival(runs, capsys, name):
    told = answer(capsys, "doctor", str(runs / name))
    keys = ["run", "state", "step", "verdict", "bad", "evidence", "advice", "course", "signals"]
    assert list(told) == keys, "as of a game"
    assert (told["verdict"], told["bad"], told["step"]) == ("learning", False, 40)
    assert told["course"] == [{"step": 10, "verdict": "learning"}]
    assert main(["doctor", str(runs / name)]) == 0
    page = capsys.readouterr().out
    assert page.startswith(f"{runs / name}: learning\n  why       too early for more\n  advice    go on;")
    plots = {line.split()[0]: line.split()[1] for line in page.splitlines() if line.split()[:1] and "▁" in line}
    assert set(plots) == {signal for signal, value in told["signals"].items() if value is not None} <= set(OF_RIVALS)
    assert {len(plot) for plot in plots.values()} == {2 if name in ("dbn", "cae") else 4}, "lines of the last layer"


def test_a_bad_rival_exits_1_and_its_verdict_is_where_that_of_a_game_is(tmp_path, capsys):
    often = ["--train.log_every", "5"]
    out, slow = (
        str(tmp_path / "runs" / "slow"),
        ["--train.learning_rate", "1e-9", "--train.minimum_learning_rate", "1e-9"],
    )
    assert main(["train", "vae", "--data", "digits", *SMALL, *CHAIN, *MODELS["vae"], *often, *slow, "--out", out]) == 0
    told = capsys.readouterr()
    assert told.err.count("step 40: stalled: in all steps together weights move by") == 1, "as it happens"
    assert "finished at step 40" in told.out and ", stalled: " in told.out
    assert main(["doctor", out, "--json"]) == 1
    answered = json.loads(capsys.readouterr().out)
    assert (answered["verdict"], answered["bad"]) == ("stalled", True)
    assert answered["advice"].startswith("raise --train.learning_rate")
    status = json.loads((tmp_path / "runs" / "slow" / "status.json").read_text())
    assert (status["verdict"], status["advice"]) == ("stalled", answered["advice"])
    assert answer(capsys, "runs", "list", "--dir", str(tmp_path / "runs"))["runs"][0]["verdict"] == "stalled"


def test_a_rival_without_signals_is_not_judged(tmp_path, capsys):
    out = str(tmp_path / "run")
    words = ["train", "vae", "--data", "digits", *SMALL, *CHAIN, *MODELS["vae"], "--train.signals", "off"]
    assert answer(capsys, *words, "--out", out)["verdict"] is None
    assert "run has no signals in its log, allowed: a run of at least 10 steps with --train.signals on" in refusal(
        capsys, "doctor", out
    )


def test_how_samples_are_drawn_may_change_on_resume(runs, tmp_path, capsys):
    out = str(tmp_path / "run")
    words = ["train", "rbm", "--data", "digits", *SMALL, *CHAIN, *MODELS["rbm"], "--out", out]
    assert answer(capsys, *words)["steps"] == 40
    answer(capsys, "train", "--resume", "--out", out, "--chain.burn_in", "7", "--chain.pixels", "samples")
    chain = answer(capsys, "sample", out, "--n", "4", "--out", str(tmp_path / "a.npy"))["chain"]
    assert (chain["burn_in"], chain["pixels"], chain["chains"]) == (7, "samples", 20)
    said = refusal(capsys, "train", "--resume", "--out", out, "--rbm.gibbs_steps", "2")
    assert "allowed to change on --resume: train.steps" in said and "chain.burn_in" in said


def test_a_rival_is_shown_with_its_own_settings_alone(runs, capsys):
    capsys.readouterr()
    assert main(["train", "dbn", "--dry-run"]) == 0
    shown = capsys.readouterr().out
    names = {line.split()[0] for line in shown.splitlines()}
    assert {"rbm.hidden", "chain.burn_in", "train.steps", "train.signals"} <= names
    assert not any(name.startswith(("noise", "generator", "discriminator", "vae")) for name in names)
    assert "train.k" not in names and "parameters: 1,855,248" in shown  # 784·1024 + 784 + 1024, 1024² + 2·1024
    assert main(["train", "digits", "--dry-run"]) == 0
    assert not any(line.startswith(("rbm", "chain")) for line in capsys.readouterr().out.splitlines())


def test_what_is_proposed_next_can_be_done(tmp_path, capsys):
    assert (
        main(["train", "rbm", "--data", "digits", *SMALL, *CHAIN, *MODELS["rbm"], "--out", str(tmp_path / "run")]) == 0
    )
    told = capsys.readouterr().out
    assert "advnets sample" in told and "interpolate" not in told


@pytest.mark.parametrize(("words", "shown"), [(["rbm"], True), ([], False)])
def test_help_is_of_the_recipe_that_is_named(capsys, words, shown):
    assert main(["train", *words, "--help"]) == 0
    assert ("--rbm.hidden" in capsys.readouterr().out) == shown


def test_rivals_are_in_the_lists(runs, capsys):
    rows = {row["recipe"]: row for row in answer(capsys, "runs", "list", "--dir", str(runs))["runs"]}
    assert set(rows) == set(MODELS)
    assert rows["rbm"]["parameters"] == {"model": 64 * 16 + 64 + 16} and rows["rbm"]["state"] == "finished"
    rows = {row["name"]: row for row in answer(capsys, "recipes")["recipes"]}
    assert (rows["dbn"]["generator"], rows["dbn"]["discriminator"]) == ("784-1024-1024", None)
    assert rows["vae"]["generator"] == "784-500-20-500-784" and rows["gsn"]["paper"] == "214 ± 1.1 nats"


@pytest.mark.parametrize(("name", "key"), [("dbn", "hinton2006fast"), ("gsn", "bengio2014deep")])
def test_a_rival_cites_its_own_paper_and_no_maxout(runs, capsys, name, key):
    entries = answer(capsys, "cite", str(runs / name))["entries"]
    assert key in entries and not any("maxout" in entry for entry in entries)


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["train", "rbm", "--generator.hidden", "5"], "--generator.hidden does not fit the recipe rbm"),
        (["train", "rbm", "--train.k", "2"], "--train.k does not fit the recipe rbm"),
        (["train", "rbm", "--train.on_bad", "stop"], "--train.on_bad does not fit the recipe rbm"),
        (["train", "rbm", "--vae.latent", "2"], "--vae.latent does not fit the recipe rbm"),
        (["train", "digits", "--rbm.hidden", "2"], "--rbm.hidden does not fit the recipe digits"),
        (["train", "dbn", "--steps", "100"], "--train.steps is 100 and the layers below the top take 25000"),
        (["train", "rbm", "--chain.burn_in", "2000000"], "--chain.burn_in is 2000000, allowed: 0 to 1000000"),
        (["train", "gsn", "--gsn.corruption", "2"], "--gsn.corruption is 2.0, allowed: 0 to 1"),
        (["train", "rbm", "--data", "gaussian"], "the model has units within 0 and 1 and the data reach from"),
    ],
)
def test_what_does_not_fit_is_one_clear_line(tmp_path, capsys, words, said):
    assert said in refusal(capsys, *words, "--out", str(tmp_path / "run"))
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize(
    ("command", "said"),
    [
        (["interpolate"], "this is a run of rbm, and lines through z are drawn for adversarial nets alone"),
        (["sample", "--weights", "average"], "keeps no averaged weights, allowed: --weights raw"),
        (["sample", "--chains", "0"], "--chains is 0, allowed: 1 to 10000; set --chains"),
        (["sample", "--thinning", "0"], "--thinning is 0, allowed: 1 to 1000000; set --thinning"),
        (["sample", "--n", "9", "--consecutive"], "--n is 9, allowed with --consecutive: a multiple of the 8 chains"),
    ],
)
def test_what_a_rival_has_not_is_one_clear_line(runs, capsys, command, said):
    assert said in refusal(capsys, command[0], str(runs / "rbm"), *command[1:])
