"""From the words of `advnets train` to a configuration: a preset, the user's own data, or a run to go on with."""

import contextlib
import dataclasses
import os
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Literal

import tyro

from advnets import recipes
from advnets.cli.arguments import given_names, option_names, parse
from advnets.config import (
    CAEConfig,
    ChainConfig,
    ConditionConfig,
    Config,
    DataConfig,
    DiscriminatorConfig,
    GeneratorConfig,
    GSNConfig,
    NoiseConfig,
    RBMConfig,
    SemiConfig,
    StackConfig,
    TrainConfig,
    VAEConfig,
    belongs,
    check,
)
from advnets.data import CATALOGUE, DataSet
from advnets.data.places import expanded
from advnets.errors import InputError
from advnets.runs import Run, list_runs

RUNS = Path("runs")
Load = Callable[[DataConfig], DataSet]

_SHORT = {
    "--steps": "--train.steps",
    "--mode": "--train.mode",
    "--data": "--data.name",
    "--precision": "--train.precision",
}
_SECTIONS = [item.name for item in dataclasses.fields(Config) if item.name != "recipe"]
# Has every option there is: convolutions, a second stage, a condition, all rivals, and few labels.
_WIDEST = dataclasses.replace(
    recipes.RECIPES["cifar10-conv"].config,
    second_stage=StackConfig(after=1),
    condition=ConditionConfig(),
    rbm=RBMConfig(),
    cae=CAEConfig(),
    gsn=GSNConfig(),
    vae=VAEConfig(),
    chain=ChainConfig(),
    semi=SemiConfig(),
)


@dataclass(frozen=True)
class Arguments:
    """Train adversarial nets.

    RECIPE is a preset (see advnets recipes), or the path of a folder of images or of a .npy/.npz array, for which nets
    are sized from the data. --steps N, --mode M, --precision P and --data D are short for --train.steps, --train.mode,
    --train.precision and --data.name.
    The defaults below are those of RECIPE, digits if none is named; advnets train RECIPE --help shows another's.
    """

    recipe: Annotated[str | None, tyro.conf.Positional, tyro.conf.arg(metavar="[RECIPE]")] = None
    """A preset or a path; digits by default."""
    out: Annotated[Path | None, tyro.conf.arg(metavar="DIR")] = None
    """Run folder; runs/RECIPE-N by default."""
    resume: bool = False
    """Go on with the run in --out, or with the newest run under runs/ (of RECIPE, if given)."""
    dry_run: Annotated[bool, tyro.conf.arg(name="dry-run")] = False
    """Print the resolved configuration and write nothing."""
    evaluate: bool = False
    """Score the finished run, beside training images scored alike; advnets evaluate says more."""
    devices: int = 1
    """Processes on this machine, each with a share of every minibatch and a device of its own."""
    nodes: int = 1
    """Machines, on each of which this command is given; or start it by torchrun, which sets both."""
    strategy: Literal["ddp"] = "ddp"
    """How processes share a run: each has the nets, and gradients are averaged."""
    tracker: Literal["tensorboard"] | None = None
    """Tell every line of the log to TensorBoard too, whose files lie in RUN/tensorboard."""
    offline: bool = False
    """Never fetch data."""
    json: bool = False
    """Print one JSON object on stdout."""
    seed: int = 0
    """Seed of initial weights, order of the data, noise and dropout."""
    data: DataConfig = field(default_factory=DataConfig)
    noise: NoiseConfig = field(default_factory=NoiseConfig)
    generator: GeneratorConfig = field(default_factory=GeneratorConfig)
    discriminator: DiscriminatorConfig = field(default_factory=DiscriminatorConfig)
    train: TrainConfig = field(default_factory=TrainConfig)
    second_stage: StackConfig | None = None
    condition: ConditionConfig | None = None
    rbm: RBMConfig | None = None
    cae: CAEConfig | None = None
    gsn: GSNConfig | None = None
    vae: VAEConfig | None = None
    chain: ChainConfig | None = None
    semi: SemiConfig | None = None


def spelled_out(tokens: list[str]) -> list[str]:
    """Replace short options by the settings they stand for."""
    split = (token.partition("=") for token in tokens)
    return [_SHORT.get(name, name) + equals + value for name, equals, value in split]


def read(tokens: list[str]) -> Arguments:
    """Read a command line before its recipe is known: only its own options count, and `data`."""
    named = next((token for token in tokens if token in recipes.RECIPES), "digits")
    base = recipes.get(named) if {"-h", "--help"} & set(tokens) else _WIDEST
    return parse(Arguments, tokens, "train", _arguments(base))


def restarted(arguments: Arguments) -> Arguments:
    """Go on with the run in --out under torchrun, which gives the same command again after a process was lost."""
    if "TORCHELASTIC_RUN_ID" not in os.environ or arguments.resume:
        return arguments
    if arguments.out is None:
        raise InputError("torchrun may start again and --out is not given, allowed: --out DIR, the run to go on with")
    return dataclasses.replace(arguments, resume=Run(arguments.out).exists())


