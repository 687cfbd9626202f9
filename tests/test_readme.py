"""What the README names exists; what it says to type, and its script, are tested in tests/pages."""

import json
import re
from pathlib import Path

from advnets import recipes

ROOT = Path(__file__).parents[1]
TEXT = (ROOT / "README.md").read_text()


def test_recipes_are_all_named():
    table = TEXT[TEXT.index("## Recipes") : TEXT.index("## Two modes")]
    assert set(re.findall(r"`([a-z0-9-]+)`", table)) >= {*recipes.RECIPES, "auto"}


def test_the_file_tree_names_what_is_there():
    tree = TEXT[TEXT.index("src/advnets/\n") : TEXT.index("From the command to the gradient")]
    folders = (ROOT / name for name in ("src", "tests", "benchmarks", "examples"))
    there = {file.name for folder in folders for file in folder.rglob("*.py")}
    assert {*re.findall(r"[a-z_]+\.py", tree)} <= there
    for folder, modules in re.findall(r"^  ([a-z]+)/ +([a-z0-9 ]+?)(?: …)?$", tree, re.M):
        if folder != "cli":
            there = {file.stem for file in (ROOT / "src" / "advnets" / folder).glob("*.py")}
            assert set(modules.split()) <= there, folder
    assert all((ROOT / name).exists() for name in re.findall(r"!\[[^]]*\]\(([^)]+)\)", TEXT))


def test_nothing_is_left_to_fill_in():
    texts = [
        ROOT / "README.md",
        ROOT / "CHANGELOG.md",
        *(ROOT / "docs").rglob("*.md"),
        *(ROOT / "results").glob("*.md"),
    ]
    assert not [file.name for file in texts if re.search(r"@@|TODO|FIXME|TBD", file.read_text())]


PAIRS = ("ours", "products"), ("tutorial", "ours"), ("compiled", "products"), ("tutorial", "compiled")


def test_the_speed_in_the_text_is_the_measured_one():
    step = json.loads((ROOT / "results" / "step.json").read_text())
    mnist = json.loads((ROOT / "results" / "mnist.json").read_text())
    pace = mnist["milliseconds_per_step_by_thousand"]
    coarse = json.loads((ROOT / "results" / "step-bf16.json").read_text())
    of_step = [step[f"{one}_over_{other}"] for one, other in PAIRS]
    for number in (*of_step, coarse["tutorial_over_ours_bf16"], pace[-1] / pace[1]):
        assert f"{number:.2f}" in TEXT
    assert f"{mnist['peak_memory_megabytes']} MB" in TEXT
