"""What a training run shows fits a terminal."""

import os
import pty
import re
import select
from pathlib import Path

import pytest

from advnets import doctor
from advnets.cli.progress import _measures
from advnets.doctor import Verdict
from advnets.training.outcome import Progress
from processes import command

MEASURES = {"discriminator_loss": 0.5, "generator_loss": 1.25, "d_real": 0.831, "d_fake": 0.169}


def test_a_bar_of_80_columns_has_room_for_every_verdict():
    for name in doctor.ADVICE:
        text = _measures(Progress(1, 9, MEASURES, Verdict(name, "", "")), brief=True)
        assert text == f"D 0.83 0.17  {name}"
        assert len(f"━━━━━ 100000/125000 123.4 steps/s {text} 0:59:59 left") <= 80


@pytest.mark.parametrize(("columns", "shown"), [(80, "D 0."), (130, "loss D 0.")])
def test_the_bar_shows_steps_speed_and_measures_whole(tmp_path, columns, shown):
    """In a terminal of that many columns."""
    small = ["--generator.hidden", "16", "--discriminator.hidden", "8", "--train.log_every", "5"]
    words = ["train", "digits", "--steps", "40", "--out", str(tmp_path / "run"), *small]
    terminal, inside = pty.openpty()
    place = Path(os.ttyname(inside))
    process = command(words, tmp_path, tmp_path / "out", place, COLUMNS=str(columns), TERM="xterm")
    while process.is_alive() and not select.select([terminal], [], [], 0.02)[0]:
        pass  # until it has opened the terminal and said something there
    os.close(inside)
    told = b""
    while True:
        try:
            part = os.read(terminal, 4096)
        except OSError:  # how Linux ends a terminal whose other side is closed
            break
        if not part:
            break
        told += part
    os.close(terminal)
    process.join()
    assert process.exitcode == 0
    text = re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", told.decode())
    last = [line for line in re.split(r"[\r\n]+", text) if "40/40" in line][-1]
    assert "steps/s" in last and shown in last and last.rstrip().endswith("left") and "…" not in last