def fresh(arguments: Arguments, tokens: list[str], load: Load) -> tuple[Config, DataSet | None]:
    """Resolve a new run: the recipe with the settings given on top, and the data where they sized the nets."""
    name = arguments.recipe or "digits"
    if name in recipes.RECIPES:
        return _settle(recipes.RECIPES[name].config, tokens), None
    named = "data.name" in given_names(tokens)
    if name == "auto" and not named:
        raise InputError("auto has no data yet, allowed: --data PATH; add it, or say advnets train PATH")
    if name != "auto":
        if not expanded(name).exists():
            recipes.get(name)
        if Run(expanded(name)).exists():
            raise InputError(
                f"{name} is a run, allowed: a recipe, a folder of images or an array; "
                f"to go on with it: advnets train --resume --out {name}"
            )
        if named:
            raise InputError(f"{name} and --data both name data, allowed: one of them; leave --data out")
    own = dataclasses.replace(arguments.data, name=absolute(arguments.data.name if named else name))
    completing = _is_completing(arguments, tokens)
    if completing:
        own = dataclasses.replace(own, missing="hide")
    data = load(check(Config(data=own)).data)
    base = recipes.auto(Config(data=own), data.shape, data.examples, unit=data.scaling.kind == "unit")
    return _settle(recipes.completion(base, data.shape) if completing else base, tokens), data


def _is_completing(arguments: Arguments, tokens: list[str]) -> bool:
    given = "condition.kind" in given_names(tokens)
    return given and arguments.condition is not None and arguments.condition.kind == "masks"


def resumed(arguments: Arguments, tokens: list[str]) -> tuple[Config, Run]:
    """Resolve a run to go on with; raises InputError, naming each, for settings that may not change."""
    run = Run(arguments.out) if arguments.out else _newest(arguments.recipe)
    stored = run.config()
    if arguments.recipe and not _is_of(arguments.recipe, stored):
        raise InputError(
            f"{run.path} is a run of {stored.recipe} ({stored.data.name}), not of {arguments.recipe}, "
            "allowed on --resume: the same recipe; leave RECIPE out, or name another run with --out"
        )
    wanted = _settle(stored, tokens)
    if wanted.train.precision == "auto":  # what it stood for when the run began
        kept = dataclasses.replace(wanted.train, precision=stored.train.precision)
        wanted = dataclasses.replace(wanted, train=kept)
    run.check_settings(wanted)
    return wanted, _fit_to_go_on(run, wanted)


def _fit_to_go_on(run: Run, wanted: Config) -> Run:
    run.verified_checkpoint()
    status, made = run.status(), [0, *run.checkpoint_steps()][-1]
    if status.get("state") == "diverged":
        raise InputError(
            f"{run.path} diverged at step {status.get('step')} and would again, allowed on --resume: runs that did "
            f"not; start another with --train.learning_rate below {wanted.train.learning_rate:g}"
        )
    if wanted.train.steps < made:
        raise InputError(
            f"--train.steps is {wanted.train.steps} and {run.path} has made {made} steps, allowed: {made} or more; "
            f"set --steps {made} or more"
        )
    return run


def _arguments(base: Config) -> Arguments:
    return Arguments(**{name: getattr(base, name) for name in _SECTIONS})


def _settle(base: Config, tokens: list[str]) -> Config:
    """Put the settings given on the command line on top of a configuration; any game takes a condition."""
    given_a_condition = any(name.startswith("condition.") for name in given_names(tokens))
    if given_a_condition and not base.rival and base.condition is None:
        base = dataclasses.replace(base, condition=ConditionConfig())
    default = _arguments(base)
    known = {*option_names(Arguments, default)}
    for name in given_names(tokens):
        if name not in known or not belongs(base, name):
            raise InputError(
                f"--{name} does not fit the recipe {base.recipe}, which has no such part, allowed: the settings that "
                f"advnets train {base.recipe} --dry-run prints; leave it out or take another recipe"
            )
    given = parse(Arguments, tokens, "train", default)
    config = dataclasses.replace(base, **{name: getattr(given, name) for name in _SECTIONS})
    data = dataclasses.replace(config.data, name=absolute(config.data.name))
    if config.condition and config.condition.kind == "masks":
        data = dataclasses.replace(data, missing="hide")
    return check(dataclasses.replace(config, data=data))


def absolute(name: str) -> str:
    """Make the path of the user's own data absolute, so that a run can be resumed from anywhere."""
    path = expanded(name)
    return name if name in CATALOGUE or not path.exists() else str(path.resolve())


def _is_of(recipe: str, config: Config) -> bool:
    return recipe == config.recipe or (config.recipe == "auto" and absolute(recipe) == config.data.name)


def _newest(recipe: str | None) -> Run:
    for run in reversed(list_runs(RUNS)):
        with contextlib.suppress(InputError):  # a damaged run does not hide the others
            if recipe is None or _is_of(recipe, run.config()):
                return run
    which = f"run of {recipe}" if recipe else "run"
    raise InputError(
        f"there is no {which} in {RUNS}/, allowed on --resume: a run that was begun; leave --resume out, "
        "or name a run folder with --out"
    )
