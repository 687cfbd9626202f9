"""Data sets by name, and the user's own images and arrays, split and scaled for the nets."""

import dataclasses
import os
from pathlib import Path

from advnets.config import DataConfig
from advnets.data.catalogue import CATALOGUE, Entry, info
from advnets.data.dataset import DataSet, Scaling, Split
from advnets.data.places import expanded
from advnets.data.scaling import scale
from advnets.data.sources import Report, fetch, find, missing, to_stderr
from advnets.data.splits import Raw
from advnets.data.tfd import FOLDS
from advnets.errors import InputError

__all__ = ["CATALOGUE", "DataSet", "Entry", "Scaling", "Split", "fetch", "find", "folds", "info", "load"]


def load(config: DataConfig, *, offline: bool = False, report: Report = to_stderr) -> DataSet:
    """Read, split and scale a data set of the catalogue, or the user's own folder of images, .npy, .npz or .mat file.

    A missing set of the catalogue is fetched, one line of report per source, unless `offline` is true or the
    environment sets ADVNETS_OFFLINE. Raises InputError for anything else than a complete, readable data set.
    """
    from advnets.data.images import fit

    offline = offline or os.environ.get("ADVNETS_OFFLINE", "0") not in ("", "0")
    raw = _built_in(config, offline, report) if config.name in CATALOGUE else _own(config)
    return scale(fit(raw, config), config)


def folds(config: DataConfig) -> tuple[DataConfig, ...]:
    """Return fold 0 and the folds after it of data that come in folds, as TFD does; nothing for the rest."""
    if config.name != "tfd" and Path(config.name).suffix.lower() != ".mat":
        return ()
    return tuple(dataclasses.replace(config, fold=fold) for fold in range(FOLDS + 1))


def _built_in(config: DataConfig, offline: bool, report: Report) -> Raw:
    from advnets.data import cifar10, digits, mnist, tfd, toys

    match config.name:
        case "digits":
            return digits.read(config)
        case "mnist" | "fashion_mnist":
            return mnist.read(config, config.name, _locate(config.name, offline, report))
        case "cifar10":
            return cifar10.read(config, _locate(config.name, offline, report))
        case "tfd":
            return tfd.read(config, _locate(config.name, offline, report))
        case "stacked_mnist":
            return toys.read_stacked_mnist(config, _locate("mnist", offline, report))
        case _:
            return toys.read(config)


def _locate(name: str, offline: bool, report: Report) -> Path:
    """Return the place of a data set that needs files, fetching it if it may."""
    found = find(name) if offline else fetch(name, report=report)
    if found is None:
        raise missing(name, "fetching is off: --offline or ADVNETS_OFFLINE", info(name).obtain)
    return found


def _own(config: DataConfig) -> Raw:
    """Read the user's own data: what the path is decides how."""
    from advnets.data import arrays, folders, packed, tfd

    path = expanded(config.name)
    if path.is_dir():
        return packed.read(config, path) if packed.is_packed(path) else folders.read(config, path)
    suffix = path.suffix.lower()
    if suffix not in (".npy", ".npz", ".mat"):
        if path.exists():
            raise InputError(
                f"{path} is of no known kind, allowed are a folder of images, .npy, .npz, .mat; convert it"
            )
        info(config.name)
    if not path.is_file():
        raise InputError(f"{path} is not there or no file, allowed is the path of a readable file; check the path")
    return tfd.read(config, path) if suffix == ".mat" else arrays.read(config, path)
