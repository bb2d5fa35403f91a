"""The text of one request in segments: reading, pauses, and the engine's requests."""

from collections import deque
from collections.abc import Callable
from dataclasses import replace
from typing import Final, Protocol

from wyoming_pocket_tts.core.errors import VoiceError, quote_untrusted
from wyoming_pocket_tts.core.types import SILENT_DB, SilenceOptions, SynthesisRequest
from wyoming_pocket_tts.text.reader import primary_language
from wyoming_pocket_tts.text.segments import Segment, SegmentReader, TextWarning
from wyoming_pocket_tts.voices.matching import VoiceMatch

MAX_PAUSE_SECONDS: Final = 60.0
"""Silence that the text of one request asks for, all its pauses together. What settings ask for comes on top."""
_SLICE_CHARACTERS: Final = 256
"""Text that is read at once: prose takes 0.1 ms, the worst markup 1 ms."""
_TURN_CHARACTERS: Final = 512
"""Text that is read before other connections get their turn."""
_MIN_SPEED: Final = 0.5
_MAX_SPEED: Final = 2.0
_MAX_VOLUME_DB: Final = 20.0


class ResolveVoice(Protocol):
    """Finds the voice that a client means; ``VoiceError`` if there is none. Runs on the event loop."""

    def __call__(self, *, name: str | None, speaker: str | None, language: str | None) -> VoiceMatch: ...


FindFallback = Callable[[VoiceMatch], VoiceMatch | None]
"""Finds the voice to use while the engine of another one is overloaded."""


class SegmentQueue:
    """Reads a text no further than to its next segment, in slices, so that a long text does not block the loop."""

    def __init__(self, reader: SegmentReader) -> None:
        self._reader = reader
        self._unread: deque[str] = deque()
        self._segments: deque[Segment] = deque()
        self.is_complete = False
        """No text follows."""
        self._is_finished = False

    @property
    def has_segment(self) -> bool:
        return bool(self._segments)

    def add(self, text: str) -> None:
        if text:  # empty chunks, however many, take no memory
            self._unread.append(text)

    def drop(self) -> None:
        self._unread.clear()
        self._segments.clear()
        self.is_complete = self._is_finished = True

    def read_on(self) -> bool:
        """Read until there is a segment or no more text. False: there is more to read, in the next turn."""
        left = _TURN_CHARACTERS
        while not (self._segments or self._is_finished) and (self._unread or self.is_complete):
            if left <= 0:
                return False
            text = self._unread.popleft() if self._unread else ""
            if len(text) > _SLICE_CHARACTERS:
                self._unread.appendleft(text[_SLICE_CHARACTERS:])
                text = text[:_SLICE_CHARACTERS]
            left -= len(text)
            self._is_finished = self.is_complete and not self._unread
            self._segments.extend(self._reader.finish(text) if self._is_finished else self._reader.feed(text))
        return True

    def take(self) -> Segment:
        return self._segments.popleft()

    def problems(self) -> list[TextWarning]:
        """Faults of the text read since the last call."""
        return self._reader.problems()


class PauseTracker:
    """Samples of silence that one response owes: before a segment that makes sound, and after the last of them."""

    def __init__(self, pauses: SilenceOptions, *, rate_hz: int) -> None:
        self.owed_samples = 0
        self._pauses = pauses
        self._rate_hz = rate_hz
        self._text_samples_left = round(MAX_PAUSE_SECONDS * rate_hz)
        self._text_seconds = 0.0  # around segments that made no sound yet
        self._sentence_begins = False
        self._has_sounded = False
        self._has_ended = False

    def change_rate(self, rate_hz: int) -> None:
        """Only before the first sound."""
        self._text_samples_left = round(self._text_samples_left * rate_hz / self._rate_hz)
        self._rate_hz = rate_hz

    def begin_segment(self, segment: Segment) -> None:
        self._text_seconds += segment.pause_seconds
        self._sentence_begins |= not segment.continues

    def begin_sound(self) -> None:
        """Before the first block of a segment, and again for the others."""
        if self._has_sounded:
            self._owe(self._pauses.between if self._sentence_begins else 0.0)
        else:
            self._owe(self._pauses.before)
        self._has_sounded, self._sentence_begins = True, False

    def end(self) -> None:
        """All is synthesised, and there was sound."""
        if not self._has_ended:
            self._owe(self._pauses.after)
        self._has_ended = True

    def take(self, most_samples: int) -> int:
        taken = min(self.owed_samples, most_samples)
        self.owed_samples -= taken
        return taken

    def _owe(self, own_seconds: float) -> None:
        text_samples = min(round(self._text_seconds * self._rate_hz), self._text_samples_left)
        self._text_seconds = 0.0
        self._text_samples_left -= text_samples
        self.owed_samples += text_samples + round(own_seconds * self._rate_hz)


class RequestBuilder:
    """Makes the requests of one response, all at one rate: clients take the format from the first ``audio-start``."""

    def __init__(self, choice: VoiceMatch, resolve: ResolveVoice) -> None:
        self.choice = choice
        self.rate_hz = choice.options.rate_hz or choice.voice.sample_rate_hz
        self._resolve = resolve
        self._choices: dict[tuple[str | None, str | None], VoiceMatch] = {}  # bounded by what the longest text names
        self._warnings: list[TextWarning] = []

    def build(self, segment: Segment) -> SynthesisRequest:
        style = segment.style
        key = (style.voice, style.language)
        if (choice := self._choices.get(key)) is None:
            choice = self._choices[key] = self._choose(*key)
        options = choice.options
        return SynthesisRequest(
            text=segment.text,
            voice=choice.voice,
            speaker=choice.speaker,
            options=replace(
                options,
                speed=min(max(options.speed * style.speed, _MIN_SPEED), _MAX_SPEED),
                volume_db=min(max(options.volume_db + style.volume_db, SILENT_DB), _MAX_VOLUME_DB),
                rate_hz=self.rate_hz,
            ),
            language=style.language,
        )

    def with_fallback(self, find: FindFallback) -> "RequestBuilder | None":
        """The same with fallback voices for all that the text asks for; None if there is none."""
        choice = find(self.choice)

        def resolve(*, name: str | None, speaker: str | None, language: str | None) -> VoiceMatch:
            found = find(self._resolve(name=name, speaker=speaker, language=language))
            if found is None:
                raise VoiceError("there is no fallback for that voice")
            return found

        return None if choice is None else RequestBuilder(choice, resolve)

    def warnings(self) -> list[TextWarning]:
        """Voices and languages that the text asked for in vain since the last call; each once."""
        warnings, self._warnings = self._warnings, []
        return warnings

    def _choose(self, name: str | None, language: str | None) -> VoiceMatch:
        """The voice of that name, else one of the language, else the response's own with a warning."""
        if name is None and (language is None or _has_language(self.choice, language)):
            return self.choice
        try:
            found = self._resolve(name=name, speaker=None, language=None if name is not None else language)
        except VoiceError:
            found = None
        if name is not None:
            if found is not None and not found.warnings:
                return found
            kind, problem = "a voice that does not exist", f"there is no voice {quote_untrusted(name)}"
        else:
            if found is not None and _has_language(found, language or ""):
                return found
            kind, problem = "a language without a voice", f"no voice has the language {quote_untrusted(language)}"
        self._warnings.append(TextWarning(kind, f"{problem}, as the text asks: {self.choice.voice.name!r} is used"))
        return self.choice


def _has_language(choice: VoiceMatch, language: str) -> bool:
    return primary_language(language) in map(primary_language, choice.voice.languages)
