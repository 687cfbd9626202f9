import os
import struct
import zlib
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from advnets.config import DataConfig
from advnets.data import DataSet, images, load


def fill(folder: Path, count: int = 10, size: tuple[int, int] = (6, 4), suffix: str = "png") -> np.ndarray:
    """Save grey images and return them, (count, height, width)."""
    folder.mkdir(parents=True, exist_ok=True)
    pixels = np.random.default_rng(len(str(folder))).integers(0, 256, (count, size[1], size[0]), np.uint8)
    for index, image in enumerate(pixels):
        Image.fromarray(image).save(folder / f"{index:02d}.{suffix}")
    return pixels


def load_folder(folder: Path, **settings: object) -> DataSet:
    return load(DataConfig(name=str(folder), **settings))


def rows(data: DataSet) -> list[bytes]:
    parts = np.concatenate([data.train.x, data.validation.x, data.test.x])
    return sorted(np.rint(part * 255).astype(np.uint8).tobytes() for part in parts)


def test_grey_images_come_back_bit_for_bit(tmp_path: Path) -> None:
    pixels = fill(tmp_path / "deep" / "deeper")
    data = load_folder(tmp_path)
    assert data.shape == (1, 4, 6)
    assert [len(split.x) for split in (data.train, data.validation, data.test)] == [8, 1, 1]
    assert rows(data) == sorted(image.tobytes() for image in pixels)
    assert data.train.labels is None  # one sub-folder is no class
    assert data.fingerprint == load_folder(tmp_path).fingerprint


def test_one_coloured_image_makes_all_coloured(tmp_path: Path) -> None:
    fill(tmp_path)
    Image.new("RGB", (6, 4), (255, 0, 0)).save(tmp_path / "red.bmp")
    assert load_folder(tmp_path).shape == (3, 4, 6)
    assert load_folder(tmp_path, colour="grey").shape == (1, 4, 6)
    (tmp_path / "red.bmp").unlink()
    assert load_folder(tmp_path).shape == (1, 4, 6)
    assert load_folder(tmp_path, colour="rgb").shape == (3, 4, 6)


def test_grey_images_saved_with_three_channels_are_grey(tmp_path: Path) -> None:
    pixels = fill(tmp_path)
    for path in tmp_path.iterdir():
        Image.open(path).convert("RGB").save(path)
    data = load_folder(tmp_path)
    assert data.shape == (1, 4, 6) and rows(data) == sorted(image.tobytes() for image in pixels)


def test_sub_folders_are_classes(tmp_path: Path) -> None:
    values = {"cat": fill(tmp_path / "cat"), "dog": fill(tmp_path / "dog" / "small")}
    data = load_folder(tmp_path)
    assert data.class_names == ("cat", "dog")
    for split in (data.train, data.validation, data.test):
        assert split.labels is not None
        for image, label in zip(split.x, split.labels, strict=True):
            assert any(np.array_equal(np.rint(image[0] * 255), other) for other in values[data.class_names[label]])
    Image.fromarray(values["cat"][0]).save(tmp_path / "stray.png")
    assert load_folder(tmp_path).train.labels is None


def test_mixed_sizes_name_two_files_and_the_fix(tmp_path: Path, refuses) -> None:
    fill(tmp_path)
    Image.new("L", (9, 7)).save(tmp_path / "zz.png")
    with refuses("00.png has 6 x 4", "zz.png has 9 x 7", "--data.size 4"):
        load_folder(tmp_path)
    assert load_folder(tmp_path, size=5).shape == (1, 5, 5)


def test_resizing_keeps_the_centre(tmp_path: Path) -> None:
    tmp_path.mkdir(exist_ok=True)
    image = np.zeros((8, 16), np.uint8)
    image[:, 4:12] = 200
    for index in range(10):
        Image.fromarray(image).save(tmp_path / f"{index}.png")
    data = load_folder(tmp_path, size=4)
    np.testing.assert_allclose(data.train.x, 200 / 255, atol=1e-6)


