"""Packed data sets: what is read of them is what was packed, and damage is told."""

import dataclasses
import json
import shutil
import sys
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from advnets.config import DataConfig
from advnets.data import DataSet, load, packed
from advnets.data.packing import pack
from advnets.errors import InputError

from .conftest import Refuses

RNG = np.random.default_rng(0)
IMAGES = RNG.integers(0, 256, (57, 3, 4), np.uint8)
SOURCES = {
    "images": {"x": IMAGES},
    "black": {"x": np.zeros((20, 3, 4), np.uint8)},
    "colour": {"x": RNG.random((23, 5, 4, 3)), "y": np.array([*"abcabc" * 3, *"aaaaa"])},
    "some without a class": {"x": IMAGES, "y": RNG.integers(-1, 3, 57)},
    "table": {"x": RNG.normal(3, 7, (41, 3)).astype(np.float64), "c": RNG.normal(size=(41, 2))},
    "whole numbers": {"x": RNG.integers(-9, 9, (30, 2), np.int16)},
    "the other byte order": {"x": RNG.normal(size=(30, 2)).astype(">f4")},
}


@pytest.fixture
def small(monkeypatch: pytest.MonkeyPatch) -> None:
    """Shards of a few examples, and no more than one in memory."""
    monkeypatch.setattr(packed, "_SHARD", 100)
    monkeypatch.setattr(packed, "_BLOCK", 50)
    monkeypatch.setattr(packed, "_RESIDENT", 1)


def both(file: Path, out: Path, **config: object) -> tuple[DataSet, DataSet]:
    """The same data in memory and packed."""
    pack(DataConfig(str(file), **config), out)
    return load(DataConfig(str(file), **config)), load(DataConfig(str(out)))


def assert_same(plain: DataSet, found: DataSet) -> None:
    """Both hold the same numbers, and all training examples can be had in any order, and twice."""
    assert found.packed is not None and plain.packed is None
    assert (found.examples, found.shape, found.class_names) == (plain.examples, plain.shape, plain.class_names)
    for name in ("validation", "test"):
        one, other = getattr(plain, name), getattr(found, name)
        for field in dataclasses.fields(one):
            assert np.array_equal(getattr(one, field.name), getattr(other, field.name)), (name, field.name)
    rows = np.random.default_rng(1).integers(0, plain.examples, 3 * plain.examples)
    assert np.array_equal(found.packed.ask(rows)(), plain.train.x[rows])
    if plain.train.labels is not None:
        assert found.packed.labels is not None and np.array_equal(found.packed.labels, plain.train.labels)
    if plain.train.vectors is not None:
        assert np.array_equal(found.packed.vectors(rows), plain.train.vectors[rows])


@pytest.mark.parametrize("name", SOURCES)
def test_holds_what_the_array_holds(name: str, tmp_path: Path) -> None:
    np.savez(tmp_path / "own.npz", **SOURCES[name])
    plain, found = both(tmp_path / "own.npz", tmp_path / "packed")
    assert_same(plain, found)
    assert np.array_equal(plain.train.x, found.train.x)
    assert plain.scaling.to_json() == found.scaling.to_json()


@pytest.mark.parametrize("name", ["images", "colour", "some without a class"])
def test_many_shards_and_one_example_in_memory_hold_the_same(name: str, tmp_path: Path, small: None) -> None:
    np.savez(tmp_path / "own.npz", **SOURCES[name])
    plain, found = both(tmp_path / "own.npz", tmp_path / "packed")
    assert_same(plain, found)
    assert len(found.train.x) == 1 and np.array_equal(found.train.x, plain.train.x[:1])
    assert len(list((tmp_path / "packed" / "x" / "c").iterdir())) > 5


def test_a_mapped_file_holds_the_same_as_one_in_memory(tmp_path: Path, small: None) -> None:
    np.save(tmp_path / "own.npy", IMAGES)
    assert_same(*both(tmp_path / "own.npy", tmp_path / "packed"))


@pytest.mark.parametrize("colour", ["auto", "grey", "rgb"])
def test_folders_of_images_hold_the_same(colour: str, tmp_path: Path, small: None) -> None:
    for index in range(24):
        folder = tmp_path / "own" / "ab"[index % 2]
        folder.mkdir(parents=True, exist_ok=True)
        pixels = RNG.integers(0, 256, (6, 7, 3) if index == 20 else (6, 7), np.uint8)
        Image.fromarray(pixels).save(folder / f"{index}.png")
    assert_same(*both(tmp_path / "own", tmp_path / "packed", size=5, colour=colour))


