"""Log-likelihood of decoders, p(x) = E_z p(x | G(z)), by annealed importance sampling, and how far off it is.

p(x | G(z)) is an observation model: N(x; G(z), σ²I), or bits with the logits G(z). Latents are written z = z(u) with
u ∼ N(0, I), exactly; chains walk in u from the prior to the posterior through f_β(u) ∝ N(u; 0, I)·p(x | G(z(u)))^β, by
Hamiltonian transitions that leave each f_β invariant, and collect log w = Σ_t (β_{t+1} − β_t)·log p(x | G(z(u_t))).
Then E[w] = p(x), so that E[log w] is a lower bound (Neal 2001; Wu, Burda, Salakhutdinov, Grosse 2017). Chains from
β = 1 to 0 that start at the u that made x have E[1/w] = 1/p(x), and give an upper bound (bidirectional Monte Carlo:
Grosse, Ghahramani, Adams 2015).

Both need transitions that do not depend on the chain's own past. So the step sizes, and the β, of an example are chosen
by pilot chains, which walk beside the others on random numbers of their own and do not enter the estimate: given the
pilots every transition is fixed, and reverse chains take the same ones.
"""

import itertools
import math
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
import torch
from jaxtyping import Float, Float64
from numpy.typing import NDArray
from torch import Tensor, nn

from advnets.config import NoiseConfig
from advnets.errors import InputError, NotMeasurable
from advnets.evaluation.hamiltonian import Chains, Evaluate, transition
from advnets.evaluation.observation import Observation
from advnets.evaluation.progress import Report, silent
from advnets.seeds import stream

Examples = NDArray[np.floating[Any]]

_PILOTS = 2  # chains an example that choose the steps of the others
_ACCEPTANCE = 0.65  # of theirs: about the most efficient (Neal 2011), and the target in the code of Wu et al.
_GAIN = 1.0  # what log step size gains for an acceptance higher by 1, at each transition
_FIRST_STEP = 0.3
_ONSET = 10.0  # nats, at the prior's mean energy: where β stops growing by equal steps and grows by equal factors
_ROWS = 4096  # latents that go through the net at once


@dataclass(frozen=True)
class Annealing:
    """What the estimates depend on beside the net, its prior and the examples."""

    observation: Observation
    """The law of x given the net's outputs."""
    steps: int
    """Steps of β from 0 to 1; more are better."""
    chains: int
    """Chains an example, in each direction; more are better."""
    leapfrog: int
    """Leapfrog steps of a transition, each of one gradient."""
    seed: int
    """Seed of all random numbers."""

    def __post_init__(self) -> None:
        for name in ("steps", "chains", "leapfrog"):
            if getattr(self, name) < 1:
                raise InputError(f"{name} is {getattr(self, name)}, allowed is 1 or more; set {name}")


@dataclass(frozen=True)
class DecoderLikelihood:
    """Log-likelihood of examples: a lower bound in expectation, as tight as `bdmc` says for the same settings."""

    mean: float
    """Mean of log p(x) over the examples, in nats; high is good."""
    standard_error: float
    """Standard error of the mean over examples, in nats."""
    n: int
    """Number of examples."""
    log_likelihoods: tuple[float, ...]
    """Estimate of log p(x) for each example, in nats: log-mean-exp of log w over the chains."""
    effective_sample_sizes: tuple[float, ...]
    """(Σw)²/Σw² over the chains of each example: from 1, where one lucky chain decides, to the number of chains."""
    acceptance: float
    """Share of proposals accepted; far below .65 the steps were too few for the step sizes to follow."""
    annealing: Annealing
    """The settings."""


@dataclass(frozen=True)
class Bounds:
    """Bounds, in expectation, on the mean log-likelihood of examples that the decoder made itself."""

    lower: float
    """Mean over examples of the lower bound, in nats."""
    lower_standard_error: float
    """Its standard error over examples, in nats."""
    upper: float
    """Mean over examples of the upper bound, in nats."""
    upper_standard_error: float
    """Its standard error over examples, in nats."""
    gap: float
    """upper − lower, in nats: low is good; negative only by chance."""
    gap_standard_error: float
    """Its standard error over examples, in nats."""
    n: int
    """Number of examples."""
    lower_bounds: tuple[float, ...]
    """Of each example, in nats: log-mean-exp of log w over forward chains."""
    upper_bounds: tuple[float, ...]
    """Of each example, in nats: minus the log-mean-exp of −log w over reverse chains."""
    acceptance: float
    """Share of proposals accepted, forward and reverse."""
    annealing: Annealing
    """The settings."""


