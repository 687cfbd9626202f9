"""Propositions and theorem of section 4, each with what was computed and how far it is from what the paper says."""

import math
from collections.abc import Callable, Iterable, Iterator
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
    """How far what was computed is from the claim; 0 for an inequality that holds, 1 for other words that are false."""
    tolerance: float

    @property
    def holds(self) -> bool:
        """Tell whether the residual is within its tolerance, and a number."""
        return 0 <= self.residual <= self.tolerance

    def summary(self) -> dict[str, object]:
        """Return it as plain JSON values: a residual that is no number is null."""
        residual = self.residual if math.isfinite(self.residual) else None
        return {**asdict(self), "residual": residual, "holds": self.holds}


def worst(offsets: Iterable[float]) -> float:
    """Return the largest of 0 and the offsets, NaN where one is."""
    return float(np.max([0.0, *offsets]))


def unless(holds: bool) -> float:
    """Return 0 where something holds and 1 where not."""
    return 0.0 if holds else 1.0


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
UNEVEN = np.array([0.02, 0.08, 0.2, 0.3, 0.4])


def reproduce(plan: Plan) -> Artefact:
    """Check every claim; `holds` is true where every residual is within its tolerance."""
    claims = [claim for check in CHECKS for claim in check()]
    head = ("tag", "claim", "computed", "residual", "tolerance", "")
    rows = [
        (one.tag, one.claim, one.computed, f"{one.residual:.1e}", f"{one.tolerance:.0e}", "" if one.holds else "FAILS")
        for one in claims
    ]
    summary = {"claims": [one.summary() for one in claims]}
    return Artefact([head, *rows], summary, holds=all(one.holds for one in claims))


def proposition_1() -> Iterator[Claim]:
    """For fixed G the best D is p_data/(p_data + p_g)."""
    gaps, excesses = [], []
    for data, model in PAIRS.values():
        top = theory.criterion(data, model)
        for logit in OTHER_LOGITS:
            gaps.append(top - theory.value(logit, data, model))
            excesses.append(theory.excess(logit, data, model))
    count, off = len(gaps), worst(np.abs(np.subtract(gaps, excesses)))
    text = f"smallest V(D*) − V(D) of {count}: {np.min(gaps):.3g}"
    yield Claim("P1", "no D beats D*", text, worst(-gap for gap in gaps), EXACT)
    yield Claim("P1", "V(D*) − V(D) = 2 E KL(D* ‖ D)", f"both sides by quadrature, {count} times", off, QUADRATURE)
    a, b, y = np.meshgrid(np.linspace(0, 3, 31), np.linspace(0.1, 3, 30), np.linspace(0.001, 0.999, 999))
    above = (xlogy(a, y) + xlogy(b, 1 - y)) - (xlogy(a, a / (a + b)) + xlogy(b, b / (a + b)))
    text = "against 999 other y, 930 pairs"
    yield Claim("P1", "a log y + b log(1−y) is largest at a/(a+b)", text, worst([above.max()]), EXACT)


def likelihood_of_labels() -> Iterator[Claim]:
    """Training D maximises a conditional log-likelihood."""
    off = [
        abs(theory.conditional_log_likelihood(logit, *pair) - theory.value(logit, *pair) / 2)
        for pair in PAIRS.values()
        for logit in OTHER_LOGITS
    ]
    yield Claim("P1b", "V(D)/2 = E log P(Y = y | x)", f"{len(off)} times", worst(off), QUADRATURE)


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
    yield Claim("T1", "C = −log 4 where p_g = p_data", f"{len(same)} laws", worst(same), EXACT)
    apart = abs(theory.criterion(theory.uniform(0, 1), theory.uniform(2, 3)))
    yield Claim("T1", "C = 0, its largest, for disjoint supports", "two uniform laws", apart, EXACT)
    x = np.linspace(-3, 3, 61)
    law = PAIRS["two normal laws"][0]
    half = worst([np.abs(theory.optimal_discriminator(law(x), law(x)) - 0.5).max()])
    yield Claim("T1", "D* = 1/2 where p_g = p_data", "at 61 points", half, EXACT)
    yield from _bounds()


