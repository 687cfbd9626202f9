"""Which settings `advnets sweep` tries, from `--vary SETTING=V1,V2` and `SETTING=LOW:HIGH[:log]`, all checked first."""

import dataclasses
import itertools
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from advnets.cli import settings
from advnets.cli.arguments import given_names
from advnets.config import Config, flatten, spell
from advnets.errors import InputError

MOST = 1000
"""Most combinations of a sweep, and most trials."""
_RANGE = re.compile(r"([^:,\s]+):([^:,\s]+?)(:log)?")
_USAGE = "--vary SETTING=V1,V2,... or --vary SETTING=LOW:HIGH[:log]"
_NO_SETTINGS = {"recipe", "seed", "help", "h", *(item.name for item in dataclasses.fields(settings.Arguments))}
_NO_SETTINGS -= {item.name for item in dataclasses.fields(Config)} - {"recipe", "seed"}
Words = Mapping[str, str]


@dataclass(frozen=True)
class Varied:
    """A setting that is varied: over listed values, or over a range."""

    name: str
    choices: tuple[str, ...]
    """What is listed; of a range its two ends."""
    is_range: bool = False
    log: bool = False
    whole: bool = False
    """Whether a range is one of whole numbers."""


@dataclass(frozen=True)
class Plan:
    """What a sweep trains: the command line of a run, and what varies in it."""

    tokens: list[str]
    varied: list[Varied]
    count: int
    """How many trials there are."""
    load: settings.Load

    @property
    def is_grid(self) -> bool:
        """Whether every setting is listed, so that the trials are known beforehand."""
        return not any(one.is_range for one in self.varied)

    def grid(self) -> list[dict[str, str]]:
        """Every combination of listed values, and of the ends of ranges."""
        names = [one.name for one in self.varied]
        return [dict(zip(names, words, strict=True)) for words in itertools.product(*(v.choices for v in self.varied))]

    def trial(self, values: Words) -> tuple[list[str], Config]:
        """The command line and configuration of a trial with these values, scored at its end unless told otherwise.

        Raises InputError as `advnets train --dry-run` does.
        """
        given = [word for name, value in values.items() for word in (f"--{name}", *value.split())]
        tokens = [*self.tokens, *given]
        config, _ = settings.fresh(settings.read(tokens), tokens, self.load)
        if not config.is_game or "train.validate_every" in given_names(tokens):
            return tokens, config
        train = dataclasses.replace(config.train, validate_every=config.train.steps)
        return [*tokens, "--train.validate_every", str(train.steps)], dataclasses.replace(config, train=train)


def planned(tokens: list[str], vary: Sequence[str], trials: int | None, load: settings.Load) -> Plan:
    """Read what varies and check every combination; raises InputError for what cannot be trained or scored."""
    varied = [_read(text) for text in vary]
    _check_names(tokens, [one.name for one in varied])
    plan = Plan(tokens, varied, trials or 0, load)
    _check_count(plan, trials)
    configs = [plan.trial(values)[1] for values in plan.grid()]
    for config in configs:
        _check(config, load)
    varied = [_typed(one, configs) for one in varied]
    return dataclasses.replace(plan, varied=varied, count=trials or len(configs))


def _read(text: str) -> Varied:
    name, equals, values = text.partition("=")
    if not (name and equals):
        raise InputError(
            f"--vary {text!r} names no values, allowed: {_USAGE}; write it so, and RECIPE right after advnets sweep"
        )
    name = settings.spelled_out([f"--{name}"])[0].lstrip("-").replace("-", "_")
    if name in _NO_SETTINGS:
        fix = "say --seeds N" if name == "seed" else "leave it out"
        raise InputError(
            f"--vary {name} is no setting that can be swept, allowed: those that advnets train RECIPE --dry-run "
            f"prints; {fix}"
        )
    if (found := _RANGE.fullmatch(values)) and all(map(_number, found.groups()[:2])):
        return _range(name, *found.groups())
    choices = tuple(values.split(","))
    if not all(word.strip() for word in choices) or len({*choices}) < len(choices):
        raise InputError(f"--vary {name} is {values!r}, allowed: values between commas, each once; {_USAGE}")
    return Varied(name, choices)


