"""The value function V(D, G) and the players' losses: pure, unreduced functions of logits l, with D = σ(l)."""

from jaxtyping import Float
from torch import Tensor
from torch.nn.functional import logsigmoid

Logits = Float[Tensor, " batch"]


def value(real_logits: Logits, fake_logits: Logits) -> Logits:
    """Value of the game for each pair of one data example and one sample.

    V(D, G) = E[log D(x)] + E[log(1 − D(G(z)))], in nats; the mean over the batch estimates it. Equation 1.
    """
    return logsigmoid(real_logits) + logsigmoid(-fake_logits)


def discriminator_loss(real_logits: Logits, fake_logits: Logits) -> Logits:
    """What D descends in Algorithm 1: −V, in nats."""
    return -value(real_logits, fake_logits)


def released_discriminator_loss(real_logits: Logits, fake_logits: Logits) -> Logits:
    """What D descends in the authors' released code: −V/2, the mean of two binary cross-entropies, in nats."""
    return -value(real_logits, fake_logits) / 2


def minimax_generator_loss(fake_logits: Logits) -> Logits:
    """What G descends in equation 1: log(1 − D(G(z))), in nats; flat where D rejects the sample."""
    return logsigmoid(-fake_logits)


def non_saturating_generator_loss(fake_logits: Logits) -> Logits:
    """What G descends instead early in training: −log D(G(z)), in nats; same fixed point (section 3)."""
    return -logsigmoid(fake_logits)


def generator_loss(fake_logits: Logits, minimax_weight: float, non_saturating_weight: float) -> Logits:
    """Blend of both: minimax_weight · log(1 − D(G(z))) − non_saturating_weight · log D(G(z)), in nats.

    Weights (1, 0) are the minimax loss, (0, 1) the non-saturating one. Source: the authors' released code.
    """
    minimax = minimax_generator_loss(fake_logits)
    return minimax_weight * minimax + non_saturating_weight * non_saturating_generator_loss(fake_logits)


def reconstruction_loss(
    one: Float[Tensor, "batch *shape"],
    other: Float[Tensor, "batch *shape"],
    real: Float[Tensor, "batch *shape"],
    hidden: Float[Tensor, "batch *shape"],
) -> Float[Tensor, ""]:
    """Squared error of the mean completion, E over hidden numbers of (x − E_z x̂)², from two completions x̂, x̂′ of x.

    Σ h·(x − x̂)·(x − x̂′) / Σ h with h = 1 where a number is hidden and its truth known, in squared units of the nets.
    The mean of a product of independent errors is the square of the mean error: unlike (x − x̂)² (Pathak et al. 2016;
    GAIN, Yoon et al. 2018) it asks for no less variety, and p(x_S | x_notS) itself makes it least, as it does V.
    One estimate may be negative. 0 where nothing is hidden.
    """
    product = hidden * (real - one) * (real - other)
    return product.sum() / hidden.sum().clamp_min(1.0)
