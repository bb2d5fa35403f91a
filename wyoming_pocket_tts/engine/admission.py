"""Limits, queue, measured throughput."""

import asyncio
import math
from collections import deque
from collections.abc import Callable
from typing import Final

from wyoming_pocket_tts.core.errors import Cancelled, ServerOverloaded

_Waiting = deque[asyncio.Future[None]]


class AdmissionController:
    """A counting lock with a bounded queue, whose insiders come first.

    An insider goes on with something that was let in before (the next sentence of an answer): it waits ahead of
    newcomers and is never refused, so that an answer once begun does not break off when the house gets busy.

    All methods belong to the event loop's thread.
    """

    def __init__(
        self,
        *,
        max_active: int,
        max_waiting: int,
        queue_seconds: float | None = None,
        room: Callable[[], int] | None = None,
    ) -> None:
        """Let some in, and let others wait.

        Args:
            max_active: places.
            max_waiting: newcomers that may wait for one.
            queue_seconds: how long they may; None for ever.
            room: how many of the places can be taken now, at least one; None for all of them. When it grows, call
                ``review``.
        """
        self._max_active = max_active
        self._max_waiting = max_waiting
        self._queue_seconds = queue_seconds
        self._room = room
        self._active = 0
        self._insiders: _Waiting = deque()
        self._newcomers: _Waiting = deque()
        self._closed = False

    @property
    def waiting(self) -> int:
        """Who waits for a place, insiders included."""
        return len(self._insiders) + len(self._newcomers)

    async def acquire(self, *, insider: bool) -> None:
        """Take a place, which the caller gives back with ``release``.

        Raises:
            Overloaded: too many wait already, nothing became free in time, or the house is closed.
            Cancelled: the house was closed meanwhile.
        """
        if self._closed:
            raise ServerOverloaded("the server is stopping")
        self.review()
        if self._has_room:
            self._active += 1
        elif insider:
            await self._wait_in(self._insiders)
        elif len(self._newcomers) >= self._max_waiting:
            raise ServerOverloaded(
                f"no place is free (speaking: {self._active}, waiting: {self._max_waiting}); ask again later"
            )
        else:
            await self._wait_for_a_while()

    def release(self) -> None:
        """Give a place back: to the first insider that waits, else to the first newcomer."""
        self._active -= 1
        self.review()

    def review(self) -> None:
        """Let in who waits, as far as there is room. Cheap where nobody does."""
        for waiting in (self._insiders, self._newcomers):
            while waiting and self._has_room:
                place = waiting.popleft()
                if not place.done():
                    self._active += 1
                    place.set_result(None)

    def close(self) -> None:
        """Refuse whoever waits and whoever comes."""
        self._closed = True
        for waiting in (self._insiders, self._newcomers):
            while waiting:
                place = waiting.popleft()
                if not place.done():
                    place.set_exception(Cancelled("the server is stopping"))

    @property
    def _has_room(self) -> bool:
        room = self._max_active if self._room is None else min(self._max_active, self._room())
        return self._active < room

    async def _wait_for_a_while(self) -> None:
        try:
            async with asyncio.timeout(self._queue_seconds):
                await self._wait_in(self._newcomers)
        except TimeoutError:
            waited = f"no place became free within {self._queue_seconds:g} s (speaking: {self._active})"
            raise ServerOverloaded(f"{waited}; ask again later") from None

    async def _wait_in(self, waiting: _Waiting) -> None:
        place = asyncio.get_running_loop().create_future()
        waiting.append(place)
        try:
            await place
        except asyncio.CancelledError:
            if place.done() and not place.cancelled() and place.exception() is None:
                self.release()  # the place came in the same moment as the cancellation
            elif place in waiting:
                waiting.remove(place)
            raise


MARGIN: Final = 1.25
"""How much faster than it is played a stream has to be made: for what else the machine does, and for other texts."""

_HALF_LIFE_SECONDS: Final = 20.0
_ENOUGH_SECONDS: Final = 2.0


class ThroughputMeter:
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


def max_realtime_streams(factor: float | None, *, most: int) -> int:
    """How many streams are made as fast as they are played: at least one, and ``most`` where the speed is not known."""
    return most if factor is None else max(1, min(most, math.floor(factor / MARGIN)))
