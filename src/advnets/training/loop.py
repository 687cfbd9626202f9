"""Training from the first step to the last, over any number of interruptions."""

import contextlib
import math
import time
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import torch
from lightning_fabric import Fabric
from torch import nn

from advnets import conditions, doctor, noise, sampling
from advnets.config import Config, check
from advnets.data.dataset import DataSet, FloatArray
from advnets.errors import InputError
from advnets.runs import Run
from advnets.training import checkpoint, fit, precision, processes, schedules, session
from advnets.training.batches import Batches
from advnets.training.compiled import compiled_step, require_compiler
from advnets.training.facts import differences, note_elsewhere
from advnets.training.game import MEASURES, Game, new_game, second_stage
from advnets.training.outcome import Outcome, Progress, dtype
from advnets.training.processor import fast_products, keep_memory
from advnets.training.saved import read_counts
from advnets.training.showing import completions, save_picture
from advnets.training.signals import Probe, new_probe, take
from advnets.training.step import paper_step, released_step
from advnets.training.streaming import examples
from advnets.training.watch import Watch, new_watch, roll_back, rollbacks, slow

Validate = Callable[[nn.Module], float]
"""Scores a generator on validation data; more is better."""


def train(
    config: Config,
    data: DataSet,
    run: Run,
    *,
    resume: bool = False,
    stop: Callable[[], bool] = lambda: False,
    report: Callable[[Progress], None] = lambda progress: None,
    validate: Validate | None = None,
    fabric: Fabric | None = None,
) -> Outcome:
    """Train a new run up to `config.train.steps`, or with `resume` go on from its last checkpoint.

    Every `config.train.validate_every` steps `validate` scores the generator, the averaged one where there is one, and
    the checkpoint of the best score is kept (advnets.evaluation.likelihood.validator makes such a function).
    `fabric` is that of several processes, launched already (`processes.launched`): each calls this with the same
    arguments, a minibatch is shared out over them, and the first one writes the run.
    Ends early, with a checkpoint, once `stop` is true or a verdict is bad and `config.train.on_bad` says so; as
    diverged once a loss or a weight is not finite, with the last finite checkpoint kept.
    Raises InputError for settings that do not fit the data or the run, and for a disk that refuses.
    """
    config = precision.resolved(conditions.resolved(config, data), data, run if resume else None)
    if config.rival:
        return fit.train(config, data, run, resume=resume, stop=stop, report=report)
    if config.semi:
        raise ValueError("a recipe with semi is trained by advnets.extensions.semi_supervised.train")
    started = time.perf_counter()
    with session.threads_for(config, data):
        fabric = fabric or processes.launched(config)
        run = run if fabric.is_global_zero else processes.Unwritten(run.path)
        state, step, watch = _train(config, data, run, resume, stop, report, _required(config, validate), fabric)
    return Outcome(state, step, time.perf_counter() - started, watch.verdict, watch.stopped)


def _train(
    config: Config,
    data: DataSet,
    run: Run,
    resume: bool,
    stop: Callable[[], bool],
    report: Callable[[Progress], None],
    validate: Validate,
    fabric: Fabric,
) -> tuple[str, int, Watch]:
    check(config)
    _check_reach(config, data)
    given = conditions.of_data(config, data)
    x, c = conditions.of_split(data.train, given) if given else (torch.from_numpy(data.train.x), None)
    mean = x.mean(0) if given is None or not given.masks else _mean(data)
    rank, of = fabric.global_rank, fabric.world_size
    every, beside = examples(data, x, c, given, fabric.device, dtype(config))
    batches = Batches(every, config.train.batch_size, config.seed, beside, rank=rank, processes=of)
    if resume:
        session.require_fit(run, config, data)
    require_compiler(config, fabric.device, of)
    game = new_game(config, data.shape, mean, fabric, conditions=given)
    keep_memory(game.generator.net, game.discriminator.net)
    with session.opened(run, config, data, fabric, resume=resume):
        if resume:
            game = _resumed(game, run, data, mean, fabric)
            if fabric.is_global_zero:
                note_elsewhere(run, game.step, differences(run, config, fabric))
        watch = new_watch(run, config)
        run.write_status(game.step, "running", **watch.told())
        with session.interruptible(run, watch.told):
            state = _play(game, batches, data, run, watch, stop, report, validate)
        if state == "diverged":
            watch.verdict = doctor.diverged()
        run.write_status(game.step, state, **watch.told())
    return state, game.step, watch


