"""Deep generative stochastic networks (Bengio, Thibodeau-Laufer, Alain, Yosinski 2014)."""

from collections.abc import Iterator
from itertools import pairwise

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn.functional import binary_cross_entropy_with_logits

from advnets.config import GSNConfig
from advnets.nets.init import uniform_
from advnets.rivals.bits import draw_bits, independent_bits
from advnets.rivals.rival import Rival


def salt_and_pepper(x: Float[Tensor, "*shape"], probability: float, random: torch.Generator) -> Float[Tensor, "*shape"]:
    """Replace each number, with a probability, by 0 or 1 at equal odds: 1[u < p/2] if u < p, else x; u ∼ U(0, 1)."""
    u = torch.rand(x.shape, generator=random, device=x.device, dtype=x.dtype)
    return torch.where(u < probability, (u < probability / 2).to(x.dtype), x)


class GSN(Rival):
    """A Markov chain over x and L hidden layers that learns by backpropagation to reconstruct x from its noisy states.

    Layer 0 is x; neighbours share weights W, used upwards and, transposed, downwards:
    a_i = h_{i−1} W_{i−1} + h_{i+1} W_iᵀ + b_i, h_1 = tanh(a_1), and for i ≥ 2 h_i = tanh(a_i + ε) + ε′ with
    ε, ε′ ∼ N(0, σ²I); E[x|h_1] = 1/(1 + e^−a_0), and h_0 is a Bernoulli draw of it with salt and pepper.
    One update takes layers 1, 3, … and then 0, 2, …. A state is h_0, h_1, …, h_L side by side. What layer L makes of
    an x comes back to E[x|h_1] in update L, so that it is learned only if walkback ≥ L.
    Order, noise and loss are those of the authors' code (model.py and run_dsn.py of github.com/yaoli/GSN).
    """

    def __init__(self, config: GSNConfig, size: int, mean: Float[Tensor, " d"], random: torch.Generator) -> None:
        """Start weights at U(±sqrt(6/(below + above))), biases at 0; chains begin at `mean`."""
        super().__init__()
        self.config = config
        self.mean: Tensor
        self.register_buffer("mean", mean.clone())
        self.sizes = [size, *config.hidden]
        self.weights = nn.ParameterList(torch.empty(below, above) for below, above in pairwise(self.sizes))
        self.biases = nn.ParameterList(torch.zeros(units) for units in self.sizes)
        for weight in self.weights:
            uniform_(weight, (6 / sum(weight.shape)) ** 0.5, random)

    def part(self, stage: int) -> nn.Module:
        """Return the whole model, which trains in one stage."""
        return self

    def loss(self, x: Float[Tensor, "batch d"], stage: int, random: torch.Generator) -> Float[Tensor, ""]:
        """Return Σ_t BCE(x, E[x|h_1(t)]) over the updates t = 1 … walkback of a chain from x with salt and pepper.

        BCE, in nats, is a mean over the batch *and over pixels*, as in the authors' code: their learning rate .25 is
        for this scale. Hidden layers start at 0. No gradient passes the draws of h_0, every one passes h_1 … h_L.
        """
        loss: Tensor = x.new_zeros(())
        for logits in self.reconstructions(x, random):
            loss = loss + binary_cross_entropy_with_logits(logits, x)
        return loss

    def reconstructions(
        self, x: Float[Tensor, "batch d"], random: torch.Generator
    ) -> Iterator[Float[Tensor, "batch d"]]:
        """Yield the logits of x in each update of the walkback, a chain that begins at x with salt and pepper."""
        layers = [salt_and_pepper(x, self.config.corruption, random)]
        layers += [x.new_zeros(len(x), units) for units in self.sizes[1:]]
        for _ in range(self.config.walkback):
            layers, logits = self._update(layers, random)
            yield logits

    @torch.no_grad()
    def upwards(self, x: Float[Tensor, "batch d"]) -> Float[Tensor, "batch hidden"]:
        """Return h_1, …, h_L side by side of one pass upwards without noise: h_i = tanh(h_{i−1} W_{i−1} + b_i)."""
        layers = [x]
        for weight, bias in zip(self.weights, list(self.biases)[1:], strict=True):
            layers.append(torch.tanh(torch.addmm(bias, layers[-1], weight)))
        return torch.cat(layers[1:], dim=1)

    def start(self, chains: int, random: torch.Generator) -> Float[Tensor, "chains state"]:
        """Draw x independently with the mean of training examples; hidden layers 0."""
        state: Tensor = self.biases[0].new_zeros(chains, sum(self.sizes))
        state[:, : self.sizes[0]] = independent_bits(self.mean, chains, random)
        return state

    @torch.no_grad()
    def move(self, state: Float[Tensor, "chains state"], random: torch.Generator) -> Float[Tensor, "chains state"]:
        """Make one noisy update, as in training: odd layers, then even layers."""
        layers, _ = self._update(list(state.split(self.sizes, dim=1)), random)
        return torch.cat(layers, dim=1)

    @torch.no_grad()
    def means(self, state: Float[Tensor, "chains state"], random: torch.Generator) -> Float[Tensor, "chains d"]:
        """Return E[x|h_1], the means that the last update drew its x from."""
        return torch.sigmoid(self._input(list(state.split(self.sizes, dim=1)), 0))

    @torch.no_grad()
    def pixels(self, state: Float[Tensor, "chains state"], random: torch.Generator) -> Float[Tensor, "chains d"]:
        """Draw bits from E[x|h_1], without salt and pepper."""
        return draw_bits(self.means(state, random), random)

    def _update(self, layers: list[Tensor], random: torch.Generator) -> tuple[list[Tensor], Tensor]:
        """Return the layers after one update, and the logits of x within it."""
        layers = list(layers)
        for index in range(1, len(layers), 2):
            layers[index] = self._hidden(layers, index, random)
        logits = self._input(layers, 0)
        layers[0] = salt_and_pepper(draw_bits(logits.sigmoid(), random), self.config.corruption, random)
        for index in range(2, len(layers), 2):
            layers[index] = self._hidden(layers, index, random)
        return layers, logits

    def _hidden(self, layers: list[Tensor], index: int, random: torch.Generator) -> Tensor:
        total = self._input(layers, index)
        if index == 1:
            return torch.tanh(total)
        noise = torch.randn(2, *total.shape, generator=random, device=total.device, dtype=total.dtype)
        noise = self.config.hidden_noise * noise
        return torch.tanh(total + noise[0]) + noise[1]

    def _input(self, layers: list[Tensor], index: int) -> Tensor:
        total: Tensor = self.biases[index]
        if index > 0:
            total = torch.addmm(total, layers[index - 1], self.weights[index - 1])
        if index < len(self.weights):
            total = torch.addmm(total, layers[index + 1], self.weights[index].T)
        return total