def annealed_importance_sampling(
    net: nn.Module,
    prior: NoiseConfig,
    x: Examples,
    *,
    observation: Observation,
    steps: int,
    chains: int,
    leapfrog: int,
    seed: int,
    report: Report = silent,
) -> DecoderLikelihood:
    """Estimate the log-likelihood of examples x (n, *shape) under p(x) = E_z p(x | G(z)), in nats.

    log p̂(x) = log (1/chains)·Σ w, with E[p̂] = p. `net` maps z (m, latent) to (m, *shape), in evaluation mode, and
    `observation` says what its outputs say of x. Takes (chains + 2)·(steps − 1)·leapfrog gradients an example; reports
    each step of a block of examples. Raises InputError for settings or examples that make no sense, NotMeasurable for
    examples that have no density and for a net whose outputs are not finite. Wu et al. 2017, section 3.
    """
    annealing = Annealing(observation, steps, chains, leapfrog, seed)
    forward, _ = _walks(net, prior, x, None, annealing, report)
    estimates = _log_mean_exp(forward.log_weights)
    mean, standard_error = mean_over_examples(estimates)
    sizes = (2 * forward.log_weights.logsumexp(1) - (2 * forward.log_weights).logsumexp(1)).exp()
    return DecoderLikelihood(
        mean=mean,
        standard_error=standard_error,
        n=len(x),
        log_likelihoods=tuple(estimates.tolist()),
        effective_sample_sizes=tuple(sizes.tolist()),
        acceptance=float(forward.acceptances.mean()),
        annealing=annealing,
    )


def bdmc(
    net: nn.Module,
    prior: NoiseConfig,
    *,
    observation: Observation,
    examples: int,
    steps: int,
    chains: int,
    leapfrog: int,
    seed: int,
    report: Report = silent,
) -> Bounds:
    """Bound the mean log-likelihood of examples drawn from the model itself, from below and from above, in nats.

    E[log-mean-exp log w] ≤ log p(x) ≤ −E[log-mean-exp(−log w)], with forward chains on the left, and on the right
    reverse chains from the z that made x. The gap bounds what `annealed_importance_sampling` misses with these settings
    on such examples. It says little about data that the model fits badly: look there for effective sample sizes near 1,
    and for estimates that still rise with `steps` or `leapfrog`. Conventions and errors are the same.
    Grosse, Ghahramani, Adams 2015; Wu et al. 2017, section 3.1.
    """
    annealing = Annealing(observation, steps, chains, leapfrog, seed)
    ends, x = simulate(net, prior, examples, observation=observation, seed=seed)
    forward, reverse = _walks(net, prior, x, ends, annealing, report)
    lower, upper = _log_mean_exp(forward.log_weights), -_log_mean_exp(-reverse.log_weights)
    (low, low_error), (high, high_error), (gap, gap_error) = map(mean_over_examples, (lower, upper, upper - lower))
    return Bounds(
        lower=low,
        lower_standard_error=low_error,
        upper=high,
        upper_standard_error=high_error,
        gap=gap,
        gap_standard_error=gap_error,
        n=examples,
        lower_bounds=tuple(lower.tolist()),
        upper_bounds=tuple(upper.tolist()),
        acceptance=float(torch.cat([forward.acceptances, reverse.acceptances]).mean()),
        annealing=annealing,
    )


def simulate(
    net: nn.Module, prior: NoiseConfig, count: int, *, observation: Observation, seed: int
) -> tuple[Float[Tensor, "count latent"], Examples]:
    """Draw x ∼ p(x | G(z(u))) with u standard normal; return u (count, latent) and x (count, *shape)."""
    device, dtype = _place(net)
    random = stream(seed, "simulate")
    with _evaluation_mode(net), torch.no_grad():
        u = torch.randn(count, prior.dimension, generator=random, dtype=dtype).to(device)
        outputs = torch.cat([net(to_latent(prior, rows)) for rows in u.split(_ROWS)])
        x = observation.draw(outputs, random)
    return u, x.cpu().numpy()


