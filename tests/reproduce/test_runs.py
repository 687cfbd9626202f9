import dataclasses
import json
import signal

import pytest

from advnets import recipes
from advnets.cli.main import main
from advnets.config import check
from advnets.data import load
from advnets.errors import InputError
from advnets.reproduce import figure3
from advnets.reproduce.artefact import Artefact, Plan
from advnets.reproduce.runs import DivergenceError, lasting, lost, of_faces, trained
from advnets.runs import Run


@pytest.mark.parametrize("recipe", ["mnist", "tfd", "cifar10-conv"])
@pytest.mark.parametrize("steps", [1, 20, 72_600])
def test_shorter_runs_are_allowed_and_a_second_stage_keeps_its_share(recipe, steps):
    base = recipes.get(recipe)
    config = check(lasting(base, steps, seed=3, keep_every=steps))
    assert (config.seed, config.train.steps) == (3, steps)
    if base.second_stage:
        share = config.second_stage.after / steps
        assert share == pytest.approx(base.second_stage.after / base.train.steps, abs=0.5 / steps + 0.01) or steps == 1
        assert (config.recipe == recipe) == (steps == base.train.steps)  # its run could not be made longer
    else:
        assert config.recipe == recipe


def test_faces_are_not_called_tfd_and_no_fold_s_labelled_images_are_trained_on(tmp_path):
    assert (of_faces().recipe, of_faces().data.name, of_faces().data.fold) == ("tfd", "tfd", 0)
    other = of_faces(tmp_path / "faces.mat")
    assert other.recipe == "faces" and other.data.name == str(tmp_path / "faces.mat")


@pytest.mark.parametrize(
    ("d_real", "d_fake", "won"), [(1.0, 0.0, True), (0.98, 0.02, True), (0.95, 0.06, False), (0.6, 0.4, False)]
)
def test_d_has_won_where_it_tells_nearly_all_apart_at_the_end(tmp_path, d_real, d_fake, won):
    before = (1.0, 0.0) if not won else (0.6, 0.4)
    pairs = [*[before] * 90, *[(d_real, d_fake)] * 10, *[before] * 50]
    lines = [{"step": 100 * n, "d_real": real, "d_fake": fake} for n, (real, fake) in enumerate(pairs, start=1)]
    (tmp_path / "log.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    assert lost(Run(tmp_path), 10_000) is won, "whatever comes later"
    assert lost(Run(tmp_path), 9_000) is not won


def test_a_run_too_short_for_a_line_of_log_is_not_lost(tmp_path):
    (tmp_path / "log.jsonl").write_text("")
    assert not lost(Run(tmp_path), 99)


@pytest.fixture
def artefact(monkeypatch):
    """In the place of figure 3: a tiny run, then something that takes a while."""

    def reproduce(plan):
        base = recipes.get("digits")
        small = dataclasses.replace(
            base,
            generator=dataclasses.replace(base.generator, hidden=(8,), activations=("rectifier",)),
            discriminator=dataclasses.replace(base.discriminator, hidden=(4,)),
        )
        plan.progress("before")(1, 2)
        run = trained(plan, lasting(small, 6 if plan.budget == "quick" else 9), load(base.data))
        plan.progress("after")(1, 2)
        return Artefact([("step",), (str(run.checkpoint_steps()[-1]),)], {"step": run.checkpoint_steps()[-1]})

    monkeypatch.setattr(figure3, "reproduce", reproduce)


def test_the_command_trains_and_goes_on_with_what_is_there(artefact, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    for budget, step, goes_on in (("quick", 6, False), ("full", 9, True), ("full", 9, False)):
        assert main(["reproduce", "figure3", "--budget", budget, "--json"]) == 0
        shown = capsys.readouterr()
        assert json.loads(shown.out) == {"step": step}
        assert ("going on with reproduced/runs/digits-seed0 at step 6 of 9" in shown.err) == goes_on
    assert Run(tmp_path / "reproduced" / "runs" / "digits-seed0").status()["state"] == "finished"


@pytest.mark.parametrize(("number", "status"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_a_stopped_command_ends_as_interrupted_with_a_checkpoint(
    artefact, number, status, tmp_path, monkeypatch, capsys
):
    monkeypatch.chdir(tmp_path)
    with monkeypatch.context() as patch:
        patch.setattr("advnets.cli.interruption.Interruption.number", number)
        assert main(["reproduce", "figure3"]) == status
    assert "stopped at step 1 with a checkpoint; give the same command again" in capsys.readouterr().err
    assert Run(tmp_path / "reproduced" / "runs" / "digits-seed0").checkpoint_steps() == [1]
    assert main(["reproduce", "figure3"]) == 0
    assert "at step 1 of 6" in capsys.readouterr().err


def test_a_run_folder_with_other_settings_is_refused_in_one_line(artefact, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    assert main(["train", "digits", "--steps", "2", "--out", "reproduced/runs/digits-seed0"]) == 0
    capsys.readouterr()
    assert main(["reproduce", "figure3"]) == 2
    error = capsys.readouterr().err.splitlines()[-1]
    assert error.startswith("advnets: error:") and "generator.hidden is 256 256 in the run and 8 here" in error


def test_a_run_that_diverged_under_other_settings_is_refused_for_these(tmp_path):
    config = lasting(recipes.get("digits"), 6)
    run = Run(tmp_path / "runs" / "digits-seed0")
    other = dataclasses.replace(config, train=dataclasses.replace(config.train, learning_rate=5.0))
    run.create(other, {})
    run.write_status(3, "diverged", "diverged")
    plan = Plan(tmp_path, train=lambda *arguments, **options: pytest.fail("trained"))
    with pytest.raises(InputError, match=r"learning_rate is 5.0 in the run and 0.1 here"):
        trained(plan, config, load(config.data))
    run.adopt(other)
    with pytest.raises(DivergenceError, match=r"digits-seed0 diverged at step 3"):
        trained(plan, other, load(config.data))
