"""What holds for the source as a whole: layers, import cost, sizes, names, and no code from files."""

import ast
import os
import re
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
heavy = {"torch", "scipy", "sklearn", "matplotlib", "optuna"} & set(sys.modules)
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


WRITERS = {
    "evaluation/shares.py": "bytes in memory, for the other processes of an evaluation",
    "disk.py": "all of a run",
    "locks.py": "who holds a run",
    "estimator.py": "copies of finished runs in folders of its own",
    "data/mnist.py": "data that were fetched, checked when they are read",
    "data/sources.py": "data that were fetched, checked when they are read",
    "evaluation/features.py": "nets in the cache, with checksums",
    "reproduce/drawing.py": "figures, which are drawn again",
    "reproduce/figure1.py": "a film, which is drawn again",
    "data/images.py": "the null device in the place of standard error",
    "cli/interruption.py": "to the terminal",
    "cli/main.py": "the null device in the place of a closed pipe",
    "folders.py": "the reservation of a folder",
    "evaluation/kept.py": "the folder of the cache",
    "evaluation/report.py": "pictures in memory",
    "cli/output.py": "the folder of an output",
    "cli/encode.py": "into a stream of cli/output.py",
    "cli/complete.py": "into a stream of cli/output.py",
    "cli/sample.py": "into a stream of cli/output.py",
    "cli/classify.py": "into a stream of cli/output.py",
    "cli/interpolate.py": "into a stream of cli/output.py",
    "nets/files.py": "into memory",
    "export/files.py": "into memory",
    "pictures.py": "into memory",
    "lab/widgets.py": "into memory",
}
"""Modules that write by themselves, and what; runs are written through disk.py, whose failures are tested."""

_WRITING = {"write_text", "write_bytes", "mkdir", "rmdir", "unlink", "touch", "rename", "truncate", "ftruncate", "save"}
_WRITING |= {"savefig", "save_file", "savez", "savez_compressed", "rmtree", "copytree", "copyfile", "pwrite"}
_THROUGH_DISK = {"disk.rename", "checkpoint.save", "pictures.save", "drawing.save"}


def writes(source: str) -> Iterator[str]:
    for node in ast.walk(ast.parse(source)):
        if not isinstance(node, ast.Call):
            continue
        name = node.func.attr if isinstance(node.func, ast.Attribute) else getattr(node.func, "id", "")
        whose = ast.unparse(node.func)
        constants = [ast.unparse(word) for word in (*node.args, *(keyword.value for keyword in node.keywords))]
        opened = name == "open" and any(re.fullmatch(r"'[rb]*[wax+][bt+]*'|.*O_(WRONLY|RDWR).*", c) for c in constants)
        if (
            opened or name in _WRITING or whose in ("os.replace", "os.write", "os.remove")
        ) and whose not in _THROUGH_DISK:
            yield ast.unparse(node)


@pytest.mark.parametrize("path", FILES, ids=name_of)
def test_nothing_writes_around_the_disk(path: Path) -> None:
    found = list(writes(path.read_text(encoding="utf-8")))
    assert bool(found) == (name_of(path).removeprefix("advnets/") in WRITERS), found


@pytest.mark.parametrize(
    ("source", "found"),
    [
        ("file.open('w')", 1),
        ("open(file, 'ab')", 1),
        ("file.open(mode='r+')", 1),
        ("file.open('rb')", 0),
        ("os.open(file, os.O_WRONLY | os.O_CREAT)", 1),
        ("file.write_text('')", 1),
        ("folder.mkdir()", 1),
        ("os.replace(a, b)", 1),
        ("text.replace(a, b)", 0),
        ("disk.replace(file, b'')", 0),
    ],
)
def test_the_search_for_writes_finds_what_it_should(source: str, found: int) -> None:
    assert len(list(writes(source))) == found


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


def test_the_repository_holds_no_data() -> None:
    """Nor anything else that came in by accident: what is tracked has a known place and a size that is told."""
    if not (ROOT / ".git").exists():
        pytest.skip("not a checkout: nothing tells what is tracked")
    listed = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, text=True, check=True, timeout=60)
    tracked = [Path(name) for name in listed.stdout.split("\0") if name]
    folders = {".ci", ".github", "benchmarks", "docs", "examples", "results", "src", "tests"}
    assert {name.parts[0] for name in tracked if len(name.parts) > 1} <= folders
    large = {str(name) for name in tracked if (ROOT / name).is_file() and (ROOT / name).stat().st_size > 1_000_000}
    assert large <= {"results/doctor-logs.json.xz"}
