import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path

import pytest

from advnets.errors import InputError

Refuses = Callable[..., AbstractContextManager[None]]


@pytest.fixture(scope="session")
def refuses() -> Refuses:
    """A context in which an InputError of one line with all the given words must be raised."""

    @contextmanager
    def context(*words: str) -> Iterator[None]:
        with pytest.raises(InputError) as caught:
            yield
        message = str(caught.value)
        assert "\n" not in message
        for word in (*words, "; "):
            assert word in message

    return context


@pytest.fixture(scope="session")
def cifar10_folder(data_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The official binary version of CIFAR-10, unpacked from lossless sprites."""
    script = data_folder / "unpack_cifar10.py"
    if not script.is_file():
        pytest.skip(f"{script} is missing: no CIFAR-10 to test with")
    root = tmp_path_factory.mktemp("cifar10")
    subprocess.run([sys.executable, script, root / "cifar-10-batches-bin"], check=True)
    return root


@pytest.fixture
def nowhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty folder that stands for ADVNETS_DATA, with an empty cache beside it."""
    folder = tmp_path / "data"
    folder.mkdir()
    monkeypatch.setenv("ADVNETS_DATA", str(folder))
    monkeypatch.delenv("ADVNETS_OFFLINE", raising=False)
    monkeypatch.setattr("advnets.data.places.cache", lambda: tmp_path / "cache")
    monkeypatch.setattr("advnets.data.sources.cache", lambda: tmp_path / "cache")
    monkeypatch.setattr("advnets.data.mnist.DEBIAN", tmp_path / "fashion-mnist")
    return folder
