"""Stacked contractive autoencoders: losses, gradients and chains against slow twins; learning on small digits."""

import copy
import math

import numpy as np
import pytest
import torch
from sklearn.datasets import load_digits
from torch import nn
from torch.nn.functional import binary_cross_entropy

from advnets.config import CAEConfig
from advnets.rivals.bits import independent_bits
from advnets.rivals.cae import ContractiveLayer, StackedCAE
from oracles import sigmoid


def seeded(seed=0):
    return torch.Generator().manual_seed(seed)


def stack(hidden=(5, 4), size=6, dtype=torch.float64, **settings):
    """A stack whose biases are random too."""
    random = seeded(1)
    model = StackedCAE(CAEConfig(hidden=hidden, **settings), size, torch.full((size,), 0.3), random).to(dtype)
    with torch.no_grad():
        for layer in model.layers:
            layer.hidden_bias.normal_(generator=random)
            layer.visible_bias.normal_(generator=random)
    return model


def examples(count=3, size=6, dtype=torch.float64):
    return torch.rand(count, size, generator=seeded(2), dtype=dtype)


class Loss(nn.Module):
    def __init__(self, layer):
        super().__init__()
        self.layer = layer

    def forward(self, x):
        return self.layer.loss(x, 0.3)


def jacobians(layer, x):
    """∂h_j/∂x_i of each example, by autograd."""
    return torch.stack([torch.autograd.functional.jacobian(lambda v: layer.encode(v[None])[0], row) for row in x])


def numbers(layer):
    return [parameter.detach().numpy() for parameter in (layer.weight, layer.hidden_bias, layer.visible_bias)]


def encoded(layer, x):
    """h_j = s(Σ_i W_ji·x_i + b_j), one number at a time."""
    weight, bias, _ = numbers(layer)
    above, below = weight.shape
    return [sigmoid(sum(weight[j, i] * x[i] for i in range(below)) + bias[j]) for j in range(above)]


def decoded(layer, h):
    """x′_i = s(Σ_j W_ji·h_j + c_i), one number at a time."""
    weight, _, bias = numbers(layer)
    above, below = weight.shape
    return [sigmoid(sum(weight[j, i] * h[j] for j in range(above)) + bias[i]) for i in range(below)]


def loss_of_one(layer, x, alpha):
    """Cross-entropy of x and its reconstruction, and α times the squared slopes of all units."""
    weight, _, _ = numbers(layer)
    h = encoded(layer, x)
    cross_entropy = 0.0
    for number, mean in zip(x, decoded(layer, h), strict=True):
        cross_entropy -= number * math.log(mean) + (1 - number) * math.log(1 - mean)
    squares = [(h[j] * (1 - h[j]) * weight[j, i]) ** 2 for j in range(len(h)) for i in range(len(x))]
    return cross_entropy + alpha * sum(squares)


def moved(layer, x, noise, sigma):
    """A step of the chain with the Jacobian written out."""
    weight, _, _ = numbers(layer)
    h = np.array(encoded(layer, x))
    jacobian = np.diag(h * (1 - h)) @ weight
    return decoded(layer, h + sigma * jacobian @ jacobian.T @ noise)


def test_squared_jacobian_is_that_of_autograd_for_each_example():
    layer, x = stack().part(0), examples()
    expected = jacobians(layer, x).square().sum((1, 2))
    torch.testing.assert_close(layer.squared_jacobian(layer.encode(x)), expected)


def test_noise_along_the_jacobian_is_the_product_with_that_of_autograd():
    layer, x = stack().part(0), examples()
    noise = torch.randn(3, 5, generator=seeded(3), dtype=torch.float64)
    jacobian = jacobians(layer, x)
    expected = torch.einsum("nji,nki,nk->nj", jacobian, jacobian, noise)
    torch.testing.assert_close(layer.along_jacobian(layer.encode(x), noise), expected)


@pytest.mark.parametrize("alpha", [0.0, 0.1, 2.0])
def test_loss_of_each_stage_is_the_mean_of_the_formula_on_the_codes_below(alpha):
    model, x = stack(hidden=(5, 4, 3), contraction=alpha), examples()
    rows = x.tolist()
    for stage in range(3):
        layer = model.part(stage)
        expected = np.mean([loss_of_one(layer, row, alpha) for row in rows])
        assert model.loss(x, stage, seeded()).item() == pytest.approx(expected, rel=1e-12)
        rows = [encoded(layer, row) for row in rows]


