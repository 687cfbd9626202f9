"""Samples as pictures: grids of images, and scatter plots of points."""

import io
import math
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from advnets import disk

FloatArray = NDArray[np.float32]
_SHORTEST_SIDE = 480  # pixels that a grid has at least, so that 8x8 digits can be read


def channels_last(x: FloatArray) -> FloatArray:
    """Turn (n, c, h, w) into (n, h, w) for one channel and (n, h, w, c) for more; leave (n, d) alone."""
    if x.ndim != 4:
        return x
    return x[:, 0] if x.shape[1] == 1 else np.ascontiguousarray(x.transpose(0, 2, 3, 1))


def to_bytes(x: FloatArray, *, stretch: bool) -> NDArray[np.uint8]:
    """Turn images into 0..255: [0, 1] clipped, or each image stretched between its own extremes."""
    if stretch:
        low = x.min(axis=(1, 2, 3), keepdims=True)
        x = (x - low) / np.maximum(x.max(axis=(1, 2, 3), keepdims=True) - low, 1e-8)
    return np.asarray(np.rint(np.clip(x, 0.0, 1.0) * 255.0), dtype=np.uint8)


def grid(x: FloatArray, *, columns: int | None = None, stretch: bool = False) -> Image.Image:
    """Lay out images (n, c, h, w) row by row with a one-pixel gap; small images are enlarged by a whole factor."""
    count, channels, height, width = x.shape
    columns = columns or math.ceil(math.sqrt(count))
    rows = math.ceil(count / columns)
    canvas = np.full((rows * (height + 1) + 1, columns * (width + 1) + 1, channels), 128, dtype=np.uint8)
    for index, image in enumerate(to_bytes(x, stretch=stretch).transpose(0, 2, 3, 1)):
        top, left = (index // columns) * (height + 1) + 1, (index % columns) * (width + 1) + 1
        canvas[top : top + height, left : left + width] = image
    picture = Image.fromarray(canvas[:, :, 0] if channels == 1 else canvas)
    factor = max(1, math.ceil(_SHORTEST_SIDE / min(picture.size)))
    return picture.resize((picture.width * factor, picture.height * factor), Image.Resampling.NEAREST)


def masked(x: FloatArray, known: NDArray[np.floating] | NDArray[np.bool_]) -> FloatArray:
    """Show what is known of images: the rest is halfway between the darkest and the brightest pixel of all."""
    grey = (float(np.fmin.reduce(x, axis=None)) + float(np.fmax.reduce(x, axis=None))) / 2
    return np.where(known > 0, x, np.float32(grey)).astype(np.float32)


def plot(x: FloatArray, data: FloatArray | None = None) -> Image.Image:
    """Plot vectors (n, d): a histogram for d = 1, the first two columns otherwise; data, if given, behind in grey."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(6, 6), dpi=100, layout="constrained")
    canvas = FigureCanvasAgg(figure)
    axes = figure.add_subplot()
    layers = [(data, "0.7", "data")] if data is not None else []
    for points, colour, label in [*layers, (x, "C2", "samples")]:
        if points.shape[1] == 1:
            axes.hist(points[:, 0], bins=60, density=True, color=colour, alpha=0.6, label=label)
        else:
            axes.scatter(points[:, 0], points[:, 1], s=4, color=colour, alpha=0.6, label=label, linewidths=0)
    axes.set(xlabel="x" if x.shape[1] == 1 else "column 1", ylabel="density" if x.shape[1] == 1 else "column 2")
    axes.legend(markerscale=4)
    canvas.draw()
    return Image.fromarray(np.asarray(canvas.buffer_rgba())).convert("RGB")


def save(picture: Image.Image, file: Path) -> None:
    """Write a picture aside, then rename it into place."""
    content = io.BytesIO()
    picture.save(content, format="PNG")
    disk.replace(file, content.getbuffer())
