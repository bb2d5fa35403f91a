"""Timing, request log, debug trace."""

import logging
import secrets
import time
from collections.abc import Callable, Mapping
from typing import Final

from wyoming_pocket_tts.core.errors import quote_untrusted
from wyoming_pocket_tts.core.events import SPOKEN, Observer, RequestStats
from wyoming_pocket_tts.core.logging import request_context
from wyoming_pocket_tts.core.types import SynthesisOptions
from wyoming_pocket_tts.voices.matching import VoiceMatch

_LOGGER = logging.getLogger(__name__)
_IDENTIFIER_BYTES: Final = 4
_MILLISECONDS: Final = 1_000


class RequestTimer:
    """Timing of one request: waits for the engine count, slow clients and late text do not. Event loop only."""

    def __init__(
        self, observer: Observer | None = None, *, peer: str = "", now: Callable[[], float] = time.monotonic
    ) -> None:
        self.request = secrets.token_hex(_IDENTIFIER_BYTES)
        """Identifies the request in the log; unique among runs of the service."""
        self.audio_seconds = 0.0
        """Without the silence around."""
        self.waited_seconds = 0.0
        self._observer = observer
        self._peer = peer
        self._now = now
        self._waiting_since: float | None = None
        self._first_wait: float | None = None
        self._first_audio_seconds: float | None = None
        self._played_until = 0.0  # by a client that plays at once; valid once there was audio
        self._is_over = False
        if observer is not None:
            observer.request_started()

    def start_waiting(self) -> None:
        """A segment is ready, and its audio is waited for."""
        self._waiting_since = self._now()
        if self._first_wait is None:
            self._first_wait = self._waiting_since

    def stop_waiting(self) -> float:
        """The wait ends with a block, or the segment; returns when it began."""
        now = self._now()
        since = now if self._waiting_since is None else self._waiting_since
        self.waited_seconds += now - since
        self._waiting_since = None
        return since

    def add_audio(self, seconds: float) -> None:
        """A block of speech has come; ends the wait."""
        since = self.stop_waiting()
        if seconds <= 0:
            return
        now = self._now()
        if self._first_audio_seconds is None:
            self._first_audio_seconds = now - (since if self._first_wait is None else self._first_wait)
            if self._observer is not None:
                self._observer.first_audio(self._first_audio_seconds)
        elif now > (dry_since := max(self._played_until, since)) and self._observer is not None:
            self._observer.underrun(now - dry_since)
        self.audio_seconds += seconds
        self._played_until = max(self._played_until, now) + seconds

    def add_silence(self, seconds: float) -> None:
        """Silence was sent; a client plays it too."""
        self._played_until = max(self._played_until, self._now()) + seconds

    def fallback_used(self) -> None:
        if self._observer is not None:
            self._observer.fallback_used()

    def finish(self, *, outcome: str = SPOKEN, voice: str | None, characters: int) -> None:
        """Report the request, once. ``outcome`` is ``SPOKEN`` or the code of an error."""
        if self._is_over:
            return
        self._is_over = True
        self.stop_waiting()
        stats = RequestStats(
            request=self.request,
            peer=self._peer,
            outcome=outcome,
            voice=voice,
            characters=characters,
            audio_seconds=self.audio_seconds,
            first_audio_seconds=self._first_audio_seconds,
            waited_seconds=self.waited_seconds,
        )
        log_request(stats)
        if self._observer is not None:
            self._observer.request_finished(stats)


def log_request(ended: RequestStats) -> None:
    """Write the line of a finished request: numbers, no text."""
    parts = [f"{ended.characters} characters", f"{ended.audio_seconds:.2f} s of audio"]
    fields: dict[str, object] = {
        "peer": ended.peer,
        "outcome": ended.outcome,
        "voice": ended.voice,
        "characters": ended.characters,
        "audio_seconds": round(ended.audio_seconds, 3),
        "first_audio_ms": None,
        "real_time_factor": None,
    }
    if ended.first_audio_seconds is not None:
        milliseconds = ended.first_audio_seconds * _MILLISECONDS
        parts.append(f"the first after {milliseconds:.0f} ms")
        fields["first_audio_ms"] = round(milliseconds, 1)
    if ended.real_time_factor is not None:
        parts.append(f"real-time factor {ended.real_time_factor:.3f}")
        fields["real_time_factor"] = round(ended.real_time_factor, 4)
    outcome = ended.outcome if ended.outcome == SPOKEN else f"ended with {ended.outcome}"
    by = "" if ended.voice is None else f" by {ended.voice}"
    with request_context(ended.request):
        _LOGGER.info("[%s] %s%s: %s", ended.peer, outcome, by, ", ".join(parts), extra={"fields": fields})


def voice_choice_text(choice: VoiceMatch, asked: Mapping[str, str | None], *, ssml: bool | None) -> str:
    """The voice that was found, by which rule, and its options; ``ssml`` is None where the client does not say."""
    fields = ", ".join(f"{key} {quote_untrusted(value)}" for key, value in asked.items() if value) or "no voice"
    markup = {None: "", True: " for SSML", False: " for plain text"}[ssml]
    style = f" in the style {choice.speaker!r}" if choice.speaker else ""
    return f"asked for {fields}{markup}: {choice.voice.name!r}{style}, {choice.why}; {options_text(choice.options)}"


def options_text(options: SynthesisOptions) -> str:
    """The options that differ from the voice's own."""
    plain, pauses, text = SynthesisOptions(), options.pauses, options.text
    texts = {
        f"speed {options.speed:g}": options.speed != plain.speed,
        f"volume {options.volume_db:+g} dB": options.volume_db != plain.volume_db,
        f"{options.rate_hz} Hz": options.rate_hz is not None,
        f"temperature {options.temperature or 0:g}": options.temperature is not None,
        f"eos threshold {options.eos_threshold or 0:g}": options.eos_threshold is not None,
        f"silence before {pauses.before:g} s": pauses.before,
        f"silence between {pauses.between:g} s": pauses.between,
        f"silence after {pauses.after:g} s": pauses.after,
        "not normalised": not text.normalize,
        f"emoji {text.emoji}": text.emoji != plain.text.emoji,
        f"{len(text.replacements)} replacements": text.replacements,
        f"{len(text.pronunciations)} pronunciations": text.pronunciations,
    }
    return ", ".join(text for text, differs in texts.items() if differs) or "default options"


def segment_text(audio_seconds: float, waited_seconds: float) -> str:
    return f"made {audio_seconds:.2f} s of audio in {waited_seconds * _MILLISECONDS:.0f} ms"
