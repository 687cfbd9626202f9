"""Pages of the site that the program itself tells: its commands by their --help, its modules by their docstrings.

MkDocs calls the functions whose names begin with `on_`. Nothing is written into docs/, so nothing there can grow old.
"""

import contextlib
import io
import os
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files
from mkdocs.structure.pages import Page

from advnets import recipes
from advnets.cli.main import COMMANDS, HELP, main

ROOT = Path(__file__).parents[2]
MODULES = {
    "The estimator": ["estimator"],
    "Recipes and settings": ["recipes", "config.sections", "config.rivals", "config.semi", "parameters"],
    "Runs": ["runs", "history", "doctor", "doctor_rivals", "verdicts"],
    "Data": ["data", "conditions", "masks"],
    "The game": ["objectives", "noise", "training", "training.step"],
    "Nets": ["nets.build", "nets.mlp", "nets.maxout", "nets.conv", "nets.conditional", "nets.completion"],
    "Sampling and pictures": ["sampling", "pictures"],
    "Evaluation": [
        *("evaluation.parzen", "evaluation.evaluate", "evaluation.likelihood", "evaluation.features"),
        *("evaluation.two_sample", "evaluation.coverage", "evaluation.memorisation", "evaluation.conditional"),
        *("evaluation.completion", "evaluation.ais"),
    ],
    "Theory": ["theory"],
    "Extensions": [
        *("extensions.inference", "extensions.encoder_fit", "extensions.bigan", "extensions.completing"),
        *("extensions.semi_supervised", "extensions.features", "extensions.classifier", "extensions.labels"),
    ],
    "Rivals": ["rivals.rbm", "rivals.dbn", "rivals.cae", "rivals.gsn", "rivals.vae", "rivals.partition"],
    "Export": ["export.files", "export.parts", "export.hub", "export.page"],
    "Errors": ["errors"],
}
"""Pages of the reference of Python, each with its modules of advnets."""
_REACHED = {"README.md": "readme.md", "CHANGELOG.md": "changelog.md"}
_BOX = re.compile(r"^[╭╰│].*[╮╯│]$")


@dataclass
class Option:
    """One entry of a --help: what is typed, and what it does."""

    typed: str
    does: str


def on_config(config: MkDocsConfig) -> MkDocsConfig:
    """Put the pages made here into the navigation."""
    assert config.nav is not None
    commands = ["reference/commands/index.md", *(f"reference/commands/{name}.md" for name in COMMANDS)]
    modules = [{title: _module_page(title)} for title in MODULES]
    config.nav.insert(-1, {"Reference": [{"Commands": commands}, {"Python": modules}]})
    decisions = sorted((ROOT / "docs" / "decisions").glob("*.md"), key=_place)
    config.nav[-1]["Project"].append({"Decisions": [f"decisions/{file.name}" for file in decisions]})
    return config


def _place(file: Path) -> str:
    return "" if file.name == "README.md" else file.name


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Make the pages of the reference, and those of the repository's own texts and results that pages link to."""
    pages = {"reference/commands/index.md": _overview()}
    pages |= {f"reference/commands/{name}.md": command_page(name) for name in COMMANDS}
    pages |= {_module_page(title): _modules(title, modules) for title, modules in MODULES.items()}
    pages |= {page: _from_root((ROOT / name).read_text(encoding="utf-8")) for name, page in _REACHED.items()}
    pages["results/metrics.txt"] = (ROOT / "results" / "metrics.txt").read_text(encoding="utf-8")
    for path, content in pages.items():
        files.append(File.generated(config, path, content=content))
    return files


def on_page_markdown(markdown: str, page: Page, config: MkDocsConfig, files: Files) -> str:
    """Turn links that leave docs/, which lead somewhere in the repository, into those of the site."""
    markdown = re.sub(r"\]\(\.\./results/", "](results/", markdown)
    for name, reached in _REACHED.items():
        markdown = re.sub(rf"\]\(\.\./{re.escape(name)}", f"]({reached}", markdown)
    return markdown


def _from_root(text: str) -> str:
    return re.sub(r"\]\(docs/", "](", text)


