"""Where practice leaves the theory: θ_g is optimised and not p_g, and log(1 − D(G(z))) saturates as D improves."""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float64
from scipy.optimize import root
from scipy.special import expit

from advnets.theory.densities import Density, Doubles, Integral, expectation, mixture, normal, require
from advnets.theory.divergences import criterion, optimal_logit

Pair = Float64[np.ndarray, "2"]

_DIFFERENCE = 1e-6  # of the width of p_g: 1e-4 sd of a normal law, small beside it and large beside rounding


@dataclass(frozen=True)
class TwoModes:
    """p_θ = w·N(θ_1, sd²) + (1 − w)·N(θ_2, sd²), and p_data a member of it: θ = (−distance, distance).

    C is convex in p_g, and p_data its only critical point there. In θ it has others (section 4.2 of the paper), if the
    modes are well apart: each mode of p_θ near the other one's place is a minimum with C(θ) > −log 4; both near one
    place, a collapsed generator, is a saddle as flat as a plateau. The weight is not 1/2, where the swapped modes would
    be p_data itself.
    """

    distance: float = 2.0
    sd: float = 0.5
    weight: float = 0.3

    def __post_init__(self) -> None:
        """Refuse what are no two modes, and equal ones."""
        allowed = 0 < self.weight < 1 and self.weight != 0.5
        require(allowed, "weight", self.weight, "a number from 0 to 1, and none of 0, 1/2 and 1")
        require(0 < self.distance < np.inf, "distance", self.distance, "a finite number above 0")
        require(0 < self.sd < np.inf, "sd", self.sd, "a finite number above 0")

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
        """Find the θ less than `distance` from `start` where ∂C/∂θ = 0; raises InputError where none is found.

        Far from the data ∂C/∂θ dies in every direction, so that a search may run off there.
        """
        found = root(self.gradient, start, tol=1e-10)
        near = np.abs(found.x - start).max() < self.distance
        require(bool(found.success and near), "start", np.asarray(start).tolist(), "a place near a critical point")
        return np.asarray(found.x)

    def descend(self, theta: Pair, size: float, steps: int) -> Float64[np.ndarray, "t 2"]:
        """Follow θ ← θ − size·∂C/∂θ, the flow of θ_g under the optimal D, for `steps` steps; the first row is θ."""
        path = [np.asarray(theta, np.float64)]
        for _ in range(steps):
            path.append(path[-1] - size * self.gradient(path[-1]))
        return np.stack(path)

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


def generator_gradients(p_data: Density, p_g: Density, sharpness: float) -> tuple[Integral, Integral]:
    """Mean size of both players' pull on a sample as D improves: E_g|∂ log(1 − D)/∂x| and E_g|∂ log D/∂x|.

    D = σ(sharpness·l*) with the optimal logit l*, from D = 1/2 (sharpness 0) to D* (1). The first is
    sharpness·E_g[D·|∂l*/∂x|], which dies as D wins (it *saturates*); the second is sharpness·E_g[(1 − D)·|∂l*/∂x|]
    (section 3). ∂l*/∂x is a central difference; both are NaN where p_data is 0 and p_g is not.
    """
    require(not p_g.is_discrete, "p_g", "discrete", "densities")
    logit, h = optimal_logit(p_data, p_g), _DIFFERENCE * (p_g.nodes[-1] - p_g.nodes[0])

    def pull(sign: int) -> Integral:
        def inner(x: Doubles) -> Doubles:
            slope = np.abs(logit(x + h) - logit(x - h)) / (2 * h)
            return sharpness * slope * expit(sign * sharpness * logit(x))

        return expectation(inner, p_g, p_data)

    return pull(1), pull(-1)
