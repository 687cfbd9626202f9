"""`advnets export`: a run's generator, encoder or completion as a file for other programs, checked against the run."""

import contextlib
import math
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import tyro

from advnets.cli.arguments import parse
from advnets.cli.main import BAD_ANSWER, DONE
from advnets.cli.output import emit, making, say, writing
from advnets.errors import InputError
from advnets.runs import Run

if TYPE_CHECKING:
    from advnets.export.parts import Exported

_KINDS = (".onnx", ".pt2", "")
_DRAWN = 256


class _OtherNumbersError(Exception):
    """What was written does not draw what the run draws."""


@dataclass(frozen=True)
class Arguments:
    """Write a net of a run as a file, and let the program that reads such files compute what the run computes."""

    run: Annotated[Path, tyro.conf.Positional, tyro.conf.arg(metavar="RUN")]
    """A run folder."""
    out: Annotated[Path | None, tyro.conf.arg(metavar="FILE")] = None
    """A .onnx file, a .pt2 of torch.export, or a new folder in the layout of the Hugging Face hub, with a model card;
    RUN/PART.onnx by default."""
    part: Literal["generator", "encoder", "completion"] | None = None
    """generator: z to samples; encoder: examples to codes, after advnets encode; completion: z, x and what is known of
    it to x filled in. By default the last of a run with masks, else the generator."""
    page: Annotated[Path | None, tyro.conf.arg(metavar="DIR")] = None
    """In the place of a file, a new folder that opens in a browser, without a server: it samples, walks and
    interpolates by onnxruntime-web, which npm fetches."""
    runtime: Annotated[Path | None, tyro.conf.arg(metavar="FILE")] = None
    """onnxruntime-web as npm packs it, where npm or a network is not at hand."""
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
        raise InputError(
            f"--out is {arguments.out}, allowed: a name that ends in {' or '.join(_KINDS[:-1])}, or a new folder's, "
            "without a dot; rename it"
        )
    if not arguments.tolerance >= 0:
        raise InputError(f"--tolerance is {arguments.tolerance}, allowed: 0 or more; set --tolerance")
    Run(arguments.run).read()  # refuses what is no run before torch is imported

    if arguments.page:
        return _to_page(arguments, arguments.page)
    if arguments.out and not arguments.out.suffix:
        return _to_folder(arguments, arguments.out)
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


def _to_folder(arguments: Arguments, out: Path) -> int:
    """Write a folder for the hub, load it again, and hold what it draws against the run."""
    if arguments.part not in (None, "generator"):
        raise InputError(
            f"--part is {arguments.part}, allowed in a folder: generator; leave it out, or name a .onnx file"
        )
    try:
        from advnets.export import hub
    except ImportError as error:
        raise InputError(
            f"{error.name} is not installed, allowed: with it; pip install 'advnets[hub]', or --out with .onnx"
        ) from None
    generator = hub.PretrainedGenerator.of_run(Run(arguments.run), arguments.weights)
    with contextlib.suppress(_OtherNumbersError), making(out) as aside:
        generator.save_pretrained(aside)
        again = hub.PretrainedGenerator.from_pretrained(aside)
        apart = float(abs(generator.sample(_DRAWN) - again.sample(_DRAWN)).max())
        if apart != 0:
            raise _OtherNumbersError
    holds = apart == 0
    names = ", ".join(sorted(one.name for one in out.iterdir())) if holds else "not written"
    if arguments.json:
        file, finite = str(out) if holds else None, apart if math.isfinite(apart) else None
        emit({"file": file, "run": str(arguments.run), "difference": finite, "tolerance": 0.0, "rows": _DRAWN})
    else:
        say(f"{out}: {names}; largest difference {apart:g} of {_DRAWN} samples, drawn by what was written")
    return DONE if holds else BAD_ANSWER


def _to_page(arguments: Arguments, out: Path) -> int:
    """Write a page, whose generator is checked here by onnxruntime, and by the page itself in the browser."""
    if arguments.out:
        raise InputError("--page and --out are both set, allowed: one of them; leave one out")
    from advnets.export import files, page
    from advnets.export.parts import load_part

    exported = load_part(Run(arguments.run), arguments.part or "generator", arguments.weights)
    with contextlib.suppress(_OtherNumbersError), making(out) as aside:
        model = files.onnx_bytes(exported)
        apart = files.difference(exported, files.run_onnx(model, exported))
        if not apart <= arguments.tolerance:
            raise _OtherNumbersError
        page.write(exported, model, aside, page.fetched(arguments.runtime))
    holds, rows = apart <= arguments.tolerance, len(exported.inputs["z"])
    if arguments.json:
        file, finite = str(out / "index.html") if holds else None, apart if math.isfinite(apart) else None
        told = {"difference": finite, "tolerance": arguments.tolerance, "rows": rows}
        emit({"file": file, "run": str(arguments.run), **exported.facts(), **told})
    elif holds:
        say(f"{out / 'index.html'}: open it in a browser; largest difference {apart:.1e} of {rows} rows by onnxruntime")
    else:
        say(f"{out}: not written, largest difference {apart:.1e}; allowed: {arguments.tolerance:g}")
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
