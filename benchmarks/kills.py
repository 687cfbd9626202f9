"""Kill a training again and again, whatever it is doing, and resume, and see whether a bit is lost.

    python benchmarks/kills.py [--kills 1000] [--recipe digits] [--hidden 256 256] [--every 5] [--longest .5]

Each child resumes the run and is ended in one of three ways, in turns: killed after a random time of up to --longest
seconds of the processor, at any instruction; killed before a random one of its first --files uses of the file system;
or refused that use, as by a full disk or a broken one, which must end in one clear line. After each, everything that a
user may do with the folder must work: its checkpoint, log, status and verdict are read. At the end the run must have
the bits of one that was never stopped: weights, optimisers, random states, log. Exit status 1 if not.
"""

import argparse
import dataclasses
import errno
import functools
import os
import random
import signal
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import torch

from advnets import doctor, history, recipes
from advnets.config import Config
from advnets.data import load
from advnets.data.dataset import DataSet
from advnets.errors import InputError
from advnets.runs import Run
from advnets.training import train

FILES = {"open", "os.rename", "os.remove", "os.rmdir", "os.mkdir", "os.truncate", "os.listdir", "os.scandir"}
REFUSED = 7  # exit status of a child that was refused a file and said so


def settings(options: argparse.Namespace) -> Config:
    base = recipes.get(options.recipe)
    every = {"checkpoint_every": options.every, "log_every": options.every + 2, "validate_every": options.every + 1}
    return dataclasses.replace(
        base,
        generator=dataclasses.replace(base.generator, hidden=tuple(options.hidden)),
        train=dataclasses.replace(
            base.train, **every, steps=10**6, sample_every=3 * options.every, on_bad=options.on_bad
        ),
    )


def advance(config: Config, data: DataSet, run: Run) -> None:
    train(config, data, run, resume=run.exists(), validate=lambda net: float(next(net.parameters()).detach().sum()))


def after(seconds: float) -> None:
    """Let the system end this process, at once and whatever it does, when it has used so much of the processor."""
    signal.signal(signal.SIGPROF, signal.SIG_DFL)
    signal.setitimer(signal.ITIMER_PROF, seconds)


def before(uses: int, act: Callable[[object], None]) -> None:
    """Do something before one of the next uses of the file system."""
    left = iter(range(uses - 1, -(10**9), -1))

    def hook(event: str, arguments: tuple[object, ...]) -> None:
        if event in FILES and next(left) == 0:
            act(arguments[0])

    sys.addaudithook(hook)


def either(uses: int, act: Callable[[object], None], seconds: float) -> None:
    """Do something before a use of the file system, and end in time where that does no harm."""
    after(seconds)
    before(uses, act)


def kill(file: object) -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def full(file: object) -> None:
    raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), file)


def broken(file: object) -> None:
    raise OSError(errno.EIO, os.strerror(errno.EIO), file)


def ended(config: Config, data: DataSet, run: Run, arm: Callable[[], None]) -> bool:
    """Let a child train until it is killed or refused a file; tell whether it ended in one of these ways."""
    child = os.fork()
    if child == 0:
        arm()
        try:
            advance(config, data, run)
        except (InputError, OSError) as error:
            if isinstance(error, InputError) or error.filename:  # what the command line says in one line
                os._exit(REFUSED)
        except BaseException as error:
            print(f"a resumed run failed: {type(error).__name__}: {error}", flush=True)
        os._exit(1)
    status = os.waitpid(child, 0)[1]
    return os.WIFSIGNALED(status) or os.WEXITSTATUS(status) == REFUSED


def arms(options: argparse.Namespace, moments: random.Random) -> Iterator[Callable[[], None]]:
    """Yield ways to end a child, in turns."""
    while True:
        yield functools.partial(after, moments.uniform(0.001, options.longest))
        for act in (kill, full, broken):
            yield functools.partial(either, moments.randint(1, options.files), act, 2 * options.longest)


def readable(run: Run) -> None:
    """Do with a folder what users do; raises where it cannot be read."""
    if run.exists():
        run.config(), run.status(), run.verified_checkpoint(), run.validations()
        doctor.judge(history.read_log(run), run.config().train)


def bits(run: Run) -> dict[str, bytes]:
    folder = run.checkpoint(run.checkpoint_steps()[-1])
    files = {file.name: file.read_bytes() for file in folder.iterdir()}
    return files | {"log": run.log.read_bytes(), "validation": run.validation.read_bytes()}


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--kills", type=int, default=1000)
    parser.add_argument("--recipe", default="digits")
    parser.add_argument("--hidden", type=int, nargs="+", default=[256, 256])
    parser.add_argument("--every", type=int, default=5)
    parser.add_argument("--longest", type=float, default=0.5)
    parser.add_argument("--files", type=int, default=400)
    parser.add_argument("--on_bad", default="warn")
    parser.add_argument("--seed", type=int, default=time.time_ns() % 2**32, help="of the moments of the kills")
    options = parser.parse_args()
    torch.set_num_threads(1)
    config, moments = settings(options), random.Random(options.seed)
    data = load(config.data)
    with tempfile.TemporaryDirectory() as folder:
        parts, whole = Run(Path(folder) / "parts"), Run(Path(folder) / "whole")
        resumed, ways = 0, arms(options, moments)
        for count in range(options.kills):
            last = parts.checkpoint_steps()[-1:]
            if not ended(config, data, parts, next(ways)):
                print(f"kill {count + 1} (--seed {options.seed}): the run ended by itself")
                return 1
            readable(parts)
            resumed += bool(last)
            if parts.checkpoint_steps()[-1:] < last:
                print(f"kill {count + 1} (--seed {options.seed}): the checkpoint of step {last[0]} is lost")
                return 1
        steps = [0, *parts.checkpoint_steps()][-1] + 2 * options.every + 1
        ending = dataclasses.replace(config, train=dataclasses.replace(config.train, steps=steps))
        advance(ending, data, parts)
        advance(ending, data, whole)
        same = bits(parts) == bits(whole)
    print(
        f"{options.kills} kills, {resumed} of them after a checkpoint, {steps} steps (--seed {options.seed}): "
        f"{'every bit' if same else 'NOT the bits'} of the run that was never stopped"
    )
    return int(not same)


if __name__ == "__main__":
    sys.exit(main())
