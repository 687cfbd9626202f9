"""What the figures share: panels of images, their captions, and files that come out the same every time."""

import contextlib
from collections.abc import Iterator
from pathlib import Path

import matplotlib
import numpy as np
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle

from advnets import pictures
from advnets.data.dataset import FloatArray
from advnets.errors import InputError
from advnets.sampling import Sampler

_FRAME = "#f2c200"


def panel(axes: Axes, x: FloatArray, columns: int, title: str, *, stretch: bool, framed: bool = False) -> None:
    """Show images (n, c, h, w) row by row; `framed` draws a frame around the last column."""
    picture = pictures.grid(x, columns=columns, stretch=stretch)
    axes.imshow(np.asarray(picture), cmap="gray", vmin=0, vmax=255, interpolation="nearest")
    axes.set_title(title, fontsize=9)
    axes.set_axis_off()
    if framed:
        width = picture.width / columns
        frame = (picture.width - width, 0.0), width, picture.height
        axes.add_patch(Rectangle(*frame, fill=False, edgecolor=_FRAME, linewidth=3, clip_on=False))


def caption(sampler: Sampler, name: str) -> str:
    """Say what made the samples: data, recipe, seed, step, weights."""
    weights = "averaged weights" if sampler.weights == "average" else "raw weights"
    config = sampler.config
    return f"{name}\nrecipe {config.recipe}, seed {config.seed}, step {sampler.step:,}, {weights}"


def save(figure: Figure, *files: Path) -> list[Path]:
    """Write a figure as .png or .svg, byte for byte the same every time; raises InputError where the disk refuses."""
    FigureCanvasAgg(figure)
    for file in files:
        metadata = {"Date": None} if file.suffix == ".svg" else {"Software": None}
        with writing(file), matplotlib.rc_context({"svg.hashsalt": "advnets", "svg.fonttype": "path"}):
            figure.savefig(file, metadata=metadata, dpi=200)
    return [*files]


@contextlib.contextmanager
def writing(file: Path) -> Iterator[None]:
    """Make the folder of a file that the block writes; raises InputError where the disk refuses either."""
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
        yield
    except OSError as error:
        raise InputError(
            f"cannot write {file} ({error.strerror or error}), allowed: a place with room that you may write to; name "
            "another with --out"
        ) from error
