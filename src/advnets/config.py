"""What a run is made of: frozen dataclasses, free of torch, one field per setting."""

import dataclasses
import math
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from types import NoneType, UnionType
from typing import Any, Literal, get_args, get_origin, get_type_hints

from advnets.errors import InputError

_EVERY = ("train.sample_every", "train.checkpoint_every", "train.keep_every", "train.validate_every")
FREE_ON_RESUME = ("train.steps", *_EVERY, "train.signals", "train.on_bad", "train.device")
ADDED: dict[str, Any] = {
    "train.validate_every": 0,
    "train.keep_every": 0,
    "train.generator_steps": 1,
    "train.signals": "off",
    "train.on_bad": "warn",
}
"""Settings that older runs do not hold, with what these did."""

Activation = Literal["rectifier", "sigmoid", "linear"]
Mode = Literal["paper", "released"]


@dataclass(frozen=True)
class DataConfig:
    """Which data, and how pixels or columns become numbers."""

    name: str = "digits"
    """A built-in data set (see `advnets data list`), or the path of a folder of images or of a .npy/.npz array."""
    size: int | None = None
    """Resize images to size x size pixels; None keeps their size."""
    colour: Literal["auto", "grey", "rgb"] = "auto"
    """Channels of a folder of images; auto is rgb as soon as one image has colour."""
    scaling: Literal["auto", "unit", "contrast", "standard", "none"] = "auto"
    """unit: pixels to [0, 1]; contrast: global contrast normalisation; standard: mean 0 and sd 1 per column."""
    contrast_scale: float = 55.0
    """Norm of every image after global contrast normalisation."""
    held_out: float = 0.1
    """Share of the user's own data kept for validation, and the same again for testing."""
    fold: int = 1
    """Fold of the Toronto Face Database, 1 to 5; 0 trains on its unlabelled images alone."""


@dataclass(frozen=True)
class NoiseConfig:
    """The prior p_z."""

    kind: Literal["uniform", "gaussian", "spherical"] = "uniform"
    """uniform on [low, high]; gaussian with unit variance; spherical: gaussian projected on the unit sphere."""
    dimension: int = 100
    """Units of z."""
    low: float = -math.sqrt(3.0)
    """Lower bound of the uniform prior; the default bounds give unit variance."""
    high: float = math.sqrt(3.0)
    """Upper bound of the uniform prior."""


@dataclass(frozen=True)
class GeneratorConfig:
    """The net that maps z to x."""

    hidden: tuple[int, ...] = (1200, 1200)
    """Units of each hidden layer, bottom first."""
    activations: tuple[Activation, ...] = ("rectifier",)
    """One per hidden layer; the last one given serves the layers that follow."""
    hidden_biases: tuple[float, ...] = (0.0,)
    """Initial bias per hidden layer; the last one given serves the layers that follow."""
    output: Literal["sigmoid", "linear"] = "sigmoid"
    """Units of the top layer."""
    output_bias: Literal["marginal", "zero"] = "marginal"
    """marginal: the top layer starts at the mean of the training data."""
    init_range: float = 0.05
    """Weights start uniform on [-init_range, init_range]."""
    output_init_range: float | None = None
    """The same for the top layer; None takes init_range."""
    output_sparse: int = 0
    """Non-zero weights a unit in the top layer (standard normal); 0 starts it uniform."""
    keep: tuple[float, ...] = (1.0,)
    """Dropout keep probability on the input of each layer; 1 is no dropout (the paper's generator)."""
    maps: tuple[int, int, int] | None = None
    """(channels, height, width) of the last hidden layer, below one transposed convolution; None: fully connected."""
    kernel: int = 5
    """Kernel size of the transposed convolution."""
    stride: int = 3
    """Stride of the transposed convolution."""
    max_column_norm: float | None = None
    """Largest norm of a unit's incoming weights, in every layer; None: no limit."""


