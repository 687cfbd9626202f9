import math

import numpy as np
import pytest
import torch
from scipy import stats
from sklearn.datasets import load_digits
from torch.nn.functional import binary_cross_entropy

from advnets.config import GSNConfig
from advnets.rivals.gsn import GSN, salt_and_pepper
from advnets.seeds import stream

SIZE = 3
HIDDEN = {1: (4,), 2: (4, 2), 3: (4, 2, 5), 4: (4, 2, 5, 3)}

# One update of a net of L hidden layers, by hand: the layers in the order in which they are renewed, each from its
# neighbours as they then are. 0 is x.
ORDER = {1: [1, 0], 2: [1, 0, 2], 3: [1, 3, 0, 2], 4: [1, 3, 0, 2, 4]}


def gsn(layers=2, seed=0, scale=1.0, **settings):
    """A tiny net in float64, with biases that are not 0."""
    net = GSN(GSNConfig(HIDDEN[layers], **settings), SIZE, torch.full((SIZE,), 0.3), stream(seed, "weights")).double()
    with torch.no_grad():
        for parameter in net.parameters():
            parameter.copy_(scale * torch.randn(parameter.shape, generator=stream(seed, "p", parameter.numel())))
    return net


def grey(count, seed=0):
    return torch.rand(count, SIZE, generator=stream(seed, "x"), dtype=torch.float64)


def uniform(shape, random):
    return torch.rand(shape, generator=random, dtype=torch.float64).numpy()


def twin_salt_and_pepper(x, probability, random):
    out = x.copy()
    u = uniform(x.shape, random)
    for place in np.ndindex(x.shape):
        if u[place] < probability / 2:
            out[place] = 1.0
        elif u[place] < probability:
            out[place] = 0.0
    return out


def twin_update(net, layers, random):
    """Renew the layers in place and return the mean of x, in numpy, with the net's own random numbers."""
    top = len(layers) - 1
    weights = [weight.detach().numpy() for weight in net.weights]
    biases = [bias.detach().numpy() for bias in net.biases]
    noise = net.config.hidden_noise
    for i in ORDER[top]:
        total = np.tile(biases[i], (len(layers[0]), 1))
        if i > 0:
            total += layers[i - 1] @ weights[i - 1]
        if i < top:
            total += layers[i + 1] @ weights[i].T
        if i == 0:
            mean = 1 / (1 + np.exp(-total))
            bits = (uniform(mean.shape, random) < mean).astype(float)
            layers[0] = twin_salt_and_pepper(bits, net.config.corruption, random)
        elif i == 1:
            layers[1] = np.tanh(total)
        else:
            before, after = torch.randn(2, *total.shape, generator=random, dtype=torch.float64).numpy()
            layers[i] = np.tanh(total + noise * before) + noise * after
    return mean


def twin_loss(net, x, random):
    x = x.numpy()
    layers = [twin_salt_and_pepper(x, net.config.corruption, random)]
    layers += [np.zeros((len(x), units)) for units in net.config.hidden]
    loss = 0.0
    for _ in range(net.config.walkback):
        mean = twin_update(net, layers, random)
        loss += -(x * np.log(mean) + (1 - x) * np.log(1 - mean)).mean()
    return loss


@pytest.mark.parametrize("probability", [0.0, 0.4, 1.0])
def test_salt_and_pepper_replaces_its_share_by_either_value_at_equal_odds(probability):
    x = torch.linspace(0.2, 0.8, 5).expand(20_000, 5)
    noisy = salt_and_pepper(x, probability, stream(0, "noise"))
    black, white = noisy == 0, noisy == 1
    assert torch.equal(noisy[~(black | white)], x[~(black | white)])
    for replaced in (black, white):
        for column in replaced.T:  # whatever the grey level
            assert stats.binomtest(int(column.sum()), len(column), probability / 2).pvalue > 1e-3
    # Neighbours are replaced independently: of 2·2 outcomes of two columns, none is too frequent.
    if 0 < probability < 1:
        pairs = torch.bincount(2 * (black | white)[:, 0] + (black | white)[:, 1], minlength=4).reshape(2, 2)
        assert stats.chi2_contingency(pairs.numpy()).pvalue > 1e-3


def test_an_update_takes_odd_layers_then_even_layers():
    net = GSN(GSNConfig((1, 1), hidden_noise=0.0, corruption=0.0), 1, torch.zeros(1), stream(0, "w")).double()
    for parameter, value in zip([*net.weights, *net.biases], (0.5, -1.0, 0.2, 0.3, -0.1), strict=True):
        torch.nn.init.constant_(parameter, value)
    # x = 1, h_2 = .4; h_1 = 9 is overwritten before anything reads it.
    state = net.move(torch.tensor([[1.0, 9.0, 0.4]], dtype=torch.float64), stream(0, "move"))
    # h_1 = tanh(.5·1 − 1·.4 + .3) = tanh(.4); E[x] = 1/(1 + exp(−(.5·h_1 + .2))); h_2 = tanh(−h_1 − .1) = tanh(−.47995)
    assert state[0, 1:].tolist() == pytest.approx([0.379949, -0.446203], abs=1e-6)
    assert net.means(state, stream(0, "means")).item() == pytest.approx(0.596277, abs=1e-6)


