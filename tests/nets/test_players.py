import dataclasses
import math
from itertools import pairwise

import numpy as np
import pytest
import torch

import oracles
from advnets import recipes
from advnets.config import Config, ConvolutionConfig, DiscriminatorConfig, GeneratorConfig, NoiseConfig, StackConfig
from advnets.errors import InputError
from advnets.nets.build import build_discriminator, build_generator, parameter_count
from advnets.nets.dropout import dropout
from advnets.nets.init import layer_weights, limit_column_norms_, sparse_
from advnets.nets.maxout import Maxout
from advnets.parameters import parameter_counts
from advnets.seeds import stream

CONVOLUTIONAL = Config(
    noise=NoiseConfig(dimension=6),
    generator=GeneratorConfig(hidden=(10, 18), maps=(2, 3, 3), kernel=5, stride=3, output="linear"),
    discriminator=DiscriminatorConfig(
        convolutions=(ConvolutionConfig(3, 2, kernel=4, padding=1, pool=3, pool_stride=2),), hidden=(4,), pieces=2
    ),
)
DENSE = Config(
    noise=NoiseConfig(dimension=6),
    generator=GeneratorConfig(hidden=(10, 9), activations=("rectifier", "sigmoid")),
    discriminator=DiscriminatorConfig(hidden=(7, 5), pieces=3),
)
CASES = [
    (DENSE, (1, 4, 4)),
    (DENSE, (3, 2, 2)),
    (DENSE, (5,)),
    (CONVOLUTIONAL, (1, 11, 11)),
    (CONVOLUTIONAL, (3, 11, 11)),
]


def players(config, shape):
    mean = torch.full(shape, 0.3)
    return build_generator(config, shape, mean, stream(0, "w")), build_discriminator(config, shape, stream(1, "w"))


def test_the_best_recipe_trains_the_paper_s_nets_on_the_paper_s_noise():
    best, faithful = recipes.get("mnist-best"), recipes.get("mnist-paper")
    assert dataclasses.replace(best, recipe="mnist-paper", train=faithful.train) == faithful


@pytest.mark.parametrize(
    ("recipe", "shape", "counts"),
    [
        ("mnist", (1, 28, 28), (2_503_984, 1_231_441)),
        ("mnist-paper", (1, 28, 28), (2_503_984, 1_231_441)),
        # 100·8000 + 8000 + 8000² + 8000 + 8000·2304 + 2304; (2304·6000 + 6000) + (1200·6000 + 6000) + 1201
        ("tfd", (1, 48, 48), (83_250_304, 21_037_201)),
        # the same with 3072 outputs; (3072·8000 + 8000) + (1600·8000 + 8000) + 1601
        ("cifar10-fc", (3, 32, 32), (89_395_072, 37_393_601)),
    ],
)
def test_parameter_counts_are_the_paper_s(recipe, shape, counts):
    with torch.device("meta"):
        config = recipes.get(recipe)
        generator = torch.nn.Sequential(*_layers([config.noise.dimension, *config.generator.hidden, math.prod(shape)]))
    assert parameter_count(generator) == counts[0], "the count typed above"
    assert tuple(parameter_counts(config, shape).values()) == counts


def _layers(sizes):
    return [torch.nn.Linear(a, b) for a, b in pairwise(sizes)]


@pytest.mark.parametrize(("config", "shape"), CASES)
def test_counts_without_torch_are_those_of_the_nets(config, shape):
    generator, discriminator = players(config, shape)
    counts = parameter_count(generator), parameter_count(discriminator)
    assert tuple(parameter_counts(config, shape).values()) == counts


@pytest.mark.parametrize(("config", "shape"), CASES)
def test_shapes_and_gradients(config, shape):
    generator, discriminator = players(config, shape)
    samples = generator(torch.randn(3, 6))
    logits = discriminator(samples, stream(0, "mask"))
    assert samples.shape == (3, *shape)
    assert logits.shape == (3,)
    logits.sum().backward()
    for name, parameter in [*generator.named_parameters(), *discriminator.named_parameters()]:
        assert parameter.grad is not None, name
        assert torch.isfinite(parameter.grad).all(), name


def test_maxout_equals_one_unit_at_a_time():
    layer = Maxout(6, units=4, pieces=3)
    x = torch.randn(5, 6)
    twin = oracles.maxout(x, layer.linear.weight.detach(), layer.linear.bias.detach(), 4, 3)
    torch.testing.assert_close(layer(x).detach(), twin)


def test_deconvolution_paints_kernels_and_adds_a_bias_a_pixel():
    generator, _ = players(CONVOLUTIONAL, (3, 11, 11))
    torch.nn.init.normal_(generator.bias)
    z = torch.randn(2, 6)
    maps = generator.net(z).reshape(2, 2, 3, 3).detach().numpy()
    twin = oracles.transposed_convolution(maps, generator.weight.detach().numpy(), 3) + generator.bias.detach().numpy()
    np.testing.assert_allclose(generator(z).detach().numpy(), twin, atol=1e-6)


def test_paper_s_convolutions_give_the_released_code_s_maps():
    config = recipes.get("cifar10-conv").discriminator
    from advnets.nets.conv import MaxoutConvolution

    shape = (3, 32, 32)
    sizes = []
    for layer in config.convolutions:
        shape = MaxoutConvolution(layer, shape).shape
        sizes.append(shape)
    assert sizes == [(32, 16, 16), (32, 7, 7), (192, 5, 5)]  # 33 → 16, 15 → 7, 9 → 5; last windows overhang


