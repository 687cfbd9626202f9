import io
import pickle
import struct
import zipfile
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from advnets.config import DataConfig
from advnets.data import DataSet, arrays, load
from advnets.data.splits import shuffled
from advnets.errors import InputError


def load_array(folder: Path, x: np.ndarray, **settings: object) -> DataSet:
    np.save(folder / "x.npy", x)
    return load(DataConfig(name=str(folder / "x.npy"), **settings))


def all_rows(data: DataSet) -> np.ndarray:
    return np.concatenate([data.train.x, data.validation.x, data.test.x])


def same_examples(one: np.ndarray, other: np.ndarray) -> bool:
    """Whether two arrays hold the same examples in any order."""
    return np.array_equal(*(np.unique(x.reshape(len(x), -1), axis=0) for x in (one, other)))


@pytest.mark.parametrize(
    ("shape", "arranged"),
    [
        ((20,), (1,)),
        ((20, 5), (5,)),
        ((20, 4, 6), (1, 4, 6)),
        ((20, 4, 6, 1), (1, 4, 6)),
        ((20, 4, 6, 3), (3, 4, 6)),
        ((20, 1, 4, 6), (1, 4, 6)),
        ((20, 3, 4, 6), (3, 4, 6)),
    ],
)
def test_shapes(tmp_path: Path, shape: tuple[int, ...], arranged: tuple[int, ...]) -> None:
    x = np.random.default_rng(0).integers(0, 256, shape, np.uint8)
    data = load_array(tmp_path, x)
    assert data.shape == arranged
    assert [len(split.x) for split in (data.train, data.validation, data.test)] == [16, 2, 2]
    for split in (data.train, data.validation, data.test):
        assert split.x.dtype == np.float32 and split.x.flags.c_contiguous
    if len(arranged) == 3:
        image = x[..., None] if x.ndim == 3 else x
        expected = image if image.shape[1] == arranged[0] else np.moveaxis(image, 3, 1)
        assert same_examples(all_rows(data), expected.astype(np.float32) / np.float32(255))


@pytest.mark.parametrize("kind", ["<u1", "<i4", ">i2", "<f4", ">f8", "<f2"])
@pytest.mark.parametrize("order", ["C", "F"])
def test_whole_numbers_are_pixels_to_255(tmp_path: Path, kind: str, order: str) -> None:
    x = np.asarray(np.random.default_rng(0).integers(0, 256, (10, 4, 6)), kind, order=order)
    data = load_array(tmp_path, x)
    assert same_examples(all_rows(data), x.astype(np.float32) / np.float32(255))
    assert data.train.x.flags.c_contiguous


@pytest.mark.parametrize("kind", ["bool", "uint8", "float32"])
def test_numbers_up_to_1_are_kept(tmp_path: Path, kind: str) -> None:
    x = np.random.default_rng(0).integers(0, 2, (10, 4, 6)).astype(kind)
    assert same_examples(all_rows(load_array(tmp_path, x)), x.astype(np.float32))


@pytest.mark.parametrize("bad", [-0.01, 1.5, 256.0])
def test_other_pixels_are_refused(tmp_path: Path, bad: float, refuses) -> None:
    x = np.random.default_rng(0).random((10, 4, 6))
    x[3, 1, 2] = bad
    with refuses("x.npy", f"{bad:g}", "0 to 1", "0 to 255"):
        load_array(tmp_path, x)


@given(st.integers(10, 300), st.floats(0.001, 0.499))
def test_every_example_is_in_one_part(n: int, share: float) -> None:
    with_rows = np.arange(n, dtype=np.float64)[:, None]
    raw = arrays.cut_share(with_rows, None, share, "x")
    assert sorted(np.concatenate([part.x for part in raw]).ravel()) == list(range(n))
    train, validation, test = (len(part.x) for part in raw)
    assert validation == test >= 1 and train >= 1
    assert abs(test - share * n) <= 1


def test_columns_are_standardised_on_the_training_part_and_back(tmp_path: Path) -> None:
    x = np.random.default_rng(0).normal([5, -300, 0.1, 0], [0.01, 1000, 0, 3], (400, 4))
    data = load_array(tmp_path, x)
    np.testing.assert_allclose(data.train.x.mean(axis=0), 0, atol=1e-5)
    np.testing.assert_allclose(data.train.x.std(axis=0), [1, 1, 0, 1], atol=1e-5)
    assert np.all(data.train.x[:, 2] == 0)
    back = data.scaling.undo(all_rows(data))
    np.testing.assert_allclose(np.sort(back, axis=0), np.sort(x, axis=0), rtol=1e-5, atol=1e-3)


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
def test_gaps_are_counted_and_located(tmp_path: Path, bad: float, refuses) -> None:
    x = np.zeros((20, 6))
    x[3, 4] = x[17, 0] = bad
    with refuses("x.npy", "2 values", "[3, 4]", "nan_to_num"):
        load_array(tmp_path, x)


