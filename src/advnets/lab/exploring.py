"""The tab that walks through z: from a sample along directions of G, between two, over the plane of three."""

import dataclasses
import functools
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, cast

import gradio as gr
import numpy as np
import torch

from advnets import pictures
from advnets.data.dataset import FloatArray
from advnets.errors import InputError
from advnets.lab import latent, widgets
from advnets.lab.latent import Walk
from advnets.lab.near import Near
from advnets.lab.shelf import Shelf
from advnets.lab.widgets import Handler

SAMPLES, DIRECTIONS, STEPS, SIDE, REACH = 24, 6, 9, 7, 6.0
ANY = "any"
_ALL = 8 + DIRECTIONS  # components that hang on A, B and C
_LOW, _HIGH = -0.25, 1.25  # of the plane's u and v
_AMONG = 300


@dataclass(frozen=True)
class Place:
    """Where a visitor is: the samples that were drawn, which of them are A, B and C, and what is shown."""

    z: torch.Tensor
    c: torch.Tensor | None
    """c of each sample, where the run has a condition."""
    picked: tuple[int, int, int]
    x: FloatArray = field(repr=False)
    """The sample that is shown."""
    tiles: list[dict[str, str]] = field(repr=False)
    among: FloatArray | None = None
    """Samples that a vector is shown among."""
    board: str = field(default="", repr=False)
    """Picture of the plane."""

    def corner(self, letter: str) -> torch.Tensor:
        """Return z of A, B or C."""
        point: torch.Tensor = self.z[self.picked["ABC".index(letter)]]
        return point

    @property
    def given(self) -> torch.Tensor | None:
        """Return c of A, (1, c), which stays while z moves."""
        return None if self.c is None else self.c[self.picked[0]][None]

    def shown(self) -> list[dict[str, str]]:
        """The samples with the letters of those that were picked."""
        marks = [
            "".join(letter for letter, one in zip("ABC", self.picked, strict=True) if one == i)
            for i in range(len(self.tiles))
        ]
        return [{**tile, "mark": mark} for tile, mark in zip(self.tiles, marks, strict=True)]


def staying(count: int) -> Callable[[Handler], Handler]:
    """Leave the `count` components as they are where nothing was drawn yet, and on a refusal, which is shown."""

    def decorated(handler: Handler) -> Handler:
        @widgets.refusing
        @functools.wraps(handler)
        def guarded(self: "Exploring", run: str, of_class: str, place: Place | None, *rest: Any) -> Any:
            return [gr.skip()] * count if place is None else handler(self, run, of_class, place, *rest)

        return cast(Handler, guarded)

    return decorated