def test_pooled_size_is_what_pooling_gives():
    from advnets.nets.conv import MaxoutConvolution

    for size in range(4, 14):
        for pool, stride in [(2, 2), (3, 2), (4, 2), (2, 1)]:
            layer = MaxoutConvolution(ConvolutionConfig(2, 2, 3, 1, pool, stride), (1, size, size))
            assert layer(torch.zeros(1, 1, size, size)).shape[1:] == layer.shape, (size, pool, stride)


@pytest.mark.parametrize("keep", [0.8, 0.5, 0.03, 0.999])
def test_dropout_keeps_the_share_and_scales_by_its_inverse(keep):
    x = torch.full((401, 501), 3.0, dtype=torch.float64)
    dropped = dropout(x, keep, stream(0, "mask"))
    zero, kept = dropped.unique().tolist()
    assert zero == 0
    assert kept == pytest.approx(3 / keep, rel=1 / 65536 / keep)
    share = (dropped > 0).double()
    deviation = math.sqrt(keep * (1 - keep))
    assert abs(share.mean() - keep) < 4 * deviation / math.sqrt(x.numel())
    for axis in (0, 1):  # masks are drawn for each number of each example by itself
        count = x.shape[1 - axis]
        spread = share.mean(1 - axis).std() / (deviation / math.sqrt(count))
        assert spread.item() == pytest.approx(1, abs=0.2), axis
    neighbours = ((share[:, 1:] - keep) * (share[:, :-1] - keep)).mean() / deviation**2
    assert abs(neighbours) < 4 / math.sqrt(x.numel())


def test_dropout_that_keeps_all_draws_nothing():
    x = torch.ones(3, 2)
    assert dropout(x, 1.0, None) is x


def test_a_share_too_small_to_draw_still_keeps_some():
    dropped = dropout(torch.ones(1000, 1000), 1e-9, stream(0, "mask"))
    assert 1 <= (dropped > 0).sum() <= 40
    assert (dropout(torch.ones(1000, 1000), 1 - 1e-9, stream(0, "mask")) == 0).sum() <= 40


def test_dropout_is_on_the_input_of_every_layer_of_d_while_training_only():
    _, discriminator = players(DENSE, (5,))
    x = torch.randn(4, 5)
    random = stream(0, "mask")
    mask = stream(0, "mask")
    h = dropout(x, 0.8, mask)
    h = dropout(discriminator.layers[0](h), 0.5, mask)
    h = dropout(discriminator.layers[1](h), 0.5, mask)
    torch.testing.assert_close(discriminator(x, random), discriminator.logit(h).squeeze(1))
    discriminator.eval()
    assert torch.equal(discriminator(x), discriminator(x))


def test_initial_weights():
    config = dataclasses.replace(DENSE, generator=dataclasses.replace(DENSE.generator, hidden_biases=(0.0, -2.0)))
    generator, discriminator = players(config, (1, 4, 4))
    first, second, top = generator.net.layers
    for layer, bias in ((first, 0.0), (second, -2.0)):
        assert layer.weight.abs().max() <= 0.05
        assert layer.weight.std().item() == pytest.approx(0.05 / math.sqrt(3), rel=0.25)
        assert (layer.bias == bias).all()
    torch.testing.assert_close(top.bias.sigmoid(), torch.full((16,), 0.3))
    assert all(weight.abs().max() <= 0.005 for weight in layer_weights(discriminator))
    assert all((p == 0).all() for name, p in discriminator.named_parameters() if name.endswith("bias"))


def test_marginal_bias_is_finite_for_pixels_that_never_change():
    for value in (0.0, 1.0):
        generator = build_generator(DENSE, (5,), torch.full((5,), value), stream(0, "w"))
        assert abs(generator.net.layers[-1].bias[0].item()) == pytest.approx(math.log(1e7), rel=1e-3)


def test_sparse_start_has_so_many_weights_a_unit():
    weight = torch.empty(50, 300)
    sparse_(weight, 100, stream(0, "w"))
    assert ((weight != 0).sum(1) == 100).all()
    assert weight[weight != 0].std().item() == pytest.approx(1.0, abs=0.05)


def test_column_norms_are_limited_and_short_ones_untouched():
    weight = torch.cat([torch.randn(5, 20) * 10, torch.randn(5, 20) * 0.01])
    before = weight.clone()
    limit_column_norms_([weight], 1.9365)
    torch.testing.assert_close(weight[:5].norm(dim=1), torch.full((5,), 1.9365))
    torch.testing.assert_close(
        weight[:5] / weight[:5].norm(dim=1, keepdim=True), before[:5] / before[:5].norm(dim=1, keepdim=True)
    )
    assert torch.equal(weight[5:], before[5:])


def test_second_stage_feeds_the_whole_pretrained_generator():
    config = dataclasses.replace(DENSE, second_stage=StackConfig(after=1, hidden=(8,)))
    generator = build_generator(config, (5,), torch.full((5,), 0.5), stream(0, "w"), stage=2)
    z = torch.randn(3, 6)
    below = generator.bottom(z)
    assert below.shape == (3, 6) and (below > 0).all() and (below < 0.5).all(), "100 sigmoid units of bias −2"
    assert torch.equal(generator(z), generator.pretrained(below))
    with_second = parameter_counts(config, (5,), stage=2)
    assert parameter_count(generator) == with_second["generator"]


@pytest.mark.parametrize(("shape", "word"), [((5,), "images"), ((1, 12, 12), "11x11")])
def test_convolutions_refuse_data_they_cannot_make_or_read(shape, word):
    with pytest.raises(InputError, match=word):
        players(CONVOLUTIONAL, shape)
