"""Which runs the lab shows, and what it has loaded of them."""

import threading
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TypeVar, cast

from advnets.data import DataSet, load
from advnets.errors import InputError
from advnets.extensions.inference import FINISHED, Inference, has_encoder, load_inference
from advnets.rivals.rival import Rival
from advnets.runs import Run, list_runs
from advnets.sampling import Sampler, load_sampler

Kept = TypeVar("Kept")
_KEPT = 3  # of each kind


class Shelf:
    """The runs named, or those in a folder, which may come and go while the page is open."""

    def __init__(self, runs: Sequence[Path], folder: Path) -> None:
        self._runs = [Run(path) for path in runs]
        self._folder = folder
        self._kept: dict[tuple[str, ...], object] = {}
        self._lock = threading.Lock()

    def names(self) -> list[str]:
        """Names of the runs, the newest first."""
        runs = self._runs or [*reversed(list_runs(self._folder))]
        return [str(run.path) for run in runs]

    def run(self, name: str | None) -> Run:
        """Return a run by its name, which comes from a browser; raises InputError for one that is not on the shelf."""
        names = self.names()
        if name not in names:
            allowed = ", ".join(names[:10]) or f"none yet in {self._folder}/"
            raise InputError(f"the run is {name}, allowed: {allowed}; choose one, or train one")
        return Run(Path(name))

    def sampler(self, name: str | None) -> Sampler:
        """Return the generator of a run's newest checkpoint; raises InputError for a rival, which has none."""
        run = self.run(name)
        sampler = self._once(("sampler", *_state(run)), lambda: load_sampler(run))
        if isinstance(sampler.net, Rival):
            raise InputError(
                f"{run.path} is a run of {sampler.config.recipe}, which samples by a chain and has no z to walk in, "
                "allowed: runs of adversarial nets; choose one"
            )
        return sampler

    def inference(self, name: str | None) -> Inference | None:
        """Return the encoder of a run; None where it has none."""
        run = self.run(name)
        if not has_encoder(run):
            return None
        file = run.path / FINISHED / "config.json"
        fitted = str(file.stat().st_mtime_ns) if file.is_file() else ""
        return self._once(("encoder", *_state(run), fitted), lambda: load_inference(run))

    def data(self, name: str | None) -> DataSet:
        """Return the data of a run; raises InputError where they are not here, for the lab fetches nothing."""
        config = self.run(name).config()
        return self._once(("data", repr(config.data)), lambda: load(config.data, offline=True))

    def _once(self, key: tuple[str, ...], make: Callable[[], Kept]) -> Kept:
        with self._lock:
            if key not in self._kept:
                same = [old for old in self._kept if old[0] == key[0]]
                for old in same[: max(0, len(same) - _KEPT + 1)]:
                    del self._kept[old]
                self._kept[key] = make()
            return cast(Kept, self._kept[key])


def _state(run: Run) -> tuple[str, ...]:
    return str(run.path), *map(str, run.checkpoint_steps()[-1:])
