"""What the tests of the command line share: commands in this process, an empty folder, a small run to look at."""

import hashlib
import os
import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest

from advnets.cli.main import main

SMALL = (
    "--generator.hidden 16 --discriminator.hidden 8 8 --noise.dimension 4 "
    "--train.log_every 5 --train.checkpoint_every 10 --train.sample_every 10"
)


@dataclass(frozen=True)
class Done:
    status: int
    out: str
    err: str


Command = Callable[[str], Done]


@pytest.fixture
def advnets(
    tmp_path: Path, cache: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Command:
    """Run a command line in an empty folder; `SMALL` stands for settings of tiny nets."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("XDG_CACHE_HOME", str(cache))

    def run(line: str) -> Done:
        capsys.readouterr()
        status = main(line.replace("SMALL", SMALL).split())
        captured = capsys.readouterr()
        return Done(status, captured.out, captured.err)

    return run


@pytest.fixture(scope="session")
def trained_once(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("trained") / "run"
    assert main(["train", "--steps", "20", "--out", str(folder), *SMALL.split()]) == 0
    return folder


@pytest.fixture
def trained(trained_once: Path, tmp_path: Path) -> Path:
    """A copy of a finished run of 20 steps on digits, at `run` in the folder the commands run in."""
    shutil.copytree(trained_once, tmp_path / "run")
    return tmp_path / "run"


def contents(folder: Path) -> dict[str, str]:
    """Every file below a folder with its checksum, and every folder."""
    found = {}
    for where, inner, names in os.walk(folder):
        found |= {str(Path(where, name)): "" for name in inner}
        found |= {str(Path(where, name)): hashlib.sha256(Path(where, name).read_bytes()).hexdigest() for name in names}
    return found
