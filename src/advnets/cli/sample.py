"""`advnets sample`: samples of a run as a picture or as an array."""

import dataclasses
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import numpy as np
import tyro

from advnets.cli.arguments import given_names, parse
from advnets.cli.main import DONE
from advnets.cli.output import emit, say, writing
from advnets.config import to_json
from advnets.errors import InputError
from advnets.runs import Run

if TYPE_CHECKING:
    from advnets.conditions import Rows
    from advnets.sampling import Sampler

_MOST = {".png": 10_000, ".npz": 1_000_000, ".npy": 1_000_000}  # samples a file
_SEEDS = 2**63
_CHAIN = {"chains": (1, 10_000), "burn_in": (0, 10**6), "thinning": (1, 10**6)}


@dataclass(frozen=True)
class Arguments:
    """Draw samples from the generator of a run."""

    run: Annotated[Path, tyro.conf.Positional, tyro.conf.arg(metavar="RUN")]
    """A run folder."""
    n: int = 64
    """How many samples; with --class all ten of each by default."""
    seed: int = 0
    """Seed of the noise: the same seed gives the same samples."""
    out: Annotated[Path | None, tyro.conf.arg(metavar="FILE")] = None
    """A .png (grid), .npz (keys samples, seed, step) or .npy file; RUN/samples-seedN.png by default."""
    weights: Literal["auto", "average", "raw"] = "auto"
    """auto: the moving average where the run keeps one."""
    step: int | None = None
    """Step of an earlier checkpoint; the last one by default."""
    of_class: Annotated[str | None, tyro.conf.arg(name="class", metavar="NAME|all")] = None
    """For runs with a condition: samples of one class, or of all, class by class, a row of the picture each."""
    c: tuple[float, ...] = ()
    """For runs that are conditioned on numbers: the numbers, in the data's own units."""
    chains: int | None = None
    """For rivals, as the four below: chains side by side. By default all are as the run says."""
    burn_in: int | None = None
    """Steps of a chain before its first sample."""
    thinning: int | None = None
    """Steps between two samples of a chain."""
    pixels: Literal["means", "samples"] | None = None
    """means: the mean of each pixel given the hidden units; samples: a draw."""
    consecutive: bool = False
    """Chain after chain, each step by step: a row of the picture is a chain; 8 chains where --chains is not set."""
    json: bool = False
    """Print one JSON object on stdout."""


def run(tokens: list[str]) -> int:
    """Draw samples and write them to a file."""
    arguments = parse(Arguments, tokens, "sample")
    file = arguments.out or arguments.run / f"samples-seed{arguments.seed}.png"
    kind = file.suffix.lower()
    if kind not in _MOST:
        raise InputError(f"--out is {file}, allowed: a name that ends in {', '.join(_MOST)}; rename it")
    in_range("--n", arguments.n, 1, _MOST[kind])
    in_range("--seed", arguments.seed, 0, _SEEDS - 1)
    Run(arguments.run).read()  # refuses what is no run before torch is imported

    from advnets.sampling import load_sampler

    sampler = load_sampler(Run(arguments.run), arguments.weights, arguments.step)
    if sampler.conditions and arguments.of_class == "all" and "n" not in given_names(tokens):
        arguments = dataclasses.replace(arguments, n=10 * len(sampler.conditions.names))
    sampler = _with_chain(sampler, arguments)
    shape = _write(sampler, arguments, file, _given(sampler, arguments))
    chain = sampler.config.chain
    if arguments.json:
        emit(
            {
                "file": str(file),
                "run": str(arguments.run),
                "n": arguments.n,
                "seed": arguments.seed,
                "step": sampler.step,
                "weights": sampler.weights,
                "shape": shape,
                **({"class": arguments.of_class} if arguments.of_class else {}),
                **({"c": arguments.c} if arguments.c else {}),
                **({"chain": {**to_json(chain), "start": "noise"}} if chain else {}),
            }
        )
    else:
        shown = f"; {chain.pixels} of pixels" if chain else ""
        shown += f", {chain.chains} chains" if chain and sampler.config.has_chain else ""
        say(f"{file}: {arguments.n} samples of step {sampler.step}, seed {arguments.seed}{shown}")
    return DONE


