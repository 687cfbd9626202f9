import contextlib
import io
import struct
import sys
import zlib
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from scipy.io import loadmat, savemat

from advnets.config import DataConfig
from advnets.data import load, mat5, tfd

FACES = "faces/faces48_tfd_layout.mat"


@pytest.fixture
def variables() -> dict[str, np.ndarray]:
    rng = np.random.default_rng(0)
    expressions = np.array([-1] * 20 + [1, 2, 3, 4, 5, 6, 7, 1, 2, 3])
    folds = np.zeros((30, 5), np.uint8)
    for fold in range(5):
        folds[20:, fold] = np.roll([1, 1, 1, 1, 1, 1, 2, 2, 3, 3], fold)
    return {"images": rng.integers(0, 256, (30, 48, 48), np.uint8), "labs_ex": expressions, "folds": folds}


def check(path: Path, variables: dict[str, np.ndarray], fold: int) -> None:
    data = load(DataConfig(name=str(path), fold=fold))
    roles = variables["folds"][:, fold - 1]
    for split, wanted in ((data.train, (0, 1)), (data.validation, (2,)), (data.test, (3,))):
        rows = [row for row in range(len(roles)) if roles[row] in wanted]
        np.testing.assert_array_equal(np.rint(split.x[:, 0] * 255), variables["images"][rows])
        assert split.labels is not None
        for label, expression in zip(split.labels, variables["labs_ex"].ravel()[rows], strict=True):
            assert label == (expression - 1 if expression > 0 else -1)


@pytest.mark.parametrize("fold", [1, 5])
def test_real_faces_in_the_layout_of_tfd(data_folder: Path, fold: int) -> None:
    path = data_folder / FACES
    data = load(DataConfig(name=str(path), fold=fold))
    assert [len(split.x) for split in (data.train, data.validation, data.test)] == [2976 + 525, 75, 150]
    assert data.shape == (1, 48, 48) and data.scaling.kind == "unit"
    contents = loadmat(str(path))
    chosen = contents["folds"][:, fold - 1] == 3
    np.testing.assert_array_equal(np.rint(data.test.x[:, 0] * 255), contents["images"][chosen])


def test_fold_0_trains_on_unlabelled_images_alone(tmp_path: Path, variables: dict[str, np.ndarray]) -> None:
    path = tmp_path / "file.mat"
    savemat(str(path), variables)
    without, first = (load(DataConfig(name=str(path), fold=fold)) for fold in (0, 1))
    np.testing.assert_array_equal(np.rint(without.train.x[:, 0] * 255), variables["images"][:20])
    np.testing.assert_array_equal(without.test.x, first.test.x)
    np.testing.assert_array_equal(without.validation.x, first.validation.x)


def test_found_by_name(data_folder: Path, nowhere: Path) -> None:
    (nowhere / "tfd").mkdir()
    (nowhere / "tfd" / tfd.FILE).symlink_to(data_folder / FACES)
    assert load(DataConfig(name="tfd"), offline=True).shape == (1, 48, 48)


@pytest.mark.parametrize("shape", [(30,), (30, 1), (1, 30)])
@pytest.mark.parametrize("kind", ["int8", "int16", "float64"])
@pytest.mark.parametrize("compressed", [False, True])
def test_v5(
    tmp_path: Path, variables: dict[str, np.ndarray], shape: tuple[int, ...], kind: str, compressed: bool
) -> None:
    labels = variables["labs_ex"].astype(kind).reshape(shape)
    path = tmp_path / "file.mat"
    savemat(str(path), {**variables, "labs_ex": labels}, do_compression=compressed, oned_as="row")
    check(path, variables, fold=3)


@pytest.mark.parametrize("shape", [(30,), (30, 1), (1, 30)])
@pytest.mark.parametrize("fold", [1, 4])
def test_v7_3(tmp_path: Path, variables: dict[str, np.ndarray], shape: tuple[int, ...], fold: int) -> None:
    h5py = pytest.importorskip("h5py")
    path = tmp_path / "file.mat"
    with h5py.File(path, "w", userblock_size=512) as file:
        for name, value in {**variables, "labs_ex": variables["labs_ex"].astype(float).reshape(shape)}.items():
            file[name] = value.T
    check(path, variables, fold)


def test_v7_3_without_h5py(tmp_path: Path, variables, monkeypatch: pytest.MonkeyPatch, refuses) -> None:
    path = tmp_path / "file.mat"
    path.write_bytes(b"MATLAB 7.3 MAT-file".ljust(512) + b"\x89HDF\r\n\x1a\n")
    monkeypatch.setitem(sys.modules, "h5py", None)
    with refuses("file.mat", 'pip install "advnets[tfd]"'):
        load(DataConfig(name=str(path)))


