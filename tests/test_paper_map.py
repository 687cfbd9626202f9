"""docs/paper-map.md names only what exists."""

import importlib
import re
import shlex
from pathlib import Path

import pytest

from advnets.cli import settings
from advnets.cli.main import COMMANDS
from advnets.cli.reproduce import ARTEFACTS
from advnets.data import CATALOGUE

ROOT = Path(__file__).parents[1]
ROWS = [
    [cell.strip() for cell in line.strip("|").split("|")]
    for line in (ROOT / "docs" / "paper-map.md").read_text().splitlines()
    if line.startswith("| ") and not line.startswith("| tag")
]


def code(cell: str) -> str:
    found = re.fullmatch(r"`([^`]+)`", cell)
    assert found, f"{cell!r} is no `code`"
    return found[1]


def defines(source: str, test: str) -> bool:
    """Whether a file defines this test, or any where none is named."""
    name = re.escape(test) if test else r"test_\w+"
    return re.search(rf"^ *def {name}\(", source, re.M) is not None


@pytest.mark.parametrize(
    ("source", "test", "found"),
    [
        ("def test_one():", "test_one", True),
        ("def test_one_and_more():", "test_one", False),
        ("# def test_one():", "test_one", False),
        ("def test_one():", "", True),
        ("def helper():", "", False),
    ],
)
def test_only_a_whole_name_counts(source, test, found):
    assert defines(source, test) is found


def test_the_map_covers_the_tags_built_so_far():
    assert {row[0] for row in ROWS} == {
        *("E1", "E1s", "A1", "N1", "X1", "X2", "P1", "P1b", "E4", "E5", "E6", "T1", "P2", "P2b"),
        *("FIG1", "FIG2", "FIG3", "H", "TAB1", "TAB2", "S7.1", "S7.2", "S7.3", "S7", "S7.4", "S7.5"),
    }
    assert all(len(row) == 6 and all(row) for row in ROWS)


@pytest.mark.parametrize("row", ROWS, ids=lambda row: f"{row[0]}-{row[2]}")
def test_names_tests_and_commands_exist(row):
    module, _, name = code(row[2]).rpartition(".")
    try:
        getattr(importlib.import_module(module), name)
    except AttributeError:
        importlib.import_module(code(row[2]))
    file, _, test = code(row[3]).partition("::")
    assert defines((ROOT / file).read_text(), test)
    words = shlex.split(code(row[4]))
    assert words[0] == "advnets" and words[1] in COMMANDS
    if words[1] == "train":
        settings.fresh(settings.read(words[2:]), words[2:], lambda data: pytest.fail("needs no data"))
    if words[1] == "reproduce":
        assert words[2] in ARTEFACTS
    if words[1] == "data":
        assert words[3] in CATALOGUE
