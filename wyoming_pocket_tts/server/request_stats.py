"""Timing, request log, debug trace."""

import logging
import secrets
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import asdict
from typing import Final

from wyoming_pocket_tts.core.errors import quote_untrusted
from wyoming_pocket_tts.core.events import SPOKEN, NullObserver, Observer, RequestStats
from wyoming_pocket_tts.core.logging import request_context
from wyoming_pocket_tts.core.types import SilenceOptions, SynthesisOptions, TextOptions
from wyoming_pocket_tts.voices.matching import VoiceMatch

_IDENTIFIER_BYTES: Final = 4


class RequestTimer:
    """One request's account. Belongs to the event loop."""

    def __init__(
        self,
        observer: Observer | None = None,
        *,
        peer: str = "",
        now: Callable[[], float] = time.monotonic,
    ) -> None:
        """Begin a request.

        Args:
            observer: is told; None for nobody.
            peer: who asks, as the log names clients.
            now: a clock that counts seconds.
        """
        self.request = secrets.token_hex(_IDENTIFIER_BYTES)
        """Identifies it in the log, also among other runs of the service."""
        self._observer = observer or NullObserver()
        self._peer = peer
        self._now = now
        self._waiting_since: float | None = None
        self._first_wait: float | None = None
        self._waited_seconds = 0.0
        self._audio_seconds = 0.0
        self._first_audio_seconds: float | None = None
        self._played_until = 0.0  # by a client that plays at once, once there was audio
        self._over = False
        self._observer.request_began()

    @property
    def audio_seconds(self) -> float:
        """Of the audio that has come."""
        return self._audio_seconds

    @property
    def waited_seconds(self) -> float:
        """How long it was waited for, up to the last time that this ended."""
        return self._waited_seconds

    def waits(self) -> None:
        """There is something to be spoken, and from now on audio is waited for."""
        self._waiting_since = self._now()
        if self._first_wait is None:
            self._first_wait = self._waiting_since

    def gets(self, seconds: float) -> None:
        """Audio of this length has come."""
        now = self._now()
        since = self._stop_waiting(now)
        if seconds <= 0:
            return
        if self._first_audio_seconds is None:
            self._first_audio_seconds = now - (since if self._first_wait is None else self._first_wait)
            self._observer.first_audio(self._first_audio_seconds)
        elif now > (dry_since := max(self._played_until, since)):
            self._observer.underrun(now - dry_since)
        self._audio_seconds += seconds
        self._played_until = max(self._played_until, now) + seconds

    def pauses(self, seconds: float) -> None:
        """Silence of this length was sent, which a client plays too."""
        self._played_until = max(self._played_until, self._now()) + seconds

    def stops_waiting(self) -> None:
        """A piece is spoken, or given up."""
        self._stop_waiting(self._now())

    def stood_in(self) -> None:
        """An embedded voice speaks instead of the one that was meant."""
        self._observer.stood_in()

    def ends(self, *, outcome: str = SPOKEN, voice: str | None, characters: int) -> None:
        """The request is over. Counts once.

        Args:
            outcome: ``SPOKEN``, or the code of an error.
            voice: the name of the voice that spoke, if one was found.
            characters: of the text that came.
        """
        if self._over:
            return
        self._over = True
        self.stops_waiting()
        ended = RequestStats(
            request=self.request,
            peer=self._peer,
            outcome=outcome,
            voice=voice,
            characters=characters,
            audio_seconds=self._audio_seconds,
            first_audio_seconds=self._first_audio_seconds,
            waited_seconds=self._waited_seconds,
        )
        self._observer.request_ended(ended)

    def _stop_waiting(self, now: float) -> float:
        """Return since when was waited."""
        since = now if self._waiting_since is None else self._waiting_since
        self._waited_seconds += now - since
        self._waiting_since = None
        return since


_LOGGER = logging.getLogger(__name__)
_MILLISECONDS: Final = 1_000


