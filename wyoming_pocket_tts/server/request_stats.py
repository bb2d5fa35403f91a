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

_LOGGER = logging.getLogger(__name__)
_IDENTIFIER_BYTES: Final = 4
_MILLISECONDS: Final = 1_000


class RequestTimer:
    """Timing of one request. Measures only time spent waiting for the engine; a slow client or late text do not count.

    Belongs to the event loop. ``peer`` is the client's name in the log.
    """

    def __init__(
        self, observer: Observer | None = None, *, peer: str = "", now: Callable[[], float] = time.monotonic
    ) -> None:
        self.request = secrets.token_hex(_IDENTIFIER_BYTES)
        """Identifies the request in the log, also among other runs of the service."""
        self.audio_seconds = 0.0
        """Of speech so far, without the silence around."""
        self.waited_seconds = 0.0
        """Up to the last time that a wait ended."""
        self._observer = observer or NullObserver()
        self._peer = peer
        self._now = now
        self._waiting_since: float | None = None
        self._first_wait: float | None = None
        self._first_audio_seconds: float | None = None
        self._played_until = 0.0  # by a client that plays at once; valid once there was audio
        self._is_over = False
        self._observer.request_began()

    def start_waiting(self) -> None:
        """A segment is ready, and its audio is waited for."""
        self._waiting_since = self._now()
        if self._first_wait is None:
            self._first_wait = self._waiting_since

    def stop_waiting(self) -> None:
        """The segment is complete or cancelled."""
        self._stop_waiting(self._now())

    def add_audio(self, seconds: float) -> None:
        """A block of speech has come; ends the wait."""
        now = self._now()
        since = self._stop_waiting(now)
        if seconds <= 0:
            return
        if self._first_audio_seconds is None:
            self._first_audio_seconds = now - (since if self._first_wait is None else self._first_wait)
            self._observer.first_audio(self._first_audio_seconds)
        elif now > (dry_since := max(self._played_until, since)):
            self._observer.underrun(now - dry_since)
        self.audio_seconds += seconds
        self._played_until = max(self._played_until, now) + seconds

    def add_silence(self, seconds: float) -> None:
        """Silence was sent, which a client plays too."""
        self._played_until = max(self._played_until, self._now()) + seconds

    def fallback_used(self) -> None:
        self._observer.stood_in()

    def finish(self, *, outcome: str = SPOKEN, voice: str | None, characters: int) -> None:
        """Report the request once. ``outcome`` is ``SPOKEN`` or the code of an error."""
        if self._is_over:
            return
        self._is_over = True
        self.stop_waiting()
        ended = RequestStats(
            request=self.request,
            peer=self._peer,
            outcome=outcome,
            voice=voice,
            characters=characters,
            audio_seconds=self.audio_seconds,
            first_audio_seconds=self._first_audio_seconds,
            waited_seconds=self.waited_seconds,
        )
        self._observer.request_ended(ended)

    def _stop_waiting(self, now: float) -> float:
        """Return when the wait began."""
        since = now if self._waiting_since is None else self._waiting_since
        self.waited_seconds += now - since
        self._waiting_since = None
        return since


class RequestLog(NullObserver):
    """Writes one line for each finished request: numbers, no text."""

    def request_ended(self, ended: RequestStats) -> None:
        with request_context(ended.request):
            _LOGGER.info("%s", _line(ended), extra={"fields": _fields(ended)})


def _line(ended: RequestStats) -> str:
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


def voice_choice_text(choice: VoiceMatch, asked: Mapping[str, str | None], *, ssml: bool | None) -> str:
    """The voice that was found, by which rule, and its options; ``ssml`` is None where the client does not say."""
    fields = ", ".join(f"{key} {quote_untrusted(value)}" for key, value in asked.items() if value) or "no voice"
    markup = {None: "", True: " for SSML", False: " for plain text"}[ssml]
    style = f" in the style {choice.speaker!r}" if choice.speaker else ""
    return f"asked for {fields}{markup}: {choice.voice.name!r}{style}, {choice.why}; {options_text(choice.manner)}"


def options_text(options: SynthesisOptions) -> str:
    """The options that differ from the voice's own."""
    return ", ".join(_options(options)) or "in its own manner"


def segment_text(audio_seconds: float, waited_seconds: float) -> str:
    return f"made {audio_seconds:.2f} s of audio in {waited_seconds * _MILLISECONDS:.0f} ms"


def _options(options: SynthesisOptions) -> Iterator[str]:
    plain = SynthesisOptions()
    if options.speed != plain.speed:
        yield f"speed {options.speed:g}"
    if options.volume_db != plain.volume_db:
        yield f"volume {options.volume_db:+g} dB"
    if options.rate_hz is not None:
        yield f"{options.rate_hz} Hz"
    if options.temperature is not None:
        yield f"temperature {options.temperature:g}"
    if options.eos_threshold is not None:
        yield f"eos threshold {options.eos_threshold:g}"
    yield from _silences(options.pauses)
    yield from _text_options(options.reading)


def _silences(pauses: SilenceOptions) -> Iterator[str]:
    for place, seconds in (("before", pauses.before), ("between", pauses.between), ("after", pauses.after)):
        if seconds:
            yield f"silence {place} {seconds:g} s"


def _text_options(reading: TextOptions) -> Iterator[str]:
    if not reading.normalize:
        yield "not normalised"
    if reading.emoji != TextOptions().emoji:
        yield f"emoji {reading.emoji}"
    for what, pairs in (("replacements", reading.replacements), ("pronunciations", reading.pronunciations)):
        if pairs:
            yield f"{len(pairs)} {what}"
