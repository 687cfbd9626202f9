import math
import sys

import pytest
import torch
from jaxtyping import install_import_hook
from sklearn.datasets import load_digits
from torch import Tensor
from torch.distributions import Bernoulli, MultivariateNormal, Normal, kl_divergence

from advnets.config import VAEConfig
from advnets.errors import InputError

with install_import_hook("advnets.rivals.vae", "beartype.beartype"):
    from advnets.rivals.vae import VAE, kl_to_standard_normal


def stream(seed: int) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def normal(*shape: int, seed: int) -> Tensor:
    return torch.randn(shape, generator=stream(seed), dtype=torch.float64)


def bits(*shape: int, seed: int) -> Tensor:
    return (normal(*shape, seed=seed) > 0).double()


def build(visible="bernoulli", hidden=(8,), latent=3, size=6, seed=0) -> VAE:
    """A net of float64 with biases, and a log-variance, that are not 0."""
    model = VAE(VAEConfig(hidden, latent, visible), size, torch.full((size,), 0.4), stream(seed)).double()
    with torch.no_grad():
        for index, parameter in enumerate(model.parameters()):
            parameter.add_(0.1 * normal(*parameter.shape, seed=100 + index))
    return model


def density(model: VAE, x: Tensor, means: Tensor) -> Tensor:
    """log p(x | z) from the means of x given z, by torch.distributions."""
    if model.log_variance is None:
        return Bernoulli(probs=means).log_prob(x).sum(-1)
    return Normal(means, model.log_variance.detach().exp().sqrt()).log_prob(x).sum(-1)


def by_quadrature(model: VAE, x: Tensor) -> Tensor:
    """log p(x) for one latent unit: the trapezoidal rule over z from −10 to 10."""
    z = torch.linspace(-10, 10, 8001, dtype=torch.float64)
    means = model.means(z[:, None], stream(0))
    integrands = (Normal(0, 1).log_prob(z)[:, None] + density(model, x, means[:, None])).exp()
    return torch.trapezoid(integrands, z, dim=0).log()


def bounds(model: VAE, x: Tensor, draws: int, repeats: int) -> tuple[Tensor, Tensor]:
    """Mean and standard error, over repeats, of the importance bound of each example."""
    values = model.importance_bound(x.repeat(repeats, 1), stream(draws), draws).unflatten(0, (repeats, len(x)))
    return values.mean(0), values.std(0) / math.sqrt(repeats)


def test_the_divergence_is_that_of_torch_distributions_and_0_at_the_prior():
    mean, log_variance = normal(5, 4, seed=1), 2 * normal(5, 4, seed=2)
    slow = kl_divergence(Normal(mean, (log_variance / 2).exp()), Normal(torch.zeros(4), torch.ones(4))).sum(1)
    torch.testing.assert_close(kl_to_standard_normal(mean, log_variance), slow)
    assert kl_to_standard_normal(torch.zeros(2, 3), torch.zeros(2, 3)).tolist() == [0.0, 0.0]


def test_the_divergence_is_the_mean_log_ratio_of_draws():
    mean, log_variance = normal(4, seed=1), normal(4, seed=2)
    q, prior = Normal(mean, (log_variance / 2).exp()), Normal(torch.zeros(4).double(), torch.ones(4).double())
    z = mean + (log_variance / 2).exp() * normal(100_000, 4, seed=3)
    ratios = (q.log_prob(z) - prior.log_prob(z)).sum(1)
    error = float(ratios.std() / math.sqrt(len(ratios)))
    assert abs(float(ratios.mean() - kl_to_standard_normal(mean, log_variance))) < 4 * error


@pytest.mark.parametrize("visible", ["bernoulli", "gaussian"])
def test_log_joint_is_that_of_torch_distributions_and_broadcasts(visible):
    model = build(visible)
    x, z = bits(2, 1, 6, seed=1), normal(2, 5, 3, seed=2)
    slow = Normal(0.0, 1.0).log_prob(z).sum(-1) + density(
        model, x, model.means(z.flatten(0, 1), stream(0)).view(2, 5, 6)
    )
    torch.testing.assert_close(model.log_joint(x, z), slow)


