"""Learning rate and momentum as functions of the step."""

from advnets.config import TrainConfig


def learning_rate(config: TrainConfig, initial: float, step: int) -> float:
    """Return max(initial / decay_per_update^step, minimum), where step counts updates already made (released code)."""
    return max(initial * config.decay_per_update**-step, min(initial, config.minimum_learning_rate))


def momentum(config: TrainConfig, epoch: int) -> float:
    """Return the momentum of an epoch, counted from 1: linear from `momentum` in epoch 1 to `final_momentum`.

    Constant within an epoch and after epoch `momentum_epochs` (released code).
    """
    share = min((epoch - 1) / max(config.momentum_epochs - 1, 1), 1.0)
    return config.momentum * (1 - share) + config.final_momentum * share
