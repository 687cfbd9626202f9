"""Theorem 1 in numbers: against the best D, what G descends is C(G) = −log 4 + 2·JSD(p_data, p_g).

python examples/theorem.py       at once
"""

import math

import numpy as np

from advnets import theory

data = theory.mixture([0.5, 0.5], [theory.normal(-2, 0.5), theory.normal(2, 0.5)])
for name, generated in {
    "all of it": data,
    "one mode of two": theory.normal(2, 0.5),
    "one wide normal law": theory.normal(0, 2.1),
}.items():
    best = theory.optimal_logit(data, generated)  # D* = p_data / (p_data + p_g), as a logit
    value = theory.value(best, data, generated)  # E[log D*(x)] + E[log(1 − D*(G(z)))]
    theorem = -math.log(4) + 2 * theory.jensen_shannon(data, generated)
    print(f"C(G) = {value:.6f}, −log 4 + 2·JSD = {theorem:.6f}: G draws {name}")
    assert np.isclose(value, theorem, atol=1e-6)
