"""Looks at the clock: one that is far behind makes every certificate invalid. Asks nobody for the time."""

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import ClassVar

from wyoming_pocket_tts.commands.doctor.finding import Finding, ok, problem

_MADE = datetime(2026, 11, 1, tzinfo=UTC)
"""It is never earlier than this, when this program was written."""
_TOLERANCE = timedelta(days=1)


@dataclass(frozen=True)
class Clock:
    """Whether it can be as early as the machine believes; boards without a battery begin long ago."""

    title: ClassVar[str] = "clock"
    limit_seconds: ClassVar[float] = 5.0
    now_seconds: Callable[[], float] = time.time
    installed: Path = Path(__file__)
    """A file that was written when the program was installed."""

    def look(self) -> Iterator[Finding]:
        """See ``Check``."""
        now = datetime.fromtimestamp(self.now_seconds(), tz=UTC)
        earliest = max(_MADE, datetime.fromtimestamp(self.installed.stat().st_mtime, tz=UTC) - _TOLERANCE)
        shown = f"{now:%Y-%m-%d %H:%M} UTC"
        if now < earliest:
            yield problem(
                f"it cannot be {shown}: this program was installed later",
                "set it: 'sudo timedatectl set-ntp true', and see that the network lets NTP through; with a wrong clock"
                " nothing can be downloaded",
            )
        else:
            yield ok(shown)
