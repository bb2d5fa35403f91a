"""CPU count and flags, allocator settings, default paths, fsync, file lock."""

import ctypes
import errno
import fcntl
import logging
import math
import os
import platform
import re
import secrets
import shutil
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from threading import Event

from wyoming_pocket_tts.core.errors import Cancelled

_MEMORY_INFO = Path("/proc/meminfo")
_LIMITS = (Path("/sys/fs/cgroup/memory.max"), Path("/sys/fs/cgroup/memory/memory.limit_in_bytes"))


@dataclass(frozen=True, slots=True)
class MemoryInfo:
    """Memory in bytes."""

    total: int
    available: int


def memory_info(file: Path = _MEMORY_INFO, limits: Sequence[Path] = _LIMITS) -> MemoryInfo | None:
    """Memory that this process may use, a container's limit included; None if the system does not report it."""
    try:
        text = file.read_text(encoding="ascii", errors="replace")
    except OSError:
        return None
    total, available = (re.search(rf"^{key}:\s+(\d+) kB", text, re.MULTILINE) for key in ("MemTotal", "MemAvailable"))
    if total is None or available is None:
        return None
    found = [limit for limit in map(_limit, limits) if limit is not None]
    return MemoryInfo(min([int(total[1]) << 10, *found]), min([int(available[1]) << 10, *found]))


def _limit(path: Path) -> int | None:
    try:
        return int(path.read_text(encoding="ascii"))
    except (OSError, ValueError):  # "max" stands for no limit
        return None


_CONTROL_GROUPS = Path("/sys/fs/cgroup")


def cpu_count(control_groups: Path = _CONTROL_GROUPS) -> int:
    """Cores that the process is allowed on, or fewer where a container or unit may use only a share of their time."""
    allowed = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    quota = _quota(control_groups)
    return allowed if quota is None else max(1, min(allowed, math.ceil(quota)))


def _quota(groups: Path) -> float | None:
    """The share of time as a number of cores; None where it is not limited."""
    found = _numbers(groups / "cpu.max")  # version 2: "QUOTA PERIOD", where the quota may be "max"
    if found is None:
        quota = _numbers(groups / "cpu" / "cpu.cfs_quota_us")
        period = _numbers(groups / "cpu" / "cpu.cfs_period_us")
        found = [*quota, *period] if quota and period else None
    match found:
        case [quota_us, period_us, *_] if quota_us > 0 and period_us > 0:
            return quota_us / period_us
        case _:
            return None


def _numbers(path: Path) -> list[float] | None:
    try:
        return [float(word) for word in path.read_text(encoding="ascii").split()]
    except (OSError, ValueError):
        return None


_LOGGER = logging.getLogger(__name__)

_TRIM_THRESHOLD, _MMAP_THRESHOLD, _ARENA_MAX = -1, -3, -8
"""The parameters of glibc's ``mallopt``."""
_LARGE_BYTES = 128 << 10
_ARENAS = 2


def configure_malloc() -> None:
    """Let the system's allocator give large blocks back when they are freed, and keep few arenas.

    By itself glibc raises its idea of "large" with each large block that is freed, up to 32 MB, and has an arena for
    each thread: a service that makes and frees some megabytes for each answer then keeps half as much again as it uses
    (440 to 470 MB instead of 310 MB after twenty answers in english). What is computed again and again should keep its
    memory meanwhile (``OnnxSession``): to fetch it anew each time costs a quarter of the speed. Call it before
    threads are started. Does nothing where the C library is another.
    """
    try:
        mallopt = ctypes.CDLL(None).mallopt
    except (AttributeError, OSError):
        _LOGGER.debug("the C library has no mallopt")
        return
    mallopt(_MMAP_THRESHOLD, _LARGE_BYTES)
    mallopt(_TRIM_THRESHOLD, _LARGE_BYTES)
    mallopt(_ARENA_MAX, _ARENAS)


def trim_heap() -> None:
    """Return at once what was freed just now, small pieces too: for after something large was dropped."""
    try:
        malloc_trim = ctypes.CDLL(None).malloc_trim
    except (AttributeError, OSError):
        _LOGGER.debug("the C library has no malloc_trim")
        return
    malloc_trim(0)


