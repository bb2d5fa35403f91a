"""Speeches of one model, spoken together: one thread makes their latents in common calls, their readers the audio.

Knows nothing about requests, clients or files. Whose turn it is says ``turns.py``; when a chunk is over say the same
rules as for a speech alone (``chunk_rules.py``).

The thread is started with the first speech, ends when there has been none for a while, and gives the memory of the rows
back then.
"""

import atexit
import logging
from collections.abc import Callable, Sequence
from threading import Condition, Lock, Thread, current_thread
from time import monotonic
from typing import Any, Protocol

import numpy as np

from wyoming_pocket_tts.errors import Cancelled, ModelError, SpeechError, is_out_of_memory
from wyoming_pocket_tts.pocket.backend import Frame, SharedBackend, SharedRows
from wyoming_pocket_tts.pocket.generate import Script
from wyoming_pocket_tts.pocket.part import Part
from wyoming_pocket_tts.pocket.turns import Read, Step, next_turn

logger = logging.getLogger(__name__)

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


class Choir:
    """A model that any number of speeches share. Owns one thread.

    Args:
        backend: the model.
        listener: hears what happens.
        clock: monotonic seconds.
        idle_seconds: how long the thread waits for another speech.
    """

    def __init__(
        self,
        backend: SharedBackend,
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
        self._parts: list[Part] = []
        self._closed = False
        self._why_closed: SpeechError = Cancelled(_CLOSING)
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

    def speak(self, script: Script) -> Part:
        """Begin a speech. It goes on by itself; closing it, or its end, frees what it holds.

        Raises:
            Cancelled: the choir is closed, unless ``close`` was given another reason.
            SpeechError: its first chunk cannot be had.
        """
        part = Part(self._backend, script, lock=self._lock, changed=self._tell, clock=self._clock)
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

    def close(self, deadline_seconds: float = _JOIN_SECONDS, reason: SpeechError | None = None) -> None:
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
                logger.error("the model still computes %g s after it was stopped", deadline_seconds)
            self._left_behind = thread
            self._end(thread, self._why_closed)

    def _tell(self) -> None:
        """A part took frames or was given up. Called with the lock."""
        self._work.notify()

    # What follows runs on the thread.

    def _run(self) -> None:
        reason: SpeechError | None = None
        try:
            self._speak_all(self._backend.open_rows())
        except BaseException as error:  # nobody above would hear of it
            # without the traceback, which may quote a text
            logger.error("the model's thread has failed (%s); the next speech starts it again", type(error).__name__)  # noqa: TRY400
            logger.debug("it failed so", exc_info=error)
            self._listener.fault(_kind(error))
            reason = ModelError(f"the model failed ({type(error).__name__}); the log says more")
        self._end(current_thread(), reason or self._why_closed)

    def _speak_all(self, rows: SharedRows[Any]) -> None:
        steps = 0  # since the last text
        while (turn := self._next_turn(rows, steps)) is not None:
            steps = 0 if isinstance(turn, Read) else steps + 1
            self._called_at = self._clock()
            if isinstance(turn, Read):
                self._read(rows, turn.speech)
            else:
                self._step(rows, turn.speeches)
            self._called_at = None

    def _next_turn(self, rows: SharedRows[Any], steps_since_text: int) -> Read[Part] | Step[Part] | None:
        """Wait until there is something to do; None when the thread is to end."""
        with self._lock:
            while not self._closed:
                self._drop_those_done(rows)
                now = self._clock()
                turn = next_turn([part.standing(now) for part in self._parts], steps_since_text=steps_since_text)
                if turn is not None:
                    return turn
                if not self._work.wait(None if self._parts else self._idle_seconds) and not self._parts:
                    self._thread = None  # with the lock: the next speech starts another
                    atexit.unregister(self.close)
                    return None
            return None

    def _drop_those_done(self, rows: SharedRows[Any]) -> None:
        for part in [part for part in self._parts if part.is_done]:
            self._parts.remove(part)
            if part.row is not None:
                rows.leave(part.row)
                part.row = None

    def _read(self, rows: SharedRows[Any], part: Part) -> None:
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
    def _join(rows: SharedRows[Any], part: Part) -> None:
        """Leave the chunk before only now: its place is free for this one, and has the voice already."""
        if part.row is not None:
            rows.leave(part.row)
            part.row = None
        part.row = rows.join(part.voice, positions=part.positions, sampling=part.sampling)
        part.begins_chunk = False

    def _step(self, rows: SharedRows[Any], parts: Sequence[Part]) -> None:
        began = self._clock()
        try:
            frames = rows.step([part.row for part in parts], [part.latent for part in parts])
        except Exception as error:  # noqa: BLE001  (as above)
            self._hand_out(parts, [error] * len(parts))
        else:
            self._listener.batch(len(parts), self._clock() - began)
            self._hand_out(parts, frames)

    def _hand_out(self, parts: Sequence[Part], results: Sequence[Frame | Exception]) -> None:
        """Give each part what came of it, and let their readers know."""
        for part, result in zip(parts, results, strict=True):
            try:
                if isinstance(result, Exception):
                    raise result  # noqa: TRY301  (all failures of a part end here)
                part.context.run(part.accept, _checked(result))
            except Exception as error:  # noqa: BLE001  (raised again for the reader of this part alone)
                if isinstance(error, ModelError):  # of other kinds some are no faults, others its reader tells
                    logger.warning("a speech has failed, the others go on: %s", error)
                    self._listener.fault(_kind(error))
                part.fail(error)
        with self._lock:
            calls = [part.published() for part in parts]
        for call in calls:
            call()

    def _end(self, thread: Thread, reason: SpeechError) -> None:
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


def _checked(frame: Frame) -> Frame:
    if not (np.isfinite(frame.latent).all() and np.isfinite(frame.eos_logit)):
        raise _NotFinite("the model's result is not finite: the voice may be damaged or belong to another model")
    return frame


def _kind(error: BaseException) -> str:
    if isinstance(error, _NotFinite):
        return "not-finite"
    return "memory" if is_out_of_memory(error) else "exception"
