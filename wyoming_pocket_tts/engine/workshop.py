"""Streams under way, and the threads that make their blocks. Knows nothing about who is let in, sockets or models.

What happens is told on the streams' event loop: a block has come, a stream has ended.
"""

import logging
import threading
from collections.abc import Callable

from wyoming_pocket_tts.engine.crew import Crew, Hand, Loss
from wyoming_pocket_tts.engine.faults import described, kind_of
from wyoming_pocket_tts.engine.making import Maker
from wyoming_pocket_tts.engine.observer import Observer
from wyoming_pocket_tts.engine.order import Earliest, ReadyOrder
from wyoming_pocket_tts.engine.speed import Speed
from wyoming_pocket_tts.engine.stream import End, Stream
from wyoming_pocket_tts.errors import Cancelled, ModelError, SpeechError
from wyoming_pocket_tts.speech import Pcm, Synthesizer, waits_for_model

_LOGGER = logging.getLogger(__name__)


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
        arrived: Callable[[Stream, Pcm], None],
        ended: Callable[[Stream, SpeechError | None], None],
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
        self._ready: ReadyOrder[Stream] = Earliest(lambda stream: stream.due)
        self._speed = Speed()
        self._stopping = False
        self._crew = Crew(self._work, size=threads, lock=self._changed, stuck_seconds=stuck_seconds, now=now)

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

    def replace_lost(self) -> list[Loss[Stream]]:
        """Put others in the place of threads that died or are stuck, and tell of these."""
        return [] if self._stopping else self._crew.replace_lost()

    def open(self, stream: Stream) -> None:
        """Speak it from now on."""
        with self._changed:
            self._wants(stream)
            self._push(stream)

    def taken(self, stream: Stream) -> None:
        """Its consumer took a block."""
        with self._changed:
            stream.unread_blocks -= 1
            if not stream.unread_blocks:
                self._wants(stream)
            if stream.parked:
                stream.parked = False
                self._push(stream)

    def cancel(self, stream: Stream) -> None:
        """Make no more of it."""
        with self._changed:
            stream.cancelled = True
            stream.given_up_at = stream.given_up_at or self._now()
            self._rests(stream)
            if not stream.has_worker:  # only a worker may close the iterator, so it needs one more turn
                stream.parked = stream.sleeping = False
                self._push(stream)

    def forget(self, stream: Stream) -> None:
        """It has ended."""
        with self._changed:
            stream.over = True
            self._rests(stream)

    # With the lock:

    def _push(self, stream: Stream) -> None:
        self._ready.push(stream)
        self._changed.notify()

    def _wants(self, stream: Stream) -> None:
        """There is nothing for its consumer, so that the speed at which something comes tells of the machine."""
        if stream.counts and not (stream.wants or stream.over or stream.cancelled):
            stream.wants = True
            self._speed.wants(self._now())

    def _rests(self, stream: Stream) -> None:
        if stream.wants:
            stream.wants = False
            self._speed.rests(self._now())

    # On the threads:

    def _work(self, hand: Hand[Stream]) -> None:
        stream = None
        try:
            while (stream := self._next_ready(hand)) is not None:
                if not self._advance(hand, stream):
                    return
        except BaseException as error:  # noqa: BLE001  (nobody above would hear of it)
            self._die(hand, stream, error)

    def _next_ready(self, hand: Hand[Stream]) -> Stream | None:
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

    def _advance(self, hand: Hand[Stream], stream: Stream) -> bool:
        """Make its next block. False: the thread was given up over it, and keeps to itself what it made."""
        with self._changed:
            cancelled = stream.cancelled
        made: Pcm | End | None = End(Cancelled("the speech was cancelled"))
        if not cancelled:
            made = stream.context.run(self._maker.make, stream, lambda: self._wake(stream))
        if isinstance(made, End):
            self._maker.close(stream)
        with self._changed:
            is_awaited = self._crew.ends(hand)
        if not is_awaited:
            self._maker.close(stream)
            _LOGGER.info("%s has come back after all, and ends", hand.thread.name)
            return False
        if made is None:
            self._lay_to_sleep(stream)
        elif isinstance(made, End):
            error = made.error
            self._post(stream, lambda: self._ended(stream, error))
        else:
            self._hand_over(stream, made)
        return True

    def _lay_to_sleep(self, stream: Stream) -> None:
        is_held_up = waits_for_model(stream.iterator)
        with self._changed:
            stream.has_worker = False
            if stream.was_woken or stream.cancelled:
                self._push(stream)
            else:
                stream.sleeping = True
                if is_held_up:  # by a disk: no machine is the slower at speaking for it
                    self._rests(stream)

    def _wake(self, stream: Stream) -> None:
        """Its next block can be made. Runs on any thread."""
        with self._changed:
            stream.was_woken = True
            if stream.sleeping:
                stream.sleeping = False
                if not stream.unread_blocks:
                    self._wants(stream)
                self._push(stream)

    def _hand_over(self, stream: Stream, block: Pcm) -> None:
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

    def _die(self, hand: Hand[Stream], stream: Stream | None, error: BaseException) -> None:
        """End its stream; the place of the thread is free."""
        self._observer.fault(kind_of(error))
        _LOGGER.error("%s fails by itself:\n%s", hand.thread.name, described(error, text=None))
        with self._changed:
            hand.dies()
            if stream is not None:
                stream.cancelled = stream.has_worker = True  # nobody else takes it up
        if stream is not None:
            self._maker.close(stream)
            told = ModelError(f"a thread that speaks has died ({type(error).__name__}); the server's log says more")
            self._post(stream, lambda: self._ended(stream, told))
            self._post(stream, self._died)

    def _post(self, stream: Stream, action: Callable[[], None]) -> None:
        try:
            stream.loop.call_soon_threadsafe(action)
        except RuntimeError:  # the loop was closed under us: nobody waits any more
            _LOGGER.debug("The event loop is gone; %r goes unheard", stream.request.text)
            with self._changed:
                stream.cancelled = True
