"""How a training run shows where it is, on stderr: a bar on a terminal, a line now and then in a log."""

import contextlib
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

from advnets.cli.output import sizes
from advnets.errors import InputError, plain
from advnets.runs import Run
from advnets.training.outcome import Progress
from advnets.untrusted import has

Show = Callable[[Progress], None]

_BAR_SECONDS = 0.1
_WIDE = 125  # columns of a terminal that has room for all measures
_LINE_SECONDS, _LONGEST_SECONDS, _LINE_SHARE = 10, 30, 0.05


@contextlib.contextmanager
def showing(run: Run, opening: Sequence[str] = ()) -> Iterator[Show]:
    """Yield what `train` reports to; `opening` and what is trained are told once the first step has worked."""
    with contextlib.ExitStack() as stack:
        shown: list[Show] = []

        def report(progress: Progress) -> None:
            if not shown:
                told = [*opening, *introduction(run.path, run.read()).splitlines()]
                print(*map(plain, told), sep="\n", file=sys.stderr)
                shown.append(stack.enter_context(_bar(progress)) if sys.stderr.isatty() else _Lines(progress))
            tell(progress)
            shown[0](progress)

        tell = _Verdicts()
        yield report


class _Verdicts:
    """Says each bad verdict in a line the first time, and where training went back to."""

    def __init__(self) -> None:
        self.told: set[str] = set()

    def __call__(self, progress: Progress) -> None:
        if progress.rollback:
            at, to = progress.rollback["at"], progress.rollback["to"]
            say(f"step {at:,}: {progress.rollback['verdict']}; going back to step {to:,} with half the learning rates")
        verdict = progress.verdict if progress.measures else None
        if verdict and verdict.bad and verdict.name not in self.told:
            say(f"step {progress.step:,}: {verdict.name}: {verdict.evidence}; {verdict.advice}")
            self.told.add(verdict.name)


def say(text: str) -> None:
    """Print a line on stderr."""
    print(text, file=sys.stderr, flush=True)


def introduction(folder: object, content: Mapping[str, Any]) -> str:
    """Say what a run is: recipe, data, nets, folder; raises InputError where its config.json lacks that."""
    data, parameters, config = content.get("data"), content.get("parameters"), content["config"]
    if not has(data, name=str, source=str, shape=list, train=int, validation=int, test=int) or not (
        has(parameters, generator=int, discriminator=int) or has(parameters, model=int)
    ):
        raise InputError(f"{folder}/config.json is damaged (data or parameters); restore it from a copy")
    assert isinstance(data, dict) and isinstance(parameters, dict)
    shape = "x".join(map(str, data["shape"]))
    examples = f"{data['train']:,} / {data['validation']:,} / {data['test']:,} examples of {shape}"
    mode = "" if "model" in parameters or config.get("semi") else f", {config['train']['mode']} mode"
    return (
        f"{config['recipe']}{mode}, seed {config['seed']}\n"
        f"  data        {data['name']}: {examples} ({data['source']})\n"
        f"  parameters  {sizes(parameters)}\n"
        f"  run         {folder}"
    )


class _Speed:
    """Steps per second since the first report of this process."""

    def __init__(self, first: Progress) -> None:
        self.step, self.started = first.step, time.monotonic()

    def __call__(self, progress: Progress) -> float:
        return (progress.step - self.step) / max(time.monotonic() - self.started, 1e-9)


def _measures(progress: Progress, *, brief: bool = False) -> str:
    measures = progress.measures or {}
    verdict = f"  {progress.verdict.name}" if progress.verdict else ""
    if "loss" in measures:
        return f"loss {measures['loss']:.4g}{verdict}"
    if "validation_error" in measures:
        verdict = f"  errors {measures['validation_error']:.2%}"
    if brief:
        return f"D {measures['d_real']:.2f} {measures['d_fake']:.2f}{verdict}"
    return (
        f"loss D {measures['discriminator_loss']:.3f} G {measures['generator_loss']:.3f}  "
        f"D(x) {measures['d_real']:.2f}  D(G(z)) {measures['d_fake']:.2f}{verdict}"
    )


class _Lines:
    """At most a line per ten seconds, and then only every twentieth of the run or every half minute."""

    def __init__(self, first: Progress) -> None:
        self.speed = _Speed(first)
        self.step, self.printed, self.text = first.step, time.monotonic(), ""

    def __call__(self, progress: Progress) -> None:
        if progress.rollback:
            self.speed, self.step = _Speed(progress), progress.step
            return
        if progress.measures:
            self.text = f", {_measures(progress)}"
        waited = time.monotonic() - self.printed
        far = progress.step - self.step >= _LINE_SHARE * progress.steps
        if waited < _LINE_SECONDS or (not far and waited < _LONGEST_SECONDS):
            return
        speed = self.speed(progress)
        left = (progress.steps - progress.step) / max(speed, 1e-9)
        print(
            f"step {progress.step}/{progress.steps}, {speed:.4g} steps/s{self.text}, {left:.0f} s left",
            file=sys.stderr,
            flush=True,
        )
        self.step, self.printed = progress.step, time.monotonic()


@contextlib.contextmanager
def _bar(first: Progress) -> Iterator[Show]:
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, TextColumn, TimeRemainingColumn
    from rich.progress import Progress as Bar

    speed, shown, console = _Speed(first), 0.0, Console(stderr=True)
    narrow = console.width < _WIDE
    columns = (
        BarColumn(bar_width=5 if narrow else 20),
        MofNCompleteColumn(),
        TextColumn("{task.fields[speed]}"),
        TextColumn("{task.fields[measures]}"),
        TimeRemainingColumn(),
        TextColumn("left"),
    )
    with Bar(*columns, console=console) as bar:
        task = bar.add_task("", total=first.steps, completed=first.step, speed="", measures="")

        def show(progress: Progress) -> None:
            nonlocal shown, speed
            if progress.rollback:
                speed = _Speed(progress)
            if progress.measures:
                bar.update(task, measures=_measures(progress, brief=narrow))
            if progress.step == progress.steps or time.monotonic() - shown >= _BAR_SECONDS:
                bar.update(task, completed=progress.step, speed=f"{speed(progress):.4g} steps/s")
                shown = time.monotonic()

        yield show
