"""Looks at the data directory: whether it can be written, and whether models fit. Knows no file in it."""

import os
import shutil
import tempfile
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

from wyoming_pocket_tts.commands.doctor.finding import Finding, ok, problem, warning
from wyoming_pocket_tts.commands.doctor.sizes import ModelSize

_MEGABYTE = 1e6
_SPARE_BYTES = 200_000_000
"""Below this, systems begin to misbehave."""
_ELSEWHERE = "choose another place with --data-dir or data_dir"


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
    free: Callable[[Path], int] = free_bytes

    def look(self) -> Iterator[Finding]:
        """See ``Check``."""
        there = _nearest_existing(self.directory)
        if there.is_dir():
            try:
                with tempfile.TemporaryFile(dir=there) as file:
                    file.write(b"\0")
            except OSError as error:
                yield problem(f"{there}: cannot be written to: {error.strerror or error}", _permission_advice(there))
                return
        else:
            yield problem(f"{there}: is no directory", _ELSEWHERE)
            return
        yield from self._room(there)

    def _room(self, there: Path) -> Iterator[Finding]:
        free = self.free(there)
        needed = sum(model.converted_bytes + model.download_bytes for model in self.lacking)
        where = str(self.directory) if there == self.directory else f"{self.directory} (to be made)"
        room = f"{free / _MEGABYTE:.0f} MB free"
        if needed > free:
            names = ", ".join(model.label for model in self.lacking)
            yield problem(
                f"{where}: {room}, and about {needed / _MEGABYTE:.0f} MB are needed to bring {names}",
                f"free some space, or {_ELSEWHERE}; the embedded voice speaks meanwhile",
            )
        elif free - needed < _SPARE_BYTES:
            yield warning(f"{where}: {room}, which is nearly full", f"free some space, or {_ELSEWHERE}")
        else:
            yield ok(f"{where}: can be written to, {room}")


def _nearest_existing(directory: Path) -> Path:
    """The directory, or the one that it will be made in."""
    directory = directory.absolute()
    return next(path for path in (directory, *directory.parents) if os.path.lexists(path))


def _permission_advice(directory: Path) -> str:
    try:
        owner = directory.owner()
    except (KeyError, OSError, NotImplementedError):
        owner = str(directory.stat().st_uid)
    return f"it belongs to the user '{owner}': run doctor as the service's user, make it writable, or {_ELSEWHERE}"
