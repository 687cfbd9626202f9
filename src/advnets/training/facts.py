"""What config.json tells beside the configuration, and what of it is no longer so when a run goes on."""

import functools
import os
import platform
from importlib import metadata
from pathlib import Path
from typing import Any

import torch
from lightning_fabric import Fabric

from advnets.config import Config
from advnets.data.dataset import DataSet
from advnets.errors import InputError
from advnets.parameters import parameter_counts
from advnets.runs import Run, reporting, write_json
from advnets.training import kernels
from advnets.training.processor import faithful

SMALL = 1_000_000
"""Parameters of both nets, under which a second thread does not pay, nor coarser products do."""
_RESTRICTING = ("ONEDNN_MAX_CPU_ISA", "DNNL_MAX_CPU_ISA", "MKL_CBWR", "MKL_ENABLE_INSTRUCTIONS")
_BEFORE = {"products": "default", "processes": 1}  # of runs made before it was written down


def threads(config: Config, shape: tuple[int, ...]) -> int:
    """Count threads to compute with: as many as torch would take, but one for nets too small to share work.

    Two make these no faster, and on a busy machine ten times slower.
    """
    return 1 if sum(parameter_counts(config, shape).values()) < SMALL else torch.get_num_threads()


def facts(config: Config, data: DataSet, fabric: Fabric) -> dict[str, Any]:
    """What config.json holds beside the configuration: data, parameter counts, versions, machine."""
    return {
        "data": {
            "name": data.name,
            "source": data.source,
            "shape": list(data.shape),
            "train": data.examples,
            "validation": len(data.validation.x),
            "test": len(data.test.x),
            "fingerprint": data.fingerprint,
            "scaling": data.scaling.to_json(),
            **({"class_names": list(data.class_names)} if _by_class(config) else {}),
        },
        "parameters": parameter_counts(config, data.shape, stage=2 if config.second_stage else 1),
        **_together(config, fabric, torch.get_num_threads()),
    }


def _by_class(config: Config) -> bool:
    return config.condition is not None and config.condition.kind == "labels"


def _together(config: Config, fabric: Fabric, threads: int) -> dict[str, dict[str, Any]]:
    """Describe the machine, how many processes there are, and what compiles the step where that is asked for."""
    made = machine(fabric.device, threads)
    compiler = {"compiler": kernels.compiler_version()} if config.train.compile == "on" else {}
    return {**made, "machine": {**made["machine"], "processes": fabric.world_size, **compiler}}


def machine(device: torch.device, threads: int) -> dict[str, dict[str, Any]]:
    """What the bits of a run depend on beside its configuration and data."""
    packages = ("advnets", "torch", "numpy", "lightning-fabric", "safetensors")
    return {
        "versions": {"python": platform.python_version(), **{name: version(name) for name in packages}},
        "machine": {
            "device": str(device),
            "model": torch.cuda.get_device_name(device) if device.type == "cuda" else _processor(),
            "instructions": " ".join([torch.backends.cpu.get_cpu_capability(), *_restrictions()]),
            "threads": threads,
            "products": "onednn" if device.type == "cpu" and faithful() else "default",
            "system": platform.platform(),
        },
    }


def differences(run: Run, config: Config, fabric: Fabric | None = None) -> list[str]:
    """List what is not as it was when the run began, so that going on may give other bits than never stopping.

    What the run does not tell, because an earlier version began it, is left out.
    """
    content = run.read()
    fabric = fabric or Fabric(accelerator=config.train.device, devices=1)
    now = _together(config, fabric, threads(config, run.shape()))
    found = []
    for part, values in now.items():
        stored = content.get(part)
        before = {**(_BEFORE if part == "machine" else {}), **(stored if isinstance(stored, dict) else {})}
        changed = {name: value for name, value in values.items() if name in before and before[name] != value}
        found += [f"{name} was {before[name]}, is {value}" for name, value in changed.items()]
        if "device" in changed and _kind(before["device"]) != _kind(changed["device"]):
            found[-1:] = [found[-1], "noise and dropout begin a new stream of random numbers"]
    return found


def note_elsewhere(run: Run, step: int, changes: list[str]) -> None:
    """Write into config.json from which step on a run went on under other conditions than it began."""
    content = run.read()
    before = elsewhere(run)
    if changes and (not before or before[-1]["changes"] != changes):
        with reporting(f"cannot write {run.path}/config.json"):
            made = [*before, {"step": step, "changes": changes}]
            write_json(run.path / "config.json", {**content, "elsewhere": made})


def elsewhere(run: Run) -> list[dict[str, Any]]:
    """List where a run went on under other conditions than it began: step and changes, in the order of time."""
    made: list[dict[str, Any]] = run.read().get("elsewhere", [])
    return made


def check_data(run: Run, data: DataSet) -> None:
    """Refuse to go on with a run whose data have changed since."""
    stored = run.read().get("data", {}).get("fingerprint")
    if stored != data.fingerprint:
        raise InputError(
            f"the data of {run.path} have changed (fingerprint {str(stored)[:12]}, now {data.fingerprint[:12]}), "
            "allowed on --resume: the same data; restore them, or start a new run with another --out"
        )


def _kind(device: object) -> str:
    return str(device).partition(":")[0]


def _processor() -> str:
    """Name the processor, as its maker does where the system tells."""
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return platform.processor() or platform.machine()
    names = (line.partition(":")[2].strip() for line in lines if line.startswith("model name"))
    return next(names, platform.machine())


def _restrictions() -> list[str]:
    """List what the environment tells the libraries of products about the instructions to use."""
    return [f"{name}={os.environ[name]}" for name in _RESTRICTING if name in os.environ]


@functools.cache
def version(package: str) -> str | None:
    """Return the version of what is installed; None where it is not."""
    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:
        return None