class RequestLog(NullObserver):
    """Writes what became of requests."""

    def request_ended(self, ended: RequestStats) -> None:
        """Write the line; as JSON it has the numbers as ``fields`` too."""
        with request_context(ended.request):
            _LOGGER.info("%s", _described(ended), extra={"fields": _fields(ended)})


def _described(ended: RequestStats) -> str:
    parts = [f"{ended.characters} characters", f"{ended.audio_seconds:.2f} s of audio"]
    if ended.first_audio_seconds is not None:
        parts.append(f"the first after {ended.first_audio_seconds * _MILLISECONDS:.0f} ms")
    if ended.real_time_factor is not None:
        parts.append(f"real-time factor {ended.real_time_factor:.3f}")
    by = f" by {ended.voice}" if ended.voice is not None else ""
    outcome = ended.outcome if ended.outcome == SPOKEN else f"ended with {ended.outcome}"
    return f"[{ended.peer}] {outcome}{by}: {', '.join(parts)}"


def _fields(ended: RequestStats) -> dict[str, object]:
    first, factor = ended.first_audio_seconds, ended.real_time_factor
    fields = asdict(ended)
    del fields["request"], fields["first_audio_seconds"], fields["waited_seconds"]
    return {
        **fields,
        "audio_seconds": round(ended.audio_seconds, 3),
        "first_audio_ms": None if first is None else round(first * _MILLISECONDS, 1),
        "real_time_factor": None if factor is None else round(factor, 4),
    }


def voice_choice_text(choice: VoiceMatch, wish: Mapping[str, str | None], *, ssml: bool | None) -> str:
    """Who was found for whom, by which rule, and how it is to speak.

    Args:
        choice: what was found.
        wish: the ``name``, ``speaker`` and ``language`` that were asked for.
        ssml: whether the text is marked up, None where nobody says.
    """
    asked = ", ".join(f"{key} {quote_untrusted(value)}" for key, value in wish.items() if value) or "no voice"
    marked_up = {None: "", True: " for SSML", False: " for plain text"}[ssml]
    style = f" in the style {choice.speaker!r}" if choice.speaker else ""
    return f"asked for {asked}{marked_up}: {choice.voice.name!r}{style}, {choice.why}; {options_text(choice.manner)}"


def options_text(manner: SynthesisOptions) -> str:
    """What a manner asks for besides a voice's own ways."""
    return ", ".join(_wishes(manner)) or "in its own manner"


def segment_text(audio_seconds: float, waited_seconds: float) -> str:
    """How long a piece of speech is, and how long it was waited for."""
    return f"made {audio_seconds:.2f} s of audio in {waited_seconds * _MILLISECONDS:.0f} ms"


def _wishes(manner: SynthesisOptions) -> Iterator[str]:
    plain = SynthesisOptions()
    if manner.speed != plain.speed:
        yield f"speed {manner.speed:g}"
    if manner.volume_db != plain.volume_db:
        yield f"volume {manner.volume_db:+g} dB"
    if manner.rate_hz is not None:
        yield f"{manner.rate_hz} Hz"
    if manner.temperature is not None:
        yield f"temperature {manner.temperature:g}"
    if manner.eos_threshold is not None:
        yield f"eos threshold {manner.eos_threshold:g}"
    yield from _silences(manner.pauses)
    yield from _words(manner.reading)


def _silences(pauses: SilenceOptions) -> Iterator[str]:
    for place, seconds in (("before", pauses.before), ("between", pauses.between), ("after", pauses.after)):
        if seconds:
            yield f"silence {place} {seconds:g} s"


def _words(reading: TextOptions) -> Iterator[str]:
    if not reading.normalize:
        yield "not normalised"
    if reading.emoji != TextOptions().emoji:
        yield f"emoji {reading.emoji}"
    for what, pairs in (("replacements", reading.replacements), ("pronunciations", reading.pronunciations)):
        if pairs:
            yield f"{len(pairs)} {what}"
