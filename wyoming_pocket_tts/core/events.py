"""`Metrics` hooks: one no-op base, one fan-out; `RequestStats`."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

SPOKEN = "spoken"
"""The outcome of an answer that was sent whole; any other outcome is the ``code`` of a ``SpeechError``."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RequestStats:
    """One client's request, and what became of it."""

    request: str
    """Its identifier, as log lines about it have it."""
    peer: str
    """Who asked, as the log names clients."""
    outcome: str
    """``spoken``, or the code of the error that ended it: ``cancelled``, ``overloaded``, ``model-error``..."""
    voice: str | None
    """Name of the voice, always one that the service lists; None when none was found."""
    characters: int
    """Of the text that came."""
    audio_seconds: float
    """Of speech that was made for it, without the silence around."""
    first_audio_seconds: float | None
    """From the moment at which it could be spoken to its first sound; None when there was none."""
    waited_seconds: float
    """How long its audio was waited for, in the queue and in the making; the client's own slowness does not count."""

    @property
    def real_time_factor(self) -> float | None:
        """Seconds waited for each second of audio: below 1 is faster than it is played. None without audio."""
        return self.waited_seconds / self.audio_seconds if self.audio_seconds > 0 else None


class Observer(Protocol):
    """Hears what happens."""

    # From the front doors, about clients and their requests

    def refused(self) -> None:
        """A connection was turned away."""
        ...

    def failed(self, code: str) -> None:
        """A client was told an error with this code, be it about a request or about the connection."""
        ...

    def request_began(self) -> None:
        """A client asked for speech; ``request_ended`` follows on every way out."""
        ...

    def first_audio(self, seconds: float) -> None:
        """The first sound of a request was there, so long after it could be spoken."""
        ...

    def underrun(self, seconds: float) -> None:
        """A client that plays at once would have heard a gap of this length, because audio was not ready."""
        ...

    def request_ended(self, ended: RequestStats) -> None:
        """A request is over."""
        ...

    def stood_in(self) -> None:
        """An embedded voice begins an answer, because too much is asked of the others."""
        ...

    # From the engine, about streams (the pieces of requests) and models

    def admitted(self, waited_seconds: float) -> None:
        """A stream has its place among the active ones, after a wait for it."""
        ...

    def cancelled(self, seconds: float) -> None:
        """A stream that was given up has freed what it held, so long after it was given up."""
        ...

    def batch(self, streams: int, seconds: float) -> None:
        """One step of a model was computed for so many streams at once, in so much time."""
        ...

    def fault(self, kind: str) -> None:
        """Something broke. ``kind`` is one of a few words: ``exception``, ``memory``, ``not-finite``, ``stuck``."""
        ...

    def rebuilt(self, model: str) -> None:
        """A model was loaded anew after a fault. ``model`` is its name in the settings, or ``embedded voice``."""
        ...


class NullObserver(Observer):
    """Hears nothing: the default, and the base of observers that care for a few things only."""

    def refused(self) -> None:
        """Ignore it."""

    def failed(self, code: str) -> None:
        """Ignore it."""

    def request_began(self) -> None:
        """Ignore it."""

    def first_audio(self, seconds: float) -> None:
        """Ignore it."""

    def underrun(self, seconds: float) -> None:
        """Ignore it."""

    def request_ended(self, ended: RequestStats) -> None:
        """Ignore it."""

    def stood_in(self) -> None:
        """Ignore it."""

    def admitted(self, waited_seconds: float) -> None:
        """Ignore it."""

    def cancelled(self, seconds: float) -> None:
        """Ignore it."""

    def batch(self, streams: int, seconds: float) -> None:
        """Ignore it."""

    def fault(self, kind: str) -> None:
        """Ignore it."""

    def rebuilt(self, model: str) -> None:
        """Ignore it."""


class CompositeObserver(Observer):
    """Passes everything on to several observers, in their order."""

    def __init__(self, observers: Sequence[Observer]) -> None:
        """Take whom to tell."""
        self._observers = tuple(observers)

    def refused(self) -> None:
        """Tell all."""
        for observer in self._observers:
            observer.refused()

    def failed(self, code: str) -> None:
        """Tell all."""
        for observer in self._observers:
            observer.failed(code)

    def request_began(self) -> None:
        """Tell all."""
        for observer in self._observers:
            observer.request_began()

    def first_audio(self, seconds: float) -> None:
        """Tell all."""
        for observer in self._observers:
            observer.first_audio(seconds)

    def underrun(self, seconds: float) -> None:
        """Tell all."""
        for observer in self._observers:
            observer.underrun(seconds)

    def request_ended(self, ended: RequestStats) -> None:
        """Tell all."""
        for observer in self._observers:
            observer.request_ended(ended)

    def stood_in(self) -> None:
        """Tell all."""
        for observer in self._observers:
            observer.stood_in()

    def admitted(self, waited_seconds: float) -> None:
        """Tell all."""
        for observer in self._observers:
            observer.admitted(waited_seconds)

    def cancelled(self, seconds: float) -> None:
        """Tell all."""
        for observer in self._observers:
            observer.cancelled(seconds)

    def batch(self, streams: int, seconds: float) -> None:
        """Tell all."""
        for observer in self._observers:
            observer.batch(streams, seconds)

    def fault(self, kind: str) -> None:
        """Tell all."""
        for observer in self._observers:
            observer.fault(kind)

    def rebuilt(self, model: str) -> None:
        """Tell all."""
        for observer in self._observers:
            observer.rebuilt(model)
