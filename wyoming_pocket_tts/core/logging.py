"""Text and JSON log lines, request ids, rate limiting."""

import json
import logging
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Final, Literal

_CLEARED_LINE = "\r\x1b[K"
"""On a terminal a line of progress may stand where the next log line belongs."""
_PLAIN_FORMAT = "wyoming-pocket-tts: %(message)s"
_TEXT_FORMAT = "%(asctime)s %(levelname)-7s %(name)s: %(message)s"

_BURST_LINES: Final = 100
"""Lines from one place in the program that come through at once."""
_LINES_PER_SECOND: Final = 1.0
"""Lines from one place in the long run: some ten megabytes a day, if somebody tries."""

_request: ContextVar[str] = ContextVar("wyoming_pocket_tts_request", default="")  # empty: about none


@contextmanager
def request_context(request: str) -> Iterator[None]:
    """Mark what this task or thread logs within the context as being about that request."""
    token = _request.set(request)
    try:
        yield
    finally:
        _request.reset(token)


@dataclass(slots=True)
class _Bucket:
    """What one place may still write."""

    lines: float
    filled_seconds: float
    left_out: int = 0


class RateLimitFilter(logging.Filter):
    """Lets each place in the program write a burst of lines, then a line a second; debug lines always.

    The line that comes through next says how many were left out. Safe for any number of threads.
    """

    def __init__(self, now: Callable[[], float] = time.monotonic) -> None:
        """Take a clock that counts seconds."""
        super().__init__()
        self._now = now
        self._buckets: dict[tuple[str, int], _Bucket] = {}  # bounded by the lines of the program
        self._lock = threading.Lock()

    def filter(self, record: logging.LogRecord) -> bool:
        """Whether the record is to be written; notes how many like it were not."""
        if record.levelno <= logging.DEBUG:
            return True
        now = self._now()
        with self._lock:
            bucket = self._buckets.setdefault((record.pathname, record.lineno), _Bucket(_BURST_LINES, now))
            bucket.lines = min(_BURST_LINES, bucket.lines + (now - bucket.filled_seconds) * _LINES_PER_SECOND)
            bucket.filled_seconds = now
            if bucket.lines < 1:
                bucket.left_out += 1
                return False
            bucket.lines -= 1
            record.left_out, bucket.left_out = bucket.left_out, 0
        return True


class TextFormatter(logging.Formatter):
    """Lines for people: what they are about in brackets, then the message."""

    def format(self, record: logging.LogRecord) -> str:
        """Write the line, and behind it how many like it were left out."""
        line = super().format(record)
        left_out = _left_out(record)
        return f"{line} ({left_out} lines like this one were left out)" if left_out else line

    def formatMessage(self, record: logging.LogRecord) -> str:  # noqa: N802  (the standard library's name)
        """Put the request in front of the message."""
        request = _request.get()
        if request:
            record.message = f"[{request}] {record.message}"
        return super().formatMessage(record)


class JsonFormatter(logging.Formatter):
    """One JSON object a line: ``time`` (ISO 8601, UTC), ``level``, ``logger``, ``message``.

    Where it applies also ``request``, ``exception``, ``left_out`` (lines like this one that were not written), and
    what the record has as ``fields``.
    """

    def format(self, record: logging.LogRecord) -> str:
        """Write the object."""
        line: dict[str, object] = {
            "time": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds"),
            "level": record.levelname.lower(),
            "logger": record.name,
            "message": record.getMessage(),
        }
        if _request.get():
            line["request"] = _request.get()
        line |= getattr(record, "fields", {})
        if left_out := _left_out(record):
            line["left_out"] = left_out
        if record.exc_info:
            line["exception"] = self.formatException(record.exc_info)
        return json.dumps(line, ensure_ascii=False)


def set_up_logging(*, level: str, style: Literal["text", "json", "plain"]) -> None:
    """Send the process's log to standard error; standard output stays free for data and the protocol.

    ``plain`` is for commands that a person runs and watches: the message alone, as errors look.
    """
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(_formatter(style))
    if style != "plain":
        handler.addFilter(RateLimitFilter())
    logging.basicConfig(level=level.upper(), handlers=[handler], force=True)
    logging.captureWarnings(True)  # noqa: FBT003  (the standard library's signature)
    # At debug level we want our own steps, not each multicast packet. Zeroconf also warns, with a traceback, of every
    # interface that is gone; discovery follows those by itself and says so.
    logging.getLogger("zeroconf").setLevel(logging.ERROR)
    logging.getLogger("asyncio").setLevel(max(logging.getLogger().level, logging.INFO))


def _formatter(style: Literal["text", "json", "plain"]) -> logging.Formatter:
    match style:
        case "json":
            return JsonFormatter()
        case "plain":
            return logging.Formatter((_CLEARED_LINE if sys.stderr.isatty() else "") + _PLAIN_FORMAT)
        case "text":
            return TextFormatter(_TEXT_FORMAT)


def _left_out(record: logging.LogRecord) -> int:
    return int(getattr(record, "left_out", 0))
