"""The lines of a run's log, and what the doctor's rules ask of them."""

import functools
import math
import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from statistics import fmean, median
from typing import Any

from advnets.config import TrainConfig
from advnets.errors import InputError
from advnets.runs import Run
from advnets.untrusted import loads

UNIT = 100
"""Updates of the busier player between two lines that count."""
WINDOW = 8
"""Lines that a verdict rests on."""

CHANCE = -math.log(4)
"""The value of the game where D is ½ everywhere."""
_MOST = 2**30  # bytes of a log
_TAIL = 1 << 16  # bytes; a line has a few hundred
_LARGEST = 1e300  # of a number in it
_BEGUN = 0.02  # V further from chance than this: D has begun to tell data from samples

Line = Mapping[str, Any]
Signal = Callable[[Line], float | None]
Point = tuple[float, float]


@dataclass(frozen=True)
class History:
    """The lines of a log with what all checks ask of them."""

    lines: Sequence[Line]
    train: TrainConfig

    @functools.cached_property
    def begun(self) -> int | None:
        """Index of the first line on which D tells data from samples."""
        return next((i for i, line in enumerate(self.lines) if abs(line["value"] - CHANCE) > _BEGUN), None)

    @property
    def played(self) -> int:
        """Lines since then."""
        return 0 if self.begun is None else len(self.lines) - self.begun

    @property
    def horizon(self) -> int:
        """Steps that a signal has to get good in: those left, or half as many as were made if that is more."""
        step = int(self.lines[-1]["step"])
        return max(self.train.steps - step, step // 2)

    def recent(self, signal: str | Signal, lines: int = WINDOW) -> list[float]:
        """The signal on the last lines that have it."""
        read = signal if callable(signal) else of(signal)
        return [value for line in self.lines[-lines:] if (value := read(line)) is not None]

    def middle(self, signal: str | Signal) -> float | None:
        """Median of the signal over the window; None where it is not measured."""
        values = self.recent(signal)
        return median(values) if values else None

    def earlier(self, share: float) -> Iterator["History"]:
        """Yield the histories of which this share of all steps has made this one, at most WINDOW of them."""
        since = self.lines[-1]["step"] - share * self.train.steps
        first = max((i for i, line in enumerate(self.lines) if line["step"] <= since), default=0)
        for i in range(first, len(self.lines) - 1, max(1, (len(self.lines) - 1 - first) // WINDOW)):
            yield History(self.lines[: i + 1], self.train)

    def arrives(self, signal: Signal, target: float) -> bool:
        """Tell whether the signal, falling as it does, gets down to the target within the horizon."""
        points = self._points(signal)
        if len(points) < 4:
            return False
        half = len(points) // 2
        (before, high), (after, low) = map(_middle, (points[:half], points[-half:]))
        pace = (high - low) / (after - before)
        return pace > 0 and (low - target) / pace <= self.horizon

    def slows(self, signal: Signal, target: float) -> bool:
        """Tell whether the signal rises without noise, ever slower, and never to the target.

        That is, by a constant factor less in equal times.
        """
        points = self._points(signal)
        rises = sum(after > before for (_, before), (_, after) in pairwise(points))
        if len(points) < WINDOW or rises < 0.9 * (len(points) - 1):
            return False
        third = len(points) // 3
        parts = points[:third], points[third:-third], points[-third:]
        (first, low), (_, mid), (last, high) = map(_middle, parts)
        if not low < mid <= high or (factor := (high - mid) / (mid - low)) >= 1:
            return False
        times = self.horizon / ((last - first) / 2)
        return high + (high - mid) * factor * (1 - math.pow(factor, times)) / (1 - factor) < target

    def _points(self, signal: Signal) -> Sequence[Point]:
        """The signal, with its steps, on the last two thirds of the lines."""
        lines = self.lines[-max(WINDOW, 2 * self.played // 3) :]
        return [(line["step"], value) for line in lines if (value := signal(line)) is not None]


def _middle(points: Sequence[Point]) -> Point:
    """Mean step and mean value."""
    step, value = map(fmean, zip(*points, strict=True))
    return step, value


def of(name: str) -> Signal:
    """Read one signal of a line."""
    return lambda line: line["signals"].get(name) if line.get("signals") else None


def spaced(lines: Sequence[Line], train: TrainConfig) -> list[Line]:
    """Leave out lines too soon after another: how a game goes does not depend on how often it is logged."""
    updates = max(train.k, train.generator_steps)
    kept: list[Line] = []
    for line in lines:
        if not kept or line["step"] * updates // UNIT > kept[-1]["step"] * updates // UNIT:
            kept.append(line)
    return kept


def read_log(run: Run, measure: str = "value") -> list[dict[str, Any]]:
    """Read log.jsonl up to its last whole line; raises InputError for what is no line of a log.

    `measure` is what every line has: the value of a game, or the loss of a rival.
    Reads up to what a power cut has spoilt: zeros, or anything after the last checkpoint.
    """
    if not run.log.is_file():
        return []
    with run.log.open("rb") as file:
        content = file.read(_MOST + 1)
    if len(content) > _MOST:
        raise InputError(f"{run.log} is larger than {_MOST} bytes, allowed: a run's own log; restore it from a copy")
    lines: list[dict[str, Any]] = []
    start = 0
    for number, text in enumerate(content[: content.rfind(b"\n") + 1].splitlines(keepends=True), 1):
        try:
            line = loads(text)
        except ValueError:
            line = None
        if not _is_line(line, measure) or (lines and not _follows(line, lines[-1], measure)):
            saved = run.saved_log_bytes()
            if start >= saved if saved is not None else b"\0" in text:
                break
            raise InputError(
                f"{run.log} is damaged in line {number}, allowed: lines that training wrote; restore it from a copy"
            )
        lines.append(line)
        start += len(text)
    return lines


def last_line(run: Run) -> dict[str, Any]:
    """Return the newest complete line of log.jsonl; empty where there is none."""
    if not run.log.is_file():
        return {}
    with run.log.open("rb") as file:
        file.seek(max(0, file.seek(0, os.SEEK_END) - _TAIL))
        lines = file.read().splitlines()
    for line in reversed(lines):
        try:
            content = loads(line)
        except ValueError:  # cut short by a kill
            continue
        if isinstance(content, dict):
            return content
    return {}


def _follows(line: Line, before: Line, measure: str) -> bool:
    """Tell whether training may have written a line after another: later, and not after what ended it."""
    on = line["step"] > before["step"] and line.get("layer", 1) >= before.get("layer", 1)
    return on and before[measure] is not None


def _is_line(line: object, measure: str) -> bool:
    """Tell whether this is an object with the numbers that a verdict asks for."""
    if not isinstance(line, dict) or measure not in line or type(line.get("step")) is not int or line["step"] < 0:
        return False
    signals, layer = line.get("signals", {}), line.get("layer", 1)
    if not isinstance(signals, dict) or type(layer) is not int or layer < 1:
        return False
    values = [line["step"], line[measure], *signals.values()]
    return all(value is None or (type(value) in (int, float) and abs(value) < _LARGEST) for value in values)
