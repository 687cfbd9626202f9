"""From a configuration, data and a run folder to trained nets."""

from advnets.training.facts import differences, elsewhere
from advnets.training.loop import Outcome, Progress, check_device, train

__all__ = ["Outcome", "Progress", "check_device", "differences", "elsewhere", "train"]
