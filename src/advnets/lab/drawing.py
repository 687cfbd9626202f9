"""The tab that fills in hidden parts and encodes examples: from the test data, or drawn by hand."""

from typing import Any

import gradio as gr
import numpy as np
from numpy.typing import NDArray

from advnets import masks, pictures
from advnets.errors import InputError
from advnets.extensions.completing import SIDES
from advnets.lab import widgets
from advnets.lab.shelf import Shelf
from advnets.sampling import Sampler

DRAWS = 8
PAINTED, OWN, TEST = "what is painted", "my drawing", "a test example"
_EXAMPLE, _HIDDEN = "Example: draw on it", "Hidden part: paint over what is to be filled in"
_COVERED = 0.3  # of a pixel that is painted

Image = NDArray[np.float32]


class Drawing:
    """Components and what they do."""

    def __init__(self, shelf: Shelf, run: Any) -> None:
        self.shelf, self.run = shelf, run

    def build(self) -> None:
        """Lay the tab out and wire it."""
        self.ink, self.paint = gr.State(None), gr.State(None)
        self.can = gr.HTML(elem_id="can")
        with gr.Row():
            with gr.Column(min_width=260):
                self.origin = gr.Radio([TEST, OWN], value=TEST, label="Example", elem_id="origin")
                self.number = gr.Slider(0, 1, 0, step=1, label="Test example", elem_id="number")
                self.example = widgets.canvas(_EXAMPLE, "example")
            with gr.Column(min_width=260):
                self.hide = gr.Radio([*SIDES, PAINTED], value="left", label="Hide", elem_id="hide")
                self.seed = gr.Number(0, precision=0, minimum=0, maximum=2**31, label="Seed", elem_id="fill-seed")
                self.mask = widgets.canvas(_HIDDEN, "mask")
        with gr.Row():
            self.fill = gr.Button("Fill in", variant="primary", elem_id="fill")
            self.encode = gr.Button("Encode", variant="primary", elem_id="encode")
        self.result = gr.HTML(elem_id="result")
        self._wire()

    def _wire(self) -> None:
        example = [self.run, self.origin, self.number]
        every: dict[str, Any] = {"show_progress": "hidden", "trigger_mode": "multiple"}
        shown = self.outputs = [self.can, self.number, self.example, self.mask, self.ink, self.paint, self.result]
        self.run.change(self.enter, self.run, shown, show_progress="hidden")
        for event in (self.origin.input, self.number.input):
            event(
                self.turn,
                example,
                [self.example, self.mask, self.ink, self.paint],
                show_progress="hidden",
                trigger_mode="always_last",
            )
        self.example.drawn(self.drawn, self.run, self.ink, **every)
        self.mask.drawn(self.painted, self.run, [self.paint, self.hide], **every)
        self.fill.click(self.filled, [*example, self.ink, self.hide, self.paint, self.seed], self.result)
        self.encode.click(self.encoded, [*example, self.ink], self.result)

    def enter(self, run: str | None) -> list[Any]:
        """Show what a run can do here, and the first test example."""
        nothing = [gr.skip(), gr.skip(), gr.skip(), None, None, ""]
        try:
            sampler = self._images(run)
            abilities = [
                *(["fill in hidden parts"] if _fills(sampler) else []),
                *(["encode"] if self.shelf.inference(run) else []),
            ]
            can = (
                f"{run} can {' and '.join(abilities)}."
                if abilities
                else (
                    f"{run} can neither fill in nor encode: the one takes a run with masks (mnist-completion, "
                    f"digits-completion), the other advnets encode {run}."
                )
            )
            count = len(self.shelf.data(run).test.x)
            slider = gr.update(minimum=0, maximum=count - 1, value=0)
            return [widgets.words(can), slider, *self.turn(run, TEST, 0), ""]
        except InputError as error:
            return [widgets.refusal(error), *nothing]

    @widgets.refusing
    def turn(self, run: str | None, origin: str, number: float) -> list[Any]:
        """Show an example to draw on, and to paint over; on a new one there is nothing yet."""
        height, width = self._images(run).shape[1:]
        empty = {"src": "", "width": width, "height": height}
        source = "" if origin == OWN else widgets.source(self._test(run, number))
        return [
            {**empty, "src": source, "ink": "white", "name": _EXAMPLE},
            {**empty, "src": source, "ink": "#f97316cc", "name": _HIDDEN},
            None,
            None,
        ]

    @widgets.refusing
    def drawn(self, run: str, event: gr.EventData) -> Image:
        """Keep what was drawn."""
        return widgets.drawn(event, self._images(run).shape)

    @widgets.refusing
    def painted(self, run: str, event: gr.EventData) -> list[Any]:
        """Keep what was painted over."""
        return [widgets.drawn(event, self._images(run).shape), PAINTED]

    def filled(
        self, run: str, origin: str, number: float, ink: Image | None, hide: str, paint: Image | None, seed: float
    ) -> str:
        """Fill in what is hidden of the example, several ways and from the middle of the noise."""
        try:
            sampler = self._images(run)
            x = self._example(run, origin, number, ink)[None]
            known = _known(hide, paint, sampler.shape)[None]
            made = sampler.complete(x, known, DRAWS, int(seed or 0))[:, 0]
            middle = sampler.complete(x, known, 1, truncation=0.0)[0, 0]
        except InputError as error:
            return widgets.refusal(error)
        shown = pictures.masked(x, known)[0]
        first = [(widgets.sample(x[0], "The example"), "example"), (widgets.sample(shown, "What is known"), "known")]
        first.append((widgets.sample(middle, "Completion from the middle of the noise"), "z in its middle"))
        draws = [(widgets.sample(one, f"Completion {i + 1}"), f"draw {i + 1}") for i, one in enumerate(made)]
        return widgets.figures(*first) + widgets.figures(*draws)

    def encoded(self, run: str, origin: str, number: float, ink: Image | None) -> str:
        """Encode the example, and show what G makes of its code."""
        try:
            scaling = self._images(run).scaling
            inference = self.shelf.inference(run)
            if inference is None:
                raise InputError(f"{run} has no encoder, allowed: a run with one; advnets encode {run} fits it")
            x = self._example(run, origin, number, ink)[None]
            codes = inference.encode(scaling.apply(x))
            again = scaling.undo(inference.decode(codes))[0]
        except InputError as error:
            return widgets.refusal(error)
        missed = float(np.mean((again - x[0]) ** 2))
        largest = ", ".join(f"z{i} {codes[0, i]:.2f}" for i in np.argsort(-abs(codes[0]))[:8])
        both = [
            (widgets.sample(x[0], "The example"), "x"),
            (widgets.sample(again, "What G makes of its code"), "G(E(x))"),
        ]
        return widgets.figures(*both) + widgets.words(
            f"Mean squared error {missed:.4f}. Largest of the code: {largest}."
        )

    def _images(self, run: str | None) -> Sampler:
        sampler = self.shelf.sampler(run)
        if len(sampler.shape) != len("chw") or sampler.scaling.kind == "contrast":
            raise InputError(
                f"{run} is of {sampler.config.data.name}, allowed here: images in [0, 1]; for others use "
                "advnets complete"
            )
        return sampler

    def _test(self, run: str | None, number: float) -> Image:
        data = self.shelf.data(run)
        x = data.scaling.undo(data.test.x[int(number) % len(data.test.x)][None])
        return np.asarray(x[0], np.float32)

    def _example(self, run: str, origin: str, number: float, ink: Image | None) -> Image:
        """Return what the canvas shows: a test example with what was drawn on it, or the drawing alone, on black."""
        shape = self._images(run).shape
        beneath = np.zeros(shape, np.float32) if origin == OWN else self._test(run, number)
        if origin == OWN and (ink is None or not ink.any()):
            raise InputError("nothing is drawn yet, allowed: a drawing, or a test example; draw, or choose the other")
        return beneath if ink is None else np.maximum(beneath, ink[None])


def _fills(sampler: Sampler) -> bool:
    return sampler.conditions is not None and bool(sampler.conditions.masks)


def _known(hide: str, paint: Image | None, shape: tuple[int, ...]) -> NDArray[np.bool_]:
    if hide != PAINTED:
        return np.asarray(masks.side(hide, shape).numpy() > 0)
    if paint is None or not (paint > _COVERED).any():
        raise InputError("nothing is painted yet, allowed: a painted part, or one of the sides; paint, or choose one")
    return np.broadcast_to(paint[None] <= _COVERED, shape)
