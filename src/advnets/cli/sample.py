"""`advnets sample`: samples of a run as a picture or as an array."""

import dataclasses
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import tyro

from advnets.cli.arguments import parse
from advnets.cli.main import DONE
from advnets.cli.output import emit, say, writing
from advnets.config import to_json
from advnets.errors import InputError
from advnets.runs import Run

if TYPE_CHECKING:
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
    """How many samples."""
    seed: int = 0
    """Seed of the noise: the same seed gives the same samples."""
    out: Annotated[Path | None, tyro.conf.arg(metavar="FILE")] = None
    """A .png (grid), .npz (keys samples, seed, step) or .npy file; RUN/samples-seedN.png by default."""
    weights: Literal["auto", "average", "raw"] = "auto"
    """auto: the moving average where the run keeps one."""
    step: int | None = None
    """Step of an earlier checkpoint; the last one by default."""
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

    sampler = _with_chain(load_sampler(Run(arguments.run), arguments.weights, arguments.step), arguments)
    shape = _write(sampler, arguments, file)
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


def in_range(option: str, value: int, low: int, high: int) -> None:
    """Raise InputError for a value outside low..high."""
    if not low <= value <= high:
        raise InputError(f"{option} is {value}, allowed: {low} to {high}; set {option}")


def _write(sampler: "Sampler", arguments: Arguments, file: Path) -> list[int]:
    """Write images in [0, 1], channels last, or vectors in the data's own units; return the shape of the array."""
    import numpy as np

    from advnets import pictures
    from advnets.sampling import picture

    chain, states = sampler.config.chain, None
    if chain and arguments.consecutive:
        states = arguments.n // chain.chains
        rows = sampler.trajectories(chain.chains, states, arguments.seed, thinning=chain.thinning)
        samples = rows.reshape(arguments.n, *rows.shape[2:])
    else:
        samples = sampler.draw(arguments.n, arguments.seed)
    array = pictures.channels_last(samples)
    with writing(file) as stream:
        match file.suffix.lower():
            case ".png":
                picture(samples, sampler.scaling, columns=states).save(stream, format="PNG")
            case ".npz":
                np.savez_compressed(stream, samples=array, seed=arguments.seed, step=sampler.step)
            case ".npy":
                np.save(stream, array)
    return list(array.shape)
