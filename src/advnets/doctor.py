"""Verdicts: what the lines of a run's log say about how its game is doing, free of torch.

Samples that are unlike the data are no failure by themselves: every game begins with them. What counts is the pace. A
signal that is far from good is judged by whether, going on as in the last lines, it would be good in the steps left.
"""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import pairwise
from statistics import fmean, median
from typing import Any

from advnets.config import Config, TrainConfig
from advnets.history import CHANCE, WINDOW, History, Line, Signal, of, spaced

GOOD = ("healthy", "learning")
LASTING = ("stalled", "memorising")
"""Bad verdicts that a smaller step does not mend."""

_WILD = 2.0  # mean logit of data less that of samples with which D, were it right, would have a value near nought
_APART = 9.0  # mean logit of data less that of samples with which D is sure of both
_NEAR, _FAR = 10.0, 100.0  # times as far from data as held-out examples are: samples may be data; are none
_SURE = 0.01  # value this near nought: D is never wrong
_FIRST_MARGIN = 0.1  # mean logit of data less that of samples at which it surely has
_STANDING = 1 / 40  # of all steps, for which a game has been bad before a verdict on its pace counts
_CREEP = 6.0  # times its norm that a player's weights move in a game with this pace; a good one makes more than ten


@dataclass(frozen=True)
class Verdict:
    """How a game is doing: a name, the numbers that say so, and what to do."""

    name: str
    evidence: str
    advice: str

    @property
    def bad(self) -> bool:
        """Tell whether training has gone wrong."""
        return self.name not in GOOD


ADVICE = {
    "healthy": "go on; samples and scores say when it is enough",
    "learning": "go on; the samples are not like the data yet and come nearer",
    "diverged": "start again, or from the last checkpoint, with a smaller --train.learning_rate; look for numbers in "
    "the data that are none",
    "dead-units": "start again with a smaller --train.learning_rate, or with --generator.hidden_biases nearer to 0",
    "stalled": "raise --train.learning_rate, or train for more --train.steps",
    "generator-ahead": "give D a larger --train.discriminator_learning_rate or more steps (--train.k), G fewer",
    "saturated": "use the non-saturating loss (--train.minimax_weight 0 --train.non_saturating_weight 1), "
    "or a slower D",
    "discriminator-won": "give D a smaller --train.discriminator_learning_rate or fewer steps, or more dropout "
    "(--discriminator.keep); look at the scale of the data",
    "collapsed": "give G fewer or smaller steps beside D's (--train.generator_steps, "
    "--train.discriminator_learning_rate); go back to a checkpoint from before",
    "partly-collapsed": "give D more steps or a larger rate, and the noise more dimensions (--noise.dimension)",
    "oscillating": "make --train.learning_rate smaller, or --train.momentum",
    "memorising": "train on more examples, for fewer steps, or with smaller nets",
}
"""What to do, for each verdict."""


def judge(lines: Sequence[Line], train: TrainConfig) -> Verdict | None:
    """Say how a game is doing from all lines of its log so far, the newest last; None without a line with signals."""
    lines = [line for line in lines if line.get("signals")]
    if not lines:
        return None
    if verdict := _diverged(lines[-1]):
        return verdict
    history = History(spaced(lines, train), train)
    for check in (_constant, _dead, _still):
        if verdict := check(history):
            return verdict
    verdict = _playing(history)
    if verdict.name in _PACED and not all(_playing(earlier).bad for earlier in history.earlier(_STANDING)):
        verdict = _verdict("learning", f"{verdict.evidence}: {verdict.name}, if it stays so")
    return verdict if verdict.bad else _creeping(history) or verdict


def _playing(history: History) -> Verdict:
    """The verdict of these lines, however long it has stood."""
    for check in (_waiting, *_PLAYING):
        if verdict := check(history):
            return verdict
    return _fine(history)


def stage(lines: Sequence[Line], config: Config) -> list[Any]:
    """Lines of the stage in which the log ends: a second stage begins with a fresh D, and so does its judgement."""
    after = config.second_stage.after if config.second_stage else 0
    return [line for line in lines if line["step"] > after or lines[-1]["step"] <= after]


def diverged() -> Verdict:
    """The verdict on a run that ended because a number of it was not finite."""
    return _verdict("diverged", "a loss or a weight is not finite")