class Exploring:
    """Components and what they do."""

    def __init__(self, shelf: Shelf, run: Any) -> None:
        self.shelf, self.run = shelf, run
        self.nearest = Near(shelf)

    def build(self) -> None:
        """Lay the tab out and wire it."""
        self.place = gr.State(None)
        with gr.Row():
            self.of_class = gr.Dropdown([ANY], value=ANY, label="Class", scale=1, elem_id="class")
            self.seed = gr.Number(0, precision=0, minimum=0, maximum=2**31, label="Seed", scale=1)
            self.fresh = gr.Button("New samples", variant="primary", scale=1, elem_id="fresh")
        self.letter = gr.Radio(["A", "B", "C"], value="A", label="A click on a sample chooses it as", elem_id="letter")
        self.samples = widgets.choices("Samples", "samples")
        with gr.Row():
            with gr.Column(scale=2, min_width=280):
                self.shown = gr.HTML(elem_id="shown", elem_classes="big")
            with gr.Column(scale=3, min_width=300), gr.Tabs():
                self._controls()
        self.near = gr.HTML(elem_id="near")
        self._wire()

    def _controls(self) -> None:
        with gr.Tab("Directions"):
            gr.HTML(widgets.words("From A, in the directions of z in which G's first layer changes most."))
            self.sliders = [
                gr.Slider(
                    -REACH, REACH, 0, step=0.1, label=f"Direction {number + 1}", elem_id=f"direction-{number + 1}"
                )
                for number in range(DIRECTIONS)
            ]
            self.back = gr.Button("Back to A")
        with gr.Tab("Line"):
            gr.HTML(widgets.words("From A to B, straight through z."))
            self.line = gr.HTML(elem_id="line")
            self.share = gr.Slider(0, 1, 0, step=0.01, label="Share of the way", elem_id="share")
        with gr.Tab("Plane"):
            self.plane = widgets.pad("Plane through A, B and C: drag over it, or move the two sliders below", "plane")
            self.u = gr.Slider(_LOW, _HIGH, 0, step=0.01, label="From A towards B", elem_id="towards-b")
            self.v = gr.Slider(_LOW, _HIGH, 0, step=0.01, label="From A towards C", elem_id="towards-c")

    def _wire(self) -> None:
        here = [self.run, self.of_class, self.place]
        middles = [self.share, self.u, self.v, *self.sliders]
        picked = [self.place, self.samples, self.line, self.plane, self.shown, *middles]
        drawn, point = [self.run, self.of_class, self.seed], [self.place, self.shown]
        self.inputs, self.outputs = [self.run, self.seed], [self.of_class, *picked]
        self.on(self.run.change, self.enter, self.inputs, self.outputs)
        for event in (self.of_class.input, self.seed.submit, self.seed.blur):
            self.on(event, self.draw, drawn, picked)
        self.on(self.fresh.click, self.draw_next, drawn, [self.seed, *picked])
        self.on(self.samples.choose, self.pick, [*here, self.letter], picked)
        self.on(self.back.click, self.again, here, picked)
        for slider in self.sliders:
            self.on(slider.input, self.walk, [*here, *self.sliders], point)
        self.on(self.share.input, self.between, [*here, self.share], point)
        for slider in (self.u, self.v):
            self.on(slider.input, self.over, [*here, self.u, self.v], [self.plane, *point])
        self.on(self.plane.drag, self.dragged, here, [self.u, self.v, *point])

    def on(self, event: Any, handler: Callable[..., Any], inputs: list[Any], outputs: list[Any]) -> None:
        """Show first what the generator makes, then what is nearest to it, of many events in a row the last.

        Those that carry data of their own are all handled, for Gradio would hand the last one an earlier one's data.
        """
        quiet: dict[str, Any] = {"show_progress": "hidden", "trigger_mode": "always_last"}
        carries = handler in (self.pick, self.dragged)
        first = event(handler, inputs, outputs, **{**quiet, **({"trigger_mode": "multiple"} if carries else {})})
        first.then(self.neighbours, [self.run, self.place], self.near, **quiet)

    def neighbours(self, run: str | None, place: Place | None) -> str:
        """Show the training examples nearest to what is shown."""
        return self.nearest.shown(run, place.x, place.among) if place else ""

    def enter(self, run: str | None, seed: float) -> list[Any]:
        """Show another run from its first samples on."""
        try:
            given = self.shelf.sampler(run).conditions
        except InputError:
            given = None  # drawing says why
        names = [ANY, *(given.names if given else ())]
        return [gr.update(choices=names, value=ANY, visible=len(names) > 1), *self.draw(run, ANY, seed)]

    def begin(self, run: str | None, seed: float, place: Place | None) -> list[Any]:
        """Draw where nothing was drawn yet, as of a run that had no checkpoint when the page was opened."""
        return [gr.skip()] * (1 + _ALL) if place else self.enter(run, seed)

    def draw(self, run: str | None, of_class: str, seed: float) -> list[Any]:
        """Draw samples and begin at the first."""
        try:
            walk = self._walk(run, of_class)
            z, c = walk.latents(SAMPLES, int(seed or 0)), walk.conditions(SAMPLES, int(seed or 0))
            made, among = walk.samples(z, c), None
            if made.ndim == 2:
                among = walk.samples(walk.latents(_AMONG, 0), walk.conditions(_AMONG, 0))
            place = Place(z, c, (0, 1, 2), made[0], self._tiles(walk, made, among), among)
            return self._arrive(walk, place, z[0], place.given)
        except InputError as error:
            return [None, [], "", gr.skip(), widgets.refusal(error), *[gr.skip()] * (3 + DIRECTIONS)]

    def draw_next(self, run: str | None, of_class: str, seed: float) -> list[Any]:
        """Draw others, by the next seed."""
        return [int(seed or 0) + 1, *self.draw(run, of_class, int(seed or 0) + 1)]

    @staying(_ALL)
    def pick(self, run: str, of_class: str, place: Place, letter: str, event: gr.EventData) -> list[Any]:
        """Take the sample that was clicked as A, B or C."""
        index = getattr(event, "index", None)
        if type(index) is not int or not 0 <= index < len(place.z):
            return [gr.skip()] * _ALL
        a, b, c = (index if one == letter else place.picked["ABC".index(one)] for one in "ABC")
        place = dataclasses.replace(place, picked=(a, b, c))
        own = None if place.c is None else place.c[index][None]
        return self._arrive(self._walk(run, of_class), place, place.z[index], own)

    @staying(_ALL)
    def again(self, run: str, of_class: str, place: Place) -> list[Any]:
        """Go back to A."""
        return self._arrive(self._walk(run, of_class), place, place.corner("A"), place.given)

    @staying(2)
    def walk(self, run: str, of_class: str, place: Place, *amounts: float) -> list[Any]:
        """Go from A along the directions."""
        walk = self._walk(run, of_class)
        directions = walk.directions(DIRECTIONS)
        at = latent.along(place.corner("A"), directions, [*amounts][: len(directions)])
        return self._at(walk, place, at, place.given)

    @staying(2)
    def between(self, run: str, of_class: str, place: Place, share: float) -> list[Any]:
        """Go along the line from A to B."""
        at = latent.between(place.corner("A"), place.corner("B"), [share])[0]
        return self._at(self._walk(run, of_class), place, at, place.given)

    @staying(3)
    def over(self, run: str, of_class: str, place: Place, u: float, v: float) -> list[Any]:
        """Go to a point of the plane, and put the dot there."""
        at = self._on_plane(place, [(u, v)])[0]
        return [_pad(place.board, u, v), *self._at(self._walk(run, of_class), place, at, place.given)]

    @staying(4)
    def dragged(self, run: str, of_class: str, place: Place, event: gr.EventData) -> list[Any]:
        """Go where the plane was dragged to, and let the sliders follow."""
        u, v = (float(np.clip(getattr(event, name, 0.0), _LOW, _HIGH)) for name in ("u", "v"))
        at = self._on_plane(place, [(u, v)])[0]
        return [round(u, 2), round(v, 2), *self._at(self._walk(run, of_class), place, at, place.given)]

    def _walk(self, run: str | None, of_class: str) -> Walk:
        return Walk(self.shelf.sampler(run), None if of_class in (ANY, None) else of_class)

    def _tiles(self, walk: Walk, made: FloatArray, among: FloatArray | None) -> list[dict[str, str]]:
        sources = (widgets.source(x, stretch=walk.stretches, among=among) for x in made)
        return [{"src": source, "name": f"Sample {number}"} for number, source in enumerate(sources, 1)]

    def _arrive(self, walk: Walk, place: Place, at: torch.Tensor, c: torch.Tensor | None) -> list[Any]:
        """All that hangs on A, B and C, and sliders at their middles."""
        x = walk.samples(
            latent.between(place.corner("A"), place.corner("B"), np.linspace(0, 1, STEPS).tolist()), place.given
        )
        strip = (
            widgets.sample(one, f"{100 * i // (STEPS - 1)} % of the way from A to B", among=place.among)
            for i, one in enumerate(x)
        )
        place = dataclasses.replace(place, board=self._board(walk, place))
        place, shown = self._at(walk, place, at, c)
        line = f'<div class="strip">{"".join(strip)}</div>'
        return [place, place.shown(), line, _pad(place.board, 0.0, 0.0), shown, 0, 0, 0, *[0] * DIRECTIONS]

    def _on_plane(self, place: Place, places: list[tuple[float, float]]) -> torch.Tensor:
        return latent.plane(place.corner("A"), place.corner("B"), place.corner("C"), places)

    def _board(self, walk: Walk, place: Place) -> str:
        """Draw samples all over the plane."""
        ticks = np.linspace(_LOW, _HIGH, SIDE).tolist()
        x = walk.samples(walk.support(self._on_plane(place, [(u, v) for v in ticks for u in ticks])), place.given)
        grid = pictures.grid(x, columns=SIDE) if place.among is None else widgets.dots(x, place.among)
        return widgets.uri(grid)

    def _at(self, walk: Walk, place: Place, at: torch.Tensor, c: torch.Tensor | None) -> list[Any]:
        """Show one point of z, with its c."""
        x = walk.samples(walk.support(at)[None], c)[0]
        named = widgets.sample(x, "The sample at this point of z", stretch=walk.stretches, among=place.among)
        return [dataclasses.replace(place, x=x), widgets.figures((named, "G(z)"))]


def _pad(board: str, u: float, v: float) -> dict[str, Any]:
    return {"src": board, "u": u, "v": v, "low": _LOW, "high": _HIGH}
