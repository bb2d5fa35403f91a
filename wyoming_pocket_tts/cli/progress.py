"""A line on a terminal that changes while something takes time. Knows nothing about what that is.

Where no person watches (a pipe, a file, a log) nothing is written: a line for every step would only be in the way.
"""

import shutil
import sys
from collections.abc import Callable, Sequence
from dataclasses import asdict
from types import TracebackType
from typing import Any, Self, TextIO

from wyoming_pocket_tts.core.types import Voice
from wyoming_pocket_tts.pocket.worker_client import Progress

_TO_START_AND_CLEAR = "\r\x1b[K"


class StatusLine:
    """The last line of standard error, if that is a terminal; gone when the block ends."""

    def __init__(self, *, quiet: bool, stream: TextIO | None = None) -> None:
        self._stream = stream or sys.stderr
        self.watched = not quiet and self._stream.isatty()
        """Whether a person can see it."""

    def show(self, text: str) -> None:
        """Replace what the line says."""
        if self.watched:
            columns = shutil.get_terminal_size().columns
            self._stream.write(_TO_START_AND_CLEAR + text[: columns - 1])
            self._stream.flush()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.show("")


Tell = Callable[[str], None]

_STAGES = {
    "wait": "waiting for another process that converts it",
    "download": "downloading",
    "convert": "converting",
    "verify": "comparing with the exact model",
    "voices": "fetching voices",
    "hear": "hearing the recording of its voice",
}
_BAR_WIDTH = 24
_LINES_PER_STAGE = 4


class ProgressDisplay:
    """Is told of progress, and shows it."""

    def __init__(self, label: str, status: StatusLine, tell: Tell) -> None:
        self._label = label
        self._status = status
        self._tell = tell
        self._told: tuple[str, int] | None = None

    def __call__(self, progress: Progress) -> None:
        text = f"{self._label}: {_STAGES[progress.stage]}"
        if self._status.watched:
            self._status.show(f"{text} {_bar(progress.done)}")
            return
        now = (progress.stage, int((progress.done or 0) * _LINES_PER_STAGE))
        is_slow = progress.stage == "download"  # the others take a second or two
        if self._told is None or now[0] != self._told[0] or (is_slow and now != self._told):
            self._told = now
            self._tell(f"{text} {progress.done:.0%}" if is_slow and progress.done else text)


def _bar(done: float | None) -> str:
    if done is None:
        return "..."
    filled = round(done * _BAR_WIDTH)
    return f"[{'#' * filled}{'-' * (_BAR_WIDTH - filled)}] {done:4.0%}"


_HEAD = ("NAME", "LANGUAGES", "SPEAKERS", "DESCRIPTION")


def as_dicts(voices: Sequence[Voice]) -> list[dict[str, Any]]:
    """Make what JSON can hold of each voice, every field under its own name."""
    return [asdict(voice) for voice in voices]


def as_table(voices: Sequence[Voice]) -> str:
    """Lay the voices out in columns; the default one is the first."""
    rows = [_HEAD, *(_row(voice) for voice in voices)]
    widths = [max(len(row[column]) for row in rows) for column in range(len(_HEAD))]
    lines = ("  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)) for row in rows)
    return "\n".join(line.rstrip() for line in lines)


def _row(voice: Voice) -> tuple[str, str, str, str]:
    description = voice.description if voice.installed else f"{voice.description} (not installed)"
    return voice.name, ", ".join(voice.languages), ", ".join(voice.speakers) or "-", description
