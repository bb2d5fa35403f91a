"""Looks at the memory: what the models of the settings need, against what is free. Knows no model's insides."""

import math
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
_BUDGET_UNIT_BYTES = 1 << 20
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


def _limit(path: Path) -> int | None:
    """What a container or unit may use; None where that is not limited."""
    try:
        return int(path.read_text(encoding="ascii"))
    except (OSError, ValueError):
        return None


def _mb(size_bytes: float) -> str:
    return f"{size_bytes / _MEGABYTE:.0f} MB"
