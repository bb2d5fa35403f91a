"""Continuous batching: one thread, sequences, slots."""

import atexit
import logging
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from contextvars import copy_context
from threading import Condition, Lock, Thread, current_thread
from time import monotonic
from typing import Any, Protocol

import numpy as np

from wyoming_pocket_tts.core.errors import Cancelled, ModelError, TtsError, is_out_of_memory
from wyoming_pocket_tts.core.types import PlaybackClock
from wyoming_pocket_tts.pocket.backend import Backend, BatchedBackend, BatchRunner, DecodeOutput, Latents, Samples
from wyoming_pocket_tts.pocket.batch_scheduler import DecodeStep, PrefillStep, SequenceStatus, schedule
from wyoming_pocket_tts.pocket.generate import (
    CodecStream,
    GenerationRequest,
    LatentFrame,
    StopCriteria,
    chunk_rules,
    frame_limit,
    frames_to_wait_for,
)

_LOGGER = logging.getLogger(__name__)

_IDLE_SECONDS = 30.0
_JOIN_SECONDS = 5.0
_CLOSING = "the model is being closed"
_TOKENS_PER_READING = 64
"""More would let the others wait for long. Chunks are rarely longer than 50."""


class Listener(Protocol):
    """Hears what the model does, on its thread: has to return at once."""

    def batch(self, streams: int, seconds: float) -> None:
        """One step was computed for so many speeches, in so much time."""
        ...

    def fault(self, kind: str) -> None:
        """Something broke: ``exception``, ``memory`` or ``not-finite``."""
        ...


class _Nobody(Listener):
    """Hears nothing."""

    def batch(self, streams: int, seconds: float) -> None:
        """Ignore it."""

    def fault(self, kind: str) -> None:
        """Ignore it."""


