"""The whole page: one choice of a run, and a tab for each thing to do."""

from typing import Any

import gradio as gr

from advnets.lab import widgets
from advnets.lab.comparing import Comparing
from advnets.lab.drawing import Drawing
from advnets.lab.exploring import Exploring
from advnets.lab.playing import Playing
from advnets.lab.shelf import Shelf
from advnets.lab.watching import Watching

SECONDS = 5.0
_FONTS = ["system-ui", "sans-serif"]


def theme() -> Any:
    """Return colours and fonts; the fonts are those of the visitor's machine."""
    return gr.themes.Default(primary_hue="orange", font=_FONTS, font_mono=["ui-monospace", "monospace"])


def build(shelf: Shelf) -> Any:
    """Build the page of these runs."""
    names = shelf.names()
    with gr.Blocks(title="advnets lab", analytics_enabled=False, delete_cache=(3600, 3600)) as blocks:
        gr.HTML("<h1>advnets lab</h1>")
        run = gr.Dropdown(names, value=next(iter(names), None), label="Run", elem_id="run")
        watching, exploring, drawing = Watching(shelf, run), Exploring(shelf, run), Drawing(shelf, run)
        playing, comparing = Playing(), Comparing(shelf)
        with gr.Tabs(elem_id="tabs"):
            for title, tab in (
                ("Watch", watching),
                ("Explore", exploring),
                ("Draw", drawing),
                ("Game", playing),
                ("Compare", comparing),
            ):
                with gr.Tab(title) as opened:
                    tab.build()
                if tab is exploring:
                    exploring.on(
                        opened.select, exploring.begin, [*exploring.inputs, exploring.place], exploring.outputs
                    )
        known = gr.State(names)

        def renew(chosen: str | None, before: list[str]) -> list[Any]:
            """Offer runs that were begun since."""
            now = shelf.names()
            if now == before:
                return [gr.skip()] * 3
            return [gr.update(choices=now, value=chosen or next(iter(now), None)), gr.update(choices=now), now]

        gr.Timer(SECONDS).tick(renew, [run, known], [run, comparing.runs, known], show_progress="hidden")
        blocks.load(watching.anew, watching.inputs, watching.outputs, show_progress="hidden")
        exploring.on(blocks.load, exploring.enter, exploring.inputs, exploring.outputs)
        blocks.load(drawing.enter, drawing.run, drawing.outputs, show_progress="hidden")
        blocks.load(playing.begin, [playing.law, playing.seed], playing.outputs, show_progress="hidden")
    return blocks


def css() -> str:
    """Return the style sheet."""
    return widgets.static("lab.css")