@pytest.mark.parametrize(
    "x",
    [
        np.zeros((10, 2), complex),
        np.array(["a"] * 10),
        np.zeros(10, "M8[s]"),
        np.zeros(10, [("a", "f4")]),
        np.float64(3),
        np.zeros((0, 4)),
        np.zeros((10, 0)),
        np.zeros((10, 4, 6, 2)),
        np.zeros((10, 1, 1, 4, 6)),
        np.zeros((9, 3)),
        np.full((10, 2), 1e300),
    ],
    ids=lambda x: f"{x.dtype}{x.shape}",
)
def test_other_arrays_are_refused(tmp_path: Path, x: np.ndarray, refuses) -> None:
    with refuses("x.npy", "allowed"):
        load_array(tmp_path, x)


def test_pickled_arrays_are_refused_unread(tmp_path: Path, refuses) -> None:
    class Bomb:
        def __reduce__(self):
            return (tmp_path / "ran").touch, ()

    np.save(tmp_path / "x.npy", np.array([Bomb()] * 10, object), allow_pickle=True)
    np.savez(tmp_path / "x.npz", samples=np.array([Bomb()] * 10, object))
    (tmp_path / "y.npy").write_bytes(pickle.dumps(Bomb()))
    for name in ("x.npy", "x.npz", "y.npy"):
        with refuses(name):
            load(DataConfig(name=str(tmp_path / name)))
    assert not (tmp_path / "ran").exists()


@pytest.mark.parametrize("key", [*arrays.KEYS, "anything"])
@pytest.mark.parametrize("label_key", arrays.LABEL_KEYS)
def test_npz(tmp_path: Path, key: str, label_key: str) -> None:
    x = np.arange(40, dtype=np.uint8).reshape(10, 2, 2)
    np.savez_compressed(tmp_path / "x.npz", **{key: x, label_key: np.arange(10)})
    data = load(DataConfig(name=str(tmp_path / "x.npz")))
    for split in (data.train, data.validation, data.test):
        assert split.labels is not None
        np.testing.assert_array_equal(np.rint(split.x[:, 0, 0, 0] * 255), 4 * split.labels)


@pytest.mark.parametrize(
    ("labels", "names", "numbers"),
    [
        (np.array([3, 7, -1, 7]), ("3", "7"), [0, 1, -1, 1]),
        (np.array([[2.0], [0.0], [1.0], [0.0]]), ("0", "1", "2"), [2, 0, 1, 0]),
        (np.array(["dog", "cat", "cat", "dog"]), ("cat", "dog"), [1, 0, 0, 1]),
        (np.array([0.5, 1, 2, 3]), (), None),
        (np.array([1, 2, 3]), (), None),
        (np.array([1, np.nan, 2, 3]), (), None),
    ],
)
def test_labels_index_their_names(labels: np.ndarray, names: tuple[str, ...], numbers: list[int] | None) -> None:
    found, found_names = arrays.number_labels(labels, 4)
    assert found_names == names
    assert (None if found is None else found.tolist()) == numbers


def test_npz_without_a_clear_array(tmp_path: Path, refuses) -> None:
    np.savez(tmp_path / "x.npz", a=np.zeros((10, 2)), b=np.zeros((10, 2)))
    with refuses("x.npz", "a, b", "samples"):
        load(DataConfig(name=str(tmp_path / "x.npz")))


def header(text: str) -> bytes:
    return b"\x93NUMPY\x01\x00" + struct.pack("<H", len(text) + 1) + text.encode() + b"\n"


