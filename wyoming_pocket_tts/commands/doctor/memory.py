"""Looks at the memory: what the models of the settings need, against what is free. Knows no model's insides."""

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

from wyoming_pocket_tts.commands.doctor.finding import Finding, ok, problem, warning
from wyoming_pocket_tts.commands.doctor.sizes import ModelSize

_MEMORY_INFO = Path("/proc/meminfo")
_LIMITS = (Path("/sys/fs/cgroup/memory.max"), Path("/sys/fs/cgroup/memory/memory.limit_in_bytes"))
_MEGABYTE = 1e6
_SMALLER = "choose a smaller model: 'wyoming-pocket-tts benchmark' tells which ones this machine carries"


@dataclass(frozen=True, slots=True)
class Room:
    """Memory in bytes: all that there is, and what of it is free."""

    total: int
    available: int


def memory_room(memory_info: Path = _MEMORY_INFO, limits: Sequence[Path] = _LIMITS) -> Room | None:
    """How much memory this process may have, a container's limit included; None where the system does not tell."""
    try:
        text = memory_info.read_text(encoding="ascii", errors="replace")
    except OSError:
        return None
    total, available = (re.search(rf"^{key}:\s+(\d+) kB", text, re.MULTILINE) for key in ("MemTotal", "MemAvailable"))
    if total is None or available is None:
        return None
    limit = min((found for found in map(_limit, limits) if found is not None), default=int(total[1]) << 10)
    return Room(min(int(total[1]) << 10, limit), min(int(available[1]) << 10, limit))


@dataclass(frozen=True)
class Memory:
    """Whether there is room for the models of the settings beside everything else."""

    title: ClassVar[str] = "memory"
    limit_seconds: ClassVar[float] = 5.0
    models: Sequence[ModelSize]
    is_running: bool = False
    """Whether the service runs on this machine, and has its memory already."""
    memory_info: Path = _MEMORY_INFO
    limits: Sequence[Path] = _LIMITS

    def look(self) -> Iterator[Finding]:
        """See ``Check``."""
        needed = ModelSize.EMBEDDED_BYTES + sum(model.memory_bytes for model in self.models)
        what = f"{', '.join(model.label for model in self.models) or 'the embedded voice'} needs about {_mb(needed)}"
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


def _limit(path: Path) -> int | None:
    """What a container or unit may use; None where that is not limited."""
    try:
        return int(path.read_text(encoding="ascii"))
    except (OSError, ValueError):
        return None


def _mb(size_bytes: float) -> str:
    return f"{size_bytes / _MEGABYTE:.0f} MB"
