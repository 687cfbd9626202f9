"""A run is a folder: configuration, log, status and checkpoints, free of torch, and readable without running code.

RUN/config.json          every resolved value, seed, versions, fingerprint of the data
RUN/log.jsonl            one line per logged step: the same bits however often the run was interrupted
RUN/timing.jsonl         seconds per step, which are never the same twice
RUN/validation.jsonl     validation likelihoods, where the run takes them
RUN/rollbacks.json       where the run went back to an earlier checkpoint, and why
RUN/status.json          step, state, verdict
RUN/checkpoints/step-N/  safetensors files, state.json, and SHA256SUMS over all of them
RUN/samples/step-N.png   grids of samples
"""

import contextlib
import json
import math
import os
import re
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from advnets import checksums, disk, locks
from advnets.config import FREE_ON_RESUME, Config, belongs, check, flatten, from_json, spell, to_json
from advnets.disk import read_json as read_json
from advnets.disk import reporting as reporting
from advnets.disk import write_json as write_json
from advnets.errors import InputError
from advnets.untrusted import has, loads, read_text, require_no_links

FORMAT = 1
KEPT_CHECKPOINTS = 2
_CHECKPOINT = re.compile(r"step-(0|[1-9][0-9]*)")
_BARE = {".lock", ".config.json.writing"}


