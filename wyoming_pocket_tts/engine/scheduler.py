"""Async front: admission, earliest deadline first, back-pressure, cancellation."""

import asyncio
import contextvars
import logging
import math
import threading
import time
from collections.abc import AsyncIterator, Callable, Hashable, Iterator
from contextlib import asynccontextmanager
from functools import partial
from heapq import heappop, heappush
from itertools import count
from operator import attrgetter
from types import TracebackType
from typing import Generic, Self, TypeVar

from wyoming_pocket_tts.core.errors import Cancelled, ModelError, TtsError, fault_kind, format_exception_without_text
from wyoming_pocket_tts.core.events import Observer
from wyoming_pocket_tts.core.types import (
    NEWCOMER_SECONDS,
    Pcm,
    Pending,
    SynthesisRequest,
    Synthesizer,
    close,
)
from wyoming_pocket_tts.engine.admission import AdmissionController, ThroughputMeter, max_realtime_streams
from wyoming_pocket_tts.engine.worker_pool import HUNG_SECONDS, Worker, WorkerPool

_LOGGER = logging.getLogger(__name__)
_JOIN_SECONDS = 5.0
_CHECKS_PER_DEADLINE = 6

K = TypeVar("K", bound=Hashable)


class DeadlineQueue(Generic[K]):
    """Earliest deadline first. The deadline is asked for when an item is pushed; pushing again changes its place."""

    def __init__(self, due: Callable[[K], float]) -> None:
        self._due = due
        self._heap: list[tuple[float, int]] = []
        self._items: dict[int, K] = {}
        self._numbers: dict[K, int] = {}
        self._count = count()

    def push(self, item: K) -> None:
        """Add an item, or change its place; items with one deadline are first in, first out."""
        self._items.pop(self._numbers.pop(item, -1), None)
        number = self._numbers[item] = next(self._count)
        self._items[number] = item
        heappush(self._heap, (self._due(item), number))

    def pop(self) -> K | None:
        while self._heap:
            item = self._items.pop(heappop(self._heap)[1], None)
            if item is not None:
                del self._numbers[item]
                return item
        return None


class EndOfStream:
    """Last item of a stream's queue of blocks."""

    def __init__(self, error: TtsError | None) -> None:
        self.error = error


class SynthesisStream(AsyncIterator[Pcm]):
    """One request. ``items`` belongs to the event loop, ``blocks`` to the worker that has it."""

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
        self.counts = counts
        """Whether it counts for the throughput, which is measured for ``real_time`` only."""
        self._taken = taken
        self.context = contextvars.copy_context()  # so that log lines of the worker have the request's identifier
        self.items: asyncio.Queue[Pcm | EndOfStream] = asyncio.Queue()  # bounded by unread_blocks
        self.blocks: Iterator[Pcm | Pending] | None = None
        self.rate_hz = request.options.rate_hz or request.voice.sample_rate_hz
        # Guarded by the scheduler's lock:
        self.due_at = came_at - NEWCOMER_SECONDS
        """Its place in the queue: when playback runs out of audio. -inf once cancelled, to free resources first."""
        self.unread_blocks = 0
        self.has_worker = False
        self.paused = False
        """Its consumer has enough blocks."""
        self.sleeping = False
        """Its next block is being made elsewhere."""
        self.was_woken = False
        self.cancelled_at: float | None = None
        self.is_cancelled = False
        self.wants = False
        """Its consumer has not got enough blocks so far, or has read all of them."""
        self.over = False

    async def __anext__(self) -> Pcm:
        item = await self.items.get()
        if not isinstance(item, EndOfStream):
            self._taken(self)
            return item
        self.items.put_nowait(item)  # asked again, it ends again
        if item.error is not None:
            raise item.error
        raise StopAsyncIteration


