"""A run that is killed at any instruction, or refused any file, loses nothing."""

from pathlib import Path

from processes import script, started

KILLS = Path(__file__).parents[2] / "benchmarks" / "kills.py"


def test_after_50_kills_and_refusals_no_bit_is_lost(tmp_path):
    told, small = tmp_path / "told", ["--hidden", "16", "16", "--every", "3", "--longest", "0.1"]
    process = started(script, KILLS, ["--kills", "50", *small], told)
    process.join()
    assert process.exitcode == 0, told.read_text()
    assert "every bit of the run that was never stopped" in told.read_text()
