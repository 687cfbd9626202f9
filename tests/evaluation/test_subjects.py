from types import SimpleNamespace

import numpy as np
import pytest
from PIL import Image

from advnets.config import Config, DataConfig
from advnets.data import load
from advnets.data.scaling import contrast
from advnets.errors import InputError
from advnets.evaluation import subjects
from advnets.evaluation.subjects import of_file
from advnets.runs import Run

DIGITS = DataConfig("digits")


@pytest.fixture(scope="module")
def digits():
    return load(DIGITS)


def images(n=6, shape=(8, 8)):
    return np.random.default_rng(0).random((n, *shape))


@pytest.mark.parametrize("shape", [(8, 8), (8, 8, 1), (1, 8, 8), (64,)])
@pytest.mark.parametrize("suffix", [".npy", ".npz"])
def test_any_layout_of_the_same_pixels_is_read(tmp_path, digits, shape, suffix):
    file, x = tmp_path / f"samples{suffix}", images()
    values = x.reshape(len(x), *shape)
    if suffix == ".npy":
        np.save(file, values)
    else:
        np.savez(file, samples=values)
    subject = of_file(file, DIGITS, digits)
    assert subject.available == 6
    np.testing.assert_array_equal(subject.draw(4, seed=9), x[:4, None].astype(np.float32))


def test_bytes_count_from_0_to_255(tmp_path, digits):
    x = np.random.default_rng(0).integers(0, 256, (6, 8, 8), np.uint8)
    np.save(tmp_path / "x.npy", x)
    np.testing.assert_allclose(of_file(tmp_path / "x.npy", DIGITS, digits).draw(6, 0)[:, 0], x / 255, rtol=1e-6)


def test_a_folder_of_pictures_is_read_in_the_order_of_names(tmp_path, digits):
    x = np.random.default_rng(0).integers(0, 256, (3, 8, 8), np.uint8)
    for index, image in enumerate(x):
        Image.fromarray(image).convert("RGB").save(tmp_path / f"{index}.png")  # grey data want grey pictures
    np.testing.assert_allclose(of_file(tmp_path, DIGITS, digits).draw(3, 0)[:, 0], x / 255, rtol=1e-6)


@pytest.mark.parametrize("unit", [True, False])
def test_pictures_get_the_contrast_of_the_data(tmp_path, unit):
    config = DataConfig("digits", scaling="contrast")
    x = images() if unit else 5 * images() - 3
    np.save(tmp_path / "x.npy", x)
    drawn = of_file(tmp_path / "x.npy", config, load(config)).draw(6, 0)
    np.testing.assert_allclose(np.linalg.norm(drawn.reshape(6, -1), axis=1), 55, rtol=1e-5)
    np.testing.assert_allclose(drawn, contrast(x[:, None], 55.0), atol=1e-4)


def test_a_generator_of_what_is_no_number_is_refused(tmp_path, monkeypatch):
    sampler = SimpleNamespace(
        config=Config(), step=3, weights="generator", draw=lambda n, seed: np.full((n, 2), np.nan)
    )
    monkeypatch.setattr(subjects, "load_sampler", lambda *arguments: sampler)
    with pytest.raises(InputError, match=r"not finite at step 3.*--step"):
        subjects.of_run(Run(tmp_path)).draw(4, 0)


def test_vectors_stay_in_the_data_s_units(tmp_path):
    config = DataConfig("ring")
    ring = load(config)
    np.save(tmp_path / "x.npy", 7 * np.ones((4, 2)))
    np.testing.assert_array_equal(of_file(tmp_path / "x.npy", config, ring).draw(4, 0), 7 * np.ones((4, 2)))


@pytest.mark.parametrize(
    ("values", "words"),
    [
        (images(shape=(9, 9)), "holds examples of 1x9x9, allowed for digits: 1x8x8"),
        (2 * images() - 1, r"pixels from -0\.\d+ to 0\.\d+, allowed: 0 to 1.*rescale"),
        (np.where(images() < 0.5, np.nan, 0), "NaN or infinite"),
        (images() * 300, "allowed: 0 to 1"),
        (images().astype(object), "allowed are plain numbers"),
        (images()[:0], "none empty"),
    ],
)
def test_samples_that_do_not_do_are_refused_in_one_line(tmp_path, digits, values, words):
    np.save(tmp_path / "x.npy", values, allow_pickle=True)
    with pytest.raises(InputError, match=words) as refusal:
        of_file(tmp_path / "x.npy", DIGITS, digits)
    assert "\n" not in str(refusal.value)


def test_what_is_no_file_of_samples_is_refused(tmp_path, digits):
    (tmp_path / "x.txt").write_text("1 2 3")
    with pytest.raises(InputError, match="of no known kind"):
        of_file(tmp_path / "x.txt", DIGITS, digits)
    with pytest.raises(InputError, match="is not there"):
        of_file(tmp_path / "y.npy", DIGITS, digits)
