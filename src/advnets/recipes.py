"""The presets: data, nets and training under one name each, the paper's experiments first."""

import dataclasses
import difflib
import math
from dataclasses import dataclass
from typing import Any

from advnets.config import (
    CAEConfig,
    ChainConfig,
    ConditionConfig,
    Config,
    ConvolutionConfig,
    DataConfig,
    DiscriminatorConfig,
    GeneratorConfig,
    GSNConfig,
    NoiseConfig,
    RBMConfig,
    SemiConfig,
    StackConfig,
    TrainConfig,
    VAEConfig,
)
from advnets.errors import InputError


@dataclass(frozen=True)
class Recipe:
    """A preset with what `advnets recipes` says of it."""

    config: Config
    summary: str
    paper: str = ""
    """The paper's number for it, with its unit, where it has one."""


_POINTS = DiscriminatorConfig(hidden=(64, 64), pieces=4, keep=(1.0,), init_range=0.1)
_POINTS_TRAIN = TrainConfig(
    mode="paper",
    steps=10_000,
    batch_size=256,
    optimiser="adam",
    learning_rate=1e-3,
    decay_per_update=1.0,
    average_decay=0.999,
)
_RING = Config(
    "ring",
    data=DataConfig("ring"),
    noise=NoiseConfig("gaussian", dimension=8),
    generator=GeneratorConfig(hidden=(128, 128), output="linear", init_range=0.1, output_bias="zero"),
    discriminator=_POINTS,
    train=_POINTS_TRAIN,
)
_MNIST = Config("mnist", data=DataConfig("mnist"), train=TrainConfig(steps=25_000, average_decay=0.999))
_COMPLETION_TRAIN = TrainConfig(
    optimiser="adam", learning_rate=1e-3, decay_per_update=1.0, average_decay=0.999, reconstruction_weight=100.0
)
_SEMI_TRAIN = TrainConfig(
    steps=150_000,
    optimiser="adam",
    learning_rate=3e-3,  # the authors' code's
    decay_per_update=1.00001535,  # to a tenth in 150,000 steps
    signals="off",
    log_every=1000,
    sample_every=5000,
    checkpoint_every=5000,
)
_CIFAR = DataConfig("cifar10")
_CIFAR_HIDDEN = GeneratorConfig(
    hidden=(8000, 8000),
    activations=("rectifier", "sigmoid"),
    output="linear",
    output_init_range=0.5,
    output_bias="zero",
)

_CHAIN_TRAIN = TrainConfig(
    steps=50_000,
    learning_rate=0.05,
    decay_per_update=1.000092,  # to a tenth in 25,000 steps, a layer's
    final_momentum=0.9,
    momentum_epochs=5,
    log_every=500,
    sample_every=5000,
    checkpoint_every=5000,
)

_ADAM_TRAIN = dataclasses.replace(_CHAIN_TRAIN, optimiser="adam", learning_rate=1e-3, adam_betas=(0.9, 0.999))


def _rival(name: str, train: TrainConfig, chain: ChainConfig, **model: Any) -> Config:
    return Config(name, data=DataConfig("mnist"), train=train, chain=chain, **model)


