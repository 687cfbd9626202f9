"""The encoder's parts: the generator cut in two, outputs in their support, losses by hand."""

import dataclasses

import pytest
import torch

from advnets.config import Config, GeneratorConfig, NoiseConfig, StackConfig
from advnets.errors import InputError
from advnets.extensions.encoder import (
    Encoder,
    InferenceConfig,
    Support,
    check,
    halves,
    latent_loss,
    parameters_of,
    reconstruction_loss,
    support_of,
)
from advnets.nets.build import build_generator, parameter_count
from advnets.seeds import stream

PLAIN = Config(noise=NoiseConfig(dimension=4), generator=GeneratorConfig(hidden=(8, 6), init_range=0.5))
MAPS = dataclasses.replace(
    PLAIN.generator, hidden=(8, 6), activations=("rectifier", "sigmoid"), maps=(6, 1, 1), kernel=3
)
GENERATORS = {
    "plain": (PLAIN, 1, 3),
    "deconvolution": (dataclasses.replace(PLAIN, generator=MAPS), 1, 3),
    "stack": (dataclasses.replace(PLAIN, second_stage=StackConfig(after=1, hidden=(7,))), 2, 3),
}


def generator(name: str) -> torch.nn.Module:
    config, stage, _ = GENERATORS[name]
    return build_generator(config, (1, 3, 3), torch.full((1, 3, 3), 0.4), stream(0, "weights"), stage=stage)


@pytest.mark.parametrize("name", GENERATORS)
@pytest.mark.parametrize("cut", [0, 1, 2])
def test_the_halves_are_the_generator(name, cut):
    net, z = generator(name).eval(), torch.randn(5, 4, generator=stream(0, "z"))
    parts = halves(net, f"hidden-{cut}" if cut else "z")
    codes = parts.lower(z)
    assert codes.shape == (5, parts.size) and (cut or torch.equal(codes, z))
    assert torch.equal(parts.upper(codes), net(z))
    assert (parts.activation is None) == (cut == 0)
    assert not any(parameter.requires_grad for half in (parts.lower, parts.upper) for parameter in half.parameters())


def test_cutting_leaves_the_generator_as_it_was():
    net = generator("plain").train()
    halves(net, "hidden-1")
    assert net.training and all(parameter.requires_grad for parameter in net.parameters())
    assert net(torch.zeros(2, 4)).shape == (2, 1, 3, 3)


@pytest.mark.parametrize("name", GENERATORS)
def test_a_layer_that_is_not_there_is_refused(name):
    with pytest.raises(InputError, match=r"--target is hidden-3, allowed for this generator: z, hidden-1, hidden-2;"):
        halves(generator(name), "hidden-3")


@pytest.mark.parametrize(
    ("support", "holds"),
    [
        (support_of(NoiseConfig("uniform", low=-1.0, high=3.0), None), lambda y: y.min() >= -1 and y.max() <= 3),
        (support_of(NoiseConfig("spherical"), None), lambda y: torch.allclose(y.norm(dim=1), torch.ones(len(y)))),
        (support_of(NoiseConfig("uniform"), "rectifier"), lambda y: 0 <= y.min() < 1e-9 and y.max() > 100),
        (support_of(NoiseConfig("uniform"), "sigmoid"), lambda y: 0 <= y.min() <= y.max() <= 1),
        (support_of(NoiseConfig("gaussian"), None), lambda y: y.min() < -100 and y.max() > 100),
    ],
)
def test_outputs_lie_where_targets_do(support, holds):
    a = 100 * torch.randn(500, 3, generator=stream(0, "a"))
    assert holds(support.onto(a))


def test_outputs_reach_the_whole_interval_and_its_middle():
    y = Support("interval", 2.0, 4.0).onto(torch.tensor([[-20.0, 0.0, 20.0]]))
    assert y.tolist() == [[2.0, 3.0, 4.0]]


def test_losses_by_hand():
    codes, targets = torch.tensor([[1.0, 2.0], [0.0, 0.0]]), torch.tensor([[1.0, 4.0], [3.0, 1.0]])
    assert latent_loss(codes, targets).tolist() == [2.0, 5.0]
    x = torch.zeros(2, 1, 2, 2)
    rebuilt = x.clone()
    rebuilt[1, 0, 0, 1] = 2.0
    assert reconstruction_loss(rebuilt, x).tolist() == [0.0, 1.0]


def test_every_parameter_gets_a_finite_gradient_and_they_are_counted():
    encoder = Encoder([9, 8, 7, 4], Support("interval", -1.0, 1.0), stream(0, "weights"))
    latent_loss(encoder(torch.rand(20, 1, 3, 3)), torch.rand(20, 4)).mean().backward()
    assert all(bool(torch.isfinite(p.grad).all()) and bool((p.grad != 0).any()) for p in encoder.parameters())
    assert parameter_count(encoder) == parameters_of([9, 8, 7, 4])


def test_the_rate_falls_to_nothing_along_a_line():
    settings = InferenceConfig(steps=4, learning_rate=0.8)
    assert [settings.rate(step) for step in range(5)] == pytest.approx([0.8, 0.6, 0.4, 0.2, 0.0])


@pytest.mark.parametrize(
    "wrong",
    [
        {"target": "x"},
        {"target": "hidden-0"},
        {"hidden": ()},
        {"hidden": (5, 0)},
        {"hidden": (10**6,)},
        {"steps": 0},
        {"batch_size": 0},
        {"learning_rate": 0.0},
        {"learning_rate": float("nan")},
        {"reconstruction": -1.0},
        {"reconstruction": float("inf")},
        {"seed": -1},
    ],
)
def test_settings_out_of_range_are_refused(wrong):
    (name,) = wrong
    with pytest.raises(InputError, match=rf"^--{name} is .*, allowed: .*; set --{name}$"):
        check(InferenceConfig(**wrong))