def _bounds() -> Iterator[Claim]:
    """Pinsker's inequality and its like between JSD and total variation, and a closed form of KL."""
    rng = np.random.default_rng(0)
    points, beyond = np.arange(6), []
    for _ in range(200):
        p, q = (theory.discrete(points, rng.dirichlet(np.full(6, 0.4))) for _ in range(2))
        jsd, tv = theory.jensen_shannon(p, q), theory.total_variation(p, q)
        beyond += [tv**2 / 2 - jsd, jsd - tv * math.log(2)]
    yield Claim("T1", "TV²/2 ≤ JSD ≤ TV log 2", "200 pairs of discrete laws", worst(beyond), EXACT)
    data, model = PAIRS["two normal laws"]
    off = theory.kullback_leibler(data, model) - (math.log(0.7) + (1 + 1.5**2) / (2 * 0.7**2) - 0.5)
    yield Claim("E5", "KL of normal laws has a closed form", "quadrature against it", abs(off), EXACT)
    middle = theory.mixture([0.5, 0.5], [data, model])
    parts = [theory.kullback_leibler(law, middle) for law in (data, model)]
    text = f"KL to the mean law {parts[0]:.6f} and {parts[1]:.6f}"
    off = theory.criterion(data, model) + LOG4 - sum(parts)
    yield Claim("E5", "C(G) = −log 4 + KL + KL", text, abs(off), QUADRATURE)


def proposition_2() -> Iterator[Claim]:
    """Small steps of p_g under the optimal D reach p_data."""
    laws = np.random.default_rng(0).dirichlet(np.full(5, 0.5), (500, 3))
    middles = np.array([dynamics.criteria(target, ((p + q) / 2)[None])[0] for target, p, q in laws])
    ends = np.array([dynamics.criteria(target, np.stack(two)).mean() for target, *two in laws])
    text = f"500 pairs: mean C in the middle {middles.mean():.3f}, of the ends {ends.mean():.3f}"
    yield Claim("P2", "C is convex in p_g", text, worst(middles - ends), EXACT)
    for step, size, limit in (
        (dynamics.entropic_step, 1.0, "≤ 1: C never rises"),
        (dynamics.euclidean_step, 0.05, f"p_data is stable below {dynamics.euclidean_limit(UNEVEN):.3g}"),
    ):
        path = theory.flow(UNEVEN, np.array([0.6, 0.2, 0.1, 0.05, 0.05]), step, size, 400)
        c = dynamics.criteria(UNEVEN, path)
        text = f"size {size:g} ({limit}), 400 steps"
        yield Claim("P2", f"C falls at every {_words(step)}", text, worst(np.diff(c)), EXACT)
        text, off = f"C from {c[0] + LOG4:.3f} to {c[-1] + LOG4:.0e} over −log 4", worst(np.abs(path[-1] - UNEVEN))
        yield Claim("P2", "p_g → p_data", text, off, EXACT)


def step_sizes() -> Iterator[Claim]:
    """Each kind of step settles at p_data below a limit of its size, and not above."""
    for name, data in (("even law of 4", np.full(4, 0.25)), ("uneven law of 5", UNEVEN)):
        near = data * (1 + 0.01 * (-1.0) ** np.arange(len(data)))
        near /= near.sum()
        for step, limit in (
            (dynamics.entropic_step, dynamics.ENTROPIC_LIMIT),
            (dynamics.euclidean_step, dynamics.euclidean_limit(data)),
        ):
            below, above = (
                np.abs(theory.flow(data, near, step, share * limit, 400)[-1] - data).max() for share in (0.95, 1.05)
            )
            text = f"{name}, from 1 % off, 400 steps: {below:.0e} with 5 % less, {above:.2g} with 5 % more"
            both = unless(below < 1e-6 and above > 1e-3)
            yield Claim("P2", f"{_words(step)}s settle below size {limit:.3g} only", text, both, EXACT)


