"""Limits, queue, measured throughput."""

import asyncio
import math
from collections import deque
from collections.abc import Callable
from typing import Final

from wyoming_pocket_tts.core.errors import Cancelled, ServerOverloaded

MARGIN: Final = 1.25
"""How much faster than real time a stream has to be generated: reserve for other work and other texts."""

_HALF_LIFE_SECONDS: Final = 20.0
_ENOUGH_SECONDS: Final = 2.0

_Queue = deque[asyncio.Future[None]]


class AdmissionController:
    """A counting lock with a bounded queue. Belongs to the event loop's thread.

    Continuations of an admitted response wait ahead of new streams and are never refused. At most
    ``max_waiting`` new ones wait, for ``queue_seconds`` (None: any time). ``room`` limits ``max_active`` further, to at
    least one; call ``wake_waiters`` when it grows.
    """

    def __init__(
        self,
        *,
        max_active: int,
        max_waiting: int,
        queue_seconds: float | None = None,
        room: Callable[[], int] | None = None,
    ) -> None:
        self._max_active = max_active
        self._max_waiting = max_waiting
        self._queue_seconds = queue_seconds
        self._room = room
        self._active = 0
        self._continuations: _Queue = deque()
        self._newcomers: _Queue = deque()
        self._closed = False

    @property
    def waiting(self) -> int:
        """Streams in the queue, continuations included."""
        return len(self._continuations) + len(self._newcomers)

    async def acquire(self, *, continuation: bool) -> None:
        """Wait for admission, to be given back with ``release``.

        Raises ``ServerOverloaded`` if the queue is full, too slow, or closed, ``Cancelled`` if it is closed meanwhile.
        """
        if self._closed:
            raise ServerOverloaded("the server is stopping")
        self.wake_waiters()
        if self._has_room:
            self._active += 1
        elif continuation:
            await self._wait_in(self._continuations)
        elif len(self._newcomers) >= self._max_waiting:
            raise ServerOverloaded(
                f"no place is free (speaking: {self._active}, waiting: {self._max_waiting}); ask again later"
            )
        else:
            await self._wait_for_a_while()

    def release(self) -> None:
        self._active -= 1
        self.wake_waiters()

    def wake_waiters(self) -> None:
        """Admit as many as there is room for. Cheap where none waits."""
        for waiting in (self._continuations, self._newcomers):
            while waiting and self._has_room:
                admission = waiting.popleft()
                if not admission.done():
                    self._active += 1
                    admission.set_result(None)

    def close(self) -> None:
        self._closed = True
        for waiting in (self._continuations, self._newcomers):
            while waiting:
                admission = waiting.popleft()
                if not admission.done():
                    admission.set_exception(Cancelled("the server is stopping"))

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

    async def _wait_in(self, waiting: _Queue) -> None:
        admission = asyncio.get_running_loop().create_future()
        waiting.append(admission)
        try:
            await admission
        except asyncio.CancelledError:
            if admission.done() and not admission.cancelled() and admission.exception() is None:
                self.release()  # admitted in the same moment as the cancellation
            elif admission in waiting:
                waiting.remove(admission)
            raise


class ThroughputMeter:
    """Audio generated per second in which at least one stream wanted some; older seconds count ever less.

    A listener far ahead of playback is no sign of a slow machine, and audio out of its backlog none of a fast one. Age
    is counted in wanting seconds: after a quiet night the machine is as fast as before. Without ``enough_seconds`` of
    them there is no result. Times are seconds of one monotonic clock.
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
        self._pass(now)
        self._wanting += 1

    def rests(self, now: float) -> None:
        self._pass(now)
        self._wanting -= 1

    def made(self, seconds: float, now: float) -> None:
        """Audio was generated. While no stream wants any it does not count."""
        self._pass(now)
        if self._wanting:
            self._audio_seconds += seconds

    def factor(self, now: float) -> float | None:
        """Seconds of audio generated per second; None until enough was seen."""
        self._pass(now)
        return None if self._busy_seconds < self._enough_seconds else self._audio_seconds / self._busy_seconds

    def _pass(self, now: float) -> None:
        passed = max(0.0, now - self._seen_at) if self._wanting else 0.0
        self._seen_at = now
        if passed:
            kept = 0.5 ** (passed / self._half_life_seconds)
            self._audio_seconds *= kept
            self._busy_seconds = kept * self._busy_seconds + (1 - kept) * self._half_life_seconds / math.log(2)


def max_realtime_streams(factor: float | None, *, most: int) -> int:
    """How many streams are generated in real time: at least one; ``most`` where the throughput is unknown."""
    return most if factor is None else max(1, min(most, math.floor(factor / MARGIN)))