def test_held_out_parts_are_bounded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(packed, "MOST_HELD_OUT", 2)
    np.save(tmp_path / "own.npy", IMAGES)
    _, found = both(tmp_path / "own.npy", tmp_path / "packed")
    assert (found.examples, len(found.validation.x), len(found.test.x)) == (53, 2, 2)
    parts = [found.packed.ask(np.arange(53))(), found.validation.x, found.test.x]
    assert {row.tobytes() for row in np.concatenate(parts)} == {
        row.tobytes() for row in np.float32(IMAGES[:, None]) / 255
    }


def test_the_fingerprint_follows_the_data_and_the_split(tmp_path: Path) -> None:
    np.save(tmp_path / "a.npy", IMAGES)
    other = IMAGES.copy()
    other[40, 1, 1] ^= 1
    np.save(tmp_path / "b.npy", other)
    for name in ("a", "b"):
        pack(DataConfig(str(tmp_path / f"{name}.npy")), tmp_path / name)
    shutil.copytree(tmp_path / "a", tmp_path / "copy")
    prints = {
        (name, share): load(DataConfig(str(tmp_path / name), held_out=share)).fingerprint
        for name in ("a", "b", "copy")
        for share in (0.1, 0.2)
    }
    assert len(set(prints.values())) == 4
    assert prints["a", 0.1] == prints["copy", 0.1]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    np.savez(tmp_path / "own.npz", x=IMAGES, y=RNG.integers(0, 3, 57))
    pack(DataConfig(str(tmp_path / "own.npz")), tmp_path / "packed")
    return tmp_path / "packed"


@settings(max_examples=40)
@given(st.data())
def test_no_damaged_byte_gives_other_numbers(tmp_path_factory: pytest.TempPathFactory, data: st.DataObject) -> None:
    root = tmp_path_factory.mktemp("damaged")
    np.save(root / "own.npy", IMAGES)
    plain, found = both(root / "own.npy", root / "packed")
    file = next(path for path in (root / "packed" / "x" / "c").rglob("*") if path.is_file())
    content = bytearray(file.read_bytes())
    place = data.draw(st.integers(0, len(content) - 1))
    content[place] ^= data.draw(st.integers(1, 255))
    file.write_bytes(content)
    try:
        found = load(DataConfig(str(root / "packed")))
        x = found.packed.ask(np.arange(found.examples))()
    except InputError as error:
        assert "cannot be read" in str(error) and str(root / "packed") in str(error) and "\n" not in str(error)
    else:
        assert np.array_equal(x, plain.train.x)


def test_a_shard_that_is_gone_or_cut_is_told(folder: Path, refuses: Refuses) -> None:
    held = load(DataConfig(str(folder))).packed
    file = next(path for path in (folder / "x" / "c").rglob("*") if path.is_file())
    content = file.read_bytes()
    file.write_bytes(content[:40])
    with refuses(str(folder), "holds 40", "pack it again"):
        load(DataConfig(str(folder)))
    file.unlink()
    with refuses(str(folder), "holds 0", "pack it again"):
        load(DataConfig(str(folder)))
    file.write_bytes(bytes(len(content)))  # as long as before, and nothing in it
    with refuses(str(folder), "cannot be read"):
        load(DataConfig(str(folder)))
    assert held is not None


def change(file: Path, **told: object) -> None:
    content = json.loads(file.read_text())
    content["attributes"]["advnets"] |= told
    file.write_text(json.dumps(content))


@pytest.mark.parametrize(
    "told",
    [
        {"n": 2**39},
        {"n": 5},
        {"n": True},
        {"format": 2},
        {"shape": [1, 3, -4]},
        {"shape": [1, 3]},
        {"shape": [10**9, 10**9, 10**9]},
        {"dtype": "object"},
        {"kind": "contrast"},
        {"white": 7.0},
        {"classes": [1]},
        {"vectors": -1},
        {"digest": None},
    ],
)
def test_what_it_says_of_itself_is_not_trusted(told: dict[str, object], folder: Path, refuses: Refuses) -> None:
    change(folder / "zarr.json", **told)
    with refuses(str(folder), "pack it again"):
        load(DataConfig(str(folder)))


