"""Samples from a net, or from a run folder, always in evaluation mode and from a seed."""

import dataclasses
import math
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np
import torch
from jaxtyping import Float
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor, nn

from advnets import conditions, noise, pictures
from advnets.conditions import Conditions
from advnets.config import ChainConfig, Config, NoiseConfig
from advnets.data.dataset import FloatArray, Scaling
from advnets.errors import InputError
from advnets.nets.build import build_generator
from advnets.nets.files import load_net, require_size
from advnets.parameters import parameter_counts
from advnets.rivals import chains
from advnets.rivals.build import build_rival, lowest
from advnets.rivals.rival import Rival
from advnets.runs import Run, read_json
from advnets.seeds import stream

Weights = Literal["auto", "average", "raw"]
_CHUNK = 1000


@torch.no_grad()
def generate(net: nn.Module, latents: Float[Tensor, "n latent"]) -> FloatArray:
    """Map latents to samples (n, *shape) in the nets' units, in evaluation mode, in chunks."""
    training = net.training
    parameter = next(net.parameters())
    net.eval()
    chunks = [net(chunk.to(parameter)).float().cpu().numpy() for chunk in latents.split(_CHUNK)]
    net.train(training)
    return np.concatenate(chunks)


def draw_latents(
    config: NoiseConfig, count: int, seed: int, conditions: Conditions | None = None
) -> Float[Tensor, "n latent"]:
    """Draw z ~ p_z on the CPU, the same for the same seed on every device; c ~ p(c) beside it where there is one."""
    z = noise.draw(config, count, stream(seed, "samples"))
    return noise.beside(z, conditions.draw(count, seed) if conditions else None)


def lines(
    config: NoiseConfig, count: int, steps: int, seed: int, conditions: Conditions | None = None
) -> Float[Tensor, "n latent"]:
    """Latents of `count` straight lines of `steps` points between random ends, ends included (figure 3).

    z_t = (1 − t)·z_0 + t·z_1, line by line; on the unit sphere for the spherical prior. One c ~ p(c) a line.
    """
    ends = draw_latents(config, 2 * count, seed)
    t = torch.linspace(0, 1, steps)[None, :, None]
    points = ((1 - t) * ends[:count, None] + t * ends[count:, None]).flatten(0, 1)
    points = points / points.norm(dim=1, keepdim=True) if config.kind == "spherical" else points
    return noise.beside(points, conditions.draw(count, seed).repeat_interleave(steps, 0) if conditions else None)


def principal_directions(net: nn.Module, latent: int, count: int = 6) -> Float[Tensor, "count latent"]:
    """Return unit directions (count, latent) of z in which G's first layer changes most, the most first.

    Right singular vectors of its weights (Shen and Zhou 2021, closed-form factorization).
    """
    first = next(weight for weight in net.parameters() if weight.dim() == 2 and weight.shape[1] >= latent)
    with torch.no_grad():
        found: Tensor = torch.linalg.svd(first[:, :latent].double(), full_matrices=False).Vh
    return found[:count].float()


@torch.no_grad()
def run_chains(model: Rival, config: Config, shape: tuple[int, ...], count: int, seed: int) -> FloatArray:
    """Draw samples (n, *shape) of a rival in the data's scaled units from chains that begin at noise."""
    device = next(model.parameters()).device
    x = chains.draw(model, config.chain or ChainConfig(), count, stream(seed, "samples", device=device))
    return x.float().reshape(count, *shape).numpy()