@dataclass(frozen=True)
class ConvolutionConfig:
    """One maxout convolution with max pooling."""

    channels: int
    """Channels after maxout."""
    pieces: int
    """Linear pieces a channel."""
    kernel: int
    """Kernel size."""
    padding: int
    """Zeros added at each border."""
    pool: int
    """Pooling window."""
    pool_stride: int
    """Pooling stride."""

    def output_shape(self, shape: tuple[int, ...]) -> tuple[int, int, int]:
        """Shape (channels, height, width) above this layer; raises InputError where the layer does not fit below.

        The last pooling window may reach past the border.
        """
        if len(shape) != 3:
            raise InputError(
                f"a convolution got examples of shape {shape}, allowed: images (channels, height, width); "
                "use a recipe with a fully connected discriminator"
            )
        sides = [size + 2 * self.padding - self.kernel + 1 for size in shape[1:]]
        if min(sides) < 1:
            raise InputError(
                f"a convolution with kernel {self.kernel} and padding {self.padding} has no room in images of "
                f"{shape[1]}x{shape[2]}, allowed: kernels that fit; use a fully connected recipe or --data.size"
            )
        pool = min(self.pool, *sides)
        height, width = (1 + math.ceil((side - pool) / self.pool_stride) for side in sides)
        return self.channels, height, width


@dataclass(frozen=True)
class DiscriminatorConfig:
    """The net that tells data from samples; it ends in one logit."""

    convolutions: tuple[ConvolutionConfig, ...] = ()
    """Maxout convolutions below the fully connected layers."""
    hidden: tuple[int, ...] = (240, 240)
    """Maxout units of each hidden layer."""
    pieces: int = 5
    """Linear pieces a maxout unit."""
    keep: tuple[float, ...] = (0.8, 0.5)
    """Dropout keep probability on the input of each layer, the logit's included; the last serves the rest."""
    init_range: float = 0.005
    """Weights start uniform on [-init_range, init_range]."""
    max_column_norm: float | None = None
    """Largest norm of a unit's incoming weights, in every layer; None: no limit."""


@dataclass(frozen=True)
class TrainConfig:
    """How the game is played."""

    mode: Mode = "released"
    """paper: Algorithm 1 (alternate, k, fresh noise); released: both players at once, on the same fakes and masks."""
    steps: int = 10_000
    """Generator updates in all; a finished run goes on with a larger number and --resume."""
    batch_size: int = 100
    """Data examples, and as many fakes, a minibatch."""
    k: int = 1
    """Discriminator updates before each generator update (Algorithm 1); 1 in released mode."""
    generator_steps: int = 1
    """Generator updates in each step; more than 1, in paper mode only, invites the Helvetica scenario."""
    minimax_weight: float = 0.0
    """Weight of log(1 - D(G(z))) in the generator's loss."""
    non_saturating_weight: float = 1.0
    """Weight of -log D(G(z)) in the generator's loss."""
    optimiser: Literal["momentum", "adam"] = "momentum"
    """Gradient rule of both players."""
    learning_rate: float = 0.1
    """Learning rate of the generator, and of the discriminator unless that has its own."""
    discriminator_learning_rate: float | None = None
    """Learning rate of the discriminator; None takes learning_rate."""
    decay_per_update: float = 1.000004
    """Both learning rates are divided by this after every step."""
    minimum_learning_rate: float = 1e-6
    """Floor of that decay."""
    momentum: float = 0.5
    """Momentum in the first epoch."""
    final_momentum: float = 0.7
    """Momentum from epoch momentum_epochs on; linear between."""
    momentum_epochs: int = 250
    """Epoch in which final_momentum is reached."""
    adam_betas: tuple[float, float] = (0.5, 0.999)
    """Decay rates of Adam's moments."""
    average_decay: float = 0.0
    """Decay per step of a moving average of G's weights, kept beside the raw ones; 0 keeps none."""
    log_every: int = 100
    """Steps between lines of log.jsonl."""
    signals: Literal["on", "off"] = "on"
    """Whether every line of the log measures how the game is doing."""
    on_bad: Literal["warn", "stop", "rollback"] = "warn"
    """After a bad verdict: say so; stop; or go back to the last checkpoint that was not bad, with half the rates."""
    sample_every: int = 1000
    """Steps between sample grids."""
    checkpoint_every: int = 1000
    """Steps between checkpoints."""
    keep_every: int = 0
    """Steps between checkpoints that are kept for good; 0 for none."""
    validate_every: int = 0
    """Steps between validation likelihoods, whose best checkpoint is kept; 0 for none."""
    device: Literal["auto", "cpu", "cuda", "mps"] = "auto"
    """Where to compute."""
    precision: Literal["32-true", "64-true", "bf16-mixed"] = "32-true"
    """Number format, in lightning-fabric's words."""


