"""A run that is killed at any instruction, or refused any file, loses nothing."""

import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[2]


def test_after_50_kills_and_refusals_no_bit_is_lost():
    small = ["--hidden", "16", "16", "--every", "3", "--longest", "0.1"]
    command = [sys.executable, str(ROOT / "benchmarks" / "kills.py"), "--kills", "50", *small]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "every bit of the run that was never stopped" in done.stdout
