"""Several processes that train one run together, by PyTorch's distributed engine through lightning-fabric."""

import contextlib
import logging
import os
import subprocess
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from datetime import timedelta
from pathlib import Path
from typing import Any

import torch
from jaxtyping import UInt8
from lightning_fabric import Fabric
from lightning_fabric.strategies.ddp import DDPStrategy
from torch import Tensor
from torch.distributed import TCPStore  # type: ignore[attr-defined]  # made by C++

from advnets.config import Config, check
from advnets.errors import InputError
from advnets.runs import Run
from advnets.training.batches import require_even
from advnets.training.outcome import check_device

_PATIENCE = timedelta(minutes=10)
"""How long processes wait for one that does not answer; the first one takes as long for pictures and scores."""
_MEASURING = timedelta(hours=1)
"""The same in work that trains nothing, where the first one may do alone for long what the others wait for."""
_FIRST_PAUSE, _LONGEST_PAUSE = 1e-4, 0.2  # seconds between two looks whether the others are there


class ProcessLostError(InputError):
    """Another process of the run is gone, or does not answer."""


class Unwritten(Run):
    """A run as all but the first of its processes see it, which write nothing into it."""

    def create(self, config: Config, facts: dict[str, Any]) -> None:
        """Leave it to the first process, as all below."""

    def adopt(self, config: Config) -> None:
        """Check the settings alone."""
        self.check_settings(config)

    def write_status(self, step: int, state: str, verdict: str | None, **more: Any) -> None:
        """Write nothing."""

    def append(self, file: Path, line: dict[str, Any], *, begun: bool = False) -> None:
        """Write nothing."""

    def cut_log(self, size: int) -> None:
        """Cut nothing."""

    def cut_validations(self, step: int, size: int | None = None) -> None:
        """Cut nothing."""


def launched(config: Config, devices: int = 1, nodes: int = 1) -> Fabric:
    """Return what knows device, precision and processes, once there are `devices` of them on each of `nodes` machines.

    Where torchrun has started this one, it joins the others, and there are as many as torchrun says. Raises InputError
    for a device that is not there, a minibatch that does not part evenly, and machines that do not know of each other.
    """
    check_device(config)
    train = check(config).train
    devices, nodes = _places(devices, nodes)
    _require_game(config, devices * nodes)
    return _started(train.device, train.precision, devices, nodes, _PATIENCE)


def started(devices: int = 1, nodes: int = 1) -> Fabric:
    """Return as many processes on processors for work that trains nothing; raises InputError as `launched` does."""
    devices, nodes = _places(devices, nodes)
    return _started("cpu", "32-true", devices, nodes, _MEASURING)


def _places(devices: int, nodes: int) -> tuple[int, int]:
    """Return numbers of processes and machines, torchrun's where it has started this one."""
    _require_places(devices, nodes)
    if "LOCAL_WORLD_SIZE" in os.environ:  # torchrun's
        devices = int(os.environ["LOCAL_WORLD_SIZE"])
        nodes = int(os.environ["WORLD_SIZE"]) // devices
    return devices, nodes


def _started(device: str, precision: Any, devices: int, nodes: int, patience: timedelta) -> Fabric:
    logging.getLogger("lightning_fabric").setLevel(logging.WARNING)  # it would tell precision and number of processes
    if devices * nodes == 1:
        return Fabric(accelerator=device, devices=1, precision=precision)
    strategy = DDPStrategy(timeout=patience)
    fabric = Fabric(accelerator=device, devices=devices, num_nodes=nodes, strategy=strategy, precision=precision)
    os.environ.setdefault(
        "TORCH_CPP_LOG_LEVEL", "ERROR"
    )  # for those that this one starts; what went wrong is told below
    try:
        with noticing_loss():
            fabric.launch()
    except BaseException:
        for one in children(fabric):
            one.kill()  # they would wait for this one
        raise
    return fabric


@contextlib.contextmanager
def noticing_loss() -> Iterator[None]:
    """Raise ProcessLostError where torch says that another process is gone."""
    try:
        yield
    except RuntimeError as error:
        if not is_loss(error):
            raise
        raise ProcessLostError(_lost(str(error).splitlines()[0])) from error


def _lost(how: str) -> str:
    return (
        f"another process of the run is gone ({how}), allowed: all of them to the end; what it said tells why: start "
        "all of them again"
    )


def _require_places(devices: int, nodes: int) -> None:
    """Refuse numbers of processes that cannot be, and several machines of which this one does not know its place."""
    if devices < 1 or nodes < 1:
        raise InputError(f"--devices is {devices} and --nodes {nodes}, allowed: 1 or more; leave them out")
    missing = [name for name in ("MASTER_ADDR", "MASTER_PORT", "NODE_RANK") if name not in os.environ]
    if nodes > 1 and "LOCAL_WORLD_SIZE" not in os.environ and missing:
        raise InputError(
            f"--nodes is {nodes} and {', '.join(missing)} are not set, allowed: address and port of the first machine, "
            "and this one's number from 0; set them, or give the command by torchrun"
        )


