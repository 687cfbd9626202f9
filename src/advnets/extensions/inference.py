"""Learned approximate inference: an encoder E of a fixed generator G, trained after G on fresh pairs (z, G(z)).

RUN/encoder/config.json          its settings, and which weights of G it belongs to
RUN/encoder/encoder.safetensors  its weights; SHA256SUMS is over all files
RUN/encoder/log.jsonl            one line per 100 updates
RUN/encoder-training/            its training, with checkpoints, until it is finished

Goodfellow et al. (2014), section 7, extension 2.
"""

import contextlib
import hashlib
import json
import math
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.optim import Adam

from advnets import checksums, disk, noise
from advnets.config import NoiseConfig, from_json, to_json
from advnets.data.dataset import DataSet, FloatArray
from advnets.errors import InputError
from advnets.evaluation.progress import Report, silent
from advnets.extensions.encoder import (
    Encoder,
    Halves,
    InferenceConfig,
    check,
    halves,
    latent_loss,
    parameters_of,
    reconstruction_loss,
    support_of,
)
from advnets.nets.files import load_net, misfit, read_tensors, require_size, write_tensors
from advnets.rivals.vae import VAE
from advnets.runs import Run
from advnets.sampling import Sampler, generate, load_sampler
from advnets.seeds import stream
from advnets.training import checkpoint
from advnets.training.batches import Batches
from advnets.training.facts import machine, threads
from advnets.training.processor import fast_products

_FINISHED, _TRAINING, _NET = "encoder", "encoder-training", "encoder.safetensors"
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


@dataclass(frozen=True)
class Inference:
    """An encoder with the generator that it inverts; examples are in the nets' units."""

    noise: NoiseConfig
    halves: Halves
    encoder: nn.Module

    def encode(self, x: FloatArray) -> FloatArray:
        """Predict codes (n, code) of examples (n, *shape)."""
        return generate(self.encoder, torch.from_numpy(np.ascontiguousarray(x, np.float32)))

    def decode(self, codes: FloatArray) -> FloatArray:
        """Return what G makes (n, *shape) of codes (n, code)."""
        return generate(self.halves.upper, torch.from_numpy(codes))

    def draw(self, count: int, seed: int) -> tuple[FloatArray, FloatArray]:
        """Draw fresh pairs of codes and what G makes of them, from a stream that training does not use."""
        z = noise.draw(self.noise, count, stream(seed, "inference-test"))
        with torch.no_grad():
            codes: FloatArray = self.halves.lower(z).numpy()
        return codes, self.decode(codes)


def fit(
    run: Run,
    settings: InferenceConfig,
    data: DataSet | None = None,
    *,
    refit: bool = False,
    stop: Callable[[], bool] = lambda: False,
    report: Report = silent,
) -> Fitted:
    """Train the encoder of a run's generator, or go on where its training stopped, up to `settings.steps` updates.

    Minimises E‖E(G(z)) − z‖²/dimension over fresh z, plus `settings.reconstruction`·E‖G(E(x)) − x‖²/pixels over
    training examples of `data`. Does nothing where the run has this encoder. `refit` replaces another one, and drops
    what another unfinished training left. Stops with a checkpoint once `stop` is true. Raises InputError for settings
    that do not fit, for the encoder of other settings or of another generator, and for a disk that refuses.
    """
    started, sampler = time.perf_counter(), _game(run, check(settings))
    if settings.reconstruction and data is None:
        raise InputError("--reconstruction needs real examples, allowed without: 0; give data, or leave it out")
    finished, training = Run(run.path / _FINISHED), Run(run.path / _TRAINING)
    facts = _facts(sampler, settings, data)
    if finished.exists() and not refit:
        _require_same(finished, facts, run)
        return Fitted("finished", settings.steps, 0.0)
    if training.exists() and not refit:
        _require_same(training, facts, run)
    if training.exists() and not _is_same(training, facts):
        with training.locked():
            _discard(training.path)
    new = _new_fit(sampler, settings)
    with _one_at_a_time(training, sampler, facts), _computing(sampler):
        _resume(new, training)
        if not _play(new, training, data, stop, report):
            return Fitted("interrupted", new.step, time.perf_counter() - started)
        _put_in_place(new, run, training)
    return Fitted("finished", settings.steps, time.perf_counter() - started)


