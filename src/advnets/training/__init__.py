"""From a configuration, data and a run folder to trained nets."""

from advnets.training.loop import Outcome, Progress, check_device, differences, train

__all__ = ["Outcome", "Progress", "check_device", "differences", "train"]