def _verdict(name: str, evidence: str) -> Verdict:
    return Verdict(name, evidence, ADVICE[name])


def _logarithm(name: str) -> Signal:
    def read(line: Line) -> float | None:
        value = of(name)(line)
        return math.log(value) if value and value > 0 else None

    return read


def _narrowness(line: Line) -> float | None:
    """How much less samples vary than the data, as a logarithm."""
    spread = of("spread")(line)
    return None if spread is None else -math.log(max(spread, 1e-9))


def _distance(line: Line) -> float | None:
    """How far samples are from data in spread and in nearness, whichever is worse, as a logarithm."""
    narrow, near = _narrowness(line), of("nearness")(line)
    return None if narrow is None else max(abs(narrow), math.log(near) if near and near > 0 else 0.0)


def _likeness(line: Line) -> float | None:
    """How like the data samples are in spread and nearness, whichever is worse: 1 is as the data."""
    distance = _distance(line)
    return None if distance is None else math.exp(-distance)


def _diverged(line: Line) -> Verdict | None:
    count = of("non_finite")(line)
    if line["value"] is None or count:
        return _verdict("diverged", f"the value of the game or {count or 0:,.0f} numbers of samples are not finite")
    return None


def _constant(history: History) -> Verdict | None:
    if len(history.lines) >= 3 and all(of("spread")(line) is None for line in history.lines):
        return Verdict("collapsed", "all training examples are alike, so all samples will be", "give it data that vary")
    return None


def _dead(history: History) -> Verdict | None:
    dead = history.recent("dead", 3)
    if len(dead) == 3 and min(dead) >= 0.8:
        return _verdict("dead-units", f"{dead[-1]:.0%} of G's rectifiers are 0 for every z")
    return None


def _still(history: History) -> Verdict | None:
    for player, name in (("G", "g_update"), ("D", "d_update")):
        moved = history.recent(name, 4)
        if len(moved) == 4 and max(moved) == 0:
            return _verdict("stalled", f"{player}'s weights do not change")
    return None


def _waiting(history: History) -> Verdict | None:
    """Judge a game in which D still answers ½ everywhere: its margin grows like an exponential until it does not."""
    if history.begun is not None or len(history.lines) < WINDOW:
        return None
    if 0.5 <= (history.middle("spread") or 0.0) <= 2:  # G is no worse than D knows
        return None
    if verdict := _shrunk(history):
        return verdict
    margin = history.middle("margin") or 0.0
    evidence = f"after {history.lines[-1]['step']:,} steps D answers ½ everywhere (margin {margin:.1g})"
    reach = _logarithm_of_margin
    if not history.arrives(lambda line: -reach(line), -math.log(_FIRST_MARGIN)):
        return _verdict("stalled", f"{evidence}, and at this pace will for long")
    return _verdict("learning", f"{evidence}, less and less so")


def _shrunk(history: History) -> Verdict | None:
    """Find samples that jump about, nearly all alike, ahead of a D that finds nothing to tell them by."""
    spreads, ever = history.recent("spread"), history.recent("spread", len(history.lines))
    if not spreads or median(spreads) >= 0.3 or max(ever) < 2 * median(spreads):
        return None
    evidence = f"two samples are {median(spreads):.2g} times as far apart as two examples, and were {max(ever):.2g}"
    return _verdict("collapsed", evidence)


def _logarithm_of_margin(line: Line) -> float:
    return math.log(max(of("margin")(line) or 0.0, 1e-12))


def _memorising(history: History) -> Verdict | None:
    near, spread, gap, crowd = (history.middle(name) for name in ("nearness", "spread", "gap", "crowd"))
    if near is None or spread is None:
        return None
    copies = near < 0.55 or (near < 0.65 and history.arrives(_logarithm("nearness"), math.log(0.5)))
    if spread > 0.3 and copies:
        return _verdict(
            "memorising", f"samples are {near:.2f} times as far from training examples as held-out ones are"
        )
    if gap is not None and gap >= 0.12 and (spread < 0.7 or (crowd or 0) >= 0.2):
        return _verdict(
            "memorising",
            f"D knows training examples by heart (D(x) is {gap:.2f} higher on them), and samples vary too little",
        )
    return None