def _range(name: str, low: str, high: str, log: str | None) -> Varied:
    if not float(low) < float(high) or (log and float(low) <= 0):
        raise InputError(
            f"--vary {name} is {low}:{high}{log or ''}, allowed: LOW below HIGH, and above 0 with :log; "
            "change its ends, or list values between commas"
        )
    return Varied(name, (low, high), is_range=True, log=log is not None)


def _number(text: str | None) -> bool:
    try:
        float(text or "")
    except ValueError:
        return False
    return True


def _check_names(tokens: list[str], names: list[str]) -> None:
    """Refuse no names, one named twice, and one that has a fixed value too."""
    if not names:
        raise InputError(f"--vary is missing, allowed: one or more settings; add {_USAGE}")
    for name in names:
        if name in given_names(tokens):
            raise InputError(
                f"--{name} is given both by itself and in --vary, allowed: one of them; leave --{name} out"
            )
        if names.count(name) > 1:
            raise InputError(f"--vary names {name} twice, allowed: once; list all its values between commas")


def _check_count(plan: Plan, trials: int | None) -> None:
    if plan.is_grid and trials is not None:
        raise InputError(
            f"--trials is {trials} and every setting is listed, allowed: with a range among them; leave it out, or "
            "say --vary SETTING=LOW:HIGH"
        )
    if not plan.is_grid and trials is None:
        raise InputError(
            "--trials is missing and --vary has a range, allowed: how many settings to try; add --trials N"
        )
    count = trials if trials is not None else len(plan.grid())
    if not 1 <= count <= MOST:
        what = f"--trials is {count}" if trials is not None else f"--vary has {count} combinations"
        raise InputError(f"{what}, allowed: 1 to {MOST}; try {'fewer' if count > 1 else 'more'}")


def _check(config: Config, load: settings.Load) -> None:
    """Refuse what `advnets train` would refuse, and what has no validation likelihood at the end."""
    from advnets.cli.train import counts
    from advnets.training import check_device

    train = config.train
    if not config.is_game:
        raise InputError(
            f"runs of {config.recipe} have no validation likelihood to choose by, allowed: recipes of adversarial "
            "nets; see advnets recipes"
        )
    if not 1 <= train.validate_every <= train.steps:
        raise InputError(
            f"--train.validate_every is {train.validate_every} and --train.steps {train.steps}, allowed in a sweep: 1 "
            "to the steps; leave it out, and runs are scored at their end"
        )
    data = load(config.data)
    if not data.is_whole:
        raise InputError(
            f"numbers of {data.name} are missing (NaN), so that no run has a likelihood to choose by, allowed: whole "
            "data; take another"
        )
    counts(config, data)
    check_device(config)


def _typed(one: Varied, configs: Sequence[Config]) -> Varied:
    """Tell what kind of numbers a range has; raises InputError for a setting that is none."""
    values = [flatten(config).get(one.name) for config in configs]
    if one.is_range and not all(type(value) in (int, float) for value in values):
        raise InputError(
            f"--vary {one.name} is a range and {spell(values[0])} no number of its own, allowed: ranges of single "
            "numbers; list values between commas"
        )
    return dataclasses.replace(one, whole=type(values[0]) is int)


def shown(config: Config, varied: Sequence[Varied]) -> Iterator[tuple[str, object]]:
    """Yield what varies with its value in a configuration."""
    flat = flatten(config)
    for one in varied:
        yield one.name, flat[one.name]


def brief(value: object) -> str:
    """Write a value for people: numbers with four digits."""
    return f"{value:.4g}" if isinstance(value, float) else spell(value)
