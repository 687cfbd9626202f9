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
import fcntl
import hashlib
import json
import math
import os
import re
import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

from advnets.config import FREE_ON_RESUME, Config, check, flatten, from_json, spell, to_json
from advnets.errors import InputError
from advnets.untrusted import loads, read_text, require_no_links

FORMAT = 1
KEPT_CHECKPOINTS = 2
_CHECKPOINT = re.compile(r"step-(0|[1-9]\d*)")
_CHECKSUMS, _MAX_SUMS = "SHA256SUMS", 2**16
_MAX_JSON_BYTES = 64 * 2**20


@dataclass(frozen=True)
class Run:
    """One run folder."""

    path: Path

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

    def exists(self) -> bool:
        """Tell whether the folder holds a run."""
        return (self.path / "config.json").is_file()

    def require_free(self) -> None:
        """Raise InputError if the folder already holds anything."""
        if self.path.exists() and (not self.path.is_dir() or any(self.path.iterdir())):
            fix = "go on with that run by --resume, or name" if self.exists() else "it holds no run: name"
            raise InputError(
                f"{self.path} exists already, allowed: a new or empty folder; {fix} another folder with --out"
            )

    def create(self, config: Config, facts: dict[str, Any]) -> None:
        """Make the folder and write config.json: the configuration and `facts` (data, versions, parameter counts).

        Raises InputError if the folder already holds anything.
        """
        self.require_free()
        with reporting(f"cannot make the run folder {self.path}"):
            self.path.mkdir(parents=True, exist_ok=True)
            write_json(self.path / "config.json", {"format": FORMAT, "config": to_json(config), **facts})

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
            both = (
                f"{name} is {spell(before.get(name))} in the run and {spell(after.get(name))} here" for name in fixed
            )
            raise InputError(
                f"{', '.join(both)}, allowed to change on --resume: {', '.join(FREE_ON_RESUME)}; leave the rest out, "
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
        return {**status, "state": "interrupted"} if status.get("state") == "running" and not self._held() else status

    def _held(self) -> bool:
        """Tell whether a living process trains this run."""
        try:
            with (self.path / ".lock").open() as file:
                fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
        except BlockingIOError:
            return True
        except OSError:
            return False
        return False

    def write_status(self, step: int, state: str, verdict: str | None, **more: Any) -> None:
        """Replace status.json."""
        with reporting(f"cannot write {self.path}/status.json", "the last checkpoint is intact"):
            write_json(self.path / "status.json", {"step": step, "state": state, "verdict": verdict, **more})

    def flush_log(self) -> int:
        """Bring log.jsonl to the disk itself and return its size in bytes."""
        if not self.log.exists():
            return 0
        with reporting(f"cannot write {self.log}", "the last checkpoint is intact"):
            _flush(self.log)
        return self.log.stat().st_size

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
                os.truncate(self.log, size)

    def append(self, file: Path, line: dict[str, Any]) -> None:
        """Append a line of JSON to one of the run's files."""
        with reporting(f"cannot write {file}", "the last checkpoint is intact"), file.open("a") as stream:
            stream.write(json.dumps(line) + "\n")

    def validations(self) -> list[dict[str, float]]:
        """The validation likelihoods taken so far: step and nats; raises InputError for a damaged file."""
        try:
            text = read_text(self.validation, _MAX_JSON_BYTES) if self.validation.is_file() else ""
            taken = map(loads, text.splitlines())
            return [{"step": int(line["step"]), "nats": float(line["nats"])} for line in taken]
        except (ValueError, KeyError, TypeError):
            raise InputError(
                f"{self.validation} is damaged, allowed: lines of step and nats; delete it, and the best step is lost"
            ) from None

    def cut_validations(self, step: int) -> None:
        """Forget the validation likelihoods taken after a step."""
        if self.validation.is_file():
            kept = [line for line in self.validations() if line["step"] <= step]
            with reporting(f"cannot write {self.validation}"):
                aside = self.validation.with_name(".validation.jsonl.writing")
                aside.write_text("".join(json.dumps(line) + "\n" for line in kept))
                aside.replace(self.validation)

    def best_step(self, until: float = math.inf) -> int | None:
        """Step of the best validation likelihood up to a step, the first of equals; None where none was taken."""
        taken = [line for line in self.validations() if line["step"] <= until]
        return int(max(taken, key=lambda line: line["nats"])["step"]) if taken else None

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
                shutil.rmtree(aside, ignore_errors=True)
                aside.mkdir(parents=True)
                yield aside
                names = sorted(file.name for file in aside.iterdir())
                sums = "".join(f"{_sha256(aside / name)}  {name}\n" for name in names)
                (aside / _CHECKSUMS).write_text(sums)
                for name in [*names, _CHECKSUMS]:
                    _flush(aside / name)
                _flush(aside)
                shutil.rmtree(target, ignore_errors=True)
                aside.rename(target)
                _flush(target.parent)
            except BaseException:
                shutil.rmtree(aside, ignore_errors=True)
                raise
        self._drop_old_checkpoints(keep_every)

    def _drop_old_checkpoints(self, keep_every: int) -> None:
        steps = self.checkpoint_steps()
        best = {self.best_step(last) for last in steps[-KEPT_CHECKPOINTS:]}  # a rollback may make an older one the best
        for step in steps[:-KEPT_CHECKPOINTS]:
            if step and step not in best and not (keep_every and step % keep_every == 0):
                shutil.rmtree(self.checkpoint(step), ignore_errors=True)

    def drop_checkpoints_after(self, step: int) -> None:
        """Remove newer checkpoints than that of a step, and pictures; of each all or nothing, the newest first."""
        with reporting(f"cannot remove later checkpoints of {self.path}", f"the checkpoint of step {step} is intact"):
            for later in [other for other in reversed(self.checkpoint_steps()) if other > step]:
                aside = self.checkpoint(later).with_name(f".writing-step-{later}")
                self.checkpoint(later).rename(aside)
                shutil.rmtree(aside, ignore_errors=True)
            for file in (self.path / "samples").glob("step-*.png"):
                if (found := _CHECKPOINT.fullmatch(file.stem)) and int(found[1]) > step:
                    file.unlink()

    def verified_checkpoint(self, step: int | None = None) -> Path | None:
        """Return the folder of a checkpoint (the last by default) after checking its checksums; None if there is none.

        Raises InputError for a damaged one.
        """
        steps = self.checkpoint_steps()
        if step is not None and step not in steps:
            raise InputError(f"{self.path} has no checkpoint of step {step}, there are {steps}; name one of these")
        if not steps:
            return None
        folder = self.checkpoint(steps[-1] if step is None else step)
        wrong = _damage(folder)
        if wrong:
            older = [other for other in steps if not _damage(self.checkpoint(other))]
            fix = f"delete that folder to go on from step {older[-1]}" if older else "delete it and train again"
            raise InputError(f"checkpoint {folder} is damaged ({wrong}), allowed: files as they were written; {fix}")
        return folder

    @contextlib.contextmanager
    def locked(self) -> Iterator[None]:
        """Hold the run for this process; the system frees it when the process ends, however it ends."""
        require_no_links(self.path)
        with contextlib.ExitStack() as stack:
            with reporting(f"cannot lock the run {self.path}"):
                file = stack.enter_context((self.path / ".lock").open("w"))
                try:
                    fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
                except BlockingIOError:
                    raise InputError(
                        f"another process is training {self.path}, allowed: one at a time; wait for it or stop it"
                    ) from None
            for leftover in (self.path / "checkpoints").glob(".writing-*"):  # of a process that was killed
                shutil.rmtree(leftover, ignore_errors=True)
            yield


def list_runs(folder: Path) -> list[Run]:
    """List the runs directly inside a folder, oldest first."""
    if not folder.is_dir():
        return []
    runs = [run for entry in folder.iterdir() if (run := Run(entry)).exists()]
    return sorted(runs, key=lambda run: ((run.path / "config.json").stat().st_ctime_ns, run.path.name))


def next_folder(folder: Path, name: str) -> Path:
    """Return the first free folder/name-N."""
    number = 1
    while (folder / f"{name}-{number}").exists():
        number += 1
    return folder / f"{name}-{number}"


@contextlib.contextmanager
def reserved(folder: Path, name: str) -> Iterator[Path]:
    """Make the first free folder/name-N, which no other process then gets; remove what stays empty."""
    with reporting(f"cannot make a run folder in {folder}"):
        path = next_folder(folder, name)
        while True:
            try:
                path.mkdir(parents=True)
                break
            except FileExistsError:
                path = next_folder(folder, name)
    try:
        yield path
    finally:
        with contextlib.suppress(OSError):  # not empty
            path.rmdir()
            folder.rmdir()


def read_json(file: Path) -> dict[str, Any]:
    """Read a JSON object; raises InputError for anything else."""
    try:
        content = loads(read_text(file, _MAX_JSON_BYTES))
    except (OSError, ValueError) as error:
        allowed = "the JSON that advnets wrote; restore it from a copy"
        raise InputError(f"{file} cannot be read ({_reason(error)}), allowed: {allowed}") from None
    if not isinstance(content, dict):
        raise InputError(f"{file} holds {type(content).__name__}, allowed: a JSON object; restore it from a copy")
    return content


def write_json(file: Path, content: dict[str, Any]) -> None:
    """Write a JSON object aside, then rename it into place."""
    aside = file.with_name(f".{file.name}.writing")
    aside.unlink(missing_ok=True)  # a link there would lead elsewhere
    with aside.open("x") as stream:
        stream.write(json.dumps(content, indent=2, allow_nan=False) + "\n")
        sync(stream)
    aside.replace(file)


def sync(stream: IO[Any]) -> None:
    """Bring what was written to the disk itself."""
    stream.flush()
    os.fsync(stream.fileno())


@contextlib.contextmanager
def reporting(what: str, survivor: str = "nothing was lost") -> Iterator[None]:
    """Turn a failed system call into one line for the user."""
    try:
        yield
    except OSError as error:
        raise InputError(
            f"{what}: {_reason(error)}; {survivor}; free space or fix permissions, then go on with --resume"
        ) from error


def _reason(error: Exception) -> str:
    return getattr(error, "strerror", None) or str(error) or type(error).__name__


def _sha256(file: Path) -> str:
    with file.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def _flush(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _damage(folder: Path) -> str | None:
    """Say what is wrong with a checkpoint folder, if anything."""
    try:
        sums = dict(line.partition("  ")[::-2] for line in read_text(folder / _CHECKSUMS, _MAX_SUMS).splitlines())
        for name, digest in sums.items():
            if Path(name).name != name or (folder / name).is_symlink() or not (folder / name).is_file():
                return f"{_CHECKSUMS} names {name!r}, which is no file of this folder"
            if _sha256(folder / name) != digest:
                return f"{name} has another checksum"
        if more := {one.name for one in folder.iterdir() if not one.name.startswith(".")} - {*sums, _CHECKSUMS}:
            return f"{more.pop()} has no checksum"
    except (OSError, ValueError) as error:
        return _reason(error)
    return None if sums else f"{_CHECKSUMS} is empty"
