"""Let the disk refuse at every use that a training makes of it, and resume once it works again.

    python benchmarks/faults.py [--kinds plain averaged stages rollback] [--ways full broken short] [--at_most N]

At each write, flush, rename, opening for writing, making and removing in turn the system says that the disk is full
(ENOSPC), that it is broken (EIO), or takes a part of what is written and says then that it is full. From there on the
disk refuses every further write, as a full one does, or that one only. The run must end in one line that names the
file and the cause, or go on where the loss harms nobody; every command must read it, no checkpoint that was done may
be missing, and --resume must end with the bits of the run that was never refused. Exit status 1 if not.
"""

import argparse
import contextlib
import errno
import os
import random
import sys
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from unittest import mock

import torch
from powercut import CHANGES, noting_checkpoints
from small_game import KINDS, bits, complaints, play, told

from advnets.config import Config
from advnets.errors import InputError
from advnets.runs import Run

WAYS = {"full": errno.ENOSPC, "broken": errno.EIO, "short": errno.ENOSPC}
LASTING = {True: "from there on", False: "once"}


class Refusal:
    """Counts uses of a folder's disk, and refuses from one on, or one only."""

    def __init__(self, root: Path, at: int, way: str, lasting: bool) -> None:
        self.root, self.at, self.way, self.lasting = str(root), at, way, lasting
        self.uses, self.refused = 0, ""
        self.files: dict[int, str] = {}

    def due(self, what: str, name: str) -> bool:
        """Count a use, and tell whether it is refused."""
        self.uses += 1
        refused = self.uses == self.at or (self.lasting and self.uses > self.at)
        if refused and not self.refused:
            self.refused = f"{what} {os.path.relpath(name, self.root)}"
        return refused

    def error(self, name: str | None = None) -> OSError:
        number = WAYS[self.way]
        return OSError(number, os.strerror(number), *([name] if name else ()))


@contextlib.contextmanager
def refusing(root: Path, at: int, way: str, lasting: bool) -> Iterator[Refusal]:
    """Refuse a use of the disk in a folder, inside the call, as the system would."""
    refusal = Refusal(root, at, way, lasting)
    real = {name: getattr(os, name) for name in ("open", "write", "fsync", "close", *CHANGES)}

    def opening(path: Any, flags: int, *rest: Any, **more: Any) -> int:
        name = os.path.abspath(os.fsdecode(path)) if "dir_fd" not in more else ""
        ours = name.startswith(f"{refusal.root}/")
        new = flags & os.O_CREAT and not os.path.lexists(name)
        if ours and new and refusal.due("open", name):
            raise refusal.error(name)
        descriptor: int = real["open"](path, flags, *rest, **more)
        if ours:
            refusal.files[descriptor] = name
        return descriptor

    def writing(descriptor: int, content: Any) -> int:
        name = refusal.files.get(descriptor)
        if name and refusal.due("write", name):
            if way != "short" or refusal.uses > at or len(content) < 2:
                raise refusal.error()
            return int(real["write"](descriptor, content[: len(content) // 2]))  # the next one is refused
        if name and way == "short" and refusal.uses == at + 1:
            raise refusal.error()
        return int(real["write"](descriptor, content))

    def flushing(descriptor: int) -> None:
        name = refusal.files.get(descriptor)
        if name and refusal.due("flush", name):
            raise refusal.error()

    def closing(descriptor: int) -> None:
        name = refusal.files.pop(descriptor, None)
        real["close"](descriptor)
        if name and os.path.isfile(name) and refusal.due("close", name):
            raise refusal.error()

    def change(kind: str) -> Callable[..., Any]:
        def call(path: Any, *rest: Any, **more: Any) -> Any:
            name = os.path.abspath(os.fsdecode(path)) if more.get("dir_fd") is None else ""
            if name.startswith(f"{refusal.root}/") and refusal.due(kind, name):
                raise refusal.error(name)
            return real[kind](path, *rest, **more)

        return call

    patches = {"open": opening, "write": writing, "fsync": flushing, "close": closing}
    with contextlib.ExitStack() as stack:
        for name, function in {**patches, **{kind: change(kind) for kind in CHANGES}}.items():
            stack.enter_context(mock.patch.object(os, name, function))
        yield refusal


def faults(config: Config, base: Path, at: int, way: str, lasting: bool, whole: dict[str, bytes]) -> Iterator[str]:
    """Say what is wrong with a run that was refused, and with going on from it."""
    run, notes = Run(base / "run"), []
    with noting_checkpoints(notes), refusing(base, at, way, lasting) as refusal:
        try:
            state, said = play(config, run), None
        except InputError as error:
            state, said = "refused", str(error)
        except OSError as error:
            state, said = "refused", f"{error} (no InputError)" if error.filename is None else str(error)
    where = f"{refusal.refused} ({way} {LASTING[lasting]})"
    if said is not None:
        cause = os.strerror(WAYS[way])
        if cause not in said or str(run.path) not in said or "\n" in said:
            yield f"{where}: not one line with file and cause: {said}"
    done = -1
    for kind, step in notes:
        done = step if kind == "done" else min(done, step)
    if [-1, *run.checkpoint_steps()][-1] < done:
        yield f"{where}: the checkpoint of step {done} is lost"
    if run.exists():
        yield from (f"{where}: {complaint}" for complaint in complaints(run))
    try:
        state = play(config, run)
        now = bits(run)
        wrong = sorted(name for name in whole if now.get(name) != whole[name])
        for step in run.checkpoint_steps():
            run.verified_checkpoint(step)
        if wrong:
            yield f"{where}: {state} with other bits in {', '.join(wrong)}"
    except (InputError, OSError) as error:
        yield f"{where}: cannot go on: {error}"


def tried(kind: str, ways: list[str], draw: random.Random, at_most: int | None = None) -> tuple[int, int, list[str]]:
    """Return how often a training uses the disk, how many refusals were tried, and what was wrong after."""
    config, wrong = KINDS[kind], []
    with tempfile.TemporaryDirectory() as folder, mock.patch.object(os, "fsync", lambda descriptor: None):
        base = Path(folder).resolve()
        whole = Run(base / "whole" / "run")
        (base / "whole").mkdir()
        with refusing(base / "whole", 0, "full", False) as count:
            play(config, whole)
        expected = bits(whole)
        cases = [
            (at, way, lasting)
            for at in range(1, count.uses + 1)
            for way in ways
            for lasting in LASTING
            if not (way == "short" and lasting)
        ]
        if at_most is not None and len(cases) > at_most:
            cases = draw.sample(cases, at_most)
        for number, case in enumerate(cases):
            (base / str(number)).mkdir()
            wrong += [f"{kind}, use {case[0]}, {what}" for what in faults(config, base / str(number), *case, expected)]
    return count.uses, len(cases), wrong


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--kinds", nargs="+", choices=KINDS, default=list(KINDS))
    parser.add_argument("--ways", nargs="+", choices=WAYS, default=list(WAYS))
    parser.add_argument("--at_most", type=int, help="refusals of each kind, drawn from all")
    parser.add_argument("--seed", type=int, default=0, help="of those that are drawn")
    options = parser.parse_args()
    torch.set_num_threads(1)
    failed = False
    for kind in options.kinds:
        uses, cases, wrong = tried(kind, options.ways, random.Random(options.seed), options.at_most)
        failed |= told(f"{kind}: {uses} uses of the disk, {cases} refusals", wrong)
    return int(failed)


if __name__ == "__main__":
    sys.exit(main())
