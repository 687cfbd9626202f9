"""Images that PIL decodes, and changes of size and colour."""

import contextlib
import io
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageOps, UnidentifiedImageError

from advnets.config import DataConfig
from advnets.data.places import read_bounded, unreadable
from advnets.data.splits import Raw
from advnets.errors import InputError

Pixels = NDArray[np.uint8]
Colour = Literal["auto", "grey", "rgb"]

FORMATS = ("PNG", "JPEG", "BMP", "GIF", "WEBP", "TIFF")  # a suffix is a claim: no other decoder may run
LARGEST = 100_000_000  # pixels
_ROOM = 16 << 30  # bytes of all images of an array
_BYTES = 1 << 30  # of a file: more than as many pixels take without any packing
_LUMA = np.array([19595, 38470, 7471]) / 65536  # ITU-R 601-2, as PIL weighs red, green and blue


def read_image(path: Path, size: int | None) -> Pixels:
    """Return one file as (h, w) where it is grey and (h, w, 3) where it has colour, square if a size is given."""
    try:
        # From memory: PIL asks a file for as many bytes as a chunk says it has, and gets room for all of them.
        with Image.open(io.BytesIO(read_bounded(path, _BYTES, "make it smaller")), formats=FORMATS) as image:
            if image.width * image.height > LARGEST:
                raise InputError(
                    f"{path} has {image.width} x {image.height} pixels, allowed are {LARGEST} in all; make it smaller"
                )
            with _silent() if image.format == "TIFF" else contextlib.nullcontext():
                plain = _plain(ImageOps.exif_transpose(image), path)
    except InputError:
        raise
    except UnidentifiedImageError:
        raise unreadable(path, ValueError(f"it is none of {', '.join(FORMATS)}")) from None
    except Exception as error:  # PIL's decoders raise almost anything on a damaged file
        raise unreadable(path, error) from error
    pixels = np.asarray(plain if size is None else _square(plain, size))
    if pixels.ndim == 3 and (pixels == pixels[..., :1]).all():
        return pixels[..., 0]
    return pixels


@contextlib.contextmanager
def _silent() -> Iterator[None]:
    """Keep libtiff from writing to the standard error itself what it then fails with."""
    kept, nowhere = os.dup(2), os.open(os.devnull, os.O_WRONLY)
    try:
        os.dup2(nowhere, 2)
        yield
    finally:
        os.dup2(kept, 2)
        os.close(kept)
        os.close(nowhere)


def fit(raw: Raw, config: DataConfig) -> Raw:
    """Give images that were read from arrays the size and the colour that the configuration asks for."""
    if config.size is None and config.colour == "auto":
        return raw
    if not raw.is_images:
        raise InputError(f"--data.size and --data.colour do not fit {config.name}, allowed are images; leave them out")
    high = 1.0 if raw.white is None else raw.white
    if config.colour != "auto":
        raw = raw.with_examples(lambda x: _recolour(x, config.colour))
    size = config.size
    if size is None or raw.train.x.shape[2:] == (size, size):
        return raw
    return raw.with_examples(lambda x: _resize(x, size, high))


def _plain(image: Image.Image, path: Path) -> Image.Image:
    """Turn any mode into L or RGB: 16 bits are rounded to 8, transparent parts are white."""
    if image.mode.startswith("I"):
        values = np.asarray(image)
        if values.min() < 0 or values.max() > 65535:
            raise InputError(
                f"{path} has values outside 0..65535, allowed are 8 or 16 bits a channel; convert it to PNG"
            )
        return Image.fromarray(((values.astype(np.uint32) + 128) // 257).astype(np.uint8))
    if image.mode == "F":
        raise InputError(f"{path} has floating point pixels, allowed are 8 or 16 bits a channel; save the set as .npy")
    if image.has_transparency_data:
        layers = image.convert("RGBA")
        return Image.alpha_composite(Image.new("RGBA", layers.size, "white"), layers).convert("RGB")
    return image.convert("L" if image.mode in ("1", "L") else "RGB")


def _square(image: Image.Image, size: int) -> Image.Image:
    """Cut the largest centred square, then resize it: in this order, so that what is cut off leaves no trace."""
    side = min(image.size)
    left, top = (image.width - side) // 2, (image.height - side) // 2
    square = image.crop((left, top, left + side, top + side))
    return square if side == size else square.resize((size, size), Image.Resampling.LANCZOS)


def _recolour(x: NDArray[Any], colour: Colour) -> NDArray[Any]:
    if colour == "grey" and x.shape[1] == 3:
        grey = np.tensordot(x, _LUMA, axes=(1, 0))[:, None]
        return (np.rint(grey) if x.dtype == np.uint8 else grey).astype(x.dtype)
    return np.repeat(x, 3, axis=1) if colour == "rgb" and x.shape[1] == 1 else x


def _resize(x: NDArray[Any], size: int, high: float) -> NDArray[Any]:
    """Resize every channel in floating point, from its largest centred square, and keep values in [0, high]."""
    planes = x.reshape(-1, *x.shape[2:])
    if len(planes) * size * size * x.itemsize > _ROOM:
        raise InputError(f"--data.size {size} makes more than {_ROOM} bytes, allowed are fewer; make it smaller")
    out = np.empty((len(planes), size, size), x.dtype)
    for index, plane in enumerate(planes):
        values = np.clip(np.asarray(_square(Image.fromarray(plane.astype(np.float32)), size)), 0, high)
        out[index] = np.rint(values) if x.dtype == np.uint8 else values
    return out.reshape(*x.shape[:2], size, size)
