"""What the README says can be typed, and what it names exists."""

import json
import re
import shlex
from pathlib import Path

import pytest

from advnets import recipes
from advnets.cli import settings
from advnets.cli.main import COMMANDS
from processes import python, started

ROOT = Path(__file__).parents[1]
TEXT = (ROOT / "README.md").read_text()
COMMAND_LINES = [line[2:].partition("#")[0].strip() for line in TEXT.splitlines() if line.startswith("$ advnets")]


@pytest.mark.parametrize("line", COMMAND_LINES)
def test_every_command_line_can_be_read(line, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    words = shlex.split(line)[1:]
    assert words[0] in COMMANDS
    if words[0] == "train" and "--resume" not in words:
        arguments = settings.read(settings.spelled_out(words[1:]))
        if arguments.recipe is None or arguments.recipe in recipes.RECIPES:
            settings.fresh(arguments, settings.spelled_out(words[1:]), lambda data: pytest.fail("needs no data"))


def test_recipes_are_all_named():
    table = TEXT[TEXT.index("## Recipes") : TEXT.index("## Two modes")]
    assert set(re.findall(r"`([a-z0-9-]+)`", table)) >= {*recipes.RECIPES, "auto"}


def test_the_file_tree_names_what_is_there():
    tree = TEXT[TEXT.index("src/advnets/\n") : TEXT.index("From the command to the gradient")]
    for name in re.findall(r"[a-z_]+\.py", tree):
        assert list(ROOT.glob(f"**/{name}")), name
    for folder, modules in re.findall(r"^  ([a-z]+)/ +([a-z0-9 ]+?)(?: …)?$", tree, re.M):
        if folder != "cli":
            there = {file.stem for file in (ROOT / "src" / "advnets" / folder).glob("*.py")}
            assert set(modules.split()) <= there, folder
    assert all((ROOT / name).exists() for name in re.findall(r"!\[[^]]*\]\(([^)]+)\)", TEXT))


def test_the_python_example_runs(tmp_path):
    example = re.search(r"```python\n(.*?)```", TEXT, re.S)[1]
    shorter = example.replace('recipes.get("digits")', "short()")
    assert shorter != example
    setup = (
        "import dataclasses\n"
        "def short():\n"
        "    from advnets import recipes\n"
        "    config = recipes.get('digits')\n"
        "    return dataclasses.replace(config, train=dataclasses.replace(config.train, steps=3))\n"
    )
    check = "\nassert images.shape == (100, 1, 8, 8) and 0 <= images.min() <= images.max() <= 1\n"
    process = started(python, setup + shorter + check, tmp_path)
    process.join()
    assert process.exitcode == 0


def test_nothing_is_left_to_fill_in():
    texts = [ROOT / "README.md", ROOT / "CHANGELOG.md", *(ROOT / "docs").glob("*.md"), *(ROOT / "results").glob("*.md")]
    assert not [file.name for file in texts if re.search(r"@@|TODO|FIXME|TBD", file.read_text())]


def test_the_speed_in_the_text_is_the_measured_one():
    step = json.loads((ROOT / "results" / "step.json").read_text())
    mnist = json.loads((ROOT / "results" / "mnist.json").read_text())
    pace = mnist["milliseconds_per_step_by_thousand"]
    for number in (step["ours_over_products"], step["tutorial_over_ours"], pace[-1] / pace[1]):
        assert f"{number:.2f}" in TEXT
    assert f"{mnist['peak_memory_megabytes']} MB" in TEXT
