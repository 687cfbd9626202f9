"""What holds for the source as a whole: layers, import cost, sizes, names, and no code from files."""

import ast
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
FILES = sorted((ROOT / "src" / "advnets").rglob("*.py"))

SHAPELESS_NAMES = {"utils", "util", "core", "common", "helpers", "helper", "base", "misc"}


def run_python(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([sys.executable, *arguments], cwd=ROOT, capture_output=True, text=True, timeout=120)


def name_of(path: Path) -> str:
    return path.relative_to(ROOT / "src").as_posix()


def test_layers() -> None:
    program = "from importlinter.cli import lint_imports_command; lint_imports_command()"
    done = run_python("-c", program, "--no-cache", "--no-logo")
    assert done.returncode == 0, done.stdout + done.stderr


def test_help_imports_nothing_heavy() -> None:
    program = """
import sys
from advnets.cli.main import main
sys.argv = ["advnets", "--help"]
try:
    main()
except SystemExit as end:
    assert not end.code, end.code
heavy = {"torch", "scipy", "sklearn", "matplotlib"} & set(sys.modules)
assert not heavy, heavy
"""
    done = run_python("-c", program)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "train" in done.stdout


def test_help_takes_half_a_second() -> None:
    def processor_seconds() -> float:  # unlike time on the wall, the same on a busy machine
        before = os.times()
        done = run_python("-m", "advnets", "--help")
        after = os.times()
        assert done.returncode == 0, done.stderr
        return after.children_user + after.children_system - before.children_user - before.children_system

    assert min(processor_seconds() for _ in range(3)) < 0.5


@pytest.mark.parametrize("path", FILES, ids=name_of)
def test_sizes_and_names(path: Path) -> None:
    source = path.read_text(encoding="utf-8")
    assert len(source.splitlines()) <= 400
    assert not SHAPELESS_NAMES & set(Path(name_of(path)).with_suffix("").parts), "a module is named after what it holds"
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            assert node.end_lineno is not None
            assert node.end_lineno - node.lineno + 1 <= 50, f"{node.name}, line {node.lineno}, has more than 50 lines"


def loads_that_execute_code(source: str) -> Iterator[str]:
    for node in ast.walk(ast.parse(source)):
        # `from torch import load` would hide a call from the search below.
        if isinstance(node, ast.ImportFrom) and node.module in {"pickle", "joblib", "numpy", "torch"}:
            yield from (ast.unparse(node) for name in node.names if name.name in {"load", "loads"})
        if not isinstance(node, ast.Call):
            continue
        settings = {keyword.arg: ast.unparse(keyword.value) for keyword in node.keywords}
        match ast.unparse(node.func):
            case "pickle.load" | "pickle.loads" | "joblib.load":
                yield ast.unparse(node)
            case "np.load" | "numpy.load" if settings.get("allow_pickle", "False") != "False":
                yield ast.unparse(node)
            case "torch.load" if settings.get("weights_only") != "True":
                yield ast.unparse(node)


@pytest.mark.parametrize("path", FILES, ids=name_of)
def test_no_file_executes_code(path: Path) -> None:
    assert not list(loads_that_execute_code(path.read_text(encoding="utf-8")))


@pytest.mark.parametrize(
    ("source", "found"),
    [
        ("pickle.load(file)", 1),
        ("np.load(path, allow_pickle=True)", 1),
        ("np.load(path, allow_pickle=flag)", 1),
        ("np.load(path, allow_pickle=False)", 0),
        ("np.load(path)", 0),
        ("torch.load(path)", 1),
        ("torch.load(path, weights_only=flag)", 1),
        ("torch.load(path, weights_only=True)", 0),
        ("from torch import load", 1),
    ],
)
def test_the_search_finds_what_it_should(source: str, found: int) -> None:
    assert len(list(loads_that_execute_code(source))) == found