class BatchSequence(Iterator[Samples]):
    """A speech; made by ``Choir.speak``. One thread reads it at a time, any thread may close it.

    Args:
        backend: the model.
        script: what is to be spoken.
        lock: the choir's; guards what both threads look at.
        changed: is told with the lock, when frames were taken or nobody wants more.
        clock: monotonic seconds.

    Attributes:
        row: its place in the model's calls; this and what follows belong to the choir's thread.
        unread: tokens of its chunk that are to be read.
        begins_chunk: whether nothing of the chunk was read so far.
        latent: its last frame.
        context: of whoever began it, so that log lines say whom they are about.
    """

    def __init__(
        self,
        backend: Backend,
        script: GenerationRequest,
        *,
        lock: Lock,
        changed: Callable[[], None],
        clock: Callable[[], float],
    ) -> None:
        self.row: Any = None
        self.unread: tuple[int, ...] = ()
        self.begins_chunk = True
        self.context = copy_context()
        self.latent: Latents = np.empty(0, np.float32)
        self.positions = 0
        self.voice, self.sampling = script.voice, script.how.sampling
        self._script = script
        self._frame_seconds = backend.frame_samples / backend.sample_rate_hz
        self._rate_hz = backend.sample_rate_hz
        self._chunk = -1
        self._rules: StopCriteria
        self._made: list[LatentFrame] = []  # and not published yet
        self._outcome: tuple[bool, Exception | None] = (False, None)  # likewise: whether it is over, and why
        self._decoding = CodecStream(backend, script.how.frames_per_call)
        self._clock = clock
        self._changed = changed
        self._lock = lock
        # Guarded by the lock:
        self._published = Condition(lock)
        self._waiting: deque[LatentFrame] = deque()
        self._over = False
        self._error: Exception | None = None
        self._given_up = False
        self._wake: Callable[[], None] | None = None
        self._playback = PlaybackClock()
        self._came_at = clock()
        self._is_new = True
        self._begin_next_chunk()

    # For its reader

    def ready(self, wake: Callable[[], None]) -> bool:
        """Whether the next samples can be had without waiting for the model.

        If not, ``wake`` is called once when it is so, by the choir's thread. Whoever is ahead of playback waits for
        several frames, which are cheaper to decode together.
        """
        with self._lock:
            if self._is_ready():
                return True
            self._wake = wake
            return False

    def __next__(self) -> Samples:
        """Decode the next frames, as soon as they are there: samples ``[N]``.

        Raises:
            SpeechError: the speech failed; what came before is valid.
        """
        with self._lock:
            self._published.wait_for(self._is_ready)
            latents = self._take()
            if not latents and self._error is not None and not self._given_up:
                raise self._error
        if not latents:
            raise StopIteration
        samples = self._decoding.decode(latents)
        with self._lock:
            self._playback.add(len(samples) / self._rate_hz, self._clock())
        return samples

    def close(self) -> None:
        """Give the rest up. The model forgets it after the call that is under way; does not wait for that."""
        with self._lock:
            self._given_up = self._over = True
            self._waiting.clear()
            self._wake = None
            self._published.notify_all()
            self._changed()

    # For the choir, with the lock

    @property
    def is_done(self) -> bool:
        """Whether nothing more is to be made."""
        return self._over

    def standing(self, now: float) -> "SequenceStatus[BatchSequence]":
        """Where it stands among the others."""
        lead = self._playback.lead(now)
        if self._waiting:  # it is not for want of frames that there is nothing to hear
            lead = max(0.0, lead)
        elif self._is_new:
            lead = self._came_at - now
        supply = lead + len(self._waiting) * self._frame_seconds
        return SequenceStatus(self, supply, len(self._waiting), reads=bool(self.unread), is_new=self._is_new)

    def published(self) -> Callable[[], None]:
        """Let the reader have what was made; return what to call without the lock: it wakes who is to be woken."""
        if not self._given_up:
            self._waiting.extend(self._made)
            self._over, self._error = self._outcome
        self._is_new = self._is_new and not self._made
        self._made = []
        self._published.notify_all()
        if self._wake is None or not self._is_ready():
            return _nothing
        wake, self._wake = self._wake, None
        return wake

    def broken_off(self, error: Exception) -> Callable[[], None]:
        """End it from outside, like ``published``."""
        self._outcome = (True, error)
        return self.published()

    # For the choir's thread

    def accept(self, frame: DecodeOutput) -> None:
        """Take the next frame; go on to the next chunk where this one is over."""
        self.latent = frame.latent
        if self._rules.accept(frame):
            self._made.append(LatentFrame(self._chunk, frame.latent))
        if self._rules.over:
            self._begin_next_chunk()

    def fail(self, error: Exception) -> None:
        """End it; what was made before stays."""
        self._outcome = (True, error)

    def _begin_next_chunk(self) -> None:
        chunk = next(self._script.chunks, None)
        if chunk is None:
            self._outcome = (True, None)
            return
        limit = frame_limit(len(chunk.tokens), 1 / self._frame_seconds)
        self._chunk += 1
        self._rules = chunk_rules(chunk, self._script.how, limit=limit)
        self.unread, self.begins_chunk, self.positions = chunk.tokens, True, len(chunk.tokens) + limit

    def _take(self) -> list[LatentFrame]:
        """Frames of one chunk, as many as are decoded at once; only one for somebody who has nothing to hear."""
        has_lead = self._playback.lead(self._clock()) > 0
        count = min(self._first_waiting(), self._decoding.frames_per_call if has_lead else 1)
        latents = [self._waiting.popleft() for _ in range(count)]
        if count:
            self._changed()
        return latents

    def _first_waiting(self) -> int:
        """How many of the frames that wait can be decoded together."""
        most = self._decoding.frames_per_call
        count = 0
        for latent in self._waiting:
            if count == most or latent.chunk != self._waiting[0].chunk:
                break
            count += 1
        return count

    def _is_ready(self) -> bool:
        count = self._first_waiting()
        if self._over or count < len(self._waiting):  # these will not become more
            return True
        wanted = frames_to_wait_for(self._playback.lead(self._clock()), self._frame_seconds)
        return count >= min(wanted, self._decoding.frames_per_call)


