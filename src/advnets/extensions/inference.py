"""Learned approximate inference: an encoder E of a fixed generator G, trained after G on fresh pairs (z, G(z)).

RUN/encoder/config.json          its settings, and which weights of G it belongs to
RUN/encoder/encoder.safetensors  its weights; SHA256SUMS is over all files
RUN/encoder/log.jsonl            one line per 100 updates
RUN/encoder-training/            its training, with checkpoints, until it is finished

Goodfellow et al. (2014), section 7, extension 2.
"""

import hashlib
import math
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from advnets import checksums, noise
from advnets.config import NoiseConfig, from_json, to_json
from advnets.data.dataset import FloatArray
from advnets.errors import InputError
from advnets.extensions.encoder import (
    Encoder,
    Halves,
    InferenceConfig,
    check,
    halves,
    parameters_of,
    support_of,
)
from advnets.nets.files import load_net, require_size
from advnets.rivals.vae import VAE
from advnets.runs import Run
from advnets.sampling import Sampler, generate, load_sampler
from advnets.seeds import stream
from advnets.training.facts import machine, threads

FINISHED, TRAINING, NET = "encoder", "encoder-training", "encoder.safetensors"


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


def settings_of(run: Run) -> InferenceConfig | None:
    """Return the settings of a run's encoder, finished or else unfinished; None where there is none."""
    for name in (FINISHED, TRAINING):
        if Run(run.path / name).exists():
            content = Run(run.path / name).read().get("inference")
            settings: InferenceConfig = from_json(InferenceConfig, content, f"{run.path / name}: inference")
            return check(settings)
    return None


def has_encoder(run: Run) -> bool:
    """Tell whether a run has a finished encoder, or is a model that has inference built in."""
    return Run(run.path / FINISHED).exists() or run.config().vae is not None


def load_inference(run: Run) -> Inference:
    """Load the encoder of a run, or take a variational autoencoder's posterior mean.

    Raises InputError where there is none, a damaged one, or that of a generator which was trained on since.
    """
    if run.config().vae is not None:
        return _of_vae(load_sampler(run))
    finished, settings = Run(run.path / FINISHED), settings_of(run)
    if settings is None or not finished.exists():
        raise InputError(f"{run.path} has no encoder, allowed: a run with one; advnets encode {run.path} fits it")
    if wrong := checksums.damage(finished.path):
        raise InputError(f"{finished.path} is damaged ({wrong}), allowed: files as they were written; add --refit")
    sampler = game_of(run, settings)
    stored = finished.read().get("generator")
    if stored != _generator(sampler):
        raise _other_generator(run, stored, sampler)
    cut, encoder = build(sampler, settings, finished.path / NET)
    load_net(encoder, finished.path / NET)
    return Inference(sampler.config.noise, cut, encoder.eval())


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


def game_of(run: Run, settings: InferenceConfig) -> Sampler:
    """Load the generator of a run; raises InputError for one that has no such, before weights are read."""
    if not run.config().is_game:
        raise InputError(
            f"{run.path} is a run of {run.config().recipe}, allowed: runs of adversarial nets, whose generator can be "
            "inverted, and of vae, which has an encoder of its own; name one of these"
        )
    if run.config().condition:
        raise InputError(
            f"{run.path} is a run of p(x | c), whose generator is given c too, allowed: a run without a condition; "
            "name one"
        )
    return load_sampler(run, settings.weights)


def _generator(sampler: Sampler) -> dict[str, Any]:
    """Say which weights an encoder belongs to."""
    digest = hashlib.sha256()
    for name, tensor in sorted(sampler.net.state_dict().items()):
        digest.update(f"{name}{tuple(tensor.shape)}".encode())
        digest.update(tensor.contiguous().numpy().data)
    return {"step": sampler.step, "weights": sampler.weights, "fingerprint": digest.hexdigest()}


def facts_of(sampler: Sampler, settings: InferenceConfig, examples: FloatArray | None) -> dict[str, Any]:
    """What the encoder's config.json holds beside the configuration of G."""
    used = examples if settings.reconstruction else None
    return {
        "inference": to_json(settings) | {"hidden": settings.hidden and list(settings.hidden)},
        "generator": _generator(sampler),
        "examples": None if used is None else hashlib.sha256(np.ascontiguousarray(used).data).hexdigest(),
        **machine(torch.device("cpu"), threads(sampler.config, sampler.shape)),
    }


def is_same(found: Run, facts: dict[str, Any]) -> bool:
    """Tell whether an encoder, or the training of one, is the one that is wanted; a damaged one is not."""
    try:
        content = found.read()
    except InputError:
        return False
    return all(content.get(name) == facts[name] for name in ("inference", "generator", "examples"))


def require_same(found: Run, facts: dict[str, Any], run: Run) -> None:
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


def build(sampler: Sampler, settings: InferenceConfig, file: Path | None = None) -> tuple[Halves, Encoder]:
    """Cut the generator and build an encoder with fresh weights; refuses a file too small to hold these."""
    cut = halves(sampler.net, settings.target)
    hidden = settings.hidden or tuple(reversed(sampler.config.generator.hidden))
    sizes = [math.prod(sampler.shape), *hidden, cut.size]
    count = parameters_of(sizes)
    if file is not None:
        require_size(file, count)
    support = support_of(sampler.config.noise, cut.activation)
    return cut, Encoder(sizes, support, stream(settings.seed, "encoder-weights"))
