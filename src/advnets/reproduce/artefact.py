"""What every artefact is given, and what it gives back."""

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from advnets.config import DataConfig
from advnets.data import DataSet, load
from advnets.training import Progress

Budget = Literal["quick", "full"]
"""quick: minutes on two cores; full: as long as the paper's experiment takes."""


@dataclass(frozen=True)
class Plan:
    """How an artefact is made."""

    folder: Path
    """Where its files go; runs that it trains go into the folder `runs` inside, and are resumed from there."""
    budget: Budget = "quick"
    seeds: int | None = None
    """How many seeds; None for as many as the budget has."""
    faces: Path | None = None
    """A file of faces in the layout of TFD, to stand in for it under a name of its own."""
    load: Callable[[DataConfig], DataSet] = load
    """Reads a data set."""
    say: Callable[[str], None] = lambda line: None
    """Told in a line what is being done."""
    report: Callable[[Progress], None] = lambda progress: None
    """Told after every training step."""
    stop: Callable[[], bool] = lambda: False
    """Whether to stop training, with a checkpoint written."""


@dataclass(frozen=True)
class Artefact:
    """What was reproduced."""

    rows: list[tuple[str, ...]]
    """A table for people, its head first."""
    summary: dict[str, Any]
    """The same and more, as plain JSON values."""
    files: list[Path] = field(default_factory=list)
    """What was written."""
    holds: bool = True
    """Whether everything came out as it has to."""
