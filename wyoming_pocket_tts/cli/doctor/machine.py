"""Processor, memory, disk, clock."""

import errno
import math
import os
import platform
import shutil
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from stat import S_ISDIR
from typing import ClassVar

from wyoming_pocket_tts.cli.doctor.base import Finding, ok, problem, warning
from wyoming_pocket_tts.cli.model_choice import ModelSize
from wyoming_pocket_tts.core.system import (
    _LIMITS,
    _MEMORY_INFO,
    cpu_count,
    cpu_flags,
    has_integer_products,
    memory_room,
)
from wyoming_pocket_tts.pocket.onnx.bundle import Precision

_CPU_INFO = Path("/proc/cpuinfo")
_X86 = ("x86_64", "amd64")
_ARM = ("aarch64", "arm64")
_INTEGER = (Precision.INT8, Precision.MIXED)
_SMALL = "choose a small model: 'wyoming-pocket-tts benchmark' tells which ones this machine carries"


@dataclass(frozen=True)
class CpuCheck:
    """Whether the processor has the instructions that packages and precision need."""

    title: ClassVar[str] = "processor"
    limit_seconds: ClassVar[float] = 5.0
    precision: Precision
    cpu_info: Path = _CPU_INFO
    architecture: str = field(default_factory=lambda: platform.machine().lower())
    cores: Callable[[], int] = cpu_count

    def look(self) -> Iterator[Finding]:
        """See ``Check``."""
        flags = cpu_flags(self.cpu_info)
        cores = self.cores()
        name = f"{self.architecture}, {cores} core{'' if cores == 1 else 's'}"
        if self.architecture not in (*_X86, *_ARM):
            yield problem(
                f"{name}: ONNX Runtime, which all voices need, has no packages for this architecture",
                "use a 64-bit system on x86 or ARM (Raspberry Pi OS comes in 64 bits as well)",
            )
        elif not flags:
            yield warning(
                f"{name}: the system does not tell what the processor can",
                "nothing, if speech is fast enough; 'wyoming-pocket-tts benchmark' measures it",
            )
        elif self.architecture in _X86:
            yield self._x86(name, flags)
        else:
            yield self._arm(name, flags)

    def _x86(self, name: str, flags: frozenset[str]) -> Finding:
        if "sse4_2" not in flags:
            return problem(
                f"{name}: the processor lacks SSE4.2, which NumPy's packages need",
                "use a machine made after 2010; in a virtual machine, choose the CPU type 'host'",
            )
        if not has_integer_products(flags) and self.precision in _INTEGER:
            return warning(
                f"{name}: the processor lacks AVX2: models are computed in fp32 instead of {self.precision}",
                f"in a virtual machine, choose the CPU type 'host'; otherwise {_SMALL}",
            )
        known = {"avx512_vnni": "AVX-512 VNNI", "avx_vnni": "AVX-VNNI", "avx2": "AVX2"}
        return ok(f"{name}, {next((best for flag, best in known.items() if flag in flags), 'SSE4.2')}")

    def _arm(self, name: str, flags: frozenset[str]) -> Finding:
        if not has_integer_products(flags) and self.precision in _INTEGER:
            return warning(
                f"{name}: the processor has no dot product (ARMv8.0, as in a Raspberry Pi 4): models are"
                f" computed in fp32 instead of {self.precision}",
                _SMALL,
            )
        return ok(f"{name}, {'ASIMD with dot product' if 'asimddp' in flags else 'ASIMD'}")


_MEGABYTE = 1e6
_BUDGET_UNIT_BYTES = 1 << 20
_SMALLER = "choose a smaller model: 'wyoming-pocket-tts benchmark' tells which ones this machine carries"


