"""What has to hold while a reader meets any bytes at all.

It returns, or raises InputError of one printable line. It takes at most SECONDS of processor time and MEMORY bytes
more than RATIO times its input, starts no process, opens no connection, runs no code of the input, and writes in its
own folder alone.
"""

import contextlib
import os
import resource
import signal
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from advnets.errors import InputError

SECONDS = 5.0
MEMORY = 512 << 20  # touched; four times as much may be asked for, since threads reserve what they never use
RATIO = 1100  # deflate shrinks at most 1032 to 1, and an honest zip of zeros may be read
LONGEST = 2000  # characters of a message

_KINDS = {("VmRSS", "VmHWM"): MEMORY, ("VmSize", "VmPeak"): 4 * MEMORY}  # present and highest, touched and asked for

ROOT = Path(__file__).resolve().parents[2]
Target = Callable[[bytes, Path], None]

_FORBIDDEN = (
    *("os.system", "os.exec", "os.posix_spawn", "os.spawn", "os.fork", "os.forkpty", "pty.spawn", "subprocess.Popen"),
    *("pickle.find_class", "socket.connect", "socket.getaddrinfo", "urllib.Request", "webbrowser.open"),
)
_CHANGES = ("os.remove", "os.rename", "os.mkdir", "os.rmdir", "os.truncate", "os.link", "os.symlink", "shutil.rmtree")
_WRITING = os.O_WRONLY | os.O_RDWR | os.O_CREAT | os.O_TRUNC | os.O_APPEND
_READABLE = tuple(
    os.path.realpath(path) + os.sep
    for path in (ROOT, sys.prefix, sys.base_prefix, "/proc", "/sys", "/dev", "/etc", "/usr", "/lib")
)


class Crash(BaseException):  # so that no `except Exception` hides it
    """A reader did what it must not do."""


class _Policy:
    folder: str | None = None  # where a reader may write; None outside of `check`
    installed = False


def check(target: Target, data: bytes, folder: Path, *, alarm: bool = True) -> bool:
    """Give the bytes to a target in an empty folder; tell whether it accepted them; raises Crash, or what escaped."""
    _install()
    _forget_peak()
    before, sizes = time.process_time(), {kind: (_memory(kind[0]), _memory(kind[1])) for kind in _KINDS}
    accepted = True
    with _confined(folder), _alarm(alarm):
        try:
            target(data, folder)
        except InputError as error:
            accepted = False
            check_words(str(error))
            _check_causes(error)
    if (seconds := time.process_time() - before) > SECONDS:
        raise Crash(f"{seconds:.1f} s for {len(data)} bytes")
    for kind, allowed in _KINDS.items():
        size, peak = sizes[kind]
        if (reached := _memory(kind[1])) > peak and reached - size > allowed + RATIO * len(data):
            raise Crash(f"{(reached - size) >> 20} MiB ({kind[1]}) for {len(data)} bytes")
    return accepted


def check_words(text: str) -> None:
    """Raise Crash unless a message is one printable line of bounded length."""
    if not text.isprintable() or not text or len(text) > LONGEST:
        raise Crash(f"the message is no printable line of at most {LONGEST} characters: {text[:3000]!r}")


def check_output(text: str) -> None:
    """Raise Crash for output that a terminal would obey, or that cannot be written as UTF-8."""
    for line in text.split("\n"):
        if not line.isprintable():
            raise Crash(f"the output holds what does not print: {line[:500]!r}")


def limit_memory(more: int) -> None:
    """Let this process take that many bytes more, and no system with it."""
    limit = _memory("VmSize") + more
    resource.setrlimit(resource.RLIMIT_AS, (limit, limit))


def _check_causes(error: BaseException | None) -> None:
    """An allocation that failed was asked for all the same: a larger machine would have made it."""
    while error is not None:
        if isinstance(error, MemoryError) or "allocate memory" in str(error):
            raise Crash(f"it asked for more memory than there is: {error!r}"[:500])
        error = error.__cause__ or error.__context__


def _memory(field: str) -> int:
    """Bytes of a field of /proc/self/status; 0 where there is none."""
    with contextlib.suppress(OSError), open("/proc/self/status") as file:
        for line in file:
            if line.startswith(field + ":"):
                return int(line.split()[1]) << 10
    return 0


def _forget_peak() -> None:
    """Let VmHWM begin anew; VmPeak knows no such thing, and shows new peaks only."""
    with contextlib.suppress(OSError):
        Path("/proc/self/clear_refs").write_text("5")


@contextlib.contextmanager
def _confined(folder: Path) -> Iterator[None]:
    """Have the audit hook watch, and everything that looks for a home, a cache or the present folder find this one."""
    variables = {"HOME": str(folder), "XDG_CACHE_HOME": str(folder / "cache"), "ADVNETS_DATA": "", "COLUMNS": "80"}
    before, here, temporary = {name: os.environ.get(name) for name in variables}, os.getcwd(), tempfile.tempdir
    os.environ.update(variables)
    os.chdir(folder)
    tempfile.tempdir = str(folder)
    _Policy.folder = os.path.realpath(folder)
    try:
        yield
    finally:
        _Policy.folder = None
        tempfile.tempdir = temporary
        os.chdir(here)
        for name, value in before.items():
            os.environ.pop(name) if value is None else os.environ.update({name: value})


@contextlib.contextmanager
def _alarm(wanted: bool) -> Iterator[None]:
    """End what waits for ever, such as for the other end of a pipe, which takes no processor time."""

    def ring(number: int, frame: object) -> None:
        raise Crash("a minute on the clock")

    if not wanted:  # libFuzzer has a clock of its own
        yield
        return
    before = signal.signal(signal.SIGALRM, ring)
    signal.setitimer(signal.ITIMER_REAL, 60)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)


def _install() -> None:
    """Add the audit hook, which no process can take away again, once."""
    if not _Policy.installed:
        sys.addaudithook(_audit)
        _Policy.installed = True


def _audit(event: str, arguments: tuple[Any, ...]) -> None:
    if _Policy.folder is None:
        return
    if event in _FORBIDDEN:
        raise Crash(f"{event} {arguments!r}"[:500])
    if event == "open" and isinstance(arguments[0], str | bytes):
        _check_path(event, arguments[0], writes=bool((arguments[2] or 0) & _WRITING))
    elif event in _CHANGES and not any(isinstance(item, int) and item >= 0 for item in arguments[1:]):  # by descriptor
        for path in arguments[: 2 if event == "os.rename" else 1]:
            if isinstance(path, str | bytes | os.PathLike):
                _check_path(event, os.fspath(path), writes=True)
    elif event == "exec":
        name = getattr(arguments[0], "co_filename", "<>")  # <string>: what dataclasses write for themselves
        if not name.startswith("<") and os.path.realpath(name).startswith(_Policy.folder + os.sep):
            raise Crash(f"code of {name} ran")


def _check_path(event: str, path: str | bytes, *, writes: bool) -> None:
    assert _Policy.folder is not None
    try:
        real = os.path.realpath(os.fsdecode(path)) + os.sep
    except ValueError:  # no name of a file
        return
    if real.startswith(_Policy.folder + os.sep) or real == "/dev/null/":
        return
    if writes or not real.startswith(_READABLE):
        raise Crash(f"{event} of {path!r}, outside its folder")
