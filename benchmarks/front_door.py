"""From a clone to a slider over one's own generator: `make train`, `make lab`, and Chromium, timed.

    python benchmarks/front_door.py          # prints seconds; needs Chromium, and a network or pip's cache

Clones this checkout's HEAD into a temporary folder and runs the README's two commands there, as a newcomer would; then
a browser opens the page, goes to Explore, moves a slider by an arrow key and waits for the sample to change.
"""

import asyncio
import json
import os
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

ROOT = Path(__file__).parent.parent
sys.path.insert(0, str(ROOT / "tests"))

from browser import chromium  # noqa: E402  # after the path it is on


def main() -> None:
    """Time each part and print them as JSON."""
    with tempfile.TemporaryDirectory() as place:
        clone = Path(place) / "advnets"
        subprocess.run(["git", "clone", "-q", str(ROOT), str(clone)], check=True)
        begun = time.monotonic()
        subprocess.run(["make", "train"], cwd=clone, check=True, stdout=sys.stderr)
        trained = time.monotonic()
        environment = {**os.environ, "PYTHONUNBUFFERED": "1"}
        lab = subprocess.Popen(
            ["make", "lab"], cwd=clone, env=environment, stdout=subprocess.PIPE, text=True, start_new_session=True
        )
        try:
            assert lab.stdout is not None
            line = next(line for line in lab.stdout if line.startswith("http"))
            there = time.monotonic()
            asyncio.run(move_a_slider(line.split()[0]))
            moved = time.monotonic()
        finally:
            os.killpg(lab.pid, signal.SIGINT)
            lab.wait(30)
    parts = {"make train": trained - begun, "make lab": there - trained, "browser to slider": moved - there}
    print(json.dumps({**{name: round(seconds) for name, seconds in parts.items()}, "all": round(moved - begun)}))


async def move_a_slider(address: str) -> None:
    """Do what a person does: open the page, choose Explore, press an arrow key on a slider, see another sample."""
    async with chromium.opened(address) as page:
        tab = "[...document.querySelectorAll('button[role=tab]')].find((one) => one.textContent.trim() === 'Explore')"
        await page.until(f"!!{tab}")
        await page.evaluate(f"{tab}.click()")
        await page.until("document.querySelectorAll('#samples button').length === 24")
        before = await page.evaluate("document.querySelector('#shown img').src")
        await page.evaluate("document.querySelector('#direction-1 input[type=range]').focus()")
        for _ in range(10):
            await page.press("ArrowRight")
        await page.until(f"document.querySelector('#shown img').src !== {before!r}")


if __name__ == "__main__":
    main()