@dataclass(frozen=True)
class Sampler:
    """The generator of a run, with what is needed to draw from it and to show what it draws."""

    config: Config
    net: nn.Module
    scaling: Scaling
    step: int
    weights: str
    shape: tuple[int, ...]
    conditions: Conditions | None = None
    """p(c), where the run has a condition."""

    def draw(self, count: int, seed: int = 0) -> FloatArray:
        """Draw samples: images (n, c, h, w) in [0, 1], or vectors (n, d) in the data's own units.

        Where the run has a condition, c is drawn from p(c).
        """
        if isinstance(self.net, Rival):
            return self.scaling.undo(run_chains(self.net, self.config, self.shape, count, seed))
        return self.from_latents(draw_latents(self.config.noise, count, seed, self.conditions))

    def draw_given(self, c: Float[Tensor, "n c"], seed: int = 0) -> FloatArray:
        """Draw a sample of p(x | c) for every row of c as the nets see it (`conditions` has the way there)."""
        return self.from_latents(noise.beside(draw_latents(self.config.noise, len(c), seed), c))

    def complete(
        self,
        x: NDArray[np.floating],
        known: NDArray[np.bool_],
        count: int = 1,
        seed: int = 0,
        *,
        truncation: float = 1.0,
    ) -> NDArray[np.floating]:
        """Draw x_S ~ p(x_S | x_notS): fill in, `count` times, what is not known of examples x (n, *shape).

        Returns (count, n, *shape) in the units of `draw`, which are those of x, and in its precision; what is `known`,
        of the same shape, is as in x, bit for bit. What is not may be anything there, NaN too. `truncation` draws z
        towards its middle (`noise.truncated`); at 0 every completion is the same one. Raises InputError for a run that
        did not learn from masks, and for examples that do not fit.
        """
        if self.conditions is None or not self.conditions.masks:
            raise InputError(
                f"this run of {self.config.recipe} does not fill in, allowed: one with masks (mnist-completion, "
                "digits-completion, --condition.kind masks); train one"
            )
        if x.shape != known.shape or x.shape[1:] != self.shape or not len(x) or not np.isfinite(x[known]).all():
            raise InputError(
                f"examples {x.shape} with masks {known.shape} are to be filled in, allowed: one or more examples of "
                f"{self.shape}, a mask of the same shape, and known numbers that are finite; reshape them"
            )
        there = torch.tensor(known).flatten(1)
        evidence = torch.from_numpy(np.where(known, self.scaling.apply(x), np.float32(0))).flatten(1)
        c = torch.cat([evidence, there.float()], dim=1)
        made = np.empty((count, *x.shape), x.dtype)
        z = noise.truncated(draw_latents(self.config.noise, count * len(x), seed), self.config.noise, truncation)
        z = z.reshape(count, len(x), -1)
        for index in range(count):
            filled = self.from_latents(noise.beside(z[index], c))
            made[index] = np.where(known, x, filled)
        return made

    def by(self, chain: ChainConfig) -> "Sampler":
        """Return the sampler that draws by these chains; adversarial nets, which have none, draw as before."""
        return dataclasses.replace(self, config=dataclasses.replace(self.config, chain=chain))

    def trajectories(self, chains: int, states: int, seed: int = 0, *, thinning: int = 1) -> FloatArray:
        """Draw samples (chains, states, *shape), units as `draw`: what each chain shows, `thinning` steps apart.

        A rival's chains begin at noise and burn in first, as in `draw`. Adversarial nets have no chain: their samples
        are independent of each other.
        """
        chain = dataclasses.replace(self.config.chain or ChainConfig(), chains=chains, thinning=thinning)
        x = self.by(chain).draw(chains * states, seed)
        return x.reshape(states, chains, *x.shape[1:]).swapaxes(0, 1)

    def from_latents(self, latents: Float[Tensor, "n latent"]) -> FloatArray:
        """Map latents to samples: images (n, c, h, w) in [0, 1], or vectors (n, d) in the data's own units.

        Raises InputError for a rival, which is drawn from by its chain.
        """
        if isinstance(self.net, Rival):
            raise InputError(
                f"this is a run of {self.config.recipe}, and lines through z are drawn for adversarial nets alone, "
                "allowed: a run of these; for samples use advnets sample"
            )
        return self.scaling.undo(generate(self.net, latents))


def load_sampler(run: Run, weights: Weights = "auto", step: int | None = None) -> Sampler:
    """Load the generator of a run's last checkpoint, or of another step's.

    `weights` are the averaged ones where the run keeps them, else the raw ones. Raises InputError where the run has
    no checkpoint, a damaged one, or not these weights.
    """
    while True:
        steps = run.checkpoint_steps()
        try:
            return _load(run, weights, step)
        except InputError:  # of a checkpoint that a training process has dropped meanwhile, there is a newer one
            if step is not None or run.checkpoint_steps() == steps:
                raise


def _load(run: Run, weights: Weights, step: int | None) -> Sampler:
    content = run.read()
    config, shape = run.config(), run.shape()
    folder = run.verified_checkpoint(step)
    if folder is None:
        raise InputError(
            f"{run.path} has no checkpoint yet, allowed: a run that has saved one; train it on with --resume"
        )
    if config.rival:
        return _load_rival(run, config, folder, weights)
    averaged = (folder / "average.safetensors").is_file()
    if weights == "average" and not averaged:
        raise InputError(
            f"{run.path} keeps no averaged weights, allowed: --weights raw; train with --train.average_decay .999"
        )
    name = "generator" if weights == "raw" or not averaged else "average"
    stage = read_json(folder / "state.json").get("stage", 1)
    require_size(folder / f"{name}.safetensors", parameter_counts(config, shape, stage=stage)["generator"])
    net = build_generator(config, shape, torch.zeros(shape), stream(0, "weights"), stage=stage)
    load_net(net, folder / f"{name}.safetensors")
    data = content.get("data", {})
    scaling, given = Scaling.from_json(data.get("scaling"), shape), None
    if config.condition:
        given = conditions.of_file(folder / conditions.FILE, config.condition, conditions.names(data))
    return Sampler(config, net, scaling, int(folder.name.removeprefix("step-")), name, shape, given)


def _load_rival(run: Run, config: Config, folder: Path, weights: Weights) -> Sampler:
    if weights == "average":
        raise InputError(f"{run.path} keeps no averaged weights, allowed: --weights raw; leave --weights out")
    shape, file = run.shape(), folder / "model.safetensors"
    require_size(file, parameter_counts(config, shape)["model"])
    model = build_rival(config, math.prod(shape), torch.zeros(math.prod(shape)), stream(0, "weights"))
    load_net(model, file)
    scaling = Scaling.from_json(run.read().get("data", {}).get("scaling"), shape)
    return Sampler(config, model, scaling, int(folder.name.removeprefix("step-")), "model", shape)


def lowest_layers(sampler: Sampler, layers: int) -> Sampler:
    """Return the sampler of a stack's lowest layers alone, as they were before those above were trained.

    Raises InputError for a model that is no stack, or has fewer layers.
    """
    model, config = lowest(sampler.config, sampler.net, layers)
    return dataclasses.replace(sampler, config=config, net=model)


def picture(
    x: FloatArray, scaling: Scaling, data: NDArray[np.float32] | None = None, columns: int | None = None
) -> Image.Image:
    """Show samples: a grid of images, or a plot of vectors over data."""
    if x.ndim == 4:
        return pictures.grid(x, columns=columns, stretch=scaling.kind == "contrast")
    return pictures.plot(x, data)