@pytest.mark.parametrize("layers", [1, 2, 3, 4])
def test_chain_equals_its_numpy_twin(layers):
    net = gsn(layers)
    random, twin_random = stream(1, "chain"), stream(1, "chain")
    state = net.start(5, random)
    twin = [(uniform((5, SIZE), twin_random) < net.mean.numpy()).astype(float)]
    twin += [np.zeros((5, units)) for units in net.config.hidden]
    for _ in range(6):
        np.testing.assert_allclose(state, np.concatenate(twin, axis=1), rtol=1e-12)
        state = net.move(state, random)
        mean = twin_update(net, twin, twin_random)
        np.testing.assert_allclose(net.means(state, random), mean, rtol=1e-12)


@pytest.mark.parametrize("layers", [1, 2, 3, 4])
def test_loss_equals_its_numpy_twin(layers):
    net = gsn(layers)
    loss = net.loss(grey(7), 0, stream(2, "loss"))
    assert loss.item() == pytest.approx(twin_loss(net, grey(7), stream(2, "loss")), rel=1e-12)


@pytest.mark.parametrize("corruption", [0.0, 0.4])
def test_one_layer_and_one_step_are_a_denoising_autoencoder_of_tied_weights(corruption):
    net = gsn(1, walkback=1, corruption=corruption, hidden_noise=2.0)  # no layer has that noise
    (weight,), (visible, hidden) = net.weights, net.biases
    x = grey(9)
    noisy = salt_and_pepper(x, corruption, stream(3, "loss"))
    reconstruction = ((noisy @ weight + hidden).tanh() @ weight.T + visible).sigmoid()
    torch.testing.assert_close(net.loss(x, 0, stream(3, "loss")), binary_cross_entropy(reconstruction, x))


def test_hidden_noise_is_above_the_first_layer_only():
    net = gsn(3)
    state = net.start(6, stream(4, "start"))
    moved = [net.move(state, stream(seed, "move")).split(net.sizes, dim=1) for seed in (5, 6)]
    _, *shared = [torch.equal(one, other) for one, other in zip(*moved, strict=True)]
    assert shared == [True, False, False]


def test_noise_after_tanh_has_the_standard_deviation_asked_for():
    net = gsn(2, scale=0.0, hidden_noise=0.7)
    torch.nn.init.constant_(net.biases[2], 50.0)  # tanh is 1, whatever the noise before it
    state = net.move(net.start(2000, stream(7, "start")), stream(7, "move"))
    assert stats.kstest(state[:, -2:].flatten().numpy(), stats.norm(1, 0.7).cdf).pvalue > 1e-3


def test_gradients_equal_finite_differences_through_the_whole_walkback():
    net = gsn(2, scale=0.5)
    x = grey(4)
    gradients = torch.autograd.grad(net.loss(x, 0, stream(8, "loss")), list(net.parameters()))
    step = 1e-6  # the bits, whose draws pass no gradient, are the same on either side
    for parameter, gradient in zip(net.parameters(), gradients, strict=True):
        for place in np.ndindex(*parameter.shape):
            losses = []
            for sign in (1, -1):
                with torch.no_grad():
                    parameter[place] += sign * step
                    losses.append(net.loss(x, 0, stream(8, "loss")).item())
                    parameter[place] -= sign * step
            assert gradient[place].item() == pytest.approx((losses[0] - losses[1]) / (2 * step), rel=1e-5, abs=1e-8)


@pytest.mark.parametrize(("layers", "walkback"), [(1, 1), (2, 1), (2, 2), (3, 2), (3, 3), (4, 3), (4, 4)])
def test_x_goes_up_to_the_top_layer_and_back_in_as_many_updates_as_layers(layers, walkback):
    net = gsn(layers, walkback=walkback, hidden_noise=0.0)
    for bias in net.biases:
        torch.nn.init.zeros_(bias)  # then the top layer is 0 until x gets there
    loss = net.loss(grey(4), 0, stream(9, "loss"))
    (gradient,) = torch.autograd.grad(loss, net.weights[-1], materialize_grads=True, allow_unused=True)
    assert bool((gradient != 0).all()) == (walkback == layers)
    assert bool((gradient != 0).any()) == (walkback == layers)


def test_loss_and_gradients_are_finite_in_float32_when_units_saturate():
    net = gsn(2, scale=1e4).float()
    loss = net.loss(grey(50).float(), 0, stream(10, "loss"))
    loss.backward()
    assert loss.dtype == torch.float32
    assert all(bool(torch.isfinite(value).all()) for value in (loss, *(p.grad for p in net.parameters())))


def test_loss_of_saturated_pixels_is_linear_in_the_logit():
    net = gsn(1, scale=0.0).float()
    torch.nn.init.constant_(net.biases[0], 1000.0)  # −log(1 − sigmoid(1000)) = 1000
    x = grey(5).float()
    assert net.loss(x, 0, stream(10, "loss")).item() == pytest.approx(4 * 1000 * (1 - x).mean().item(), rel=1e-5)


