"""Async front: admission, earliest deadline first, back-pressure, cancellation."""

import asyncio
import contextvars
import logging
import math
import threading
import time
from collections.abc import AsyncIterator, Callable, Hashable, Iterator
from contextlib import asynccontextmanager
from heapq import heappop, heappush
from itertools import count
from types import TracebackType
from typing import Protocol, Self, TypeVar

from wyoming_pocket_tts.core.errors import Cancelled, ModelError, TtsError, fault_kind, format_exception_without_text
from wyoming_pocket_tts.core.events import NullObserver, Observer
from wyoming_pocket_tts.core.types import (
    Pcm,
    PlaybackClock,
    SynthesisRequest,
    Synthesizer,
    close,
    is_ready,
    waits_for_model,
)
from wyoming_pocket_tts.engine.admission import AdmissionController, ThroughputMeter, max_realtime_streams
from wyoming_pocket_tts.engine.worker_pool import LostWorker, Worker, WorkerPool

_LOGGER = logging.getLogger(__name__)
_JOIN_SECONDS = 5.0
_STUCK_SECONDS = 30.0
_LOOKS_PER_DEADLINE = 6


class SynthesisStream(AsyncIterator[Pcm]):
    """One request on its way. The iterator belongs to the worker whose turn it is, the items to the event loop."""

    def __init__(
        self,
        request: SynthesisRequest,
        *,
        taken: "Callable[[SynthesisStream], None]",
        admission: AdmissionController,
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
        self.items: asyncio.Queue[Pcm | EndOfStream] = asyncio.Queue()  # bounded by unread_blocks
        self.iterator: Iterator[Pcm] | None = None
        self.rate_hz = request.manner.rate_hz or request.voice.sample_rate_hz
        self.came_at = came_at  # in seconds of the workers' clock, like all that follows
        # Guarded by the workers' condition:
        self.playback = PlaybackClock()
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
        if not isinstance(item, EndOfStream):
            self._taken(self)
            return item
        self.items.put_nowait(item)  # whoever asks again hears the same
        if item.error is not None:
            raise item.error
        raise StopAsyncIteration


class Scheduler:
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
        self._observer = observer or NullObserver()
        self._now = now
        self._admission = AdmissionController(
            max_active=max_active,
            max_waiting=max_waiting,
            queue_seconds=queue_seconds,
            room=self._room if real_time else None,
        )
        self._reserve = AdmissionController(max_active=reserve, max_waiting=0)
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
        self._active: set[SynthesisStream] = set()
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
        self, request: SynthesisRequest, *, continues: bool = False, reserve: bool = False
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
        stream = SynthesisStream(request, taken=taken, admission=admission, counts=not reserve, came_at=now)
        self._active.add(stream)
        self._workshop.open(stream)
        try:
            yield stream
        finally:
            self._workshop.cancel(stream)

    def _arrived(self, stream: SynthesisStream, block: Pcm) -> None:
        stream.items.put_nowait(block)
        if self._admission.waiting:
            self._admission.review()  # the machine may have turned out to be faster

    def _ended(self, stream: SynthesisStream, error: TtsError | None) -> None:
        """Counts once for each stream: that of a lost thread may hear more of it."""
        if stream not in self._active:
            return
        self._active.remove(stream)
        self._workshop.forget(stream)
        stream.admission.release()
        if isinstance(error, Cancelled) and stream.given_up_at is not None:
            self._observer.cancelled(self._now() - stream.given_up_at)
        stream.items.put_nowait(EndOfStream(error))

    def _room(self) -> int:
        return max_realtime_streams(self._workshop.speed, most=self._max_active)

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


class Workshop:
    """Makes blocks, for the stream whose turn it is. Methods may be called from any thread."""

    def __init__(
        self,
        synthesizer: Synthesizer,
        *,
        threads: int,
        backlog_blocks: int,
        stuck_seconds: float,
        observer: Observer,
        arrived: Callable[[SynthesisStream, Pcm], None],
        ended: Callable[[SynthesisStream, TtsError | None], None],
        died: Callable[[], None],
        now: Callable[[], float],
    ) -> None:
        """Prepare; nothing runs before ``start``.

        Args:
            synthesizer: begins the speeches, on the threads only.
            threads: blocks that can be in the making at once.
            backlog_blocks: blocks that a stream may be ahead of its consumer.
            stuck_seconds: whoever is at one block for longer is lost.
            observer: is told of faults.
            arrived: hears of each block, on the stream's event loop, as all that follow do.
            ended: hears when a stream's iterator was closed, or the thread that had it is dying.
            died: hears that a thread has ended by a surprise.
            now: a clock that counts seconds.
        """
        self.blocks_made = 0
        """Since the start, for all streams together."""
        self._maker = Maker(synthesizer, observer)
        self._arrived, self._ended, self._died = arrived, ended, died
        self._backlog_blocks = backlog_blocks
        self._observer = observer
        self._now = now
        self._changed = threading.Condition()  # guards what follows, and the streams' and threads' turns
        self._ready: ReadyQueue[SynthesisStream] = DeadlineQueue(lambda stream: stream.due)
        self._speed = ThroughputMeter()
        self._stopping = False
        self._crew = WorkerPool(self._work, size=threads, lock=self._changed, stuck_seconds=stuck_seconds, now=now)

    @property
    def is_whole(self) -> bool:
        """Whether as many threads run as there should be."""
        return self._crew.is_whole

    @property
    def speed(self) -> float | None:
        """Seconds of audio that are made in a second, by streams that count; None while that is not known."""
        with self._changed:
            return self._speed.factor(self._now())

    def start(self) -> None:
        """Start the threads."""
        self._crew.start()

    def stop(self) -> None:
        """Let the threads end once every stream is cancelled and closed."""
        with self._changed:
            self._stopping = True
            self._changed.notify_all()

    def join(self, deadline_seconds: float) -> None:
        """Wait for the threads."""
        self._crew.join(deadline_seconds)

    def replace_lost(self) -> list[LostWorker[SynthesisStream]]:
        """Put others in the place of threads that died or are stuck, and tell of these."""
        return [] if self._stopping else self._crew.replace_lost()

    def open(self, stream: SynthesisStream) -> None:
        """Speak it from now on."""
        with self._changed:
            self._wants(stream)
            self._push(stream)

    def taken(self, stream: SynthesisStream) -> None:
        """Its consumer took a block."""
        with self._changed:
            stream.unread_blocks -= 1
            if not stream.unread_blocks:
                self._wants(stream)
            if stream.parked:
                stream.parked = False
                self._push(stream)

    def cancel(self, stream: SynthesisStream) -> None:
        """Make no more of it."""
        with self._changed:
            stream.cancelled = True
            stream.given_up_at = stream.given_up_at or self._now()
            self._rests(stream)
            if not stream.has_worker:  # only a worker may close the iterator, so it needs one more turn
                stream.parked = stream.sleeping = False
                self._push(stream)

    def forget(self, stream: SynthesisStream) -> None:
        """It has ended."""
        with self._changed:
            stream.over = True
            self._rests(stream)

    # With the lock:

    def _push(self, stream: SynthesisStream) -> None:
        self._ready.push(stream)
        self._changed.notify()

    def _wants(self, stream: SynthesisStream) -> None:
        """There is nothing for its consumer, so that the speed at which something comes tells of the machine."""
        if stream.counts and not (stream.wants or stream.over or stream.cancelled):
            stream.wants = True
            self._speed.wants(self._now())

    def _rests(self, stream: SynthesisStream) -> None:
        if stream.wants:
            stream.wants = False
            self._speed.rests(self._now())

    # On the threads:

    def _work(self, hand: Worker[SynthesisStream]) -> None:
        stream = None
        try:
            while (stream := self._next_ready(hand)) is not None:
                if not self._advance(hand, stream):
                    return
        except BaseException as error:  # noqa: BLE001  (nobody above would hear of it)
            self._die(hand, stream, error)

    def _next_ready(self, hand: Worker[SynthesisStream]) -> SynthesisStream | None:
        with self._changed:
            while True:
                stream = self._ready.pop()
                if stream is not None:
                    stream.has_worker, stream.was_woken = True, False
                    hand.begins(stream, self._now())
                    return stream
                if self._stopping:
                    return None
                self._changed.wait()

    def _advance(self, hand: Worker[SynthesisStream], stream: SynthesisStream) -> bool:
        """Make its next block. False: the thread was given up over it, and keeps to itself what it made."""
        with self._changed:
            cancelled = stream.cancelled
        made: Pcm | EndOfStream | None = EndOfStream(Cancelled("the speech was cancelled"))
        if not cancelled:
            made = stream.context.run(self._maker.make, stream, lambda: self._wake(stream))
        if isinstance(made, EndOfStream):
            self._maker.close(stream)
        with self._changed:
            is_awaited = self._crew.ends(hand)
        if not is_awaited:
            self._maker.close(stream)
            _LOGGER.info("%s has come back after all, and ends", hand.thread.name)
            return False
        if made is None:
            self._lay_to_sleep(stream)
        elif isinstance(made, EndOfStream):
            error = made.error
            self._post(stream, lambda: self._ended(stream, error))
        else:
            self._hand_over(stream, made)
        return True

    def _lay_to_sleep(self, stream: SynthesisStream) -> None:
        is_held_up = waits_for_model(stream.iterator)
        with self._changed:
            stream.has_worker = False
            if stream.was_woken or stream.cancelled:
                self._push(stream)
            else:
                stream.sleeping = True
                if is_held_up:  # by a disk: no machine is the slower at speaking for it
                    self._rests(stream)

    def _wake(self, stream: SynthesisStream) -> None:
        """Its next block can be made. Runs on any thread."""
        with self._changed:
            stream.was_woken = True
            if stream.sleeping:
                stream.sleeping = False
                if not stream.unread_blocks:
                    self._wants(stream)
                self._push(stream)

    def _hand_over(self, stream: SynthesisStream, block: Pcm) -> None:
        seconds, now = len(block) / stream.rate_hz, self._now()
        with self._changed:
            self.blocks_made += 1
            stream.unread_blocks += 1
            stream.playback.add(seconds, now)
            if stream.counts:
                self._speed.made(seconds, now)
        self._post(stream, lambda: self._arrived(stream, block))  # before its next turn, which may come elsewhere
        with self._changed:
            stream.has_worker = False
            if stream.unread_blocks < self._backlog_blocks or stream.cancelled:
                self._push(stream)
            else:
                stream.parked = True
                self._rests(stream)

    def _die(self, hand: Worker[SynthesisStream], stream: SynthesisStream | None, error: BaseException) -> None:
        """End its stream; the place of the thread is free."""
        self._observer.fault(fault_kind(error))
        _LOGGER.error("%s fails by itself:\n%s", hand.thread.name, format_exception_without_text(error, text=None))
        with self._changed:
            hand.dies()
            if stream is not None:
                stream.cancelled = stream.has_worker = True  # nobody else takes it up
        if stream is not None:
            self._maker.close(stream)
            told = ModelError(f"a thread that speaks has died ({type(error).__name__}); the server's log says more")
            self._post(stream, lambda: self._ended(stream, told))
            self._post(stream, self._died)

    def _post(self, stream: SynthesisStream, action: Callable[[], None]) -> None:
        try:
            stream.loop.call_soon_threadsafe(action)
        except RuntimeError:  # the loop was closed under us: nobody waits any more
            _LOGGER.debug("The event loop is gone; %r goes unheard", stream.request.text)
            with self._changed:
                stream.cancelled = True


class EndOfStream:
    """Closes a stream's queue of blocks."""

    def __init__(self, error: TtsError | None) -> None:
        self.error = error


class Maker:
    """Makes blocks of any stream. Safe for any number of threads, as long as a stream is on one of them at a time.

    Args:
        synthesizer: begins the speeches.
        observer: is told of faults.
    """

    def __init__(self, synthesizer: Synthesizer, observer: Observer) -> None:
        self._synthesizer = synthesizer
        self._observer = observer

    def make(self, stream: SynthesisStream, wake: Callable[[], None]) -> Pcm | EndOfStream | None:
        """Make the next block; None when it is not there yet, and then ``wake`` is called once it is."""
        try:
            if stream.iterator is None:
                stream.iterator = self._synthesizer.synthesize(stream.request)
            if not is_ready(stream.iterator, wake):
                return None
            block = next(stream.iterator, None)
        except TtsError as error:
            return EndOfStream(error)
        except BaseException as error:  # nobody above would hear of it, and native code may panic past Exception
            self._observer.fault(fault_kind(error))
            text = stream.request.text
            told = format_exception_without_text(error, text=text)
            _LOGGER.error("Voice %r failed:\n%s", stream.request.voice.name, told)  # noqa: TRY400  (a traceback may quote the text)
            _LOGGER.debug("It failed on %r", text, exc_info=error)
            return EndOfStream(ModelError(f"the model failed ({type(error).__name__}); the server's log says more"))
        return EndOfStream(None) if block is None else block

    def close(self, stream: SynthesisStream) -> None:
        """End the speech and free what it holds. Once it is closed, nothing happens."""
        iterator, stream.iterator = stream.iterator, None
        try:
            close(iterator)
        except BaseException as fault:  # noqa: BLE001  (as above)
            self._observer.fault(fault_kind(fault))
            told = format_exception_without_text(fault, text=stream.request.text)
            _LOGGER.error("Voice %r failed while it was closed:\n%s", stream.request.voice.name, told)  # noqa: TRY400  (as above)


_NEWCOMERS_START_SECONDS = 1.0
"""A newcomer counts as somebody who ran dry so long ago: before all, unless one has been dry for longer."""


K = TypeVar("K", bound=Hashable)


class ReadyQueue(Protocol[K]):
    """Streams that could make a block now."""

    def push(self, stream: K) -> None:
        """Add a stream that is ready for its next block; one that is there already only gets another place."""
        ...

    def pop(self) -> K | None:
        """Take the stream to serve next; ``None`` when none is ready."""
        ...


class DeadlineQueue(ReadyQueue[K]):
    """Whoever is due first: nobody starves as long as what is done for a stream makes it due later than the others.

    Args:
        due: when a stream is due, on any one scale. It is asked when the stream is pushed; who is pushed again is due
            anew.
    """

    def __init__(self, due: Callable[[K], float]) -> None:
        self._due = due
        self._heap: list[tuple[float, int]] = []
        self._streams: dict[int, K] = {}
        self._numbers: dict[K, int] = {}
        self._count = count()

    def push(self, stream: K) -> None:
        """Add a stream, or change its place."""
        self._streams.pop(self._numbers.pop(stream, -1), None)
        number = self._numbers[stream] = next(self._count)  # of those due at once, the first comes first
        self._streams[number] = stream
        heappush(self._heap, (self._due(stream), number))

    def pop(self) -> K | None:
        """Take the one that is due first."""
        while self._heap:
            stream = self._streams.pop(heappop(self._heap)[1], None)
            if stream is not None:
                del self._numbers[stream]
                return stream
        return None