def test_another_layout_is_refused(folder: Path, refuses: Refuses) -> None:
    file = folder / "x" / "zarr.json"
    content = json.loads(file.read_text())
    content["codecs"][0]["configuration"]["codecs"].append({"name": "gzip", "configuration": {"level": 9}})
    file.write_text(json.dumps(content))
    with refuses(str(folder / "x"), "laid out otherwise"):
        load(DataConfig(str(folder)))
    (folder / "zarr.json").write_text('{"zarr_format": 3, "node_type": "group"}')
    with refuses(str(folder), "pack it again"):
        load(DataConfig(str(folder)))


def test_classes_that_have_no_name_are_refused(folder: Path, refuses: Refuses) -> None:
    change(folder / "zarr.json", classes=["0", "1"])
    with refuses(str(folder), "classes that it does not name"):
        load(DataConfig(str(folder)))


def test_it_cannot_be_resized(folder: Path, refuses: Refuses) -> None:
    with refuses("--data.size", "pack it again with --size"):
        load(DataConfig(str(folder), size=8))
    with refuses("packed already"):
        pack(DataConfig(str(folder)), folder.with_name("twice"))


@pytest.mark.parametrize(
    ("array", "words"),
    [
        (np.where(np.arange(57)[:, None, None] == 41, np.nan, IMAGES), ["NaN", "the first at [41, 0, 0]"]),
        (IMAGES.astype(np.float32) - 3, ["pixels from -3", "rescale"]),
        (IMAGES[:5], ["holds 5 examples"]),
        (np.asfortranarray(RNG.normal(size=(30, 4))), ["Fortran"]),
        (np.array(["a"] * 20), ["real numbers"]),
        (RNG.normal(size=(20, 4, 4, 5)), ["has the shape"]),
        (np.zeros(20, np.complex64), ["plain numbers"]),
    ],
)
def test_refuses_what_cannot_be_trained_on_and_leaves_nothing(
    array: np.ndarray, words: list[str], tmp_path: Path, small: None, refuses: Refuses
) -> None:
    np.save(tmp_path / "own.npy", array)
    with refuses(str(tmp_path / "own.npy"), *words):
        pack(DataConfig(str(tmp_path / "own.npy")), tmp_path / "packed")
    assert [path.name for path in tmp_path.iterdir()] == ["own.npy"]


def test_a_header_that_claims_too_much_is_refused(tmp_path: Path, refuses: Refuses) -> None:
    np.save(tmp_path / "own.npy", IMAGES)
    content = (tmp_path / "own.npy").read_bytes()
    (tmp_path / "own.npy").write_bytes(content[:-1])
    with refuses("own.npy", "bytes, and holds"):
        pack(DataConfig(str(tmp_path / "own.npy")), tmp_path / "packed")


def test_refuses_a_place_that_is_taken(folder: Path, refuses: Refuses) -> None:
    with refuses(str(folder), "exists"):
        pack(DataConfig(str(folder.with_name("own.npz"))), folder)
    with refuses("nowhere", "check the path"):
        pack(DataConfig("nowhere.npy"), folder.with_name("other"))


def test_a_stop_leaves_nothing_behind(tmp_path: Path) -> None:
    np.save(tmp_path / "own.npy", IMAGES)

    def stop(done: int, total: int) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        pack(DataConfig(str(tmp_path / "own.npy")), tmp_path / "packed", report=stop)
    assert [path.name for path in tmp_path.iterdir()] == ["own.npy"]


def test_says_how_to_get_the_library(folder: Path, refuses: Refuses, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "tensorstore", None)
    with refuses("tensorstore", "pip install 'advnets[packed]'"):
        load(DataConfig(str(folder)))


def test_other_programs_can_read_it(folder: Path) -> None:
    """The format is Zarr's, so a reader that knows nothing of advnets finds the numbers."""
    import tensorstore

    spec = {"driver": "zarr3", "kvstore": {"driver": "file", "path": str(folder / "x")}}
    assert np.array_equal(tensorstore.open(spec).result().read().result(), IMAGES[:, None])
