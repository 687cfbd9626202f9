"""What a run logs, told to a tracker too: TensorBoard, or any other logger of lightning-fabric."""

import contextlib
from collections.abc import Callable, Iterator
from typing import Any, Literal

from lightning_fabric.loggers.logger import Logger
from lightning_fabric.loggers.tensorboard import TensorBoardLogger

from advnets.errors import InputError
from advnets.history import last_line
from advnets.runs import Run
from advnets.training.outcome import Progress

Tracker = Literal["tensorboard"]


def to_logger(run: Run, logger: Logger) -> Callable[[Progress], None]:
    """Return what `train(report=...)` is to call, for every line of log.jsonl to go to a logger at its step.

    Numbers keep their names; signals come as signals/NAME. What is not finite, or not there, is left out.
    """

    def report(progress: Progress) -> None:
        if progress.measures is None:
            return
        line: dict[str, Any] = last_line(run)
        numbers = {**line, **{f"signals/{name}": value for name, value in (line.get("signals") or {}).items()}}
        metrics = {name: float(value) for name, value in numbers.items() if type(value) in (int, float)}
        metrics.pop("step", None)
        logger.log_metrics(metrics, step=progress.step)

    return report


@contextlib.contextmanager
def tracking(run: Run, tracker: Tracker | None) -> Iterator[Callable[[Progress], None]]:
    """Yield what to report to for a tracker whose files lie in RUN/tensorboard; it does nothing without one.

    Raises InputError where the extra it needs is not installed.
    """
    if tracker is None:
        yield lambda progress: None
        return
    try:
        logger = TensorBoardLogger(run.path, name="", version=tracker)
    except ModuleNotFoundError:
        raise InputError(
            "--tracker is tensorboard, which is not installed, allowed: with it; pip install 'advnets[track]', or "
            "leave --tracker out"
        ) from None
    yield to_logger(run, logger)
    logger.finalize("success")
