"""The tab in which the game of figure 1 goes on while its rules are changed."""

import math
from typing import Any, get_args

import gradio as gr

from advnets.lab import figures, game, widgets
from advnets.lab.game import LAWS, Live, Rules

SECONDS = 0.4
_BUDGET = 0.25  # seconds of playing a frame, at most


class Playing:
    """Components and what they do."""

    def build(self) -> None:
        """Lay the tab out and wire it."""
        self.live = gr.State(None)
        with gr.Row():
            with gr.Column(scale=3, min_width=320):
                self.told = gr.HTML(elem_id="told")
                self.figure = gr.HTML(elem_id="figure")
            with gr.Column(scale=1, min_width=280):
                self.play = gr.Button("Play", variant="primary", elem_id="play")
                with gr.Row():
                    self.once = gr.Button("One step", elem_id="one-step", min_width=80)
                    self.anew = gr.Button("Anew", elem_id="anew", min_width=80)
                self.law = gr.Dropdown([*LAWS], value=next(iter(LAWS)), label="Data", elem_id="law")
                self.rules = self._rules()
                self.pace = gr.Slider(1, 50, 10, step=1, label="Steps a frame", elem_id="pace")
                self.seed = gr.Number(0, precision=0, minimum=0, maximum=2**31, label="Seed", elem_id="game-seed")
        gr.HTML(widgets.words(*figures.READING))
        self._wire()

    def _rules(self) -> list[Any]:
        rules = Rules()
        return [
            gr.Slider(1, 10, rules.k, step=1, label="k: steps of D for one of G", elem_id="k"),
            gr.Radio([*get_args(game.Loss)], value=rules.loss, label="G's loss", elem_id="loss"),
            gr.Slider(
                -5, -1.5, math.log10(rules.d_rate), step=0.1, label="D's learning rate, power of 10", elem_id="d-rate"
            ),
            gr.Slider(
                -5, -1.5, math.log10(rules.g_rate), step=0.1, label="G's learning rate, power of 10", elem_id="g-rate"
            ),
        ]

    def _wire(self) -> None:
        clock = gr.Timer(SECONDS, active=False)
        shown = self.outputs = [self.live, self.told, self.figure]
        play = [self.live, self.law, self.seed, *self.rules]
        clock.tick(self.advance, [*play, self.pace], shown, show_progress="hidden", trigger_mode="once")
        self.once.click(self.one, play, shown, show_progress="hidden")
        self.play.click(_toggled, self.play, [self.play, clock], show_progress="hidden")
        for event in (self.anew.click, self.law.input):
            event(self.begin, [self.law, self.seed], shown, show_progress="hidden")

    def begin(self, law: str, seed: float) -> list[Any]:
        """Begin with fresh weights."""
        live = game.begin(law if law in LAWS else next(iter(LAWS)), int(seed or 0))
        return self._shown(live)

    def one(self, live: Live | None, law: str, seed: float, *rules: Any) -> list[Any]:
        """Play a single step."""
        k, loss, d, g = rules
        return self.advance(live, law, seed, k, loss, d, g, 1)

    def advance(
        self, live: Live | None, law: str, seed: float, k: float, loss: game.Loss, d: float, g: float, pace: float
    ) -> list[Any]:
        """Play some steps by the rules as they are now."""
        live = live or game.begin(law, int(seed or 0))
        with live.lock:
            if live.is_finite:
                game.advance(live, Rules(int(k), loss, 10**d, 10**g), int(pace), _BUDGET)
            return self._shown(live)

    def _shown(self, live: Live) -> list[Any]:
        if not live.is_finite:
            line = (
                f"Step {live.game.step:,}: the weights are no numbers any more. Begin anew, with lower learning rates."
            )
            return [live, widgets.words(line, kind="refusal"), gr.skip()]
        view = game.look(live)
        told = figures.told(view)
        return [live, widgets.words(told), widgets.image(widgets.uri(figures.draw(live, view)), told, wide=True)]


def _toggled(label: str) -> tuple[Any, Any]:
    """Play where it rests, and rest where it plays."""
    plays = label == "Play"
    return gr.update(value="Pause" if plays else "Play"), gr.Timer(active=plays)
