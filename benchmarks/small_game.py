"""A game so small that it can be played a thousand times, with every kind of file that a run has."""

import contextlib
import dataclasses
import io
from collections.abc import Iterator

import numpy as np

from advnets.cli.main import main
from advnets.config import Config, DiscriminatorConfig, GeneratorConfig, NoiseConfig, StackConfig, TrainConfig
from advnets.data.dataset import DataSet, Scaling, Split
from advnets.runs import Run
from advnets.training import train

PLAIN = Config(
    "small",
    noise=NoiseConfig(dimension=2),
    generator=GeneratorConfig(hidden=(3,)),
    discriminator=DiscriminatorConfig(hidden=(3,), pieces=2, init_range=0.2),
    train=TrainConfig(
        steps=12, batch_size=5, log_every=2, sample_every=6, checkpoint_every=4, validate_every=3, device="cpu"
    ),
)


def _with(**settings: object) -> Config:
    return dataclasses.replace(PLAIN, train=dataclasses.replace(PLAIN.train, **settings))


KINDS = {
    "plain": PLAIN,
    "averaged": _with(average_decay=0.5, optimiser="adam", mode="paper", keep_every=4),
    "stages": dataclasses.replace(PLAIN, second_stage=StackConfig(after=4, hidden=(3,))),
    "rollback": _with(steps=16, learning_rate=40.0, on_bad="rollback"),
}
"""Runs of which each writes something that the others do not."""


def data() -> DataSet:
    x = np.random.default_rng(0).random((31, 1, 2, 2), dtype=np.float32)
    scaling = Scaling("unit", np.array(0.0), np.array(1.0))
    return DataSet("noise", Split(x), Split(x[:9]), Split(x[:9]), scaling, (), "print", "generated")


def play(config: Config, run: Run, stop_after: int | None = None) -> str:
    """Begin a run, or go on with it, as a user would; return its state."""
    calls = iter(range(1, 10**9))

    def stop() -> bool:
        return stop_after is not None and next(calls) >= stop_after

    return train(config, data(), run, resume=run.exists(), stop=stop, validate=_score).state


def _score(net: object) -> float:
    return float(sum(parameter.detach().sum() for parameter in net.parameters()))  # type: ignore[attr-defined]


def bits(run: Run) -> dict[str, bytes]:
    """All of a run that must not depend on what disturbed it."""
    ours = {"log.jsonl", "validation.jsonl", "rollbacks.json", "status.json", "samples.png"}
    files = [run.path / name for name in ours if (run.path / name).exists()]
    files += [*run.path.glob("samples/*"), *run.path.glob("checkpoints/*/*")]
    return {str(file.relative_to(run.path)): file.read_bytes() for file in files}


def told(tried: str, wrong: list[str]) -> bool:
    """Print what was tried on a kind of run and what went wrong; return whether anything did."""
    print(f"{tried}, {len(wrong)} faults", flush=True)
    for line in dict.fromkeys(wrong):
        print(" ", " ".join(line.split())[:300])
    return bool(wrong)


def complaints(run: Run) -> Iterator[str]:
    """Read a run as its user does, with every command that does so; yield what failed that should not."""
    drawn = run.path.parent / "drawn.npy"
    for words in (["runs", "list", "--dir", str(run.path.parent)], ["runs", "show"], ["doctor"], ["sample"]):
        if words[0] != "runs" or words[1] == "show":
            words = [*words, str(run.path), *(["--n", "2", "--out", str(drawn)] if words == ["sample"] else ())]
        said = io.StringIO()
        with contextlib.redirect_stderr(said), contextlib.redirect_stdout(said):
            status = main(words)
        nothing_yet = "has no signals in its log" in said.getvalue() or "has no checkpoint yet" in said.getvalue()
        if status == 2 and not nothing_yet:
            yield f"advnets {' '.join(words)}: {said.getvalue()}"
        elif "unreadable" in said.getvalue():
            yield said.getvalue()
    drawn.unlink(missing_ok=True)
