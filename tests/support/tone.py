"""A synthesizer that beeps: the contract's stand-in for tests and dry runs. Knows nothing about models or asyncio.

Deterministic: the same text gives the same samples, and longer texts give longer tones. Everything it does is noted
in a journal, which tests compare or wait for.
"""

import math
import threading
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from wyoming_pocket_tts.core.errors import ModelError
from wyoming_pocket_tts.core.types import LoadedSynthesizer, Pcm, SynthesisRequest, Voice

_AMPLITUDE = 8_000
_GATE_SECONDS = 20.0
_ENTRIES_KEPT = 20_000
"""More than any test makes; a service that beeps for days must not grow."""

VOICES = (
    Voice(name="tone-low", description="Low tone", languages=("en-US",), sample_rate_hz=16_000, version="1"),
    Voice(name="tone-high", description="High tone", languages=("en-GB", "en-US"), sample_rate_hz=22_050),
    Voice(
        name="ton",
        description="Ton mit Stimmungen",
        languages=("de-DE",),
        sample_rate_hz=16_000,
        speakers=("ruhig", "heiter"),
    ),
    Voice(name="tone-away", description="Not here", languages=("fr-FR",), sample_rate_hz=16_000, installed=False),
)
"""Two languages to speak, one voice with styles, one voice that is not installed."""


@dataclass(frozen=True, slots=True)
class Entry:
    """One thing that happened to a request."""

    what: str
    """``begin``, ``block`` or ``end``; ``end`` comes on every way out, cancellation included."""
    text: str


class Journal:
    """What happened lately, in order. Any thread may write, read and wait."""

    def __init__(self) -> None:
        self._entries: deque[Entry] = deque(maxlen=_ENTRIES_KEPT)
        self._grown = threading.Condition()

    def note(self, what: str, text: str) -> None:
        """Add an entry."""
        with self._grown:
            self._entries.append(Entry(what, text))
            self._grown.notify_all()

    def entries(self) -> list[Entry]:
        """Everything so far, but for what is long past."""
        with self._grown:
            return list(self._entries)

    def count(self, what: str, text: str | None = None) -> int:
        """How often it happened, to one text or to any."""
        return sum(entry.what == what and text in {None, entry.text} for entry in self.entries())

    def wait_for(self, what: str, text: str | None = None, *, times: int = 1, seconds: float = 10.0) -> bool:
        """Block this thread until it has happened so often; ``False`` when time ran out."""
        with self._grown:
            return self._grown.wait_for(lambda: self.count(what, text) >= times, timeout=seconds)


class Gate:
    """Holds blocks back until a test lets them through, one by one or all."""

    def __init__(self) -> None:
        self._permits = threading.Semaphore(0)
        self._open = threading.Event()

    def let(self, blocks: int) -> None:
        """Let this many more blocks through."""
        self._permits.release(blocks)

    def open(self) -> None:
        """Let everything through from now on."""
        self._open.set()
        self._permits.release()

    def wait(self) -> None:
        """Block this thread until a block may pass.

        Raises:
            ModelError: nobody opened the gate in reasonable time, so that a broken test ends.
        """
        if self._open.is_set():
            return
        if not self._permits.acquire(timeout=_GATE_SECONDS):
            raise ModelError("the gate stayed shut")
        if self._open.is_set():
            self._permits.release()  # pass the opening on to whoever waits besides


class ToneSynthesizer(LoadedSynthesizer):
    """Speaks every text as a sine tone. Safe for any number of threads."""

    def __init__(
        self,
        *,
        voices: Sequence[Voice] = VOICES,
        seconds_per_character: float = 0.02,
        block_seconds: float = 0.1,
        gate: Callable[[SynthesisRequest], Gate | None] = lambda _: None,
        failure: Callable[[SynthesisRequest, int], BaseException | None] = lambda _request, _block: None,
    ) -> None:
        """Choose how it beeps.

        Args:
            voices: what it offers, the default first.
            seconds_per_character: length of the tone.
            block_seconds: length of a block; the last one may be shorter.
            gate: the gate that a request's blocks must pass.
            failure: what to raise in place of the request's block of that number, counted from 0.
        """
        self.journal = Journal()
        self._voices = tuple(voices)
        self._seconds_per_character = seconds_per_character
        self._block_seconds = block_seconds
        self._gate = gate
        self._failure = failure

    def voices(self) -> Sequence[Voice]:
        """The voices, the default first."""
        return self._voices

    def close(self, deadline_seconds: float = 5.0, reason: Exception | None = None) -> None:
        """Nothing runs between two blocks."""

    def samples(self, request: SynthesisRequest) -> int:
        """Length of the whole speech, in samples; none for a text without a letter or digit."""
        if not any(character.isalnum() for character in request.text):
            return 0
        return round(len(request.text) * self._seconds_per_character * request.voice.sample_rate_hz)

    def stream(self, request: SynthesisRequest, on_ready: object = None) -> Iterator[Pcm]:
        """Yield the tone block by block."""
        gate = self._gate(request)
        self.journal.note("begin", request.text)
        try:
            block_samples = round(self._block_seconds * request.voice.sample_rate_hz)
            for number, start in enumerate(range(0, self.samples(request), block_samples)):
                if gate is not None:
                    gate.wait()
                failure = self._failure(request, number)
                if failure is not None:
                    raise failure
                block = self._tone(request, start, min(start + block_samples, self.samples(request)))
                self.journal.note("block", request.text)
                yield block
        finally:
            self.journal.note("end", request.text)

    @staticmethod
    def _tone(request: SynthesisRequest, start: int, stop: int) -> Pcm:
        frequency_hz = 220.0 + 10.0 * (sum(map(ord, request.voice.name + (request.speaker or ""))) % 64)
        phase = np.arange(start, stop) * (2 * math.pi * frequency_hz / request.voice.sample_rate_hz)
        tone: Pcm = np.round(_AMPLITUDE * np.sin(phase)).astype(np.int16)
        return tone
