"""Ctrl-C and SIGTERM as a wish to stop after this step; a second one kills at once."""

import contextlib
import os
import signal
from collections.abc import Iterator
from types import FrameType

_SIGNALS = (signal.SIGINT, signal.SIGTERM)
_NOTE = b"\nstopping at the next step with a checkpoint; once more to kill at once\n"


class Interruption:
    """Tells, when called, whether a signal came; `number` is which."""

    number: int | None = None

    def __call__(self) -> bool:
        """Tell whether to stop."""
        return self.number is not None

    @property
    def exit_status(self) -> int:
        """Status of a process that a signal ended, as shells report it."""
        return 128 + (self.number or 0)


@contextlib.contextmanager
def catching() -> Iterator[Interruption]:
    """Catch the first signal while the block runs, then put back the handlers there were."""
    interruption = Interruption()

    def handle(number: int, frame: FrameType | None) -> None:
        interruption.number = number
        for name in _SIGNALS:
            signal.signal(name, signal.SIG_DFL)
        os.write(2, _NOTE)  # print could be interrupted by itself here

    before = {name: signal.signal(name, handle) for name in _SIGNALS}
    try:
        yield interruption
    finally:
        for name, handler in before.items():
            signal.signal(name, handler)
