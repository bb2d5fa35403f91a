"""One speech among several that share a model: what is made of it so far, and its audio for whoever reads it.

Knows nothing about the others, nor whose turn it is.
"""

from collections import deque
from collections.abc import Callable, Iterator
from contextvars import copy_context
from threading import Condition, Lock
from typing import Any

import numpy as np

from wyoming_pocket_tts.playback import Playback
from wyoming_pocket_tts.pocket.backend import Backend, Frame, Latents, Samples
from wyoming_pocket_tts.pocket.chunk_rules import ChunkRules, frame_limit
from wyoming_pocket_tts.pocket.decoding import Decoding, Latent, frames_to_wait_for
from wyoming_pocket_tts.pocket.generate import Script, chunk_rules
from wyoming_pocket_tts.pocket.turns import Standing


class Part(Iterator[Samples]):
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
        script: Script,
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
        self._rules: ChunkRules
        self._made: list[Latent] = []  # and not published yet
        self._outcome: tuple[bool, Exception | None] = (False, None)  # likewise: whether it is over, and why
        self._decoding = Decoding(backend, script.how.frames_per_call)
        self._clock = clock
        self._changed = changed
        self._lock = lock
        # Guarded by the lock:
        self._published = Condition(lock)
        self._waiting: deque[Latent] = deque()
        self._over = False
        self._error: Exception | None = None
        self._given_up = False
        self._wake: Callable[[], None] | None = None
        self._playback = Playback()
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

    def standing(self, now: float) -> "Standing[Part]":
        """Where it stands among the others."""
        lead = self._playback.lead(now)
        if self._waiting:  # it is not for want of frames that there is nothing to hear
            lead = max(0.0, lead)
        elif self._is_new:
            lead = self._came_at - now
        supply = lead + len(self._waiting) * self._frame_seconds
        return Standing(self, supply, len(self._waiting), reads=bool(self.unread), is_new=self._is_new)

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

    def accept(self, frame: Frame) -> None:
        """Take the next frame; go on to the next chunk where this one is over."""
        self.latent = frame.latent
        if self._rules.accept(frame):
            self._made.append(Latent(self._chunk, frame.latent))
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

    def _take(self) -> list[Latent]:
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


def _nothing() -> None:
    pass