def _require_game(config: Config, processes: int) -> None:
    """Refuse to share out what several processes cannot train."""
    if processes == 1:
        return
    if config.rival or config.semi:
        raise InputError(f"{config.recipe} is trained by one process, allowed: games; leave --devices and --nodes out")
    if config.train.on_bad == "rollback":
        raise InputError(
            f"--train.on_bad is rollback, allowed with {processes} processes: warn or stop; set one of these"
        )
    if config.train.precision == "auto":
        raise InputError(
            f"--train.precision is auto, allowed with {processes} processes: 32-true, 64-true or bf16-mixed, for "
            "all of them alike; set one of these"
        )
    require_even(config.train.batch_size, processes)


def average(fabric: Fabric, x: Tensor) -> Tensor:
    """Return the mean of a tensor over the processes."""
    with noticing_loss():
        made = fabric.all_reduce(x.detach().clone(), reduce_op="mean")
    assert isinstance(made, Tensor)  # as of any one tensor
    return made


def stacked(fabric: Fabric, x: Tensor, glance: Callable[[], None] = lambda: None) -> Tensor:
    """Return the tensors of all processes, one above the other; while others are awaited, `glance` is called."""
    if fabric.world_size == 1:
        return x[None]
    found, pause = x.new_empty((fabric.world_size, *x.shape)), _FIRST_PAUSE
    with noticing_loss():
        work = torch.distributed.all_gather(list(found), x.contiguous(), async_op=True)
        while not work.is_completed():
            time.sleep(pause)
            pause = min(2 * pause, _LONGEST_PAUSE)
            if pause == _LONGEST_PAUSE:
                glance()
        work.wait()
    return found


def repeated(fabric: Fabric, said: UInt8[Tensor, " bytes"] | None) -> UInt8[Tensor, " bytes"]:
    """Return the bytes that the first process gives, in every one."""
    with noticing_loss():  # fabric.broadcast would pickle, and unpickle what comes by the network
        size = torch.tensor(0 if said is None else len(said))
        torch.distributed.broadcast(size, 0)
        held = torch.empty(int(size), dtype=torch.uint8) if said is None else said
        torch.distributed.broadcast(held, 0)
    return held


def children(fabric: Fabric) -> list[subprocess.Popen[bytes]]:
    """Take over the processes that this one has started; lightning would kill this one, without a word, for a lost one.

    There are none in other processes, nor where torchrun has started all of them.
    """
    found: list[subprocess.Popen[bytes]] = getattr(fabric.strategy.launcher, "procs", [])
    taken = list(found)
    found.clear()
    return taken


def counters(fabric: Fabric, watched: Sequence[subprocess.Popen[bytes]] = ()) -> Callable[[int, int], int]:
    """Return what adds an amount to a counter, by its number, and tells what it has come to by all processes.

    It raises ProcessLostError where one of those that are watched has ended.
    """
    if fabric.world_size == 1:
        counts: Counter[int] = Counter()
        return lambda counter, amount: counts.update({counter: amount}) or counts[counter]
    with noticing_loss():
        store = _store(fabric)

    def add(counter: int, amount: int) -> int:
        for one in watched:
            if one.poll() is not None:
                raise ProcessLostError(_lost(f"it ended with status {one.returncode}"))
        with noticing_loss():
            return int(store.add(str(counter), amount))

    return add


def _store(fabric: Fabric) -> TCPStore:
    """Keep numbers in the first process for all of them."""
    here, first = os.environ["MASTER_ADDR"], fabric.is_global_zero
    store = TCPStore(here, 0, None, True, _MEASURING, False) if first else None
    port = fabric.broadcast(store.port if store else 0)
    return store or TCPStore(here, port, None, False, _MEASURING)


def any_of(fabric: Fabric, flag: bool) -> bool:
    """Tell whether a flag is set in any process."""
    return flag if fabric.world_size == 1 else bool(average(fabric, torch.tensor(float(flag), device=fabric.device)))


def told(fabric: Fabric, text: str) -> str:
    """Return what the first process says."""
    said = text.encode() if fabric.is_global_zero else b""
    lengths = average(fabric, torch.tensor(float(len(said)), dtype=torch.float64, device=fabric.device))
    heard = torch.zeros(round(float(lengths) * fabric.world_size), dtype=torch.float64, device=fabric.device)
    heard[: len(said)] = torch.tensor(list(said), dtype=torch.float64)
    return bytes((average(fabric, heard) * fabric.world_size).round().to(torch.uint8).tolist()).decode()


def is_loss(error: RuntimeError) -> bool:
    """Tell whether an error of torch's is that another process is gone, or does not answer."""
    words = str(error).lower()
    return isinstance(error, torch.distributed.DistError) or any(
        word in words for word in ("gloo", "nccl", "connection closed", "connection reset", "broken pipe")
    )
