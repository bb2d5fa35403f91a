"""Runs synthesis on worker threads for asyncio callers. Knows nothing about sockets, protocols or models.

No thread belongs to a stream. A worker takes the stream whose turn it is, makes one block of audio, hands it to the
event loop and queues the stream again; a stream whose consumer lags is parked until the consumer takes a block, and one
whose block is made elsewhere (``speech.Patient``) sleeps until it is there. So clients advance side by side, a slow one
costs memory for a few blocks but never a thread, and cancellation takes effect between two blocks.

First comes who has been given up, since that frees what others wait for; then whose listener would run dry first. A
newcomer counts as somebody who ran dry a second ago.
"""

import asyncio
import logging
import threading
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from types import TracebackType
from typing import Self

from wyoming_pocket_tts.engine.admission import Admission
from wyoming_pocket_tts.engine.faults import described, kind_of
from wyoming_pocket_tts.engine.observer import Observer, Silent
from wyoming_pocket_tts.engine.order import Earliest, ReadyOrder
from wyoming_pocket_tts.engine.stream import End, Stream
from wyoming_pocket_tts.errors import Cancelled, ModelError, SpeechError
from wyoming_pocket_tts.speech import Patient, Pcm, Request, Synthesizer

_LOGGER = logging.getLogger(__name__)
_JOIN_SECONDS = 5.0


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
        observer: Observer | None = None,
    ) -> None:
        """Prepare; nothing runs before ``start``.

        Args:
            synthesizer: makes the audio, on the worker threads only.
            threads: blocks that can be in the making at once.
            backlog_blocks: blocks that a stream may be ahead of its consumer.
            max_active: streams open at once, parked ones included.
            max_waiting: newcomers that may wait for one of these to end; more are ``Overloaded``.
            observer: is told how streams fare; None for nobody.
        """
        self.synthesizer = synthesizer
        self._backlog_blocks = backlog_blocks
        self._observer = observer or Silent()
        self._admission = Admission(max_active=max_active, max_waiting=max_waiting)
        self._active: set[Stream] = set()  # event loop only
        self._changed = threading.Condition()  # guards the ready order, _stopping and the streams' turns
        self._ready: ReadyOrder[Stream] = Earliest(lambda stream: stream.due)
        self._stopping = False
        self._threads = [
            threading.Thread(target=self._work, name=f"speech-{number}", daemon=True) for number in range(threads)
        ]

    @property
    def active(self) -> int:
        """Streams whose synthesis has not ended: in the making, queued, parked, or not yet closed."""
        return len(self._active)

    @property
    def waiting(self) -> int:
        """Streams that wait for one of the active ones to end."""
        return self._admission.waiting

    @property
    def healthy(self) -> bool:
        """Whether every thread runs: false before ``start``, after ``aclose``, and when one has died."""
        return all(thread.is_alive() for thread in self._threads)

    async def start(self) -> None:
        """Start the threads."""
        for thread in self._threads:
            thread.start()

    async def aclose(self, deadline_seconds: float = _JOIN_SECONDS) -> None:
        """Cancel all streams and join the threads. May be called more than once.

        Args:
            deadline_seconds: time for the blocks in the making to come to their end. A model that hangs for longer is
                left behind in its (daemon) thread, and the log says so.
        """
        self._admission.close()
        with self._changed:
            self._stopping = True
            for stream in self._active:
                self._cancel_locked(stream)
            self._changed.notify_all()
        await asyncio.to_thread(self._join, deadline_seconds)

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
    async def stream(self, request: Request, *, continues: bool = False) -> AsyncIterator[AsyncIterator[Pcm]]:
        """Speak one request: the blocks come as they are made. Leaving the context cancels what is not made yet.

        Args:
            request: what to speak.
            continues: it goes on with an answer that was let in before, so it may wait but is never refused.

        Raises:
            Overloaded: on entering, when too many streams wait.
            SpeechError: while iterating; the blocks before it are valid.
        """
        asked = time.monotonic()
        await self._admission.acquire(insider=continues)
        self._observer.admitted(time.monotonic() - asked)
        if self._stopping:  # the place came in the moment of closing: no thread may be left to serve it
            self._admission.release()
            raise Cancelled("the server is stopping")
        stream = Stream(request, asyncio.get_running_loop(), self._taken)
        self._active.add(stream)
        with self._changed:
            self._push_locked(stream)
        try:
            yield stream
        finally:
            with self._changed:
                self._cancel_locked(stream)

    def _taken(self, stream: Stream) -> None:
        with self._changed:
            stream.unread_blocks -= 1
            if stream.parked:
                stream.parked = False
                self._push_locked(stream)

    def _push_locked(self, stream: Stream) -> None:
        self._ready.push(stream)
        self._changed.notify()

    def _cancel_locked(self, stream: Stream) -> None:
        stream.cancelled = True
        stream.given_up_at = stream.given_up_at or time.monotonic()
        if not stream.has_worker:  # only a worker may close the iterator, so it needs one more turn
            stream.parked = stream.sleeping = False
            self._push_locked(stream)

    def _ended(self, stream: Stream, error: SpeechError | None) -> None:
        """Runs in the event loop, once for each stream, after its iterator was closed."""
        self._active.discard(stream)
        self._admission.release()
        if isinstance(error, Cancelled) and stream.given_up_at is not None:
            self._observer.cancelled(time.monotonic() - stream.given_up_at)
        stream.items.put_nowait(End(error))

    # What follows runs on the worker threads.

    def _work(self) -> None:
        while (stream := self._next_ready()) is not None:
            self._advance(stream)

    def _next_ready(self) -> Stream | None:
        with self._changed:
            while True:
                stream = self._ready.pop()
                if stream is not None:
                    stream.has_worker, stream.was_woken = True, False
                    return stream
                if self._stopping:
                    return None
                self._changed.wait()

    def _advance(self, stream: Stream) -> None:
        with self._changed:
            cancelled = stream.cancelled
        if cancelled:
            self._finish(stream, Cancelled("the speech was cancelled"))
            return
        made = stream.context.run(self._make, stream)
        if made is None:
            self._lay_to_sleep(stream)
        elif isinstance(made, End):
            self._finish(stream, made.error)
        else:
            self._hand_over(stream, made)

    def _lay_to_sleep(self, stream: Stream) -> None:
        with self._changed:
            stream.has_worker = False
            if stream.was_woken or stream.cancelled:
                self._push_locked(stream)
            else:
                stream.sleeping = True

    def _wake(self, stream: Stream) -> None:
        """Its next block can be made. Runs on any thread."""
        with self._changed:
            stream.was_woken = True
            if stream.sleeping:
                stream.sleeping = False
                self._push_locked(stream)

    def _make(self, stream: Stream) -> Pcm | End | None:
        """Make the next block; None when it is not there yet."""
        try:
            if stream.iterator is None:
                stream.iterator = self.synthesizer.synthesize(stream.request)
            if isinstance(stream.iterator, Patient) and not stream.iterator.ready(lambda: self._wake(stream)):
                return None
            block = next(stream.iterator, None)
        except SpeechError as error:
            return End(error)
        except BaseException as error:  # nobody above would hear of it, and native code may panic past Exception
            self._observer.fault(kind_of(error))
            text = stream.request.text
            _LOGGER.error("Voice %r failed:\n%s", stream.request.voice.name, described(error, text=text))  # noqa: TRY400  (a traceback may quote the text)
            _LOGGER.debug("It failed on %r", text, exc_info=error)
            return End(ModelError(f"the model failed ({type(error).__name__}); the server's log says more"))
        return End(None) if block is None else block

    def _hand_over(self, stream: Stream, block: Pcm) -> None:
        with self._changed:
            stream.unread_blocks += 1
            stream.playback.add(len(block) / stream.rate_hz, time.monotonic())
        self._post(stream, lambda: stream.items.put_nowait(block))  # before its next turn, which may come elsewhere
        with self._changed:
            stream.has_worker = False
            if stream.unread_blocks < self._backlog_blocks or stream.cancelled:
                self._push_locked(stream)
            else:
                stream.parked = True

    def _finish(self, stream: Stream, error: SpeechError | None) -> None:
        close = getattr(stream.iterator, "close", None)  # generators have it, plain iterators need not
        if close is not None:
            try:
                close()
            except BaseException as fault:  # noqa: BLE001  (as above)
                self._observer.fault(kind_of(fault))
                told = described(fault, text=stream.request.text)
                _LOGGER.error("Voice %r failed while it was closed:\n%s", stream.request.voice.name, told)  # noqa: TRY400  (as above)
        stream.iterator = None
        self._post(stream, lambda: self._ended(stream, error))

    def _post(self, stream: Stream, action: Callable[[], None]) -> None:
        try:
            stream.loop.call_soon_threadsafe(action)
        except RuntimeError:  # the loop was closed under us: nobody waits any more
            _LOGGER.debug("The event loop is gone; %r goes unheard", stream.request.text)
            with self._changed:
                stream.cancelled = True

    def _join(self, deadline_seconds: float) -> None:
        until = time.monotonic() + deadline_seconds
        for thread in self._threads:
            if thread.ident is not None:  # it was started
                thread.join(max(0.0, until - time.monotonic()))
                if thread.is_alive():
                    _LOGGER.error("%s still computes %g s after it was stopped", thread.name, deadline_seconds)
