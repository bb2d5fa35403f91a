"""Looks at processor and memory: what the settings ask for, against what this machine has. Knows no model's insides."""

import platform
import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import ClassVar

from wyoming_pocket_tts.commands.doctor.finding import Finding, ok, problem, warning
from wyoming_pocket_tts.commands.doctor.sizes import ModelSize
from wyoming_pocket_tts.cores import usable_cores
from wyoming_pocket_tts.pocket.onnx.cpu import cpu_flags
from wyoming_pocket_tts.pocket.onnx.precision import Precision

_CPU_INFO = Path("/proc/cpuinfo")
_MEMORY_INFO = Path("/proc/meminfo")
_LIMITS = (Path("/sys/fs/cgroup/memory.max"), Path("/sys/fs/cgroup/memory/memory.limit_in_bytes"))
_X86 = ("x86_64", "amd64")
_ARM = ("aarch64", "arm64")
_MEGABYTE = 1e6
_SMALLER = "choose a smaller model: 'wyoming-pocket-tts benchmark' tells which ones this machine carries"


@dataclass(frozen=True)
class Processor:
    """Whether the processor has the instructions that packages and precision need."""

    title: ClassVar[str] = "processor"
    limit_seconds: ClassVar[float] = 5.0
    precision: Precision
    cpu_info: Path = _CPU_INFO
    architecture: str = field(default_factory=lambda: platform.machine().lower())
    cores: Callable[[], int] = usable_cores

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
        if "avx2" not in flags and self.precision is not Precision.FP32:
            return warning(
                f"{name}: the processor lacks AVX2, so the precision {self.precision} is slow",
                f"in a virtual machine, choose the CPU type 'host'; otherwise {_SMALLER}",
            )
        known = {"avx512_vnni": "AVX-512 VNNI", "avx_vnni": "AVX-VNNI", "avx2": "AVX2"}
        return ok(f"{name}, {next((best for flag, best in known.items() if flag in flags), 'SSE4.2')}")

    def _arm(self, name: str, flags: frozenset[str]) -> Finding:
        if "asimddp" not in flags and self.precision is not Precision.FP32:
            return warning(
                f"{name}: the processor has no dot product (ARMv8.0, as in a Raspberry Pi 4), so the precision"
                f" {self.precision} gains less",
                _SMALLER,
            )
        return ok(f"{name}, {'ASIMD with dot product' if 'asimddp' in flags else 'ASIMD'}")


@dataclass(frozen=True)
class Memory:
    """Whether there is room for the models of the settings beside everything else."""

    title: ClassVar[str] = "memory"
    limit_seconds: ClassVar[float] = 5.0
    models: Sequence[ModelSize]
    memory_info: Path = _MEMORY_INFO
    limits: Sequence[Path] = _LIMITS

    def look(self) -> Iterator[Finding]:
        """See ``Check``."""
        needed = ModelSize.EMBEDDED_BYTES + sum(model.memory_bytes for model in self.models)
        what = ", ".join(model.label for model in self.models) or "the embedded voice"
        total, available = (self._read(key) for key in ("MemTotal", "MemAvailable"))
        if total is None or available is None:
            yield warning("the system does not tell how much memory there is", f"{what} needs about {_mb(needed)}")
            return
        limit = min((limit for limit in map(_limit, self.limits) if limit is not None), default=total)
        total, available = min(total, limit), min(available, limit)
        if needed > total:
            yield problem(
                f"{what} needs about {_mb(needed)}, and there are {_mb(total)} in all",
                f"{_SMALLER}; or raise the memory limit of container or unit, if it has one",
            )
        elif needed > available:
            yield warning(
                f"{what} needs about {_mb(needed)}, and {_mb(available)} of {_mb(total)} are free",
                f"stop other programs (if the service runs already, this counts what it has), or {_SMALLER}",
            )
        else:
            yield ok(f"{_mb(available)} of {_mb(total)} are free; {what} needs about {_mb(needed)}")

    def _read(self, key: str) -> int | None:
        try:
            text = self.memory_info.read_text(encoding="ascii", errors="replace")
        except OSError:
            return None
        found = re.search(rf"^{key}:\s+(\d+) kB", text, re.MULTILINE)
        return int(found[1]) << 10 if found else None


def _limit(path: Path) -> int | None:
    """What a container or unit may use; None where that is not limited."""
    try:
        return int(path.read_text(encoding="ascii"))
    except (OSError, ValueError):
        return None


def _mb(size_bytes: float) -> str:
    return f"{size_bytes / _MEGABYTE:.0f} MB"
