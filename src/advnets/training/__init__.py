"""From a configuration, data and a run folder to trained nets."""

from advnets.training.facts import differences, elsewhere
from advnets.training.loop import train
from advnets.training.outcome import Outcome, Progress, check_device

__all__ = ["Outcome", "Progress", "check_device", "differences", "elsewhere", "train"]