@pytest.mark.parametrize(
    ("change", "word"),
    [
        ({"images": np.zeros((30, 48, 40), np.uint8)}, "(30, 48, 40)"),
        ({"images": np.full((30, 48, 48), 0.5)}, "images"),
        ({"images": np.full((30, 48, 48), np.nan)}, "images"),
        ({"images": "text"}, "images"),
        ({"labs_ex": np.zeros(29)}, "labs_ex"),
        ({"labs_ex": np.full(30, 8)}, "expression 8"),
        ({"folds": np.zeros((30, 4))}, "folds"),
        ({"folds": np.full((30, 5), 4)}, "folds"),
        ({"folds": np.ones((30, 5))}, "fold 1"),
        ({"labs_ex": None}, "lacks labs_ex"),
    ],
)
def test_wrong_contents(tmp_path: Path, variables, change: dict[str, object], word: str, refuses) -> None:
    path = tmp_path / "file.mat"
    contents = {name: value for name, value in {**variables, **change}.items() if value is not None}
    savemat(str(path), contents)
    with refuses("file.mat", word):
        load(DataConfig(name=str(path)))


def test_damaged_files(tmp_path: Path, variables, refuses) -> None:
    path = tmp_path / "file.mat"
    savemat(str(path), variables, do_compression=True)
    whole = path.read_bytes()
    wrong_size = whole[:128] + b"\x0f\0\0\0\xff\xff\xff\xff" + whole[136:]
    for content in (b"", b"MATLAB", whole[:100], whole[:3000], wrong_size, b"\x89HDF\r\n\x1a\n" + bytes(600)):
        path.write_bytes(content)
        with refuses("file.mat"):
            load(DataConfig(name=str(path)))


def test_a_header_that_claims_too_much(tmp_path: Path, variables, refuses) -> None:
    path = tmp_path / "file.mat"
    savemat(str(path), variables)
    content = path.read_bytes()
    shape = np.array([30, 48, 48], "<i4").tobytes()
    assert content.count(shape) == 1
    path.write_bytes(content.replace(shape, np.array([2**30, 48, 48], "<i4").tobytes()))
    with refuses("file.mat", str(2**30)):
        load(DataConfig(name=str(path)))


def test_a_compressed_matrix_that_claims_too_much(refuses) -> None:
    tag = struct.pack("<II", 14, 2**32 - 8)
    flags, sizes = struct.pack("<IIII", 6, 8, 9, 0), struct.pack("<IIiiii", 5, 12, 2**20, 64, 64, 0)
    name = struct.pack("<II8s", 1, 6, b"images")
    body = zlib.compress(tag + flags + sizes + name + bytes(100))
    with pytest.raises(ValueError, match="bytes, more than"):
        mat5.read_matrices(b" " * 126 + b"IM" + struct.pack("<II", 15, len(body)) + body, ("images",), 2**31)


KINDS = st.sampled_from(["u1", "i2", "u4", "i8", "f4", "f8"])
BYTES = hnp.arrays(np.uint8, hnp.array_shapes(min_dims=2, max_dims=4, max_side=4))


@given(BYTES, KINDS, st.booleans())
def test_matrices_equal_those_of_scipy(array: np.ndarray, kind: str, compressed: bool) -> None:
    array = array.astype(kind)
    file = io.BytesIO()
    savemat(file, {"other": "text", "x": array, "long_name": array.T}, do_compression=compressed)
    read = mat5.read_matrices(file.getvalue(), ("x", "long_name"), 1 << 20)
    for name, values in read.items():
        np.testing.assert_array_equal(values, loadmat(file)[name])
    assert set(read) == {"x", "long_name"}


@given(st.data(), st.booleans())
def test_damaged_matrices_are_read_or_refused(data: st.DataObject, compressed: bool) -> None:
    file = io.BytesIO()
    savemat(file, {"x": np.eye(3), "y": np.arange(4, dtype=np.uint8)}, do_compression=compressed)
    content = bytearray(file.getvalue())
    for position in data.draw(st.lists(st.integers(124, len(content) - 1), max_size=5)):
        content[position] = data.draw(st.integers(0, 255))
    with contextlib.suppress(ValueError, zlib.error):
        mat5.read_matrices(bytes(content[: data.draw(st.integers(0, len(content)))]), ("x", "y"), 1 << 20)


def test_linked_variables_are_not_followed(tmp_path: Path, variables, refuses) -> None:
    h5py = pytest.importorskip("h5py")
    with h5py.File(tmp_path / "other.h5", "w") as file:
        file["images"] = variables["images"].T
    with h5py.File(tmp_path / "file.mat", "w") as file:
        file["images"] = h5py.ExternalLink("other.h5", "images")
        file["labs_ex"], file["folds"] = variables["labs_ex"], variables["folds"].T
    with refuses("file.mat", "images"):
        load(DataConfig(name=str(tmp_path / "file.mat")))


def test_missing(nowhere: Path, refuses) -> None:
    with refuses("tfd", str(nowhere), "no program can download it", "TFD_48x48.mat"):
        load(DataConfig(name="tfd"))


def test_fold_out_of_range(tmp_path: Path, variables, refuses) -> None:
    savemat(str(tmp_path / "file.mat"), variables)
    with refuses("--data.fold is 6"):
        load(DataConfig(name=str(tmp_path / "file.mat"), fold=6))