@pytest.mark.parametrize("visible", ["bernoulli", "gaussian"])
def test_the_loss_is_minus_the_elbo_of_one_reparameterised_draw_an_example(visible):
    model, x = build(visible), torch.rand(4, 6, generator=stream(1)).double()
    mean, log_variance = (tensor.detach() for tensor in model.posterior(x))
    noise = torch.randn(1, 4, 3, generator=stream(2), dtype=torch.float64)[0]
    total = 0.0
    for n in range(4):
        p = model.means((mean[n] + log_variance[n].exp().sqrt() * noise[n])[None], stream(0))[0]
        if visible == "bernoulli":
            total += sum(float(x[n, i] * p[i].log() + (1 - x[n, i]) * (1 - p[i]).log()) for i in range(6))
        else:
            total += float(density(model, x[n], p))
        total -= float(kl_divergence(Normal(mean[n], log_variance[n].exp().sqrt()), Normal(0.0, 1.0)).sum())
    assert model.loss(x, 0, stream(2)).item() == pytest.approx(-total / 4, rel=1e-10)


@pytest.mark.parametrize("visible", ["bernoulli", "gaussian"])
def test_the_gradient_of_the_loss_is_that_of_finite_differences(visible):
    model, x = build(visible, hidden=(7, 5)), torch.rand(5, 6, generator=stream(1)).double()
    model.loss(x, 0, stream(2)).backward()
    for index, parameter in enumerate(model.parameters()):
        direction, values = normal(*parameter.shape, seed=index), []
        for step in (1e-6, -1e-6):
            with torch.no_grad():
                parameter.add_(step * direction)
                values.append(float(model.loss(x, 0, stream(2))))
                parameter.sub_(step * direction)
        slope = (values[0] - values[1]) / 2e-6
        assert float((parameter.grad * direction).sum()) == pytest.approx(slope, rel=1e-5, abs=1e-7)


def linear_gaussian(size=5, latent=2) -> tuple[VAE, Tensor]:
    """x = W z + b + noise with orthogonal columns of W, the exact posterior as encoder; and the covariance of x."""
    model, variance = build("gaussian", hidden=(), latent=latent, size=size), 0.3
    weight = torch.linalg.qr(normal(size, latent, seed=5)).Q * torch.tensor([1.5, 0.7], dtype=torch.float64)
    precision = torch.eye(latent, dtype=torch.float64) + weight.T @ weight / variance
    gain = torch.linalg.solve(precision, weight.T / variance)
    encoder, decoder = model.encoder[0], model.decoder[0]
    with torch.no_grad():
        model.log_variance.fill_(math.log(variance))
        decoder.weight.copy_(weight)
        encoder.weight.copy_(torch.cat([gain, torch.zeros_like(gain)]))
        encoder.bias.copy_(torch.cat([-gain @ decoder.bias, -precision.diagonal().log()]))
    return model, weight @ weight.T + variance * torch.eye(size, dtype=torch.float64)


def test_with_the_exact_posterior_every_weight_is_the_likelihood_and_the_elbo_its_logarithm():
    model, covariance = linear_gaussian()
    x = normal(6, 5, seed=6)
    exact = MultivariateNormal(model.decoder[0].bias.detach(), covariance).log_prob(x)
    for draws in (1, 7):
        torch.testing.assert_close(model.importance_bound(x, stream(1), draws), exact)
    with torch.no_grad():
        single = torch.stack([model.elbo(x, stream(seed), 1) for seed in range(50)])
        many = model.elbo(x, stream(2), 20_000)
    spread = single.std(0) / math.sqrt(20_000)
    assert ((many - exact).abs() < 5 * spread).all() and float(spread.max()) < 0.03


def test_a_decoder_that_ignores_z_makes_the_bits_independent_and_the_gap_the_divergence():
    model, x = build(), bits(4, 6, seed=1)
    with torch.no_grad():
        model.decoder[-1].weight.zero_()
        exact = Bernoulli(logits=model.decoder[-1].bias).log_prob(x).sum(1)
        gap = kl_to_standard_normal(*model.posterior(x))
        torch.testing.assert_close(model.elbo(x, stream(1), 3), exact - gap)


