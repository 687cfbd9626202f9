"""The settings of semi-supervised learning: a discriminator that also tells classes, from few labels."""

from dataclasses import dataclass


@dataclass(frozen=True)
class SemiConfig:
    """A discriminator of K + 1 classes, and a generator that matches its features (Salimans et al. 2016)."""

    labels: int | None = 100
    """Labelled training examples, as many of each class, drawn by the run's seed, and all others used unlabelled; None
    takes every label that the data have."""
    classes: int = 10
    """Classes of the data, K."""
    hidden: tuple[int, ...] = (1000, 500, 250, 250, 250)
    """Rectifiers of each hidden layer of D, bottom first."""
    generator_hidden: tuple[int, ...] = (500, 500)
    """Softplus units of each hidden layer of G, bottom first."""
    input_noise: float = 0.3
    """Standard deviation of the Gaussian noise on D's input, in training."""
    hidden_noise: float = 0.5
    """The same on what each hidden layer of D passes on."""
    unlabelled_weight: float = 1.0
    """Weight of the loss of unlabelled and generated examples beside that of labelled ones."""
    adam_epsilon: float = 1e-4
    """Added to the root of Adam's second moment; large, so that G moves little where features agree."""
    average_decay: float = 0.999
    """Decay per step of the moving average of D's weights, which classifies."""
