"""Likelihoods of Table 2 that models have without kernels: bounds and annealed importance sampling, in nats on bits."""

from typing import Any

import numpy as np
import torch
from jaxtyping import Float, Float64
from torch import Tensor

from advnets import recipes
from advnets.config import NoiseConfig, RBMConfig
from advnets.data import DataSet
from advnets.data.dataset import FloatArray
from advnets.evaluation import observation
from advnets.evaluation.ais import annealed_importance_sampling, mean_over_examples
from advnets.reproduce.artefact import Budget
from advnets.rivals import partition
from advnets.rivals.bits import draw_bits
from advnets.rivals.dbn import DBN
from advnets.rivals.vae import VAE
from advnets.sampling import Sampler
from advnets.seeds import stream

Found = dict[str, Any]

_EXAMPLES = {"quick": 16, "full": 100}  # of the variational autoencoder, whose chains run for each
_ANNEALING: dict[str, Any] = {"steps": 500, "chains": 8, "leapfrog": 5, "seed": 0}
_TEMPERATURES = {"quick": 1_000, "full": 10_000}  # of the machines
_DRAWS = 20  # of hidden units for each test image
SMALL, _SMALL_STEPS = (12, 8), 1_000
_COUNTED = {"particles": 500, "temperatures": 5_000}  # with 100 and 1,000 log Z was off by .12 nats
_TOLERANCE = 0.1  # nats


def likelihoods(sampler: Sampler, data: DataSet, budget: Budget) -> Found:
    """Return what a model has of its own: `lines` to print, `inference` where a posterior can be judged, numbers."""
    match sampler.net:
        case VAE() as model:
            return _of_vae(model, as_bits(data.test.x[: _EXAMPLES[budget]]))
        case DBN() as model:
            return _of_dbn(model, as_bits(data.test.x), _TEMPERATURES[budget])
    return {}


def as_bits(x: FloatArray) -> Float[Tensor, "n d"]:
    """Draw each pixel once from {0, 1}, with its grey level as mean; the same every time."""
    return draw_bits(torch.from_numpy(x).flatten(1), stream(0, "bits"))


def _of_vae(model: VAE, x: Float[Tensor, "n d"]) -> Found:
    random = stream(0, "explicit")
    with torch.no_grad():
        lower = model.elbo(x, random, draws=100).double()
    importance = model.importance_bound(x, random, draws=1_000).double()
    prior = NoiseConfig("gaussian", dimension=model.latent)
    estimate = annealed_importance_sampling(
        model.decoder, prior, x.numpy(), observation=observation.of_vae(model), **_ANNEALING
    )
    annealed = torch.tensor(estimate.log_likelihoods, dtype=torch.float64)
    means = {"elbo": _mean(lower), "importance_bound": _mean(importance), "ais": _mean(annealed)}
    gap = _mean(annealed - lower)
    return {
        "examples": len(x),
        **means,
        "gap": gap,
        "effective_sample_size": float(np.median(estimate.effective_sample_sizes)),
        "lines": [f"{words} {_words(means[name])}" for words, name in _VAE_WORDS],
        "inference": f"learned in training, and {_words(gap)} nats short (AIS less the bound)",
    }


_VAE_WORDS = (("ELBO", "elbo"), ("1,000 draws", "importance_bound"), ("AIS", "ais"))


def _of_dbn(model: DBN, x: Float[Tensor, "n d"], temperatures: int) -> Found:
    """Annealed log Z of the top machine and of the bottom one, with the likelihoods that follow from them."""
    random = stream(0, "explicit")
    top = partition.annealed_log_partition(model.top, random, temperatures=temperatures)
    bottom = partition.annealed_log_partition(model.part(0), random, temperatures=temperatures)
    alone = _mean(partition.log_likelihood(model.part(0), x, bottom.value))
    lower = partition.lower_bound(model, x, top.value, random, _DRAWS)
    importance = partition.importance_bound(model, x, top.value, random, _DRAWS)
    gap = _mean(importance - lower)
    return {
        "examples": len(x),
        "temperatures": temperatures,
        "log_z": {"top": top.value, "top_error": top.standard_error},
        "log_z_of_lowest": {"value": bottom.value, "error": bottom.standard_error},
        "lowest_alone": alone,
        "lower_bound": _mean(lower),
        "importance_bound": _mean(importance),
        "gap": gap,
        "lines": [
            f"bound {_words(_mean(lower))} (log Z by AIS, error {top.standard_error:.1f})",
            f"lowest layer alone {_words(alone)} (error {bottom.standard_error:.1f})",
        ],
        "inference": f"exact in a layer, through both at least {_words(gap)} nats short (bound of {_DRAWS} draws)",
    }


def small_machines(data: DataSet) -> Found:
    """Train machines small enough to count on the same images, and compare what AIS and the bound say with counts."""
    x = torch.from_numpy(data.train.x).flatten(1)
    random = stream(0, "small machines")
    config = RBMConfig(SMALL, gibbs_steps=1, persistent="on")
    model = DBN(config, x.shape[1], x.mean(0), random, chains=100)
    for stage in range(len(SMALL)):
        optimiser = torch.optim.SGD(model.part(stage).parameters(), recipes.get("dbn").train.learning_rate)
        for _ in range(_SMALL_STEPS):
            rows = x[torch.randint(len(x), (100,), generator=random)]
            optimiser.zero_grad()
            model.loss(rows, stage, random).backward()
            optimiser.step()
    errors = {}
    for name, machine in (("bottom", model.part(0)), ("top", model.top)):
        estimate = partition.annealed_log_partition(machine, random, **_COUNTED)
        errors[name] = estimate.value - partition.exact_log_partition(machine)
    test = as_bits(data.test.x[:500])
    counted = exact_log_likelihood(model, test)
    bound = partition.lower_bound(model, test, partition.exact_log_partition(model.top), random, _DRAWS)
    worst = max(map(abs, errors.values()))
    line = (
        f"machines of {SMALL[0]} and {SMALL[1]} units on the same images: log Z by AIS is off by {worst:.3f} nats or "
        f"less, the belief net's log p(x) is {counted.mean():.2f} by counting and {bound.mean():.2f} by the bound"
    )
    holds = worst < _TOLERANCE and bool(bound.mean() <= counted.mean())
    return {"log_z_errors": errors, "counted": _mean(counted), "bound": _mean(bound), "line": line, "holds": holds}


@torch.no_grad()
def exact_log_likelihood(model: DBN, x: Float[Tensor, "n d"]) -> Float[Tensor, " n"]:
    """Return log p(x) = log Σ_h p(x | h)·p(h) of a belief net of two layers, by counting the states h between them.

    In nats; h are the hidden units of the lowest layer, up to 20.
    """
    bottom, log_z = model.part(0), partition.exact_log_partition(model.top)
    h = torch.cat([*partition.states_of(bottom.weight.shape[1], x)])
    prior = partition.log_likelihood(model.top, h, log_z)
    logits = (h @ bottom.weight.T + bottom.visible_bias).double()
    given = x.double() @ logits.T - torch.nn.functional.softplus(logits).sum(1)
    return (given + prior).logsumexp(1)


def _mean(values: Float64[Tensor, " n"]) -> dict[str, float]:
    mean, standard_error = mean_over_examples(values)
    return {"mean": mean, "standard_error": standard_error}


def _words(found: dict[str, float]) -> str:
    return f"{found['mean']:.1f} ± {found['standard_error']:.1f}"
