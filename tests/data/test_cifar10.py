import os
import pickle
from pathlib import Path

import numpy as np
import pytest

from advnets.config import DataConfig
from advnets.data import cifar10, load, scaling


def test_reference_values_of_contrast_normalisation(cifar10_folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ADVNETS_DATA", str(cifar10_folder))
    data = load(DataConfig(name="cifar10"), offline=True)
    x = data.train.x
    assert x.shape == (40_000, 3, 32, 32) and data.validation.x.shape == data.test.x.shape == (10_000, 3, 32, 32)
    assert x.dtype == np.float32 and x.flags.c_contiguous
    assert data.scaling.kind == "contrast"
    np.testing.assert_allclose([x.min(), x.max()], [-11.98018, 9.38046], atol=5e-6)
    np.testing.assert_allclose(x[0].ravel()[:3], [-0.84862, -1.15410, -1.02045], atol=5e-6)
    flat = x[::50].reshape(800, -1).astype(np.float64)
    np.testing.assert_allclose(flat.mean(axis=1), 0, atol=1e-6)
    np.testing.assert_allclose(np.linalg.norm(flat, axis=1), 55, atol=1e-4)
    assert data.train.labels is not None
    assert [data.class_names[label] for label in data.train.labels[:2]] == ["frog", "truck"]


@pytest.mark.parametrize("protocol", [2, 5])
def test_python_version_equals_the_binary_one(cifar10_folder: Path, tmp_path: Path, protocol: int) -> None:
    binary = cifar10.read_binary(cifar10_folder / "cifar-10-batches-bin" / "test_batch.bin")
    batch = {b"batch_label": b"testing", b"labels": binary[:, 0].tolist(), b"data": binary[:, 1:].copy()}
    (tmp_path / "test_batch").write_bytes(pickle.dumps(batch, protocol=protocol))
    np.testing.assert_array_equal(cifar10.read_python(tmp_path / "test_batch"), binary)


@pytest.mark.parametrize("inner", ["cifar10/cifar-10-batches-py", "cifar-10-batches-bin", "cifar10", "."])
def test_either_version_is_found_in_its_places(nowhere: Path, inner: str) -> None:
    folder = nowhere / inner
    folder.mkdir(parents=True, exist_ok=True)
    names = cifar10.BINARY if inner.endswith("bin") else cifar10.PYTHON
    for name in names[:-1]:
        (folder / name).touch()
    assert cifar10.find() is None
    (folder / names[-1]).touch()
    assert cifar10.find() == folder


def test_a_wrong_pixel_is_noticed(cifar10_folder: Path, tmp_path: Path, refuses) -> None:
    for name in cifar10.BINARY:
        os.link(cifar10_folder / "cifar-10-batches-bin" / name, tmp_path / name)
    content = bytearray((tmp_path / "test_batch.bin").read_bytes())
    content[100] ^= 1
    (tmp_path / "test_batch.bin").unlink()
    (tmp_path / "test_batch.bin").write_bytes(content)
    with refuses(str(tmp_path), "SHA-256"):
        cifar10.read_folder(tmp_path)


def test_contrast_of_flat_images_is_zero() -> None:
    x = np.full((2, 1, 4, 4), 7, np.uint8)
    np.testing.assert_array_equal(scaling.contrast(x, 55.0), np.zeros((2, 1, 4, 4), np.float32))


@pytest.mark.parametrize("content", [b"", bytes(1000), bytes(cifar10.BATCH * cifar10.RECORD - 1)])
def test_truncated_binary(content: bytes, refuses) -> None:
    with refuses("batch.bin", f"has {len(content)} bytes"):
        cifar10.parse_binary(content, "batch.bin")


def test_wrong_label(refuses) -> None:
    with refuses("label 200"):
        cifar10.parse_binary(b"\xc8" + bytes(cifar10.BATCH * cifar10.RECORD - 1), "batch.bin")


@pytest.mark.parametrize(
    "batch",
    [
        [1, 2],
        {},
        {b"data": np.zeros((3, 5), np.uint8), b"labels": [0, 1, 2]},
        {b"data": np.zeros((10_000, 3072), np.int8), b"labels": [0] * 10_000},
        {b"data": np.zeros((10_000, 3072), np.uint8), b"labels": [0] * 9_999},
        {b"data": np.zeros((10_000, 3072), np.uint8), b"labels": ["cat"] * 10_000},
        {b"data": np.zeros((10_000, 3072), np.uint8), b"labels": [-1] * 10_000},
    ],
)
def test_wrong_python_batches(batch: object, refuses) -> None:
    with refuses("data_batch_1"):
        cifar10.parse_python(pickle.dumps(batch, protocol=4), "data_batch_1")