@dataclass(frozen=True)
class MemoryCheck:
    """Whether there is room for the models of the settings beside everything else."""

    title: ClassVar[str] = "memory"
    limit_seconds: ClassVar[float] = 5.0
    models: Sequence[ModelSize]
    budget_mb: int | None = None
    """What models may take together by the settings, in units of 2 to the 20th; None for any amount."""
    is_running: bool = False
    """Whether the service runs on this machine, and has its memory already."""
    memory_info: Path = _MEMORY_INFO
    limits: Sequence[Path] = _LIMITS

    def look(self) -> Iterator[Finding]:
        """See ``Check``."""
        yield from self._doubts_about_the_budget()
        needed = self._needed_bytes()
        who = ", ".join(model.label for model in self.models) or "the embedded voice"
        what = f"{who}{' needs about ' if len(self.models) <= 1 else ' need about '}{_mb(needed)}"
        if self.budget_mb is not None:
            what += f", taking turns within models.memory_mb ({self.budget_mb})"
        room = memory_room(self.memory_info, self.limits)
        if room is None:
            yield warning("the system does not tell how much memory there is", f"{what}: see that it is there")
        elif needed > room.total:
            yield problem(
                f"{what}, and there are {_mb(room.total)} in all",
                f"{_SMALLER}; or raise the memory limit of container or unit, if it has one",
            )
        elif needed > room.available and not self.is_running:
            yield warning(
                f"{what}, and {_mb(room.available)} of {_mb(room.total)} are free",
                f"stop other programs, or {_SMALLER}",
            )
        else:
            yield ok(f"{what}; {_mb(room.available)} of {_mb(room.total)} are free")

    def _needed_bytes(self) -> int:
        """Of the service with its models; within a budget they take turns, but the largest of them has to be there."""
        models = sum(model.memory_bytes for model in self.models)
        if self.budget_mb is not None and self.models:
            largest = max(model.memory_bytes for model in self.models)
            models = min(models, max(largest, self.budget_mb * _BUDGET_UNIT_BYTES))
        return ModelSize.EMBEDDED_BYTES + models

    def _doubts_about_the_budget(self) -> Iterator[Finding]:
        """Whether each fits into it alone: else it makes all others leave, and is too large all the same."""
        embedded = ModelSize.EMBEDDED_BUDGET_BYTES
        sizes = {"the embedded voice": embedded} | {model.label: model.budget_bytes for model in self.models}
        largest = max(sizes, key=lambda label: sizes[label])
        if self.budget_mb is None or self.budget_mb * _BUDGET_UNIT_BYTES >= sizes[largest]:
            return
        least_mb, all_mb = _budget_mb(sizes[largest]), _budget_mb(sum(sizes.values()))
        yield warning(
            f"models.memory_mb is {self.budget_mb}, and {largest} alone takes about {least_mb} MB: it is loaded all the"
            " same, beyond the budget",
            f"give it {least_mb} at least; with {all_mb}, or without the setting, all that is named stays loaded",
        )


def _budget_mb(size_bytes: int) -> int:
    return math.ceil(size_bytes / _BUDGET_UNIT_BYTES)


def _mb(size_bytes: float) -> str:
    return f"{size_bytes / _MEGABYTE:.0f} MB"


_SPARE_BYTES = 200_000_000
"""Below this, systems begin to misbehave."""
_ELSEWHERE = "choose another place with --data-dir or data_dir"
_DOWNLOADS_ELSEWHERE = "choose another place with the environment variable HF_HOME"


def free_bytes(directory: Path) -> int:
    """What may still be written there, by whoever asks."""
    return shutil.disk_usage(directory).free


