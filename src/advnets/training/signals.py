"""How a game is doing, measured on the same latents and examples all through a run."""

import math
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

import torch
from jaxtyping import Bool, Float
from torch import Tensor, nn

from advnets import masks, noise
from advnets.conditions import Conditions, of_split
from advnets.data.dataset import DataSet, Split
from advnets.nets.mlp import MLP
from advnets.seeds import stream
from advnets.training.game import Game, Player
from advnets.training.given import Given, of_masks

SAMPLES = 128
"""Samples, and as many examples of either part of the data, that signals are measured on."""
_EXAMPLES = 2048  # training examples among which nearest neighbours are looked for
_CLASSES = 100  # more than these leave too few samples each
_REJECTED = 0.01
_EQUAL = 1e-6  # of the mean distance of two examples

Rows = Float[Tensor, "n numbers"]
Signals = dict[str, float | None]


@dataclass(frozen=True)
class Probe:
    """What signals are measured on. It takes no random number from the game, which plays the same with and without."""

    latents: Float[Tensor, "samples latent"]
    real: Float[Tensor, "n *shape"]
    held_out: Float[Tensor, "m *shape"]
    train: Float[Tensor, "examples numbers"]
    spread: float
    """Mean distance of two training examples."""
    near: float
    """Half the median distance of a training example to the nearest other one, of as many as there are samples."""
    apart: float
    """Median distance of held-out examples to the nearest of `train`."""
    centres: Float[Tensor, "classes numbers"] | None
    """Mean example of each class, where there are labels."""
    shares: Float[Tensor, " classes"] | None
    """Share of training examples nearest to each of these."""
    given: tuple[Tensor | None, Tensor | None, Tensor | None] = (None, None, None)
    """c of the samples, of `real` and of `held_out`, where the run has a condition."""
    observed: Tensor | None = None
    """1 where the example that a sample completes has a number; None where all have."""


def new_probe(game: Game, data: DataSet) -> Probe:
    """Choose latents and examples by the run's seed, and measure once what does not change."""
    config, like = game.config, next(game.generator.net.parameters())

    def some(split: Split, count: int, number: int) -> tuple[Tensor, Tensor | None]:
        x, c = of_split(split, game.conditions) if game.conditions else (torch.from_numpy(split.x), None)
        rows = torch.randperm(len(x), generator=stream(config.seed, "signals", number))[:count]
        return x[rows].to(like), None if c is None else c[rows].to(like)

    (train, c), (held_out, held_out_c) = some(data.train, _EXAMPLES, 1), some(data.validation, SAMPLES, 2)
    real, flat = train[:SAMPLES], train.flatten(1)
    told = _told(game, game.conditions, (real, None if c is None else c[:SAMPLES]), (held_out, held_out_c))
    centres = _centres(data)
    centres = None if centres is None else centres.to(like)
    return Probe(
        noise.beside(noise.draw(config.noise, SAMPLES, stream(config.seed, "signals")).to(like), told[0].generator),
        real,
        held_out,
        flat,
        _spread(flat[:SAMPLES]),
        float(_nearest(flat[:SAMPLES]).median()) / 2,
        float(torch.cdist(held_out.flatten(1), flat).amin(1).median()),
        centres,
        None if centres is None else _shares(flat, centres),
        (told[0].discriminator, told[1].discriminator, told[2].discriminator),
        told[0].observed,
    )


def _told(game: Game, given: Conditions | None, *parts: tuple[Tensor, Tensor | None]) -> tuple[Given, Given, Given]:
    """Return what is told of samples, of training and of held-out examples.

    On a run of masks samples complete the last: those of training examples would be near to these whatever G did.
    """
    like, seed = parts[0][0], game.config.seed
    if given is None or not given.masks:
        c = None if given is None else given.draw(SAMPLES, seed).to(like)
        return Given(c, c), Given(None, parts[0][1]), Given(None, parts[1][1])
    held_out, observed = parts[1]
    rows = torch.arange(SAMPLES, device=like.device) % len(held_out)
    completed = held_out[rows], None if observed is None else observed[rows]

    def masked(number: int, x: Tensor, there: Tensor | None) -> Given:
        known = masks.draw(given.masks, len(x), tuple(x.shape[1:]), stream(seed, "masks", number))
        return of_masks(x, known.to(like), there)

    return masked(1, *completed), masked(2, *parts[0]), masked(3, *parts[1])


def take(game: Game, probe: Probe) -> Signals:
    """Measure every signal at this step, both nets in evaluation mode; None where one cannot be measured.

    d_gradient and g_gradient are means over samples x = G(z) of ‖∂L/∂x‖ for the losses −log(1 − D(x)) and −log D(x).
    """
    generator, discriminator = game.generator.net, game.discriminator.net
    training = generator.training, discriminator.training
    of_samples, of_real, of_held_out = ([] if c is None else [None, c] for c in probe.given)  # a mask is not needed
    generator.eval(), discriminator.eval()
    try:
        with torch.no_grad():
            dead, samples = _watched(generator, probe.latents)
            samples = samples if probe.observed is None else samples * probe.observed
            real, held_out = discriminator(probe.real, *of_real), discriminator(probe.held_out, *of_held_out)
        image = samples.clone().requires_grad_()
        fake = discriminator(image, *of_samples)
        (slope,) = torch.autograd.grad(fake.sum(), image)
    finally:
        generator.train(training[0]), discriminator.train(training[1])
    fake = fake.detach()
    found = {
        **_of_logits(real, held_out, fake, slope.flatten(1).norm(dim=1)),
        **_of_samples(samples.flatten(1), probe),
        "dead": dead,
        **_of_player(game.generator, "g"),
        **_of_player(game.discriminator, "d"),
    }
    numbers = torch.cat([samples.flatten(), real, held_out, fake, slope.flatten()])
    found["non_finite"] = float((~numbers.isfinite()).sum())
    return {name: value if value is not None and math.isfinite(value) else None for name, value in found.items()}