BOMB = header(f"{{'descr': '<f8', 'fortran_order': False, 'shape': ({2**40}, 1000)}}") + bytes(80)


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"\x93NUMPY",
        BOMB,
        header("{'descr': '<f8', 'fortran_order': False, 'shape': (-1, 5)}") + bytes(400),
        header("{'descr': '<f8', 'fortran_order': False, 'shape': (10, 5)}") + bytes(399),
        header("{'descr': '|O', 'fortran_order': False, 'shape': (10,)}") + pickle.dumps([1] * 10),
        header("__import__('os').system('true')"),
        header("(" * 3000),
        b"\x93NUMPY\x03\x00" + bytes(100),
        b"\x93NUMPY\x02\x00\xff\xff\xff\xff" + bytes(100),
    ],
    ids=range(10),
)
def test_damaged_and_hostile_files(tmp_path: Path, content: bytes, refuses) -> None:
    (tmp_path / "x.npy").write_bytes(content)
    with zipfile.ZipFile(tmp_path / "x.npz", "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("samples.npy", content)
    for name in ("x.npy", "x.npz"):
        with refuses(name):
            load(DataConfig(name=str(tmp_path / name)))


def test_a_header_that_claims_too_much(tmp_path: Path, refuses) -> None:
    content = header(f"{{'descr': '<f8', 'fortran_order': False, 'shape': ({2**30},)}}") + bytes(80)
    (tmp_path / "x.npy").write_bytes(content)
    with refuses("x.npy", f"{2**33} bytes, and holds 80"):
        load(DataConfig(name=str(tmp_path / "x.npy")))


def test_a_zip_that_lies_about_its_sizes(tmp_path: Path, refuses) -> None:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("samples.npy", BOMB)
    content, size = buffer.getvalue(), struct.pack("<I", len(BOMB))
    assert content.count(size) == 2  # in the local header and in the directory
    (tmp_path / "x.npz").write_bytes(content.replace(size, struct.pack("<I", 2**32 - 2)))
    with refuses("x.npz", "claims"):
        load(DataConfig(name=str(tmp_path / "x.npz")))


def npz_bytes() -> bytes:
    buffer = io.BytesIO()
    np.savez_compressed(buffer, samples=np.arange(40, dtype=np.uint8).reshape(10, 2, 2), y=np.arange(10))
    return buffer.getvalue()


VALID = npz_bytes()


@given(st.integers(0, len(VALID) - 1), st.integers(0, 255), st.booleans())
def test_damaged_npz_is_read_or_refused(
    tmp_path_factory: pytest.TempPathFactory, position: int, value: int, cut: bool
) -> None:
    path = tmp_path_factory.mktemp("npz") / "x.npz"
    path.write_bytes(VALID[:position] + (b"" if cut else bytes([value]) + VALID[position + 1 :]))
    try:
        load(DataConfig(name=str(path)))
    except InputError as error:
        assert "\n" not in str(error)


@pytest.mark.parametrize("scaling", ["auto", "standard"])
def test_what_is_missing_stays_so_and_moments_are_of_the_rest(tmp_path, scaling):
    random = np.random.default_rng(0)
    whole = random.normal(5, [1.0, 20.0, 0.0], (400, 3))
    gone = random.random(whole.shape) < 0.3
    np.save(tmp_path / "x.npy", np.where(gone, np.nan, whole))
    data = load(DataConfig(str(tmp_path / "x.npy"), scaling=scaling, missing="hide"))
    order = shuffled(400)
    train = np.where(gone, np.nan, whole)[order[:320]]
    assert np.array_equal(np.isnan(data.train.x), np.isnan(train)) and not data.is_whole
    np.testing.assert_allclose(data.scaling.shift, np.nanmean(train, 0))
    np.testing.assert_allclose(data.scaling.scale[:2], np.nanstd(train, 0)[:2])
    assert data.scaling.scale[2] == 1 and np.nanmax(np.abs(data.train.x[:, 2])) == 0
    np.testing.assert_allclose(data.scaling.apply(data.scaling.undo(data.train.x)), data.train.x, atol=1e-5)


def test_images_with_gaps_keep_their_white(tmp_path):
    x = np.random.default_rng(0).integers(0, 256, (20, 4, 4)).astype(np.float32)
    x[:, :, :2][::2] = np.nan
    np.save(tmp_path / "x.npy", x)
    data = load(DataConfig(str(tmp_path / "x.npy"), missing="hide"))
    assert data.scaling.scale == 255 and np.nanmax(data.train.x) <= 1
    with pytest.raises(InputError, match=r"contrast does not fit .* whole images"):
        load(DataConfig(str(tmp_path / "x.npy"), missing="hide", scaling="contrast"))


@pytest.mark.parametrize(
    ("change", "wrong"),
    [
        ((slice(None), 1, np.nan), r"holds no number at \[:, 1\], NaN alone, allowed is one example"),
        ((3, 1, np.inf), r"holds 1 values that are infinite, the first at \[3, 1\]"),
    ],
)
def test_columns_of_nothing_and_infinities_are_refused_where_nan_is_not(tmp_path, change, wrong):
    x = np.ones((20, 3))
    x[change[:2]] = change[2]
    np.save(tmp_path / "x.npy", x)
    with pytest.raises(InputError, match=wrong):
        load(DataConfig(str(tmp_path / "x.npy"), missing="hide"))