@pytest.mark.parametrize("visible", ["bernoulli", "gaussian"])
def test_bounds_rise_with_draws_from_the_elbo_to_the_likelihood_by_quadrature(visible):
    model, x = build(visible, latent=1), bits(3, 6, seed=2)
    with torch.no_grad():
        model.encoder[-1].bias[1] += 1.0  # q wider than the posterior: weights of finite variance
    exact = by_quadrature(model, x)
    with torch.no_grad():
        before, error = model.elbo(x, stream(1), 20_000), torch.full((3,), 0.05).double()
    first, first_error = bounds(model, x, 1, 4000)
    assert ((first - before).abs() < 5 * first_error + error).all()
    for draws in (4, 16, 64):
        after, error = bounds(model, x, draws, 2000)
        assert (after > before - 4 * error).all() and (after < exact + 4 * error).all()
        assert float(after.mean()) > float(before.mean())
        before = after
    torch.testing.assert_close(model.importance_bound(x, stream(1), 100_000), exact, atol=0.02, rtol=0)


def test_bounds_are_the_same_at_once_and_in_blocks(monkeypatch):
    model, x = build(latent=4), bits(4, 6, seed=1)  # 16 numbers a draw: torch gives the same ones in parts of 16
    whole = model.importance_bound(x, stream(1), 12), model.elbo(x, stream(1), 12)
    rows = []
    model.decoder.register_forward_hook(lambda net, inputs, output: rows.append(len(inputs[0].flatten(0, -2))))
    monkeypatch.setattr(sys.modules[VAE.__module__], "_ROWS", 23)
    parts = model.importance_bound(x, stream(1), 12), model.elbo(x, stream(1), 12)
    assert rows == [20, 20, 8] * 2
    torch.testing.assert_close(parts, whole)


@pytest.mark.parametrize("draws", [0, -1])
def test_bounds_of_no_draws_are_refused(draws):
    model, x = build(), bits(4, 6, seed=1)
    for bound in (model.elbo, model.importance_bound):
        with pytest.raises(InputError, match="draws"):
            bound(x, stream(1), draws)


@pytest.mark.parametrize("visible", ["bernoulli", "gaussian"])
def test_everything_drawn_is_a_function_of_the_generator(visible):
    def everything(seed: int) -> list[Tensor]:
        random = stream(seed)
        model = VAE(VAEConfig((8,), 3, visible), 6, torch.full((6,), 0.4), random)
        x, state = torch.ones(4, 6), model.start(4, random)
        state = model.move(state, random)
        drawn = [state, model.pixels(state, random), model.loss(x, 0, random)]
        return [*drawn, model.importance_bound(x, random, 3), model.encoder[0].weight, model.decoder[0].weight]

    torch.manual_seed(1)
    first = everything(5)
    torch.manual_seed(2)
    assert all(torch.equal(a, b) for a, b in zip(first, everything(5), strict=True))
    assert not any(torch.equal(a, b) for a, b in zip(first, everything(6), strict=True))


def test_the_chain_is_of_independent_standard_normal_draws():
    model = build()
    state = model.start(20_000, stream(1))
    moved = model.move(state, stream(2))
    assert torch.equal(moved, model.move(100 * state, stream(2))) and not torch.equal(moved, state)
    for z in (state, moved):
        torch.testing.assert_close(z.T.cov(), torch.eye(3).double(), atol=0.05, rtol=0)
        assert float(z.mean(0).abs().max()) < 0.03
    assert float((state.T @ moved / 20_000).abs().max()) < 0.03
    assert model.stages == 1 and model.part(0) is model


