"""`advnets export`: a run's generator, encoder or completion as a file for other programs, checked against the run."""

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import tyro

from advnets.cli.arguments import parse
from advnets.cli.main import BAD_ANSWER, DONE
from advnets.cli.output import emit, say, writing
from advnets.errors import InputError
from advnets.runs import Run

if TYPE_CHECKING:
    from advnets.export.parts import Exported

_KINDS = (".onnx", ".pt2")


@dataclass(frozen=True)
class Arguments:
    """Write a net of a run as a file, and let the program that reads such files compute what the run computes."""

    run: Annotated[Path, tyro.conf.Positional, tyro.conf.arg(metavar="RUN")]
    """A run folder."""
    out: Annotated[Path | None, tyro.conf.arg(metavar="FILE")] = None
    """A .onnx file, or .pt2 of torch.export; RUN/PART.onnx by default."""
    part: Literal["generator", "encoder", "completion"] | None = None
    """generator: z to samples; encoder: examples to codes, after advnets encode; completion: z, x and what is known of
    it to x filled in. By default the last of a run with masks, else the generator."""
    weights: Literal["auto", "average", "raw"] = "auto"
    """auto: the moving average of G's weights where the run keeps one."""
    tolerance: float = 1e-5
    """Largest difference from the run's own numbers, of those above 1 in parts of them; above it nothing is written."""
    json: bool = False
    """Print one JSON object on stdout."""


def run(tokens: list[str]) -> int:
    """Export a net, check it, and write it if it gives the same numbers; exit status 1 if not."""
    arguments = parse(Arguments, tokens, "export")
    if arguments.out and arguments.out.suffix.lower() not in _KINDS:
        raise InputError(f"--out is {arguments.out}, allowed: a name that ends in {', '.join(_KINDS)}; rename it")
    if not arguments.tolerance >= 0:
        raise InputError(f"--tolerance is {arguments.tolerance}, allowed: 0 or more; set --tolerance")
    Run(arguments.run).read()  # refuses what is no run before torch is imported

    from advnets.export import files
    from advnets.export.parts import load_part

    exported = load_part(Run(arguments.run), arguments.part, arguments.weights)
    file = arguments.out or arguments.run / f"{exported.part}.onnx"
    if file.suffix.lower() == ".onnx":
        content = files.onnx_bytes(exported)
        apart = files.difference(exported, files.run_onnx(content, exported))
    else:
        content = files.program_bytes(exported)
        apart = files.difference(exported, files.run_program(content, exported))
    holds = apart <= arguments.tolerance
    if holds:
        with writing(file) as stream:
            stream.write(content)
    _tell(arguments, exported, file, len(content), apart)
    return DONE if holds else BAD_ANSWER


def _tell(arguments: Arguments, exported: "Exported", file: Path, size: int, apart: float) -> None:
    holds = apart <= arguments.tolerance
    rows = len(next(iter(exported.inputs.values())))
    if arguments.json:
        emit(
            {
                "file": str(file) if holds else None,
                "run": str(arguments.run),
                **exported.facts(),
                "bytes": size,
                "difference": apart if apart < float("inf") else None,
                "tolerance": arguments.tolerance,
                "rows": rows,
            }
        )
        return
    reader = "onnxruntime" if file.suffix.lower() == ".onnx" else "torch.export"
    found = f"largest difference {apart:.1e} of {rows} rows, computed by {reader}"
    if not holds:
        say(f"{file}: not written, {found}; allowed: {arguments.tolerance:g}")
        return
    shapes = ", ".join(
        f"{name} ({', '.join(map(str, ('n', *one.shape[1:])))})" for name, one in exported.inputs.items()
    )
    say(f"{file}: {shapes} to {exported.output}, {size / 2**20:.1f} MiB, {found}")
