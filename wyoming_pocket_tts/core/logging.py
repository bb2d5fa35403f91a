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

Style = Literal["text", "json", "plain"]

_CLEAR_LINE = "\r\x1b[K"  # for a progress line on a terminal
_PLAIN_FORMAT = "wyoming-pocket-tts: %(message)s"
_TEXT_FORMAT = "%(asctime)s %(levelname)-7s %(name)s: %(message)s"
_BURST_LINES: Final = 100
_LINES_PER_SECOND: Final = 1.0  # of one log statement in the long run: at most some ten megabytes a day

request_id: ContextVar[str] = ContextVar("wyoming_pocket_tts_request", default="")
"""The request that log lines of this task or thread belong to; empty for none."""


@contextmanager
def request_context(request: str) -> Iterator[None]:
    token = request_id.set(request)
    try:
        yield
    finally:
        request_id.reset(token)


@dataclass(slots=True)
class _Bucket:
    lines: float
    filled_at: float
    left_out: int = 0


class RateLimitFilter(logging.Filter):
    """Passes a burst of lines of each log statement, then one per second, with a count of those left out; debug always.

    The next line that passes has their number.
    """

    def __init__(self, now: Callable[[], float] = time.monotonic) -> None:
        super().__init__()
        self._now = now
        self._buckets: dict[tuple[str, int], _Bucket] = {}  # bounded by the log statements of the program
        self._lock = threading.Lock()

    def filter(self, record: logging.LogRecord) -> bool:
        if record.levelno <= logging.DEBUG:
            return True
        now = self._now()
        with self._lock:
            bucket = self._buckets.setdefault((record.pathname, record.lineno), _Bucket(_BURST_LINES, now))
            bucket.lines = min(_BURST_LINES, bucket.lines + (now - bucket.filled_at) * _LINES_PER_SECOND)
            bucket.filled_at = now
            if bucket.lines < 1:
                bucket.left_out += 1
                return False
            bucket.lines -= 1
            record.left_out, bucket.left_out = bucket.left_out, 0
        return True


class TextFormatter(logging.Formatter):
    """The request in brackets, then the message."""

    def format(self, record: logging.LogRecord) -> str:
        line = super().format(record)
        left_out = getattr(record, "left_out", 0)
        return f"{line} ({left_out} lines like this one were left out)" if left_out else line

    def formatMessage(self, record: logging.LogRecord) -> str:  # noqa: N802  (the standard library's name)
        if request := request_id.get():
            record.message = f"[{request}] {record.message}"
        return super().formatMessage(record)


class JsonFormatter(logging.Formatter):
    """One JSON object per line: ``time`` (ISO 8601, UTC), ``level``, ``logger``, ``message``.

    Where it applies also ``request``, ``exception``, ``left_out``, and the record's ``fields``.
    """

    def format(self, record: logging.LogRecord) -> str:
        line: dict[str, object] = {
            "time": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds"),
            "level": record.levelname.lower(),
            "logger": record.name,
            "message": record.getMessage(),
        }
        if request := request_id.get():
            line["request"] = request
        line |= getattr(record, "fields", {})
        if left_out := getattr(record, "left_out", 0):
            line["left_out"] = left_out
        if record.exc_info:
            line["exception"] = self.formatException(record.exc_info)
        return json.dumps(line, ensure_ascii=False)


def set_up_logging(*, level: str, style: Style) -> None:
    """Log to standard error. ``plain`` is the message alone."""
    handler = logging.StreamHandler(sys.stderr)
    plain = (_CLEAR_LINE if sys.stderr.isatty() else "") + _PLAIN_FORMAT
    formatters = {"json": JsonFormatter(), "plain": logging.Formatter(plain), "text": TextFormatter(_TEXT_FORMAT)}
    handler.setFormatter(formatters[style])
    if style != "plain":
        handler.addFilter(RateLimitFilter())
    logging.basicConfig(level=level.upper(), handlers=[handler], force=True)
    logging.captureWarnings(True)  # noqa: FBT003  (the standard library's signature)
    # zeroconf logs each packet at debug level, and a traceback for every interface that is gone; discovery logs those
    logging.getLogger("zeroconf").setLevel(logging.ERROR)
    logging.getLogger("asyncio").setLevel(max(logging.getLogger().level, logging.INFO))


def _left_out(record: logging.LogRecord) -> int:
    return int(getattr(record, "left_out", 0))