def _generator_ahead(history: History) -> Verdict | None:
    value, margin = median(history.recent(lambda line: line["value"])), history.middle("margin") or 0.0
    if (value < -1.6 and margin < _WILD) or margin < -0.1:
        return _verdict(
            "generator-ahead",
            f"D takes samples for data: value {value:.2f} where a coin has {CHANCE:.2f}, margin {margin:.2g}",
        )
    return None


def _discriminator_ahead(history: History) -> Verdict | None:
    real, fake, rejected, margin = map(history.recent, ("accuracy_real", "accuracy_fake", "rejected", "margin"))
    if not (real and fake and rejected and margin):
        return None
    if median(real) < 0.85 or min(fake) < 0.95 or (median(rejected) < 0.5 and min(margin) < _APART):
        return None
    if _near(history):  # D is often this far ahead of a young G that catches up
        values = history.recent(lambda line: line["value"], 2 * WINDOW)
        sure = min(values[-WINDOW:]) > -_SURE
        if not sure and (len(values) < 2 * WINDOW or median(values) < -0.04):
            return None
    elif history.arrives(_distance, math.log(2)):
        return None
    return _won(history, "G comes no nearer")


def _won(history: History, evidence: str) -> Verdict:
    """The verdict on a game in which D is so sure that it does not teach G, by G's loss."""
    real, fake = history.middle("accuracy_real"), history.middle("accuracy_fake")
    evidence = f"D is right about {real:.0%} of data and {fake:.0%} of samples, and {evidence}"
    if history.train.minimax_weight and not history.train.non_saturating_weight:
        slope, lost = history.middle("d_gradient") or 0.0, history.middle("g_gradient") or 0.0
        return _verdict("saturated", f"{evidence}: its gradient is {slope:.1g} at the image, not {lost:.1g}")
    return _verdict("discriminator-won", evidence)


def _near(history: History) -> bool:
    distance = history.middle(_distance)
    return distance is not None and distance <= math.log(2)


def _collapsed(history: History) -> Verdict | None:
    spread, crowd = history.middle("spread"), history.middle("crowd")
    if spread is not None and spread < 0.3 and not history.arrives(_narrowness, -math.log(0.5)):
        evidence = f"two samples are {spread:.2g} times as far apart as two examples"
        if _outplayed(history):
            return _won(history, evidence)
        if _widening(history, spread):
            return _verdict("stalled", f"{evidence}, and at this pace stay nearly so")
        return _verdict("collapsed", f"{evidence}, and stay so")
    varied = (history.middle("classes") or 0) >= 0.8  # samples of little contrast are near each other, and differ
    if crowd is None or crowd < 0.5 or varied or _young(history):
        return None
    if not history.arrives(_logarithm("crowd"), math.log(0.1)):
        evidence = f"{crowd:.0%} of samples are nearly one and the same"
        return _won(history, evidence) if _outplayed(history) else _verdict("collapsed", evidence)
    return None


def _young(history: History) -> bool:
    """Tell whether samples vary ever more in the first third of the game: many are nearly the same for a while then."""
    spread = history.middle("spread")
    early = history.lines[-1]["step"] < history.train.steps / 3
    return early and spread is not None and _widening(history, spread)


def _outplayed(history: History) -> bool:
    """Tell whether D is right about nearly everything, by logits far apart."""
    names = ("accuracy_real", "accuracy_fake", "margin")
    real, fake, margin = (history.middle(name) or 0.0 for name in names)
    return min(real, fake) >= 0.9 and margin >= _APART


def _widening(history: History, spread: float) -> bool:
    """Tell whether samples vary about as much as they ever did, and more than when the game began."""
    spreads = history.recent("spread", history.played)
    return spread >= max(0.7 * max(spreads), 1.3 * fmean(spreads[:3]))


def _partly_collapsed(history: History) -> Verdict | None:
    crowd, classes, distance = (history.middle(name) for name in ("crowd", "classes", "class_distance"))
    wide = history.middle("spread")
    varied = (classes or 0) >= 0.8
    crowded = crowd is not None and crowd >= 0.3 and not varied and not _young(history)
    if crowded and not history.arrives(_logarithm("crowd"), math.log(0.08)):
        return _verdict("partly-collapsed", f"{crowd:.0%} of samples are nearly one and the same")
    if classes is None or distance is None or wide is None or not 0.5 <= wide <= 1.5:
        return None
    few = (classes <= 0.3 and distance >= 0.6) or (history.played >= 40 and (classes <= 0.4 or distance > 0.6))
    if few and not history.arrives(_logarithm("class_distance"), math.log(0.3)):
        return _verdict(
            "partly-collapsed",
            f"samples are in {classes:.0%} of the classes, and {distance:.0%} of them are in too full ones",
        )
    return None


