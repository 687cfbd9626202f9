"""The verdict on any run, of adversarial nets or of a rival, from the lines of its log; free of torch."""

from collections.abc import Sequence
from typing import Any

from advnets import doctor, doctor_rivals, history
from advnets.config import Config
from advnets.doctor import Verdict
from advnets.runs import Run


def lines_of(run: Run, config: Config) -> list[dict[str, Any]]:
    """Read the lines that the verdict on a run rests on; raises InputError for a damaged log.

    Those of the last stage of a game, whose D began afresh; all lines of a rival, whose layers rest on each other.
    """
    if config.rival:
        return history.read_log(run, "loss")
    return doctor.stage(history.read_log(run), config)


def judge(lines: Sequence[history.Line], config: Config) -> Verdict | None:
    """Say how a run is doing from its lines so far, the newest last; None without a line with signals."""
    return doctor_rivals.judge(lines, config) if config.rival else doctor.judge(lines, config.train)


def shown(lines: Sequence[history.Line], config: Config) -> Sequence[history.Line]:
    """Those of the lines whose signals compare with each other: of a rival, the last layer's."""
    return doctor_rivals.stage(lines) if config.rival else lines
