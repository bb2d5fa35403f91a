"""A line on a terminal that changes while something takes time. Knows nothing about what that is.

Where no person watches (a pipe, a file, a log) nothing is written: a line for every step would only be in the way.
"""

import shutil
import sys
from types import TracebackType
from typing import Self, TextIO

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
