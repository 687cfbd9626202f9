"""What every training does around its steps: threads, the run's lock, and a status that outlives a failure."""

import contextlib
from collections.abc import Callable, Iterator
from typing import Any

import torch
from lightning_fabric import Fabric

from advnets.config import Config
from advnets.data.dataset import DataSet
from advnets.errors import InputError
from advnets.runs import Run
from advnets.training import checkpoint
from advnets.training.facts import check_data, facts, threads
from advnets.training.processes import noticing_loss


@contextlib.contextmanager
def threads_for(config: Config, data: DataSet) -> Iterator[None]:
    """Compute on as many threads as pay for nets of these sizes, and flush denormals, which halve the speed."""
    before = torch.get_num_threads()
    torch.set_num_threads(threads(config, data.shape))
    torch.set_flush_denormal(True)
    try:
        yield
    finally:
        torch.set_num_threads(before)


def require_fit(run: Run, config: Config, data: DataSet) -> None:
    """Raise InputError where a run cannot be gone on with, before any net is built."""
    if last := run.verified_checkpoint():
        check_data(run, data)
        run.check_settings(config)
        checkpoint.require_sizes(config, data.shape, last)


@contextlib.contextmanager
def opened(run: Run, config: Config, data: DataSet, fabric: Fabric, *, resume: bool) -> Iterator[None]:
    """Hold the lock of a run that begins, or that goes on with the same data and the settings it may change.

    Of several processes the first one holds it, and the others wait until it does.
    """
    if not fabric.is_global_zero:
        with noticing_loss():
            fabric.barrier()
        yield
        return
    with run.locked() if resume else run.begun(config, facts(config, data, fabric)):
        if resume:
            check_data(run, data)
            run.adopt(config)
        with noticing_loss():
            fabric.barrier()
        yield


@contextlib.contextmanager
def interruptible(run: Run, told: Callable[[], dict[str, Any]]) -> Iterator[None]:
    """Leave the status of an interrupted run behind where the block fails; `told` adds the verdict."""
    try:
        yield
    except BaseException:
        with contextlib.suppress(InputError):  # the error under way, such as a full disk, is the one to show
            run.write_status([0, *run.checkpoint_steps()][-1], "interrupted", **told())
        raise