RECIPES: dict[str, Recipe] = {
    "digits": Recipe(
        Config(
            "digits",
            noise=NoiseConfig(dimension=64),
            generator=GeneratorConfig(hidden=(256, 256)),
            discriminator=DiscriminatorConfig(hidden=(128, 128), pieces=5),
            train=TrainConfig(steps=20_000, average_decay=0.999),
        ),
        "8x8 digits inside scikit-learn; the default, three minutes",
    ),
    "mnist": Recipe(_MNIST, "the paper's MNIST nets, 50 epochs, with averaged weights beside the raw ones"),
    "mnist-conditional": Recipe(
        dataclasses.replace(
            _MNIST,
            recipe="mnist-conditional",
            discriminator=DiscriminatorConfig(init_range=0.05),
            train=TrainConfig(
                steps=40_000, optimiser="adam", learning_rate=2e-4, decay_per_update=1.000046, average_decay=0.999
            ),
            condition=ConditionConfig(size=10),
        ),
        "p(image | digit) on MNIST with the paper's nets, to both of which the digit is given (section 7)",
    ),
    "digits-conditional": Recipe(
        Config(
            "digits-conditional",
            noise=NoiseConfig(dimension=64),
            generator=GeneratorConfig(hidden=(256, 256)),
            discriminator=DiscriminatorConfig(hidden=(128, 128), pieces=5, init_range=0.05),
            train=TrainConfig(
                steps=10_000, optimiser="adam", learning_rate=5e-4, decay_per_update=1.0, average_decay=0.999
            ),
            condition=ConditionConfig(size=10),
        ),
        "p(image | digit) on the 8x8 digits inside scikit-learn, two minutes (section 7)",
    ),
    "mnist-completion": Recipe(
        dataclasses.replace(
            _MNIST,
            recipe="mnist-completion",
            data=DataConfig("mnist", missing="hide"),
            discriminator=DiscriminatorConfig(init_range=0.05),
            noise=NoiseConfig(dimension=16),
            train=dataclasses.replace(  # rates fall to a tenth
                _COMPLETION_TRAIN, steps=12_000, decay_per_update=1.000192, reconstruction_weight=1000.0
            ),
            condition=ConditionConfig("masks", size=784, centre="on"),
        ),
        "p(any part of an image | the rest), by one generator (section 7)",
    ),
    "digits-completion": Recipe(
        Config(
            "digits-completion",
            data=DataConfig(missing="hide"),
            noise=NoiseConfig(dimension=64),
            generator=GeneratorConfig(hidden=(400, 400)),
            discriminator=DiscriminatorConfig(hidden=(128, 128), pieces=5, init_range=0.05),
            train=dataclasses.replace(
                _COMPLETION_TRAIN,
                steps=8_000,
                batch_size=200,
                learning_rate=3e-3,
                decay_per_update=1.00029,  # to a tenth in 8,000 steps
                reconstruction_weight=200.0,
            ),
            condition=ConditionConfig("masks", size=64, centre="on"),
        ),
        "the same on the 8x8 digits inside scikit-learn, four minutes (section 7)",
    ),
    "mnist-paper": Recipe(
        dataclasses.replace(_MNIST, recipe="mnist-paper", train=TrainConfig(steps=125_000)),
        "the settings behind the paper's MNIST row to the letter: as released, 250 epochs, raw weights only",
        "225 ± 2 nats",
    ),
    "mnist-best": Recipe(
        dataclasses.replace(
            _MNIST,
            recipe="mnist-best",
            train=TrainConfig(steps=40_000, learning_rate=0.3, discriminator_learning_rate=0.2, average_decay=0.99995),
        ),
        "the same nets as they score best: larger steps, a wide average of weights; minutes",
    ),
    "tfd": Recipe(
        Config(
            "tfd",
            data=DataConfig("tfd"),
            noise=NoiseConfig("gaussian"),
            generator=GeneratorConfig(
                hidden=(8000, 8000),
                activations=("rectifier", "sigmoid"),
                hidden_biases=(0.0, -2.0),
                output_sparse=100,
                max_column_norm=1.9365,
            ),
            discriminator=DiscriminatorConfig(hidden=(1200, 1200), max_column_norm=1.9365),
            train=TrainConfig(steps=72_600, learning_rate=0.05),
            second_stage=StackConfig(after=50_400),
        ),
        "the paper's faces in two stages of 50 and 22 epochs; needs your TFD file",
        "2057 ± 26 nats",
    ),
    "cifar10-fc": Recipe(
        Config(
            "cifar10-fc",
            data=_CIFAR,
            noise=NoiseConfig("gaussian"),
            generator=_CIFAR_HIDDEN,
            discriminator=DiscriminatorConfig(hidden=(1600, 1600)),
            train=TrainConfig(steps=100_000, learning_rate=0.01),  # .025, as released, diverges: docs/lab-log.md
        ),
        "the paper's fully connected CIFAR-10 nets, at .4 of the released learning rate, which diverges",
    ),
    "cifar10-conv": Recipe(
        Config(
            "cifar10-conv",
            data=_CIFAR,
            noise=NoiseConfig("gaussian"),
            generator=GeneratorConfig(
                hidden=(1200, 8000),
                output="linear",
                output_bias="zero",
                init_range=0.07,
                output_init_range=0.2,
                maps=(80, 10, 10),
            ),
            discriminator=DiscriminatorConfig(
                convolutions=(
                    ConvolutionConfig(32, 2, kernel=8, padding=4, pool=4, pool_stride=2),
                    ConvolutionConfig(32, 2, kernel=8, padding=3, pool=4, pool_stride=2),
                    ConvolutionConfig(192, 2, kernel=5, padding=3, pool=2, pool_stride=2),
                ),
                hidden=(500,),
                init_range=0.03,
            ),
            train=TrainConfig(
                steps=100_000,
                batch_size=128,
                optimiser="adam",
                learning_rate=2e-4,
                discriminator_learning_rate=1e-4,
            ),
        ),
        "the paper's convolutional D and deconvolutional G on CIFAR-10, with rectifiers and Adam, without which D wins",
    ),
    "ring": Recipe(_RING, "eight narrow modes on a circle: does the game lose any?"),
    "grid": Recipe(
        dataclasses.replace(_RING, recipe="grid", data=DataConfig("grid")), "twenty-five modes on a square grid"
    ),
    "gaussian": Recipe(
        Config(
            "gaussian",
            data=DataConfig("gaussian", scaling="standard"),
            noise=NoiseConfig("uniform", dimension=4),
            generator=GeneratorConfig(hidden=(32, 32), output="linear", init_range=0.3, output_bias="zero"),
            discriminator=DiscriminatorConfig(hidden=(32, 32), pieces=3, keep=(1.0,), init_range=0.3),
            train=dataclasses.replace(
                _POINTS_TRAIN, steps=5_000, discriminator_learning_rate=3e-3, decay_per_update=1.0004
            ),
        ),
        "a normal density on the line: the game of figure 1",
    ),
    "rbm": Recipe(
        _rival(
            "rbm",
            dataclasses.replace(_CHAIN_TRAIN, steps=25_000),
            ChainConfig(),
            rbm=RBMConfig((1024,), gibbs_steps=5, persistent="on"),
        ),
        "a restricted Boltzmann machine: the first layer of the deep belief net of Table 1",
        "-244 ± 54 nats",
    ),
    "dbn": Recipe(
        _rival("dbn", _CHAIN_TRAIN, ChainConfig(), rbm=RBMConfig((1024, 1024), gibbs_steps=5, persistent="on")),
        "the deep belief net of Table 1: two restricted Boltzmann machines, one after the other",
        "138 ± 2 nats",
    ),
    "cae": Recipe(
        _rival(
            "cae",
            dataclasses.replace(
                _ADAM_TRAIN,
                steps=8_000,
                decay_per_update=1.00058,  # to a tenth in 4,000 steps, a layer's
            ),
            ChainConfig(),
            cae=CAEConfig(),
        ),
        "the stacked contractive autoencoder of Table 1, two layers",
        "121 ± 1.6 nats",
    ),
    "gsn": Recipe(
        _rival(
            "gsn",
            dataclasses.replace(
                _ADAM_TRAIN,
                steps=8_000,
                decay_per_update=1.00049,  # to a fiftieth in 8,000 steps: at a constant rate its chains lose the data
                log_every=100,
                checkpoint_every=500,
            ),
            ChainConfig(),
            gsn=GSNConfig(),
        ),
        "the deep generative stochastic network of Table 1, two layers, walkback",
        "214 ± 1.1 nats",
    ),
    "vae": Recipe(
        _rival(
            "vae",
            dataclasses.replace(_ADAM_TRAIN, decay_per_update=1.0),
            ChainConfig(chains=1000, burn_in=0, thinning=1),
            vae=VAEConfig(),
        ),
        "a variational autoencoder, for the deep directed models of Table 2",
    ),
    "mnist-semi-supervised": Recipe(
        Config(
            "mnist-semi-supervised",
            data=DataConfig("mnist"),
            noise=NoiseConfig(low=0.0, high=1.0),
            train=_SEMI_TRAIN,
            semi=SemiConfig(average_decay=0.9999),
        ),
        "a classifier from 100 labels (section 7): D tells ten classes and what G made, G matches D's features",
    ),
    "digits-semi-supervised": Recipe(
        Config(
            "digits-semi-supervised",
            noise=NoiseConfig(dimension=32, low=0.0, high=1.0),
            train=dataclasses.replace(
                _SEMI_TRAIN,
                steps=4_000,
                learning_rate=3e-3,
                decay_per_update=1.001,
                log_every=100,
                sample_every=1000,
                checkpoint_every=1000,
            ),
            semi=SemiConfig(labels=50, hidden=(250, 125, 60), generator_hidden=(128, 128)),
        ),
        "the same on 8x8 digits with 50 labels; a minute",
    ),
}

