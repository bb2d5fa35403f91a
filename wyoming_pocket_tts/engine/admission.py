"""Bounds how many streams exist at once and how many may wait to. Knows nothing about streams, threads or clients."""

import asyncio
from collections import deque

from wyoming_pocket_tts.errors import Cancelled, Overloaded

_Waiting = deque[asyncio.Future[None]]


class Admission:
    """A counting lock with a bounded queue, whose insiders come first.

    An insider goes on with something that was let in before (the next sentence of an answer): it waits ahead of
    newcomers and is never refused, so that an answer once begun does not break off when the house gets busy.

    All methods belong to the event loop's thread.
    """

    def __init__(self, *, max_active: int, max_waiting: int) -> None:
        """Let ``max_active`` in at once and ``max_waiting`` newcomers wait."""
        self._free = max_active
        self._max_active = max_active
        self._max_waiting = max_waiting
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
            Overloaded: too many wait already, or the house is closed.
        """
        if self._closed:
            raise Overloaded("the server is stopping")
        if self._free:
            self._free -= 1
            return
        if not insider and len(self._newcomers) >= self._max_waiting:
            raise Overloaded(f"{self._max_active} texts are being spoken and {self._max_waiting} wait; ask again later")
        waiting = self._insiders if insider else self._newcomers
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

    def release(self) -> None:
        """Give a place back: to the first insider that waits, else to the first newcomer."""
        for waiting in (self._insiders, self._newcomers):
            while waiting:
                place = waiting.popleft()
                if not place.done():
                    place.set_result(None)
                    return
        self._free += 1

    def close(self) -> None:
        """Refuse whoever waits and whoever comes."""
        self._closed = True
        for waiting in (self._insiders, self._newcomers):
            while waiting:
                place = waiting.popleft()
                if not place.done():
                    place.set_exception(Cancelled("the server is stopping"))
