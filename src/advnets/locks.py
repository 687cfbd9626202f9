"""One process at a time: a lock that the system frees when its holder ends, however it ends."""

import contextlib
import errno
import fcntl
import os
import socket
import stat
import time
from collections.abc import Iterator
from pathlib import Path

from advnets.disk import reporting
from advnets.errors import InputError

_TRIES, _PAUSE = 20, 0.01  # seconds; `is_held` takes the lock for a moment, which must not refuse anyone
_OWN = os.O_CLOEXEC | os.O_NOFOLLOW | os.O_NONBLOCK  # no link, and no pipe to wait for
_NO_LOCKS = (errno.ENOLCK, errno.ENOSYS, errno.EOPNOTSUPP, errno.EINVAL)


@contextlib.contextmanager
def held(file: Path, what: str) -> Iterator[None]:
    """Hold a file for this process; raises InputError where another one, which `what` names, does so.

    A file that nobody holds, left by a process that was killed, is taken over.
    """
    descriptor = _taken(file, what)
    try:
        with contextlib.suppress(OSError):  # who holds it is a courtesy
            os.ftruncate(descriptor, 0)
            os.pwrite(descriptor, f"process {os.getpid()} on {socket.gethostname()}\n".encode(), 0)
        yield
    finally:
        with contextlib.suppress(OSError):  # the error under way is the one to show
            os.close(descriptor)


def is_held(file: Path) -> bool:
    """Tell whether a living process holds a file."""
    try:
        descriptor = os.open(file, os.O_RDONLY | _OWN)
    except OSError:
        return False
    try:
        fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    except OSError:
        return False
    finally:
        os.close(descriptor)
    return False


def _taken(file: Path, what: str) -> int:
    """Return a descriptor of the file that is there, once no other process holds it."""
    while True:
        with reporting(f"cannot lock {file}"):
            descriptor = os.open(file, os.O_RDWR | os.O_CREAT | _OWN, 0o666)
        try:
            if not stat.S_ISREG(os.fstat(descriptor).st_mode):
                raise InputError(f"{file} is no regular file, allowed: one that advnets makes; remove it")
            _take(descriptor, file, what)
            if file.exists() and os.path.samestat(os.fstat(descriptor), file.stat()):
                return descriptor
        except BaseException:
            os.close(descriptor)
            raise
        os.close(descriptor)  # its last holder has removed it


def _take(descriptor: int, file: Path, what: str) -> None:
    for left in reversed(range(_TRIES)):
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            if left:
                time.sleep(_PAUSE)
                continue
            raise InputError(
                f"another process {what} ({_holder(descriptor)}), allowed: one at a time; wait for it or stop it"
            ) from None
        except OSError as error:
            if error.errno in _NO_LOCKS:
                raise InputError(
                    f"cannot lock {file} ({error.strerror}), allowed: a file system with locks, so that two processes "
                    "cannot spoil a run; put the run on another disk"
                ) from error
            raise InputError(f"cannot lock {file} ({error.strerror}), allowed: one process a run; try again") from error
        return


def _holder(descriptor: int) -> str:
    """Return what the holder says of itself."""
    with contextlib.suppress(OSError, ValueError):
        if text := os.pread(descriptor, 200, 0).decode().strip():
            return text
    return "which does not say its number"
