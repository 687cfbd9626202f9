"""Settings for all tests: one thread per process, shape annotations executed, data from ADVNETS_DATA."""

import gc
import importlib
import os
from collections.abc import Iterator
from pathlib import Path

# One thread, in workers of xdist and without them: two workers on two cores do not fight, and sums are taken in the
# same order wherever the tests run. Set before torch and numpy are imported; commands the tests start inherit it.
for _variable in ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS"):
    os.environ[_variable] = "1"
os.environ["MPLBACKEND"] = "Agg"

import jaxtyping
import pytest
import torch
from hypothesis import settings
from PIL import Image

import annotations
from processes import LIBRARIES

# What the hook below executes, it compiles anew, with all that is imported meanwhile and for the first time: the large
# libraries are imported before it, from their compiled files.
for _library in ("beartype.claw", *LIBRARIES):
    importlib.import_module(_library)

# Executes the shape annotations of these packages; has to happen before any of them is imported.
_EVALUATION = ["ais", "distances", "features", "hamiltonian", "kernels", "neighbours", "observation"]
# Not parzen, whose Self stops the hook.
_ANNOTATED = ["nets", "rivals", "objectives", "noise", "training", "extensions"]
_ANNOTATED += [f"evaluation.{name}" for name in _EVALUATION]
jaxtyping.install_import_hook([f"advnets.{name}" for name in _ANNOTATED], "annotations.checked")

torch.set_num_threads(1)
torch.set_flush_denormal(True)

# The first call into torch can take longer than any deadline; CI must not fail on a draw that nobody can repeat.
settings.register_profile("advnets", deadline=None, derandomize="CI" in os.environ)
settings.load_profile("advnets")


def pytest_collection_finish() -> None:
    """Look at what was imported, a million objects, for garbage no more."""
    gc.collect()
    gc.freeze()


@pytest.fixture(scope="session", autouse=True)
def cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A cache that all tests share, those of other processes too, and that is not the user's."""
    base = tmp_path_factory.getbasetemp()
    folder = (base.parent if "PYTEST_XDIST_WORKER" in os.environ else base) / "cache"
    folder.mkdir(exist_ok=True)
    os.environ["XDG_CACHE_HOME"] = str(folder)
    return folder


def pytest_runtest_setup() -> None:
    annotations.begin()


@pytest.fixture(scope="module")
def no_plots() -> Iterator[None]:
    """Draw no plots of vectors, which take longer than the training of tiny nets."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("advnets.pictures.plot", lambda x, data=None: Image.new("RGB", (1, 1)))
        yield


@pytest.fixture(scope="session")
def data_folder() -> Path:
    folder = os.environ.get("ADVNETS_DATA")
    if not folder:
        pytest.skip("ADVNETS_DATA is not set: it names the folder with the real data sets")
    return Path(folder.split(os.pathsep)[0]).resolve()
