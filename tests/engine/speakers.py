"""Speakers that note what becomes of them, and an observer that does, for tests. Know no test."""

import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

import numpy as np

from wyoming_pocket_tts.core.errors import ModelError
from wyoming_pocket_tts.core.events import Observer
from wyoming_pocket_tts.core.types import LoadedSynthesizer, Pcm, SynthesisRequest, Synthesizer, Voice

VOICE = Voice(name="x", description="x", languages=("en",), sample_rate_hz=16_000)
PATIENCE_SECONDS = 20.0


@dataclass(eq=False)
class Counting(LoadedSynthesizer):
    """Says its number three times for each request; texts make it fail."""

    number: int = 0
    before: Callable[[SynthesisRequest], None] = lambda _: None
    closed: int = 0
    reason: Exception | None = None
    called_at: float | None = None
    begun: list[str] = field(default_factory=list)

    def voices(self) -> tuple[Voice, ...]:
        return (VOICE,)

    def stream(self, request: SynthesisRequest, on_ready: object = None) -> Iterator[Pcm]:
        self.begun.append(request.text)
        for _ in range(3):
            self.before(request)
            if self.reason is not None:
                raise self.reason
            assert not self.closed, "it speaks though it was unloaded"
            if request.text == "fail":
                raise ModelError("it failed")
            if request.text == "no memory":
                raise MemoryError
            yield np.full(160, self.number, np.int16)

    def close(self, deadline_seconds: float = 5.0, reason: Exception | None = None) -> None:
        self.closed += 1
        self.reason = reason


class Noting(Observer):
    """Keeps what it hears, and lets tests wait for a model that is opened anew."""

    def __init__(self) -> None:
        self.faults: list[str] = []
        self.rebuilds: list[str] = []
        self.has_rebuilt = threading.Event()

    def engine_fault(self, kind: str) -> None:
        self.faults.append(kind)

    def model_reloaded(self, model: str) -> None:
        self.rebuilds.append(model)
        self.has_rebuilt.set()


def listed(synthesizer: Synthesizer, name: str) -> Voice:
    """The voice of that name, as it is listed."""
    return next(voice for voice in synthesizer.voices() if voice.name == name)


def asked(text: str = "hello", voice: Voice = VOICE) -> SynthesisRequest:
    return SynthesisRequest(text=text, voice=voice)