@dataclass(frozen=True)
class Run:
    """One run folder."""

    path: Path
    """Of the folder; text is taken for a path."""

    def __post_init__(self) -> None:
        object.__setattr__(self, "path", Path(self.path))

    @property
    def log(self) -> Path:
        """The file of logged steps."""
        return self.path / "log.jsonl"

    @property
    def timing(self) -> Path:
        """The file of seconds per step."""
        return self.path / "timing.jsonl"

    @property
    def validation(self) -> Path:
        """The file of validation likelihoods."""
        return self.path / "validation.jsonl"

    @property
    def _lock(self) -> Path:
        return self.path / ".lock"

    def exists(self) -> bool:
        """Tell whether the folder holds a run."""
        return (self.path / "config.json").is_file()

    def require_free(self) -> None:
        """Raise InputError if the folder already holds anything but what a process killed at once leaves."""
        if self.path.exists() and not (self.path.is_dir() and {*os.listdir(self.path)} <= _BARE):
            fix = "go on with that run by --resume, or name" if self.exists() else "it holds no run: name"
            raise InputError(
                f"{self.path} exists already, allowed: a new or empty folder; {fix} another folder with --out"
            )

    def create(self, config: Config, facts: dict[str, Any]) -> None:
        """Make the folder and write config.json: the configuration and `facts` (data, versions, parameter counts).

        Raises InputError as `require_free` does.
        """
        self.require_free()
        with self._making():
            disk.make_folder(self.path)
            disk.flush(self.path.parent)  # the folder itself may be new
            content = {"format": FORMAT, "began": _next_moment(self.path.parent), "config": to_json(config), **facts}
            write_json(self.path / "config.json", content)

    def _making(self) -> contextlib.AbstractContextManager[None]:
        fix = "free space, fix permissions, or name another folder with --out"
        return reporting(f"cannot make the run folder {self.path}", fix=fix)

    def read(self) -> dict[str, Any]:
        """Read config.json; raises InputError where there is no run or a newer version wrote it."""
        if not self.exists():
            raise InputError(
                f"{self.path} is not a run folder, allowed: a folder made by advnets train; see advnets runs list"
            )
        content = read_json(self.path / "config.json")
        version = content.get("format")
        if not isinstance(version, int) or version > FORMAT:
            raise InputError(
                f"{self.path} has run format {version!r}, this version of advnets reads formats up to {FORMAT}; "
                "update advnets to open it"
            )
        if wrong := [one for one in ("data", "versions", "machine") if not isinstance(content.get(one, {}), dict)]:
            raise InputError(f"{self.path}/config.json is damaged ({wrong[0]} is no object); restore it from a copy")
        elsewhere = content.get("elsewhere", [])
        if not isinstance(elsewhere, list) or not all(has(one, step=int, changes=list) for one in elsewhere):
            raise InputError(f"{self.path}/config.json is damaged (elsewhere); restore it from a copy")
        return content

    def config(self) -> Config:
        """Rebuild the configuration; raises InputError where it was damaged."""
        config: Config = from_json(Config, self.read().get("config"))
        return check(config)

    def shape(self) -> tuple[int, ...]:
        """Shape of one example of the run's data."""
        shape = self.read().get("data", {}).get("shape")
        if not isinstance(shape, list) or not all(isinstance(side, int) and 0 < side < 2**20 for side in shape):
            raise InputError(f"{self.path}/config.json is damaged (data.shape is {shape!r}); restore it from a copy")
        return tuple(shape)

    def check_settings(self, config: Config) -> None:
        """Raise InputError, naming each with both its values, for settings that differ and may not on resume."""
        before, after = flatten(self.config()), flatten(config)
        names = [name for name in {**before, **after} if before.get(name) != after.get(name)]
        fixed = [name for name in names if name not in FREE_ON_RESUME]
        if fixed:
            free = [name for name in FREE_ON_RESUME if belongs(config, name)]
            both = (
                f"{name} is {spell(before.get(name))} in the run and {spell(after.get(name))} here" for name in fixed
            )
            raise InputError(
                f"{', '.join(both)}, allowed to change on --resume: {', '.join(free)}; leave the rest out, "
                "or start a new run with another --out"
            )

    def adopt(self, config: Config) -> None:
        """Store the settings that may change on resume; raises InputError as `check_settings` does."""
        self.check_settings(config)
        if config != self.config():
            with reporting(f"cannot write {self.path}/config.json"):
                write_json(self.path / "config.json", {**self.read(), "config": to_json(config)})

    def status(self) -> dict[str, Any]:
        """Read status.json; empty where the run has not begun. A run whose process was killed counts as interrupted."""
        file = self.path / "status.json"
        status = read_json(file) if file.is_file() else {}
        killed = status.get("state") == "running" and not locks.is_held(self._lock)
        return {**status, "state": "interrupted"} if killed else status

    def write_status(self, step: int, state: str, verdict: str | None, **more: Any) -> None:
        """Replace status.json."""
        with reporting(f"cannot write {self.path}/status.json", "checkpoints are intact"):
            write_json(self.path / "status.json", {"step": step, "state": state, "verdict": verdict, **more})

    def flush_lines(self) -> dict[str, int]:
        """Bring log.jsonl and validation.jsonl to the disk itself; return their sizes: log_bytes, validation_bytes."""
        with reporting(f"cannot write {self.log}", "checkpoints are intact"):
            files = (self.log, self.validation)
            there = [file for file in files if file.exists()]
            for file in (*there, self.path):
                disk.flush(file)
            return {f"{file.stem}_bytes": file.stat().st_size if file in there else 0 for file in files}

    def saved_log_bytes(self) -> int | None:
        """Bytes of log.jsonl at the last checkpoint: what comes after, a resume cuts off; None without a checkpoint."""
        last = self.checkpoint_steps()[-1:]
        size = read_json(self.checkpoint(last[0]) / "state.json").get("log_bytes") if last else None
        return size if isinstance(size, int) else None

    def cut_log(self, size: int) -> None:
        """Cut log.jsonl back to its size at a checkpoint; raises InputError if it has lost lines since."""
        there = self.log.stat().st_size if self.log.exists() else 0
        if there < size:
            raise InputError(
                f"{self.log} has {there} bytes and had {size} at the last checkpoint, allowed: the whole log; "
                "restore it from a copy"
            )
        if self.log.exists():
            with reporting(f"cannot write {self.log}"):
                disk.cut(self.log, size)

    def append(self, file: Path, line: dict[str, Any], *, begun: bool = False) -> None:
        """Append a line of JSON to one of the run's files, which has to be there if it was begun."""
        with reporting(f"cannot write {file}", "checkpoints are intact"):
            disk.append(file, (json.dumps(line) + "\n").encode(), begun=begun)

    def validations(self) -> list[dict[str, float]]:
        """The validation likelihoods taken so far: step and nats; raises InputError for a damaged file."""
        try:
            text = read_text(self.validation, disk.MAX_JSON_BYTES) if self.validation.is_file() else ""
            taken = map(loads, text[: text.rfind("\n") + 1].splitlines())
            return [{"step": int(line["step"]), "nats": float(line["nats"])} for line in taken]
        except (ValueError, KeyError, TypeError):
            raise InputError(
                f"{self.validation} is damaged, allowed: lines of step and nats; delete it, and the best step is lost"
            ) from None

    def cut_validations(self, step: int, size: int | None = None) -> None:
        """Forget the validation likelihoods taken after a step, where the file has `size` bytes if that is known."""
        if not self.validation.is_file():
            return
        with reporting(f"cannot write {self.validation}"):
            if size is not None and self.validation.stat().st_size >= size:
                disk.cut(self.validation, size)
            else:
                kept = [line for line in self.validations() if line["step"] <= step]
                disk.replace(self.validation, "".join(json.dumps(line) + "\n" for line in kept).encode())

    def best_step(self, until: float = math.inf) -> int | None:
        """Step of the best validation likelihood up to a step, the first of equals; None where none was taken."""
        taken = [line for line in self.validations() if line["step"] <= until]
        return int(max(taken, key=lambda line: line["nats"])["step"]) if taken else None

    def make_folder(self, name: str) -> Path:
        """Make a folder of the run where it is not there; a run that was removed is not begun anew."""
        os.stat(self.path / "config.json")
        disk.make_folder(self.path / name)
        return self.path / name

    def checkpoint(self, step: int) -> Path:
        """Folder of the checkpoint of a step."""
        return self.path / "checkpoints" / f"step-{step}"

    def checkpoint_steps(self) -> list[int]:
        """Steps of the checkpoints that are there, oldest first."""
        folder = self.path / "checkpoints"
        names = [entry.name for entry in folder.iterdir() if entry.is_dir()] if folder.is_dir() else []
        return sorted(int(found[1]) for name in names if (found := _CHECKPOINT.fullmatch(name)))

    @contextlib.contextmanager
    def writing_checkpoint(self, step: int, keep_every: int = 0) -> Iterator[Path]:
        """Yield an empty folder; on success checksum, flush and rename it into place, then drop older checkpoints.

        The last two stay, the best, and those of every `keep_every` steps. The folder appears whole or not at all.
        Raises InputError if writing fails; the last checkpoint then survives.
        """
        target = self.checkpoint(step)
        aside = target.with_name(f".writing-step-{step}")
        last = self.checkpoint_steps()[-1:]
        survivor = f"the checkpoint of step {last[0]} is intact" if last else "there was no checkpoint before it"
        with reporting(f"cannot write the checkpoint of step {step} in {self.path}", survivor):
            try:
                self.make_folder("checkpoints")
                disk.remove(aside)
                disk.make_folder(aside)
                yield aside
                checksums.write(aside)
                disk.flush(aside)
                if target.exists():
                    disk.rename(target, target.with_name(f".replaced-step-{step}"))
                disk.rename(aside, target)
                self._put_back()
            except BaseException:
                disk.remove(aside)
                with contextlib.suppress(OSError):
                    self._put_back()
                raise
        self._drop_old_checkpoints(keep_every)

    def _put_back(self) -> None:
        """Put back checkpoints that were about to be replaced, and remove those that were."""
        for replaced in (self.path / "checkpoints").glob(".replaced-step-*"):
            target = replaced.with_name(replaced.name.removeprefix(".replaced-"))
            if target.exists():
                disk.remove(replaced)
            else:
                disk.rename(replaced, target)

    def _drop(self, step: int) -> None:
        """Remove a checkpoint, all of it or nothing."""
        aside = self.checkpoint(step).with_name(f".writing-step-{step}")
        disk.remove(aside)
        disk.rename(self.checkpoint(step), aside)
        disk.remove(aside)

    def _drop_old_checkpoints(self, keep_every: int) -> None:
        steps = self.checkpoint_steps()
        best = {self.best_step(last) for last in steps[-KEPT_CHECKPOINTS:]}  # a rollback may make an older one the best
        for step in steps[:-KEPT_CHECKPOINTS]:
            if step and step not in best and not (keep_every and step % keep_every == 0):
                with contextlib.suppress(OSError):  # it may stay
                    self._drop(step)

    def drop_checkpoints_after(self, step: int) -> None:
        """Remove newer checkpoints than that of a step, and pictures; of each all or nothing, the newest first."""
        with reporting(f"cannot remove later checkpoints of {self.path}", f"the checkpoint of step {step} is intact"):
            for later in [other for other in reversed(self.checkpoint_steps()) if other > step]:
                self._drop(later)
            for file in (self.path / "samples").glob("step-*.png"):
                if (found := _CHECKPOINT.fullmatch(file.stem)) and int(found[1]) > step:
                    disk.remove_file(file)

    def verified_checkpoint(self, step: int | None = None) -> Path | None:
        """Return the folder of a checkpoint (the last by default) after checking its checksums; None if there is none.

        Raises InputError for a damaged one.
        """
        while True:
            steps = self.checkpoint_steps()
            try:
                return self._verified(step, steps)
            except InputError:  # of a checkpoint that a training process has dropped meanwhile, there is a newer one
                if step is not None or self.checkpoint_steps() == steps:
                    raise

    def _verified(self, step: int | None, steps: list[int]) -> Path | None:
        if step is not None and step not in steps:
            raise InputError(f"{self.path} has no checkpoint of step {step}, there are {steps}; name one of these")
        if not steps:
            return None
        folder = self.checkpoint(steps[-1] if step is None else step)
        wrong = checksums.damage(folder)
        if wrong:
            older = [other for other in steps if not checksums.damage(self.checkpoint(other))]
            fix = f"delete that folder to go on from step {older[-1]}" if older else "delete it and train again"
            raise InputError(f"checkpoint {folder} is damaged ({wrong}), allowed: files as they were written; {fix}")
        return folder

    @contextlib.contextmanager
    def locked(self) -> Iterator[None]:
        """Hold the run for this process; the system frees it when the process ends, however it ends."""
        require_no_links(self.path)
        with locks.held(self._lock, f"is training {self.path}"):
            with reporting(f"cannot tidy {self.path}"):
                self._put_back()
            for leftover in (self.path / "checkpoints").glob(".writing-*"):  # of a process that was killed
                disk.remove(leftover)
            yield

    @contextlib.contextmanager
    def begun(self, config: Config, facts: dict[str, Any]) -> Iterator[None]:
        """Make the run as `create` does and hold it, with no moment in between for another process."""
        self.require_free()
        require_no_links(self.path)
        with self._making():
            disk.make_folder(self.path)
        with locks.held(self._lock, f"is training {self.path}"):
            try:
                self.create(config, facts)
            except BaseException:
                with contextlib.suppress(OSError):
                    disk.remove_file(self._lock)
                raise
            yield


def list_runs(folder: Path) -> list[Run]:
    """List the runs directly inside a folder, oldest first."""
    if not folder.is_dir():
        return []
    runs = [run for entry in folder.iterdir() if (run := Run(entry)).exists()]
    return sorted(runs, key=lambda run: (_began(run), run.path.name))


def _began(run: Run) -> int:
    """Nanoseconds since 1970 when a run began; for one that does not tell, when its configuration last changed."""
    file = run.path / "config.json"
    with contextlib.suppress(InputError):
        began = read_json(file).get("began")
        if isinstance(began, int):
            return began
    with contextlib.suppress(OSError):
        return file.stat().st_ctime_ns
    return 0


def _next_moment(folder: Path) -> int:
    """Nanoseconds since 1970, but later than any run of a folder began, whatever became of the clock."""
    return max([time.time_ns(), *(_began(run) + 1 for run in list_runs(folder))])
