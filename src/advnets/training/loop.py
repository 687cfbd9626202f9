"""Training from the first step to the last, over any number of interruptions."""

import contextlib
import dataclasses
import json
import math
import platform
import time
from collections.abc import Callable
from dataclasses import dataclass
from importlib import metadata
from typing import Any

import torch
from lightning_fabric import Fabric

from advnets import pictures, sampling
from advnets.config import Config, check
from advnets.data.dataset import DataSet
from advnets.errors import InputError
from advnets.nets.build import parameter_count
from advnets.runs import Run, reporting
from advnets.training import checkpoint, schedules
from advnets.training.batches import Batches
from advnets.training.game import MEASURES, Game, new_game, second_stage
from advnets.training.step import paper_step, released_step

_GRID = 100  # samples a picture


@dataclass(frozen=True)
class Progress:
    """Where a run is after a step; `measures` on logged steps only."""

    step: int
    steps: int
    measures: dict[str, float] | None = None


@dataclass(frozen=True)
class Outcome:
    """How a call of `train` ended: state is finished, interrupted or diverged."""

    state: str
    step: int
    seconds: float


def train(
    config: Config,
    data: DataSet,
    run: Run,
    *,
    stop: Callable[[], bool] = lambda: False,
    report: Callable[[Progress], None] = lambda progress: None,
) -> Outcome:
    """Train a run up to `config.train.steps`, from its last checkpoint if it has one.

    Ends early, with a checkpoint, once `stop` is true; as diverged once a loss or a weight is not finite, with the last
    finite checkpoint kept. Raises InputError for settings that do not fit the data and for a disk that refuses.
    """
    started = time.perf_counter()
    torch.set_flush_denormal(True)  # denormals in the velocities of dead units more than halve the speed
    fabric = Fabric(accelerator=check(config).train.device, devices=1, precision=config.train.precision)
    x = torch.from_numpy(data.train.x)
    mean = x.mean(0)
    batches = Batches(x.to(fabric.device, _dtype(config)), config.train.batch_size, config.seed)
    game = new_game(config, data.shape, mean, fabric)
    if not run.exists():
        run.create(config, facts(game, data))
    with run.locked():
        game = _resumed(game, run, data, mean, fabric)
        run.write_status(game.step, "running", None)
        state = "interrupted"
        try:
            state = _play(game, batches, data, run, stop, report)
        finally:
            with contextlib.suppress(OSError):  # the error under way, such as a full disk, is the one to show
                run.write_status(game.step, state, "diverged" if state == "diverged" else None)
    return Outcome(state, game.step, time.perf_counter() - started)


def _play(
    game: Game,
    batches: Batches,
    data: DataSet,
    run: Run,
    stop: Callable[[], bool],
    report: Callable[[Progress], None],
) -> str:
    """Step until the end, the user or a number that is not finite; say which."""
    train, second = game.config.train, game.config.second_stage
    move = paper_step if train.mode == "paper" else released_step
    seconds = 0.0
    ending = game.step >= train.steps
    while not ending:
        if second and game.stage == 1 and game.step == second.after:
            second_stage(game, data.shape)
        begun = time.perf_counter()
        move(game, batches)
        game.step += 1
        seconds += time.perf_counter() - begun
        ending = game.step >= train.steps or stop()
        measures = None
        if game.step % train.log_every == 0:
            measures = _log(game, batches, run, seconds)
            seconds = 0.0
            if not all(map(math.isfinite, measures.values())):
                return "diverged"
        report(Progress(game.step, train.steps, measures))
        if ending or game.step % train.checkpoint_every == 0:
            if not checkpoint.is_finite(game):
                return "diverged"
            with run.writing_checkpoint(game.step) as folder:
                checkpoint.save(game, folder, run.log.stat().st_size if run.log.exists() else 0)
            run.write_status(game.step, "running", None)
        if ending or game.step % train.sample_every == 0:
            _picture(game, data, run)
    return "finished" if game.step >= train.steps else "interrupted"


