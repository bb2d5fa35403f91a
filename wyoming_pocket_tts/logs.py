"""How log lines look: text for people or JSON for machines, always on standard error. Knows no content."""

import json
import logging
import sys
from datetime import UTC, datetime
from typing import Literal

_CLEARED_LINE = "\r\x1b[K"
"""On a terminal a line of progress may stand where the next log line belongs."""
_PLAIN_FORMAT = "wyoming-pocket-tts: %(message)s"
_TEXT_FORMAT = "%(asctime)s %(levelname)-7s %(name)s: %(message)s"


class JsonFormatter(logging.Formatter):
    """One JSON object a line: ``time`` (ISO 8601, UTC), ``level``, ``logger``, ``message``, on errors ``exception``."""

    def format(self, record: logging.LogRecord) -> str:
        line = {
            "time": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds"),
            "level": record.levelname.lower(),
            "logger": record.name,
            "message": record.getMessage(),
        }
        if record.exc_info:
            line["exception"] = self.formatException(record.exc_info)
        return json.dumps(line, ensure_ascii=False)


def set_up_logging(*, level: str, style: Literal["text", "json", "plain"]) -> None:
    """Send the process's log to standard error; standard output stays free for data and the protocol.

    ``plain`` is for commands that a person runs and watches: the message alone, as errors look.
    """
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(_formatter(style))
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
            return logging.Formatter(_TEXT_FORMAT)
