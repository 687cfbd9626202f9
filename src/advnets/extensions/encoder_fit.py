"""The training of an encoder for a fixed generator: resumable exactly, and in place only when it is finished."""

import contextlib
import math
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.optim import Adam

from advnets import checksums, disk, noise
from advnets.config import NoiseConfig
from advnets.data.dataset import FloatArray
from advnets.errors import InputError
from advnets.evaluation.progress import Report, silent
from advnets.extensions.encoder import (
    Encoder,
    Halves,
    InferenceConfig,
    check,
    latent_loss,
    reconstruction_loss,
)
from advnets.extensions.inference import (
    FINISHED,
    NET,
    TRAINING,
    build,
    facts_of,
    game_of,
    is_same,
    require_same,
)
from advnets.nets.files import write_tensors
from advnets.runs import Run
from advnets.sampling import Sampler
from advnets.seeds import stream
from advnets.training import saved
from advnets.training.batches import Batches
from advnets.training.facts import threads
from advnets.training.processor import fast_products

_LOG_EVERY, _SAVE_EVERY = 100, 1000


@dataclass(frozen=True)
class Fitted:
    """How a call of `fit` ended: state is finished or interrupted."""

    state: str
    step: int
    seconds: float


@dataclass
class Fit:
    """State of an encoder's training."""

    settings: InferenceConfig
    noise: NoiseConfig
    halves: Halves
    encoder: Encoder
    optimiser: Adam
    random: torch.Generator
    total: Tensor
    """Sums of both losses since the last line of the log."""
    step: int = 0
    summed: int = 0


def fit(
    run: Run,
    settings: InferenceConfig,
    examples: FloatArray | None = None,
    *,
    refit: bool = False,
    stop: Callable[[], bool] = lambda: False,
    report: Report = silent,
) -> Fitted:
    """Train the encoder of a run's generator, or go on where its training stopped, up to `settings.steps` updates.

    Minimises E‖E(G(z)) − z‖²/dimension over fresh z, plus `settings.reconstruction`·E‖G(E(x)) − x‖²/pixels over
    `examples` (n, *shape) in the nets' units. Does nothing where the run has this very encoder. `refit` replaces
    another one, and drops what another unfinished training left. Stops with a checkpoint once `stop` is true. Raises
    InputError for settings that do not fit, for the encoder of other settings or of another generator, and for a disk
    that refuses.
    """
    started, sampler = time.perf_counter(), game_of(run, check(settings))
    if settings.reconstruction and (examples is None or examples.shape[1:] != sampler.shape):
        raise InputError(
            f"--reconstruction is {settings.reconstruction} and needs real examples of {sampler.shape}, allowed "
            "without them: 0; give examples, or leave it out"
        )
    finished, training = Run(run.path / FINISHED), Run(run.path / TRAINING)
    facts = facts_of(sampler, settings, examples)
    if finished.exists() and not refit:
        require_same(finished, facts, run)
    if finished.exists() and is_same(finished, facts) and not (refit and checksums.damage(finished.path)):
        return Fitted("finished", settings.steps, 0.0)
    if training.exists() and not refit:
        require_same(training, facts, run)
    if training.exists() and not is_same(training, facts):
        with training.locked():
            _discard(training.path)
    new = _new_fit(sampler, settings)
    with _one_at_a_time(training, sampler, facts), _computing(sampler):
        _resume(new, training)
        if not _play(new, training, examples, stop, report):
            return Fitted("interrupted", new.step, time.perf_counter() - started)
        _put_in_place(new, run, training)
    return Fitted("finished", settings.steps, time.perf_counter() - started)


def _new_fit(sampler: Sampler, settings: InferenceConfig) -> Fit:
    """Build an encoder with fresh weights and its gradient rule."""
    cut, encoder = build(sampler, settings)
    optimiser = Adam(encoder.parameters(), lr=settings.learning_rate, fused=True)
    random = stream(settings.seed, "inference")
    return Fit(settings, sampler.config.noise, cut, encoder, optimiser, random, torch.zeros(2))


@contextlib.contextmanager
def _one_at_a_time(training: Run, sampler: Sampler, facts: dict[str, Any]) -> Iterator[None]:
    """Hold the folder of a training that begins or goes on."""
    with training.locked() if training.exists() else training.begun(sampler.config, facts):
        yield


@contextlib.contextmanager
def _computing(sampler: Sampler) -> Iterator[None]:
    """Compute on as many threads as pay, and flush denormals."""
    before = torch.get_num_threads()
    torch.set_num_threads(threads(sampler.config, sampler.shape))
    torch.set_flush_denormal(True)
    try:
        with fast_products(torch.device("cpu")):
            yield
    finally:
        torch.set_num_threads(before)


