"""Section 4 of the paper: D*, C(G) and its divergences, the convergence of p_g, and where practice differs."""

from advnets.theory.densities import Density, Integral, discrete, expectation, grid, mixture, normal, uniform
from advnets.theory.divergences import (
    conditional_log_likelihood,
    criterion,
    excess,
    jensen_shannon,
    kullback_leibler,
    optimal_discriminator,
    optimal_logit,
    total_variation,
    value,
)
from advnets.theory.dynamics import entropic_step, euclidean_limit, euclidean_step, flow, simplex_projection
from advnets.theory.parametric import TwoModes, generator_gradients

__all__ = [
    "Density",
    "Integral",
    "TwoModes",
    "conditional_log_likelihood",
    "criterion",
    "discrete",
    "entropic_step",
    "euclidean_limit",
    "euclidean_step",
    "excess",
    "expectation",
    "flow",
    "generator_gradients",
    "grid",
    "jensen_shannon",
    "kullback_leibler",
    "mixture",
    "normal",
    "optimal_discriminator",
    "optimal_logit",
    "simplex_projection",
    "total_variation",
    "uniform",
    "value",
]