def _with_chain(sampler: "Sampler", arguments: Arguments) -> "Sampler":
    """Let the command line say how chains are run; raises InputError for a net that has none."""
    names = ("chains", "burn_in", "thinning", "pixels")
    given = {name: value for name in names if (value := getattr(arguments, name)) is not None}
    if sampler.config.chain is None:
        if given or arguments.consecutive:
            option = next(iter(given), "consecutive")
            raise InputError(
                f"--{option} is set and {arguments.run} holds {sampler.config.recipe}, whose samples are independent "
                "draws, allowed: with runs of rivals (rbm, dbn, cae, gsn, vae); leave it out"
            )
        return sampler
    if arguments.consecutive:
        given = {"chains": min(8, arguments.n), "thinning": 1, **given}
    for name, limits in _CHAIN.items():
        if name in given:
            in_range(f"--{name}", given[name], *limits)
    if arguments.consecutive and arguments.n % given["chains"]:
        raise InputError(
            f"--n is {arguments.n}, allowed with --consecutive: a multiple of the {given['chains']} chains; set --n or "
            "--chains"
        )
    return sampler.by(dataclasses.replace(sampler.config.chain, **given))


def _given(sampler: "Sampler", arguments: Arguments) -> "Rows | None":
    """Return c of every sample, where the command line says it; raises InputError for a run without a condition."""
    conditions = sampler.conditions
    if arguments.of_class is None and not arguments.c:
        return None
    option = "class" if arguments.of_class is not None else "c"
    if conditions is None:
        raise InputError(
            f"--{option} is set and {arguments.run} has no condition, allowed: with runs that have one "
            "(mnist-conditional, digits-conditional, --condition.kind labels); leave it out"
        )
    if conditions.masks:
        raise InputError(
            f"--{option} is set and {arguments.run} fills in, allowed: advnets complete RUN IMAGES, or samples with "
            f"nothing known; leave --{option} out"
        )
    if arguments.of_class is not None and arguments.c:
        raise InputError("--class and --c are both set, allowed: one of them; leave one out")
    if arguments.c:
        if conditions.names:
            raise InputError(
                f"--c is set and {arguments.run} is conditioned on classes, allowed: --class with one of "
                f"{', '.join(conditions.names[:20])}, or all; use --class"
            )
        return conditions.of_numbers(np.array(arguments.c)).repeat(arguments.n, 1)
    if arguments.of_class == "all" and conditions.names:
        if arguments.n % len(conditions.names):
            raise InputError(
                f"--n is {arguments.n}, allowed with --class all: a multiple of the {len(conditions.names)} classes; "
                "set --n"
            )
        return conditions.spread_out(arguments.n)
    return conditions.of_class(arguments.of_class or "").repeat(arguments.n, 1)


def in_range(option: str, value: int, low: int, high: int) -> None:
    """Raise InputError for a value outside low..high."""
    if not low <= value <= high:
        raise InputError(f"{option} is {value}, allowed: {low} to {high}; set {option}")


def _write(sampler: "Sampler", arguments: Arguments, file: Path, c: "Rows | None") -> list[int]:
    """Write images in [0, 1], channels last, or vectors in the data's own units; return the shape of the array."""
    from advnets import pictures
    from advnets.sampling import picture

    chain, states = sampler.config.chain, None
    if arguments.of_class == "all" and sampler.conditions:
        states = arguments.n // len(sampler.conditions.names)  # a row of the picture a class
    if chain and arguments.consecutive:
        states = arguments.n // chain.chains
        rows = sampler.trajectories(chain.chains, states, arguments.seed, thinning=chain.thinning)
        samples = rows.reshape(arguments.n, *rows.shape[2:])
    elif c is not None:
        samples = sampler.draw_given(c, arguments.seed)
    else:
        samples = sampler.draw(arguments.n, arguments.seed)
    array = pictures.channels_last(samples)
    with writing(file) as stream:
        match file.suffix.lower():
            case ".png":
                picture(samples, sampler.scaling, columns=states).save(stream, format="PNG")
            case ".npz":
                beside: dict[str, Any] = {} if c is None or not arguments.of_class else {"y": c.argmax(1).numpy()}
                np.savez_compressed(stream, samples=array, seed=arguments.seed, step=sampler.step, **beside)
            case ".npy":
                np.save(stream, array)
    return list(array.shape)
