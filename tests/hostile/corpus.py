"""Inputs that are kept: the smallest that reach what a fuzzer reached, and every one that crashed a reader."""

import hashlib
import sys
import zipfile
from collections.abc import Callable, Iterable
from pathlib import Path
from types import FrameType
from typing import Any

FOLDER = Path(__file__).with_name("corpus")
_SOURCE = str(Path("src", "advnets"))


def read(target: str) -> dict[str, bytes]:
    """The inputs of a target by name; those that crashed a reader once begin with crash."""
    file = FOLDER / f"{target}.zip"
    if not file.is_file():
        return {}
    with zipfile.ZipFile(file) as archive:
        return {name: archive.read(name) for name in archive.namelist()}


def write(target: str, inputs: Iterable[bytes], crashes: Iterable[bytes]) -> None:
    """Keep these inputs and no others, as one file whose bytes depend on them alone."""
    named = {hashlib.sha256(one).hexdigest()[:16]: one for one in inputs}
    named |= {f"crash-{hashlib.sha256(one).hexdigest()[:16]}": one for one in crashes}
    FOLDER.mkdir(exist_ok=True)
    with zipfile.ZipFile(FOLDER / f"{target}.zip", "w", zipfile.ZIP_DEFLATED, compresslevel=9) as archive:
        for name, content in sorted(named.items()):
            archive.writestr(zipfile.ZipInfo(name), content, zipfile.ZIP_DEFLATED)


def smallest(inputs: Iterable[bytes], run: Callable[[bytes], Any], most: int, largest: int) -> list[bytes]:
    """Choose inputs, small ones first, that each make the source take a step that none before it did."""
    seen: set[tuple[str, int, int]] = set()
    chosen: list[bytes] = []
    for one in sorted(set(inputs), key=lambda content: (len(content), content)):
        steps = _steps(lambda content=one: run(content))
        if len(one) <= largest and not steps <= seen:
            seen |= steps
            chosen.append(one)
    return chosen[:most]


def _steps(run: Callable[[], Any]) -> set[tuple[str, int, int]]:
    """The steps from line to line within the source that a call makes."""
    found: set[tuple[str, int, int]] = set()

    def enter(frame: FrameType, event: str, argument: object) -> Any:
        if _SOURCE not in frame.f_code.co_filename:
            return None
        name, last = frame.f_code.co_filename, frame.f_lineno

        def follow(frame: FrameType, event: str, argument: object) -> Any:
            nonlocal last
            if event == "line":
                found.add((name, last, frame.f_lineno))
                last = frame.f_lineno
            return follow

        return follow

    sys.settrace(enter)
    try:
        run()
    finally:
        sys.settrace(None)
    return found
