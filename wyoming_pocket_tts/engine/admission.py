"""Bounds how many streams exist at once, how many may wait, and how long. Knows nothing about streams or clients."""

import asyncio
from collections import deque
from collections.abc import Callable

from wyoming_pocket_tts.errors import Cancelled, Overloaded

_Waiting = deque[asyncio.Future[None]]


class Admission:
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
            raise Overloaded("the server is stopping")
        self.review()
        if self._has_room:
            self._active += 1
        elif insider:
            await self._wait_in(self._insiders)
        elif len(self._newcomers) >= self._max_waiting:
            raise Overloaded(
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
            raise Overloaded(f"{waited}; ask again later") from None

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