AUTO = "sizes its nets from your data: advnets train FOLDER_OF_IMAGES, or advnets train ARRAY.npy"


def get(name: str) -> Config:
    """Return the configuration of a preset; raises InputError that suggests the nearest name."""
    if name in RECIPES:
        return RECIPES[name].config
    near = difflib.get_close_matches(name, RECIPES, n=1)
    hint = f"did you mean {near[0]}?" if near else "a folder or an array needs a path that exists"
    raise InputError(f"there is no recipe or path {name!r}, allowed: {', '.join(RECIPES)}, or a path; {hint}")


def auto(config: Config, shape: tuple[int, ...], examples: int, *, unit: bool) -> Config:
    """Size nets and minibatch for data of this shape.

    Both hidden layers of G get about 3 units per number of an example, within 128 and 1200 (the paper's for MNIST),
    and D's maxout layers a fifth of that, as the paper's: half as wide a G covers less of small pictures. Images end in
    sigmoids where their numbers are within 0 and 1 (`unit`); the rest ends in linear units. Vectors are learned as the
    points of `ring` are, by Adam, with dropout on D's hidden layers, without which it learns small tables by heart.
    """
    size = math.prod(shape)
    units = max(128, min(1200, 16 * round(3 * size / 16)))
    image = len(shape) == 3
    train = TrainConfig(average_decay=0.999) if image else _POINTS_TRAIN
    return dataclasses.replace(
        config,
        recipe="auto",
        noise=NoiseConfig(dimension=max(8, min(100, size))),
        generator=GeneratorConfig(
            hidden=(units, units),
            output="sigmoid" if image and unit else "linear",
        ),
        discriminator=DiscriminatorConfig(
            hidden=(max(64, units // 5), max(64, units // 5)), keep=(0.8 if image else 1.0, 0.5)
        ),
        train=dataclasses.replace(train, steps=10_000, batch_size=min(100, max(1, examples // 10))),
    )


def completion(config: Config, shape: tuple[int, ...]) -> Config:
    """Turn sizes that `auto` chose into a recipe that fills in any part of an example: Adam, and the error of means.

    Vectors get a linear map and five rounds, which hold the conditional means of a normal law as rectifiers alone do
    not, masks of single numbers, a slower D, for it learns small tables by heart, and rates that fall to a tenth.
    """
    train = dataclasses.replace(_COMPLETION_TRAIN, batch_size=config.train.batch_size)
    condition = ConditionConfig("masks", centre="on")
    if len(shape) == 1:
        train = dataclasses.replace(config.train, discriminator_learning_rate=1e-3, decay_per_update=1.00023)
        train = dataclasses.replace(train, learning_rate=3e-3, reconstruction_weight=300.0)
        condition = ConditionConfig("masks", masks=("pixels",), centre="on", linear="on", rounds=5)
    return dataclasses.replace(
        config,
        data=dataclasses.replace(config.data, missing="hide"),
        discriminator=dataclasses.replace(config.discriminator, init_range=0.05),
        train=train,
        condition=condition,
    )