def _oscillating(history: History) -> Verdict | None:
    values = history.recent(lambda line: line["value"])
    margin = history.middle("margin") or 0.0
    if median(values) < -1.6 and margin >= _WILD:
        evidence = f"D answers by logits {margin:.2g} apart and is often wrong: value {median(values):.2f}"
        return _verdict("oscillating", evidence)
    swings = [after - before for before, after in pairwise(values)]
    turns = sum(one * other < 0 for one, other in pairwise(swings))
    size = median(map(abs, swings)) if swings else 0.0
    if history.played >= 2 * WINDOW and size >= 0.3 and turns >= len(swings) / 2:
        return _verdict("oscillating", f"the value of the game swings by {size:.2f} from line to line")
    return None


def _slow(history: History) -> Verdict | None:
    spread = history.middle("spread")
    least = 0.3 if (history.middle("classes") or 0) >= 0.8 else 0.5  # samples of little contrast may still differ
    if spread is None:
        return None
    near = history.middle("nearness") or 1.0
    if near > _FAR and not history.arrives(_logarithm("nearness"), math.log(_FAR / 2)):
        evidence = f"samples are {near:.2g} times as far from data as held-out examples are"
    elif not least <= spread <= 2 and (not history.arrives(_distance, math.log(2)) or history.slows(_likeness, 0.5)):
        evidence = f"samples are unlike the data (spread {spread:.2g})"
    else:
        return None
    return (
        _won(history, evidence) if _outplayed(history) else _verdict("stalled", f"{evidence} and at this pace stay so")
    )


def _patient(check: Callable[[History], Verdict | None], lines: int) -> Callable[[History], Verdict | None]:
    return lambda history: check(history) if history.played >= lines else None


def _creeping(history: History) -> Verdict | None:
    """Find a game whose updates are too small, all together, to bring weights to where samples are like the data."""
    spread, (step, steps) = history.middle("spread"), (history.lines[-1]["step"], history.train.steps)
    if spread is None or 0.5 <= spread <= 2 or step < steps / 4 or history.played < WINDOW // 2:
        return None
    paces = [history.middle(name) for name in ("g_update", "d_update")]
    way = max((pace * steps for pace in paces if pace is not None), default=math.inf)
    if way >= _CREEP:
        return None
    evidence = f"samples are unlike the data (spread {spread:.2g})"
    return _verdict("stalled", f"{evidence}, and in all steps weights move by {way:.2g} times their norm at most")


_PLAYING = (
    _patient(_generator_ahead, WINDOW),
    _patient(_oscillating, WINDOW),
    _patient(_memorising, WINDOW),
    _patient(_discriminator_ahead, WINDOW),
    _patient(_collapsed, WINDOW + 2),
    _patient(_partly_collapsed, WINDOW + 4),
    _patient(_slow, WINDOW + 2),
)
_PACED = ("stalled", "discriminator-won", "saturated", "collapsed", "partly-collapsed")
"""Verdicts that young games, out of which more comes, have for a while."""


def _fine(history: History) -> Verdict:
    spread, classes = history.middle("spread"), history.middle("classes")
    if history.played < WINDOW or spread is None:
        since = "yet" if history.begun is None else f"before step {history.lines[history.begun]['step']:,}"
        return _verdict("learning", f"too early for more: D did not tell samples from data {since}")
    evidence = f"samples vary {spread:.2f} times as much as the data"
    varied = 0.7 <= spread <= 1.4 and (classes is None or classes >= 0.9)
    near = (history.middle("nearness") or 1.0) <= _NEAR
    told = min(history.middle("accuracy_real") or 1.0, history.middle("accuracy_fake") or 1.0)
    if varied and near and told < 0.9:
        return _verdict("healthy", f"{evidence}, and D is right about {told:.0%} of the harder kind")
    return _verdict("learning", evidence)
