"""The nets of a run as functions of a user's numbers: noise in, images in [0, 1] or rows in the data's units out."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import torch
from torch import Tensor, nn

from advnets.config import Config
from advnets.data.dataset import Scaling
from advnets.errors import InputError
from advnets.extensions.inference import load_inference
from advnets.rivals.rival import Rival
from advnets.runs import Run
from advnets.sampling import Sampler, Weights, draw_latents, load_sampler

Part = Literal["generator", "encoder", "completion"]
_MIDDLE = 0.5


@dataclass(frozen=True)
class Exported:
    """One function of a run."""

    part: Part
    net: nn.Module
    """In evaluation mode; takes the inputs by their order."""
    inputs: dict[str, Tensor]
    """Examples of what it takes, by name: rows that are drawn as a user would draw them."""
    output: str
    config: Config
    step: int
    weights: str
    shape: tuple[int, ...]
    scaling: Scaling
    class_names: tuple[str, ...] = ()

    def facts(self) -> dict[str, Any]:
        """Say in plain JSON values what the function is, and how its noise is drawn."""
        noise = self.config.noise
        prior: dict[str, Any] = {"kind": noise.kind, "dimension": noise.dimension}
        if noise.kind == "uniform":
            prior |= {"low": noise.low, "high": noise.high}
        return {
            "part": self.part,
            "recipe": self.config.recipe,
            "data": data_name(self.config),
            "step": self.step,
            "weights": self.weights,
            "noise": prior,
            "inputs": {name: list(one.shape[1:]) for name, one in self.inputs.items()},
            "output": {"name": self.output, "shape": list(self.result(2).shape[1:])},
            "class_names": list(self.class_names),
        }

    @torch.no_grad()
    def result(self, count: int | None = None) -> Tensor:
        """Return what the net makes of the first `count` of the inputs, or of all."""
        made: Tensor = self.net(*(one[:count] for one in self.inputs.values()))
        return made


def data_name(config: Config) -> str:
    """Name the data of a run; of a path the last part alone, for where it lies is nobody else's business."""
    return Path(config.data.name).name


class InUnits(nn.Module):
    """A net with the way from its units to the user's."""

    def __init__(self, net: nn.Module, scaling: Scaling) -> None:
        super().__init__()
        self.net = net
        self.undo = Undone(scaling)


class Generating(InUnits):
    """x = G(z), or G(z, c), in the units of `advnets sample`."""

    def forward(self, z: Tensor, c: Tensor | None = None) -> Tensor:
        """Return samples (n, *shape) of noise (n, latent), with conditions (n, c) as the nets see them."""
        x: Tensor = self.undo(self.net(z if c is None else torch.cat([z, c], dim=1)))
        return x


class Completing(InUnits):
    """x with what is not known filled in by one generator of all conditionals."""

    def forward(self, z: Tensor, x: Tensor, known: Tensor) -> Tensor:
        """Return completions of examples x (n, *shape), of which `known` is 1 where a number is told, else 0."""
        told = known > _MIDDLE
        seen = torch.where(told, self.undo.applied(x), torch.zeros_like(x)).flatten(1)
        made = self.undo(self.net(torch.cat([z, seen, told.to(x.dtype).flatten(1)], dim=1)))
        return torch.where(told, x, made)


class Encoding(InUnits):
    """Codes of examples."""

    def forward(self, x: Tensor) -> Tensor:
        """Return codes (n, code) of examples (n, *shape) in the units of `advnets sample`."""
        codes: Tensor = self.net(self.undo.applied(x))
        return codes


class Undone(nn.Module):
    """From the nets' units to the user's, and back."""

    shift: Tensor
    scale: Tensor

    def __init__(self, scaling: Scaling) -> None:
        super().__init__()
        self.is_standard = scaling.kind == "standard"
        self.register_buffer("shift", torch.from_numpy(scaling.shift).float(), persistent=False)
        self.register_buffer("scale", torch.from_numpy(scaling.scale).float(), persistent=False)

    def forward(self, x: Tensor) -> Tensor:
        """Return x·scale + shift where the data were standardised; else x."""
        return x * self.scale + self.shift if self.is_standard else x

    def applied(self, x: Tensor) -> Tensor:
        """Return (x − shift)/scale there; else x."""
        return (x - self.shift) / self.scale if self.is_standard else x


def load_part(
    run: Run, part: Part | None = None, weights: Weights = "auto", count: int = 256, seed: int = 0
) -> Exported:
    """Load a part of a run with `count` inputs to try it by; completion where the run fills in, else the generator.

    Raises InputError for a run that lacks it: a rival, one without an encoder, one that does not fill in.
    """
    sampler = load_game(run, weights)
    masked = sampler.conditions is not None and bool(sampler.conditions.masks)
    match part or ("completion" if masked else "generator"):
        case "encoder":
            return _encoder(run, sampler, count, seed)
        case "completion" if not masked:
            raise InputError(
                f"--part is completion and {run.path} is a run of {sampler.config.recipe}, which does not fill in, "
                "allowed: generator, encoder; name one of these"
            )
        case "completion":
            return _completion(sampler, count, seed)
        case _:
            return _generator(sampler, count, seed)


def load_game(run: Run, weights: Weights) -> Sampler:
    """Load the generator of a run; raises InputError for a rival, which samples by a chain."""
    sampler = load_sampler(run, weights)
    if isinstance(sampler.net, Rival):
        raise InputError(
            f"{run.path} is a run of {sampler.config.recipe}, which samples by a chain, allowed: runs of adversarial "
            "nets; use advnets sample"
        )
    return sampler


def _generator(sampler: Sampler, count: int, seed: int) -> Exported:
    latents = draw_latents(sampler.config.noise, count, seed, sampler.conditions)
    size = sampler.config.noise.dimension
    inputs = {"z": latents[:, :size].contiguous()}
    if latents.shape[1] > size:
        inputs["c"] = latents[:, size:].contiguous()
    return _exported("generator", Generating(sampler.net, sampler.scaling), inputs, "x", sampler)


def _completion(sampler: Sampler, count: int, seed: int) -> Exported:
    z = draw_latents(sampler.config.noise, count, seed)
    x = sampler.from_latents(draw_latents(sampler.config.noise, count, seed + 1, sampler.conditions))
    known = torch.rand(x.shape, generator=torch.Generator().manual_seed(seed)).round()
    inputs = {"z": z, "x": torch.from_numpy(x), "known": known}
    return _exported("completion", Completing(sampler.net, sampler.scaling), inputs, "completed", sampler)


def _encoder(run: Run, sampler: Sampler, count: int, seed: int) -> Exported:
    inference = load_inference(run)
    x = torch.from_numpy(sampler.draw(count, seed))
    return _exported("encoder", Encoding(inference.encoder, sampler.scaling), {"x": x}, "codes", sampler)


def _exported(part: Part, net: nn.Module, inputs: dict[str, Tensor], output: str, sampler: Sampler) -> Exported:
    names = sampler.conditions.names if sampler.conditions else ()
    return Exported(
        part,
        net.eval(),
        inputs,
        output,
        sampler.config,
        sampler.step,
        sampler.weights,
        sampler.shape,
        sampler.scaling,
        names,
    )
