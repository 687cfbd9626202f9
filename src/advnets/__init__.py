"""advnets: the adversarial nets of 2014, to run, measure and trust: `advnets train`, or in Python as below.

    from advnets import AdversarialNets
    model = AdversarialNets("digits", random_state=0).fit(images)  # a scikit-learn estimator, see docs/estimator.md
    model.sample(100)

    from advnets import recipes; from advnets.data import load; from advnets.runs import Run
    from advnets.training.loop import train; from pathlib import Path
    config = recipes.get("digits"); train(config, load(config.data), Run(Path("runs/mine")))

The run is a folder: see advnets.runs.
"""

from importlib import metadata
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from advnets.estimator import AdversarialNets as AdversarialNets

try:
    __version__ = metadata.version("advnets")
except metadata.PackageNotFoundError:  # a checkout that was not installed
    __version__ = "0+unknown"


def __getattr__(name: str) -> Any:
    """Import the estimator, and torch with it, only when it is asked for."""
    if name == "AdversarialNets":
        from advnets.estimator import AdversarialNets

        return AdversarialNets
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
