"""Train on a data set larger than memory, within a limit of memory, beside the same nets on data in memory.

    ADVNETS_DATA=... python benchmarks/streaming.py FOLDER [--gigabytes 20] [--limit 2] [--steps 1000] [--rounds 3]
        [--json FILE]

FOLDER gets images.npy, MNIST training images moved by up to three pixels each way, and what `advnets data pack` makes
of it; both stay there for the next time. Then the `mnist` recipe is trained on the packed set and on MNIST in memory,
in turns. Packing, and training on the packed set, run in a control group whose memory, with the pages of files that
the system keeps for it, is limited to --limit GB (root, Linux); without the right to make one, the largest resident
size is told alone. Step times are those of timing.jsonl, without the first line. Quote ratios: absolute times are the
machine's.
"""

import argparse
import contextlib
import json
import os
import platform
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from advnets.config import DataConfig
from advnets.data import load

QUIET = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
BLOCK, SHIFT = 50_000, 3
GROUPS = (Path("/sys/fs/cgroup/memory"), Path("/sys/fs/cgroup"))  # versions 1 and 2
LIMITS, PEAKS = ("memory.limit_in_bytes", "memory.max"), ("memory.max_usage_in_bytes", "memory.peak")


def generate(file: Path, size: int) -> None:
    """Write a .npy file of `size` bytes of images."""
    images = (load(DataConfig("mnist")).train.x[:, 0] * 255).astype(np.uint8)
    count = size // images[0].nbytes
    with file.open("wb") as stream:
        header = {"descr": "|u1", "fortran_order": False, "shape": (count, *images.shape[1:])}
        np.lib.format.write_array_header_1_0(stream, header)
        for block, start in enumerate(range(0, count, BLOCK)):
            rng = np.random.default_rng(block)
            rows = images[rng.integers(len(images), size=min(BLOCK, count - start))]
            by = rng.integers(-SHIFT, SHIFT + 1, size=(len(rows), 2))
            for down in range(-SHIFT, SHIFT + 1):
                for right in range(-SHIFT, SHIFT + 1):
                    these = (by == (down, right)).all(1)
                    rows[these] = np.roll(rows[these], (down, right), (1, 2))
            stream.write(rows.tobytes())


@contextlib.contextmanager
def limited(size: int) -> Iterator[Path | None]:
    """Make a control group of so many bytes of memory, or none where that is not allowed."""
    for root, limit in zip(GROUPS, LIMITS, strict=True):
        group = root / "advnets-streaming"
        try:
            group.mkdir()
            (group / limit).write_text(str(size))
        except OSError:
            with contextlib.suppress(OSError):
                group.rmdir()
            continue
        try:
            yield group
        finally:
            for _ in range(100):  # the last process may still be on its way out
                with contextlib.suppress(OSError):
                    group.rmdir()
                    break
                time.sleep(0.1)
        return
    yield None


def peak(group: Path) -> int:
    return next(int((group / name).read_text()) for name in PEAKS if (group / name).is_file())


def command(words: list[str], limit: int | None) -> dict[str, Any]:
    """Run an advnets command, within a limit of memory if there is one; tell seconds and its largest sizes."""
    with limited(limit) if limit else contextlib.nullcontext() as group:

        def enter() -> None:
            if group:
                (group / "cgroup.procs").write_text(str(os.getpid()))

        begun = time.perf_counter()
        child = subprocess.Popen([sys.executable, "-m", "advnets", *words], preexec_fn=enter, **QUIET)
        _, status, used = os.wait4(child.pid, 0)
        seconds = time.perf_counter() - begun
        found = {"seconds": round(seconds, 1), "resident_mib": used.ru_maxrss >> 10}
        if group:
            found |= {"group_mib": peak(group) >> 20, "limit_mib": (limit or 0) >> 20}
    assert os.waitstatus_to_exitcode(status) == 0, words
    return found


def trained(data: Path | None, steps: int, limit: int | None) -> dict[str, Any]:
    """Train the recipe and return milliseconds per step, the median of the log's lines but the first."""
    with tempfile.TemporaryDirectory() as folder:
        run = Path(folder, "run")
        words = ["train", "mnist", "--steps", str(steps), "--train.log_every", "100", "--out", str(run)]
        found = command([*words, *(["--data", str(data)] if data else [])], limit)
        lines = [json.loads(line) for line in (run / "timing.jsonl").read_text().splitlines()]
        return found | {"milliseconds": statistics.median(line["milliseconds_per_step"] for line in lines[1:])}


def forget_pages() -> None:
    """Let the system drop the pages of files that it keeps, if it lets us."""
    subprocess.run(["sync"], check=False)
    with contextlib.suppress(OSError):
        Path("/proc/sys/vm/drop_caches").write_text("1")


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--gigabytes", type=float, default=20)
    parser.add_argument("--limit", type=float, default=2, help="GB")
    parser.add_argument("--steps", type=int, default=1000)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    array, packed = options.folder / "images.npy", options.folder / "packed"
    limit, found = int(options.limit * 1e9), {}
    options.folder.mkdir(parents=True, exist_ok=True)
    if not packed.exists():
        if not array.exists():
            print("generating", flush=True)
            generate(options.folder / ".images.npy", int(options.gigabytes * 1e9))
            shutil.move(options.folder / ".images.npy", array)
        forget_pages()
        found["pack"] = command(["data", "pack", str(array), "--out", str(packed)], limit)
        print("pack", found["pack"], flush=True)
    rows: dict[str, list[dict[str, Any]]] = {"packed": [], "memory": []}
    for _ in range(options.rounds):
        for arm, made in rows.items():
            forget_pages()
            made.append(trained(packed if arm == "packed" else None, options.steps, limit if arm == "packed" else None))
            print(arm, made[-1], flush=True)
    milliseconds = {arm: [one["milliseconds"] for one in made] for arm, made in rows.items()}
    rate = [b / a for a, b in zip(milliseconds["packed"], milliseconds["memory"], strict=True)]
    size = sum(file.stat().st_size for file in packed.rglob("*") if file.is_file())
    found |= {
        "bytes": size,
        **rows,
        "rate": {"each": rate, "median": statistics.median(rate)},
        "machine": {"processor": platform.processor() or platform.machine(), "processors": os.cpu_count()},
    }
    print(f"{size / 1e9:.1f} GB packed: {statistics.median(rate):.3f} of the step rate in memory")
    if options.json:
        options.json.write_text(json.dumps(found, indent=2) + "\n")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
