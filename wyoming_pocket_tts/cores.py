"""How many processor cores this process may use. Knows nothing about what for."""

import math
import os
from pathlib import Path

_CONTROL_GROUPS = Path("/sys/fs/cgroup")


def usable_cores(control_groups: Path = _CONTROL_GROUPS) -> int:
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
