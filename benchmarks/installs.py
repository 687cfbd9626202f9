"""Install the built wheel into clean environments and use it: every CPython given, lowest and latest dependencies.

    python benchmarks/installs.py [PYTHON ...] [--only lowest] [--uv UV] [--scratch DIR] [--json results/installs.json]

PYTHON is an interpreter; without any, those of Debian, pyenv and uv that are here and new enough. `latest` is what
`pip install WHEEL` chooses; `lowest` takes the lower bounds of pyproject.toml for what advnets itself asks for, as
`uv pip compile --resolution lowest-direct` finds them among wheels for that Python, and the newest of everything else.
Each environment trains, samples, asks the doctor and scores, then gets all extras and uses each. A row is
written as soon as it is measured, beside those that were there, and its environment is deleted. Exit 1 where a row of
this call failed. On Linux pip takes torch with several gigabytes of CUDA libraries for every row.
"""

import argparse
import json
import os
import platform
import re
import shutil
import subprocess
import sys
import tempfile
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
KINDS = ("lowest", "latest")
MINUTES = 20  # for one call of pip
TRAIN = ["advnets", "train", "digits", "--offline", "--steps"]
SMALL = ["--samples", "300", "--redraws", "0", "--metrics", "parzen", "fid", "classes"]
CORE = {
    "train": [*TRAIN, "50", "--out", "run", "--json"],
    "settings": [
        "advnets",
        "train",
        "digits",
        "--dry-run",
        "--generator.maps",
        "None",
        "--discriminator.hidden",
        "9",
        "5",
    ],
    "sample": ["advnets", "sample", "run", "--n", "16", "--out", "grid.png"],
    "resume": ["advnets", "train", "--resume", "--out", "run", "--steps", "200"],
    "doctor": ["advnets", "doctor", "run"],
    "interpolate": ["advnets", "interpolate", "run", "--out", "lines.png"],
    "evaluate": ["advnets", "evaluate", "run", "--offline", *SMALL],
    "theory": ["advnets", "reproduce", "theory", "--out", "theory"],
}
ARRAY = "import numpy; numpy.save('array.npy', numpy.random.default_rng(0).random((300, 8, 8), numpy.float32))"
LAB = """
import json, subprocess, urllib.request
lab = subprocess.Popen(["advnets", "lab", "run", "--json"], stdout=subprocess.PIPE, text=True)
try:
    said = ""
    while not said.rstrip().endswith("}"):
        line = lab.stdout.readline()
        assert line, "the lab ended"
        said += line
    assert "gradio" in urllib.request.urlopen(json.loads(said)["url"]).read().decode()
finally:
    lab.terminate()
"""
RANGE = ["--vary", "train.learning_rate=0.05:0.5:log", "--trials", "2", "--seeds", "1", "--steps", "20"]
EXTRAS = {
    "export": [["advnets", "export", "run", "--out", "generator.onnx"]],
    "hub": [["advnets", "export", "run", "--out", "generator"]],
    "track": [[*TRAIN, "20", "--tracker", "tensorboard", "--out", "tracked"]],
    "sweep": [["advnets", "sweep", "digits", "--out", "sweep", *RANGE]],
    "packed": [
        ["python", "-c", ARRAY],
        ["advnets", "data", "pack", "array.npy", "--out", "packed"],
        ["advnets", "train", "packed", "--steps", "20", "--out", "of-packed"],
    ],
    "tfd": [["python", "-c", "import h5py"]],
    "lab": [["python", "-c", LAB]],
}
"""What shows that an extra works."""
ANSWERED = {"doctor": (0, 1)}
"""Exit statuses that are an answer, where 0 is not the only one: fifty steps need not be well."""


OURS = ("PYTHONPATH", "PYTHONDONTWRITEBYTECODE", "ADVNETS_DATA")
"""Variables that a shell of its own does not have."""


class FailedError(Exception):
    """A command that ended badly; says its last line."""


