"""The settings of the models that Table 1 and Table 2 set beside adversarial nets."""

from dataclasses import dataclass
from typing import Literal


@dataclass(frozen=True)
class RBMConfig:
    """A restricted Boltzmann machine, or a stack of them: a deep belief net."""

    hidden: tuple[int, ...] = (1024,)
    """Units of each layer, bottom first; one layer is a restricted Boltzmann machine."""
    visible: Literal["bernoulli", "gaussian"] = "bernoulli"
    """bernoulli: numbers within 0 and 1 are means of bits; gaussian: real numbers, of unit variance given the units."""
    layer_steps: int = 25_000
    """Steps of each layer below the top, which gets the rest of train.steps."""
    gibbs_steps: int = 1
    """Gibbs steps behind a gradient, the k of contrastive divergence."""
    persistent: Literal["on", "off"] = "off"
    """Go on with the chains of the step before (persistent contrastive divergence) instead of starting at the data."""
    weight_decay: float = 2e-4
    """Weight of half the squared norm of the weights in the loss."""


@dataclass(frozen=True)
class CAEConfig:
    """A stack of contractive autoencoders."""

    hidden: tuple[int, ...] = (1000, 1000)
    """Units of each layer, bottom first."""
    layer_steps: int = 4_000
    """Steps of each layer below the top, which gets the rest of train.steps."""
    contraction: float = 2.0
    """Weight of the squared norm of the encoder's Jacobian in the loss."""
    sampling_noise: float = 1.0
    """Standard deviation of the noise that a chain adds to the code, along the Jacobian."""


@dataclass(frozen=True)
class GSNConfig:
    """A deep generative stochastic network."""

    hidden: tuple[int, ...] = (1500, 1500)
    """Units of each layer, bottom first."""
    walkback: int = 4
    """Reconstructions behind a gradient, each from a corrupted sample of the one before."""
    corruption: float = 0.4
    """Probability that a number of the input becomes 0 or 1 (salt and pepper)."""
    hidden_noise: float = 2.0
    """Standard deviation of the noise before and after tanh on every layer above the first."""


@dataclass(frozen=True)
class VAEConfig:
    """A variational autoencoder, for the deep directed models of Table 2."""

    hidden: tuple[int, ...] = (500,)
    """Rectifiers of each hidden layer of the encoder, bottom first; the decoder has the same, top first."""
    latent: int = 20
    """Units of z, standard normal a priori."""
    visible: Literal["bernoulli", "gaussian"] = "bernoulli"
    """bernoulli: numbers within 0 and 1 are means of bits; gaussian: real numbers, with one learned variance."""


@dataclass(frozen=True)
class ChainConfig:
    """How samples are taken from a model that has only a Markov chain."""

    chains: int = 100
    """Chains that run side by side."""
    burn_in: int = 1000
    """Steps of a chain before its first sample."""
    thinning: int = 10
    """Steps between two samples of a chain."""
    pixels: Literal["means", "samples"] = "means"
    """What a sample shows: the mean of each pixel given the hidden units, as Table 1 does, or a draw."""


Rival = RBMConfig | CAEConfig | GSNConfig | VAEConfig