@dataclass(frozen=True)
class DataDirectoryCheck:
    """Whether the service can keep there what it must."""

    title: ClassVar[str] = "data directory"
    limit_seconds: ClassVar[float] = 10.0
    directory: Path
    lacking: Sequence[ModelSize] = ()
    """Models that are still to be downloaded and converted."""
    downloads: Path | None = None
    """Where downloads are kept; None for a place that has room of its own."""
    free: Callable[[Path], int] = free_bytes

    def look(self) -> Iterator[Finding]:
        """See ``Check``."""
        there = nearest_existing(self.directory)
        refused = _refusal(there, _ELSEWHERE)
        if refused is not None:
            yield refused
            return
        yield self._room(there)
        if self.downloads is not None and self.lacking:
            there = nearest_existing(self.downloads)
            refused = _refusal(there, _DOWNLOADS_ELSEWHERE)
            yield ok(f"downloads: {self.downloads} can be written to") if refused is None else refused

    def _room(self, there: Path) -> Finding:
        free = self.free(there)
        needed = sum(model.converted_bytes for model in self.lacking)
        if self.downloads is None or _same_disk(there, nearest_existing(self.downloads)):
            needed += sum(model.download_bytes for model in self.lacking)
        where = str(self.directory) if there == self.directory else f"{self.directory} (to be made)"
        room = f"{free / _MEGABYTE:.0f} MB free"
        if needed > free:
            names = ", ".join(model.label for model in self.lacking)
            return problem(
                f"{where}: {room}, and about {needed / _MEGABYTE:.0f} MB are needed to bring {names}",
                f"free some space, or {_ELSEWHERE}; the embedded voice speaks meanwhile",
            )
        if free - needed < _SPARE_BYTES:
            return warning(f"{where}: {room}, which is nearly full", f"free some space, or {_ELSEWHERE}")
        return ok(f"{where}: can be written to, {room}")


def nearest_existing(directory: Path) -> Path:
    """The directory, or the one that it will be made in."""
    directory = directory.absolute()
    return next(path for path in (directory, *directory.parents) if os.path.lexists(path))


def _refusal(there: Path, elsewhere: str) -> Finding | None:
    """Why nothing can be written to a directory that should be there, and what to do; None if it can."""
    try:
        if not S_ISDIR(there.stat().st_mode):
            return problem(f"{there}: is no directory", elsewhere)
        with tempfile.TemporaryFile(dir=there) as file:
            file.write(b"\0")
    except OSError as error:
        return problem(f"{there}: cannot be written to: {error.strerror or error}", _advice(error, there, elsewhere))
    return None


def _advice(error: OSError, there: Path, elsewhere: str) -> str:
    """What to do about it; who owns a directory has nothing to do with a disk that is full."""
    if error.errno in (errno.ENOSPC, errno.EDQUOT):
        return f"the disk is full: free some space, or {elsewhere}"
    if error.errno == errno.EROFS:
        return f"the file system is mounted read-only (a damaged card looks like that too: see dmesg): {elsewhere}"
    if error.errno == errno.ENOENT:
        return f"it leads nowhere: remove the link, or {elsewhere}"
    if error.errno in (errno.EACCES, errno.EPERM):
        return f"it belongs to {_owner(there)}: run doctor as the service's user, make it writable, or {elsewhere}"
    return f"look at the machine's log (dmesg), or {elsewhere}"


def _owner(there: Path) -> str:
    try:
        return f"the user '{there.owner()}'"
    except (KeyError, OSError, NotImplementedError):
        return "somebody else"


def _same_disk(one: Path, other: Path) -> bool:
    try:
        return one.stat().st_dev == other.stat().st_dev
    except OSError:  # told by who looks whether it can be written to
        return False


_MADE = datetime(2026, 11, 1, tzinfo=UTC)
"""It is never earlier than this, when this program was written."""
_TOLERANCE = timedelta(days=1)


@dataclass(frozen=True)
class ClockCheck:
    """Whether it can be as early as the machine believes; boards without a battery begin long ago."""

    title: ClassVar[str] = "clock"
    limit_seconds: ClassVar[float] = 5.0
    now_seconds: Callable[[], float] = time.time
    installed: Path = Path(__file__)
    """A file that was written when the program was installed."""

    def look(self) -> Iterator[Finding]:
        """See ``Check``."""
        now = datetime.fromtimestamp(self.now_seconds(), tz=UTC)
        earliest = max(_MADE, datetime.fromtimestamp(self.installed.stat().st_mtime, tz=UTC) - _TOLERANCE)
        shown = f"{now:%Y-%m-%d %H:%M} UTC"
        if now < earliest:
            yield problem(
                f"it cannot be {shown}: this program was installed later",
                "set it: 'sudo timedatectl set-ntp true', and see that the network lets NTP through; with a wrong clock"
                " nothing can be downloaded",
            )
        else:
            yield ok(shown)