def move(fit: Fit, batches: Batches | None) -> None:
    """Make one update of E on fresh pairs (z, G(z)), and on a minibatch of real examples where there are some."""
    settings, g = fit.settings, fit.halves
    with torch.no_grad():
        targets = g.lower(noise.draw(fit.noise, settings.batch_size, fit.random))
        fake = g.upper(targets)
    latent = latent_loss(fit.encoder(fake), targets).mean()
    rebuilt = latent.new_zeros(())
    if batches is not None:
        real = batches[fit.step]
        rebuilt = reconstruction_loss(g.upper(fit.encoder(real)), real).mean()
    (latent + settings.reconstruction * rebuilt).backward()
    for group in fit.optimiser.param_groups:
        group["lr"] = settings.rate(fit.step)
    fit.optimiser.step()
    fit.optimiser.zero_grad(set_to_none=True)
    fit.total += torch.stack([latent.detach(), rebuilt.detach()])
    fit.summed += 1
    fit.step += 1


def _play(fit: Fit, training: Run, examples: FloatArray | None, stop: Callable[[], bool], report: Report) -> bool:
    """Train up to the last step, or until `stop`; tell whether that was the last."""
    batches, settings = None, fit.settings
    if settings.reconstruction and examples is not None:
        x = torch.from_numpy(np.ascontiguousarray(examples, np.float32))
        batches = Batches(x, min(settings.batch_size, len(x)), settings.seed)
    while fit.step < settings.steps:
        move(fit, batches)
        if fit.step % _LOG_EVERY == 0 or fit.step == settings.steps:
            _log(fit, training)
        report(fit.step, settings.steps)
        stopping = stop()
        if stopping or fit.step % _SAVE_EVERY == 0 or fit.step == settings.steps:
            with training.writing_checkpoint(fit.step) as folder:
                _save(fit, folder, training.flush_lines())
        if stopping and fit.step < settings.steps:
            return False
    return True


def _log(fit: Fit, training: Run) -> None:
    """Append the means of both losses since the last line; raises InputError where they are not finite."""
    latent, rebuilt = (fit.total / fit.summed).tolist()
    if not math.isfinite(latent + rebuilt):
        raise InputError(
            f"the encoder's loss is not finite at update {fit.step}, allowed: finite ones; set --learning_rate below "
            f"{fit.settings.learning_rate:g} and add --refit"
        )
    line = {"step": fit.step, "learning_rate": fit.settings.rate(fit.step - 1), "latent": latent}
    line |= {"reconstruction": rebuilt} if fit.settings.reconstruction else {}
    training.append(training.log, line, begun=fit.step > _LOG_EVERY)
    fit.total.zero_()
    fit.summed = 0


def _save(fit: Fit, folder: Path, sizes: dict[str, int]) -> None:
    """Write the whole state into an empty folder."""
    saved.write(_state(fit), folder, {"step": fit.step, "stage": 1, "summed": fit.summed, **sizes})


def _state(fit: Fit) -> saved.State:
    """Name what of a fit is kept."""
    name = NET.removesuffix(".safetensors")
    return saved.State({name: fit.encoder}, {name: (fit.encoder, fit.optimiser)}, fit.random, {"total": fit.total})


def _resume(fit: Fit, training: Run) -> None:
    """Bring a new fit to its last checkpoint, and cut the log back to it."""
    folder = training.verified_checkpoint()
    if folder is None:
        training.cut_log(0)
        return
    fit.random = saved.read(_state(fit), folder, fit.settings.seed)
    counts = saved.read_counts(folder)
    fit.step, fit.summed = counts["step"], counts["summed"]
    training.cut_log(counts["log_bytes"])


def _put_in_place(fit: Fit, run: Run, training: Run) -> None:
    """Write the finished encoder aside, with checksums, and rename it over an earlier one; then drop its training."""
    finished, aside = run.path / FINISHED, run.path / f".{FINISHED}-writing"
    with disk.reporting(f"cannot write {finished}", f"{training.path} is intact", "free space and run it again"):
        disk.remove(aside)
        disk.make_folder(aside)
        for name in ("config.json", "log.jsonl"):
            disk.write(aside / name, (training.path / name).read_bytes())
        write_tensors(fit.encoder.state_dict(), aside / NET)
        checksums.write(aside)
        disk.flush(aside)
        if finished.exists():
            _discard(finished)
        disk.rename(aside, finished)
        _discard(training.path)


def _discard(folder: Path) -> None:
    """Remove a folder, all of it or nothing."""
    aside = folder.with_name(f".{folder.name}-removed")
    disk.remove(aside)
    disk.rename(folder, aside)
    disk.remove(aside)
