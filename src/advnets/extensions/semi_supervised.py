"""Semi-supervised learning (section 7 of the paper, its fourth extension): a classifier from few labels.

D tells the K classes of the data and, as one class more, what G made (Salimans et al. 2016).
"""

import functools
import math
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from torch import nn

from advnets import sampling
from advnets.config import Config
from advnets.data.dataset import DataSet, FloatArray
from advnets.errors import InputError
from advnets.extensions.classifier import Classify, errors, probabilities
from advnets.extensions.semi_step import MEASURES, SemiGame, move, new_game
from advnets.nets.build import build_classifier
from advnets.nets.files import load_net
from advnets.runs import Run
from advnets.seeds import stream
from advnets.training import checkpoint, precision, processes, saved, session
from advnets.training.facts import differences, note_elsewhere
from advnets.training.outcome import Outcome, Progress
from advnets.training.processor import fast_products, keep_memory
from advnets.training.showing import save_picture

_AVERAGE = "discriminator-average"


def train(
    config: Config,
    data: DataSet,
    run: Run,
    *,
    resume: bool = False,
    stop: Callable[[], bool] = lambda: False,
    report: Callable[[Progress], None] = lambda progress: None,
) -> Outcome:
    """Train a classifier from few labels as `advnets.training.train` does adversarial nets; raises InputError likewise.

    Of the training part's labels only the drawn ones are used; those of the validation part for the log alone.
    """
    if config.semi is None:
        raise InputError(f"{config.recipe} has no labels to learn from, allowed: a recipe with semi; name such a one")
    data.require_memory(config.recipe)
    config = precision.resolved(config, data, run if resume else None)
    started = time.perf_counter()
    with session.threads_for(config, data):
        state, step = _train(config, data, run, resume, stop, report)
    return Outcome(state, step, time.perf_counter() - started)


def load_classifier(run: Run, step: int | None = None) -> Classify:
    """Return what a run has learned, the averaged D of its last checkpoint or of another step's, as a function.

    Raises InputError where the run has no checkpoint, a damaged one, or learned no classes.
    """
    config, shape = run.config(), run.shape()
    folder = run.verified_checkpoint(step)
    if config.semi is None or folder is None:
        raise InputError(
            f"{run.path} has no classifier in a checkpoint, allowed: a run of a recipe with semi that has saved one; "
            "train it on with --resume"
        )
    checkpoint.require_sizes(config, shape, folder)
    net = build_classifier(config, shape, stream(0, "weights"))
    load_net(net, folder / f"{_AVERAGE}.safetensors")
    return functools.partial(probabilities, net)


def _train(
    config: Config,
    data: DataSet,
    run: Run,
    resume: bool,
    stop: Callable[[], bool],
    report: Callable[[Progress], None],
) -> tuple[str, int]:
    fabric = processes.launched(config)
    _check_reach(data)
    if resume:
        session.require_fit(run, config, data)
    game = new_game(config, data, fabric)
    keep_memory(game.generator.net, game.discriminator.net)
    with session.opened(run, config, data, fabric, resume=resume):
        if resume:
            _resume(game, run)
            note_elsewhere(run, game.step, differences(run, config))
        run.write_status(game.step, "running", None)
        with session.interruptible(run, dict):
            state = _play(game, data, run, stop, report)
        run.write_status(game.step, state, None)
    return state, game.step


def _play(game: SemiGame, data: DataSet, run: Run, stop: Callable[[], bool], report: Callable[[Progress], None]) -> str:
    """Step until the end, the user or a number that is not finite; say which."""
    train = game.config.train
    ending = game.step >= train.steps
    if game.step and (ending or game.step % train.sample_every == 0):
        _picture(game, data, run, again=False)  # killed between the checkpoint and its picture
    since, made = time.perf_counter(), 0
    while not ending:
        with fast_products(game.random.device):
            move(game)
        made += 1
        ending = game.step >= train.steps or stop()
        measures = None
        if game.step % train.log_every == 0:
            measures = _log(game, data, run)
            speed = 1000 * (time.perf_counter() - since) / made
            run.append(run.timing, {"step": game.step, "milliseconds_per_step": speed})
            since, made = time.perf_counter(), 0
            if not all(map(math.isfinite, measures.values())):
                return "diverged"
        report(Progress(game.step, train.steps, measures))
        paused = time.perf_counter()
        if not _keep(game, data, run, ending=ending):
            return "diverged"
        since += time.perf_counter() - paused
    return "finished" if game.step >= train.steps else "interrupted"


