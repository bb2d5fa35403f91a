"""Streamed plain text -> segments with style and pauses."""

import re
from dataclasses import dataclass
from typing import Final, Protocol

from wyoming_pocket_tts.text.sentences import SentencePart, SentenceSplitter

LONGEST_PAUSE_SECONDS: Final = 10.0  # the longest sum of pauses without a word between them
DEFAULT_PAUSE_SECONDS: Final = 0.5  # a pause without a length

_MARKS: Final = re.compile(r"[.,;:!?…]*")
_SENTENCE_ENDS: Final = frozenset(".!?…")
_PAUSE: Final = re.compile(
    r"\[ {0,2}pause(?: {1,2}(?P<amount>\d{1,6}(?:\.\d{1,6})?) {0,2}(?P<unit>ms|s))? {0,2}\]", re.IGNORECASE | re.ASCII
)
_PAUSE_BEGINS: Final = re.compile(r"\[[ pausePAUSEmM0-9.]*\Z")
_LONGEST_MARK: Final = 34  # more characters than _PAUSE can match


@dataclass(frozen=True, slots=True, kw_only=True)
class ProsodyStyle:
    """How a stretch of text is to be synthesised; the defaults leave it to the request."""

    speed: float = 1.0  # a factor
    volume_db: float = 0.0  # added to the volume of the request; minus infinity for silence
    voice: str | None = None
    language: str | None = None  # BCP-47 tag of the text


@dataclass(frozen=True, slots=True, kw_only=True)
class Segment:
    """Text to be synthesised in one go: a sentence or a part of one."""

    text: str  # empty for a pause at the very end
    pause_seconds: float = 0.0  # silence ahead of it
    style: ProsodyStyle = ProsodyStyle()
    continues: bool = False  # it goes on with the sentence of the segment before it


@dataclass(frozen=True, slots=True)
class TextWarning:
    """Something in a text that is not supported or wrong."""

    kind: str  # one of a few fixed words, none of them from the text: fit for any log
    what: str  # a sentence for the debug log; it quotes the text


class SegmentReader(Protocol):
    """Reads one text. Its segments do not depend on how the text was cut into deltas."""

    def feed(self, delta: str) -> list[Segment]: ...

    def finish(self, delta: str = "") -> list[Segment]:
        """The rest, after a last delta."""

    def problems(self) -> list[TextWarning]:
        """Mistakes in the markup since the last call."""


class SegmentReaderFactory(Protocol):
    def __call__(self, language: str, *, ssml: bool | None) -> SegmentReader:
        """A reader of one text in a language (``en``, ``de``); ``ssml`` None: by the beginning of the text."""


class SegmentBuilder:
    def __init__(self, language: str) -> None:
        self._language = language
        self._style = ProsodyStyle()
        self._splitter: SentenceSplitter | None = None  # made for the first text of a segment
        self._segments: list[Segment] = []
        self._pause_seconds = 0.0
        self._begun = False  # a segment came out: the next ones need not be short
        self._open = False  # the splitter holds the beginning of a segment
        self._last_character = ""
        self._mid_sentence = False

    def add(self, text: str, style: ProsodyStyle = ProsodyStyle()) -> None:
        """Append text. A change of style ends the segment; marks right behind the change still belong to it."""
        if style != self._style:
            if self._open:
                marks = _MARKS.match(text)
                assert marks is not None, "it matches anything"  # noqa: S101  (our own invariant)
                self._emit(self._splitting().feed_parts(marks.group()))
                text = text[marks.end() :]
            if not text:
                return
            was_open = self._open
            self.end_segment()
            self._mid_sentence = was_open and self._last_character not in _SENTENCE_ENDS
            self._style = style
        if text:
            self._open = self._open or not text.isspace()
            self._emit(self._splitting().feed_parts(text))

    def end_segment(self) -> None:
        """End the sentence here, whatever its last character."""
        if self._splitter is not None:
            self._emit(self._splitter.finish_parts())
            self._splitter = None
        self._mid_sentence = self._open = False

    def pause(self, seconds: float) -> None:
        self.end_segment()
        self._pause_seconds = min(self._pause_seconds + seconds, LONGEST_PAUSE_SECONDS)

    def take(self) -> list[Segment]:
        segments, self._segments = self._segments, []
        return segments

    def finish(self) -> list[Segment]:
        """The rest. A pause at the end is a segment without text."""
        self.end_segment()
        if self._pause_seconds:
            self._segments.append(Segment(text="", pause_seconds=self._pause_seconds))
            self._pause_seconds = 0.0
        return self.take()

    def _splitting(self) -> SentenceSplitter:
        if self._splitter is None:
            language = self._style.language or self._language
            self._splitter = SentenceSplitter(language, cut_first_early=not self._begun)
        return self._splitter

    def _emit(self, parts: list[SentencePart]) -> None:
        for part in parts:
            segment = Segment(
                text=part.text, pause_seconds=self._pause_seconds, style=self._style, continues=self._mid_sentence
            )
            self._segments.append(segment)
            self._pause_seconds = 0.0
            self._begun = True
            self._last_character = part.text[-1]
            self._mid_sentence = not part.ends


class PlainTextReader:
    """Text without markup but ``[pause]``, ``[pause 500ms]`` and ``[pause 1.5s]``, in any case."""

    def __init__(self, language: str) -> None:
        self._builder = SegmentBuilder(language)
        self._held = ""  # may be the beginning of a mark

    def feed(self, delta: str) -> list[Segment]:
        self._read(self._held + delta, finished=False)
        return self._builder.take()

    def finish(self, delta: str = "") -> list[Segment]:
        self._read(self._held + delta, finished=True)
        return self._builder.finish()

    def problems(self) -> list[TextWarning]:
        return []

    def _read(self, text: str, *, finished: bool) -> None:
        at = 0  # the beginning of the text that was not added yet
        bracket = text.find("[")
        while bracket >= 0:
            mark = _PAUSE.match(text, bracket)
            if mark is not None:
                self._builder.add(text[at:bracket])
                self._builder.pause(_seconds(mark))
                at = mark.end()
            elif not finished and len(text) - bracket < _LONGEST_MARK and _PAUSE_BEGINS.match(text, bracket):
                break
            bracket = text.find("[", max(at, bracket + 1))
        end = bracket if bracket >= 0 else len(text)
        self._builder.add(text[at:end])
        self._held = text[end:]


def _seconds(mark: re.Match[str]) -> float:
    if mark["amount"] is None:
        return DEFAULT_PAUSE_SECONDS
    amount = float(mark["amount"])
    return amount / 1_000 if mark["unit"].lower() == "ms" else amount