def test_loss_of_one_unit_by_hand():
    """W = 0, b = 0, c = log 3: h = 1/2, x′ = 3/4; for x = 1 the cross-entropy is log 4/3. W = 2 adds α/16·4."""
    layer = ContractiveLayer(1, 1, seeded()).double()
    with torch.no_grad():
        layer.weight.zero_()
        layer.visible_bias.fill_(math.log(3))
        one = torch.ones(1, 1, dtype=torch.float64)
        assert float(layer.loss(one, 0.5)) == pytest.approx(math.log(4 / 3), rel=1e-12)
        layer.weight.fill_(2)
        assert float(layer.squared_jacobian(one / 2)) == pytest.approx(0.25, rel=1e-12)


def test_gradient_of_the_loss_is_that_of_finite_differences():
    """Above all through the slopes in the penalty, which contract only if they are not taken for constants."""
    module, x = Loss(stack().part(0)), examples()
    names = [name for name, _ in module.named_parameters()]

    def loss(*values):
        return torch.func.functional_call(module, dict(zip(names, values, strict=True)), (x,))

    assert torch.autograd.gradcheck(loss, tuple(module.parameters()))


@pytest.mark.parametrize("stage", [0, 1, 2])
def test_loss_of_a_stage_gives_gradients_to_its_part_alone(stage):
    model = stack(hidden=(5, 4, 3))
    model.loss(examples(), stage, seeded()).backward()
    for other in range(3):
        for parameter in model.part(other).parameters():
            assert (parameter.grad is not None and bool(parameter.grad.any())) == (other == stage)


def test_parts_hold_every_parameter_once():
    model = stack(hidden=(5, 4, 3))
    parts = [id(parameter) for stage in range(model.stages) for parameter in model.part(stage).parameters()]
    assert model.stages == 3
    assert sorted(parts) == sorted(id(parameter) for parameter in model.parameters())


def test_a_code_of_zeros_is_first_decoded_to_the_mean_example_kept_off_0_and_1():
    mean = torch.tensor([0.0, 0.2, 0.5, 1.0])
    model = StackedCAE(CAEConfig(hidden=(7, 3)), 4, mean, seeded())
    torch.testing.assert_close(model.part(0).decode(torch.zeros(1, 7))[0], torch.tensor([0.001, 0.2, 0.5, 0.999]))
    assert not any(bias.any() for bias in (model.part(0).hidden_bias, *list(model.part(1).parameters())[1:]))


def test_first_weights_are_uniform_within_four_times_the_glorot_bound():
    model = StackedCAE(CAEConfig(hidden=(200, 100)), 300, torch.full((300,), 0.5), seeded())
    for stage, units in enumerate((500, 300)):
        weight = model.part(stage).weight.detach()
        bound = 4 * math.sqrt(6 / units)
        assert 0.99 * bound < float(weight.abs().max()) <= bound
        assert float(weight.std()) == pytest.approx(bound / math.sqrt(3), rel=0.02)
        assert abs(float(weight.mean())) < 0.03 * bound


@pytest.mark.parametrize("hidden", [(5,), (5, 4), (5, 4, 3)])
def test_a_step_of_the_chain_is_that_of_the_formula_in_the_top_layer(hidden):
    model = stack(hidden=hidden, sampling_noise=0.7)
    top = model.part(len(hidden) - 1)
    state = model.start(3, seeded(4))
    noise = torch.randn(3, hidden[-1], generator=seeded(5), dtype=torch.float64).numpy()
    expected = [moved(top, x, e, 0.7) for x, e in zip(state.tolist(), noise, strict=True)]
    np.testing.assert_allclose(model.move(state, seeded(5)).numpy(), expected, rtol=1e-12)


def test_without_noise_a_step_of_the_chain_is_the_reconstruction():
    model, x = stack(hidden=(5,), sampling_noise=0.0), examples()
    torch.testing.assert_close(model.move(x, seeded()), model.part(0).decode(model.part(0).encode(x)))


def test_means_are_states_decoded_through_the_layers_below_the_top():
    for hidden in ((5,), (5, 4), (5, 4, 3)):
        model = stack(hidden=hidden)
        rows = model.start(3, seeded(4))
        means = model.means(rows, seeded())
        expected = rows.tolist()
        for layer in list(model.layers)[-2::-1]:
            expected = [decoded(layer, row) for row in expected]
        np.testing.assert_allclose(means.numpy(), expected, rtol=1e-12)


