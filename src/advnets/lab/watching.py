"""The tab that shows a run as it trains: its verdict, its curves, its samples."""

from typing import Any

import gradio as gr

from advnets.errors import InputError
from advnets.lab import curves, widgets
from advnets.lab.shelf import Shelf
from advnets.runs import Run

SECONDS = 2.0
_MOST = 64 << 20  # bytes of a picture
_SIGNAL = "d_gradient"
Seen = tuple[str, int]
"""What a run was like when it was shown, and how many pictures it had."""
_NOTHING: Seen = ("", 0)
_SIGNATURE = b"\x89PNG\r\n\x1a\n"


def pictures(run: Run) -> list[int]:
    """Steps of which the run has a picture of samples."""
    names = (file.stem.removeprefix("step-") for file in (run.path / "samples").glob("step-*.png"))
    return sorted(int(name) for name in names if name.isdecimal())


def picture(run: Run, step: int | None) -> str:
    """Return the element of a run's samples at a step, or of the newest; words where there are none."""
    file = run.path / "samples.png" if step is None else run.path / "samples" / f"step-{step}.png"
    try:
        with file.open("rb") as opened:
            content = opened.read(_MOST + 1)
    except OSError:
        return widgets.words("No samples yet.")
    if len(content) > _MOST or not content.startswith(_SIGNATURE):
        return widgets.refusal(InputError(f"{file} is no picture, allowed: a PNG of the run's; remove it"))
    when = "newest" if step is None else f"at step {step:,}"
    return widgets.image(widgets.of_png(content), f"Samples of {run.path}, {when}", wide=True)


class Watching:
    """Components and what they do."""

    def __init__(self, shelf: Shelf, run: Any) -> None:
        self.shelf, self.run = shelf, run

    def build(self) -> None:
        """Lay the tab out and wire it."""
        self.seen = gr.State(_NOTHING)
        self.state = gr.HTML(elem_id="state")
        with gr.Row():
            with gr.Column(scale=2, min_width=280):
                self.picture = gr.HTML(elem_id="picture")
                self.step = gr.Slider(
                    1, 2, 2, step=1, label="Picture of samples, the newest last", elem_id="picture-step"
                )
            with gr.Column(scale=3, min_width=300):
                plots = [one for title in curves.GROUPS for one in widgets.plot(title)]
                self.signal = gr.Dropdown([_SIGNAL], value=_SIGNAL, label="Signal", elem_id="signal")
                plots += widgets.plot("Signal over the steps")
        shown = self.outputs = [self.seen, self.state, self.picture, self.step, self.signal, *plots]
        inputs = self.inputs = [self.run, self.signal, self.seen, self.step]
        gr.Timer(SECONDS).tick(self.look, inputs, shown, show_progress="hidden")
        for event in (self.run.change, self.signal.input):
            event(self.anew, inputs, shown, show_progress="hidden")
        self.step.input(self.turn, [self.run, self.step], self.picture, show_progress="hidden")

    def anew(self, run: str | None, signal: str, seen: Seen, number: float) -> list[Any]:
        """Show a run, whatever was shown before."""
        return self.look(run, signal, _NOTHING, number)

    def look(self, run: str | None, signal: str, seen: Seen, number: float) -> list[Any]:
        """Show a run where anything in it has changed; an earlier picture stays that is being looked at."""
        try:
            target = self.shelf.run(run)
            now, count = _fingerprint(target), len(pictures(target))
            if now == seen[0]:
                return [gr.skip()] * len(self.outputs)
            newest = [picture(target, None), gr.update(maximum=max(2, count), value=max(1, count))]
            kept = [gr.skip(), gr.update(maximum=max(2, count))]
            state, signals, *plots = self._shown(target, signal)
            return [(now, count), state, *(kept if number < seen[1] else newest), signals, *plots]
        except InputError as error:
            return [_NOTHING, widgets.refusal(error), "", *[gr.skip()] * (len(self.outputs) - 3)]

    def turn(self, run: str, number: float) -> str:
        """Show an earlier picture."""
        try:
            target = self.shelf.run(run)
        except InputError as error:
            return widgets.refusal(error)
        steps = pictures(target)
        return picture(target, steps[max(1, min(int(number), len(steps))) - 1] if steps else None)

    def _shown(self, run: Run, signal: str) -> list[Any]:
        lines = curves.lines_of(run)
        name, why, bad = curves.verdict(run)
        state = widgets.words(curves.state(run)) + widgets.words(
            f"Verdict: {name}", *why, kind="verdict bad" if bad else "verdict"
        )
        names = curves.signals(lines)
        signal = signal if signal in names else next(iter(names), _SIGNAL)
        frames = [curves.table(lines, group, chance="value" in group) for group in curves.GROUPS.values()]
        frames.append(curves.table(lines, {signal: signal}))
        return [
            state,
            gr.update(choices=names or [_SIGNAL], value=signal),
            *[one for frame in frames for one in widgets.curved(frame)],
        ]


def _fingerprint(run: Run) -> str:
    """Change whenever the log, the status or the pictures do."""
    files = (run.log, run.path / "status.json", run.path / "samples.png")
    found = [(one.st_size, one.st_mtime_ns) for file in files if file.is_file() for one in [file.stat()]]
    return f"{run.path} {run.status().get('state')} {found}"