def critical_points() -> Iterator[Claim]:
    """θ_g has critical points that p_g has not: a minimum and a plateau."""
    game = theory.TwoModes()
    for start, name, low, high in (
        ((2.0, -2.0), "modes swapped, a minimum", 0.1, math.inf),
        ((2.0, 2.0), "both modes on one, a flat saddle", -0.01, 0.0),
    ):
        theta = game.critical_point(np.array(start))
        flat, down = np.abs(game.gradient(theta)).max(), game.slope_to_data(theta)
        above, bend = game.criterion(theta) + LOG4, game.curvature(theta)
        text = f"θ = ({theta[0]:.3f}, {theta[1]:.3f}): C + log 4 = {above:.3f}, curvature {bend[0]:.2g}, {bend[1]:.2g}"
        so = unless(above > 0.1 and low < bend[0] < high and bend[1] > 0.1)
        yield Claim("P2b", f"∂C/∂θ = 0 with {name}", text, worst([flat, so]), EXACT)
        text = f"slope to p_data {down:.3g}"
        yield Claim("P2b", "… where p_g itself could still improve", text, unless(down < -0.1), EXACT)


def paths() -> Iterator[Claim]:
    """From one law, θ_g goes down to a false minimum, and p_g to p_data."""
    game, start = theory.TwoModes(), np.array([1.0, -1.0])
    path = game.descend(start, 1.0, 40)
    c = np.array([game.criterion(theta) for theta in path]) + LOG4
    text = f"from θ = (1, −1), 40 steps of size 1: C + log 4 falls from {c[0]:.3f} to {c[-1]:.3f}"
    false = unless(c[-1] > 0.1 and game.curvature(path[-1])[0] > 0.1)
    off = worst([*np.diff(c), *np.abs(game.gradient(path[-1])), false])
    yield Claim("P2b", "descent in θ ends in the false minimum", text, off, EXACT)
    x = np.linspace(-6, 6, 481)
    data, model = (law(law.nodes) for law in (theory.grid(x, one(x)) for one in (game.data, game.density(start))))
    c = dynamics.criteria(data, theory.flow(data, model, dynamics.entropic_step, 0.25, 400)) + LOG4
    text = f"on 481 points, 400 entropic steps of size .25: C + log 4 falls from {c[0]:.3f} to {c[-1]:.0e}"
    off = worst([*np.diff(c), abs(c[-1]), abs(c[0] - game.criterion(start) - LOG4)])
    yield Claim("P2b", "… and that of p_g, from the same law, at p_data", text, off, EXACT)


def saturation() -> Iterator[Claim]:
    """log(1 − D(G(z))) saturates."""
    laws, sharpness = (theory.normal(0, 1), theory.normal(6, 1)), (0.01, 0.1, 0.3, 1.0)
    minimax, other = np.array([theory.generator_gradients(*laws, one) for one in sharpness]).T
    pulls = (", ".join(f"{pull:.2g}" for pull in player) for player in (minimax, other))
    text = "mean pull {}; of the non-saturating one {}".format(*pulls)
    off = worst([*np.diff(minimax[1:]), *np.diff(minimax / other), *-np.diff(other)])
    yield Claim("E1s", "the minimax gradient fades against the other as D improves", text, off, EXACT)


def _words(step: dynamics.Step) -> str:
    return step.__name__.replace("_", " ")


CHECKS: tuple[Callable[[], Iterator[Claim]], ...] = (
    proposition_1,
    likelihood_of_labels,
    theorem_1,
    proposition_2,
    step_sizes,
    critical_points,
    paths,
    saturation,
)