@dataclass(frozen=True)
class StackConfig:
    """A second stage: new layers under the whole pretrained generator, and a fresh discriminator."""

    after: int
    """Step at which the second stage starts."""
    hidden: tuple[int, ...] = (8000,)
    """Hidden units of the new layers; their outputs feed the noise input of the pretrained generator."""
    activations: tuple[Activation, ...] = ("rectifier", "sigmoid")
    """One per new layer, the one that feeds the old generator included."""
    hidden_biases: tuple[float, ...] = (0.0, -2.0)
    """Initial bias per new layer, likewise."""


@dataclass(frozen=True)
class Config:
    """Everything that decides a run: same Config, same data, same machine, same bits."""

    recipe: str = "digits"
    seed: int = 0
    """Seed of initial weights, order of the data, noise and dropout."""
    data: DataConfig = field(default_factory=DataConfig)
    noise: NoiseConfig = field(default_factory=NoiseConfig)
    generator: GeneratorConfig = field(default_factory=GeneratorConfig)
    discriminator: DiscriminatorConfig = field(default_factory=DiscriminatorConfig)
    train: TrainConfig = field(default_factory=TrainConfig)
    second_stage: StackConfig | None = None


def to_json(config: Any) -> Any:
    """Turn a dataclass into plain JSON values."""
    return dataclasses.asdict(config)


def from_json(kind: Any, values: Any, where: str = "") -> Any:
    """Rebuild a dataclass from `to_json`; raises InputError for a field that is missing, unknown or of another type."""
    if dataclasses.is_dataclass(kind):
        return _dataclass_from_json(kind, values, where)
    options = get_args(kind)
    if get_origin(kind) is Literal:
        if values not in options:
            raise InputError(f"{where} is {values!r}, allowed are {', '.join(map(str, options))}")
        return values
    if get_origin(kind) is tuple:
        if not isinstance(values, list | tuple):
            raise InputError(f"{where} is {values!r}, allowed is a list")
        kinds = [options[0]] * len(values) if options[-1] is Ellipsis else options
        if len(kinds) != len(values):
            raise InputError(f"{where} has {len(values)} values, allowed are {len(kinds)}")
        return tuple(from_json(item, value, where) for item, value in zip(kinds, values, strict=True))
    if isinstance(kind, UnionType):
        if values is None and NoneType in options:
            return None
        return from_json(next(option for option in options if option is not NoneType), values, where)
    if kind is float and type(values) is int and abs(values) < 2**63:
        return float(values)
    if type(values) is not kind:
        raise InputError(f"{where} is {values!r}, allowed is a value of type {kind.__name__}")
    return values


def _dataclass_from_json(kind: Any, values: Any, where: str) -> Any:
    if not isinstance(values, Mapping):
        raise InputError(f"{where or 'the configuration'} is {values!r}, allowed is an object with named fields")
    hints = get_type_hints(kind)
    prefix = f"{where}." if where else ""
    values = {name: ADDED[prefix + name] for name in hints if prefix + name in ADDED} | dict(values)
    unknown, missing = sorted(set(values) - set(hints)), sorted(set(hints) - set(values))
    if unknown or missing:
        raise InputError(f"{where or 'the configuration'} has unknown fields {unknown} or lacks fields {missing}")
    return kind(**{name: from_json(hint, values[name], prefix + name) for name, hint in hints.items()})


