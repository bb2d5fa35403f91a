"""Observer of requests, streams and models, a no-op base; `RequestStats`."""

from dataclasses import dataclass

SPOKEN = "spoken"
"""The outcome of a response that was sent whole; any other outcome is the ``code`` of a ``TtsError``."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RequestStats:
    """One client's request, and its outcome."""

    request: str
    """Its identifier in the log."""
    peer: str
    outcome: str
    """``spoken``, or the code of the error that ended it: ``cancelled``, ``overloaded``, ``model-error``..."""
    voice: str | None
    """Always a listed voice; None when none was found."""
    characters: int
    audio_seconds: float
    """Without the silence around."""
    first_audio_seconds: float | None
    """From the first segment being ready to the first block; None without audio."""
    waited_seconds: float
    """Waiting for the engine, queue included; a slow client does not count."""

    @property
    def real_time_factor(self) -> float | None:
        return self.waited_seconds / self.audio_seconds if self.audio_seconds > 0 else None


class Observer:
    """Does nothing; metrics override what they need.

    Methods may be called from any thread, several at a time, for every block of audio: they return at once and never
    raise.
    """

    def connection_refused(self) -> None:
        """A connection was turned away."""

    def error_sent(self, code: str) -> None:
        """An error with this code was sent to a client."""

    def request_started(self) -> None:
        """A request came; ``request_ended`` follows on every way out."""

    def first_audio(self, seconds: float) -> None:
        """The first block of a request was there, this long after its first segment was ready."""

    def underrun(self, seconds: float) -> None:
        """A client that plays at once would have heard a gap of this length."""

    def request_finished(self, ended: RequestStats) -> None:
        """A request is over."""

    def fallback_used(self) -> None:
        """A fallback voice begins a response, because of overload."""

    def stream_admitted(self, waited_seconds: float) -> None:
        """A stream was admitted, after this time in the queue."""

    def stream_cancelled(self, seconds: float) -> None:
        """A cancelled stream has freed what it held, this long after it was cancelled."""

    def batch_step(self, streams: int, seconds: float) -> None:
        """One step of a model was computed for so many sequences."""

    def engine_fault(self, kind: str) -> None:
        """Something broke: ``exception``, ``memory``, ``not-finite`` or ``hung``."""

    def model_reloaded(self, model: str) -> None:
        """A model was reloaded after a fault: its name in the settings, or ``embedded voice``."""
