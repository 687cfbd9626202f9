"""Runs that artefacts are made of: trained where they are missing, gone on with where they are short."""

from advnets.config import Config
from advnets.data import DataSet
from advnets.errors import InputError
from advnets.reproduce.artefact import Plan
from advnets.runs import Run


def trained(plan: Plan, config: Config, data: DataSet) -> Run:
    """Train plan.folder/runs/RECIPE-seedN up to the configured steps, going on with what is there.

    Raises KeyboardInterrupt where training was stopped, with its checkpoint written, and InputError where it diverged
    or the folder holds a run with other settings.
    """
    run = Run(plan.folder / "runs" / f"{config.recipe}-seed{config.seed}")
    if run.exists():
        made = [0, *run.checkpoint_steps()][-1]
        if made >= config.train.steps:
            run.check_settings(config)
            return run
        plan.say(f"going on with {run.path} at step {made:,} of {config.train.steps:,}")
    outcome = plan.train(config, data, run, resume=run.exists())
    if outcome.state == "interrupted":
        raise KeyboardInterrupt
    if outcome.state == "diverged":
        raise InputError(
            f"{run.path} diverged at step {outcome.step}, allowed: training that stays finite; move that folder away, "
            "and report its log"
        )
    return run