def flatten(config: Any, prefix: str = "") -> dict[str, Any]:
    """List every setting by its dotted name, as the command line spells it."""
    flat: dict[str, Any] = {}
    for item in dataclasses.fields(config):
        value = getattr(config, item.name)
        if dataclasses.is_dataclass(value):
            flat |= flatten(value, f"{prefix}{item.name}.")
        elif isinstance(value, tuple) and value and dataclasses.is_dataclass(value[0]):
            for index, part in enumerate(value):
                flat |= flatten(part, f"{prefix}{item.name}.{index}.")
        else:
            flat[prefix + item.name] = value
    return flat


# The loosest bounds that still make sense: name -> (test, what is allowed).
_ALLOWED: dict[str, tuple[Any, str]] = {
    "seed": (lambda v: 0 <= v < 2**63, "an integer from 0 to 2^63 - 1"),
    "data.size": (lambda v: v is None or 1 <= v <= 4096, "1 to 4096 pixels"),
    "data.contrast_scale": (lambda v: v > 0, "a number above 0"),
    "data.held_out": (lambda v: 0 < v < 0.5, "a share above 0 and below 0.5"),
    "data.fold": (lambda v: 0 <= v <= 5, "0 to 5"),
    "noise.dimension": (lambda v: v >= 1, "1 or more"),
    "generator.hidden": (lambda v: len(v) > 0 and min(v) >= 1, "one or more layers of 1 or more units"),
    "generator.activations": (len, "one or more names"),
    "generator.hidden_biases": (len, "one or more numbers"),
    "generator.init_range": (lambda v: v > 0, "a number above 0"),
    "generator.output_init_range": (lambda v: v is None or v > 0, "a number above 0"),
    "generator.output_sparse": (lambda v: v >= 0, "0 or more"),
    "generator.keep": (lambda v: len(v) > 0 and all(0 < p <= 1 for p in v), "probabilities above 0 and up to 1"),
    "generator.maps": (lambda v: v is None or min(v) >= 1, "three sizes of 1 or more"),
    "generator.kernel": (lambda v: v >= 1, "1 or more"),
    "generator.stride": (lambda v: v >= 1, "1 or more"),
    "discriminator.hidden": (lambda v: len(v) > 0 and min(v) >= 1, "one or more layers of 1 or more units"),
    "discriminator.pieces": (lambda v: v >= 1, "1 or more"),
    "discriminator.keep": (lambda v: len(v) > 0 and all(0 < p <= 1 for p in v), "probabilities above 0 and up to 1"),
    "discriminator.init_range": (lambda v: v > 0, "a number above 0"),
    "discriminator.convolutions.channels": (lambda v: v >= 1, "1 or more"),
    "discriminator.convolutions.pieces": (lambda v: v >= 1, "1 or more"),
    "discriminator.convolutions.kernel": (lambda v: v >= 1, "1 or more"),
    "discriminator.convolutions.padding": (lambda v: v >= 0, "0 or more"),
    "discriminator.convolutions.pool": (lambda v: v >= 1, "1 or more"),
    "discriminator.convolutions.pool_stride": (lambda v: v >= 1, "1 or more"),
    "train.steps": (lambda v: v >= 1, "1 or more"),
    "train.batch_size": (lambda v: v >= 1, "1 or more"),
    "train.k": (lambda v: v >= 1, "1 or more"),
    "train.generator_steps": (lambda v: v >= 1, "1 or more"),
    "train.minimax_weight": (lambda v: v >= 0, "0 or more"),
    "train.non_saturating_weight": (lambda v: v >= 0, "0 or more"),
    "train.learning_rate": (lambda v: v > 0, "a number above 0"),
    "train.discriminator_learning_rate": (lambda v: v is None or v > 0, "a number above 0"),
    "train.decay_per_update": (lambda v: v >= 1, "1 or more (1 is no decay)"),
    "train.minimum_learning_rate": (lambda v: v > 0, "a number above 0"),
    "train.momentum": (lambda v: 0 <= v < 1, "0 up to, not including, 1"),
    "train.final_momentum": (lambda v: 0 <= v < 1, "0 up to, not including, 1"),
    "train.momentum_epochs": (lambda v: v >= 1, "1 or more"),
    "train.adam_betas": (lambda v: all(0 <= b < 1 for b in v), "two numbers from 0 up to, not including, 1"),
    "generator.max_column_norm": (lambda v: v is None or v > 0, "a number above 0"),
    "discriminator.max_column_norm": (lambda v: v is None or v > 0, "a number above 0"),
    "train.average_decay": (lambda v: 0 <= v < 1, "0 up to, not including, 1"),
    "train.log_every": (lambda v: v >= 1, "1 or more"),
    "train.sample_every": (lambda v: v >= 1, "1 or more"),
    "train.checkpoint_every": (lambda v: v >= 1, "1 or more"),
    "train.keep_every": (lambda v: v >= 0, "0 or more"),
    "train.validate_every": (lambda v: v >= 0, "0 or more"),
    "second_stage.after": (lambda v: v >= 1, "1 or more"),
    "second_stage.activations": (len, "one or more names"),
    "second_stage.hidden_biases": (len, "one or more numbers"),
    "second_stage.hidden": (lambda v: len(v) > 0 and min(v) >= 1, "one or more layers of 1 or more units"),
}


