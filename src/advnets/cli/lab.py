"""`advnets lab`: a page in the browser to watch runs, walk through their noise, draw, play figure 1, and compare."""

import webbrowser
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import tyro

from advnets.cli.arguments import parse
from advnets.cli.main import DONE
from advnets.cli.output import emit, say
from advnets.errors import InputError
from advnets.runs import Run


@dataclass(frozen=True)
class Arguments:
    """Open the lab: a page at 127.0.0.1, for this machine only, until Ctrl-C.

    It shows the runs named, or all in a folder, those that are begun later too, and changes none of them.
    """

    runs: Annotated[tuple[Path, ...], tyro.conf.Positional, tyro.conf.arg(metavar="[RUN …]")] = ()
    """Run folders; all of --dir by default."""
    dir: Path = Path("runs")
    """The folder whose runs are shown."""
    port: int | None = None
    """Port of 127.0.0.1; the first free one from 7860 on by default."""
    open: bool = False
    """Open the page in the browser."""
    json: bool = False
    """Print one JSON object on stdout, once the page is there."""


def run(tokens: list[str]) -> int:
    """Serve the page until it is stopped."""
    arguments = parse(Arguments, tokens, "lab")
    if arguments.port is not None and not 0 < arguments.port < 2**16:
        raise InputError(f"--port is {arguments.port}, allowed: 1 to 65535; set --port")
    for path in arguments.runs:
        Run(path).read()
    try:
        from advnets.lab.serve import serve
        from advnets.lab.shelf import Shelf
    except ImportError as error:
        raise InputError(f"{error.name} is not installed, allowed: with it; pip install 'advnets[lab]'") from None

    shelf = Shelf(arguments.runs, arguments.dir)

    def ready(address: str) -> None:
        names = shelf.names()
        if arguments.json:
            emit({"url": address, "runs": names})
        else:
            count = (
                f"{len(names)} run{'' if len(names) == 1 else 's'}" if names else "no runs yet; advnets train makes one"
            )
            say(f"{address}  ({count})")
            say("Ctrl-C ends it")
        if arguments.open:
            webbrowser.open(address)

    serve(shelf, arguments.port, ready)
    return DONE
