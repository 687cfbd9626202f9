"""Cut the power of a training at every use of the disk, and resume from what a disk may then hold.

    python benchmarks/powercut.py [--samples 8] [--kinds plain averaged stages rollback] [--seed 0] [--at_most N]

A small training is recorded: every write, flush, rename, making and removing that it asks the system for. A power cut
comes after each of these in turn. What was flushed is then there. Of what was not, any part may be: each write of a
file whole, cut short, or zeros in its place; each new, changed or removed name of a folder or not; in any order. Of
each cut five states are tried that are extremes (all, nothing, names without contents, contents without names, contents
cut short) and `--samples` that are drawn. In each, every command that reads the run must work, no checkpoint that was
done may be missing, and `--resume` must end with the bits of the run that was never cut: checkpoints, log, scores,
pictures. Exit status 1 if not.

Not modelled: disks that lie about a flush, damage to what had been flushed, and file systems that tear a rename.
"""

import argparse
import contextlib
import hashlib
import os
import random
import shutil
import sys
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from unittest import mock

import torch
from small_game import KINDS, bits, complaints, play, told

from advnets.config import Config
from advnets.errors import InputError
from advnets.runs import Run

Op = tuple[Any, ...]
Names = dict[str, "Folder | File"]


@dataclass(eq=False)
class File:
    """A file: what is on the disk for sure, and what was asked for since its last flush."""

    sure: bytes = b""
    asked: list[Op] = field(default_factory=list)

    def flush(self) -> None:
        for op in self.asked:
            self.sure = changed(self.sure, op)
        self.asked.clear()


@dataclass(eq=False)
class Folder:
    """A folder: the names on the disk for sure, those asked for since, and those that programs see."""

    sure: Names = field(default_factory=dict)
    asked: list[dict[str, "Folder | File | None"]] = field(default_factory=list)
    seen: Names = field(default_factory=dict)

    def ask(self, change: dict[str, "Folder | File | None"]) -> None:
        self.asked.append(change)
        _rename(self.seen, change)

    def flush(self) -> None:
        for change in self.asked:
            _rename(self.sure, change)
        self.asked.clear()


def _rename(names: Names, change: dict[str, "Folder | File | None"]) -> None:
    for name, node in change.items():
        if node is None:
            names.pop(name, None)
        else:
            names[name] = node


def changed(content: bytes, op: Op) -> bytes:
    """Apply a write or a cut; what lies between the end and a later write is zeros."""
    if op[0] == "cut":
        return content[: op[1]].ljust(op[1], b"\0")
    return content[: op[1]].ljust(op[1], b"\0") + op[2] + content[op[1] + len(op[2]) :]


@dataclass
class Disk:
    """A file system of which nothing is sure that was not flushed."""

    top: Folder = field(default_factory=Folder)

    def find(self, path: str) -> "Folder | File":
        node: Folder | File = self.top
        for part in Path(path).parts:
            assert isinstance(node, Folder)
            node = node.seen[part]
        return node

    def do(self, op: Op) -> None:
        kind, path = op[0], op[1]
        if kind in ("write", "cut", "flush"):
            node = self.find(path)
            if kind == "flush":
                node.flush()
            else:
                node.asked.append((kind, *op[2:]))
            return
        folder, name = self.find(str(Path(path).parent)), Path(path).name
        assert isinstance(folder, Folder)
        match kind:
            case "create":
                folder.ask({name: File()})
            case "make":
                folder.ask({name: Folder()})
            case "remove":
                folder.ask({name: None})
            case "rename":
                assert Path(op[2]).parent == Path(path).parent, "only renames within a folder are modelled"
                folder.ask({Path(op[2]).name: folder.seen[name], name: None})

    def after(self, names: Callable[[], bool], contents: Callable[[], float]) -> dict[str, bytes | None]:
        """The state after a power cut: `names` says of each change whether it is there, `contents` how much of it."""
        state: dict[str, bytes | None] = {}
        held: dict[int, Any] = {}

        def visit(node: "Folder | File", path: str) -> None:
            if isinstance(node, File):
                if id(node) not in held:
                    held[id(node)] = _after(node, contents)
                state[path] = held[id(node)]
                return
            state[path] = None
            there = dict(node.sure)
            for change in node.asked:
                if names():
                    _rename(there, change)
            for name, inner in sorted(there.items()):
                visit(inner, f"{path}/{name}")

        visit(self.top, ".")
        return state


