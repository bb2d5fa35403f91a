"""Runs synthesis on worker threads for asyncio callers. Knows nothing about sockets, protocols or models.

No thread belongs to a stream. A worker takes the stream whose turn it is, makes one block of audio, hands it to the
event loop and queues the stream again; a stream whose consumer lags is parked until the consumer takes a block, and one
whose block is made elsewhere (``speech.Patient``) sleeps until it is there. So clients advance side by side, a slow one
costs memory for a few blocks but never a thread, and cancellation takes effect between two blocks.

First comes who has been given up, since that frees what others wait for; then whose listener would run dry first. A
newcomer counts as somebody who ran dry a second ago.

A thread that hangs or dies ends its own stream and is replaced (``crew.py``).
"""

import asyncio
import logging
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from types import TracebackType
from typing import Self

from wyoming_pocket_tts.engine.admission import Admission
from wyoming_pocket_tts.engine.observer import Observer, Silent
from wyoming_pocket_tts.engine.speed import streams_in_real_time
from wyoming_pocket_tts.engine.stream import End, Stream
from wyoming_pocket_tts.engine.workshop import Workshop
from wyoming_pocket_tts.errors import Cancelled, ModelError, SpeechError
from wyoming_pocket_tts.speech import Pcm, Request, Synthesizer

_LOGGER = logging.getLogger(__name__)
_JOIN_SECONDS = 5.0
_STUCK_SECONDS = 30.0
_LOOKS_PER_DEADLINE = 6