class Scheduler:
    """Runs many streams on a few threads, which it owns. Belongs to the event loop that started it.

    A stream is at most ``backlog_blocks`` ahead of its consumer. ``max_active`` streams are admitted at once, beside
    them as many as ``reserve`` says that ask for it; with ``real_time`` only as many as the measured throughput allows.
    ``max_waiting`` new ones wait, for ``queue_seconds`` (None: any time). A block that takes longer than
    ``hung_seconds`` is a hang: its thread is replaced, and its stream fails.
    """

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
        hung_seconds: float = HUNG_SECONDS,
        observer: Observer | None = None,
        now: Callable[[], float] = time.monotonic,
    ) -> None:
        self.synthesizer = synthesizer
        self.blocks_made = 0
        """Since the start, for all streams together."""
        self._backlog_blocks = backlog_blocks
        self._max_active = max_active
        self._real_time = real_time
        self._hung_seconds = hung_seconds
        self._observer = observer
        self._now = now
        self._admission = AdmissionController(
            max_active=max_active,
            max_waiting=max_waiting,
            queue_seconds=queue_seconds,
            room=self._room if real_time else None,
        )
        self._reserve = AdmissionController(max_active=reserve, max_waiting=0)
        self._active: set[SynthesisStream] = set()
        self._next_check: asyncio.TimerHandle | None = None
        self._lock = threading.Lock()  # guards what follows, and the flags of streams and workers
        self._idle: list[threading.Condition] = []
        """Of workers without a stream. The last one is woken first, so that a lone stream stays on one thread."""
        self._ready: DeadlineQueue[SynthesisStream] = DeadlineQueue(attrgetter("due_at"))
        self._throughput = ThroughputMeter()
        self._stopping = False
        self._pool = WorkerPool(self._work, size=threads, lock=self._lock, hung_seconds=hung_seconds, now=now)

    @property
    def active(self) -> int:
        """Streams that have not ended: running, queued, paused, or not yet closed."""
        return len(self._active)

    @property
    def waiting(self) -> int:
        return self._admission.waiting + self._reserve.waiting

    @property
    def healthy(self) -> bool:
        """Whether as many threads run as should: not before ``start``, after ``aclose``, or once too many hang."""
        return self._pool.is_whole

    async def start(self) -> None:
        self._pool.start()
        self._schedule_check()

    async def aclose(self, deadline_seconds: float = _JOIN_SECONDS) -> None:
        """Cancel all streams and join the threads. May be called more than once.

        A call into an engine that takes longer than the deadline is left behind in its (daemon) thread, and logged.
        """
        if self._next_check is not None:
            self._next_check.cancel()
        for admission in (self._admission, self._reserve):
            admission.close()
        for stream in self._active:
            self._cancel(stream)
        with self._lock:
            self._stopping = True
            while self._idle:
                self._idle.pop().notify()
        await asyncio.to_thread(self._pool.join, deadline_seconds)

    async def __aenter__(self) -> Self:
        await self.start()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.aclose()

    @asynccontextmanager
    async def synthesize(
        self, request: SynthesisRequest, *, continuation: bool = False, reserve: bool = False
    ) -> AsyncIterator[AsyncIterator[Pcm]]:
        """Synthesize one request; leaving the context cancels what is not made yet.

        A ``continuation`` of an admitted response may wait but is never refused. ``reserve`` takes one of the reserved
        streams, which do not count for the throughput. Entering raises ``ServerOverloaded`` if the queue is full or too
        slow; an error while iterating leaves the blocks before it valid.
        """
        asked = self._now()
        admission = self._reserve if reserve else self._admission
        await admission.acquire(continuation=continuation)
        now = self._now()
        if self._observer is not None:
            self._observer.stream_admitted(now - asked)
        if self._stopping:  # admitted in the moment of closing: no thread may be left to serve it
            admission.release()
            raise Cancelled("the server is stopping")
        counts = self._real_time and not reserve
        stream = SynthesisStream(request, taken=self._taken, admission=admission, counts=counts, came_at=now)
        self._active.add(stream)
        with self._lock:
            self._note_wanting(stream)
            self._push(stream)
        try:
            yield stream
        finally:
            self._cancel(stream)

    # On the event loop

    def _taken(self, stream: SynthesisStream) -> None:
        with self._lock:
            stream.unread_blocks -= 1
            if not stream.unread_blocks:
                self._note_wanting(stream)
            if stream.paused:
                stream.paused = False
                self._push(stream)

    def _cancel(self, stream: SynthesisStream) -> None:
        with self._lock:
            stream.is_cancelled, stream.due_at = True, -math.inf
            stream.cancelled_at = stream.cancelled_at or self._now()
            self._note_resting(stream)
            if not stream.has_worker:  # only a worker may close the iterator, so it needs one more turn
                stream.paused = stream.sleeping = False
                self._push(stream)

    def _arrived(self, stream: SynthesisStream, block: Pcm) -> None:
        stream.items.put_nowait(block)
        if self._real_time and self._admission.waiting:
            self._admission.wake_waiters()  # the machine may have turned out to be faster

    def _ended(self, stream: SynthesisStream, error: TtsError | None) -> None:
        """Counts once for each stream; that of a lost worker may end twice."""
        if stream not in self._active:
            return
        self._active.remove(stream)
        with self._lock:
            stream.over = True
            self._note_resting(stream)
        stream.admission.release()
        if isinstance(error, Cancelled) and stream.cancelled_at is not None and self._observer is not None:
            self._observer.stream_cancelled(self._now() - stream.cancelled_at)
        stream.items.put_nowait(EndOfStream(error))

    def _room(self) -> int:
        with self._lock:
            factor = self._throughput.factor(self._now())
        return max_realtime_streams(factor, most=self._max_active)

    def _schedule_check(self) -> None:
        delay = self._hung_seconds / _CHECKS_PER_DEADLINE
        self._next_check = asyncio.get_running_loop().call_later(delay, self._check)

    def _check(self) -> None:
        self._schedule_check()
        self._replace_lost_workers()

    def _replace_lost_workers(self) -> None:
        for lost in [] if self._stopping else self._pool.replace_lost_workers():
            then = "another takes its place" if lost.is_replaced else "too many were lost before: restart the service"
            if lost.task is None:
                _LOGGER.error("%s has died; %s", lost.name, then)
                continue
            self._report_fault("hung")
            at = f"a block of {lost.task.request.voice.name!r}"
            _LOGGER.error("%s hangs in %s for %g s; %s", lost.name, at, self._hung_seconds, then)
            hangs = f"the model has not answered for {self._hung_seconds:g} s; the server's log says more"
            self._ended(lost.task, ModelError(hangs))

    # With the lock

    def _push(self, stream: SynthesisStream) -> None:
        self._ready.push(stream)
        if self._idle:
            self._idle.pop().notify()

    def _note_wanting(self, stream: SynthesisStream) -> None:
        """From now on its consumer waits, so that what comes tells of the machine's speed."""
        if stream.counts and not (stream.wants or stream.over or stream.is_cancelled):
            stream.wants = True
            self._throughput.wants(self._now())

    def _note_resting(self, stream: SynthesisStream) -> None:
        if stream.wants:
            stream.wants = False
            self._throughput.rests(self._now())

    # On the workers

    def _work(self, worker: Worker[SynthesisStream]) -> None:
        stream = None
        try:
            while (stream := self._next_stream(worker)) is not None:
                if not self._advance(worker, stream):
                    return
        except BaseException as error:  # noqa: BLE001  (nothing above would report it)
            self._die(worker, stream, error)

    def _next_stream(self, worker: Worker[SynthesisStream]) -> SynthesisStream | None:
        with self._lock:
            while (stream := self._ready.pop()) is None:
                if self._stopping:
                    return None
                idle = threading.Condition(self._lock)
                self._idle.append(idle)
                idle.wait()
            stream.has_worker, stream.was_woken = True, False
            worker.task, worker.began_at = stream, self._now()
            return stream

    def _advance(self, worker: Worker[SynthesisStream], stream: SynthesisStream) -> bool:
        """Make its next block. False: the worker was replaced meanwhile, and keeps what it made to itself."""
        with self._lock:
            is_cancelled = stream.is_cancelled
        made: Pcm | Pending | EndOfStream = EndOfStream(Cancelled("the speech was cancelled"))
        if not is_cancelled:
            made = stream.context.run(self._make, stream)
        if isinstance(made, EndOfStream):
            self._close(stream)
        with self._lock:
            worker.task = worker.began_at = None
            if worker.is_replaced:
                self._pool.retire(worker)
        if worker.is_replaced:
            self._close(stream)
            _LOGGER.info("%s has come back after all, and ends", worker.thread.name)
            return False
        if isinstance(made, Pending):
            self._lay_to_sleep(stream, made)
        elif isinstance(made, EndOfStream):
            self._post(stream, partial(self._ended, stream, made.error))
        else:
            self._hand_over(stream, made)
        return True

    def _make(self, stream: SynthesisStream) -> Pcm | Pending | EndOfStream:
        """Make the next block; every failure becomes the stream's end."""
        try:
            if stream.blocks is None:
                stream.blocks = self.synthesizer.stream(stream.request, partial(self._wake, stream))
            block = next(stream.blocks, None)
        except TtsError as error:
            return EndOfStream(error)
        except BaseException as error:  # native code may panic past Exception
            self._note_fault(stream, "failed", error)
            _LOGGER.debug("It failed on %r", stream.request.text, exc_info=error)
            told = f"the model failed ({type(error).__name__}); the server's log says more"
            return EndOfStream(ModelError(told))
        return EndOfStream(None) if block is None else block

    def _close(self, stream: SynthesisStream) -> None:
        blocks, stream.blocks = stream.blocks, None
        try:
            close(blocks)
        except BaseException as error:  # noqa: BLE001  (as above)
            self._note_fault(stream, "failed while it was closed", error)

    def _note_fault(self, stream: SynthesisStream, what: str, error: BaseException) -> None:
        self._report_fault(fault_kind(error))
        told = format_exception_without_text(error, text=stream.request.text)  # a traceback may quote the text
        _LOGGER.error("Voice %r %s:\n%s", stream.request.voice.name, what, told)

    def _report_fault(self, kind: str) -> None:
        if self._observer is not None:
            self._observer.engine_fault(kind)

    def _lay_to_sleep(self, stream: SynthesisStream, why: Pending) -> None:
        with self._lock:
            stream.has_worker = False
            if stream.was_woken or stream.is_cancelled:
                self._push(stream)
            else:
                stream.sleeping = True
                if why is Pending.MODEL:  # waiting for a disk says nothing about the throughput
                    self._note_resting(stream)

    def _wake(self, stream: SynthesisStream) -> None:
        """Its engine can go on. From any thread; perhaps before it sleeps."""
        with self._lock:
            stream.was_woken = True
            if stream.sleeping:
                stream.sleeping = False
                if not stream.unread_blocks:
                    self._note_wanting(stream)
                self._push(stream)

    def _hand_over(self, stream: SynthesisStream, block: Pcm) -> None:
        seconds, now = len(block) / stream.rate_hz, self._now()
        with self._lock:
            self.blocks_made += 1
            stream.unread_blocks += 1
            stream.due_at = max(stream.due_at, now) + seconds if not stream.is_cancelled else -math.inf
            if stream.counts:
                self._throughput.made(seconds, now)
        self._post(stream, partial(self._arrived, stream, block))  # before its next turn, on another worker perhaps
        with self._lock:
            stream.has_worker = False
            if stream.unread_blocks < self._backlog_blocks or stream.is_cancelled:
                self._ready.push(stream)  # no other worker is woken: this one takes the next stream itself
            else:
                stream.paused = True
                self._note_resting(stream)

    def _die(self, worker: Worker[SynthesisStream], stream: SynthesisStream | None, error: BaseException) -> None:
        self._report_fault(fault_kind(error))
        _LOGGER.error("%s fails by itself:\n%s", worker.thread.name, format_exception_without_text(error, text=None))
        with self._lock:
            worker.task, worker.began_at, worker.is_dying = None, None, True
            if stream is not None:
                stream.is_cancelled = stream.has_worker = True  # no other worker takes it up
        if stream is not None:
            self._close(stream)
            told = ModelError(f"a thread that speaks has died ({type(error).__name__}); the server's log says more")
            self._post(stream, partial(self._ended, stream, told))
            self._post(stream, self._replace_lost_workers)

    def _post(self, stream: SynthesisStream, action: Callable[[], None]) -> None:
        try:
            stream.loop.call_soon_threadsafe(action)
        except RuntimeError:  # the loop was closed under us
            _LOGGER.debug("The event loop is gone; %r goes unheard", stream.request.text)
            with self._lock:
                stream.is_cancelled = True
