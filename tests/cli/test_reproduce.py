"""`advnets reproduce`: options where they mean something, notes below the table, trainings as safe as `train`'s."""

import dataclasses
import json
from pathlib import Path

import pytest

from advnets import recipes
from advnets.cli.reproduce import ARTEFACTS, TAKERS
from advnets.data import load
from advnets.reproduce import figure3, theory
from advnets.reproduce.artefact import Artefact, Plan
from advnets.reproduce.runs import lasting, trained
from advnets.runs import write_json

from .conftest import Command, contents

VALUES = {"budget": "quick", "seeds": "7", "faces": "none.mat", "models": "rivals", "part": "efficiency"}


@pytest.fixture
def tiny(monkeypatch: pytest.MonkeyPatch) -> None:
    """In the place of figure 3: a tiny run of 4 steps, or 8."""

    def reproduce(plan: Plan) -> Artefact:
        base = recipes.get("digits")
        small = dataclasses.replace(
            base,
            generator=dataclasses.replace(base.generator, hidden=(8,), activations=("rectifier",)),
            discriminator=dataclasses.replace(base.discriminator, hidden=(4,)),
        )
        trained(plan, lasting(small, 4 if plan.budget == "quick" else 8), load(base.data))
        return Artefact([("head",)], {})

    monkeypatch.setattr(figure3, "reproduce", reproduce)


@pytest.mark.parametrize(
    ("artefact", "option"),
    [(name, option) for option, takers in TAKERS.items() for name in ARTEFACTS if name not in takers],
)
def test_an_option_that_means_nothing_is_refused(advnets: Command, tmp_path: Path, artefact: str, option: str) -> None:
    for spelling in (f"--{option} {VALUES[option]}", f"--{option}={VALUES[option]}"):
        done = advnets(f"reproduce {artefact} {spelling}")
        assert (done.status, done.out, done.err.count("\n")) == (2, "", 1)
        assert f"{artefact} takes no --{option}, allowed: --{option} with {', '.join(TAKERS[option])};" in done.err
    assert contents(tmp_path) == {}


@pytest.mark.parametrize(
    ("artefact", "option"), [(name, option) for option, takers in TAKERS.items() for name in takers]
)
def test_an_option_reaches_the_artefacts_that_take_it(
    advnets: Command, monkeypatch: pytest.MonkeyPatch, artefact: str, option: str
) -> None:
    plans: list[Plan] = []

    def reproduce(plan: Plan) -> Artefact:
        plans.append(plan)
        return Artefact([("head",)], {})

    monkeypatch.setattr(f"advnets.reproduce.{artefact}.reproduce", reproduce)
    assert advnets(f"reproduce {artefact} --{option} {VALUES[option]}").status == 0
    assert str(getattr(plans[0], option)) == VALUES[option]


def test_help_says_what_each_artefact_is_and_which_take_an_option(advnets: Command) -> None:
    shown = " ".join(advnets("reproduce --help").out.replace("│", " ").split())
    for name, summary in ARTEFACTS.items():
        assert f"{name}: {summary}" in shown
    assert "{" + ",".join(ARTEFACTS) + "}" in shown
    assert f"{', '.join(TAKERS['seeds'])}: how many seeds" in shown
    assert f"{', '.join(TAKERS['faces'])}: faces in the layout" in shown
    others = " and ".join(name for name in ARTEFACTS if name not in TAKERS["budget"])
    assert f"Not for {others}." in shown


def test_notes_stand_below_the_table_and_widen_no_column(advnets: Command, monkeypatch: pytest.MonkeyPatch) -> None:
    made = Artefact([("a", "b"), ("1", "2")], {}, notes=["a note that is long", "another"])
    monkeypatch.setattr(theory, "reproduce", lambda plan: made)
    lines = advnets("reproduce theory").out.splitlines()
    assert lines[:5] == ["a  b", "1  2", "a note that is long", "another", ""]
    assert json.loads(advnets("reproduce theory --json").out) == {}


def test_a_full_memory_is_one_line(tiny: None, advnets: Command, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*arguments: object, **settings: object) -> None:
        raise RuntimeError("DefaultCPUAllocator: can't allocate memory: you tried to allocate 9 bytes.\nMore words")

    monkeypatch.setattr("advnets.training.loop.new_game", refuse)
    done = advnets("reproduce figure3")
    assert (done.status, done.out, done.err.count("\n")) == (2, "", 1)
    assert "too little memory" in done.err and "bug" not in done.err
    assert "--train.batch_size" not in done.err, "this command has no such option"


def test_what_may_give_other_bits_is_told(tiny: None, advnets: Command, tmp_path: Path) -> None:
    for line, file in (("reproduce figure3", "reproduced/runs/digits-seed0"), ("train --steps 4 --out run", "run")):
        more = "reproduce figure3 --budget full" if "reproduce" in line else "train --resume --out run --steps 8"
        assert "not bit for bit" not in advnets(line).err
        config = tmp_path / file / "config.json"
        content = json.loads(config.read_text())
        content["machine"]["threads"] = 99
        write_json(config, content)
        done = advnets(more)
        assert done.status == 0
        assert "not bit for bit as if it had never stopped, because threads was 99, is 1" in done.err
