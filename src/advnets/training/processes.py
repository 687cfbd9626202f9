"""Several processes that train one run together, by PyTorch's distributed engine through lightning-fabric."""

import contextlib
import logging
import os
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import torch
from lightning_fabric import Fabric
from lightning_fabric.strategies.ddp import DDPStrategy
from torch import Tensor

from advnets.config import Config, check
from advnets.errors import InputError
from advnets.runs import Run
from advnets.training.batches import require_even
from advnets.training.outcome import check_device

_PATIENCE = timedelta(minutes=10)
"""How long processes wait for one that does not answer; the first one takes as long for pictures and scores."""


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
    return _started(train.device, train.precision, devices, nodes)


def started(devices: int = 1, nodes: int = 1) -> Fabric:
    """Return as many processes on processors for work that trains nothing; raises InputError as `launched` does."""
    devices, nodes = _places(devices, nodes)
    return _started("cpu", "32-true", devices, nodes)


def _places(devices: int, nodes: int) -> tuple[int, int]:
    """Return numbers of processes and machines, torchrun's where it has started this one."""
    _require_places(devices, nodes)
    if "LOCAL_WORLD_SIZE" in os.environ:  # torchrun's
        devices = int(os.environ["LOCAL_WORLD_SIZE"])
        nodes = int(os.environ["WORLD_SIZE"]) // devices
    return devices, nodes


def _started(device: str, precision: Any, devices: int, nodes: int) -> Fabric:
    if devices * nodes == 1:
        return Fabric(accelerator=device, devices=1, precision=precision)
    logging.getLogger("lightning_fabric").setLevel(logging.WARNING)  # every process would say its number
    strategy = DDPStrategy(timeout=_PATIENCE)
    fabric = Fabric(accelerator=device, devices=devices, num_nodes=nodes, strategy=strategy, precision=precision)
    os.environ.setdefault(
        "TORCH_CPP_LOG_LEVEL", "ERROR"
    )  # for those that this one starts; what went wrong is told below
    with noticing_loss():
        fabric.launch()
    return fabric


@contextlib.contextmanager
def noticing_loss() -> Iterator[None]:
    """Raise ProcessLostError where torch says that another process is gone."""
    try:
        yield
    except RuntimeError as error:
        if not is_loss(error):
            raise
        raise ProcessLostError(
            f"another process of the run is gone ({str(error).splitlines()[0]}), allowed: all of them to the end; what "
            "it said tells why: start all of them again"
        ) from error


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


def stacked(fabric: Fabric, x: Tensor) -> Tensor:
    """Return the tensors of all processes, one above the other."""
    if fabric.world_size == 1:
        return x[None]
    with noticing_loss():
        found = fabric.all_gather(x)
    assert isinstance(found, Tensor)  # as of any one tensor
    return found


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
