"""Processor, memory, disk, clock."""

import errno
import math
import os
import platform
import shutil
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from stat import S_ISDIR

from wyoming_pocket_tts.cli.doctor.base import Finding, ok, problem, warning
from wyoming_pocket_tts.cli.model_choice import ModelSize
from wyoming_pocket_tts.core.system import MemoryInfo, cpu_count, cpu_flags, has_integer_products, memory_info
from wyoming_pocket_tts.pocket.onnx.bundle import Precision

_X86 = ("x86_64", "amd64")
_ARM = ("aarch64", "arm64")
_X86_FLAGS = {"avx512_vnni": "AVX-512 VNNI", "avx_vnni": "AVX-VNNI", "avx2": "AVX2"}
_MEGABYTE = 1e6
_BUDGET_UNIT_BYTES = 1 << 20
_SPARE_BYTES = 200_000_000
"""Below this, systems begin to misbehave."""
_SMALL = "choose a small model: 'wyoming-pocket-tts benchmark' shows which ones this machine runs"
_SMALLER = _SMALL.replace("small", "smaller", 1)
_ELSEWHERE = "choose another place with --data-dir or data_dir"
_DOWNLOADS_ELSEWHERE = "choose another place with the environment variable HF_HOME"
_RELEASED = datetime(2026, 11, 1, tzinfo=UTC)
"""When this program was written: it is never earlier."""
_CLOCK_TOLERANCE = timedelta(days=1)


def check_processor(
    precision: Precision,
    *,
    cpu_info: Path = Path("/proc/cpuinfo"),
    architecture: str | None = None,
    cores: Callable[[], int] = cpu_count,
) -> Iterator[Finding]:
    """Whether the processor has the instructions that packages and precision need."""
    architecture = architecture or platform.machine().lower()
    flags = cpu_flags(cpu_info)
    count = cores()
    name = f"{architecture}, {count} core{'' if count == 1 else 's'}"
    is_slow = bool(flags) and precision in (Precision.INT8, Precision.MIXED) and not has_integer_products(flags)
    if architecture not in (*_X86, *_ARM):
        yield problem(
            f"{name}: ONNX Runtime, which all voices need, has no packages for this architecture",
            "use a 64-bit system on x86 or ARM (Raspberry Pi OS comes in 64 bits as well)",
        )
    elif not flags:
        yield warning(
            f"{name}: the system does not report the processor's instructions",
            "nothing, if speech is fast enough; 'wyoming-pocket-tts benchmark' measures it",
        )
    elif architecture in _ARM and is_slow:
        yield warning(
            f"{name}: the processor has no dot product (ARMv8.0, as in a Raspberry Pi 4): models are"
            f" computed in fp32 instead of {precision}",
            _SMALL,
        )
    elif architecture in _ARM:
        yield ok(f"{name}, {'ASIMD with dot product' if 'asimddp' in flags else 'ASIMD'}")
    elif "sse4_2" not in flags:
        yield problem(
            f"{name}: the processor lacks SSE4.2, which NumPy's packages need",
            "use a machine made after 2010; in a virtual machine, choose the CPU type 'host'",
        )
    elif is_slow:
        yield warning(
            f"{name}: the processor lacks AVX2: models are computed in fp32 instead of {precision}",
            f"in a virtual machine, choose the CPU type 'host'; otherwise {_SMALL}",
        )
    else:
        yield ok(f"{name}, {next((best for flag, best in _X86_FLAGS.items() if flag in flags), 'SSE4.2')}")


def check_memory(
    models: Sequence[ModelSize],
    budget_mb: int | None = None,
    *,
    is_running: bool = False,
    memory: Callable[[], MemoryInfo | None] = memory_info,
) -> Iterator[Finding]:
    """Whether the models of the settings fit into memory, and into ``models.memory_budget_mb`` (MiB).

    ``is_running``: the service runs on this machine and already has its memory.
    """
    if budget_mb is not None:
        yield from _check_budget(models, budget_mb)
    needed = _needed_bytes(models, budget_mb)
    labels = ", ".join(model.label for model in models) or "the embedded voice"
    what = f"{labels}{' needs about ' if len(models) <= 1 else ' need about '}{_mb(needed)}"
    if budget_mb is not None:
        what += f", taking turns within models.memory_budget_mb ({budget_mb})"
    room = memory()
    if room is None:
        yield warning("the system does not report how much memory there is", f"{what}: see that it is there")
    elif needed > room.total:
        yield problem(
            f"{what}, and there are {_mb(room.total)} in all",
            f"{_SMALLER}; or raise the memory limit of container or unit, if it has one",
        )
    elif needed > room.available and not is_running:
        yield warning(
            f"{what}, and {_mb(room.available)} of {_mb(room.total)} are free", f"stop other programs, or {_SMALLER}"
        )
    else:
        yield ok(f"{what}; {_mb(room.available)} of {_mb(room.total)} are free")


def _needed_bytes(models: Sequence[ModelSize], budget_mb: int | None) -> int:
    """Memory of the service with its models; within a budget they take turns, but the largest has to fit."""
    needed = sum(model.memory_bytes for model in models)
    if budget_mb is not None and models:
        largest = max(model.memory_bytes for model in models)
        needed = min(needed, max(largest, budget_mb * _BUDGET_UNIT_BYTES))
    return ModelSize.EMBEDDED_BYTES + needed