def bounds(project: dict[str, Any], extra: str | None = None) -> dict[str, str]:
    """Return the lower bound of every library that advnets, or one of its extras, asks for."""
    asked = project["optional-dependencies"][extra] if extra else project["dependencies"]
    found = {}
    for line in asked:
        match = re.fullmatch(r"([A-Za-z0-9_.-]+)(?:\[[\w,-]+\])?>=([0-9][0-9.]*)", line.replace(" ", ""))
        if not match:
            raise ValueError(f"{line!r} has no lower bound, allowed: NAME>=VERSION; give it one in pyproject.toml")
        found[canonical(match[1])] = match[2]
    return found


def canonical(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()


def project() -> dict[str, Any]:
    return tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]


def interpreters() -> Iterator[Path]:
    """The CPythons of Debian, pyenv and uv that are here, one of each version, if new enough."""
    home, uv = Path.home(), os.environ.get("UV_PYTHON_INSTALL_DIR")
    places = [*Path("/usr/bin").glob("python3.[0-9]*"), *(home / ".pyenv/versions").glob("*/bin/python")]
    places += Path(uv or home / ".local/share/uv/python").glob("cpython-*/bin/python3")
    least, seen = project()["requires-python"].removeprefix(">="), set()
    for place in places:
        if re.search(r"python(3(\.\d+)?)?$", place.name) and (about := version(place)) not in seen:
            seen.add(about)
            if ordered(about) >= ordered(least):
                yield place


def version(python: Path) -> str:
    return command([str(python), "-c", "import platform; print(platform.python_version())"]).strip()


def ordered(text: str) -> tuple[int, ...]:
    return tuple(map(int, re.findall(r"\d+", text)))


def origin(python: Path) -> str:
    return next((name for name in ("pyenv", "uv") if name in python.parts or f".{name}" in python.parts), "system")


def command(words: list[str], folder: Path | None = None, seconds: float = 600, accept: tuple[int, ...] = (0,)) -> str:
    """Run a command as from a shell of its own, without this checkout and its data, and return what it printed."""
    apart = {name: value for name, value in os.environ.items() if name not in OURS}
    if folder:
        apart |= {"PATH": f"{folder / 'venv' / 'bin'}:{apart['PATH']}", "XDG_CACHE_HOME": str(folder / "cache")}
    try:
        done = subprocess.run(words, cwd=folder, env=apart, capture_output=True, text=True, timeout=seconds)
    except subprocess.TimeoutExpired as error:
        raise FailedError(f"not tried: took longer than {seconds / 60:g} minutes") from error
    if done.returncode not in accept:
        lines = [line for line in (done.stderr or done.stdout).splitlines() if line.strip(" ╰─╯")]
        said = next((line for line in lines if line.startswith("ERROR")), lines[-1] if lines else "")
        # Results name no folder of this machine.
        raise FailedError(re.sub(r"(?<![\w.:/])/[^\s,'\"]+", "FOLDER", said or f"exit status {done.returncode}"))
    return done.stdout


def lowest(python: Path, uv: str, extras: list[str], file: Path) -> list[str]:
    """Write the lowest versions that the bounds allow and this Python has wheels for; return them as pip takes them."""
    words = [uv, "pip", "compile", str(ROOT / "pyproject.toml"), "--resolution", "lowest-direct", "--no-build"]
    words += [word for extra in extras for word in ("--extra", extra)]
    text = command([*words, "--python", str(python), "--no-annotate", "--no-header", "--quiet"])
    asked = {name for extra in [None, *extras] for name in bounds(project(), extra)}
    file.write_text("".join(f"{line}\n" for line in text.split("\n") if canonical(line.partition("==")[0]) in asked))
    return ["--only-binary", ":all:", "-c", str(file)]


def install(wheel: Path, kind: str, python: Path, options: argparse.Namespace, folder: Path, extras: list[str]) -> None:
    what = f"{wheel}[{','.join(extras)}]" if extras else str(wheel)
    held = lowest(python, options.uv, extras, folder / "lowest.txt") if kind == "lowest" else []
    pip, store = ["python", "-m", "pip"], []
    if options.wheels:  # what an index forbids pip to keep in its cache
        command([*pip, "download", what, *held, "--dest", str(options.wheels)], folder, 60 * MINUTES)
        store = ["--no-index", "--find-links", str(options.wheels)]
    command([*pip, "install", what, *held, *store, "--no-compile"], folder, 60 * MINUTES)