def _after(file: File, contents: Callable[[], float]) -> bytes:
    content = file.sure
    for op in file.asked:
        share = contents()
        if op[0] == "cut":
            content = changed(content, op) if share >= 0.5 else content
        elif share > 0:
            content = changed(content, (op[0], op[1], op[2][: max(1, round(share * len(op[2])))]))
        elif share < 0:  # the size is there, what was written is not
            content = changed(content, (op[0], op[1], b"\0" * len(op[2])))
    return content


@contextlib.contextmanager
def recording(root: Path) -> Iterator[list[Op]]:
    """Yield the list of what is asked of the system in a folder, as it grows."""
    ops: list[Op] = []
    where: dict[int, str] = {}
    real = {name: getattr(os, name) for name in (*CHANGES, "open", "write", "fsync", "close")}

    def inside(path: Any, dir_fd: int | None = None) -> str | None:
        if dir_fd is not None:
            return f"{where[dir_fd]}/{os.fsdecode(path)}" if dir_fd in where else None
        text = os.path.abspath(os.fsdecode(path))
        return os.path.relpath(text, root) if text == str(root) or text.startswith(f"{root}/") else None

    def opening(path: Any, flags: int, *rest: Any, dir_fd: int | None = None, **more: Any) -> int:
        name = inside(path, dir_fd)
        new = name is not None and flags & os.O_CREAT and not os.path.lexists(root / name)
        descriptor: int = real["open"](path, flags, *rest, dir_fd=dir_fd, **more)
        if name is not None:
            where[descriptor] = name
            if new:
                ops.append(("create", name))
            elif flags & os.O_TRUNC:
                ops.append(("cut", name, 0))
        return descriptor

    def writing(descriptor: int, content: Any) -> int:
        end = os.fstat(descriptor).st_size
        count: int = real["write"](descriptor, content)
        if descriptor in where:
            ops.append(("write", where[descriptor], end, bytes(content)[:count]))
        return count

    def flushing(descriptor: int) -> None:
        if descriptor in where:
            ops.append(("flush", where[descriptor]))

    def closing(descriptor: int) -> None:
        where.pop(descriptor, None)
        real["close"](descriptor)

    def change(name: str) -> Callable[..., Any]:
        def call(path: Any, *rest: Any, **more: Any) -> Any:
            result = real[name](path, *rest, **more)
            found = inside(path, more.get("dir_fd"))
            if found is not None:
                other = [inside(rest[0])] if name in ("rename", "replace") else [rest[0]] if name == "truncate" else []
                ops.append((CHANGES[name], found, *other))
            return result

        return call

    patches = {"open": opening, "write": writing, "fsync": flushing, "close": closing}
    with contextlib.ExitStack() as stack:
        for name, function in {**patches, **{name: change(name) for name in CHANGES}}.items():
            stack.enter_context(mock.patch.object(os, name, function))
        stack.enter_context(noting_checkpoints(ops))
        yield ops


CHANGES = {
    "rename": "rename",
    "replace": "rename",
    "unlink": "remove",
    "remove": "remove",
    "rmdir": "remove",
    "mkdir": "make",
    "truncate": "cut",
}


@contextlib.contextmanager
def noting_checkpoints(ops: list[Op]) -> Iterator[None]:
    """Note in the record when a checkpoint is done, and when later ones are given up."""
    save, drop = Run.writing_checkpoint, Run.drop_checkpoints_after

    @contextlib.contextmanager
    def saving(run: Run, step: int, *rest: Any) -> Iterator[Path]:
        with save(run, step, *rest) as folder:
            yield folder
        ops.append(("done", step))

    def dropping(run: Run, step: int) -> None:
        ops.append(("given up", step))
        drop(run, step)

    with (
        mock.patch.object(Run, "writing_checkpoint", saving),
        mock.patch.object(Run, "drop_checkpoints_after", dropping),
    ):
        yield