def _play(
    game: Game,
    batches: Batches,
    data: DataSet,
    run: Run,
    watch: Watch,
    stop: Callable[[], bool],
    report: Callable[[Progress], None],
    validate: Validate,
) -> str:
    """Step until the end, the user or a number that is not finite; say which."""
    train, device = game.config.train, game.random.device
    move = paper_step if train.mode == "paper" else compiled_step(game) if train.compile == "on" else released_step
    probe = new_probe(game, data) if train.signals == "on" else None
    ending = game.step >= train.steps
    if game.step and (ending or game.step % train.sample_every == 0):
        _picture(game, data, run, again=False)  # killed between the checkpoint and its picture
    since, played = time.perf_counter(), 0
    while not ending:
        _enter_stage(game, data, run, watch)
        with fast_products(device), _whole(game, run, watch):
            move(game, batches)
        game.step += 1
        played += 1
        with _whole(game, run, watch):
            ending = processes.any_of(game.fabric, stop()) or game.step >= train.steps
        measures = None
        if game.step % train.log_every == 0:
            with _whole(game, run, watch):
                measures = _log(game, batches, run, probe, watch)
            _time(game, run, time.perf_counter() - since, played)
            since, played = time.perf_counter(), 0
            finite = all(map(math.isfinite, measures.values()))
            if (watch.stopped or not finite) and _went_back(game, run, watch, report):
                since, ending = time.perf_counter(), False
                continue
            if not finite:
                return "diverged"
            ending = ending or watch.stopped
        report(Progress(game.step, train.steps, measures, watch.verdict))
        paused = time.perf_counter()
        if not _keep(game, data, run, watch, validate, ending=ending):
            watch.verdict = doctor.diverged()
            if not _went_back(game, run, watch, report):
                return "diverged"
            ending = False
        since += time.perf_counter() - paused
    return "finished" if game.step >= train.steps else "interrupted"


@contextlib.contextmanager
def _whole(game: Game, run: Run, watch: Watch) -> Iterator[None]:
    """Save the game as it was before the step, if another process is lost in it and no player has moved yet."""
    if game.fabric.world_size == 1:
        yield
        return
    before, game.moved = game.random.get_state(), False
    try:
        with processes.noticing_loss():
            yield
    except processes.ProcessLostError as error:
        if not game.moved:
            game.random.set_state(before)
            _save(game, run, watch)
        raise InputError(
            f"another process of {run.path} was lost in step {game.step + 1}, allowed: all of them to the end; the "
            f"checkpoint of step {[0, *run.checkpoint_steps()][-1]} is intact: go on with --resume"
        ) from error


def _enter_stage(game: Game, data: DataSet, run: Run, watch: Watch) -> None:
    """Begin the second stage where it is due; save either beginning if a bad verdict may lead back to it."""
    second = game.config.second_stage
    begins = second is not None and game.stage == 1 and game.step == second.after
    if second is not None and begins:
        second_stage(game, second, data.shape)
        slow(game, len(rollbacks(run)))
        watch.lines.clear()
    if game.config.train.on_bad == "rollback" and (begins or not run.checkpoint_steps()):
        _save(game, run, watch)


def _went_back(game: Game, run: Run, watch: Watch, report: Callable[[Progress], None]) -> bool:
    """Roll back and say so, if a run may and can."""
    if not roll_back(game, run, watch):
        return False
    report(Progress(game.step, game.config.train.steps, rollback=rollbacks(run)[-1]))
    return True


def _keep(game: Game, data: DataSet, run: Run, watch: Watch, validate: Validate, *, ending: bool) -> bool:
    """Write the checkpoint, the picture and the score that are due at this step; False where a weight is not finite."""
    train = game.config.train
    saving, drawing = (ending or game.step % every == 0 for every in (train.checkpoint_every, train.sample_every))
    saving = saving or (train.keep_every > 0 and game.step % train.keep_every == 0)
    scoring = train.validate_every > 0 and game.step % train.validate_every == 0
    if (saving or drawing or scoring) and not checkpoint.is_finite(game):
        return False
    if scoring and game.fabric.is_global_zero:
        run.append(run.validation, {"step": game.step, "nats": validate(_shown(game))})
        saving = saving or run.best_step() == game.step
    if saving:
        _save(game, run, watch)
    if drawing:
        _picture(game, data, run)
    return True


