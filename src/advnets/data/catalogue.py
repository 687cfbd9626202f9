"""The data sets known by name."""

import difflib
from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType

from advnets.errors import InputError


@dataclass(frozen=True)
class Entry:
    """What a data set is, before it is read."""

    name: str
    summary: str
    shape: tuple[int, ...]
    sizes: tuple[int, int, int] | None
    """Training, validation and test examples; None where the user's file decides."""
    by_hand: str
    """How to get it without `advnets data fetch`."""
    source: str
    """Who made it."""
    automatic: bool = False
    """Whether `advnets data fetch` gets it."""

    @property
    def obtain(self) -> str:
        """How to get it."""
        return f"advnets data fetch {self.name}, or {self.by_hand}" if self.automatic else self.by_hand


_DRAWN = "nothing to get: drawn with a fixed seed"
_BY_HAND = "put {files} into FOLDER/{name} and set ADVNETS_DATA=FOLDER"
_IDX = "the four official *-ubyte.gz files"
_SPLIT = (50_000, 10_000, 10_000)

_ENTRIES = (
    Entry(
        "digits",
        "8x8 grey handwritten digits",
        (1, 8, 8),
        (1197, 300, 300),
        "nothing to get: inside scikit-learn",
        "Alpaydin and Kaynak 1998 (UCI)",
    ),
    Entry(
        "mnist",
        "28x28 grey handwritten digits",
        (1, 28, 28),
        _SPLIT,
        _BY_HAND.format(files=_IDX, name="mnist"),
        "LeCun, Cortes, Burges 1998",
        automatic=True,
    ),
    Entry(
        "fashion_mnist",
        "28x28 grey articles of clothing",
        (1, 28, 28),
        _SPLIT,
        f"install Debian's package dataset-fashion-mnist, or {_BY_HAND.format(files=_IDX, name='fashion_mnist')}",
        "Xiao, Rasul, Vollgraf 2017",
        automatic=True,
    ),
    Entry(
        "cifar10",
        "32x32 colour photographs in ten classes",
        (3, 32, 32),
        (40_000, 10_000, 10_000),
        _BY_HAND.format(files="the unpacked folder cifar-10-batches-bin or cifar-10-batches-py", name="cifar10"),
        "Krizhevsky 2009",
        automatic=True,
    ),
    Entry(
        "tfd",
        "48x48 grey faces with seven expressions (Toronto Face Database)",
        (1, 48, 48),
        None,
        "ask its authors at the University of Toronto, then " + _BY_HAND.format(files="TFD_48x48.mat", name="tfd"),
        "Susskind, Anderson, Hinton 2010",
    ),
    Entry("gaussian", "one normal density on the line", (1,), _SPLIT, _DRAWN, "generated"),
    Entry("bimodal", "two normal densities on the line", (1,), _SPLIT, _DRAWN, "generated"),
    Entry("uniform", "a uniform density on the line", (1,), _SPLIT, _DRAWN, "generated"),
    Entry("ring", "eight narrow modes on the unit circle", (2,), _SPLIT, _DRAWN, "generated"),
    Entry("grid", "25 narrow modes on a square grid", (2,), _SPLIT, _DRAWN, "generated"),
    Entry("swiss_roll", "a spiral in the plane", (2,), _SPLIT, _DRAWN, "generated"),
    Entry(
        "stacked_mnist",
        "three digits of MNIST as colour channels: 1,000 modes",
        (3, 28, 28),
        _SPLIT,
        _BY_HAND.format(files=_IDX, name="mnist"),
        "Metz, Poole, Pfau, Sohl-Dickstein 2017",
        automatic=True,
    ),
)

CATALOGUE: Mapping[str, Entry] = MappingProxyType({entry.name: entry for entry in _ENTRIES})


def info(name: str) -> Entry:
    """Return what is known of a data set; raises InputError that names the nearest one."""
    if name in CATALOGUE:
        return CATALOGUE[name]
    near = difflib.get_close_matches(name.lower().replace("-", "_"), CATALOGUE, n=1, cutoff=0.4)
    hint = f"did you mean {near[0]}? " if near else ""
    raise InputError(
        f"{name!r} is no data set and no path, allowed are {', '.join(CATALOGUE)}, "
        f"a folder of images, a .npy or a .npz file; {hint}see: advnets data list"
    )
