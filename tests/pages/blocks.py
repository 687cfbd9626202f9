"""Pages taken apart: the blocks of code of the README and of everything below docs/, and what their lines ask for."""

import functools
import importlib
import re
import shlex
from dataclasses import dataclass
from pathlib import Path

from advnets import recipes
from advnets.cli import arguments, settings, sweep
from advnets.cli.main import COMMANDS

ROOT = Path(__file__).parents[2]
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]
_BLOCK = re.compile(
    r"(?:<!-- not run: (?P<excuse>[^>]+) -->\n+)?^```(?P<language>\w*)\n(?P<text>.*?)^```$", re.M | re.S
)


@dataclass(frozen=True)
class Block:
    """A fenced block; `excuse` is what its page says, in `<!-- not run: … -->` above it, if it cannot be run here."""

    page: str
    line: int
    language: str
    text: str
    excuse: str | None

    @property
    def name(self) -> str:
        return f"{self.page}:{self.line}"

    @property
    def commands(self) -> list[list[str]]:
        """The words of every `$ …` line, without comments."""
        lines = (line[2:] for line in self.text.splitlines() if self.language == "console" and line.startswith("$ "))
        return [shlex.split(line, comments=True) for line in lines]


@functools.cache
def blocks(file: Path) -> list[Block]:
    text = file.read_text(encoding="utf-8")
    page = file.relative_to(ROOT).as_posix()
    return [
        Block(page, text[: one.start("text")].count("\n"), one["language"], one["text"], one["excuse"])
        for one in _BLOCK.finditer(text)
    ]


def read(words: list[str]) -> None:
    """Read a command line as the program would, and run nothing; raises InputError, or AssertionError, if it cannot."""
    match words:
        case ["advnets", name, *tokens]:
            assert name in COMMANDS, f"there is no command {name}"
            _read(name, tokens)
        case ["torchrun", *_]:
            start = words.index("-m")
            assert words[start + 1] == "advnets"
            read(words[start + 1 :])
        case ["python", file, *_]:
            assert (ROOT / file).is_file(), f"there is no {file}"
        case ["make", *targets]:
            made = re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(encoding="utf-8"), re.M)
            assert not {word for word in targets if "=" not in word} - {*made}, f"make cannot make {targets}"
        case ["pip", "install", "-c", file, what]:
            assert (ROOT / file).is_file(), f"there is no {file}"
            read(["pip", "install", what])
        case ["pip", "install", what]:
            extras = re.search(r"\[([\w,]+)\]", what)
            project = (ROOT / "pyproject.toml").read_text(encoding="utf-8")
            for extra in extras[1].split(",") if extras else ():
                assert re.search(rf"^{extra} = \[", project, re.M), f"there is no extra {extra}"
        case _:
            raise AssertionError(f"{' '.join(words)} is no command that pages may have")


def _read(name: str, tokens: list[str]) -> None:
    match name:
        case "train":
            _read_train(tokens)
        case "sweep":
            own, passed = sweep._parted(tokens)
            arguments.parse(sweep.Arguments, own, name)
            _read_train(passed)
        case "evaluate":
            _parse(name, [re.sub(r"^--data\b(?!\.)", "--data.name", token) for token in tokens])
        case _:
            _parse(name, tokens)


def _read_train(tokens: list[str]) -> None:
    """A recipe's settings are checked whole; those of the user's own data need the data."""
    spelled = settings.spelled_out(tokens)
    given = settings.read(spelled)
    if not given.resume and (given.recipe is None or given.recipe in recipes.RECIPES):

        def no_data(data):
            raise AssertionError("needs no data")

        settings.fresh(given, spelled, no_data)


def _parse(name: str, tokens: list[str]) -> None:
    arguments.parse(importlib.import_module(f"advnets.cli.{name}").Arguments, tokens, name)