def test_pixels_are_bits_with_the_means():
    model = stack()
    state = model.start(1, seeded(4)).expand(20_000, -1)
    pixels = model.pixels(state, seeded(5))
    assert set(pixels.unique().tolist()) == {0.0, 1.0}
    means = model.means(state[:1], seeded())[0]
    error = (means * (1 - means) / 20_000).sqrt()
    assert bool(((pixels.mean(0) - means).abs() < 4 * error).all())


def test_chains_start_at_codes_of_independent_bits_with_the_mean_of_the_data():
    mean = torch.tensor([0.0, 0.1, 0.5, 1.0])
    one = StackedCAE(CAEConfig((5,)), 4, mean, seeded())
    start = one.start(5000, seeded(1))
    assert set(start.unique().tolist()) == {0.0, 1.0}
    torch.testing.assert_close(start.mean(0), mean, rtol=0, atol=0.03)
    assert abs(float(torch.corrcoef(start[:, 1:3].T)[0, 1])) < 0.05
    two = StackedCAE(CAEConfig((5, 3)), 4, mean, seeded())
    assert torch.equal(two.start(50, seeded(1)), two.part(0).encode(one.start(50, seeded(1))).detach())


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_everything_keeps_the_number_format_and_depends_on_the_generator_alone(dtype):
    def run(seed):
        torch.manual_seed(seed)  # of the global generator, which nothing may draw from
        model = stack(dtype=dtype)
        state = model.start(3, seeded(4))
        random = seeded(5)
        loss = model.loss(examples(dtype=dtype), 1, random).detach()
        return [loss, state, model.move(state, random), model.means(state, random), model.pixels(state, random)]

    for first, second in zip(run(6), run(7), strict=True):
        assert first.dtype == dtype
        assert torch.equal(first, second)


def test_loss_survives_huge_logits_in_float32():
    model = stack(dtype=torch.float32)
    layer = model.part(0)
    with torch.no_grad():
        layer.weight.mul_(1e4)
        layer.visible_bias.mul_(1e4)
    exact = copy.deepcopy(model).double()
    x = torch.cat([examples(dtype=torch.float32), torch.zeros(1, 6), torch.ones(1, 6)])
    loss = model.loss(x, 0, seeded())
    loss.backward()
    assert loss.item() > 1e4
    assert loss.item() == pytest.approx(exact.loss(x.double(), 0, seeded()).item(), rel=1e-5)
    assert all(bool(parameter.grad.isfinite().all()) for parameter in layer.parameters())


def trained(alpha, x, hidden, steps):
    random = seeded()
    model = StackedCAE(CAEConfig(hidden=hidden, contraction=alpha, sampling_noise=0.3), x.shape[1], x.mean(0), random)
    for stage in range(model.stages):
        optimiser = torch.optim.SGD(model.part(stage).parameters(), lr=0.1)
        for _ in range(steps):
            batch = x[torch.randint(len(x), (50,), generator=random)]
            optimiser.zero_grad()
            model.loss(batch, stage, random).backward()
            optimiser.step()
    return model


@pytest.fixture(scope="module")
def digits():
    return torch.tensor(load_digits().data / 16, dtype=torch.float32)


def test_contraction_makes_the_jacobian_smaller(digits):
    norms = []
    for alpha in (0.0, 0.3, 1.0):
        layer = trained(alpha, digits, (32,), 60).part(0)
        norms.append(layer.squared_jacobian(layer.encode(digits)).mean().item())
    assert norms[0] > 1.5 * norms[1] and norms[1] > 1.5 * norms[2]


def excess(x, means):
    """Cross-entropy beyond that of x with itself, in nats an example."""
    return float(binary_cross_entropy(means, x, reduction="sum") - binary_cross_entropy(x, x, reduction="sum")) / len(x)


def test_the_stack_learns_digits_and_its_chains_walk_from_noise_to_them(digits):
    model = trained(0.1, digits, (64, 64), 300)
    random = seeded(1)
    with torch.no_grad():
        codes = model.part(0).encode(digits)
        codes_again = model.part(1).decode(model.part(1).encode(codes))
        by_mean = excess(digits, digits.mean(0).expand_as(digits))
        assert excess(digits, model.part(0).decode(codes)) < 0.35 * by_mean
        assert excess(digits, model.part(0).decode(codes_again)) < 0.5 * by_mean
    state = model.start(100, random)

    noise = torch.cdist(independent_bits(model.mean, 100, random), digits).amin(1).mean()
    for _ in range(50):
        state = model.move(state, random)
    assert torch.cdist(model.means(state, random), digits).amin(1).mean() < 0.7 * noise
