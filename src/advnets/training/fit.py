"""Training of a rival: one gradient after another, layer by layer where it is a stack."""

import math
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from lightning_fabric import Fabric
from torch import Tensor

from advnets import doctor, sampling
from advnets.config import Config, check
from advnets.data.dataset import DataSet, FloatArray
from advnets.errors import InputError
from advnets.nets.files import misfit
from advnets.rivals.build import build_rival
from advnets.rivals.rival import Rival
from advnets.runs import Run
from advnets.seeds import stream
from advnets.training import saved, schedules, session
from advnets.training.batches import Batches
from advnets.training.facts import differences, note_elsewhere
from advnets.training.fit_signals import Probe, new_probe, take
from advnets.training.game import Player, new_optimiser
from advnets.training.outcome import Outcome, Progress, check_device, dtype
from advnets.training.processor import fast_products, keep_memory
from advnets.training.showing import save_picture
from advnets.training.signals import norm
from advnets.training.watch import Watch, new_watch


@dataclass
class Fit:
    """State of a rival's training."""

    config: Config
    model: Rival
    player: Player
    """The part of the model that the present stage trains."""
    random: torch.Generator
    total: Tensor
    """Sum of the losses since the last line of the log."""
    step: int = 0
    stage: int = 0
    summed: int = 0
    moved: float | None = None
    """Norm of the last update, of the steps that signals are measured after."""

    @property
    def stage_step(self) -> int:
        """Steps made in the present stage."""
        return self.step - self.stage * (self.config.layer_steps or 0)


def train(
    config: Config,
    data: DataSet,
    run: Run,
    *,
    resume: bool = False,
    stop: Callable[[], bool] = lambda: False,
    report: Callable[[Progress], None] = lambda progress: None,
) -> Outcome:
    """Train a rival as `advnets.training.train` does adversarial nets; raises InputError likewise."""
    data.require_memory(config.recipe)
    started = time.perf_counter()
    with session.threads_for(config, data):
        state, step, verdict = _train(config, data, run, resume, stop, report)
    return Outcome(state, step, time.perf_counter() - started, verdict)


def new_fit(config: Config, data: DataSet, device: torch.device) -> Fit:
    """Build the model with fresh weights, about to train its first layer."""
    mean = torch.from_numpy(data.train.x).flatten(1).mean(0)
    model = build_rival(config, len(mean), mean, stream(config.seed, "weights")).to(device, dtype(config))
    random = stream(config.seed, "play", device=device)
    return Fit(config, model, _player(model, config, 0), random, torch.zeros((), device=device))


def _player(model: Rival, config: Config, stage: int) -> Player:
    part, rate = model.part(stage), config.train.learning_rate
    return Player(part, new_optimiser(part, config.train, rate), rate, None)


def _train(
    config: Config,
    data: DataSet,
    run: Run,
    resume: bool,
    stop: Callable[[], bool],
    report: Callable[[Progress], None],
) -> tuple[str, int, doctor.Verdict | None]:
    check_device(config)
    fabric = Fabric(accelerator=check(config).train.device, devices=1)
    _check_reach(config, data)
    x = torch.from_numpy(data.train.x).flatten(1)
    batches = Batches(x.to(fabric.device, dtype(config)), config.train.batch_size, config.seed)
    if resume:
        session.require_fit(run, config, data)
    fit = new_fit(config, data, fabric.device)
    keep_memory(fit.model)
    with session.opened(run, config, data, fabric, resume=resume):
        if resume:
            _resume(fit, run)
            note_elsewhere(run, fit.step, differences(run, config))
        watch = new_watch(run, config)
        run.write_status(fit.step, "running", **watch.told())
        with session.interruptible(run, watch.told):
            state = _play(fit, batches, data, run, watch, stop, report)
        if state == "diverged":
            watch.verdict = doctor.diverged()
        run.write_status(fit.step, state, **watch.told())
    return state, fit.step, watch.verdict


def _play(
    fit: Fit,
    batches: Batches,
    data: DataSet,
    run: Run,
    watch: Watch,
    stop: Callable[[], bool],
    report: Callable[[Progress], None],
) -> str:
    """Step until the end, the user or a number that is not finite; say which."""
    train = fit.config.train
    probe = new_probe(fit.model, data, fit.config.seed) if train.signals == "on" else None
    ending = fit.step >= train.steps
    if fit.step and (ending or fit.step % train.sample_every == 0):
        _picture(fit, data, run, again=False)  # killed between the checkpoint and its picture
    since, made = time.perf_counter(), 0
    while not ending:
        with fast_products(fit.random.device):
            move(fit, batches)
        made += 1
        ending = fit.step >= train.steps or stop()
        measures = None
        if fit.step % train.log_every == 0:
            measures, line = _log(fit, batches, run, probe)
            speed = 1000 * (time.perf_counter() - since) / made
            run.append(run.timing, {"step": fit.step, "milliseconds_per_step": speed})
            since, made = time.perf_counter(), 0
            watch.see(line)
            if not math.isfinite(measures["loss"]):
                return "diverged"
        report(Progress(fit.step, train.steps, measures, watch.verdict))
        paused = time.perf_counter()
        if not _keep(fit, data, run, watch, ending=ending):
            return "diverged"
        since += time.perf_counter() - paused
    return "finished" if fit.step >= train.steps else "interrupted"


