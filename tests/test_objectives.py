import math

import pytest
import torch
from torch.nn.functional import binary_cross_entropy

from advnets import objectives

REAL = torch.tensor([2.0, -1.0, 0.0], dtype=torch.float64)
FAKE = torch.tensor([-3.0, 0.5, 0.0], dtype=torch.float64)


def test_value_by_hand():
    # log σ(2) = −0.126928, log(1 − σ(−3)) = −0.048587; log σ(−1) = −1.313262, log(1 − σ(.5)) = −0.974077; −2 log 2
    expected = torch.tensor([-0.175515, -2.287339, -1.386294], dtype=torch.float64)
    torch.testing.assert_close(objectives.value(REAL, FAKE), expected, atol=1e-6, rtol=0)


def test_generator_losses_by_hand():
    minimax = torch.tensor([-0.048587, -0.974077, -0.693147], dtype=torch.float64)
    non_saturating = torch.tensor([3.048587, 0.474077, 0.693147], dtype=torch.float64)
    torch.testing.assert_close(objectives.minimax_generator_loss(FAKE), minimax, atol=1e-6, rtol=0)
    torch.testing.assert_close(objectives.non_saturating_generator_loss(FAKE), non_saturating, atol=1e-6, rtol=0)


def test_discriminator_losses_are_cross_entropies():
    ones, zeros = torch.ones_like(REAL), torch.zeros_like(FAKE)
    cross_entropies = binary_cross_entropy(REAL.sigmoid(), ones, reduction="none") + binary_cross_entropy(
        FAKE.sigmoid(), zeros, reduction="none"
    )
    torch.testing.assert_close(objectives.discriminator_loss(REAL, FAKE), cross_entropies)
    torch.testing.assert_close(objectives.released_discriminator_loss(REAL, FAKE), cross_entropies / 2)


def test_minimax_saturates_where_the_other_does_not():
    rejected = torch.tensor([-20.0], dtype=torch.float64, requires_grad=True)
    (flat,) = torch.autograd.grad(objectives.minimax_generator_loss(rejected).sum(), rejected)
    (steep,) = torch.autograd.grad(objectives.non_saturating_generator_loss(rejected).sum(), rejected)
    assert abs(flat.item()) < 1e-8
    assert steep.item() == pytest.approx(-1.0)


@pytest.mark.parametrize("weights", [(1.0, 0.0), (0.0, 1.0), (0.3, 2.0)])
def test_blend_is_the_weighted_sum(weights):
    a, b = weights
    blend = a * objectives.minimax_generator_loss(FAKE) + b * objectives.non_saturating_generator_loss(FAKE)
    torch.testing.assert_close(objectives.generator_loss(FAKE, a, b), blend)


LOSSES = [
    lambda logits: objectives.value(logits, logits.flip(0)),
    lambda logits: objectives.discriminator_loss(logits, logits.flip(0)),
    lambda logits: objectives.released_discriminator_loss(logits, logits.flip(0)),
    objectives.minimax_generator_loss,
    objectives.non_saturating_generator_loss,
    lambda logits: objectives.generator_loss(logits, 0.5, 0.5),
]


@pytest.mark.parametrize("loss", LOSSES)
def test_gradients_agree_with_differences_and_stay_finite(loss):
    logits = torch.randn(7, dtype=torch.float64, requires_grad=True, generator=torch.Generator().manual_seed(0))
    assert torch.autograd.gradcheck(loss, logits)
    extreme = torch.tensor([1e4, -1e4], requires_grad=True)
    out = loss(extreme)
    (gradient,) = torch.autograd.grad(out.sum(), extreme)
    assert out.shape == extreme.shape, "losses are not reduced"
    assert torch.isfinite(out).all() and torch.isfinite(gradient).all()


def test_value_at_an_undecided_discriminator_is_minus_log_4():
    assert objectives.value(torch.zeros(1), torch.zeros(1)).item() == pytest.approx(-math.log(4))
