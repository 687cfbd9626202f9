"""Runs that artefacts are made of: trained where they are missing, gone on with where they are short."""

import dataclasses
import json
from pathlib import Path

from advnets import recipes
from advnets.config import Config
from advnets.data import DataSet
from advnets.errors import InputError
from advnets.reproduce.artefact import Plan
from advnets.runs import Run

KEEP_EVERY = {"mnist": 5_000, "tfd": 4_840}
"""Steps between checkpoints kept for good, by recipe: a run that a figure trained can be scored for the table."""

_WON = 0.95


class DivergenceError(InputError):
    """A run that has to be finite is not."""

    def __init__(self, run: Run, step: int) -> None:
        super().__init__(
            f"{run.path} diverged at step {step}, allowed: training that stays finite; the same settings would diverge "
            "again on this machine: report it, or move that folder away if recipe or version have changed since"
        )
        self.run = run


def lasting(base: Config, steps: int, *, seed: int = 0, keep_every: int = 0) -> Config:
    """Return a configuration of so many steps, for one seed, with checkpoints kept for good every `keep_every`.

    A second stage begins at the same share of the steps. Its run cannot be made longer later, so that a shorter one
    than the recipe's has a name of its own.
    """
    train = dataclasses.replace(
        base.train,
        steps=steps,
        keep_every=keep_every,
        checkpoint_every=min(1_000, keep_every or steps),
        sample_every=max(1, steps // 5),
    )
    second, name = base.second_stage, base.recipe
    if second is not None and steps != base.train.steps:
        after = max(1, round(second.after / base.train.steps * steps))
        second, name = dataclasses.replace(second, after=after), f"{name}-{steps}-steps"
    return dataclasses.replace(base, recipe=name, seed=seed, train=train, second_stage=second)


def of_faces(file: Path | None = None) -> Config:
    """Return the recipe `tfd`, trained on unlabelled images alone; `file` holds other faces in the layout of TFD."""
    base = recipes.get("tfd")
    data = dataclasses.replace(base.data, name=str(file.absolute()) if file else base.data.name, fold=0)
    return dataclasses.replace(base, recipe="faces" if file else "tfd", data=data)


def run_of(plan: Plan, config: Config) -> Run:
    """Return the run of a recipe and seed, plan.folder/runs/RECIPE-seedN, whether or not it has begun."""
    return Run(plan.folder / "runs" / f"{config.recipe}-seed{config.seed}")


def trained(plan: Plan, config: Config, data: DataSet) -> Run:
    """Train plan.folder/runs/RECIPE-seedN up to the configured steps, going on with what is there.

    Raises KeyboardInterrupt where training was stopped, with its checkpoint written, DivergenceError where it is not
    finite, and InputError where the folder holds a run with other settings.
    """
    run = run_of(plan, config)
    if run.exists():
        run.check_settings(config)
        made = [0, *run.checkpoint_steps()][-1]
        if made >= config.train.steps:
            return run
        if run.status().get("state") == "diverged":
            raise DivergenceError(run, run.status()["step"])
        plan.say(f"going on with {run.path} at step {made:,} of {config.train.steps:,}")
    outcome = plan.train(config, data, run, resume=run.exists())
    if outcome.state == "interrupted":
        raise KeyboardInterrupt
    if outcome.state == "diverged":
        raise DivergenceError(run, outcome.step)
    return run


def lost(run: Run, step: int) -> bool:
    """Tell whether D had won at a step: whether D(x) − D(G(z)) was over .95 on average in the last tenth before it.

    In a healthy game it falls from about .9 in the first epochs to .2; a G that D tells apart surely gets no gradient.
    """
    text = run.log.read_text() if run.log.exists() else ""  # runs of under 100 steps have no log
    lines = [line for line in map(json.loads, text.splitlines()) if line["step"] <= step]
    last = lines[-max(1, len(lines) // 10) :]
    return bool(last) and sum(line["d_real"] - line["d_fake"] for line in last) > _WON * len(last)