def _resumed(game: Game, run: Run, data: DataSet, mean: torch.Tensor, fabric: Fabric) -> Game:
    """Bring a new game to the run's last checkpoint, and cut the log back to it."""
    folder = run.verified_checkpoint()
    if folder is None:
        run.cut_log(0)
        return game
    counts = checkpoint.read_counts(folder)
    if counts["stage"] == 2:
        game = new_game(game.config, data.shape, mean, fabric, stage=2)
    checkpoint.restore(game, folder)
    run.cut_log(counts["log_bytes"])
    return game


def _log(game: Game, batches: Batches, run: Run, seconds: float) -> dict[str, float]:
    """Append the means since the last line to log.jsonl, the speed to timing.jsonl; return the means."""
    train = game.config.train
    epoch = game.stage_step * train.k / batches.per_epoch
    means = (game.sums / game.summed).tolist()
    measures = dict(zip(MEASURES, means, strict=True))
    line = {
        "step": game.step,
        "epoch": epoch,
        "learning_rate": schedules.learning_rate(train, train.learning_rate, game.stage_step),
        "momentum": schedules.momentum(train, int(epoch) + 1) if train.optimiser == "momentum" else None,
        **{name: mean if math.isfinite(mean) else None for name, mean in measures.items()},
    }
    timing = {"step": game.step, "milliseconds_per_step": 1000 * seconds / game.summed}
    with reporting(f"cannot write the log of {run.path}", "the last checkpoint is intact"):
        for file, content in ((run.log, line), (run.timing, timing)):
            with file.open("a") as stream:
                stream.write(json.dumps(content) + "\n")
    game.sums.zero_()
    game.summed = 0
    return measures


def _picture(game: Game, data: DataSet, run: Run) -> None:
    """Write samples/step-N.png from the same latents at every step, and samples.png, the newest."""
    net = game.average.module if game.average is not None else game.generator.net
    count = _GRID if len(data.shape) == 3 else 2500
    x = sampling.generate(net, sampling.draw_latents(game.config.noise, count, game.config.seed))
    behind = data.scaling.undo(data.train.x[:count]) if len(data.shape) == 1 else None
    picture = sampling.picture(data.scaling.undo(x), data.scaling, behind)
    with reporting(f"cannot write samples in {run.path}", "the last checkpoint is intact"):
        for file in (run.path / "samples" / f"step-{game.step}.png", run.path / "samples.png"):
            pictures.save(picture, file)


def facts(game: Game, data: DataSet) -> dict[str, Any]:
    """What config.json holds beside the configuration: data, parameter counts, versions, machine."""
    packages = ("advnets", "torch", "numpy", "lightning-fabric", "safetensors")
    return {
        "data": {
            "name": data.name,
            "source": data.source,
            "shape": list(data.shape),
            "train": len(data.train.x),
            "validation": len(data.validation.x),
            "test": len(data.test.x),
            "fingerprint": data.fingerprint,
            "scaling": data.scaling.to_json(),
        },
        "parameters": {
            "generator": parameter_count(game.generator.net),
            "discriminator": parameter_count(game.discriminator.net),
        },
        "versions": {"python": platform.python_version(), **{name: _version(name) for name in packages}},
        "machine": {
            "device": str(game.random.device),
            "threads": torch.get_num_threads(),
            "system": platform.platform(),
        },
    }


def _version(package: str) -> str | None:
    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:
        return None


def _dtype(config: Config) -> torch.dtype:
    return torch.float64 if config.train.precision == "64-true" else torch.float32


def check_resumable(run: Run, data: DataSet) -> None:
    """Refuse to go on with a run whose data have changed since; raises InputError."""
    stored = run.read().get("data", {}).get("fingerprint")
    if stored != data.fingerprint:
        raise InputError(
            f"the data of {run.path} have changed (fingerprint {str(stored)[:12]}, now {data.fingerprint[:12]}), "
            "allowed on --resume: the same data; restore them, or start a new run with another --out"
        )


def with_steps(config: Config, steps: int) -> Config:
    """Return the configuration with another number of steps."""
    return dataclasses.replace(config, train=dataclasses.replace(config.train, steps=steps))
