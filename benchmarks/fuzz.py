"""Fuzz every reader of files, one target after the other, with atheris: pip install -e ".[fuzz]".

    python benchmarks/fuzz.py TARGET … | all [--minutes 10] [--json results/fuzz.json] [--work FOLDER]

A target takes bytes, makes a file or a run folder of them and reads it as the command line does (tests/hostile). Half
of the mutations are libFuzzer's, half know JSON, parts and numbers (tests/hostile/mutation.py). What crashes is written
into FOLDER/TARGET/crashes and kept in tests/hostile/corpus, beside the smallest inputs that reach all that was
reached; tests/test_hostile_files.py gives both to the readers again. Exit status 1 where anything
crashed. --minutes 0 runs nothing and reads what lies in FOLDER.
"""

import argparse
import contextlib
import hashlib
import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
import traceback
from pathlib import Path
from random import Random

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT / "tests"))

LONGEST = 1 << 15  # bytes of an input
KEPT, LARGEST = 40, 6 << 10  # inputs of a target that are kept, and their bytes; crashes are all kept
_ONE_THREAD = {name: "1" for name in ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS")}


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("targets", nargs="+")
    parser.add_argument("--minutes", type=float, default=10.0)
    parser.add_argument("--json", type=Path)
    parser.add_argument("--work", type=Path, default=ROOT / "build" / "fuzz")
    parser.add_argument("--child", action="store_true", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.child:
        fuzz(options.targets[0], options.work, round(60 * options.minutes))
    from hostile.targets import TARGETS

    names = list(TARGETS) if options.targets == ["all"] else options.targets
    if unknown := {*names} - {*TARGETS}:
        parser.error(f"no target {', '.join(unknown)}, allowed: all, {', '.join(TARGETS)}")
    crashed = False
    for name in names:
        if options.minutes:
            run(name, options.work / name, options.minutes)
        found = {**numbers(options.work / name), **keep(name, options.work / name)}
        print(name, json.dumps(found), flush=True)
        crashed = crashed or not found["ended_well"] or bool(found["crashes"])
        if options.json:
            before = json.loads(options.json.read_text())["targets"] if options.json.exists() else {}
            content = {"targets": dict(sorted({**before, name: found}.items()))}
            options.json.write_text(json.dumps(content, indent=2) + "\n")
    return int(crashed)


def run(name: str, work: Path, minutes: float) -> None:
    """Fuzz one target in a process of its own, which may die."""
    for part in ("corpus", "crashes"):
        (work / part).mkdir(parents=True, exist_ok=True)
    shutil.rmtree(work / "crashes")
    (work / "crashes").mkdir()
    command = [sys.executable, __file__, "--child", name, "--work", str(work), "--minutes", str(minutes)]
    with (work / "log").open("w") as log:
        subprocess.run(command, stdout=log, stderr=log, env={**os.environ, **_ONE_THREAD})


def numbers(work: Path) -> dict[str, object]:
    """What a run says of itself in its log; seconds are those of fuzzing, without the start."""
    text = (work / "log").read_text(errors="replace")
    reached = re.findall(r"cov: (\d+) ft: (\d+) corp: (\d+)", text)[-1:] or [("0", "0", "0")]
    done = re.search(r"Done (\d+) runs in (\d+) second", text)
    accepted = re.search(r"accepted (\d+) of (\d+) seeds", text)
    return {
        "seconds": int(done[2]) if done else 0,
        "executions": int(done[1]) if done else 0,
        "coverage": int(reached[0][0]),
        "features": int(reached[0][1]),
        "corpus": int(reached[0][2]),
        "seeds": int(accepted[2]) if accepted else 0,
        "seeds_accepted": int(accepted[1]) if accepted else 0,
        "ended_well": done is not None,
        "crashes": len(_crashes(work)),
    }


def keep(name: str, work: Path) -> dict[str, int]:
    """Put the smallest telling inputs of a run into the tests, and all crashes there ever were; say how many."""
    from hostile import base, corpus, seeds
    from hostile.bounds import check
    from hostile.targets import TARGETS

    base.warm_up()
    before = corpus.read(name)
    crashes = {content for kept, content in before.items() if kept.startswith("crash")}
    crashes |= _crashes(work)
    found = {file.read_bytes() for file in (work / "corpus").iterdir()}

    def give(content: bytes) -> None:
        with _folder() as folder, contextlib.suppress(BaseException):
            check(TARGETS[name], content, folder)

    for content in seeds.of(name):
        give(content)
    chosen = corpus.smallest(found, give, KEPT, LARGEST)
    corpus.write(name, chosen, crashes)
    return {"kept": len(chosen), "crashes_kept": len(crashes)}


def _crashes(work: Path) -> set[bytes]:
    """The inputs that crashed a reader; libFuzzer's slow units are slow by the clock, as on a busy machine all are."""
    files = (work / "crashes").iterdir()
    return {file.read_bytes() for file in files if not file.name.startswith("slow-unit")}


@contextlib.contextmanager
def _folder():
    """An empty folder, in memory where there is a place for it."""
    place = Path("/dev/shm") if os.access("/dev/shm", os.W_OK) else None
    folder = Path(tempfile.mkdtemp(prefix="hostile-", dir=place))
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def fuzz(name: str, work: Path, seconds: int) -> None:
    """Fuzz in this process, which libFuzzer ends."""
    import atheris

    with atheris.instrument_imports(include=["advnets"]):
        from hostile import base, bounds, corpus, mutation, seeds
        from hostile.targets import TARGETS

        base.warm_up()
        first = [*seeds.of(name), *corpus.read(name).values()]
        for content in first:
            with _folder() as folder, contextlib.suppress(BaseException):  # loads what is imported late
                bounds.check(TARGETS[name], content, folder, alarm=False)
    accepted = 0
    for content in seeds.of(name):
        with _folder() as folder, contextlib.suppress(BaseException):
            accepted += bounds.check(TARGETS[name], content, folder, alarm=False)
    print(f"accepted {accepted} of {len(seeds.of(name))} seeds", flush=True)
    for content in first:
        (work / "corpus" / hashlib.sha1(content).hexdigest()).write_bytes(content)
    known: set[tuple[str, ...]] = set()

    def one(content: bytes) -> None:
        try:
            with _folder() as folder:
                bounds.check(TARGETS[name], content, folder, alarm=False)
        except KeyboardInterrupt:
            raise
        except BaseException as error:
            frames = [frame for frame in traceback.extract_tb(error.__traceback__) if "advnets" in frame.filename]
            where = f"{frames[-1].filename}:{frames[-1].lineno}" if frames else ""
            key = (type(error).__name__, where, re.sub(r"\W?\d+|'[^']*'", "", str(error))[-120:])
            if key not in known:
                known.add(key)
                (work / "crashes" / hashlib.sha1(content).hexdigest()).write_bytes(content)
                print("CRASH", key, flush=True)
                traceback.print_exc()

    def mutate(content: bytes, longest: int, seed: int) -> bytes:
        random = Random(seed)
        if random.random() < 0.5:
            return bytes(atheris.Mutate(content, longest))
        return mutation.mutate(content, random)[:longest]

    bounds.limit_memory(12 << 30)
    settings = ["-timeout=60", "-rss_limit_mb=8192", "-print_final_stats=1", f"-max_len={LONGEST}", "-verbosity=1"]
    settings += [f"-artifact_prefix={work / 'crashes'}/", f"-max_total_time={seconds}"]
    atheris.Setup([sys.argv[0], *settings, str(work / "corpus")], one, custom_mutator=mutate)
    atheris.Fuzz()


if __name__ == "__main__":
    sys.exit(main())
