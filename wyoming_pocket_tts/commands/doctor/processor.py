"""Looks at the processor: what packages and precision need, against what it can. Knows no model."""

import platform
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import ClassVar

from wyoming_pocket_tts.commands.doctor.finding import Finding, ok, problem, warning
from wyoming_pocket_tts.cores import usable_cores
from wyoming_pocket_tts.pocket.onnx.cpu import cpu_flags, has_integer_products
from wyoming_pocket_tts.pocket.onnx.precision import Precision

_CPU_INFO = Path("/proc/cpuinfo")
_X86 = ("x86_64", "amd64")
_ARM = ("aarch64", "arm64")
_INTEGER = (Precision.INT8, Precision.MIXED)
_SMALL = "choose a small model: 'wyoming-pocket-tts benchmark' tells which ones this machine carries"


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
