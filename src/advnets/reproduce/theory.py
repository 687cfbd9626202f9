"""Propositions and theorem of section 4, each with what was computed and how far it is from what the paper says."""

import math
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass

import numpy as np
from scipy.special import xlogy

from advnets import theory
from advnets.reproduce.artefact import Artefact, Plan
from advnets.theory import dynamics

LOG4 = math.log(4)
EXACT, QUADRATURE = 1e-10, 1e-9


@dataclass(frozen=True)
class Claim:
    """A statement of the paper, and what came of it here."""

    tag: str
    claim: str
    computed: str
    residual: float
    """How far what was computed is from the claim; 0 for an inequality that holds."""
    tolerance: float

    @property
    def holds(self) -> bool:
        """Tell whether the residual is within its tolerance, and a number."""
        return self.residual <= self.tolerance


Pair = tuple[theory.Density, theory.Density]
PAIRS: dict[str, Pair] = {
    "two normal laws": (theory.normal(0, 1), theory.normal(1.5, 0.7)),
    "a mixture and a normal law": (
        theory.mixture([0.3, 0.7], [theory.normal(-2, 0.5), theory.normal(2, 1)]),
        theory.normal(0, 2),
    ),
    "overlapping uniform laws": (theory.uniform(0, 2), theory.uniform(1, 4)),
    "two discrete laws": (theory.discrete([0, 1, 2], [0.1, 0.2, 0.7]), theory.discrete([0, 1, 3], [0.5, 0.2, 0.3])),
}
OTHER_LOGITS: tuple[theory.densities.Function, ...] = (
    lambda x: 0.3 * x - 0.1,
    lambda x: np.zeros_like(x),
    lambda x: np.sin(3 * x),
)


def reproduce(plan: Plan) -> Artefact:
    """Check every claim; `holds` is true where every residual is within its tolerance."""
    claims = [claim for check in CHECKS for claim in check()]
    head = ("tag", "claim", "computed", "residual", "tolerance", "")
    rows = [
        (one.tag, one.claim, one.computed, f"{one.residual:.1e}", f"{one.tolerance:.0e}", "" if one.holds else "FAILS")
        for one in claims
    ]
    summary = {"claims": [{**asdict(one), "holds": one.holds} for one in claims]}
    return Artefact([head, *rows], summary, holds=all(one.holds for one in claims))


def proposition_1() -> Iterator[Claim]:
    """For fixed G the best D is p_data/(p_data + p_g)."""
    worst, best = 0.0, math.inf
    for data, model in PAIRS.values():
        top = theory.criterion(data, model)
        for logit in OTHER_LOGITS:
            gap = top - theory.value(logit, data, model)
            worst, best = max(worst, abs(gap - theory.excess(logit, data, model))), min(best, gap)
    count = len(PAIRS) * len(OTHER_LOGITS)
    yield Claim("P1", "no D beats D*", f"smallest V(D*) − V(D) of {count}: {best:.3g}", max(0.0, -best), EXACT)
    yield Claim("P1", "V(D*) − V(D) = 2 E KL(D* ‖ D)", f"both sides by quadrature, {count} times", worst, QUADRATURE)
    a, b, y = np.meshgrid(np.linspace(0, 3, 31), np.linspace(0.1, 3, 30), np.linspace(0.001, 0.999, 999))
    above = (xlogy(a, y) + xlogy(b, 1 - y)) - (xlogy(a, a / (a + b)) + xlogy(b, b / (a + b)))
    text = "against 999 other y, 930 pairs"
    yield Claim("P1", "a log y + b log(1−y) is largest at a/(a+b)", text, max(0.0, float(above.max())), EXACT)


def likelihood_of_labels() -> Iterator[Claim]:
    """Training D maximises a conditional log-likelihood."""
    off = [
        abs(theory.conditional_log_likelihood(logit, *pair) - theory.value(logit, *pair) / 2)
        for pair in PAIRS.values()
        for logit in OTHER_LOGITS
    ]
    yield Claim("P1b", "V(D)/2 = E log P(Y = y | x)", f"{len(off)} times", max(off), QUADRATURE)


def theorem_1() -> Iterator[Claim]:
    """C(G) = −log 4 + 2·JSD, least at p_g = p_data."""
    for name, (data, model) in PAIRS.items():
        c, jsd = theory.criterion(data, model), theory.jensen_shannon(data, model)
        text = f"{name}: C = {c:.6f}, JSD = {jsd:.6f}"
        yield Claim("E6", "C(G) = −log 4 + 2 JSD", text, abs(c + LOG4 - 2 * jsd), QUADRATURE)
    by_hand = math.log(0.6) / 2 + math.log(0.4) / 3
    off = abs(theory.criterion(*PAIRS["overlapping uniform laws"]) - by_hand)
    yield Claim("E4", "C of two uniform laws by hand", f"log(.6)/2 + log(.4)/3 = {by_hand:.6f}", off, EXACT)
    same = [abs(theory.criterion(law, law) + LOG4) for pair in PAIRS.values() for law in pair]
    yield Claim("T1", "C = −log 4 where p_g = p_data", f"{len(same)} laws", max(same), EXACT)
    apart = abs(theory.criterion(theory.uniform(0, 1), theory.uniform(2, 3)))
    yield Claim("T1", "C = 0, its largest, for disjoint supports", "two uniform laws", apart, EXACT)
    x = np.linspace(-3, 3, 61)
    law = PAIRS["two normal laws"][0]
    half = float(np.abs(theory.optimal_discriminator(law(x), law(x)) - 0.5).max())
    yield Claim("T1", "D* = 1/2 where p_g = p_data", "at 61 points", half, EXACT)
    yield from _bounds()


