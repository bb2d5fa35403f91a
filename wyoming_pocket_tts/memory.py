"""Keeps the process as small as what it uses. Knows nothing about who uses it."""

import ctypes
import logging

logger = logging.getLogger(__name__)

_TRIM_THRESHOLD, _MMAP_THRESHOLD, _ARENA_MAX = -1, -3, -8
"""The parameters of glibc's ``mallopt``."""
_LARGE_BYTES = 128 << 10
_ARENAS = 2


def return_freed_memory() -> None:
    """Let the system's allocator give large blocks back when they are freed, and keep few arenas.

    By itself glibc raises its idea of "large" with each large block that is freed, up to 32 MB, and has an arena for
    each thread: a service that makes and frees some megabytes for each answer then keeps half as much again as it uses
    (440 to 470 MB instead of 310 MB after twenty answers in english). What is computed again and again should keep its
    memory meanwhile (``inference.Network``): to fetch it anew each time costs a quarter of the speed. Call it before
    threads are started. Does nothing where the C library is another.
    """
    try:
        mallopt = ctypes.CDLL(None).mallopt
    except (AttributeError, OSError):
        logger.debug("the C library has no mallopt")
        return
    mallopt(_MMAP_THRESHOLD, _LARGE_BYTES)
    mallopt(_TRIM_THRESHOLD, _LARGE_BYTES)
    mallopt(_ARENA_MAX, _ARENAS)


def give_back() -> None:
    """Return at once what was freed just now, small pieces too: for after something large was dropped."""
    try:
        malloc_trim = ctypes.CDLL(None).malloc_trim
    except (AttributeError, OSError):
        logger.debug("the C library has no malloc_trim")
        return
    malloc_trim(0)