def _save(game: Game, run: Run, watch: Watch) -> None:
    if not game.fabric.is_global_zero:
        return
    with run.writing_checkpoint(game.step, game.config.train.keep_every) as folder:
        checkpoint.save(game, folder, run.flush_lines())
    run.write_status(game.step, "running", **watch.told())


def _required(config: Config, validate: Validate | None) -> Validate:
    if validate is None and config.train.validate_every:
        raise InputError(
            f"--train.validate_every is {config.train.validate_every} and train got no validate, allowed: both "
            "or none; give validate=advnets.evaluation.likelihood.validator(config, data)"
        )
    return validate or (lambda net: math.nan)


def _shown(game: Game) -> nn.Module:
    """The generator to show and to score: the averaged one where there is one."""
    return game.generator.net if game.average is None else game.average.module


def _mean(data: DataSet) -> torch.Tensor:
    """Mean of what is there of every number; 0 where nothing is."""
    return torch.from_numpy(data.train.x).nanmean(0).nan_to_num(0.0)


def _check_reach(config: Config, data: DataSet) -> None:
    """Refuse data that the generator's top layer cannot reach."""
    low, high = (float(find.reduce(data.train.x, axis=None)) for find in (np.fmin, np.fmax))  # NaN is no number
    if config.generator.output == "sigmoid" and (low < 0 or high > 1):
        raise InputError(
            f"--generator.output is sigmoid and the data reach from {low:.4g} to {high:.4g}, allowed: data from 0 "
            "to 1; set --generator.output linear, or another --data.scaling"
        )


def _resumed(game: Game, run: Run, data: DataSet, mean: torch.Tensor, fabric: Fabric) -> Game:
    """Bring a new game to the run's last checkpoint, and cut the log back to it."""
    folder = run.verified_checkpoint()
    if folder is None:
        run.cut_log(0)
        run.cut_validations(0)
        return game
    counts = read_counts(folder)
    if counts["stage"] == 2:
        game = new_game(game.config, data.shape, mean, fabric, stage=2)
    checkpoint.restore(game, folder)
    slow(game, len(rollbacks(run)))
    run.cut_log(counts["log_bytes"])
    run.cut_validations(game.step, counts.get("validation_bytes"))
    return game


def _log(game: Game, batches: Batches, run: Run, probe: Probe | None, watch: Watch) -> dict[str, float]:
    """Append the means since the last line to log.jsonl, judge it, and return them. Rates are of the step just made."""
    train = game.config.train
    before = game.stage_step - 1
    epoch = before * train.k // batches.per_epoch + 1
    means = processes.average(game.fabric, game.sums / game.summed)
    measures = dict(zip(MEASURES, means.tolist(), strict=True))
    line: dict[str, Any] = {
        "step": game.step,
        "epoch": epoch,
        "learning_rate": game.generator.rate(train, before),
        "discriminator_learning_rate": game.discriminator.rate(train, before),
        "momentum": schedules.momentum(train, epoch) if train.optimiser == "momentum" else None,
        **{name: mean if math.isfinite(mean) else None for name, mean in measures.items()},
    }
    if probe is not None and game.fabric.is_global_zero:
        with fast_products(game.random.device):
            line["signals"] = take(game, probe)
    run.append(run.log, line, begun=game.step > train.log_every)
    game.sums.zero_()
    game.summed = 0
    if game.fabric.is_global_zero:  # the others' lines lack the signals
        watch.see(line)
    watch.stopped = processes.any_of(game.fabric, watch.stopped)
    return measures


def _time(game: Game, run: Run, seconds: float, steps: int) -> None:
    """Append the speed of the steps that this process made since the last line to timing.jsonl."""
    run.append(run.timing, {"step": game.step, "milliseconds_per_step": 1000 * seconds / steps})


def _picture(game: Game, data: DataSet, run: Run, *, again: bool = True) -> None:
    """Write the picture of a step, from the same latents at every one."""
    if not game.fabric.is_global_zero:
        return

    def draw(count: int) -> FloatArray:
        z, given = sampling.draw_latents(game.config.noise, count, game.config.seed), game.conditions
        if given and given.masks:
            return completions(_shown(game), z, data.validation, given, game.config.seed)
        return sampling.generate(_shown(game), noise.beside(z, given.spread_out(count) if given else None))

    save_picture(run, game.step, draw, data, again=again)
