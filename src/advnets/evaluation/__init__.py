"""Measures of how good a generator is, for our runs and for samples from any program."""

from advnets.evaluation.parzen import ParzenWindow

__all__ = ["ParzenWindow"]
