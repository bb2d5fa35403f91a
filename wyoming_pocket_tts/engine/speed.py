"""How fast speech is made, and how many streams that is enough for. Knows no clock, thread, model or client.

Counted is audio for each second in which somebody could not be given enough of it. Who is far ahead of playback is no
sign of a slow machine, and what it takes out of its stock is no sign of a fast one. Times are seconds of one monotonic
clock, whichever the callers share.
"""

import math
from typing import Final

MARGIN: Final = 1.25
"""How much faster than it is played a stream has to be made: for what else the machine does, and for other texts."""

_HALF_LIFE_SECONDS: Final = 20.0
_ENOUGH_SECONDS: Final = 2.0


class Speed:
    """Audio made in each second in which at least one stream wanted some. What is long past counts ever less.

    It ages by those seconds alone: after a quiet night the machine is as fast as it was.

    Args:
        half_life_seconds: after so many of these seconds, what was counted before them counts half.
        enough_seconds: with fewer of them counted, nothing is said.
    """

    def __init__(
        self, *, half_life_seconds: float = _HALF_LIFE_SECONDS, enough_seconds: float = _ENOUGH_SECONDS
    ) -> None:
        self._half_life_seconds = half_life_seconds
        self._enough_seconds = enough_seconds
        self._wanting = 0
        self._seen_at = 0.0
        self._audio_seconds = 0.0
        self._busy_seconds = 0.0

    def wants(self, now: float) -> None:
        """One more stream wants audio."""
        self._pass(now)
        self._wanting += 1

    def rests(self, now: float) -> None:
        """One of those that wanted audio has enough, or has ended."""
        self._pass(now)
        self._wanting -= 1

    def made(self, seconds: float, now: float) -> None:
        """Audio was made, for whomever. While nobody wants any it does not count."""
        self._pass(now)
        if self._wanting:
            self._audio_seconds += seconds

    def factor(self, now: float) -> float | None:
        """Seconds of audio that are made in a second; None until enough was seen."""
        self._pass(now)
        if self._busy_seconds < self._enough_seconds:
            return None
        return self._audio_seconds / self._busy_seconds

    def _pass(self, now: float) -> None:
        passed = max(0.0, now - self._seen_at) if self._wanting else 0.0
        self._seen_at = now
        if passed:
            kept = 0.5 ** (passed / self._half_life_seconds)
            self._audio_seconds *= kept
            self._busy_seconds = kept * self._busy_seconds + (1 - kept) * self._half_life_seconds / math.log(2)


def streams_in_real_time(factor: float | None, *, most: int) -> int:
    """How many streams are made as fast as they are played: at least one, and ``most`` where the speed is not known."""
    return most if factor is None else max(1, min(most, math.floor(factor / MARGIN)))
