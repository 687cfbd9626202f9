"""Parts of the page that Gradio has not: pictures with names, samples to choose from, a plane to drag on, canvases."""

import base64
import functools
import html
import io
from collections.abc import Callable
from importlib import resources
from typing import Any, TypeVar, cast

import gradio as gr
import numpy as np
import pandas as pd
from numpy.typing import NDArray
from PIL import Image, ImageDraw

from advnets.data.dataset import FloatArray
from advnets.errors import InputError
from advnets.lab import curves
from advnets.pictures import to_bytes

Handler = TypeVar("Handler", bound=Callable[..., Any])
_FEW = 16  # numbers of a row that are shown
_SIDE, _MARGIN = 200, 12  # pixels


@functools.cache
def static(name: str) -> str:
    """Return a file of the package's static folder."""
    return (resources.files("advnets.lab") / "static" / name).read_text()


def uri(picture: Image.Image) -> str:
    """Return a picture as an address that holds all of it."""
    content = io.BytesIO()
    picture.save(content, format="PNG")
    return of_png(content.getvalue())


def of_png(content: bytes) -> str:
    """Return the address of a PNG file's content."""
    return "data:image/png;base64," + base64.b64encode(content).decode()


def source(x: FloatArray, *, stretch: bool = False, among: FloatArray | None = None) -> str:
    """Return the address of a picture of one sample: an image (c, h, w) pixel by pixel, or a vector among others."""
    if x.ndim == 3:
        pixels = to_bytes(x[None], stretch=stretch)[0].transpose(1, 2, 0)
        return uri(Image.fromarray(pixels[:, :, 0] if pixels.shape[2] == 1 else pixels))
    return uri(dots(x[None], x[None] if among is None else among))


def dots(x: FloatArray, among: FloatArray) -> Image.Image:
    """Draw vectors (n, d) large and others small, by their first two numbers, the second upwards."""
    both = np.concatenate([among, x])[:, :2]
    low, high = both.min(0), both.max(0)
    places = (both - low) / np.maximum(high - low, 1e-12)
    places = np.column_stack([places, np.full(len(both), 0.5)])[:, :2]  # a number alone lies in the middle
    corners = _MARGIN + (_SIDE - 2 * _MARGIN) * np.column_stack([places[:, 0], 1 - places[:, 1]])
    picture = Image.new("RGB", (_SIDE, _SIDE), "white")
    pen = ImageDraw.Draw(picture)
    for index, (across, down) in enumerate(corners.tolist()):
        radius, colour = (1.5, "#777777") if index < len(among) else (6.0, "#f97316")
        pen.ellipse((across - radius, down - radius, across + radius, down + radius), fill=colour)
    return picture


def image(address: str, name: str, *, wide: bool = False) -> str:
    """Return the element of a picture with its name for those who do not see it."""
    kind = "wide" if wide else "pixels"
    return f'<img class="{kind}" src="{address}" alt="{html.escape(name)}">'


def sample(x: FloatArray, name: str, *, stretch: bool = False, among: FloatArray | None = None) -> str:
    """Return the element that shows one sample: an image, a point among others, or a row of numbers."""
    if x.ndim == 3 or len(x) <= 2:
        return image(source(x, stretch=stretch, among=among), name)
    numbers = ", ".join(f"{value:.3g}" for value in x[:_FEW]) + (", …" if len(x) > _FEW else "")
    return f'<p class="numbers" role="img" aria-label="{html.escape(name)}">{numbers}</p>'


def figures(*captioned: tuple[str, str]) -> str:
    """Lay out elements with captions in a row that wraps."""
    each = (f"<figure>{one}<figcaption>{html.escape(caption)}</figcaption></figure>" for one, caption in captioned)
    return f'<div class="figures">{"".join(each)}</div>'


def words(*lines: str, kind: str = "") -> str:
    """Return paragraphs, in a box of a kind, of text that files and users may have written."""
    return f'<div class="{kind}">{"".join(f"<p>{html.escape(line)}</p>" for line in lines)}</div>'


def plot(label: str) -> tuple[Any, Any]:
    """Make a plot of curves over the steps with its legend above it; `curved` fills both."""
    legend = gr.HTML(elem_classes="legend")
    return legend, gr.LinePlot(x="step", y="value", color="curve", colors_in_legend=[], height=230, label=label)


def curved(frame: pd.DataFrame) -> tuple[str, Any]:
    """Return the legend of a table of curves, with their last values, and the plot."""
    colours = curves.colours(frame)
    last = {name: frame["value"][frame["curve"] == name].iloc[-1] for name in colours}
    each = (
        f'<span><span style="color: {colour}" aria-hidden="true">■</span> {html.escape(name)} {last[name]:.3g}</span>'
        for name, colour in colours.items()
    )
    return f"<p>{''.join(each)}</p>", gr.LinePlot(value=frame, color_map=colours)


def refusal(error: InputError) -> str:
    """Return the line of a refusal."""
    return f'<p class="refusal" role="alert">{html.escape(str(error))}</p>'


def refusing(handler: Handler) -> Handler:
    """Show a refusal of a handler as a note over the page, which stays as it is."""

    @functools.wraps(handler)
    def guarded(*given: Any) -> Any:
        try:
            return handler(*given)
        except InputError as error:
            raise gr.Error(str(error), print_exception=False) from None

    return cast(Handler, guarded)


def choices(label: str, elem_id: str) -> Any:
    """Make rows of samples to choose from; its value is a list of {src, name, mark}, and `choose` tells the index."""
    return _part("choices", [], label, elem_id)


def pad(label: str, elem_id: str) -> Any:
    """Make a plane to drag over; its value is {src, u, v, low, high}, and `drag` tells u and v."""
    return _part("pad", {"src": "", "u": 0.0, "v": 0.0, "low": 0.0, "high": 1.0}, label, elem_id)


def canvas(label: str, elem_id: str) -> Any:
    """Make a canvas over a picture; its value is {src, width, height, ink, name}, and `drawn` tells the pixels."""
    return _part("canvas", {"src": "", "width": 28, "height": 28, "ink": "white", "name": label}, label, elem_id)


def _part(kind: str, value: Any, label: str, elem_id: str) -> Any:
    html_template, js_on_load = (static(f"{kind}.{suffix}") for suffix in ("html", "js"))
    return gr.HTML(value=value, label=label, html_template=html_template, js_on_load=js_on_load, elem_id=elem_id)


def drawn(event: gr.EventData, shape: tuple[int, ...]) -> NDArray[np.float32]:
    """Return what was drawn on a canvas, (h, w) in [0, 1]; raises InputError for anything else a browser may send."""
    pixels = getattr(event, "pixels", None)
    size = shape[-2] * shape[-1]
    if not isinstance(pixels, list) or len(pixels) != size or not all(type(one) in (int, float) for one in pixels):
        raise InputError(f"the drawing is not of {size} pixels, allowed: {shape[-2]} × {shape[-1]}; draw again")
    drawing = np.asarray(pixels, np.float32).reshape(shape[-2:])
    return np.clip(np.nan_to_num(drawing), 0.0, 1.0)
