"""How a rival is doing, measured on the same training and held-out examples all through a run."""

import math
from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn.functional import binary_cross_entropy_with_logits

from advnets.data.dataset import DataSet, Split
from advnets.rivals.bits import draw_bits
from advnets.rivals.cae import ContractiveLayer, StackedCAE
from advnets.rivals.dbn import DBN
from advnets.rivals.gsn import GSN
from advnets.rivals.rbm import RBM
from advnets.rivals.rival import Rival
from advnets.rivals.vae import VAE, kl_to_standard_normal
from advnets.seeds import stream
from advnets.training.signals import Signals, norm, share

EXAMPLES = 500
"""Examples of either part of the data that signals are measured on, or all there are."""
_STILL = 0.01  # standard deviation of an activation, or nats of a latent unit, below which a unit says nothing of x
_FEWEST = 50  # examples of either part, without which a share of them says little
_CLIP = 1e-3  # a mean is kept this far from 0 and 1


@dataclass(frozen=True)
class Probe:
    """What signals are measured on. It takes no random number from training, which is the same with and without."""

    train: Float[Tensor, "n d"]
    held_out: Float[Tensor, "m d"]


def new_probe(model: Rival, data: DataSet, seed: int) -> Probe:
    """Choose examples by the run's seed."""
    like = next(model.parameters())

    def some(split: Split, number: int) -> Tensor:
        rows = torch.randperm(len(split.x), generator=stream(seed, "examples of signals", number))[:EXAMPLES]
        return torch.from_numpy(split.x)[rows].flatten(1).to(like)

    return Probe(some(data.train, 1), some(data.validation, 2))


@torch.no_grad()
def take(model: Rival, stage: int, probe: Probe, moved: float | None, random: torch.Generator) -> Signals:
    """Measure every signal of the part that a stage trains; None where one cannot be measured.

    `moved` is the norm of its last update; `random` is drawn from where the model draws.
    """
    part, weights = model.part(stage), [parameter.detach() for parameter in model.part(stage).parameters()]
    train, held_out = (_below(model, stage, x, random) for x in (probe.train, probe.held_out))
    scores = [_scores(model, stage, x, random) for x in (train, held_out)]
    means = [float(score.mean()) for score in scores]
    variation, size = _variation(model, stage, train), norm(weights)
    found: Signals = {
        "train_score": means[0],
        "held_out_score": means[1],
        "gap": means[1] - means[0],
        "told_apart": _told_apart(*scores),
        "dead": share(variation < _STILL),
        "weights": size,
        "update": None if moved is None or not size else moved / size,
    }
    if not isinstance(part, RBM):  # whose free energies count from log Z
        gaussian = isinstance(model, VAE) and model.log_variance is not None
        own = part.losses(held_out, 0.0).mean() if isinstance(part, ContractiveLayer) else means[1]  # no contraction
        found["over_mean"] = float(own - _by_the_mean(train, held_out, gaussian=gaussian))
    if isinstance(part, RBM) and part.chains is not None:
        found["spread"] = _spread(part.chains, train if part.kind == "gaussian" else draw_bits(train, random))
    numbers = torch.cat([*(one.flatten() for one in weights), variation, *scores])
    found["non_finite"] = float((~numbers.isfinite()).sum())
    return {name: value if value is not None and math.isfinite(value) else None for name, value in found.items()}


def _below(model: Rival, stage: int, x: Float[Tensor, "n d"], random: torch.Generator) -> Float[Tensor, "n below"]:
    """What the part of a stage learns: x, or the codes or draws of the parts below it."""
    match model:
        case DBN():
            return model.below(x, stage, random)
        case StackedCAE():
            return model.below(x, stage)
    return x


def _scores(model: Rival, stage: int, x: Float[Tensor, "n below"], random: torch.Generator) -> Float[Tensor, " n"]:
    """What the part of a stage says of each example of what it learns, in nats, lower is better.

    The free energy of a Boltzmann machine, which counts from log Z, another at every step; the cross-entropy of a
    contractive autoencoder with its contraction; the cross-entropy of a generative stochastic network, summed over
    pixels, a mean over its walkback steps; minus the evidence lower bound of a variational autoencoder, with one draw.
    """
    match model:
        case DBN():
            return model.part(stage).free_energy(x)
        case StackedCAE():
            return model.part(stage).losses(x, model.config.contraction)
        case GSN():
            terms = [_cross_entropy(logits, x) for logits in model.reconstructions(x, random)]
            return torch.stack(terms).mean(0)
        case VAE():
            return -model.elbo(x, random, draws=1)
    raise ValueError(f"{type(model).__name__} has no score that is known here")


def _cross_entropy(logits: Float[Tensor, "n d"], x: Float[Tensor, "n d"]) -> Float[Tensor, " n"]:
    return binary_cross_entropy_with_logits(logits, x, reduction="none").sum(1)


def _told_apart(train: Float[Tensor, " n"], held_out: Float[Tensor, " m"]) -> float | None:
    """Share of held-out examples that score worse than the middle training example; None of too few of either."""
    return share(held_out > train.median()) if min(len(train), len(held_out)) >= _FEWEST else None


def _by_the_mean(
    train: Float[Tensor, "n below"], held_out: Float[Tensor, "m below"], *, gaussian: bool
) -> Float[Tensor, ""]:
    """What held-out examples score by the mean m of training examples alone, in nats an example.

    −Σ_i (x_i·log m_i + (1 − x_i)·log(1 − m_i)), with m kept within .001 and .999, or minus the log-density of N(m, vI)
    with v the mean squared difference of training examples from m.
    """
    mean = train.mean(0)
    if gaussian:
        variance = (train - mean).square().mean()
        squares = (held_out - mean).square().sum(1) / variance
        return (squares + held_out.shape[1] * (2 * math.pi * variance).log()).mean() / 2
    logits = mean.clamp(_CLIP, 1 - _CLIP).logit()
    return _cross_entropy(logits.expand_as(held_out), held_out).mean()


def _variation(model: Rival, stage: int, x: Float[Tensor, "n below"]) -> Float[Tensor, " units"]:
    """How much each hidden unit of the part says of x: the standard deviation of its activation over the examples.

    That activation is p(h = 1 | v), the code, or tanh of a pass upwards without noise; of a latent unit of a
    variational autoencoder it is the mean of KL(q(z | x) ‖ N(0, 1)), in nats.
    """
    match model:
        case DBN():
            units = model.part(stage).hidden(x)
        case StackedCAE():
            units = model.part(stage).encode(x)
        case GSN():
            units = model.upwards(x)
        case VAE():
            mean, log_variance = model.posterior(x)
            return kl_to_standard_normal(mean[..., None], log_variance[..., None]).mean(0)
        case _:
            raise ValueError(f"{type(model).__name__} has no units that are known here")
    return units.std(0, correction=0)


def _spread(chains: Float[Tensor, "chains size"], real: Float[Tensor, "n size"]) -> float | None:
    """Variance of the particles of persistent chains, summed over units, over that of the data."""
    variance = float(real.var(0, correction=0).sum())
    return float(chains.var(0, correction=0).sum()) / variance if variance else None
