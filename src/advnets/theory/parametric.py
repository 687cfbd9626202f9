"""Where practice leaves the theory: θ_g is optimised and not p_g, and log(1 − D(G(z))) saturates as D improves."""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float64
from scipy.optimize import root
from scipy.special import expit

from advnets.theory.densities import Density, Doubles, Integral, expectation, mixture, normal
from advnets.theory.divergences import criterion, optimal_logit

Pair = Float64[np.ndarray, "2"]


@dataclass(frozen=True)
class TwoModes:
    """p_θ = w·N(θ_1, sd²) + (1 − w)·N(θ_2, sd²), and p_data a member of it: θ = (−distance, distance).

    C is convex in p_g, and p_data its only critical point there. In θ it has others (section 4.2 of the paper): each
    mode of p_θ on the other one's place is a minimum with C(θ) > −log 4; both on one place, a collapsed generator, is a
    saddle as flat as a plateau.
    """

    distance: float = 2.0
    sd: float = 0.5
    weight: float = 0.3

    def density(self, theta: Pair) -> Density:
        """p_θ."""
        return mixture([self.weight, 1 - self.weight], [normal(mean, self.sd) for mean in np.asarray(theta).tolist()])

    @property
    def data(self) -> Density:
        """p_data."""
        return self.density(np.array([-self.distance, self.distance]))

    def criterion(self, theta: Pair) -> Integral:
        """C(θ)."""
        return criterion(self.data, self.density(theta))

    def gradient(self, theta: Pair) -> Pair:
        """∂C/∂θ_i = ∫ log(1 − D*(x)) ∂p_θ(x)/∂θ_i dx, with ∂p_θ/∂θ_i = w_i·N(x; θ_i, sd²)(x − θ_i)/sd²."""
        data, model = self.data, self.density(theta)
        logit = optimal_logit(data, model)

        def pull(mean: float, weight: float) -> float:
            def inner(x: Doubles) -> Doubles:
                return -np.logaddexp(0, logit(x)) * (x - mean) / self.sd**2

            return weight * expectation(inner, normal(mean, self.sd), data)

        return np.array([pull(theta[0], self.weight), pull(theta[1], 1 - self.weight)])

    def critical_point(self, start: Pair) -> Pair:
        """Find the θ near `start` where ∂C/∂θ = 0."""
        return np.asarray(root(self.gradient, start, tol=1e-12).x)

    def curvature(self, theta: Pair) -> Pair:
        """Eigenvalues of the second derivative of C, rising, from differences of the gradient."""
        steps = 1e-5 * np.eye(2)
        rows = np.array([(self.gradient(theta + step) - self.gradient(theta - step)) / 2e-5 for step in steps])
        return np.asarray(np.linalg.eigvalsh((rows + rows.T) / 2))

    def slope_to_data(self, theta: Pair) -> Integral:
        """Slope of C in the space of laws, from p_θ straight to p_data: ∫ (p_data − p_θ) log(1 − D*) dx.

        Negative wherever p_θ is not p_data, also where ∂C/∂θ = 0.
        """
        data, model = self.data, self.density(theta)
        logit = optimal_logit(data, model)
        there, here = (
            expectation(lambda x: -np.logaddexp(0, logit(x)), law, other)
            for law, other in ((data, model), (model, data))
        )
        return Integral(there - here, there.error + here.error)


def generator_gradients(p_data: Density, p_g: Density, slope: float, sharpness: float) -> tuple[Integral, Integral]:
    """Mean size of both players' pull on a sample as D improves: E_g|∂ log(1 − D)/∂x| and E_g|∂ log D/∂x|.

    D = σ(sharpness·l*) with the optimal logit l*, from D = 1/2 (sharpness 0) to D* (1). For normal laws of equal width
    l* is a line; `slope` is its derivative. The first is E_g[D]·|slope|·sharpness, which dies as D wins (it
    *saturates*); the second E_g[1 − D]·|slope|·sharpness (section 3).
    """
    logit, size = optimal_logit(p_data, p_g), abs(slope) * sharpness
    minimax = expectation(lambda x: size * expit(sharpness * logit(x)), p_g, p_data)
    other = expectation(lambda x: size * expit(-sharpness * logit(x)), p_g, p_data)
    return minimax, other
