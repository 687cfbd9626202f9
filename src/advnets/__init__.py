"""advnets: the adversarial nets of 2014, to run, measure and trust: `advnets train`, or in Python as below.

    from advnets import recipes; from advnets.data import load; from advnets.runs import Run
    from advnets.training.loop import train; from pathlib import Path
    config = recipes.get("digits"); train(config, load(config.data), Run(Path("runs/mine")))

The run is a folder: see advnets.runs.
"""

from importlib import metadata

try:
    __version__ = metadata.version("advnets")
except metadata.PackageNotFoundError:  # a checkout that was not installed
    __version__ = "0+unknown"
