"""What pages show is run, page by page, in a folder of its own with the runs and files that the page names."""

import re
import shutil
import traceback
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from advnets.cli.main import main
from pages import small
from pages.blocks import PAGES, Block, blocks, read

pytestmark = [pytest.mark.docs, pytest.mark.filterwarnings("default")]
RUN = re.compile(r"runs/([a-z0-9-]+?)-(\d+)")


@pytest.fixture(scope="module", autouse=True)
def everything_small():
    with small.everything():
        yield


@pytest.fixture(scope="module")
def prepared(tmp_path_factory):
    """Runs that pages take for granted, trained once each, by recipe."""
    folder, made = tmp_path_factory.mktemp("prepared"), {}

    def run(recipe: str) -> Path:
        if recipe not in made:
            made[recipe] = folder / recipe
            assert main(["train", recipe, "--out", str(made[recipe])]) == 0, recipe
        return made[recipe]

    return run


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    """The user's own files that pages name."""
    folder, random = tmp_path_factory.mktemp("files"), np.random.default_rng(0)
    for name, side, kinds in (("my_images", 28, "ab"), ("photographs", 70, "ab"), ("images", 8, ("",))):
        for kind in kinds:
            (folder / name / kind).mkdir(parents=True, exist_ok=True)
            for number in range(20):
                grey = random.integers(0, 255, (side, side), np.uint8)
                Image.fromarray(grey).save(folder / name / kind / f"{number}.png")
    table = random.normal(size=(200, 4)).astype(np.float32)
    np.save(folder / "table.npy", table)
    np.save(folder / "gaps.npy", np.where(random.random(table.shape) < 0.2, np.nan, table))
    np.savez(folder / "table.npz", x=table, c=random.normal(size=(200, 2)).astype(np.float32))
    np.save(folder / "mask.npy", random.integers(0, 2, (8, 8)))
    np.savez(folder / "samples.npz", samples=random.random((120, 28, 28)).astype(np.float32))
    return folder


@pytest.fixture
def follow(prepared, files, tmp_path, monkeypatch, capsys):
    """Do what a page says, block by block, from the first to the last."""
    monkeypatch.chdir(tmp_path)
    shutil.copytree(files, tmp_path, dirs_exist_ok=True)

    def run(page: list[Block]) -> None:
        names: dict[str, object] = {"__name__": "__main__"}
        for block in page:
            if block.language == "python" and not block.excuse:
                needed(block.text, prepared)
                run_script(block, names)
            for line in block.commands:
                if "advnets" not in line or "lab" in line or block.page == "README.md":
                    read(line)  # the lab has no end, and no line of the README comes after another
                elif not block.excuse:
                    needed(" ".join(line), prepared)
                    run_line(block, line[line.index("advnets") + 1 :], capsys)
                elif "reproduce" in line:
                    monkeypatch.setattr(f"advnets.reproduce.{line[2]}.reproduce", small.nothing)
                    run_line(block, line[1:], capsys)

    return run


@pytest.mark.parametrize(
    "page", [page for page in PAGES if blocks(page)], ids=lambda page: f"{page.parent.name}-{page.stem}"
)
def test_every_block_runs(page, follow):
    follow(blocks(page))


@pytest.mark.parametrize(
    ("language", "text"),
    [
        ("console", "$ advnets train digits --steps 100\n$ advnets sample runs/digits-1 --nn 5\n"),
        ("console", "$ advnets sample runs/auto-1\n"),
        ("console", "$ advnets evaluate runs/digits-1 --metrics parzenn\n"),
        ("python", "from advnets import recipes\n\nrecipes.get('digit')\n"),
    ],
)
def test_a_block_that_is_wrong_is_found(language, text, follow):
    with pytest.raises((AssertionError, pytest.fail.Exception), match=r"docs/wrong\.md:1"):
        follow([Block("docs/wrong.md", 1, language, text, None)])


def needed(text: str, prepared) -> None:
    """Put the runs that a text names where it looks for them, unless the page has made them itself."""
    for recipe, number in RUN.findall(text):
        place = Path("runs", f"{recipe}-{number}")
        if not place.exists() and recipe != "auto" and f"--out {place}" not in text:
            shutil.copytree(prepared(recipe), place)


def run_script(block: Block, names: dict[str, object]) -> None:
    try:
        exec(compile(small.script(block.text), block.name, "exec"), names)
    except Exception:
        pytest.fail(f"{block.name} ends with\n{traceback.format_exc()}")


def run_line(block: Block, line: list[str], capsys) -> None:
    capsys.readouterr()
    status = main(small.words(line))
    said = capsys.readouterr()
    assert status == 0, f"{block.name}: advnets {' '.join(line)} ends with {status}: {said.err[-300:]}"
