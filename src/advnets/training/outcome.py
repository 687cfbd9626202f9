"""What training reports while it runs and when it ends."""

from dataclasses import dataclass
from typing import Any

import torch

from advnets.config import Config
from advnets.doctor import Verdict
from advnets.errors import InputError


@dataclass(frozen=True)
class Progress:
    """Where a run is after a step; `measures` on logged steps only, `verdict` from the first of these on."""

    step: int
    steps: int
    measures: dict[str, float] | None = None
    verdict: Verdict | None = None
    rollback: dict[str, Any] | None = None
    """What was just gone back from and to: at, verdict, to."""


@dataclass(frozen=True)
class Outcome:
    """How a call of `train` ended: state is finished, interrupted or diverged."""

    state: str
    step: int
    seconds: float
    verdict: Verdict | None = None
    stopped: bool = False
    """Whether the verdict ended it."""


def check_device(config: Config) -> None:
    """Raise InputError for a device that torch does not find here."""
    there = {"cuda": torch.cuda.is_available(), "mps": torch.backends.mps.is_available()}
    if not there.get(config.train.device, True):
        names = ", ".join(["auto", "cpu", *(name for name, is_there in there.items() if is_there)])
        raise InputError(
            f"--train.device is {config.train.device}, which torch does not find here, allowed: {names}; "
            "leave it out, or install the torch build for that device"
        )


def dtype(config: Config) -> torch.dtype:
    """Number format of the weights."""
    return torch.float64 if config.train.precision == "64-true" else torch.float32