def _bounds() -> Iterator[Claim]:
    """Pinsker's inequality and its like between JSD and total variation, and a closed form of KL."""
    rng = np.random.default_rng(0)
    points, worst = np.arange(6), 0.0
    for _ in range(200):
        p, q = (theory.discrete(points, rng.dirichlet(np.full(6, 0.4))) for _ in range(2))
        jsd, tv = theory.jensen_shannon(p, q), theory.total_variation(p, q)
        worst = max(worst, tv**2 / 2 - jsd, jsd - tv * math.log(2))
    yield Claim("T1", "TV²/2 ≤ JSD ≤ TV log 2", "200 pairs of discrete laws", worst, EXACT)
    data, model = PAIRS["two normal laws"]
    off = theory.kullback_leibler(data, model) - (math.log(0.7) + (1 + 1.5**2) / (2 * 0.7**2) - 0.5)
    yield Claim("E5", "KL of normal laws has a closed form", "quadrature against it", abs(off), EXACT)
    middle = theory.mixture([0.5, 0.5], [data, model])
    parts = [theory.kullback_leibler(law, middle) for law in (data, model)]
    text = f"KL to the mean law {parts[0]:.6f} and {parts[1]:.6f}"
    off = theory.criterion(data, model) + LOG4 - sum(parts)
    yield Claim("E5", "C(G) = −log 4 + KL + KL", text, abs(off), QUADRATURE)


def proposition_2() -> Iterator[Claim]:
    """Small steps of p_g under the optimal D reach p_data; large ones do not."""
    laws = np.random.default_rng(0).dirichlet(np.full(5, 0.5), (500, 3))
    ends = sum(dynamics.criteria(target, law[None])[0] for target, *two in laws for law in two) / 2
    middles = sum(dynamics.criteria(target, ((p + q) / 2)[None])[0] for target, p, q in laws)
    bent = max(
        dynamics.criteria(target, ((p + q) / 2)[None])[0] - dynamics.criteria(target, np.stack([p, q])).mean()
        for target, p, q in laws
    )
    text = f"500 pairs: mean C in the middle {middles / 500:.3f}, of the ends {ends / 500:.3f}"
    yield Claim("P2", "C is convex in p_g", text, max(0.0, float(bent)), EXACT)
    data, start = np.array([0.02, 0.08, 0.2, 0.3, 0.4]), np.array([0.6, 0.2, 0.1, 0.05, 0.05])
    for step, size, limit in (
        (dynamics.entropic_step, 1.0, "≤ 1: C never rises"),
        (dynamics.euclidean_step, 0.05, "< 4 min p_data"),
    ):
        path = theory.flow(data, start, step, size, 400)
        c = dynamics.criteria(data, path)
        rise, last = max(0.0, float(np.diff(c).max())), float(np.abs(path[-1] - data).max())
        kind = step.__name__.replace("_", " ")
        yield Claim("P2", f"C falls at every {kind}", f"size {size:g} ({limit}), 400 steps", rise, EXACT)
        yield Claim("P2", "p_g → p_data", f"C from {c[0] + LOG4:.3f} to {c[-1] + LOG4:.0e} over −log 4", last, EXACT)
    even = np.full(4, 0.25)
    for step, edge in ((dynamics.entropic_step, dynamics.ENTROPIC_LIMIT), (dynamics.euclidean_step, 4 * 0.25)):
        near = even * np.array([1.01, 0.99, 1.01, 0.99])
        below, above = (
            float(np.abs(theory.flow(even, near, step, share * edge, 400)[-1] - even).max()) for share in (0.95, 1.05)
        )
        kind = step.__name__.replace("_", " ")
        text = f"from 1 % off, 400 steps: {below:.0e} below, {above:.2g} above"
        miss = 0.0 if below < 1e-6 and above > 0.01 else 1.0
        yield Claim("P2", f"{kind}s settle below size {edge:g} only", text, miss, EXACT)


def parametric() -> Iterator[Claim]:
    """θ_g has critical points that p_g has not, and log(1 − D(G(z))) saturates."""
    game = theory.TwoModes()
    for start, name in (((2, -2), "modes swapped, a minimum"), ((2, 2), "both modes on one, a flat saddle")):
        theta = game.critical_point(np.array(start, float))
        flat, down = float(np.abs(game.gradient(theta)).max()), game.slope_to_data(theta)
        above, bend = game.criterion(theta) + LOG4, game.curvature(theta)
        text = f"θ = ({theta[0]:.3f}, {theta[1]:.3f}): C + log 4 = {above:.3f}, curvature {bend[0]:.2g}, {bend[1]:.2g}"
        yield Claim("P2b", f"∂C/∂θ = 0 with {name}", text, flat, EXACT)
        yield Claim("P2b", "… where p_g itself could still improve", f"slope to p_data {down:.3g}", max(0, down), EXACT)
    data, model = theory.normal(0, 1), theory.normal(6, 1)
    pulls = [theory.generator_gradients(data, model, -6.0, sharpness) for sharpness in (0.01, 0.3, 1.0)]
    shares = [minimax / other for minimax, other in pulls]
    text = f"of the non-saturating one: {', '.join(f'{share:.2g}' for share in shares)}"
    rise = max(0.0, float(np.diff(shares).max()))
    yield Claim("E1s", "the minimax gradient fades as D improves", text, rise, EXACT)


CHECKS: tuple[Callable[[], Iterator[Claim]], ...] = (
    proposition_1,
    likelihood_of_labels,
    theorem_1,
    proposition_2,
    parametric,
)