def move(fit: Fit, batches: Batches) -> None:
    """Make one step: a minibatch, its loss, its gradient, and on to the next layer where that is due."""
    _enter_stage(fit)
    train = fit.config.train
    loss = fit.model.loss(batches[fit.step], fit.stage, fit.random)
    loss.backward()
    measured = train.signals == "on" and (fit.step + 1) % train.log_every == 0
    before = [parameter.detach().clone() for parameter in fit.player.net.parameters()] if measured else []
    fit.player.update(train, fit.stage_step, fit.stage_step // batches.per_epoch + 1)
    if measured:
        pairs = zip(fit.player.net.parameters(), before, strict=True)
        fit.moved = norm(after.detach() - weight for after, weight in pairs)
    fit.total += loss.detach()
    fit.summed += 1
    fit.step += 1


def _enter_stage(fit: Fit) -> None:
    """Begin the next layer with a fresh optimiser once the present one has had its steps."""
    layer = fit.config.layer_steps
    if layer and fit.stage + 1 < fit.model.stages and fit.stage_step >= layer:
        fit.stage += 1
        fit.player = _player(fit.model, fit.config, fit.stage)


def _log(fit: Fit, batches: Batches, run: Run, probe: Probe | None) -> tuple[dict[str, float], dict[str, Any]]:
    """Append the mean loss since the last line to log.jsonl; return it and the line. Rates are of the last step."""
    train, before = fit.config.train, fit.stage_step - 1
    epoch = before // batches.per_epoch + 1
    measures = {"loss": float(fit.total) / fit.summed}
    line: dict[str, Any] = {
        "step": fit.step,
        "layer": fit.stage + 1,
        "epoch": epoch,
        "learning_rate": fit.player.rate(train, before),
        "momentum": schedules.momentum(train, epoch) if train.optimiser == "momentum" else None,
        **{name: value if math.isfinite(value) else None for name, value in measures.items()},
    }
    if probe is not None:
        device = fit.random.device
        with fast_products(device):
            draws = stream(fit.config.seed, "signals", fit.step, device)
            line["signals"] = take(fit.model, fit.stage, probe, fit.moved, draws)
    run.append(run.log, line, begun=fit.step > train.log_every)
    fit.total.zero_()
    fit.summed = 0
    return measures, line


def _keep(fit: Fit, data: DataSet, run: Run, watch: Watch, *, ending: bool) -> bool:
    """Write the checkpoint and the picture that are due at this step; False where a weight is not finite."""
    train = fit.config.train
    saving, drawing = (ending or fit.step % every == 0 for every in (train.checkpoint_every, train.sample_every))
    saving = saving or (train.keep_every > 0 and fit.step % train.keep_every == 0)
    if (saving or drawing) and not all(bool(torch.isfinite(p).all()) for p in fit.model.parameters()):
        return False
    if saving:
        with run.writing_checkpoint(fit.step, train.keep_every) as folder:
            _save(fit, folder, run.flush_lines())
        run.write_status(fit.step, "running", **watch.told())
    if drawing:
        _picture(fit, data, run)
    return True


def _save(fit: Fit, folder: Path, sizes: dict[str, int]) -> None:
    """Write the whole state into an empty folder, with the sizes of the run's files of lines."""
    counts = {"step": fit.step, "stage": fit.stage + 1, "summed": fit.summed, **sizes}
    saved.write(_state(fit), folder, counts)


def _state(fit: Fit) -> saved.State:
    """Name what of a fit is kept; its optimiser is of the present stage's part of the model alone."""
    rules = {"model": (fit.player.net, fit.player.optimiser)}
    return saved.State({"model": fit.model}, rules, fit.random, {"total": fit.total})


def _resume(fit: Fit, run: Run) -> None:
    """Bring a new fit to the run's last checkpoint, and cut the log back to it."""
    folder = run.verified_checkpoint()
    if folder is None:
        run.cut_log(0)
        return
    counts = saved.read_counts(folder)
    if counts["stage"] > fit.model.stages:
        raise misfit(folder / "state.json")
    fit.step, fit.stage, fit.summed = counts["step"], counts["stage"] - 1, counts["summed"]
    if fit.stage_step < 0:  # of a layer that is not due yet
        raise misfit(folder / "state.json")
    fit.player = _player(fit.model, fit.config, fit.stage)
    fit.random = saved.read(_state(fit), folder, fit.config.seed)
    run.cut_log(counts["log_bytes"])


def _check_reach(config: Config, data: DataSet) -> None:
    """Refuse data that the model's visible units cannot reach."""
    low, high = float(data.train.x.min()), float(data.train.x.max())
    bits = getattr(config.rival, "visible", "bernoulli") == "bernoulli"
    if bits and (low < 0 or high > 1):
        raise InputError(
            f"the model has units within 0 and 1 and the data reach from {low:.4g} to {high:.4g}, allowed: data from 0 "
            "to 1; set --data.scaling unit, or --rbm.visible gaussian or --vae.visible gaussian"
        )


def _picture(fit: Fit, data: DataSet, run: Run, *, again: bool = True) -> None:
    """Write the picture of a step, from chains of the same random numbers at every one."""

    def draw(count: int) -> FloatArray:
        return sampling.run_chains(fit.model, fit.config, data.shape, count, fit.config.seed)

    save_picture(run, fit.step, draw, data, again=again)
