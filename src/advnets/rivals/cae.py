"""Contractive autoencoders, stacked greedily, and the Markov chain that samples from them.

Training follows Rifai, Vincent, Muller, Glorot, Bengio 2011; the chain follows Rifai, Bengio, Dauphin, Vincent 2012.
Ours, where the papers leave it open: Glorot-uniform weights times 4, and biases 0 but for the pixels' (see StackedCAE).
"""

import math
from itertools import pairwise
from typing import cast

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn.functional import binary_cross_entropy_with_logits, linear

from advnets.config import CAEConfig
from advnets.rivals.bits import draw_bits, independent_bits
from advnets.rivals.rival import Rival

_CLIP = 1e-3  # a mean grey level is kept this far from 0 and 1 before its log-odds are taken


class ContractiveLayer(nn.Module):
    """An autoencoder with tied weights, h = s(Wx + b) and x′ = s(Wᵀh + c), s(a) = 1/(1 + e^−a).

    J = diag(h(1 − h))·W is the Jacobian of h at x. Weights start at U(±4·sqrt(6/(below + above))), biases at 0.
    """

    def __init__(self, below: int, above: int, random: torch.Generator) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.empty(above, below))
        self.hidden_bias = nn.Parameter(torch.zeros(above))
        self.visible_bias = nn.Parameter(torch.zeros(below))
        bound = 4 * math.sqrt(6 / (below + above))
        nn.init.uniform_(self.weight, -bound, bound, random)

    def encode(self, x: Float[Tensor, "batch below"]) -> Float[Tensor, "batch above"]:
        """Return the code h = s(Wx + b)."""
        return linear(x, self.weight, self.hidden_bias).sigmoid()

    def logits(self, h: Float[Tensor, "batch above"]) -> Float[Tensor, "batch below"]:
        """Return the log-odds of the reconstruction, Wᵀh + c."""
        return linear(h, self.weight.T, self.visible_bias)

    def decode(self, h: Float[Tensor, "batch above"]) -> Float[Tensor, "batch below"]:
        """Return the reconstruction x′ = s(Wᵀh + c); h may lie outside 0 and 1."""
        return self.logits(h).sigmoid()

    def squared_jacobian(self, h: Float[Tensor, "batch above"]) -> Float[Tensor, " batch"]:
        """Return ‖J‖²_F = Σ_j (h_j(1 − h_j))²·Σ_i W_ji² where the code is h (Rifai et al. 2011)."""
        return (h * (1 - h)).square() @ self.weight.square().sum(1)

    def along_jacobian(
        self, h: Float[Tensor, "batch above"], noise: Float[Tensor, "batch above"]
    ) -> Float[Tensor, "batch above"]:
        """Return J·Jᵀ·ε where the code is h: the noise ε, mostly along the directions in which codes move."""
        slope = h * (1 - h)
        return slope * linear((slope * noise) @ self.weight, self.weight)

    def losses(self, x: Float[Tensor, "batch below"], contraction: float) -> Float[Tensor, " batch"]:
        """Return −Σ_i (x_i·log x′_i + (1 − x_i)·log(1 − x′_i)) + α‖J‖²_F of each example, in nats.

        x lies within 0 and 1; α is `contraction`. Rifai et al. 2011.
        """
        h = self.encode(x)
        cross_entropy = binary_cross_entropy_with_logits(self.logits(h), x, reduction="none").sum(1)
        return cross_entropy + contraction * self.squared_jacobian(h)

    def loss(self, x: Float[Tensor, "batch below"], contraction: float) -> Float[Tensor, ""]:
        """Return the mean of `losses` over the minibatch."""
        return self.losses(x, contraction).mean()


class StackedCAE(Rival):
    """Contractive autoencoders, each trained on the codes of the one below it; x lies within 0 and 1.

    The chain runs in the top layer: h = f(x), h̃ = h + J·Jᵀ·ε with ε ∼ N(0, σ²I), x′ = g(h̃) (Rifai et al. 2012).
    Its state is the top layer's x: the code of the layer below, or the pixels themselves if there is one layer.
    Deterministic but for ε. The pixels' bias c starts at the log-odds of the mean example, kept within .001 and .999.
    """

    def __init__(self, config: CAEConfig, size: int, mean: Float[Tensor, " size"], random: torch.Generator) -> None:
        super().__init__()
        sizes = [size, *config.hidden]
        self.config = config
        self.mean: Tensor
        self.register_buffer("mean", mean.clone())
        self.stages = len(config.hidden)
        self.layers = nn.ModuleList(ContractiveLayer(below, above, random) for below, above in pairwise(sizes))
        with torch.no_grad():
            self.part(0).visible_bias.copy_(mean.clamp(_CLIP, 1 - _CLIP).logit())

    def part(self, stage: int) -> ContractiveLayer:
        """Return the layer of a stage, the bottom one for 0."""
        return cast(ContractiveLayer, self.layers[stage])

    def loss(self, x: Float[Tensor, "batch d"], stage: int, random: torch.Generator) -> Float[Tensor, ""]:
        """Return the loss of the layer of a stage on the codes of the layers below it; draws nothing."""
        return self.part(stage).loss(self.below(x, stage), self.config.contraction)

    @torch.no_grad()
    def below(self, x: Float[Tensor, "batch d"], stage: int) -> Float[Tensor, "batch below"]:
        """Return what the layer of a stage learns: x, or the code of the layers below."""
        for layer in range(stage):
            x = self.part(layer).encode(x)
        return x

    @torch.no_grad()
    def start(self, chains: int, random: torch.Generator) -> Float[Tensor, "chains below"]:
        """Draw pixels independently with the mean of training examples, and encode them up to the top layer.

        From uniform numbers the chain comes to a state that is no digit and stays there (docs/lab-log.md).
        """
        return self.below(independent_bits(self.mean, chains, random), self.stages - 1)

    @torch.no_grad()
    def move(self, state: Float[Tensor, "chains below"], random: torch.Generator) -> Float[Tensor, "chains below"]:
        """Make one step of every chain: encode, add σ·J·Jᵀ times standard normal noise, decode."""
        top = self.part(self.stages - 1)
        h = top.encode(state)
        noise = torch.randn(h.shape, generator=random, device=h.device, dtype=h.dtype)
        return top.decode(h + self.config.sampling_noise * top.along_jacobian(h, noise))

    @torch.no_grad()
    def means(self, state: Float[Tensor, "chains below"], random: torch.Generator) -> Float[Tensor, "chains d"]:
        """Decode states down through the layers below the top one; draws nothing.

        A state is a reconstruction by the top layer already, and goes through that layer no second time: with one
        layer the means are the states.
        """
        for stage in reversed(range(self.stages - 1)):
            state = self.part(stage).decode(state)
        return state

    @torch.no_grad()
    def pixels(self, state: Float[Tensor, "chains below"], random: torch.Generator) -> Float[Tensor, "chains d"]:
        """Draw each pixel from {0, 1}, with the mean given by `means`."""
        return draw_bits(self.means(state, random), random)
