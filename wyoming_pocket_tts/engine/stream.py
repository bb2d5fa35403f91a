"""One request on its way through the workers. Knows neither them nor whose turn it is."""

import asyncio
import contextvars
import math
from collections.abc import AsyncIterator, Callable, Iterator

from wyoming_pocket_tts.engine.admission import Admission
from wyoming_pocket_tts.errors import SpeechError
from wyoming_pocket_tts.playback import Playback
from wyoming_pocket_tts.speech import Pcm, Request

_NEWCOMERS_START_SECONDS = 1.0
"""A newcomer counts as somebody who ran dry so long ago: before all, unless one has been dry for longer."""


class End:
    """Closes a stream's queue of blocks."""

    def __init__(self, error: SpeechError | None) -> None:
        self.error = error


class Stream(AsyncIterator[Pcm]):
    """One request on its way. The iterator belongs to the worker whose turn it is, the items to the event loop."""

    def __init__(
        self,
        request: Request,
        *,
        taken: "Callable[[Stream], None]",
        admission: Admission,
        counts: bool,
        came_at: float,
    ) -> None:
        self.request = request
        self.loop = asyncio.get_running_loop()
        self.admission = admission
        """Where its place is given back."""
        self.counts = counts
        """Whether the speed at which it is made is to be measured."""
        self._taken = taken
        self.context = contextvars.copy_context()  # of the asker: log lines of the worker say whom they are about
        self.items: asyncio.Queue[Pcm | End] = asyncio.Queue()  # bounded by unread_blocks
        self.iterator: Iterator[Pcm] | None = None
        self.rate_hz = request.manner.rate_hz or request.voice.sample_rate_hz
        self.came_at = came_at  # in seconds of the workers' clock, like all that follows
        # Guarded by the workers' condition:
        self.playback = Playback()
        self.unread_blocks = 0
        self.has_worker = False
        self.parked = False
        """Its consumer has enough to read."""
        self.sleeping = False
        """Its next block is being made elsewhere."""
        self.was_woken = False
        self.cancelled = False
        self.given_up_at: float | None = None
        self.wants = False
        """Its consumer has not been given enough to read so far, or has read all of it."""
        self.over = False

    @property
    def due(self) -> float:
        """When it has to have a worker, in seconds of the workers' clock."""
        if self.cancelled:
            return -math.inf
        until = self.playback.until
        return self.came_at - _NEWCOMERS_START_SECONDS if until is None else until

    async def __anext__(self) -> Pcm:
        item = await self.items.get()
        if not isinstance(item, End):
            self._taken(self)
            return item
        self.items.put_nowait(item)  # whoever asks again hears the same
        if item.error is not None:
            raise item.error
        raise StopAsyncIteration
