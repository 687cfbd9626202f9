"""What every command that trains does around a training: a display, a stop on a signal, a full memory in one line."""

import contextlib
import os
import sys
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

from advnets.config import Config
from advnets.errors import InputError
from advnets.runs import Run

if TYPE_CHECKING:
    from lightning_fabric import Fabric

    from advnets.cli.settings import Arguments
    from advnets.data import DataSet
    from advnets.training.loop import Validate
    from advnets.training.outcome import Outcome, Progress
    from advnets.training.tracking import Tracker


def trained(
    config: Config,
    data: "DataSet",
    target: Run,
    *,
    resume: bool,
    opening: Sequence[str] = (),
    smaller: str,
    fabric: "Fabric | None" = None,
    tracker: "Tracker | None" = None,
) -> tuple["Outcome", int]:
    """Train with a display, and return how it ended and the exit status of an interruption.

    `opening` is told once the first step has worked, with what may give other bits on resume; `smaller` says what to
    do where the memory is full.
    """
    from advnets.cli.interruption import catching
    from advnets.cli.progress import showing
    from advnets.extensions import semi_supervised
    from advnets.training import check_device, train
    from advnets.training.tracking import tracking

    check_device(config)
    told = [*opening, *(_changes(config, target, fabric) if resume else ())]
    if fabric is not None and not fabric.is_global_zero:
        tracker = None
    with (
        catching() as interruption,
        _device_errors(smaller),
        showing(target, told) as show,
        tracking(target, tracker) as track,
    ):

        def report(progress: "Progress") -> None:
            show(progress)
            track(progress)

        if config.semi:
            outcome = semi_supervised.train(config, data, target, resume=resume, stop=interruption, report=report)
            return outcome, interruption.exit_status
        validate = _validator(config, data) if config.train.validate_every else None
        if fabric is not None and not fabric.is_global_zero:
            report = _silent
        outcome = train(
            config, data, target, resume=resume, stop=interruption, report=report, validate=validate, fabric=fabric
        )
    return outcome, interruption.exit_status


def launched(config: Config, arguments: "Arguments") -> "Fabric":
    """Start the processes that were asked for, or join those of torchrun."""
    from advnets.training.processes import launched as launch

    return launch(config, arguments.devices, arguments.nodes)


def with_precision(config: Config, data: "DataSet", processes: int) -> Config:
    """Resolve a precision of auto, and say what it is here; several processes have to name one."""
    if config.train.precision != "auto" or processes > 1 or "LOCAL_WORLD_SIZE" in os.environ:
        return config
    from advnets.training.precision import resolved

    config = resolved(config, data)
    print(f"precision: {config.train.precision}, which auto stands for here", file=sys.stderr)
    return config


def _silent(progress: object) -> None:
    """Show nothing, as all but the first of several processes do."""


def _validator(config: Config, data: "DataSet") -> "Validate":
    from advnets.evaluation.likelihood import validator

    return validator(config, data)


def _changes(config: Config, target: Run, fabric: "Fabric | None") -> list[str]:
    """Say in a line, if at all, why going on here may give other bits than never stopping."""
    from advnets.training import differences, elsewhere

    changes = differences(target, config, fabric)
    if changes:
        step = [0, *target.checkpoint_steps()][-1]
        return [f"from step {step} on not bit for bit as if it had never stopped, because {', '.join(changes)}"]
    return [
        f"from step {one['step']} on not bit for bit as if it had never stopped: "
        f"{', '.join(map(str, one['changes']))} then"
        for one in elsewhere(target)[:1]
    ]


@contextlib.contextmanager
def _device_errors(smaller: str) -> Iterator[None]:
    """Turn torch's many words on a full memory into one line."""
    import torch

    try:
        yield
    except RuntimeError as error:
        if isinstance(error, torch.OutOfMemoryError) or "allocate memory" in str(error):
            raise InputError(
                f"the device has too little memory for these nets and data, allowed: what fits; {smaller}; "
                "checkpoints are intact"
            ) from error
        raise