def default_data_dir() -> Path:
    """Where data lives unless told otherwise: systemd's state directory, else the user's data directory."""
    if state_directory := os.environ.get("STATE_DIRECTORY"):
        return Path(state_directory.partition(":")[0])
    base = os.environ.get("XDG_DATA_HOME") or "~/.local/share"
    return Path(base).expanduser() / "wyoming-pocket-tts"


_CPU_INFO = Path("/proc/cpuinfo")
_DECISIVE = (
    "avx", "avx2", "fma", "f16c", "avx_vnni", "avx512f", "avx512_vnni", "amx_int8",  # x86
    "asimd", "asimddp", "i8mm", "sve", "sve2",  # ARM
)  # fmt: skip
"""Instructions for which its kernels for few bits differ: other processors may round otherwise, or fail."""


def cpu_name(cpu_info: Path = _CPU_INFO) -> str:
    """The architecture and the decisive instructions, such as ``x86_64+avx+avx2+fma``."""
    return "+".join([platform.machine().lower(), *(flag for flag in _DECISIVE if flag in cpu_flags(cpu_info))])


def has_integer_products(flags: frozenset[str]) -> bool:
    """Whether ONNX Runtime multiplies 8-bit numbers on a processor with these instructions.

    Where it does not, it writes each matrix of 8 bits out in float32 for every product, many times as slow as a model
    in float32 is. A system that does not tell is trusted.
    """
    return not flags or bool(flags & {"avx2", "asimddp"})


def cpu_flags(cpu_info: Path = _CPU_INFO) -> frozenset[str]:
    """The instructions of the first core, as Linux names them; nothing where the system does not tell."""
    try:
        lines = cpu_info.read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:
        return frozenset()
    for line in lines:
        key, _, value = line.partition(":")
        if key.strip().lower() in ("flags", "features"):
            return frozenset(value.split())
    return frozenset()


def sync(path: Path) -> None:
    """Bring a file, or a directory's entries, to the disk; raises ``OSError``."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


@contextmanager
def atomic_path(target: Path, *, durable: bool = True) -> Iterator[Path]:
    """A free path beside ``target`` for a file or a folder, which replaces ``target`` when the block ends.

    After an error the path is deleted and ``target`` stays as it was. ``durable`` brings both to the disk, for what a
    crash must not lose; files within a folder excepted. Raises ``OSError``.
    """
    aside, old = (target.with_name(f".{target.name}.{secrets.token_hex(4)}.{end}") for end in ("partial", "old"))
    try:
        yield aside
        if durable:
            sync(aside)
        if aside.is_dir() and os.path.lexists(target):  # unlike a file, a folder does not replace what is there
            target.rename(old)
            try:
                aside.rename(target)
            except OSError:
                old.rename(target)
                raise
        else:
            aside.replace(target)
        if durable:
            sync(target.parent)
    finally:
        for leftover in (aside, old) if os.path.lexists(target) else (aside,):
            if leftover.is_dir() and not leftover.is_symlink():
                shutil.rmtree(leftover, ignore_errors=True)
            else:
                leftover.unlink(missing_ok=True)


class Backoff:
    """Growing delays between attempts, in seconds: each twice the one before, up to ``longest``."""

    def __init__(self, first: float, longest: float) -> None:
        self._first = self._next = first
        self._longest = longest

    def delay(self) -> float:
        delay, self._next = self._next, min(2 * self._next, self._longest)
        return delay

    def reset(self) -> None:
        self._next = self._first


def set_aside(path: Path) -> Path:
    """Rename a file or folder that must not be deleted; return its new path."""
    return path.rename(path.with_name(f"{path.name}.set-aside-{secrets.token_hex(4)}"))


_POLL_SECONDS = 0.1
_TAKEN = (errno.EWOULDBLOCK, errno.EACCES)


@contextmanager
def locked(path: Path, *, stop: Event, waits: Callable[[], None]) -> Iterator[int]:
    """Hold the lock on a file, which is made and stays; yields its descriptor.

    A child that inherits the descriptor holds the lock as well, until the last holder closes it or dies. ``waits`` is
    called once if another process has it. Raises ``Cancelled`` when ``stop`` is set meanwhile, and ``OSError``.
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
