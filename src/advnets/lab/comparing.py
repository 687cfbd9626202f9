"""The tab that puts runs side by side."""

import html
from typing import Any

import gradio as gr
import pandas as pd

from advnets.comparison import rank
from advnets.config import flatten, spell
from advnets.errors import InputError
from advnets.lab import curves, watching, widgets
from advnets.lab.shelf import Shelf
from advnets.runs import Run

MOST = 6


class Comparing:
    """Components and what they do."""

    def __init__(self, shelf: Shelf) -> None:
        self.shelf = shelf

    def build(self) -> None:
        """Lay the tab out and wire it."""
        names = self.shelf.names()
        self.runs = gr.Dropdown(
            names, value=names[:2], multiselect=True, max_choices=MOST, label=f"Runs, up to {MOST}", elem_id="compared"
        )
        self.button = gr.Button("Compare", variant="primary", elem_id="compare")
        self.beside = gr.HTML(elem_id="beside")
        self.legend, self.plot = widgets.plot("Value of the game")
        self.ranking = gr.HTML(elem_id="ranking")
        self.button.click(
            self.compare, self.runs, [self.beside, self.legend, self.plot, self.ranking], show_progress="hidden"
        )

    def compare(self, names: list[str] | None) -> list[Any]:
        """Show runs side by side: how they do, where their settings differ, samples, curves, and ranks."""
        try:
            runs = [self.shelf.run(name) for name in (names or [])[:MOST]]
            if not runs:
                raise InputError("no run is chosen, allowed: one or more; choose them above")
            tables = [curves.table(curves.lines_of(run), {"value": f"V of {run.path}"}) for run in runs]
            return [beside(runs), *widgets.curved(pd.concat(tables)), ranking(runs)]
        except InputError as error:
            return [widgets.refusal(error), "", None, ""]


def beside(runs: list[Run]) -> str:
    """Return a table of runs: state, verdict, samples, and the settings in which they differ."""
    rows: list[tuple[str, list[str]]] = [
        ("run", [html.escape(str(run.path)) for run in runs]),
        ("samples", [watching.picture(run, None) for run in runs]),
        ("state", [html.escape(_state(run)) for run in runs]),
        ("verdict", [html.escape(curves.verdict(run)[0]) for run in runs]),
    ]
    settings = [flatten(run.config()) for run in runs]
    names = dict.fromkeys(name for one in settings for name in one)
    differing = [name for name in names if len({spell(one.get(name)) for one in settings}) > 1]
    rows += [(name, [html.escape(spell(one[name])) if name in one else "–" for one in settings]) for name in differing]
    body = "".join(
        f"<tr><th scope=row>{html.escape(name)}</th>{''.join(f'<td>{cell}</td>' for cell in cells)}</tr>"
        for name, cells in rows
    )
    return f'<div class="scroll"><table class="side">{body}</table></div>'


def _state(run: Run) -> str:
    status = run.status()
    return f"{status.get('state', 'not begun')}, step {int(status.get('step') or 0):,}"


def ranking(runs: list[Run]) -> str:
    """Rank runs by likelihood, or say why not."""
    if len(runs) < 2:
        return ""
    try:
        found = rank(runs)["ranking"]
    except InputError as error:
        return widgets.words(f"Not ranked: {error}")
    lines = [
        f"{place}. {row['run']}: {row['nats']:.1f} ± {row['standard_error']:.1f} nats"
        + (", as good as the first within two standard errors" if row["tied"] and place > 1 else "")
        for place, row in enumerate(found, 1)
    ]
    return widgets.words("Ranked by Parzen likelihood, all by one protocol:", *lines)