def test_loss_is_a_sum_over_updates_and_a_mean_over_examples_and_pixels():
    net = gsn(2, scale=0.0)  # every mean is ½, whose cross-entropy is log 2 nats a pixel
    for count in (1, 8):
        assert net.loss(grey(count), 0, stream(11, "loss")).item() == pytest.approx(4 * math.log(2))


def test_initial_weights_are_glorot_uniform_and_biases_zero():
    net = GSN(GSNConfig((300, 200)), 100, torch.full((100,), 0.9), stream(12, "w"))
    assert [tuple(weight.shape) for weight in net.weights] == [(100, 300), (300, 200)]
    for weight, bound in zip(net.weights, (math.sqrt(6 / 400), math.sqrt(6 / 500)), strict=True):
        assert stats.kstest(weight.detach().flatten().numpy(), stats.uniform(-bound, 2 * bound).cdf).pvalue > 1e-3
    assert not any(bias.any() for bias in net.biases)


def test_chain_starts_at_independent_bits_with_the_mean_of_the_data_and_silent_layers():
    mean = torch.tensor([0.0, 0.1, 0.5, 1.0])
    state = GSN(GSNConfig((4, 2)), 4, mean, stream(13, "w")).start(5000, stream(13, "start"))
    x, hidden = state[:, :4], state[:, 4:]
    assert state.shape == (5000, 4 + 4 + 2)
    assert not hidden.any()
    assert set(x.flatten().tolist()) == {0.0, 1.0}
    assert all(stats.binomtest(int(n), 5000, float(p)).pvalue > 1e-3 for n, p in zip(x.sum(0), mean, strict=True))
    assert abs(float(torch.corrcoef(x[:, 1:3].T)[0, 1])) < 0.05


def test_pixels_are_bits_with_the_means():
    net = gsn(2)
    state = net.move(net.start(1, stream(14, "start")), stream(14, "move")).expand(5000, -1)
    means, pixels = net.means(state, stream(14, "means")), net.pixels(state, stream(14, "pixels"))
    assert set(pixels.flatten().tolist()) <= {0.0, 1.0}
    for mean, column in zip(means[0], pixels.T, strict=True):
        assert stats.binomtest(int(column.sum()), 5000, mean.item()).pvalue > 1e-3


def test_chain_is_a_function_of_the_generator_alone():
    def walk(seed):
        random = stream(seed, "walk")
        state = net.start(4, random)
        for _ in range(3):
            state = net.move(state, random)
        return torch.cat([state, net.means(state, random), net.pixels(state, random)], dim=1)

    net = gsn(3)
    before = torch.get_rng_state()
    assert torch.equal(walk(15), walk(15))
    assert not torch.equal(walk(15), walk(16))
    assert torch.equal(before, torch.get_rng_state())
    assert not walk(15).requires_grad


def test_chains_do_not_interact():
    # Random numbers belong to places, so that another state of one chain must leave the others where they were.
    net = gsn(3)
    state = net.start(5, stream(17, "start"))
    other = state.clone()
    other[2] = 1 - other[2]
    for step in range(3):
        state, other = (net.move(each, stream(step, "move")) for each in (state, other))
        apart = (state != other).any(dim=1)
        assert apart.tolist() == [False, False, True, False, False]


def train(net, x, steps, learning_rate):
    random = stream(18, "train")
    optimiser = torch.optim.SGD(net.parameters(), lr=learning_rate, momentum=0.5, dampening=0.5)
    for _ in range(steps):
        optimiser.zero_grad()
        net.loss(x[torch.randint(len(x), (50,), generator=random)], 0, random).backward()
        optimiser.step()


@pytest.fixture(scope="module")
def digits():
    return torch.tensor(load_digits().data / 16, dtype=torch.float32)


def test_reconstructs_digits_better_than_their_mean(digits):
    settings = GSNConfig((64, 32), walkback=2, corruption=0.2, hidden_noise=0.5)
    net = GSN(settings, 64, digits.mean(0), stream(18, "w"))
    train(net, digits, 150, learning_rate=5.0)
    constant = binary_cross_entropy(digits.mean(0).expand_as(digits), digits).item()
    possible = binary_cross_entropy(digits, digits).item()  # the entropy of the grey levels
    excess = (net.loss(digits, 0, stream(18, "test")).item() / 2 - possible) / (constant - possible)
    assert excess < 0.65


def test_chain_walks_from_noise_to_digits(digits):
    net = GSN(GSNConfig((64, 32)), 64, digits.mean(0), stream(19, "w"))
    train(net, digits, 100, learning_rate=1.0)
    random = stream(19, "chain")
    state = net.start(200, random)
    noise = torch.cdist(state[:, :64], digits).amin(1).mean()
    for _ in range(20):
        state = net.move(state, random)
    assert torch.cdist(net.means(state, random), digits).amin(1).mean() < 0.7 * noise
    # and not to one image: the chains differ
    assert net.means(state, random).std(0).mean() > 0.25 * digits.std(0).mean()