@pytest.mark.parametrize(
    ("mode", "colour", "expected"),
    [
        ("1", 1, 255),
        ("L", 100, 100),
        ("LA", (100, 255), 100),
        ("LA", (100, 0), 255),
        ("RGB", (10, 20, 30), (10, 20, 30)),
        ("RGBA", (10, 20, 30, 255), (10, 20, 30)),
        ("RGBA", (10, 20, 30, 0), 255),
        ("I;16", 65535, 255),
        ("I;16", 257 * 100, 100),
    ],
)
def test_modes_of_png(tmp_path: Path, mode: str, colour: object, expected: object) -> None:
    Image.new(mode, (3, 2), colour).save(tmp_path / "x.png")
    pixels = images.read_image(tmp_path / "x.png", None)
    np.testing.assert_array_equal(pixels, np.broadcast_to(expected, pixels.shape))


def test_palette_cmyk_and_orientation(tmp_path: Path) -> None:
    Image.new("RGB", (3, 2), (10, 20, 30)).quantize().save(tmp_path / "x.png")
    np.testing.assert_array_equal(images.read_image(tmp_path / "x.png", None)[0, 0], (10, 20, 30))
    Image.new("CMYK", (16, 8), (0, 255, 255, 0)).save(tmp_path / "x.jpg")
    assert np.abs(images.read_image(tmp_path / "x.jpg", None)[0, 0].astype(int) - (255, 0, 0)).max() < 5
    exif = Image.Exif()
    exif[0x0112] = 6  # turn by a quarter
    Image.new("L", (16, 8)).save(tmp_path / "y.jpg", exif=exif)
    assert images.read_image(tmp_path / "y.jpg", None).shape == (16, 8)


def png_header(width: int, height: int) -> bytes:
    chunk = b"IHDR" + struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + struct.pack(">I", 13) + chunk + struct.pack(">I", zlib.crc32(chunk))


@pytest.mark.parametrize(
    "content",
    [b"", b"no image", png_header(4, 4), png_header(9500, 9500), png_header(12_000, 12_000), png_header(10**6, 10**6),
     b"P5 6 4 255\n" + bytes(24)],
    ids=["empty", "text", "headless", "large", "warning", "bomb", "other"],
)  # fmt: skip
def test_broken_images_are_named(tmp_path: Path, content: bytes, refuses) -> None:
    fill(tmp_path)
    (tmp_path / "broken.png").write_bytes(content)
    with refuses("broken.png"):
        load_folder(tmp_path)


def test_truncated_images_are_named(tmp_path: Path, refuses) -> None:
    fill(tmp_path, size=(60, 40))
    for suffix in ("png", "jpg", "gif", "webp", "tif", "bmp"):
        path = tmp_path / f"99.{suffix}"
        Image.fromarray(np.random.default_rng(0).integers(0, 256, (40, 60, 3), np.uint8)).save(path)
        path.write_bytes(path.read_bytes()[:-200])
        with refuses(path.name):
            load_folder(tmp_path)
        path.unlink()


def test_what_is_no_image_is_passed_over(tmp_path: Path) -> None:
    pixels = fill(tmp_path)
    (tmp_path / "notes.txt").write_text("no image")
    (tmp_path / "._00.png").write_text("a fork of another system")
    (tmp_path / ".thumbnails").mkdir()
    (tmp_path / ".thumbnails" / "00.png").write_text("hidden")
    (tmp_path / "folder.png").mkdir()
    (tmp_path / "loop").symlink_to(tmp_path, target_is_directory=True)
    os.mkfifo(tmp_path / "pipe.png")
    assert len(rows(load_folder(tmp_path))) == len(pixels)


def test_too_little(tmp_path: Path, refuses) -> None:
    with refuses(str(tmp_path), "no images", "*.png"):
        load_folder(tmp_path)
    fill(tmp_path, count=9)
    with refuses(str(tmp_path), "9 examples", "10 or more"):
        load_folder(tmp_path)
