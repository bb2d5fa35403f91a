"""Messages, status line, progress stages, tables."""

import shutil
import sys
from collections.abc import Callable, Sequence
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self, TextIO

import typer

if TYPE_CHECKING:
    from wyoming_pocket_tts.pocket.worker_client import Progress


Tell = Callable[[str], None]
"""Takes a line of output."""

_STAGES = {
    "wait": "waiting for another process that converts it",
    "download": "downloading",
    "convert": "converting",
    "verify": "comparing with the exact model",
    "voices": "fetching voices",
    "hear": "encoding the recording of its voice",
}
_BAR_WIDTH = 24
_LINES_PER_STAGE = 4
_TO_START_AND_CLEAR = "\r\x1b[K"


def print_error(text: str) -> None:
    for line in text.splitlines():
        typer.echo(f"wyoming-pocket-tts: {line}", err=True)


def print_result(line: str, output: str | None) -> None:
    """Write a line to standard output, or to standard error if standard output carries the audio."""
    typer.echo(line, err=output == "-")


def teller(*, quiet: bool) -> Tell:
    return (lambda _: None) if quiet else typer.echo


def table(*rows: Sequence[Any]) -> str:
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    lines = ("  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)) for row in rows)
    return "\n".join(line.rstrip() for line in lines)


class StatusLine:
    """A line of a terminal that changes and is removed when the block ends; nothing is written to a pipe or file."""

    def __init__(self, *, quiet: bool, stream: TextIO | None = None) -> None:
        self._stream = stream or sys.stderr
        self.watched = not quiet and self._stream.isatty()

    def show(self, text: str) -> None:
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


class ProgressDisplay:
    """Shows the progress of a model's installation: a bar on a terminal, else a few lines."""

    def __init__(self, label: str, status: StatusLine, tell: Tell) -> None:
        self._label = label
        self._status = status
        self._tell = tell
        self._printed: tuple[str, int] | None = None

    def __call__(self, progress: "Progress") -> None:
        text = f"{self._label}: {_STAGES[progress.stage]}"
        if self._status.watched:
            self._status.show(f"{text} {_bar(progress.done)}")
            return
        now = (progress.stage, int((progress.done or 0) * _LINES_PER_STAGE))
        is_slow = progress.stage == "download"  # the others take a second or two
        if self._printed is None or now[0] != self._printed[0] or (is_slow and now != self._printed):
            self._printed = now
            self._tell(f"{text} {progress.done:.0%}" if is_slow and progress.done else text)


def _bar(done: float | None) -> str:
    if done is None:
        return "..."
    filled = round(done * _BAR_WIDTH)
    return f"[{'#' * filled}{'-' * (_BAR_WIDTH - filled)}] {done:4.0%}"
