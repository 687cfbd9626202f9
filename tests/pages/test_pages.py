"""Pages hold together: what they say to type can be read, what they link to is there, and what is not run says why."""

import re

import pytest

from advnets.errors import InputError
from pages.blocks import PAGES, ROOT, blocks, read

LINES = [
    pytest.param(line, id=block.name, marks=[] if block.page == "README.md" else [pytest.mark.docs])
    for page in PAGES
    for block in blocks(page)
    for line in block.commands
]
EXCUSED = {
    "docs/efficiency.md": 1,
    "docs/tutorial/game.md": 1,
    "docs/tutorial/experiments.md": 2,
    "docs/tutorial/trade-offs.md": 3,
    "docs/tutorial/extensions.md": 1,
}
"""How many blocks of a page are not run."""


@pytest.mark.parametrize("line", LINES)
def test_every_command_line_can_be_read(line, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    read(line)


@pytest.mark.parametrize(
    "line",
    [
        "advnets trane",
        "advnets train digits --train.stepz 5",
        "advnets train digits --gsn.walkback 5",
        "advnets sweep digits --out sweep --vary a=1 --train.stepz 5",
        "advnets sample runs/digits-1 --n many",
        "advnets reproduce table3",
        "torchrun -m advnets train mnist --device 2",
        "python benchmarks/none.py",
        "make nothing",
        "pip install 'advnets[nothing]'",
        "ls runs",
    ],
)
def test_a_line_that_is_wrong_is_found(line):
    with pytest.raises((InputError, AssertionError)):
        read(line.replace("'", "").split())


def test_blocks_that_are_not_run_say_why_and_are_few():
    excused = {page: [block for block in blocks(page) if block.excuse] for page in PAGES}
    found = {page.relative_to(ROOT).as_posix(): len(those) for page, those in excused.items() if those}
    assert found == EXCUSED
    marks = sum(len(re.findall("^<!-- not run", page.read_text(encoding="utf-8"), re.M)) for page in PAGES)
    assert marks == sum(found.values()), "a mark that stands above no block"
    assert all(
        line[1] in ("reproduce", "doctor") for those in excused.values() for one in those for line in one.commands
    )


@pytest.mark.parametrize("page", [*PAGES, ROOT / "CHANGELOG.md"], ids=lambda page: page.stem)
def test_links_lead_to_files_as_they_do_where_the_repository_is_read(page):
    for link in re.findall(r"\]\(([^)#\s]+)(?:#[^)]*)?\)", page.read_text(encoding="utf-8")):
        assert "://" in link or (page.parent / link).exists(), link
