"""Continuous batching: one thread, sequences, slots."""

import atexit
import logging
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from contextvars import copy_context
from threading import Condition, Lock, Thread, current_thread
from time import monotonic
from typing import Any, cast

import numpy as np

from wyoming_pocket_tts.core.errors import Cancelled, ModelError, is_out_of_memory
from wyoming_pocket_tts.core.events import Observer
from wyoming_pocket_tts.core.types import Pending
from wyoming_pocket_tts.pocket.backend import Backend, BatchedBackend, BatchRunner, DecodeOutput, Latents, Samples
from wyoming_pocket_tts.pocket.batch_scheduler import DecodeStep, PrefillStep, SequenceStatus, schedule, supply
from wyoming_pocket_tts.pocket.generate import (
    CodecStream,
    GenerationRequest,
    LatentFrame,
    PlaybackClock,
    StopCriteria,
    frames_to_wait_for,
    stop_criteria,
)

_LOGGER = logging.getLogger(__name__)

_IDLE_SECONDS = 30.0
_JOIN_SECONDS = 5.0
_CLOSING = "the model is being closed"
_TOKENS_PER_PREFILL = 64
"""More would let the others wait for long. Chunks are rarely longer than 50."""


class BatchSequence(Iterator[Samples]):
    """One generation, made by ``BatchEngine.add_sequence``. One thread reads it at a time, any thread may close it."""

    def __init__(
        self,
        backend: Backend,
        generation: GenerationRequest,
        *,
        lock: Lock,
        changed: Callable[[], None],
        clock: Callable[[], float],
    ) -> None:
        # Of the engine's thread:
        self.row: Any = None
        """Its slot."""
        self.unread: tuple[int, ...] = ()
        """Tokens of its chunk that are to be read."""
        self.begins_chunk = True
        """Nothing of the chunk was read so far."""
        self.context = copy_context()  # so that log lines have the request's identifier
        self.latent: Latents = np.empty(0, np.float32)
        self.positions = 0
        self.voice, self.sampling = generation.voice, generation.how.sampling
        self._generation = generation
        self._frame_seconds = backend.frame_samples / backend.sample_rate_hz
        self._rate_hz = backend.sample_rate_hz
        self._chunk = -1
        self._criteria: StopCriteria
        self._made: list[LatentFrame] = []  # and not published yet
        self._outcome: tuple[bool, Exception | None] = (False, None)  # likewise: whether it is over, and why
        self._begin_next_chunk()
        # Of the reader:
        self._codec = CodecStream(backend, generation.how.frames_per_call)
        self._clock = clock
        self._changed = changed
        self._lock = lock
        # Guarded by the engine's lock:
        self._published = Condition(lock)
        self._waiting: deque[LatentFrame] = deque()
        self._over = False
        self._error: Exception | None = None
        self._closed = False
        self._wake: Callable[[], None] | None = None
        self._playback = PlaybackClock()
        self._came_at = clock()
        self._is_new = True

    # For its reader

    def read(self, wake: Callable[[], None] | None = None) -> Samples | Pending | None:
        """Decode the next frames: samples ``[N]``, as soon as they are there; None at the end.

        With ``wake``, ``Pending`` instead of waiting; ``wake`` is called once when there is more, by the engine's
        thread. A listener ahead of playback waits for several frames, which are cheaper to decode together.
        An error of the generation is raised after all that came before it.
        """
        with self._lock:
            while (count := self._decodable()) is None:
                if wake is not None:
                    self._wake = wake
                    return Pending.FRAMES
                self._published.wait()
            latents = [self._waiting.popleft() for _ in range(count)]
            if latents:
                self._changed()
            elif self._error is not None and not self._closed:
                raise self._error
        if not latents:
            return None
        samples = self._codec.decode(latents)
        with self._lock:
            self._playback.add(len(samples) / self._rate_hz, self._clock())
        return samples

    def __next__(self) -> Samples:
        samples = self.read()
        if samples is None:
            raise StopIteration
        return cast("Samples", samples)  # it waits, so it is never pending

    def close(self) -> None:
        """Cancel the rest. The engine frees the slot after the call under way; does not wait for that."""
        with self._lock:
            self._closed = self._over = True
            self._waiting.clear()
            self._wake = None
            self._published.notify_all()
            self._changed()

    # For the engine, with the lock

    @property
    def is_done(self) -> bool:
        return self._over

    def status(self, now: float) -> "SequenceStatus[BatchSequence]":
        plays_until = self._came_at if self._is_new else self._playback.until
        seconds = supply(plays_until, len(self._waiting) * self._frame_seconds, now)
        return SequenceStatus(self, seconds, len(self._waiting), reads=bool(self.unread), is_new=self._is_new)

    def publish(self) -> Callable[[], None] | None:
        """Let the reader have what was generated; return what is to be called without the lock."""
        if not self._closed:
            self._waiting.extend(self._made)
            self._over, self._error = self._outcome
        self._is_new = self._is_new and not self._made
        self._made = []
        self._published.notify_all()
        if self._wake is None or self._decodable() is None:
            return None
        wake, self._wake = self._wake, None
        return wake

    def abort(self, error: Exception) -> Callable[[], None] | None:
        """End it from outside, like ``publish``."""
        self._outcome = (True, error)
        return self.publish()

    # For the engine's thread

    def append(self, frame: DecodeOutput) -> None:
        """Take the next frame; go on to the next chunk where this one is over."""
        self.latent = frame.latent
        if self._criteria.accept(frame):
            self._made.append(LatentFrame(self._chunk, frame.latent))
        if self._criteria.over:
            self._begin_next_chunk()

    def fail(self, error: Exception) -> None:
        self._outcome = (True, error)

    def _begin_next_chunk(self) -> None:
        chunk = next(self._generation.chunks, None)
        if chunk is None:
            self._outcome = (True, None)
            return
        self._chunk += 1
        self._criteria = stop_criteria(chunk, self._generation.how, 1 / self._frame_seconds)
        self.unread, self.begins_chunk, self.positions = chunk.tokens, True, len(chunk.tokens) + self._criteria.limit

    def _decodable(self) -> int | None:
        """How many of the frames that wait to decode now: of one chunk, and one alone where there is nothing to hear.

        None to wait for more; 0 at the end.
        """
        most, count = self._codec.frames_per_call, 0
        for latent in self._waiting:
            if count == most or latent.chunk != self._waiting[0].chunk:
                break
            count += 1
        is_final = self._over or count < len(self._waiting)  # these will not become more
        if not count:
            return 0 if is_final else None
        until, now = self._playback.until, self._clock()
        if until is None or until <= now:
            return 1
        is_enough = count == most or count >= frames_to_wait_for(until - now, self._frame_seconds)
        return count if is_final or is_enough else None


