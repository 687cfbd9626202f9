"""`advnets complete`: fill in the missing part of images or rows, by a run that learned from masks."""

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import numpy as np
import tyro
from numpy.typing import NDArray

from advnets.cli.arguments import parse
from advnets.cli.main import DONE
from advnets.cli.output import emit, say, writing
from advnets.cli.sample import in_range
from advnets.errors import InputError
from advnets.runs import Run

if TYPE_CHECKING:
    from advnets.extensions.completing import Wanted
    from advnets.sampling import Sampler

_KINDS = (".png", ".npz", ".npy")
_ROWS = 10  # examples of a picture
_MOST = 1_000_000  # completions a file


@dataclass(frozen=True)
class Arguments:
    """Fill in what a mask hides of examples, or what is NaN in them."""

    run: Annotated[Path, tyro.conf.Positional, tyro.conf.arg(metavar="RUN")]
    """The folder of a run with masks: mnist-completion, digits-completion, --condition.kind masks."""
    images: Annotated[Path | None, tyro.conf.Positional, tyro.conf.arg(metavar="[IMAGES]")] = None
    """A folder of images or a .npy/.npz array; the test part of the run's own data by default."""
    mask: Annotated[str | None, tyro.conf.arg(metavar="FILE|half|left|right|top|bottom|block|random:SHARE")] = None
    """What is hidden: half (of each image, one of the four), a side, the middle block, or a share of all numbers; or a
    .npy/.npz file with 1 where a number is known and 0 where not, for all examples or for each. NaN is hidden anyway:
    without --mask nothing else is, and where nothing is NaN either, half, or random:.5 of vectors."""
    n: int | None = None
    """How many completions of each example; by default 8 in a picture, 1 in an array, or with --truncation 0."""
    truncation: Annotated[float, tyro.conf.arg(metavar="SHARE")] = 1.0
    """How much of the noise: at 1 draws of p(hidden | known), at 0 the one completion in the middle of the noise, which
    keeps most to what is likely."""
    examples: int | None = None
    """How many of the examples; by default the first 10 in a picture, all in an array."""
    seed: int = 0
    """Seed of noise and masks."""
    out: Annotated[Path | None, tyro.conf.arg(metavar="FILE")] = None
    """A .png (rows: the example, what is known of it, completions), a .npy, or a .npz file with the keys completions
    and known; RUN/completions-seedN.png by default, .npy for vectors."""
    json: bool = False
    """Print one JSON object on stdout."""


def run(tokens: list[str]) -> int:
    """Complete examples and write them to a file."""
    arguments = parse(Arguments, tokens, "complete")
    in_range("--seed", arguments.seed, 0, 2**63 - 1)
    if arguments.out and arguments.out.suffix.lower() not in _KINDS:
        raise InputError(f"--out is {arguments.out}, allowed: a name that ends in {', '.join(_KINDS)}; rename it")
    config = Run(arguments.run).config()  # refuses what is no run before torch is imported
    if config.condition is None or config.condition.kind != "masks":
        raise InputError(
            f"{arguments.run} is a run of {config.recipe}, which does not fill in, allowed: a run with masks "
            "(mnist-completion, digits-completion, --condition.kind masks); train one"
        )
    from advnets.cli import completing
    from advnets.sampling import load_sampler

    sampler = load_sampler(Run(arguments.run))
    suffix = ".png" if len(sampler.shape) == 3 else ".npy"
    file = arguments.out or arguments.run / f"completions-seed{arguments.seed}{suffix}"
    drawing = file.suffix.lower() == ".png"
    if drawing and len(sampler.shape) != 3:
        raise InputError(f"--out is {file} and the run is of vectors, allowed: a .npy or .npz file; rename it")
    count = arguments.n if arguments.n is not None else 8 if drawing and arguments.truncation else 1
    limit = arguments.examples if arguments.examples is not None else _ROWS if drawing else _MOST
    in_range("--n", count, 1, 10_000)
    in_range("--examples", limit, 1, _MOST)
    wanted = completing.wanted(sampler, arguments.images, arguments.mask, limit, arguments.seed)
    if count * len(wanted.x) > _MOST:
        raise InputError(f"--n is {count} for {len(wanted.x)} examples, allowed: {_MOST} completions; set --n lower")
    made = wanted.completed(sampler, count, arguments.seed, arguments.truncation)
    shape = _write(sampler, wanted, made, arguments.seed, file)
    _tell(arguments, sampler, wanted, count, file, shape)
    return DONE


def _write(sampler: "Sampler", wanted: "Wanted", made: NDArray[np.generic], seed: int, file: Path) -> list[int]:
    """Write completions, in the units and the kind of number of the examples; return the shape of the array."""
    from advnets import pictures

    count = len(made)
    first = made[0] if count == 1 else made.swapaxes(0, 1)
    array: NDArray[np.generic] = _last(first, len(sampler.shape))
    with writing(file) as stream:
        match file.suffix.lower():
            case ".png":
                x, unit = wanted.shown()
                rows = np.concatenate([x[:, None], pictures.masked(x, wanted.known)[:, None], unit(made)], axis=1)
                stretch = sampler.scaling.kind == "contrast"
                picture = pictures.grid(rows.reshape(-1, *sampler.shape), columns=2 + count, stretch=stretch)
                picture.save(stream, format="PNG")
            case ".npz":
                known = _last(wanted.known, len(sampler.shape))
                np.savez_compressed(stream, completions=array, known=known, seed=seed, step=sampler.step)
            case ".npy":
                np.save(stream, array)
    return list(array.shape)


def _last(x: NDArray[np.generic], axes: int) -> NDArray[np.generic]:
    """Put the channels of images last, or drop the only one."""
    if axes != 3:
        return x
    return x[..., 0, :, :] if x.shape[-3] == 1 else np.ascontiguousarray(np.moveaxis(x, -3, -1))


def _tell(arguments: Arguments, sampler: "Sampler", wanted: "Wanted", count: int, file: Path, shape: list[int]) -> None:
    hidden = float(1 - wanted.known.mean())
    if not arguments.json:
        say(f"{file}: {count} completions of {len(wanted.x)} examples, {hidden:.0%} hidden ({wanted.mask})")
        return
    emit(
        {
            "file": str(file),
            "run": str(arguments.run),
            "step": sampler.step,
            "weights": sampler.weights,
            "examples": len(wanted.x),
            "n": count,
            "mask": wanted.mask,
            "hidden": hidden,
            "seed": arguments.seed,
            "truncation": arguments.truncation,
            "shape": shape,
        }
    )
