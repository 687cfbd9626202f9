import gzip
import hashlib
import shutil
import struct
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from advnets.config import DataConfig
from advnets.data import load, mnist
from advnets.errors import InputError


def test_real_mnist(data_folder: Path) -> None:
    data = load(DataConfig(name="mnist"), offline=True)
    assert data.train.x.shape == (50_000, 1, 28, 28)
    assert data.validation.x.shape == data.test.x.shape == (10_000, 1, 28, 28)
    assert data.train.x.dtype == np.float32 and data.train.x.flags.c_contiguous
    content = gzip.decompress((data_folder / "mnist" / "train-images-idx3-ubyte.gz").read_bytes())
    np.testing.assert_array_equal(np.rint(data.train.x[49_999] * 255).ravel(), list(content[16 + 49_999 * 784 :][:784]))
    np.testing.assert_array_equal(np.rint(data.validation.x[0] * 255).ravel(), list(content[16 + 50_000 * 784 :][:784]))
    assert data.train.labels is not None
    assert list(data.train.labels[:5]) == [5, 0, 4, 1, 9]
    assert data.train.x.max() == 1.0
    assert load(DataConfig(name="mnist"), offline=True).fingerprint == data.fingerprint


def test_a_folder_of_one_set_is_not_taken_for_the_other(data_folder: Path, nowhere: Path, refuses) -> None:
    for path in (data_folder / "mnist").glob("*.gz"):
        shutil.copy(path, nowhere)
    assert mnist.find("mnist") == nowhere
    assert mnist.find("fashion_mnist") is None


def test_other_contents_are_refused(data_folder: Path, nowhere: Path, refuses) -> None:
    folder = nowhere / "mnist"
    folder.mkdir()
    for path in (data_folder / "mnist").glob("*.gz"):
        shutil.copy(path, folder)
    content = bytearray(gzip.decompress((folder / "t10k-labels-idx1-ubyte.gz").read_bytes()))
    content[100] ^= 1
    (folder / "t10k-labels-idx1-ubyte.gz").unlink()
    (folder / "t10k-labels-idx1-ubyte").write_bytes(content)
    with refuses("t10k-labels-idx1-ubyte", "MD5"):
        load(DataConfig(name="mnist"), offline=True)


@given(hnp.arrays(np.uint8, hnp.array_shapes(max_dims=4, max_side=5)))
def test_idx_round_trip(tmp_path_factory: pytest.TempPathFactory, array: np.ndarray) -> None:
    path = tmp_path_factory.mktemp("idx") / "file.gz"
    mnist.write_idx(array, path)
    np.testing.assert_array_equal(mnist.parse_idx(mnist.unpack(path), "file"), array)


@given(st.binary(max_size=40), st.booleans())
def test_any_bytes_are_read_or_refused(content: bytes, plausible: bool) -> None:
    try:
        mnist.parse_idx(b"\0\0\x08" + content if plausible else content, "file")
    except InputError as error:
        assert "\n" not in str(error)


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"", "nothing"),
        (b"\0\0\x0d\x01\0\0\0\0", "00000d01"),
        (b"\0\0\x08\x03\0\0", "header"),
        (b"\0\0\x08\x02" + struct.pack(">II", 2, 3) + b"12345", "2 x 3 values and holds 5"),
        (b"\0\0\x08\x02" + struct.pack(">II", 2**32 - 1, 2**32 - 1), "holds 0"),
    ],
)
def test_wrong_idx(content: bytes, words: str, refuses) -> None:
    with refuses("name.idx", words):
        mnist.parse_idx(content, "name.idx")


def test_damaged_gzip(tmp_path: Path, refuses) -> None:
    path = tmp_path / "file.gz"
    whole = gzip.compress(bytes(range(256)) * 50)
    for content in (whole[:-20], whole[:40] + b"????" + whole[44:], b"\x1f\x8b"):
        path.write_bytes(content)
        with refuses("file.gz"):
            mnist.unpack(path)


def test_gzip_bomb(tmp_path: Path, refuses) -> None:
    path = tmp_path / "bomb.gz"
    path.write_bytes(gzip.compress(bytes(80 << 20), compresslevel=1))
    with refuses("bomb.gz", "unzips to more than"):
        mnist.unpack(path)


def test_both_spellings_are_found(nowhere: Path) -> None:
    folder = nowhere / "fashion-mnist"
    folder.mkdir()
    for index, stem in enumerate(mnist.FILES):
        (folder / (stem.replace("-idx", ".idx") if index % 2 else f"{stem}.gz")).touch()
    assert mnist.find("fashion_mnist") == folder
    (folder / "train-labels.idx1-ubyte").unlink()
    assert mnist.find("fashion_mnist") is None


def test_md5_are_those_of_the_official_files(data_folder: Path) -> None:
    for stem, expected in zip(mnist.FILES, mnist.MD5["mnist"], strict=True):
        assert hashlib.md5(gzip.decompress((data_folder / "mnist" / f"{stem}.gz").read_bytes())).hexdigest() == expected
