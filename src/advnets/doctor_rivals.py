"""Verdicts on rivals: what the lines of a run's log say about how its training is doing, free of torch.

A stack is judged a layer at a time, each by the lines of its own steps; what went wrong in a layer stays wrong, for the
layers above learn what it makes of the data.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import groupby, pairwise
from statistics import fmean, median

from advnets import doctor
from advnets.config import Config
from advnets.doctor import Verdict
from advnets.history import WINDOW, Line, of

_FINENESS = 100  # lines of a layer that count, at most
_DEAD = 0.9  # share of a part's units that say nothing of x
_WAY = {"rbm": 0.5}  # times their norm that weights move in all steps, at least; a machine's gradient is mostly noise
_LEAST_WAY = 0.05  # the same for other models
_NARROW, _WIDTH = 0.3, (0.7, 1.4)  # variance of particles over that of the data: collapsed; well
_APART, _SURELY_APART, _RISEN = 0.65, 0.75, 0.08  # share of held-out examples, and by how much it has grown
_WORSE = 0.05  # of all that a score had fallen by
_SMOOTH, _NOISES = WINDOW // 2, 3  # lines of a median; times the usual change from line to line that are no noise
_LEFT = 0.05  # of all that a score has fallen by, which it still may fall by in a run that is well


@dataclass(frozen=True)
class Layer:
    """The lines of one layer's training, or of the whole model's, with what the rules ask of them."""

    lines: Sequence[Line]
    kind: str
    """Section of its settings: rbm, cae, gsn or vae."""
    steps: int
    """Steps that it gets in all."""
    begun: int
    """Step at which they begin."""

    def recent(self, name: str, count: int = WINDOW) -> list[float]:
        """A signal on the last lines that have it."""
        return self.all(name, self.lines[-count:])

    def all(self, name: str, lines: Sequence[Line] | None = None) -> list[float]:
        """A signal on all lines that have it."""
        read = of(name)
        return [value for line in (self.lines if lines is None else lines) if (value := read(line)) is not None]

    def middle(self, name: str) -> float | None:
        """Median of a signal over the window; None where it is not measured."""
        values = self.recent(name)
        return median(values) if values else None

    @property
    def made(self) -> int:
        """Steps so far, at least 1 whatever a log says."""
        return max(1, int(self.lines[-1]["step"]) - self.begun)

    @property
    def left(self) -> int:
        """Steps to come."""
        return max(0, self.steps - self.made)

    @property
    def comparable(self) -> bool:
        """Tell whether scores compare from step to step; free energies count from a log Z that moves."""
        return self.kind != "rbm"


def judge(lines: Sequence[Line], config: Config) -> Verdict | None:
    """Say how a rival is doing from all lines of its log so far, the newest last; None without a line with signals."""
    lines = [line for line in lines if line.get("signals")]
    if not lines:
        return None
    if (count := of("non_finite")(lines[-1])) or lines[-1]["loss"] is None:
        evidence = f"the loss or {count or 0:,.0f} numbers among weights, scores and units are not finite"
        return _verdict("diverged", evidence, _kind(config))
    verdict: Verdict | None = None
    for number, own in groupby(lines, lambda line: int(line.get("layer", 1))):
        if verdict is not None and verdict.bad:
            return Verdict(verdict.name, f"layer {number - 1} ended so: {verdict.evidence}", verdict.advice)
        verdict = _of_layer(_layer(list(own), number, config))
    return verdict


def stage(lines: Sequence[Line]) -> list[Line]:
    """Lines of the layer in which the log ends."""
    return [line for line in lines if line.get("layer", 1) == lines[-1].get("layer", 1)]


def advice(name: str, kind: str) -> str:
    """What to do about a verdict on a model whose section of settings is `kind`."""
    if name in _MORE and kind in _MORE[name]:
        return f"{_ADVICE[name]}, {_MORE[name][kind]}"
    return _ADVICE[name]


_ADVICE = {
    "healthy": doctor.ADVICE["healthy"],
    "learning": "go on; it is not as good yet as it gets",
    "diverged": doctor.ADVICE["diverged"],
    "dead-units": "start again with a smaller --train.learning_rate",
    "stalled": "raise --train.learning_rate, or train for more --train.steps",
    "oscillating": "make --train.learning_rate smaller, or --train.momentum",
    "worse-than-mean": "start again with another --train.learning_rate",
    "collapsed": "start again with a smaller --train.learning_rate, or with more --rbm.gibbs_steps",
    "memorising": "train on more examples, for fewer steps, or with fewer units",
}
_MORE = {
    "dead-units": {
        "rbm": "a smaller --rbm.weight_decay, or fewer units (--rbm.hidden)",
        "cae": "a smaller --cae.contraction, or fewer units (--cae.hidden)",
        "gsn": "a smaller --gsn.corruption, or fewer units (--gsn.hidden)",
        "vae": "or with fewer latent units (--vae.latent)",
    },
    "worse-than-mean": {"cae": "or a smaller --cae.contraction", "gsn": "or a smaller --gsn.corruption"},
    "stalled": {"rbm": "of a layer of a stack --rbm.layer_steps", "cae": "of the layer below --cae.layer_steps"},
    "memorising": {
        "rbm": "--rbm.hidden, or with a larger --rbm.weight_decay",
        "cae": "--cae.hidden, or with a larger --cae.contraction",
        "gsn": "--gsn.hidden",
        "vae": "--vae.hidden",
    },
}


def _kind(config: Config) -> str:
    return next(name for name in ("rbm", "cae", "gsn", "vae") if getattr(config, name) is not None)


def _verdict(name: str, evidence: str, kind: str) -> Verdict:
    return Verdict(name, evidence, advice(name, kind))


def _layer(lines: list[Line], number: int, config: Config) -> Layer:
    """The lines that count: how training goes does not depend on how often it is logged."""
    each = config.layer_steps or 0
    layers = len(config.rival.hidden) if config.rival and each else 1
    begun = each * (number - 1)
    steps = config.train.steps - begun if number >= layers else each
    kept: list[Line] = []
    for line in lines:
        if not kept or line["step"] - kept[-1]["step"] >= steps / _FINENESS:
            kept.append(line)
    return Layer(kept, _kind(config), steps, begun)


def _of_layer(layer: Layer) -> Verdict:
    for check in (_dead, _still, _collapsed, _memorising, _worse_than_mean, _oscillating):
        if verdict := check(layer):
            return verdict
    return _fine(layer)


def _dead(layer: Layer) -> Verdict | None:
    dead = layer.recent("dead", 3)
    if len(dead) < 3 or min(dead) < _DEAD:
        return None
    what = "latent units say nothing of x" if layer.kind == "vae" else "hidden units are the same for every x"
    return _verdict("dead-units", f"{dead[-1]:.0%} of the {what}", layer.kind)


def _still(layer: Layer) -> Verdict | None:
    """Find updates too small, those to come included, to bring weights anywhere."""
    paces, made = layer.all("update"), layer.made
    if len(paces) >= 4 and max(paces[-4:]) == 0:
        return _verdict("stalled", "the weights do not change", layer.kind)
    if len(paces) < WINDOW or made < layer.steps / 4:
        return None
    way = fmean(paces) * made + median(paces[-WINDOW:]) * layer.left
    if way >= _WAY.get(layer.kind, _LEAST_WAY):
        return None
    return _verdict("stalled", f"in all steps together weights move by {way:.2g} times their norm at most", layer.kind)


def _collapsed(layer: Layer) -> Verdict | None:
    spreads = layer.recent("spread")
    if len(spreads) < WINDOW or median(spreads) >= _NARROW:
        return None
    evidence = f"the particles of the persistent chains vary {median(spreads):.2g} times as much as the data"
    return _verdict("collapsed", evidence, layer.kind)


def _memorising(layer: Layer) -> Verdict | None:
    apart, gaps = layer.all("told_apart"), layer.recent("gap")
    if len(apart) >= WINDOW:
        now = median(apart[-WINDOW:])
        if now >= _SURELY_APART or (now >= _APART and now - apart[0] >= _RISEN):
            evidence = f"{now:.0%} of held-out examples score worse than the middle training example"
            if gaps:
                evidence += f", by {median(gaps):.3g} nats on average"
            return _verdict("memorising", evidence, layer.kind)
    if (rises := _rises(layer)) and rises[1] >= _WORSE and rises[0] <= 0:
        evidence = (
            f"the held-out score has risen by {rises[1]:.0%} of what it had fallen by, and the training score fell"
        )
        return _verdict("memorising", evidence, layer.kind)
    return None


def _worse_than_mean(layer: Layer) -> Verdict | None:
    """Find what says less of an example than its mean does, and will for long: a penalty or steps too large."""
    over = layer.recent("over_mean")
    if len(over) < WINDOW or layer.made < layer.steps / 4 or median(over) <= 0 or _falls_to_nought(layer):
        return None
    evidence = f"held-out examples score {median(over):.3g} nats worse than by the mean example, and will for long"
    return _verdict("worse-than-mean", evidence, layer.kind)


def _oscillating(layer: Layer) -> Verdict | None:
    """Find steps so large that scores get worse."""
    rises = _rises(layer)
    if rises is None or rises[0] < _WORSE:
        return None
    evidence = f"the training score has risen by {rises[0]:.0%} of what it had fallen by"
    return _verdict("oscillating", evidence, layer.kind)


def _falls_to_nought(layer: Layer) -> bool:
    """Tell whether held-out examples, going on as on the last lines, come to score better than by the mean example.

    In the steps left, or a quarter as many as were made, if that is more.
    """
    over = layer.all("over_mean", layer.lines[-2 * WINDOW :])
    half = len(over) // 2
    before, after = median(over[:half]), median(over[-half:])
    lines = max(layer.left, layer.made / 4) / (layer.made / len(layer.lines))
    return after - (before - after) / half * lines < 0


def _rises(layer: Layer) -> tuple[float, float] | None:
    """How far both scores, training and held-out, have risen since the best held-out score, over its fall until then.

    Medians of WINDOW / 2 lines; None where scores do not compare, or have not fallen yet.
    """
    train, held_out = _scores(layer)
    if not layer.comparable or len(train) < WINDOW:
        return None
    smooth = [[median(one[i : i + _SMOOTH]) for i in range(len(one) - _SMOOTH + 1)] for one in (train, held_out)]
    best = min(range(len(smooth[1])), key=lambda i: smooth[1][i])
    fell = held_out[0] - smooth[1][best]
    noise = max(median(abs(after - before) for before, after in pairwise(one)) for one in (train, held_out))
    if fell <= _NOISES * noise:
        return None
    rises = [one[-1] - one[best] for one in smooth]
    sure = [rise if abs(rise) > _NOISES * noise else 0.0 for rise in rises]
    return sure[0] / fell, sure[1] / fell


def _scores(layer: Layer) -> tuple[list[float], list[float]]:
    """The scores of training and of held-out examples, of the lines that have both."""
    read = of("train_score"), of("held_out_score")
    pairs = [(a, b) for line in layer.lines if (a := read[0](line)) is not None and (b := read[1](line)) is not None]
    return [a for a, _ in pairs], [b for _, b in pairs]


def _fine(layer: Layer) -> Verdict:
    _, scores = _scores(layer)
    if len(layer.lines) < WINDOW or len(scores) < WINDOW:
        return _verdict("learning", "too early for more", layer.kind)
    if not layer.comparable:
        return _machine(layer)
    third = scores[-max(WINDOW, len(scores) // 3) :]
    half = len(third) // 2
    pace = (median(third[:half]) - median(third[-half:])) / (len(third) - half)  # a line
    apart = (layer.lines[-1]["step"] - layer.lines[-len(third)]["step"]) / (len(third) - 1)
    evidence = f"held-out examples score {median(third[-half:]):.4g} nats"
    if (layer.middle("over_mean") or 0.0) <= 0 and pace * layer.left / apart <= _LEFT * abs(scores[0] - min(scores)):
        return _verdict("healthy", f"{evidence}, about as few as they will", layer.kind)
    return _verdict("learning", f"{evidence}, fewer and fewer", layer.kind)


def _machine(layer: Layer) -> Verdict:
    """The verdict on a machine with which nothing is wrong: whether it is a good one its free energies do not tell."""
    spread, apart = layer.middle("spread"), layer.middle("told_apart")
    evidence = [] if spread is None else [f"the particles vary {spread:.2f} times as much as the data"]
    evidence += [] if apart is None else [f"{apart:.0%} of held-out examples score worse than the middle training one"]
    well = (spread is None or _WIDTH[0] <= spread <= _WIDTH[1]) and (apart is None or apart < _APART)
    said = ", and ".join(evidence) or "nothing is wrong with its units and updates"
    return _verdict("healthy" if well else "learning", said, layer.kind)