def _log(game: SemiGame, data: DataSet, run: Run) -> dict[str, float]:
    """Append the means since the last line, and the validation error, to log.jsonl; return them."""
    before = game.step - 1
    measures = dict(zip(MEASURES, (game.sums / game.summed).tolist(), strict=True))
    if found := errors(functools.partial(probabilities, game.average), data.validation):
        measures["validation_error"] = found.share
    line: dict[str, Any] = {
        "step": game.step,
        "epoch": 2 * before // game.batches.per_epoch + 1,  # a step takes two minibatches
        "learning_rate": game.generator.rate(game.config.train, before),
        **{name: value if math.isfinite(value) else None for name, value in measures.items()},
    }
    run.append(run.log, line, begun=game.step > game.config.train.log_every)
    game.sums.zero_()
    game.summed = 0
    return measures


def _keep(game: SemiGame, data: DataSet, run: Run, *, ending: bool) -> bool:
    """Write the checkpoint and the picture that are due at this step; False where a weight is not finite."""
    train = game.config.train
    saving, drawing = (ending or game.step % every == 0 for every in (train.checkpoint_every, train.sample_every))
    saving = saving or (train.keep_every > 0 and game.step % train.keep_every == 0)
    weights = [parameter for net in _nets(game).values() for parameter in net.parameters()]
    if (saving or drawing) and not all(bool(torch.isfinite(weight).all()) for weight in weights):
        return False
    if saving:
        with run.writing_checkpoint(game.step, train.keep_every) as folder:
            _save(game, folder, run.flush_lines())
        run.write_status(game.step, "running", None)
    if drawing:
        _picture(game, data, run)
    return True


def _nets(game: SemiGame) -> dict[str, nn.Module]:
    return {"generator": game.generator.net, "discriminator": game.discriminator.net, _AVERAGE: game.average}


def _save(game: SemiGame, folder: Path, sizes: dict[str, int]) -> None:
    """Write the whole state into an empty folder, with the sizes of the run's files of lines."""
    saved.write(_state(game), folder, {"step": game.step, "stage": 1, "summed": game.summed, **sizes})


def _state(game: SemiGame) -> saved.State:
    """Name what of a game is kept."""
    players = {"generator": game.generator, "discriminator": game.discriminator}
    rules = {name: (player.net, player.optimiser) for name, player in players.items()}
    return saved.State(_nets(game), rules, game.random, {"sums": game.sums})


def _resume(game: SemiGame, run: Run) -> None:
    """Bring a new game to the run's last checkpoint, and cut the log back to it."""
    folder = run.verified_checkpoint()
    if folder is None:
        run.cut_log(0)
        return
    game.random = saved.read(_state(game), folder, game.config.seed)
    counts = saved.read_counts(folder)
    game.step, game.summed = counts["step"], counts["summed"]
    run.cut_log(counts["log_bytes"])


def _check_reach(data: DataSet) -> None:
    """Refuse data that the generator's sigmoids cannot reach."""
    low, high = float(data.train.x.min()), float(data.train.x.max())
    if low < 0 or high > 1:
        raise InputError(
            f"the generator ends in sigmoids and the data reach from {low:.4g} to {high:.4g}, allowed: data from 0 to "
            "1; set --data.scaling unit"
        )


def _picture(game: SemiGame, data: DataSet, run: Run, *, again: bool = True) -> None:
    """Write the picture of a step, from the same latents at every one."""

    def draw(count: int) -> FloatArray:
        latents = sampling.draw_latents(game.config.noise, count, game.config.seed)
        return sampling.generate(game.generator.net, latents)

    save_picture(run, game.step, draw, data, again=again)
