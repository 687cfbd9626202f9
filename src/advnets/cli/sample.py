"""`advnets sample`: samples of a run as a picture or as an array."""

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import tyro

from advnets.cli.arguments import parse
from advnets.cli.main import DONE
from advnets.cli.output import emit, say, writing
from advnets.errors import InputError
from advnets.runs import Run

if TYPE_CHECKING:
    from advnets.sampling import Sampler

_MOST = {".png": 10_000, ".npz": 1_000_000, ".npy": 1_000_000}  # samples a file
_SEEDS = 2**63


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
    shape = _write(sampler, arguments, file)
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
            }
        )
    else:
        say(f"{file}: {arguments.n} samples of step {sampler.step}, seed {arguments.seed}")
    return DONE


def in_range(option: str, value: int, low: int, high: int) -> None:
    """Raise InputError for a value outside low..high."""
    if not low <= value <= high:
        raise InputError(f"{option} is {value}, allowed: {low} to {high}; set {option}")


def _write(sampler: "Sampler", arguments: Arguments, file: Path) -> list[int]:
    """Write images in [0, 1], channels last, or vectors in the data's own units; return the shape of the array."""
    import numpy as np

    from advnets import pictures
    from advnets.sampling import picture

    samples = sampler.draw(arguments.n, arguments.seed)
    array = pictures.channels_last(samples)
    with writing(file) as stream:
        match file.suffix.lower():
            case ".png":
                picture(samples, sampler.scaling).save(stream, format="PNG")
            case ".npz":
                np.savez_compressed(stream, samples=array, seed=arguments.seed, step=sampler.step)
            case ".npy":
                np.save(stream, array)
    return list(array.shape)
