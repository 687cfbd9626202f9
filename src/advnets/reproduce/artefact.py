"""What every artefact is given, and what it gives back."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from advnets.config import DataConfig
from advnets.data import DataSet, load
from advnets.evaluation.progress import Report, silent
from advnets.training import Outcome, train

Budget = Literal["quick", "full"]
"""quick: minutes on two cores; full: as long as the paper's experiment takes."""

Models = Literal["all", "adversarial", "rivals"]
Part = Literal["all", "conditional", "inference", "completion", "few_labels", "efficiency"]


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
    models: Models = "all"
    """Which models of a table."""
    part: Part = "all"
    """Which extension of section 7."""
    load: Callable[[DataConfig], DataSet] = load
    """Reads a data set."""
    train: Callable[..., Outcome] = train
    """Trains a run: advnets.training.train, or the same with a display around it."""
    say: Callable[[str], None] = lambda line: None
    """Told in a line what is being done."""
    progress: Callable[[str], Report] = lambda name: silent
    """Given the name of what takes long, returns whom to tell how far it is."""


@dataclass(frozen=True)
class Artefact:
    """What was reproduced."""

    rows: Sequence[tuple[str, ...]]
    """A table for people, its head first."""
    summary: dict[str, Any]
    """The same and more, as plain JSON values."""
    files: list[Path] = field(default_factory=list)
    """What was written."""
    holds: bool = True
    """Whether everything came out as it has to."""
    notes: Sequence[str] = ()
    """Lines to stand under the tables."""
    further: Sequence[Sequence[tuple[str, ...]]] = ()
    """Tables that follow the first."""