class Workers:
    """A few threads that speak many streams. Owns its threads; belongs to the event loop that started it."""

    def __init__(
        self,
        synthesizer: Synthesizer,
        *,
        threads: int = 2,
        backlog_blocks: int = 8,
        max_active: int = 32,
        max_waiting: int = 32,
        queue_seconds: float | None = None,
        real_time: bool = False,
        reserve: int = 2,
        stuck_seconds: float = _STUCK_SECONDS,
        observer: Observer | None = None,
        now: Callable[[], float] = time.monotonic,
    ) -> None:
        """Prepare; nothing runs before ``start``.

        Args:
            synthesizer: makes the audio, on the worker threads only.
            threads: blocks that can be in the making at once.
            backlog_blocks: blocks that a stream may be ahead of its consumer.
            max_active: streams open at once, parked ones included.
            max_waiting: newcomers that may wait for one of these to end; more are ``Overloaded``.
            queue_seconds: how long they may wait, before they are ``Overloaded``; None for ever.
            real_time: let no more streams in than are made as fast as they are played, by the speed measured.
            reserve: places beside ``max_active`` for streams that ask for one of these.
            stuck_seconds: a thread that is at one block for longer is left behind, and its stream fails.
            observer: is told how streams fare; None for nobody.
            now: a clock that counts seconds.
        """
        self.synthesizer = synthesizer
        self._max_active = max_active
        self._stuck_seconds = stuck_seconds
        self._look_seconds = stuck_seconds / _LOOKS_PER_DEADLINE
        self._observer = observer or Silent()
        self._now = now
        self._admission = Admission(
            max_active=max_active,
            max_waiting=max_waiting,
            queue_seconds=queue_seconds,
            room=self._room if real_time else None,
        )
        self._reserve = Admission(max_active=reserve, max_waiting=0)
        self._workshop = Workshop(
            synthesizer,
            threads=threads,
            backlog_blocks=backlog_blocks,
            stuck_seconds=stuck_seconds,
            observer=self._observer,
            arrived=self._arrived,
            ended=self._ended,
            died=self._look_after_threads,
            now=now,
        )
        self._active: set[Stream] = set()
        self._next_look: asyncio.TimerHandle | None = None
        self._stopping = False

    @property
    def active(self) -> int:
        """Streams whose synthesis has not ended: in the making, queued, parked, or not yet closed."""
        return len(self._active)

    @property
    def waiting(self) -> int:
        """Streams that wait for one of the active ones to end."""
        return self._admission.waiting + self._reserve.waiting

    @property
    def blocks_made(self) -> int:
        """Since the start, for all streams together: where it grows, there is speech."""
        return self._workshop.blocks_made

    @property
    def healthy(self) -> bool:
        """Whether as many threads run as should: not before ``start``, after ``aclose``, or once too many were lost."""
        return self._workshop.is_whole

    async def start(self) -> None:
        """Start the threads."""
        self._workshop.start()
        self._next_look = asyncio.get_running_loop().call_later(self._look_seconds, self._look_again)

    async def aclose(self, deadline_seconds: float = _JOIN_SECONDS) -> None:
        """Cancel all streams and join the threads. May be called more than once.

        Args:
            deadline_seconds: time for the blocks in the making to come to their end. A model that hangs for longer is
                left behind in its (daemon) thread, and the log says so.
        """
        self._stopping = True
        if self._next_look is not None:
            self._next_look.cancel()
        for admission in (self._admission, self._reserve):
            admission.close()
        for stream in self._active:
            self._workshop.cancel(stream)
        self._workshop.stop()
        await asyncio.to_thread(self._workshop.join, deadline_seconds)

    async def __aenter__(self) -> Self:
        """Start."""
        await self.start()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Close."""
        await self.aclose()

    @asynccontextmanager
    async def stream(
        self, request: Request, *, continues: bool = False, reserve: bool = False
    ) -> AsyncIterator[AsyncIterator[Pcm]]:
        """Speak one request: the blocks come as they are made. Leaving the context cancels what is not made yet.

        Args:
            request: what to speak.
            continues: it goes on with an answer that was let in before, so it may wait but is never refused.
            reserve: it takes one of the places that are kept beside the others, and does not count for the speed.

        Raises:
            Overloaded: on entering, when too many streams wait, or none ended in time.
            SpeechError: while iterating; the blocks before it are valid.
        """
        asked = self._now()
        admission = self._reserve if reserve else self._admission
        await admission.acquire(insider=continues)
        self._observer.admitted(self._now() - asked)
        if self._stopping:  # the place came in the moment of closing: no thread may be left to serve it
            admission.release()
            raise Cancelled("the server is stopping")
        now, taken = self._now(), self._workshop.taken
        stream = Stream(request, taken=taken, admission=admission, counts=not reserve, came_at=now)
        self._active.add(stream)
        self._workshop.open(stream)
        try:
            yield stream
        finally:
            self._workshop.cancel(stream)

    def _arrived(self, stream: Stream, block: Pcm) -> None:
        stream.items.put_nowait(block)
        if self._admission.waiting:
            self._admission.review()  # the machine may have turned out to be faster

    def _ended(self, stream: Stream, error: SpeechError | None) -> None:
        """Counts once for each stream: that of a lost thread may hear more of it."""
        if stream not in self._active:
            return
        self._active.remove(stream)
        self._workshop.forget(stream)
        stream.admission.release()
        if isinstance(error, Cancelled) and stream.given_up_at is not None:
            self._observer.cancelled(self._now() - stream.given_up_at)
        stream.items.put_nowait(End(error))

    def _room(self) -> int:
        return streams_in_real_time(self._workshop.speed, most=self._max_active)

    def _look_again(self) -> None:
        self._next_look = asyncio.get_running_loop().call_later(self._look_seconds, self._look_again)
        self._look_after_threads()

    def _look_after_threads(self) -> None:
        for loss in self._workshop.replace_lost():
            then = "another takes its place" if loss.is_replaced else "too many were lost before: restart the service"
            if loss.task is None:
                _LOGGER.error("%s has died; %s", loss.name, then)
                continue
            self._observer.fault("stuck")
            at = f"a block of {loss.task.request.voice.name!r}"
            _LOGGER.error("%s is stuck at %s for %g s; %s", loss.name, at, self._stuck_seconds, then)
            hangs = f"the model has not answered for {self._stuck_seconds:g} s; the server's log says more"
            self._ended(loss.task, ModelError(hangs))
