"""Names this machine's processor by what matters to how ONNX Runtime computes. Knows no model."""

import platform
from pathlib import Path

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
