"""Many runs of semi-supervised learning side by side on one device: a twin of advnets.extensions.semi_step.

A GPU spends a step of one run waiting for small kernels. Here the weights of R runs, each with labels and a seed of its
own, are stacked, so that each kernel serves them all; R runs take little longer than one. What a step computes is what
`semi_step.move` computes for each run, with noise drawn for all of them from one stream: a test holds one against the
other.
"""

import dataclasses
from collections.abc import Sequence

import torch
from lightning_fabric import Fabric
from torch import Tensor
from torch.nn.functional import cross_entropy, softplus
from torch.optim import Adam

from advnets import objectives
from advnets.config import Config, SemiConfig
from advnets.data.dataset import DataSet, Split
from advnets.errors import InputError
from advnets.extensions.semi_step import SemiGame, new_game
from advnets.nets.build import build_classifier
from advnets.nets.semi_supervised import NoisyClassifier
from advnets.seeds import stream
from advnets.training import schedules

Weights = dict[str, Tensor]
_EPSILON = 1e-6  # of batch normalisation, as in BatchNormGenerator


class Ensemble:
    """R runs of one recipe that differ in their seeds and labels."""

    def __init__(self, config: Config, data: DataSet, runs: Sequence[tuple[int, int]], device: str) -> None:
        """Take `runs` as pairs of labels and seed; weights and labels of each are those that it would have alone."""
        assert config.semi is not None
        self.config, self.semi = config, config.semi
        self.games = [_game(config, data, count, seed) for count, seed in runs]
        self.device = torch.device(device)
        self.d = _stacked([game.discriminator.net for game in self.games], self.device)
        self.g = _stacked([game.generator.net for game in self.games], self.device)
        self.average = {name: tensor.detach().clone() for name, tensor in self.d.items()}
        self.x = torch.from_numpy(data.train.x).flatten(1).to(self.device)
        self.random = stream(self.games[0].config.seed, "play", device=self.device)
        rates = config.train.discriminator_learning_rate or config.train.learning_rate, config.train.learning_rate
        self.rates = rates
        self.rules = [self._rule(w, rate) for w, rate in zip((self.d, self.g), rates, strict=True)]
        self.step = 0
        self._orders: dict[str, tuple[int, Tensor]] = {}
        self.labelled = self._stacked_labels()
        self.sums = torch.zeros(3, len(runs), device=self.device)
        """Unlabelled, labelled and generator's loss of each run since the last reading."""

    def _stacked_labels(self) -> tuple[Tensor, Tensor]:
        parts = [game.labelled for game in self.games]
        if len({(len(part.x), part.batch_size) for part in parts}) > 1:
            raise InputError("labelled examples of runs fill minibatches unevenly, allowed: evenly; measure them apart")
        x, y = torch.stack([part.x for part in parts]), torch.stack([part.y for part in parts])
        return x.flatten(2).to(self.device), y.to(self.device)

    def _rule(self, weights: Weights, rate: float) -> Adam:
        trained = [tensor for tensor in weights.values() if tensor.requires_grad]
        return Adam(trained, rate, self.config.train.adam_betas, self.semi.adam_epsilon, fused=True)

    def move(self) -> None:
        """Make one step of every run."""
        x, y = self._labels()
        real, batch = self._batch(2 * self.step), self.config.train.batch_size
        with torch.no_grad():
            fake = generate(self.g, self._latents())
        logits, _ = classify(self.d, torch.cat([x, real, fake], 1), self.semi, self.random)
        of_labelled, of_real, of_fake = logits.split([x.shape[1], batch, batch], 1)
        labelled = cross_entropy(of_labelled.flatten(0, 1), y.flatten(), reduction="none").view_as(y).mean(1)
        unlabelled = objectives.unlabelled_loss(of_real.flatten(0, 1), of_fake.flatten(0, 1)).view(len(x), -1).mean(1)
        (labelled + self.semi.unlabelled_weight * unlabelled).sum().backward()
        self._update(0)
        self._follow()
        fixed = {name: tensor.detach() for name, tensor in self.d.items()}
        both = torch.cat([generate(self.g, self._latents()), self._batch(2 * self.step + 1)], 1)
        _, features = classify(fixed, both, self.semi, self.random)
        gap = features[:, :batch].mean(1) - features[:, batch:].mean(1)
        matching = gap.square().mean(1)
        matching.sum().backward()
        self._update(1)
        self.sums += torch.stack([unlabelled.detach(), labelled.detach(), matching.detach()])
        self.step += 1

    def _update(self, player: int) -> None:
        rule = self.rules[player]
        rule.param_groups[0]["lr"] = schedules.learning_rate(self.config.train, self.rates[player], self.step)
        rule.step()
        rule.zero_grad(set_to_none=True)

    def _follow(self) -> None:
        decay = self.semi.average_decay
        share = (1 - decay) / (1 - decay ** (self.step + 1))
        names = [name for name, tensor in self.d.items() if tensor.requires_grad]
        averaged, current = ([w[name].detach() for name in names] for w in (self.average, self.d))
        torch._foreach_lerp_(averaged, current, share)

    def _latents(self) -> Tensor:
        prior = self.config.noise
        z = torch.empty(len(self.games), self.config.train.batch_size, prior.dimension, device=self.device)
        return z.uniform_(prior.low, prior.high, generator=self.random)

    def _batch(self, number: int) -> Tensor:
        """Minibatch `number` of unlabelled examples of each run, as advnets.training.batches.Batches has it."""
        size = self.config.train.batch_size
        epoch, index = divmod(number, len(self.x) // size)
        return self.x[self._order("order", epoch, len(self.x))[:, index * size : (index + 1) * size]]

    def _labels(self) -> tuple[Tensor, Tensor]:
        """Minibatch of labelled examples of each run at this step, as advnets.extensions.semi_step.Labelled has it."""
        x, y = self.labelled
        size = self.games[0].labelled.batch_size
        if size == x.shape[1]:
            return x, y
        epoch, index = divmod(self.step, x.shape[1] // size)
        rows = self._order("labelled order", epoch, x.shape[1])[:, index * size : (index + 1) * size]
        runs = torch.arange(len(x), device=self.device)[:, None]
        return x[runs, rows], y[runs, rows]

    def _order(self, purpose: str, epoch: int, n: int) -> Tensor:
        """Permutation of n examples that each run has in an epoch (runs, n), made and sent to the device once."""
        if self._orders.get(purpose, (-1,))[0] != epoch:
            seeds = [game.config.seed for game in self.games]
            made = [torch.randperm(n, generator=stream(seed, purpose, epoch)) for seed in seeds]
            self._orders[purpose] = epoch, torch.stack(made).to(self.device)
        return self._orders[purpose][1]

    @torch.no_grad()
    def errors(self, part: Split) -> list[int]:
        """Count the examples of a part that the averaged D of each run puts into a wrong class."""
        assert part.labels is not None
        x, y = torch.from_numpy(part.x).flatten(1).to(self.device), torch.from_numpy(part.labels).to(self.device)
        wrong = torch.zeros(len(self.games), dtype=torch.int64, device=self.device)
        for images, wanted in zip(x.split(2000), y.split(2000), strict=True):
            logits, _ = classify(self.average, images.expand(len(self.games), -1, -1), self.semi, None)
            wrong += (logits.argmax(2) != wanted).sum(1)
        found: list[int] = wrong.tolist()
        return found

    def net(self, index: int) -> NoisyClassifier:
        """The averaged D of one run, as the run alone would keep it."""
        net = build_classifier(self.games[index].config, (self.x.shape[1],), stream(0, "weights"))
        net.load_state_dict({name: tensor[index].cpu() for name, tensor in self.average.items()})
        return net


def _game(config: Config, data: DataSet, count: int, seed: int) -> SemiGame:
    semi = dataclasses.replace(config.semi or SemiConfig(), labels=count)
    alone = dataclasses.replace(config, seed=seed, semi=semi)
    return new_game(alone, data, Fabric(accelerator="cpu", devices=1))


def _stacked(nets: Sequence[torch.nn.Module], device: torch.device) -> Weights:
    trained = dict(nets[0].named_parameters())
    states = [net.state_dict() for net in nets]
    stacked = {name: torch.stack([state[name] for state in states]).to(device) for name in states[0]}
    return {name: tensor.requires_grad_(name in trained) for name, tensor in stacked.items()}


def _layer(w: Weights, name: str, x: Tensor) -> Tensor:
    weight = w[f"{name}.weight"]
    scale = w[f"{name}.scale"] / weight.norm(dim=2)
    return torch.bmm(x, weight.transpose(1, 2)) * scale[:, None] + w[f"{name}.bias"][:, None]


def classify(w: Weights, x: Tensor, semi: SemiConfig, random: torch.Generator | None) -> tuple[Tensor, Tensor]:
    """NoisyClassifier.forward for R nets at once: x (R, batch, d) to logits and features; no noise without `random`."""
    for index in range(len(semi.hidden)):
        x = _layer(w, f"layers.{index}", _noisy(x, semi.hidden_noise if index else semi.input_noise, random)).relu()
    return _layer(w, "logits", _noisy(x, semi.hidden_noise, random)), x


def _noisy(x: Tensor, deviation: float, random: torch.Generator | None) -> Tensor:
    if random is None or not deviation:
        return x
    return x + deviation * torch.randn(x.shape, generator=random, device=x.device)


def generate(w: Weights, z: Tensor) -> Tensor:
    """BatchNormGenerator.forward in training mode for R nets at once: z (R, batch, latent) to (R, batch, d)."""
    index = 0
    while f"layers.{index}.weight" in w:
        y = torch.bmm(z, w[f"layers.{index}.weight"].transpose(1, 2))
        mean, variance = y.mean(1, keepdim=True), y.var(1, correction=0, keepdim=True)
        z = softplus((y - mean) * (variance + _EPSILON).rsqrt() + w[f"biases.{index}"][:, None])
        index += 1
    return _layer(w, "top", z).sigmoid()