def versions(folder: Path, names: dict[str, str]) -> dict[str, str]:
    listed = json.loads(command(["python", "-m", "pip", "list", "--format", "json"], folder))
    here = {canonical(one["name"]): one["version"] for one in listed}
    return {name: here[name] for name in names}


def row(python: Path, kind: str, wheel: Path, options: argparse.Namespace) -> dict[str, Any]:
    """Make an environment, use it, and tell what it held and whether it worked."""
    found: dict[str, Any] = {"python": version(python), "from": origin(python), "dependencies": kind}
    folder = Path(tempfile.mkdtemp(dir=options.scratch))
    try:
        command([str(python), "-m", "venv", str(folder / "venv")])
        step = "install"
        try:
            install(wheel, kind, python, options, folder, [])
            found["versions"] = versions(folder, bounds(project()))
            for step, words in CORE.items():  # the one that failed is told below
                command(words, folder, accept=ANSWERED.get(step, (0,)))
            found["outcome"] = "works"
        except FailedError as error:
            found["outcome"] = f"{step}: {error}"
            return found
        found["extras"] = extended(python, kind, wheel, options, folder) if options.extras else {}
        return found
    finally:
        shutil.rmtree(folder)


def extended(python: Path, kind: str, wheel: Path, options: argparse.Namespace, folder: Path) -> dict[str, Any]:
    """Add all extras and use each."""
    found: dict[str, Any] = {extra: {} for extra in options.extras}
    try:
        install(wheel, kind, python, options, folder, options.extras)
    except FailedError as error:
        return {extra: {"outcome": str(error)} for extra in found}
    for extra in found:
        found[extra]["versions"] = versions(folder, bounds(project(), extra))
        try:
            for words in EXTRAS[extra]:
                command(words, folder)
            found[extra]["outcome"] = "works"
        except FailedError as error:
            found[extra]["outcome"] = str(error)
    return found


def failures(found: dict[str, Any]) -> list[str]:
    """Everything of a row that does not work."""
    parts = {"": found} | found.get("extras", {})
    return [f"{name} {one['outcome']}".strip() for name, one in parts.items() if one["outcome"] != "works"]


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("pythons", nargs="*", type=Path, metavar="PYTHON")
    parser.add_argument("--only", choices=KINDS)
    parser.add_argument("--extras", nargs="*", choices=EXTRAS, default=[*EXTRAS], metavar="EXTRA")
    parser.add_argument("--uv", default="uv", help="where uv is; pip install uv")
    parser.add_argument("--scratch", type=Path, help="where environments are made")
    parser.add_argument("--wheels", type=Path, help="keep what is downloaded here, and fetch none of it again")
    parser.add_argument("--free", type=float, default=20, help="GB of disk without which no row is begun")
    parser.add_argument("--json", type=Path, default=Path("results/installs.json"))
    options = parser.parse_args()
    status = 0
    with tempfile.TemporaryDirectory(dir=options.scratch) as dist:
        command([sys.executable, "-m", "pip", "wheel", "--no-deps", "--wheel-dir", dist, str(ROOT)])
        wheel = next(Path(dist).glob("*.whl"))
        for python in options.pythons or interpreters():
            for kind in [options.only] if options.only else KINDS:
                if shutil.disk_usage(dist).free < options.free * 1e9:
                    sys.exit(f"less than {options.free:g} GB are free: {version(python)}, {kind} is left out")
                found = row(python, kind, wheel, options)
                write(options.json, found)
                print(found["python"], kind, failures(found) or "works", flush=True)
                status |= bool(failures(found))
    return status


def write(file: Path, found: dict[str, Any]) -> None:
    """Put a row in the place of that of the same Python and dependencies."""
    before = json.loads(file.read_text())["rows"] if file.exists() else []
    rows = {(one["python"], one["dependencies"]): one for one in [*before, found]}
    ranked = [rows[key] for key in sorted(rows, key=lambda key: (ordered(key[0]), KINDS.index(key[1])))]
    machine = {"system": platform.platform(), "processor": platform.machine()}
    file.write_text(json.dumps({"machine": machine, "rows": ranked}, indent=2) + "\n")


if __name__ == "__main__":
    sys.exit(main())