def _check_budget(models: Sequence[ModelSize], budget_mb: int) -> Iterator[Finding]:
    """A model that does not fit into the budget alone evicts all others and still exceeds it."""
    sizes = {"the embedded voice": ModelSize.EMBEDDED_BUDGET_BYTES} | {each.label: each.budget_bytes for each in models}
    largest = max(sizes, key=lambda label: sizes[label])
    if budget_mb * _BUDGET_UNIT_BYTES >= sizes[largest]:
        return
    least_mb, all_mb = (math.ceil(size / _BUDGET_UNIT_BYTES) for size in (sizes[largest], sum(sizes.values())))
    yield warning(
        f"models.memory_budget_mb is {budget_mb}, and {largest} alone takes about {least_mb} MB: it is loaded all the"
        " same, beyond the budget",
        f"give it {least_mb} at least; with {all_mb}, or without the setting, all that is named stays loaded",
    )


def _mb(size_bytes: float) -> str:
    return f"{size_bytes / _MEGABYTE:.0f} MB"


def _free_bytes(directory: Path) -> int:
    return shutil.disk_usage(directory).free


def check_data_directory(
    directory: Path,
    missing: Sequence[ModelSize] = (),
    downloads: Path | None = None,
    *,
    free: Callable[[Path], int] = _free_bytes,
) -> Iterator[Finding]:
    """Whether the service can write to its directories, and whether ``missing`` models fit.

    ``downloads``: where downloads are kept; None if they need no room beside the converted models.
    """
    existing = _nearest_existing(directory)
    refusal = _refusal(existing, _ELSEWHERE)
    if refusal is not None:
        yield refusal
        return
    needed = sum(model.converted_bytes for model in missing)
    if downloads is None or _same_disk(existing, _nearest_existing(downloads)):
        needed += sum(model.download_bytes for model in missing)
    yield _check_room(directory, existing, free(existing), needed, missing)
    if downloads is not None and missing:
        refusal = _refusal(_nearest_existing(downloads), _DOWNLOADS_ELSEWHERE)
        yield refusal or ok(f"downloads: {downloads} can be written to")


def _check_room(directory: Path, existing: Path, free: int, needed: int, missing: Sequence[ModelSize]) -> Finding:
    where = str(directory) if existing == directory else f"{directory} (to be made)"
    room = f"{where}: {_mb(free)} free"
    if needed > free:
        return problem(
            f"{room}, and about {needed / _MEGABYTE:.0f} MB are needed to bring"
            f" {', '.join(model.label for model in missing)}",
            f"free some space, or {_ELSEWHERE}; until then, only the embedded voice is available",
        )
    if free - needed < _SPARE_BYTES:
        return warning(f"{room}, which is nearly full", f"free some space, or {_ELSEWHERE}")
    return ok(f"{where}: can be written to, {_mb(free)} free")


def _nearest_existing(directory: Path) -> Path:
    directory = directory.absolute()
    return next(path for path in (directory, *directory.parents) if os.path.lexists(path))


def _refusal(directory: Path, elsewhere: str) -> Finding | None:
    """Why an existing directory cannot be written to; None if it can."""
    try:
        if not S_ISDIR(directory.stat().st_mode):
            return problem(f"{directory}: is no directory", elsewhere)
        with tempfile.TemporaryFile(dir=directory) as file:
            file.write(b"\0")
    except OSError as error:
        found = f"{directory}: cannot be written to: {error.strerror or error}"
        return problem(found, _advice(error, directory, elsewhere))
    return None


def _advice(error: OSError, directory: Path, elsewhere: str) -> str:
    match error.errno:
        case errno.ENOSPC | errno.EDQUOT:
            return f"the disk is full: free some space, or {elsewhere}"
        case errno.EROFS:
            return f"the file system is mounted read-only (a damaged card looks like that too: see dmesg): {elsewhere}"
        case errno.ENOENT:
            return f"it leads nowhere: remove the link, or {elsewhere}"
        case errno.EACCES | errno.EPERM:
            try:
                owner = f"the user '{directory.owner()}'"
            except (KeyError, OSError, NotImplementedError):
                owner = "another user"
            return f"it belongs to {owner}: run doctor as the service's user, make it writable, or {elsewhere}"
        case _:
            return f"look at the machine's log (dmesg), or {elsewhere}"


def _same_disk(one: Path, other: Path) -> bool:
    try:
        return one.stat().st_dev == other.stat().st_dev
    except OSError:  # reported where writing is tried
        return False


def check_clock(now_seconds: Callable[[], float] = time.time, *, installed: Path = Path(__file__)) -> Iterator[Finding]:
    """Whether the clock is later than the installation of the program, when ``installed`` was written.

    Boards without a battery start years behind, and then every certificate is invalid.
    """
    now = datetime.fromtimestamp(now_seconds(), tz=UTC)
    earliest = max(_RELEASED, datetime.fromtimestamp(installed.stat().st_mtime, tz=UTC) - _CLOCK_TOLERANCE)
    shown = f"{now:%Y-%m-%d %H:%M} UTC"
    if now < earliest:
        yield problem(
            f"it cannot be {shown}: this program was installed later",
            "set it: 'sudo timedatectl set-ntp true', and see that the network lets NTP through; with a wrong clock"
            " nothing can be downloaded",
        )
    else:
        yield ok(shown)
