"""`advnets interpolate`: what the generator makes of straight lines through its noise (figure 3 of the paper)."""

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal

import tyro

from advnets.cli.arguments import parse
from advnets.cli.main import DONE
from advnets.cli.output import emit, say, writing
from advnets.cli.sample import in_range
from advnets.errors import InputError
from advnets.runs import Run


@dataclass(frozen=True)
class Arguments:
    """Draw straight lines between random points of the noise, a row each."""

    run: Annotated[Path, tyro.conf.Positional, tyro.conf.arg(metavar="RUN")]
    """A run folder."""
    out: Annotated[Path | None, tyro.conf.arg(metavar="FILE.png")] = None
    """Picture to write; RUN/interpolation-seedN.png by default."""
    rows: int = 10
    """Lines."""
    steps: int = 12
    """Samples a line, both ends included."""
    seed: int = 0
    """Seed of the ends."""
    weights: Literal["auto", "average", "raw"] = "auto"
    """auto: the moving average where the run keeps one."""
    json: bool = False
    """Print one JSON object on stdout."""


def run(tokens: list[str]) -> int:
    """Draw the lines and write the picture."""
    arguments = parse(Arguments, tokens, "interpolate")
    file = arguments.out or arguments.run / f"interpolation-seed{arguments.seed}.png"
    if file.suffix.lower() != ".png":
        raise InputError(f"--out is {file}, allowed: a name that ends in .png; rename it")
    for option, value, low, high in (
        ("--rows", arguments.rows, 1, 100),
        ("--steps", arguments.steps, 2, 100),
        ("--seed", arguments.seed, 0, 2**63 - 1),
    ):
        in_range(option, value, low, high)
    Run(arguments.run).read()  # refuses what is no run before torch is imported

    from advnets import sampling

    sampler = sampling.load_sampler(Run(arguments.run), arguments.weights)
    latents = sampling.lines(sampler.config.noise, arguments.rows, arguments.steps, arguments.seed, sampler.conditions)
    picture = sampling.picture(sampler.from_latents(latents), sampler.scaling, columns=arguments.steps)
    with writing(file) as stream:
        picture.save(stream, format="PNG")
    if arguments.json:
        emit({"file": str(file), "run": str(arguments.run), "step": sampler.step, "weights": sampler.weights})
    else:
        say(f"{file}: {arguments.rows} lines of {arguments.steps} samples of step {sampler.step}")
    return DONE