def _module_page(title: str) -> str:
    return f"reference/python/{title.lower().replace(' ', '-')}.md"


def _modules(title: str, modules: list[str]) -> str:
    inherited = "\n    options:\n      inherited_members: true" if modules == ["estimator"] else ""
    return f"# {title}\n\n" + "\n\n".join(f"::: advnets.{name}{inherited}" for name in modules) + "\n"


def _overview() -> str:
    rows = "\n".join(f"| [`advnets {name}`]({name}.md) | {escaped(does)} |" for name, does in COMMANDS.items())
    return f"# Commands\n\n```text\n{HELP}\n```\n\n| command | does |\n|---|---|\n{rows}\n"


def command_page(name: str) -> str:
    """Make the page of a command out of what its --help prints; of `train`, with what other recipes have beside it."""
    usage, about, groups = read_help(help_of(name))
    if name == "train":
        known = {option.typed for options in groups.values() for option in options}
        for recipe in recipes.RECIPES:
            for title, options in read_help(help_of(name, recipe))[2].items():
                more = [one for one in options if one.typed.split()[0] not in {word.split()[0] for word in known}]
                groups.setdefault(title, []).extend(more)
                known |= {option.typed for option in more}
    parts = [f"# advnets {name}", f"{escaped(COMMANDS[name].capitalize())}.", f"```text\n{usage}\n```", *about]
    for title, options in groups.items():
        if options:
            parts += [f"## {title.capitalize()}", *map(_shown, options)]
    return "\n\n".join(parts) + "\n"


def _shown(option: Option) -> str:
    """Make a term and its definition, close together where it is one paragraph."""
    gap = "\n\n" if "\n" in option.does else "\n"
    return f"`{option.typed}`{gap}:   {escaped(option.does)}"


def help_of(*words: str) -> str:
    """Return what `advnets WORDS --help` prints, in lines so wide that no word is broken."""
    out, before = io.TextIOWrapper(io.BytesIO(), encoding="utf-8"), os.environ.get("COLUMNS")  # else boxes are of ASCII
    os.environ["COLUMNS"] = "119"  # in wider terminals boxes stand side by side
    try:
        with contextlib.redirect_stdout(out):
            status = main([*words, "--help"])
    finally:
        os.environ.pop("COLUMNS") if before is None else os.environ.update(COLUMNS=before)
    assert status == 0, f"advnets {' '.join(words)} --help ends with {status}"
    out.seek(0)
    return out.read()


def read_help(text: str) -> tuple[str, list[str], dict[str, list[Option]]]:
    """Take a --help apart: the line of usage, paragraphs, and the options of every box by its title."""
    lines = [line.rstrip() for line in text.splitlines()]
    boxed = next((n for n, line in enumerate(lines) if _BOX.match(line)), len(lines))
    usage, *about = "\n".join(lines[:boxed]).strip().split("\n\n")
    groups: dict[str, list[Option]] = {}
    title = ""
    for line in lines[boxed:]:
        if line.startswith("╭"):
            title = line.strip("╭╮─ ")
            assert "╮" not in title, "boxes stand side by side"
            groups[title] = []
        elif line.startswith("│"):
            _read(line.strip("│").removeprefix(" ").rstrip(), groups[title])
    return usage, [escaped(one) for one in about], {name: list(_told(options)) for name, options in groups.items()}


def _read(line: str, options: list[Option]) -> None:
    """Take one line of a box: an option, with or without its first words, or more of them."""
    if line and set(line) <= {"─"}:
        options.clear()  # above the rule a box says what its options are for
    elif options and (line.startswith(" ") or not line):
        options[-1].does += f" {line.strip()}" if line else "\n\n   "  # a paragraph of a definition is indented
    else:
        typed, _, does = line.partition("  ")
        options.append(Option(typed, does.strip()))


def _told(options: list[Option]) -> Iterator[Option]:
    for one in options:
        if not one.typed.startswith("-h,"):
            yield Option(one.typed, one.does.strip())


def escaped(text: str) -> str:
    """Return text in which nothing is a sign of Markdown."""
    return re.sub(r"([\\`*_{}\[\]<>#|])", r"\\\1", text)
