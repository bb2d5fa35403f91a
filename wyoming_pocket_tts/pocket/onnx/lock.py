"""A lock between processes that their deaths release. Knows nothing about what it protects."""

import errno
import fcntl
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from threading import Event

from wyoming_pocket_tts.errors import Cancelled

_POLL_SECONDS = 0.1
_TAKEN = (errno.EWOULDBLOCK, errno.EACCES)


@contextmanager
def locked(path: Path, *, stop: Event, waits: Callable[[], None]) -> Iterator[int]:
    """Hold the lock on a file, which is made and stays; give its descriptor.

    A child that inherits the descriptor holds the lock as well: it is free when all who hold it let go or are dead.

    Args:
        path: the file.
        stop: gives up the wait when it is set.
        waits: is called once if somebody else holds it.

    Raises:
        Cancelled: ``stop`` was set.
        OSError: the file cannot be made or locked.
    """
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o666)
    try:
        told = False
        while not _try_lock(descriptor):
            if not told:
                waits()
                told = True
            if stop.wait(_POLL_SECONDS):
                raise Cancelled("given up while another process converts the model")
        yield descriptor
    finally:
        os.close(descriptor)


def _try_lock(descriptor: int) -> bool:
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        if error.errno in _TAKEN:
            return False
        raise
    return True