class BatchEngine:
    """A model that any number of sequences share.

    Owns one thread, which starts with the first sequence; when there has been none for ``idle_seconds`` it ends and
    frees the slots.
    """

    def __init__(
        self,
        backend: BatchedBackend,
        *,
        listener: Observer | None = None,
        clock: Callable[[], float] = monotonic,
        idle_seconds: float = _IDLE_SECONDS,
    ) -> None:
        self._backend = backend
        self._listener = listener
        self._clock = clock
        self._idle_seconds = idle_seconds
        self._lock = Lock()
        self._work = Condition(self._lock)  # what follows changed
        self._sequences: list[BatchSequence] = []
        self._closed = False
        self._why_closed: Exception = Cancelled(_CLOSING)
        self._thread: Thread | None = None
        self.called_at: float | None = None
        """When the call under way began, by ``clock``; None between calls."""

    @property
    def active(self) -> int:
        return len(self._sequences)

    def add_sequence(self, generation: GenerationRequest) -> BatchSequence:
        """Add a sequence, which is generated from now on; closing it, or its end, frees what it holds.

        Raises ``Cancelled``, or the reason given to ``close``, if the engine is closed.
        """
        sequence = BatchSequence(self._backend, generation, lock=self._lock, changed=self._notify, clock=self._clock)
        with self._lock:
            if self._closed:
                raise self._why_closed
            if self._thread is None:
                thread = Thread(target=self._run, name="pocket-engine", daemon=True)
                thread.start()  # first: where no thread is to be had, the next sequence tries again
                self._thread = thread
                atexit.register(self.close)  # a thread that is cut off in native code may take the process down
            self._sequences.append(sequence)
            self._work.notify()
        return sequence

    def close(self, deadline_seconds: float = _JOIN_SECONDS, reason: Exception | None = None) -> None:
        """End all sequences with the reason, and join the thread. May be called more than once, from any thread.

        A call that takes longer than the deadline is left behind in its (daemon) thread; the log says so unless a
        reason was given.
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
            if reason is None:
                _LOGGER.error("the model still computes %g s after it was stopped", deadline_seconds)
            self._end(thread, self._why_closed)

    def _notify(self) -> None:
        """Frames were taken, or a sequence was closed. With the lock."""
        self._work.notify()

    # On the thread

    def _run(self) -> None:
        reason: Exception | None = None
        try:
            self._generate(self._backend.open_rows())
        except BaseException as error:  # nothing above would report it
            # without the traceback, which may quote a text
            _LOGGER.error("the model's thread has failed (%s); the next speech starts it again", type(error).__name__)  # noqa: TRY400
            _LOGGER.debug("it failed so", exc_info=error)
            self._note_fault(error)
            reason = ModelError(f"the model failed ({type(error).__name__}); the log says more")
        self.called_at = None
        self._end(current_thread(), reason or self._why_closed)

    def _generate(self, rows: BatchRunner[Any]) -> None:
        steps = 0  # since the last prefill
        while (step := self._next_step(rows, steps)) is not None:
            self.called_at = self._clock()
            if isinstance(step, PrefillStep):
                steps = 0
                self._prefill(rows, step.speech)
            else:
                steps += 1
                self._decode(rows, step.speeches)
            self.called_at = None

    def _next_step(
        self, rows: BatchRunner[Any], steps_since_text: int
    ) -> PrefillStep[BatchSequence] | DecodeStep[BatchSequence] | None:
        """Wait until there is something to do; None when the thread is to end."""
        with self._lock:
            while not self._closed:
                self._free_slots(rows)
                now = self._clock()
                step = schedule([each.status(now) for each in self._sequences], steps_since_text=steps_since_text)
                if step is not None:
                    return step
                if not self._work.wait(None if self._sequences else self._idle_seconds) and not self._sequences:
                    self._thread = None  # with the lock: the next sequence starts another
                    atexit.unregister(self.close)
                    return None
            return None

    def _free_slots(self, rows: BatchRunner[Any]) -> None:
        for sequence in [each for each in self._sequences if each.is_done]:
            self._sequences.remove(sequence)
            if sequence.row is not None:
                rows.leave(sequence.row)
                sequence.row = None

    def _prefill(self, rows: BatchRunner[Any], sequence: BatchSequence) -> None:
        tokens, sequence.unread = sequence.unread[:_TOKENS_PER_PREFILL], sequence.unread[_TOKENS_PER_PREFILL:]
        try:
            if sequence.begins_chunk:
                if sequence.row is not None:  # freed only now: this chunk finds the voice there already
                    rows.leave(sequence.row)
                    sequence.row = None
                sequence.row = rows.join(sequence.voice, positions=sequence.positions, sampling=sequence.sampling)
                sequence.begins_chunk = False
            if sequence.unread:
                rows.read(sequence.row, tokens)
                return
            frame = rows.prefill(sequence.row, tokens)
        except Exception as error:  # noqa: BLE001  (it is raised again for the reader)
            self._deliver([sequence], [error])
        else:
            self._deliver([sequence], [frame])

    def _decode(self, rows: BatchRunner[Any], sequences: Sequence[BatchSequence]) -> None:
        began = self._clock()
        try:
            frames = rows.step([each.row for each in sequences], [each.latent for each in sequences])
        except Exception as error:  # noqa: BLE001  (as above)
            self._deliver(sequences, [error] * len(sequences))
        else:
            if self._listener is not None:
                self._listener.batch_step(len(sequences), self._clock() - began)
            self._deliver(sequences, frames)

    def _deliver(self, sequences: Sequence[BatchSequence], results: Sequence[DecodeOutput | Exception]) -> None:
        """Give each sequence its result, and wake the readers."""
        for sequence, result in zip(sequences, results, strict=True):
            try:
                if isinstance(result, Exception):
                    raise result  # noqa: TRY301  (all failures of a sequence end here)
                sequence.context.run(sequence.append, _checked(result))
            except Exception as error:  # noqa: BLE001  (raised again for the reader of this sequence alone)
                if isinstance(error, ModelError):  # others are no faults of the model, or reported by the reader
                    _LOGGER.warning("a speech has failed, the others go on: %s", error)
                    self._note_fault(error)
                sequence.fail(error)
        with self._lock:
            wakes = [sequence.publish() for sequence in sequences]
        _call(wakes)

    def _note_fault(self, error: BaseException) -> None:
        if self._listener is not None:
            self._listener.engine_fault(_kind(error))

    def _end(self, thread: Thread, reason: Exception) -> None:
        with self._lock:
            if self._thread is not thread:  # it had nothing to do any more, or was left behind
                return
            self._thread = None
            atexit.unregister(self.close)
            sequences, self._sequences = self._sequences, []
            wakes = [sequence.abort(reason) for sequence in sequences]
        _call(wakes)


def _call(wakes: Sequence[Callable[[], None] | None]) -> None:
    for wake in wakes:
        if wake is not None:
            wake()


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