def settings_of(run: Run) -> InferenceConfig | None:
    """Return the settings of a run's encoder, finished or else unfinished; None where there is none."""
    for name in (_FINISHED, _TRAINING):
        if Run(run.path / name).exists():
            content = Run(run.path / name).read().get("inference")
            settings: InferenceConfig = from_json(InferenceConfig, content, f"{run.path / name}: inference")
            return check(settings)
    return None


def has_encoder(run: Run) -> bool:
    """Tell whether a run has a finished encoder, or is a model that has inference built in."""
    return Run(run.path / _FINISHED).exists() or run.config().vae is not None


def load_inference(run: Run) -> Inference:
    """Load the encoder of a run, or take a variational autoencoder's posterior mean.

    Raises InputError where there is none, a damaged one, or that of a generator which was trained on since.
    """
    if run.config().vae is not None:
        return _of_vae(load_sampler(run))
    finished, settings = Run(run.path / _FINISHED), settings_of(run)
    if settings is None or not finished.exists():
        raise InputError(f"{run.path} has no encoder, allowed: a run with one; advnets encode {run.path} fits it")
    if wrong := checksums.damage(finished.path):
        raise InputError(f"{finished.path} is damaged ({wrong}), allowed: files as they were written; add --refit")
    sampler = _game(run, settings)
    stored = finished.read().get("generator")
    if stored != _generator(sampler):
        raise _other_generator(run, stored, sampler)
    new, file = _new_fit(sampler, settings, finished.path / _NET), finished.path / _NET
    load_net(new.encoder, file)
    return Inference(sampler.config.noise, new.halves, new.encoder.eval())


def _of_vae(sampler: Sampler) -> Inference:
    assert sampler.config.vae is not None and isinstance(sampler.net, VAE)
    prior = NoiseConfig("gaussian", sampler.config.vae.latent)
    whole = Halves(nn.Identity(), _Means(sampler.net, sampler.shape), prior.dimension, None)
    return Inference(prior, whole, _PosteriorMean(sampler.net))


class _PosteriorMean(nn.Module):
    """E[z | x] under q of a variational autoencoder."""

    def __init__(self, model: VAE) -> None:
        super().__init__()
        self.model = model

    def forward(self, x: Tensor) -> Tensor:
        return self.model.posterior(x.flatten(1))[0]


class _Means(nn.Module):
    """E[x | z] of a variational autoencoder, in the shape of examples."""

    def __init__(self, model: VAE, shape: tuple[int, ...]) -> None:
        super().__init__()
        self.model, self.shape = model, shape

    def forward(self, z: Tensor) -> Tensor:
        means: Tensor = self.model.means(z, torch.Generator()).unflatten(1, self.shape)
        return means


def _game(run: Run, settings: InferenceConfig) -> Sampler:
    """Load the generator of a run; raises InputError for a rival, before its weights are read."""
    if run.config().rival:
        raise InputError(
            f"{run.path} is a run of {run.config().recipe}, allowed: runs of adversarial nets, whose generator can be "
            "inverted, and of vae, which has an encoder of its own; name one of these"
        )
    return load_sampler(run, settings.weights)


def _generator(sampler: Sampler) -> dict[str, Any]:
    """Say which weights an encoder belongs to."""
    digest = hashlib.sha256()
    for name, tensor in sorted(sampler.net.state_dict().items()):
        digest.update(f"{name}{tuple(tensor.shape)}".encode())
        digest.update(tensor.contiguous().numpy().data)
    return {"step": sampler.step, "weights": sampler.weights, "fingerprint": digest.hexdigest()}


def _facts(sampler: Sampler, settings: InferenceConfig, data: DataSet | None) -> dict[str, Any]:
    """What the encoder's config.json holds beside the configuration of G."""
    examples = data.fingerprint if data and settings.reconstruction else None
    return {
        "inference": to_json(settings) | {"hidden": settings.hidden and list(settings.hidden)},
        "generator": _generator(sampler),
        "examples": examples,
        **machine(torch.device("cpu"), threads(sampler.config, sampler.shape)),
    }


def _is_same(found: Run, facts: dict[str, Any]) -> bool:
    content = found.read()
    return all(content.get(name) == facts[name] for name in ("inference", "generator", "examples"))


