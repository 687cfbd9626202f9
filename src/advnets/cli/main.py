"""`advnets`: finds the command, and turns whatever goes wrong into one line and an exit status."""

import difflib
import importlib
import os
import sys
import traceback
from collections.abc import Mapping
from types import MappingProxyType

from advnets.errors import InputError

DONE, BAD_ANSWER, WRONG_USAGE = 0, 1, 2
_INTERRUPTED, _BROKEN_PIPE = 130, 141  # as a shell reports SIGINT and SIGPIPE

# Each is a module of this package with `run(tokens) -> exit status`, imported only when it is called.
COMMANDS: Mapping[str, str] = MappingProxyType(
    {
        "train": "train a recipe, or on your own images or array; stop and resume exactly",
        "sweep": "train many runs, over settings and seeds, and rank them",
        "sample": "draw samples from a run: a picture or an array",
        "complete": "fill in the missing part of images or rows, by a run that learned to",
        "interpolate": "draw straight lines through the noise of a run",
        "encode": "codes of examples: fit a net that undoes a run's generator",
        "classify": "tell the class of images, from few labels",
        "evaluate": "score a run, or samples made by any program",
        "doctor": "say in plain words how a run is doing, and what to do",
        "recipes": "list the presets: data, nets, parameters, the paper's numbers",
        "data": "list, describe and fetch data sets; pack those larger than memory",
        "reproduce": "the paper's theory, figures and tables, computed anew",
        "runs": "list, show and compare runs",
        "export": "write a run's generator for other programs: ONNX, torch.export",
        "lab": "the web page: watch runs, walk through z, draw, play figure 1",
        "cite": "print BibTeX for what a run used",
    }
)
HELP = "\n".join(
    [
        "usage: advnets COMMAND [...]",
        "",
        "Generative Adversarial Nets (2014): train, measure and reproduce them, on the paper's data or your own.",
        "",
        *(f"  {name:<12} {summary}" for name, summary in COMMANDS.items()),
        "",
        "  advnets COMMAND --help   all options of a command",
        "  --json                   one JSON object on stdout, progress on stderr",
        "  --debug                  the traceback of an error",
        "  --version                the version",
        "",
        "Begin with: advnets train",
    ]
)


def main(argv: list[str] | None = None) -> int:
    """Run a command line and return its exit status: 0 done, 1 done with a bad answer, 2 wrong usage or input."""
    tokens = sys.argv[1:] if argv is None else argv
    debug = "--debug" in tokens
    try:
        status = _dispatch([token for token in tokens if token != "--debug"])
        sys.stdout.flush()
        return status
    except KeyboardInterrupt as interruption:
        status = next(iter(interruption.args), _INTERRUPTED)
        return status if isinstance(status, int) else _INTERRUPTED  # a command may say that it was another signal
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # else Python complains while it flushes at exit
        return _BROKEN_PIPE
    except Exception as error:
        if debug:
            traceback.print_exc()
        print("advnets: error:", InputError(" ".join(_explain(error).split())), file=sys.stderr)
        return WRONG_USAGE


def _dispatch(tokens: list[str]) -> int:
    match tokens:
        case [] | ["-h" | "--help" | "help", *_]:
            print(HELP)
            return DONE
        case ["--version", *_]:
            from advnets import __version__

            print(f"advnets {__version__}")
            return DONE
        case [name, *rest] if name in COMMANDS:
            try:
                return int(importlib.import_module(f"advnets.cli.{name}").run(rest))
            except SystemExit as end:  # tyro leaves like this after --help
                return int(end.code or DONE)
    near = difflib.get_close_matches(tokens[0], COMMANDS, n=1)
    hint = f"did you mean advnets {near[0]}?" if near else "see advnets --help"
    raise InputError(f"there is no command {tokens[0]!r}, allowed: {', '.join(COMMANDS)}; {hint}")


def _explain(error: Exception) -> str:
    """Say what was wrong, what is allowed and how to fix it."""
    if isinstance(error, InputError):
        return str(error)
    if isinstance(error, MemoryError):
        return "the memory is full, allowed: what fits; ask for less at a time"
    if isinstance(error, OSError) and error.filename:
        return (
            f"cannot use {error.filename} ({error.strerror}), allowed: paths you may read and write; "
            "fix its permissions or name another"
        )
    what = f"{type(error).__name__}: {str(error).strip() or 'no message'}".splitlines()[0]
    return f"unexpected {what}, which is a bug in advnets; run again with --debug and report what it prints"