class BatchEngine:
    """A model that any number of speeches share. Owns one thread.

    Args:
        backend: the model.
        listener: hears what happens.
        clock: monotonic seconds.
        idle_seconds: how long the thread waits for another speech.
    """

    def __init__(
        self,
        backend: BatchedBackend,
        *,
        listener: Listener | None = None,
        clock: Callable[[], float] = monotonic,
        idle_seconds: float = _IDLE_SECONDS,
    ) -> None:
        self._backend = backend
        self._listener = listener or _Nobody()
        self._clock = clock
        self._idle_seconds = idle_seconds
        self._lock = Lock()
        self._work = Condition(self._lock)  # what follows changed
        self._parts: list[BatchSequence] = []
        self._closed = False
        self._why_closed: TtsError = Cancelled(_CLOSING)
        self._left_behind: Thread | None = None
        self._thread: Thread | None = None
        self._called_at: float | None = None

    @property
    def active(self) -> int:
        """Speeches of which something is still to be made."""
        return len(self._parts)

    @property
    def busy_seconds(self) -> float:
        """How long the call under way has taken so far; 0 between calls. For those who watch for hung models."""
        began = self._called_at
        return 0.0 if began is None else max(0.0, self._clock() - began)

    @property
    def is_left_behind(self) -> bool:
        """Whether the call that was under way at the end of ``close`` is so still."""
        return self._left_behind is not None and self._left_behind.is_alive()

    def speak(self, script: GenerationRequest) -> BatchSequence:
        """Begin a speech. It goes on by itself; closing it, or its end, frees what it holds.

        Raises:
            Cancelled: the choir is closed, unless ``close`` was given another reason.
            SpeechError: its first chunk cannot be had.
        """
        part = BatchSequence(self._backend, script, lock=self._lock, changed=self._tell, clock=self._clock)
        with self._lock:
            if self._closed:
                raise self._why_closed
            if self._thread is None:
                thread = Thread(target=self._run, name="pocket-choir", daemon=True)
                thread.start()  # first: where no thread is to be had, the next speech tries again
                self._thread = thread
                atexit.register(self.close)  # a thread that is cut off in native code may take the process down
            self._parts.append(part)
            self._work.notify()
        return part

    def close(self, deadline_seconds: float = _JOIN_SECONDS, reason: TtsError | None = None) -> None:
        """End what is being spoken, which fails, and join the thread. May be called more than once, from any thread.

        Args:
            deadline_seconds: time for the call under way to come to its end. A model that hangs for longer is left
                behind in its (daemon) thread, and the log says so unless a reason was given.
            reason: what those hear who listen; None for that the model is being closed.
        """
        with self._lock:
            self._closed = True
            self._why_closed = reason or self._why_closed
            thread = self._thread
            self._work.notify()
        if thread is None:
            return
        thread.join(deadline_seconds)
        if thread.is_alive():
            if reason is None:  # else whoever gave it knows
                _LOGGER.error("the model still computes %g s after it was stopped", deadline_seconds)
            self._left_behind = thread
            self._end(thread, self._why_closed)

    def _tell(self) -> None:
        """A part took frames or was given up. Called with the lock."""
        self._work.notify()

    # What follows runs on the thread.

    def _run(self) -> None:
        reason: TtsError | None = None
        try:
            self._speak_all(self._backend.open_rows())
        except BaseException as error:  # nobody above would hear of it
            # without the traceback, which may quote a text
            _LOGGER.error("the model's thread has failed (%s); the next speech starts it again", type(error).__name__)  # noqa: TRY400
            _LOGGER.debug("it failed so", exc_info=error)
            self._listener.fault(_kind(error))
            reason = ModelError(f"the model failed ({type(error).__name__}); the log says more")
        self._end(current_thread(), reason or self._why_closed)

    def _speak_all(self, rows: BatchRunner[Any]) -> None:
        steps = 0  # since the last text
        while (turn := self._next_turn(rows, steps)) is not None:
            steps = 0 if isinstance(turn, PrefillStep) else steps + 1
            self._called_at = self._clock()
            if isinstance(turn, PrefillStep):
                self._read(rows, turn.speech)
            else:
                self._step(rows, turn.speeches)
            self._called_at = None

    def _next_turn(
        self, rows: BatchRunner[Any], steps_since_text: int
    ) -> PrefillStep[BatchSequence] | DecodeStep[BatchSequence] | None:
        """Wait until there is something to do; None when the thread is to end."""
        with self._lock:
            while not self._closed:
                self._drop_those_done(rows)
                now = self._clock()
                turn = schedule([part.standing(now) for part in self._parts], steps_since_text=steps_since_text)
                if turn is not None:
                    return turn
                if not self._work.wait(None if self._parts else self._idle_seconds) and not self._parts:
                    self._thread = None  # with the lock: the next speech starts another
                    atexit.unregister(self.close)
                    return None
            return None

    def _drop_those_done(self, rows: BatchRunner[Any]) -> None:
        for part in [part for part in self._parts if part.is_done]:
            self._parts.remove(part)
            if part.row is not None:
                rows.leave(part.row)
                part.row = None

    def _read(self, rows: BatchRunner[Any], part: BatchSequence) -> None:
        tokens, part.unread = part.unread[:_TOKENS_PER_READING], part.unread[_TOKENS_PER_READING:]
        try:
            if part.begins_chunk:
                self._join(rows, part)
            if part.unread:
                rows.read(part.row, tokens)
                return
            frame = rows.prefill(part.row, tokens)
        except Exception as error:  # noqa: BLE001  (it is raised again where somebody can act on it)
            self._hand_out([part], [error])
        else:
            self._hand_out([part], [frame])

    @staticmethod
    def _join(rows: BatchRunner[Any], part: BatchSequence) -> None:
        """Leave the chunk before only now: its place is free for this one, and has the voice already."""
        if part.row is not None:
            rows.leave(part.row)
            part.row = None
        part.row = rows.join(part.voice, positions=part.positions, sampling=part.sampling)
        part.begins_chunk = False

    def _step(self, rows: BatchRunner[Any], parts: Sequence[BatchSequence]) -> None:
        began = self._clock()
        try:
            frames = rows.step([part.row for part in parts], [part.latent for part in parts])
        except Exception as error:  # noqa: BLE001  (as above)
            self._hand_out(parts, [error] * len(parts))
        else:
            self._listener.batch(len(parts), self._clock() - began)
            self._hand_out(parts, frames)

    def _hand_out(self, parts: Sequence[BatchSequence], results: Sequence[DecodeOutput | Exception]) -> None:
        """Give each part what came of it, and let their readers know."""
        for part, result in zip(parts, results, strict=True):
            try:
                if isinstance(result, Exception):
                    raise result  # noqa: TRY301  (all failures of a part end here)
                part.context.run(part.accept, _checked(result))
            except Exception as error:  # noqa: BLE001  (raised again for the reader of this part alone)
                if isinstance(error, ModelError):  # of other kinds some are no faults, others its reader tells
                    _LOGGER.warning("a speech has failed, the others go on: %s", error)
                    self._listener.fault(_kind(error))
                part.fail(error)
        with self._lock:
            calls = [part.published() for part in parts]
        for call in calls:
            call()

    def _end(self, thread: Thread, reason: TtsError) -> None:
        """Break everything off that this thread was to speak. Runs on any thread."""
        with self._lock:
            if self._thread is not thread:  # it had nothing to do any more, or was left behind
                return
            self._thread = self._called_at = None
            atexit.unregister(self.close)
            parts, self._parts = self._parts, []
            calls = [part.broken_off(reason) for part in parts]
        for call in calls:
            call()


class _NotFinite(ModelError):  # noqa: N818  (named for the state)
    """A result that is no number."""


def _checked(frame: DecodeOutput) -> DecodeOutput:
    if not (np.isfinite(frame.latent).all() and np.isfinite(frame.eos_logit)):
        raise _NotFinite("the model's result is not finite: the voice may be damaged or belong to another model")
    return frame


def _kind(error: BaseException) -> str:
    if isinstance(error, _NotFinite):
        return "not-finite"
    return "memory" if is_out_of_memory(error) else "exception"


def _nothing() -> None:
    pass