def _require_same(found: Run, facts: dict[str, Any], run: Run) -> None:
    """Raise InputError where the encoder that is there is not the one that is wanted."""
    content = found.read()
    if content.get("generator") != facts["generator"]:
        raise _other_generator(run, content.get("generator"), load_sampler(run, facts["inference"]["weights"]))
    stored: Any = content.get("inference")
    wanted = facts["inference"]
    names = [name for name in wanted if not isinstance(stored, dict) or stored.get(name) != wanted[name]]
    if names:
        both = ", ".join(f"{name} {_spell(stored, name)} there and {_spell(wanted, name)} here" for name in names)
        raise InputError(
            f"{found.path} was made with {both}, allowed: the same settings; leave them out, or add --refit to "
            "replace it"
        )
    if content.get("examples") != facts["examples"]:
        raise InputError(f"{found.path} was made with other examples, allowed: the same data; or add --refit")


def _spell(content: Any, name: str) -> str:
    value = content.get(name) if isinstance(content, dict) else None
    return " ".join(map(str, value)) if isinstance(value, list) else str(value)


def _other_generator(run: Run, stored: Any, sampler: Sampler) -> InputError:
    there = stored if isinstance(stored, dict) else {}
    return InputError(
        f"the encoder of {run.path} belongs to {there.get('weights')} of step {there.get('step')} and the run holds "
        f"{sampler.weights} of step {sampler.step}, allowed: an encoder of the same weights; add --refit (in Python: "
        "fit_inference) to fit one to these"
    )


def _new_fit(sampler: Sampler, settings: InferenceConfig, file: Path | None = None) -> Fit:
    """Build an encoder with fresh weights; raises InputError where a file is too small to hold its weights."""
    cut = halves(sampler.net, settings.target)
    hidden = settings.hidden or tuple(reversed(sampler.config.generator.hidden))
    sizes = [math.prod(sampler.shape), *hidden, cut.size]
    count = parameters_of(sizes)
    if file is not None:
        require_size(file, count)
    support = support_of(sampler.config.noise, cut.activation)
    encoder = Encoder(sizes, support, stream(settings.seed, "encoder-weights"))
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


def _play(fit: Fit, training: Run, data: DataSet | None, stop: Callable[[], bool], report: Report) -> bool:
    """Train up to the last step, or until `stop`; tell whether that was the last."""
    batches, settings = None, fit.settings
    if settings.reconstruction and data is not None:
        x = torch.from_numpy(data.train.x)
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
    write_tensors(fit.encoder.state_dict(), folder / _NET)
    write_tensors(checkpoint.optimiser_tensors(fit.optimiser, fit.encoder), folder / "encoder-optimiser.safetensors")
    write_tensors({"random": fit.random.get_state(), "total": fit.total}, folder / "game.safetensors")
    counts = {"step": fit.step, "stage": 1, "summed": fit.summed, **sizes}
    disk.write(folder / "state.json", (json.dumps(counts) + "\n").encode())


def _resume(fit: Fit, training: Run) -> None:
    """Bring a new fit to its last checkpoint, and cut the log back to it."""
    folder = training.verified_checkpoint()
    if folder is None:
        training.cut_log(0)
        return
    counts, file = checkpoint.read_counts(folder), folder / "game.safetensors"
    load_net(fit.encoder, folder / _NET)
    checkpoint.load_optimiser(fit.optimiser, fit.encoder, folder / "encoder-optimiser.safetensors")
    rest = read_tensors(file)
    if {*rest} != {"random", "total"} or not checkpoint.alike(rest["total"], fit.total):
        raise misfit(file)
    fit.step, fit.summed = counts["step"], counts["summed"]
    fit.random = checkpoint.restored_random(fit.random, rest["random"], fit.settings.seed, fit.step, file)
    fit.total.copy_(rest["total"])
    training.cut_log(counts["log_bytes"])


def _put_in_place(fit: Fit, run: Run, training: Run) -> None:
    """Write the finished encoder aside, with checksums, and rename it over an earlier one; then drop its training."""
    finished, aside = run.path / _FINISHED, run.path / f".{_FINISHED}-writing"
    with disk.reporting(f"cannot write {finished}", f"{training.path} is intact", "free space and run it again"):
        disk.remove(aside)
        disk.make_folder(aside)
        for name in ("config.json", "log.jsonl"):
            disk.write(aside / name, (training.path / name).read_bytes())
        write_tensors(fit.encoder.state_dict(), aside / _NET)
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
