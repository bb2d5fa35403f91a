"""Looks at directories that the service writes to: whether it can, and whether models fit. Knows no file in them."""

import errno
import os
import shutil
import tempfile
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from stat import S_ISDIR
from typing import ClassVar

from wyoming_pocket_tts.commands.doctor.finding import Finding, ok, problem, warning
from wyoming_pocket_tts.commands.doctor.sizes import ModelSize

_MEGABYTE = 1e6
_SPARE_BYTES = 200_000_000
"""Below this, systems begin to misbehave."""
_ELSEWHERE = "choose another place with --data-dir or data_dir"
_DOWNLOADS_ELSEWHERE = "choose another place with the environment variable HF_HOME"


def free_bytes(directory: Path) -> int:
    """What may still be written there, by whoever asks."""
    return shutil.disk_usage(directory).free


@dataclass(frozen=True)
class DataDirectory:
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