def _of_logits(real: Tensor, held_out: Tensor, fake: Tensor, slope: Tensor) -> Signals:
    """How D tells real examples and samples apart, and what gradient that leaves either player at the image."""
    return {
        "accuracy_real": share(real > 0),
        "accuracy_fake": share(fake < 0),
        "margin": float(real.mean() - fake.mean()),
        "rejected": share(fake.sigmoid() < _REJECTED),
        "gap": float(real.sigmoid().mean() - held_out.sigmoid().mean()),
        "d_gradient": float((fake.sigmoid() * slope).mean()),
        "g_gradient": float(((-fake).sigmoid() * slope).mean()),
    }


def share(there: Bool[Tensor, "*n"]) -> float:
    """Share of the trues, to the nearest double: .4 is no more than .4, as a rule asks, where in float32 it is."""
    return int(there.sum()) / there.numel()


def _of_samples(x: Rows, probe: Probe) -> Signals:
    """How varied samples are beside the data, and how near to training examples."""
    apart = _distances(x)
    crowd = (apart <= probe.near).sum(1)
    near = float(torch.cdist(x, probe.train).amin(1).median())
    found: Signals = {
        "spread": _spread(x) / probe.spread if probe.spread else None,
        "repeated": share(_nearest(x) <= probe.near),
        "crowd": int(crowd.max()) / len(x),
        "nearness": near / probe.apart if probe.apart > _EQUAL * probe.spread else None,
    }
    if probe.centres is not None and probe.shares is not None:
        shares = _shares(x, probe.centres)
        there = probe.shares > 0
        found["classes"] = share(shares[there] > 0)
        found["class_distance"] = float((shares - probe.shares).abs().sum() / 2)
    return found


def _of_player(player: Player, name: str) -> Signals:
    """Norm of a player's weights, and of its last update relative to that, before column norms were limited."""
    size, update = norm(parameter.detach() for parameter in player.net.parameters()), norm(_updates(player))
    rate = player.optimiser.param_groups[0]["lr"]
    return {f"{name}_weights": size, f"{name}_update": rate * update / size if size else None}


def _updates(player: Player) -> Iterator[Tensor]:
    """Yield the last update of each parameter over the learning rate, from what the optimiser keeps."""
    group = player.optimiser.param_groups[0]
    for parameter in player.net.parameters():  # in one order, whatever the optimiser's is after a resume
        state = player.optimiser.state.get(parameter, {})
        if "momentum_buffer" in state:
            yield state["momentum_buffer"]
        elif "exp_avg" in state:
            first, second = (1 - beta ** float(state["step"]) for beta in group["betas"])
            yield (state["exp_avg"] / first) / ((state["exp_avg_sq"] / second).sqrt() + group["eps"])


def _watched(generator: nn.Module, latents: Tensor) -> tuple[float | None, Tensor]:
    """Return the share of rectifier units that are 0 for every latent, and the samples."""
    silent: list[Tensor] = []

    def watch(layer: nn.Module, given: object, output: Tensor) -> None:
        silent.append((output <= 0).all(0))

    layers = [
        layer
        for net in generator.modules()
        if isinstance(net, MLP)
        for layer, activation in zip(net.layers, net.activations, strict=True)
        if activation == "rectifier"
    ]
    hooks = [layer.register_forward_hook(watch) for layer in layers]
    try:
        samples: Tensor = generator(latents)
    finally:
        for hook in hooks:
            hook.remove()
    return (share(torch.cat(silent)) if silent else None), samples


def _spread(x: Rows) -> float:
    """Mean distance of two different rows."""
    return float(_distances(x).sum()) / (len(x) * (len(x) - 1)) if len(x) > 1 else 0.0


def _nearest(x: Rows) -> Float[Tensor, " n"]:
    """Distance of each row to the nearest other one."""
    return (_distances(x) + torch.diag(x.new_full((len(x),), math.inf))).amin(1)


def _distances(x: Rows) -> Float[Tensor, "n n"]:
    """Distance of every pair of rows, by differences: products would lose those of nearly equal rows."""
    return torch.cdist(x, x, compute_mode="donot_use_mm_for_euclid_dist")


def _centres(data: DataSet) -> Float[Tensor, "classes numbers"] | None:
    """Mean example of each class that has labels; None where there are none, one class, or too many."""
    x, labels = torch.from_numpy(data.train.x).flatten(1).nan_to_num(0.0), data.train.labels
    if labels is None:
        return None
    kinds = torch.from_numpy(labels)
    there = [kind for kind in kinds.unique() if kind >= 0]
    return torch.stack([x[kinds == kind].mean(0) for kind in there]) if 1 < len(there) <= _CLASSES else None


def _shares(x: Rows, centres: Float[Tensor, "classes numbers"]) -> Float[Tensor, " classes"]:
    """Share of rows nearest to each centre."""
    counts = torch.bincount(torch.cdist(x, centres).argmin(1), minlength=len(centres))
    return counts / len(x)


def norm(tensors: Iterable[Tensor]) -> float:
    """Length of all numbers as one vector."""
    return math.sqrt(sum(float(torch.linalg.vector_norm(tensor)) ** 2 for tensor in tensors))