@pytest.mark.parametrize("visible", ["bernoulli", "gaussian"])
def test_pixels_are_draws_about_the_means(visible):
    model = build(visible)
    z = normal(1, 3, seed=1).expand(40_000, -1)
    means, pixels = model.means(z, stream(0)), model.pixels(z, stream(1))
    variance = means * (1 - means) if model.log_variance is None else model.log_variance.exp()
    torch.testing.assert_close(pixels.mean(0), means[0], atol=0.03, rtol=0)
    torch.testing.assert_close(pixels.var(0), variance.expand_as(means)[0], atol=0.03, rtol=0)
    if model.log_variance is None:
        assert set(pixels.unique().tolist()) == {0.0, 1.0}


def test_the_first_biases_are_the_mean_example_and_the_layers_mirror_each_other():
    mean = torch.tensor([0.0, 0.25, 1.0])
    gaussian = VAE(VAEConfig((9, 5), 2, "gaussian"), 3, mean, stream(1))
    assert torch.equal(gaussian.decoder[-1].bias, mean) and gaussian.log_variance.item() == 0
    shapes = [tuple(layer.weight.shape) for net in (gaussian.encoder, gaussian.decoder) for layer in net[::2]]
    assert shapes == [(9, 3), (5, 9), (4, 5), (5, 2), (9, 5), (3, 9)]
    bernoulli = VAE(VAEConfig((9, 5), 2), 3, mean, stream(1))
    torch.testing.assert_close(bernoulli.decoder[-1].bias.sigmoid(), torch.tensor([0.001, 0.25, 0.999]))
    assert all(name.split(".")[0] in ("encoder", "decoder") for name in bernoulli.state_dict())


def test_extreme_logits_are_safe_in_float32():
    model = build().float()
    with torch.no_grad():
        model.decoder[-1].bias.copy_(torch.tensor([1000.0, -1000.0, 1000.0, -1000.0, 0.0, 0.0]))
        model.decoder[-1].weight.zero_()
    x = torch.tensor([[1.0, 0.0, 0.0, 1.0, 0.5, 1.0]])
    expected = -2000 - 2 * math.log(2)
    z = model.start(1, stream(1))
    assert model.log_likelihood(x, z).item() == pytest.approx(expected)
    loss = model.loss(x, 0, stream(1))
    loss.backward()
    assert math.isfinite(loss.item()) and math.isfinite(float(model.importance_bound(x, stream(1), 5)))
    assert all(bool(parameter.grad.isfinite().all()) for parameter in model.parameters())
    gradient = model.decoder[-1].bias.grad
    torch.testing.assert_close(gradient, torch.tensor([0.0, 0.0, 1.0, -1.0, 0.0, -0.5]))


def train(model: VAE, x: Tensor, steps: int, rate: float) -> None:
    random, optimiser = stream(7), torch.optim.Adam(model.part(0).parameters(), rate)
    for _ in range(steps):
        rows = torch.randint(len(x), (100,), generator=random)
        optimiser.zero_grad()
        model.loss(x[rows], 0, random).backward()
        optimiser.step()


def test_it_learns_digits_beyond_what_independent_pixels_say():
    x = torch.from_numpy(load_digits().data > 7).float()
    fitted, held_out = x[:1400], x[1400:]
    model = VAE(VAEConfig((32,), 8), 64, fitted.mean(0), stream(1))
    independent = Bernoulli(fitted.mean(0).clamp(0.001, 0.999)).log_prob(held_out).sum(1).mean()
    with torch.no_grad():
        before = model.elbo(held_out, stream(2), 10).mean()
    train(model, fitted, 300, 1e-2)
    with torch.no_grad():
        after = model.elbo(held_out, stream(2), 10).mean()
    assert float(before) < float(independent) < float(after) - 3.0


def test_gaussian_pixels_learn_the_variance_of_the_noise():
    latent, noise = normal(2000, 1, seed=1), 0.3 * normal(2000, 5, seed=2)
    x = (latent * torch.tensor([1.0, -1.0, 0.5, 2.0, 0.0], dtype=torch.float64) + noise).float()
    model = VAE(VAEConfig((16,), 2, "gaussian"), 5, x.mean(0), stream(1))
    train(model, x, 600, 1e-2)
    assert model.log_variance.exp().item() == pytest.approx(0.09, rel=0.15)
