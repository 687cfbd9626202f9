"""Processes that tests start, forked from one that has imported the large libraries, which takes seconds each time.

They import advnets themselves, as a new process does.
"""

import multiprocessing
import os
import runpy
import socket
import sys
from collections.abc import Callable
from multiprocessing.process import BaseProcess
from pathlib import Path

_SERVER = multiprocessing.get_context("forkserver")
LIBRARIES = ["lightning_fabric", "torchmetrics", "sklearn.neighbors", "sklearn.datasets", "matplotlib.figure"]
_SERVER.set_forkserver_preload([*LIBRARIES, "safetensors.torch", "tyro", "rich.progress"])


def started(function: Callable[..., object], *arguments: object) -> BaseProcess:
    """Start a function of this module, with the environment of this process; its process is killed with this one."""
    process = _SERVER.Process(target=_prepared, args=(dict(os.environ), function, arguments), daemon=True)
    process.start()
    return process


def command(words: list[str], folder: Path, out: Path, err: Path, **environment: str) -> BaseProcess:
    """Start `python -m advnets WORDS` in a folder, with what it says in two files."""
    return started(_command, words, folder, out, err, environment)


def torchrun(words: list[str], folder: Path, count: int, **environment: str) -> list[BaseProcess]:
    """Start `count` processes of a command as torchrun does; what number n says is in `out-n` and `err-n`."""
    with socket.socket() as here:
        here.bind(("127.0.0.1", 0))
        address = {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(here.getsockname()[1]), "TORCHELASTIC_RUN_ID": "test"}
    places = {"WORLD_SIZE": str(count), "LOCAL_WORLD_SIZE": str(count), "GROUP_RANK": "0"}
    ranks = [{"RANK": str(rank), "LOCAL_RANK": str(rank)} for rank in range(count)]
    return [
        command(
            words,
            folder,
            *(folder / f"{kind}-{rank['RANK']}" for kind in ("out", "err")),
            **address,
            **places,
            **rank,
            **environment,
        )
        for rank in ranks
    ]


def _prepared(environment: dict[str, str], function: Callable[..., object], arguments: tuple[object, ...]) -> None:
    os.environ.clear()
    os.environ.update(environment)
    function(*arguments)


def _command(words: list[str], folder: Path, out: Path, err: Path, environment: dict[str, str]) -> None:
    os.chdir(folder)
    os.environ.update(environment)
    for file, number in ((out, 1), (err, 2)):
        os.dup2(os.open(file, os.O_WRONLY | os.O_CREAT | os.O_NOCTTY), number)
    sys.argv = ["advnets", *words]
    runpy.run_module("advnets", run_name="__main__", alter_sys=True)


def digits(folder: Path, mode: str, told: Path) -> None:
    """Train small nets on digits for 400 steps, or go on with that, and write the state it ends in."""
    import dataclasses

    from advnets import recipes
    from advnets.config import DiscriminatorConfig, GeneratorConfig
    from advnets.data import load
    from advnets.runs import Run
    from advnets.training import train

    config = recipes.get("digits")
    settings = dataclasses.replace(
        config.train, mode=mode, steps=400, checkpoint_every=40, sample_every=150, log_every=30
    )
    nets = {"generator": GeneratorConfig(hidden=(64, 64)), "discriminator": DiscriminatorConfig(hidden=(32, 32))}
    config = dataclasses.replace(config, train=settings, **nets)
    run = Run(folder)
    told.write_text(train(config, load(config.data), run, resume=run.exists()).state)


def together(folder: Path, rank: int, count: int, port: int, jobs: list[str], kill_at: int | None = None) -> None:
    """Train games of `training.games.SHARED` as one of `count` processes, as torchrun starts them.

    The last of these kills itself once it has made `kill_at` steps; what ends the others is written into the folder.
    """
    import signal

    from advnets.errors import InputError
    from advnets.runs import Run
    from advnets.training import processes, train
    from training import games

    places = {"RANK": rank, "LOCAL_RANK": rank, "WORLD_SIZE": count, "LOCAL_WORLD_SIZE": count, "GROUP_RANK": 0}
    os.environ.update({name: str(value) for name, value in places.items()})
    os.environ.update(MASTER_ADDR="127.0.0.1", MASTER_PORT=str(port), TORCHELASTIC_RUN_ID="test")

    def report(progress: object) -> None:
        if getattr(progress, "step", None) == kill_at and rank == count - 1:
            os.kill(os.getpid(), signal.SIGKILL)

    fabric = processes.launched(games.SHARED[jobs[0]]()[0])
    (folder / f"heard-{rank}").write_text(processes.told(fabric, f"ä from {rank}"))
    for job in jobs:
        config, data = games.SHARED[job]()
        run = Run(folder / job)
        try:
            train(config, data, run, resume=run.exists(), report=report, fabric=fabric)
        except InputError as error:
            (folder / f"{job}-{rank}").write_text(str(error))


def page_faults(keep: bool, told: Path) -> None:
    """Write how many pages ten steps of a large layer took from the system, when memory is kept or is not."""
    import resource

    import torch
    from torch import nn

    from advnets.training.processor import keep_memory

    torch.set_num_threads(1)
    net = nn.Linear(3000, 3000)
    if keep:
        assert keep_memory(net)
    x, faults = torch.randn(4, 3000), []
    for _ in range(30):
        net(x).sum().backward()
        net.zero_grad()
        faults.append(resource.getrusage(resource.RUSAGE_SELF).ru_minflt)
    told.write_text(str(faults[-1] - faults[-11]))


def script(file: Path, words: list[str], told: Path) -> None:
    """Run a file of Python as `python FILE WORDS`, with what it says in a file."""
    for number in (1, 2):
        os.dup2(os.open(told, os.O_WRONLY | os.O_CREAT | os.O_APPEND), number)
    sys.argv = [str(file), *words]
    runpy.run_path(str(file), run_name="__main__")