def recorded(config: Config, root: Path) -> list[Op]:
    """Record a training that is stopped once and gone on with."""
    with recording(root) as ops:
        play(config, Run(root / "run"), stop_after=config.train.steps * 7 // 12)
        play(config, Run(root / "run"))
    return ops


def cuts(ops: list[Op], samples: int, draw: random.Random) -> Iterator[tuple[int, int, dict[str, bytes | None]]]:
    """Yield the number of a cut, the step of the last checkpoint done by then, and a state that the disk may be in."""
    disk, done = Disk(), -1
    for number, op in enumerate([("start",), *ops]):
        match op[0]:
            case "start":
                pass
            case "done":
                done = op[1]
            case "given up":
                done = min(done, op[1])
            case _:
                disk.do(op)
        for names, contents in _extremes:
            yield number, done, disk.after(lambda there=names: there, lambda share=contents: share)
        for _ in range(samples):
            likely = draw.choice((0.2, 0.5, 0.8, 0.95))
            yield (
                number,
                done,
                disk.after(
                    lambda likely=likely: draw.random() < likely,
                    lambda likely=likely: 1.0 if draw.random() < likely else draw.choice((0, -1, draw.random())),
                ),
            )


_extremes = ((True, 1.0), (False, 0.0), (True, 0.0), (False, 1.0), (True, 0.5), (True, -1.0))


def lay_out(state: dict[str, bytes | None], root: Path) -> None:
    shutil.rmtree(root, ignore_errors=True)
    for name, content in state.items():
        if content is None:
            (root / name).mkdir(parents=True)
        else:
            (root / name).write_bytes(content)


def faults(config: Config, root: Path, done: int, whole: dict[str, bytes]) -> Iterator[str]:
    """Say what is wrong with a state, from a folder that holds it, and go on from it."""
    run = Run(root / "run")
    if run.exists():
        yield from complaints(run)
    last = [-1, *run.checkpoint_steps()][-1]
    if last < done:
        yield f"the checkpoint of step {done} is lost: {run.checkpoint_steps()}"
    try:
        state = play(config, run)
    except (InputError, OSError) as error:
        yield f"cannot go on: {error}"
        return
    now = bits(run)
    wrong = sorted(name for name in whole if now.get(name) != whole[name])  # there may be more, as of the stop
    if wrong:
        yield f"{state} with other bits in {', '.join(wrong)}"
    for step in run.checkpoint_steps():
        try:
            run.verified_checkpoint(step)
        except InputError as error:
            yield f"left behind: {error}"


def tried(kind: str, samples: int, draw: random.Random, at_most: int | None = None) -> tuple[int, int, list[str]]:
    """Return how often the power was cut, in how many different states, and what was wrong after."""
    config, seen, wrong = KINDS[kind], set(), []
    with tempfile.TemporaryDirectory() as folder, mock.patch.object(os, "fsync", lambda descriptor: None):
        base = Path(folder).resolve()
        whole = Run(base / "whole" / "run")
        play(config, whole)
        (base / "cut").mkdir()
        ops = recorded(config, base / "cut")
        states = {}
        for number, done, state in cuts(ops, samples, draw):
            key = hashlib.sha256(repr((done, sorted(state.items(), key=lambda item: item[0]))).encode()).digest()
            if key not in seen:
                seen.add(key)
                states[len(states)] = (number, done, state)
        chosen = list(states.values())
        if at_most is not None and len(chosen) > at_most:
            chosen = draw.sample(chosen, at_most)
        for number, done, state in chosen:
            lay_out(state, base / "cut")
            found = list(faults(config, base / "cut", done, bits(whole)))
            wrong += [f"{kind}, cut {number} after {ops[number - 1][:2]}: {what}" for what in found]
    return len(ops), len(chosen), wrong


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--samples", type=int, default=8, help="states drawn for each cut, beside the extremes")
    parser.add_argument("--kinds", nargs="+", choices=KINDS, default=list(KINDS))
    parser.add_argument("--seed", type=int, default=0, help="of the states that are drawn")
    parser.add_argument("--at_most", type=int, help="states of each kind, drawn from all")
    options = parser.parse_args()
    torch.set_num_threads(1)
    failed = False
    for kind in options.kinds:
        ops, states, wrong = tried(kind, options.samples, random.Random(options.seed), options.at_most)
        failed |= told(f"{kind}: {ops} uses of the disk, {states} states after a power cut", wrong)
    return int(failed)


if __name__ == "__main__":
    sys.exit(main())