def to_latent(prior: NoiseConfig, u: Float[Tensor, "*rows latent"]) -> Float[Tensor, "*rows latent"]:
    """Map standard normal numbers to z ∼ p_z, smoothly.

    z = u; low + (high − low)·Φ(u); or u/|u|, for the gaussian, the uniform and the spherical prior of `noise.draw`.
    """
    match prior.kind:
        case "gaussian":
            return u
        case "uniform":
            share: Tensor = torch.special.ndtr(u)
            return prior.low + (prior.high - prior.low) * share
        case "spherical":
            length: Tensor = u.norm(dim=-1, keepdim=True)
            return u / length


class _Plan(NamedTuple):
    """The fixed part of the transitions: β from 0 to 1, and the step size at each β between."""

    betas: Float64[Tensor, "times examples"]
    step_sizes: list[Float64[Tensor, " examples"]]


class _Weights(NamedTuple):
    log_weights: Float64[Tensor, "examples chains"]
    acceptances: Float64[Tensor, " examples"]


def _walks(
    net: nn.Module, prior: NoiseConfig, x: Examples, ends: Tensor | None, annealing: Annealing, report: Report
) -> tuple[_Weights, _Weights]:
    """Walk forward for all examples, in blocks, and back from `ends` where they are given."""
    with _evaluation_mode(net), torch.no_grad():
        targets = _targets(net, prior, x, annealing.observation)
        blocks = targets.split(max(1, _ROWS // (annealing.chains + _PILOTS)))
        tick = _ticker(report, len(blocks) * annealing.steps * (1 if ends is None else 2))
        forward, reverse, first = [], [], 0
        for index, block in enumerate(blocks):
            random = stream(annealing.seed, "ais", index, block.device)
            evaluate = _evaluator(net, prior, block, annealing.observation)
            u = torch.randn(
                (len(block), annealing.chains + _PILOTS, prior.dimension),
                generator=random,
                device=block.device,
                dtype=block.dtype,
            )
            weights, plan = _forward(evaluate, u, annealing, random, tick)
            forward.append(weights)
            if ends is not None:
                u = ends[first : first + len(block), None].expand(-1, annealing.chains, -1)
                reverse.append(_reverse(evaluate, u, plan, annealing.leapfrog, random, tick))
            first += len(block)
    constants = annealing.observation.log_constant(targets).cpu()
    return _joined(forward, constants), _joined(reverse or forward, constants)


def _forward(
    evaluate: Evaluate, u: Tensor, annealing: Annealing, random: torch.Generator, tick: Callable[[], None]
) -> tuple[_Weights, _Plan]:
    """Walk from the prior to the posterior; the first chains are the pilots, and choose β and step sizes."""
    chains = evaluate(u)
    plan = _Plan(_schedule(-chains.log_likelihood[:, :_PILOTS].mean(1), annealing.steps), [])
    log_step = torch.full_like(plan.betas[0], math.log(_FIRST_STEP))
    log_weights, accepted = torch.zeros_like(chains.log_likelihood), []
    for t in range(annealing.steps):
        if t:
            plan.step_sizes.append(log_step.exp())
            chains, acceptance = transition(
                evaluate, chains, plan.betas[t], plan.step_sizes[-1], annealing.leapfrog, random
            )
            log_step = log_step + _GAIN * (acceptance[:, :_PILOTS].mean(1) - _ACCEPTANCE)
            accepted.append(acceptance[:, _PILOTS:].mean(1))
        log_weights = log_weights + (plan.betas[t + 1] - plan.betas[t])[:, None] * chains.log_likelihood
        tick()
    return _Weights(log_weights[:, _PILOTS:], _mean_acceptance(accepted, log_step)), plan


def _reverse(
    evaluate: Evaluate, u: Tensor, plan: _Plan, leapfrog: int, random: torch.Generator, tick: Callable[[], None]
) -> _Weights:
    """Walk the same transitions back, from exact draws of the posterior to the prior."""
    chains = evaluate(u)
    log_weights, accepted = torch.zeros_like(chains.log_likelihood), []
    for t in reversed(range(len(plan.betas) - 1)):
        log_weights = log_weights + (plan.betas[t + 1] - plan.betas[t])[:, None] * chains.log_likelihood
        if t:
            chains, acceptance = transition(evaluate, chains, plan.betas[t], plan.step_sizes[t - 1], leapfrog, random)
            accepted.append(acceptance.mean(1))
        tick()
    return _Weights(log_weights, _mean_acceptance(accepted, plan.betas[0]))


def _schedule(energies: Float64[Tensor, " examples"], steps: int) -> Float64[Tensor, "times examples"]:
    """β_t = b·((1 + 1/b)^(t/steps) − 1): equal steps below the onset b, equal factors above it, example by example.

    b is 10 nats over the mean energy under the prior. For a Gaussian of curvature λ the energy's spread at β is in
    proportion to 1/(β + 1/λ), and such β make all steps equally hard. `benchmarks/ais.py --schedule sigmoid` measures
    the sigmoid of Wu et al. instead.
    """
    onset = _ONSET / energies.clamp_min(1.0)
    times = torch.linspace(0, 1, steps + 1, dtype=torch.float64, device=energies.device)[:, None]
    return onset * ((1 + 1 / onset) ** times - 1)


def _evaluator(
    net: nn.Module, prior: NoiseConfig, x: Float[Tensor, "examples *shape"], observation: Observation
) -> Evaluate:
    """Return the function from u (examples, chains, latent) to chains that are there."""

    def evaluate(u: Float[Tensor, "examples chains latent"]) -> Chains:
        with torch.enable_grad():
            u = u.detach().requires_grad_()
            outputs = net(to_latent(prior, u).flatten(0, 1)).unflatten(0, u.shape[:2])
            log_likelihood = observation.log_kernel(outputs, x)
            (gradient,) = torch.autograd.grad(log_likelihood.sum(), u)
        return Chains(u.detach(), log_likelihood.detach(), gradient)

    return evaluate


def _targets(
    net: nn.Module, prior: NoiseConfig, x: Examples, observation: Observation
) -> Float[Tensor, "examples *shape"]:
    """Check examples against the net's outputs, and bring them to its device and number format."""
    device, dtype = _place(net)
    shape = tuple(net(torch.ones(2, prior.dimension, device=device, dtype=dtype)).shape[1:])
    if x.shape[1:] != shape:
        raise InputError(
            f"examples have the shape {x.shape[1:]} and the net's outputs {shape}, allowed are equal ones; reshape x"
        )
    if len(x) < 2:
        raise InputError(f"x holds {len(x)} examples, allowed are 2 or more; a standard error needs them")
    if not np.isfinite(x).all():
        raise InputError("x holds numbers that are not finite, allowed are finite ones; remove those examples")
    observation.check(x)
    return torch.from_numpy(np.array(x, order="C")).to(device, dtype)


def _place(net: nn.Module) -> tuple[torch.device, torch.dtype]:
    """Device and number format of a net; the CPU and float64 for one without parameters."""
    parameter = next(net.parameters(), torch.empty(0, dtype=torch.float64))
    return parameter.device, parameter.dtype


@contextmanager
def _evaluation_mode(net: nn.Module) -> Iterator[None]:
    """Put a net into evaluation mode, then every part of it back into the mode it was in."""
    modes = [(part, part.training) for part in net.modules()]
    net.eval()
    try:
        yield
    finally:
        for part, training in modes:
            part.training = training


def _ticker(report: Report, total: int) -> Callable[[], None]:
    done = itertools.count(1)
    return lambda: report(next(done), total)


def _joined(parts: list[_Weights], constants: Float64[Tensor, " examples"]) -> _Weights:
    """Put blocks of examples together, and what log p(x | G(z)) has beside its kernel into their log-weights."""
    log_weights, acceptances = (torch.cat(tensors).cpu() for tensors in zip(*parts, strict=True))
    if not torch.isfinite(log_weights).all():
        raise NotMeasurable(
            "the net's outputs are not finite for latents of its prior; a net that did not diverge has a likelihood"
        )
    return _Weights(log_weights + constants[:, None], acceptances)


def _mean_acceptance(accepted: list[Tensor], like: Tensor) -> Float64[Tensor, " examples"]:
    """Mean over transitions; 1 where there is none."""
    return torch.stack(accepted).mean(0) if accepted else torch.ones_like(like)


def _log_mean_exp(log_weights: Float64[Tensor, "examples chains"]) -> Float64[Tensor, " examples"]:
    return log_weights.logsumexp(1) - math.log(log_weights.shape[1])


def mean_over_examples(values: Float64[Tensor, " examples"]) -> tuple[float, float]:
    """Mean and standard error."""
    return float(values.mean()), float(values.std() / math.sqrt(len(values)))
