"""Measures of how good a generator is, for our runs and for samples from any program."""
