"""The settings of a run, one frozen dataclass a part."""

import math
from dataclasses import dataclass, field
from typing import Literal

from advnets.config.rivals import CAEConfig, ChainConfig, GSNConfig, RBMConfig, Rival, VAEConfig
from advnets.config.semi import SemiConfig
from advnets.errors import InputError

Activation = Literal["rectifier", "sigmoid", "linear"]
Mode = Literal["paper", "released"]
MaskKind = Literal["pixels", "blocks", "halves", "strokes", "columns", "all"]
MASKS_OF_VECTORS: tuple[MaskKind, ...] = ("pixels", "columns", "all")
"""Kinds that vectors can have too."""


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
    missing: Literal["refuse", "hide"] = "refuse"
    """NaN in an array: refuse it, or take it as a number that is not known, as --condition.kind masks does."""


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
class ConditionConfig:
    """What samples are conditioned on: c is an input of both players, which then play for p(x | c)."""

    kind: Literal["labels", "vectors", "masks"] = "labels"
    """labels: the classes of the data, a unit each; vectors: numbers beside each example (key c of an .npz file);
    masks: a part of the example itself, any one, for p(the rest | that part)."""
    size: int | None = None
    """Units of c, for masks those of the mask; None takes what the data have."""
    masks: tuple[MaskKind, ...] = ("pixels", "blocks", "halves", "strokes", "columns", "all")
    """What is hidden while training on masks, one of these for each example anew; vectors have pixels, columns, all."""
    centre: Literal["on", "off"] = "off"
    """Whether G is told, of what is known, by how much it differs from the mean example, over √(share known)."""
    linear: Literal["on", "off"] = "off"
    """Whether a linear map of what is known, and of the mask, is added to what G fills in."""
    rounds: int = 1
    """Times that G fills in, each time seeing what it filled in before; G shares its weights among them."""
    generator_units: tuple[int, ...] = ()
    """Rectifiers for z alone and for c alone, below the hidden layers; none puts c beside z."""
    discriminator_units: tuple[int, ...] = ()
    """Maxout units for x alone and for c alone, below the hidden layers; none puts c beside x."""
    discriminator_pieces: int = 5
    """Linear pieces of each of these."""

    @property
    def given(self) -> int:
        """Units beside z: c, or the known part of an example and its mask."""
        return (self.size or 0) * (2 if self.kind == "masks" else 1)


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
    rest_above: float = 1.0
    """D rests where D(x) - D(G(z)) of a minibatch is above this, and its further updates of the step too; 1: never."""
    minimax_weight: float = 0.0
    """Weight of log(1 - D(G(z))) in the generator's loss."""
    non_saturating_weight: float = 1.0
    """Weight of -log D(G(z)) in the generator's loss."""
    reconstruction_weight: float = 0.0
    """Weight of the squared error of the mean completion in the generator's loss; with --condition.kind masks only."""
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
    precision: Literal["32-true", "64-true", "bf16-mixed", "auto"] = "32-true"
    """Number format, in lightning-fabric's words; auto tries and writes down whether bf16-mixed is faster here."""
    compile: Literal["on", "off"] = "off"
    """Whether a C++ compiler makes a step faster; for fully connected nets in released mode, on one CPU."""


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
    condition: ConditionConfig | None = None
    rbm: RBMConfig | None = None
    cae: CAEConfig | None = None
    gsn: GSNConfig | None = None
    vae: VAEConfig | None = None
    chain: ChainConfig | None = None
    semi: SemiConfig | None = None

    @property
    def rival(self) -> Rival | None:
        """The model beside adversarial nets that this run trains; None for a run of these."""
        return self.rbm or self.cae or self.gsn or self.vae

    @property
    def is_game(self) -> bool:
        """Whether this run trains the paper's two players by themselves: no rival, and no classes beside them."""
        return self.rival is None and self.semi is None

    @property
    def of_x_alone(self) -> bool:
        """Whether a game needs no classes or vectors beside the examples."""
        return self.is_game and (self.condition is None or self.condition.kind == "masks")

    @property
    def has_chain(self) -> bool:
        """Whether samples are states of a Markov chain, which has to forget where it began."""
        return self.rival is not None and self.vae is None

    @property
    def layer_steps(self) -> int | None:
        """Steps of each layer of a greedy stack below the top; None where all is trained at once."""
        return self.rival.layer_steps if isinstance(self.rival, RBMConfig | CAEConfig) else None