def check(config: Config) -> Config:
    """Return config unchanged; raises InputError that names the first setting out of range."""
    for name, value in flatten(config).items():
        test, allowed = _ALLOWED.get(re.sub(r"\.\d+\.", ".", name), (None, ""))
        numbers = [v for v in (value if isinstance(value, tuple) else (value,)) if isinstance(v, int | float)]
        if not all(abs(v) < (1e37 if isinstance(v, float) else 2**63) for v in numbers) or (test and not test(value)):
            allowed = allowed or "numbers within 1e37, whole ones within 2^63"
            raise InputError(f"--{name} is {spell(value)}, allowed: {allowed}; set --{name}")
    _check_together(config)
    return config


def _check_together(config: Config) -> None:
    """Refuse settings that are fine alone and senseless together."""
    train, noise = config.train, config.noise
    if noise.low >= noise.high:
        raise InputError(
            f"--noise.low is {noise.low}, allowed: a number below --noise.high, {noise.high}; set --noise.low"
        )
    if train.minimax_weight == train.non_saturating_weight == 0:
        raise InputError(
            "--train.minimax_weight and --train.non_saturating_weight are both 0, allowed: at least one above 0; "
            "set --train.non_saturating_weight 1"
        )
    if train.on_bad != "warn" and train.signals == "off":
        raise InputError(f"--train.on_bad is {train.on_bad}, allowed without signals: warn; set --train.signals on")
    if train.mode == "released" and train.k != 1:
        raise InputError(f"--train.k is {train.k}, allowed in released mode: 1; for k updates add --mode paper")
    if train.mode == "released" and train.generator_steps != 1:
        raise InputError(
            f"--train.generator_steps is {train.generator_steps}, allowed in released mode: 1; "
            "for more add --mode paper"
        )
    if config.generator.maps and (config.generator.max_column_norm or config.generator.output_sparse):
        raise InputError(
            "--generator.max_column_norm or --generator.output_sparse is set for a transposed convolution, allowed: "
            "with fully connected layers only; leave it out, or set --generator.maps None"
        )
    if config.generator.maps and math.prod(config.generator.maps) != config.generator.hidden[-1]:
        raise InputError(
            f"--generator.maps {spell(config.generator.maps)} holds {math.prod(config.generator.maps)} units, "
            f"allowed: as many as the last hidden layer, {config.generator.hidden[-1]}; set --generator.hidden"
        )


def spell(value: Any) -> str:
    """Write a setting as the command line takes it."""
    return " ".join(map(str, value)) if isinstance(value, tuple) else str(value)
