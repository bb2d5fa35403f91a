"""Streamed plain text -> segments with style and pauses."""

import re
from dataclasses import dataclass
from typing import Final, Protocol

from wyoming_pocket_tts.text.sentences import SentencePart, SentenceSplitter

LONGEST_PAUSE_SECONDS: Final = 10.0
"""Pauses that follow one another without a word between them are together no longer than this."""
DEFAULT_PAUSE_SECONDS: Final = 0.5
"""A pause that does not say how long it is."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ProsodyStyle:
    """How a stretch of text is to be spoken; the defaults leave it to the answer."""

    speed: float = 1.0
    """A factor."""
    volume_db: float = 0.0
    """Added to the answer's own; minus infinity for silence."""
    voice: str | None = None
    """The name of another voice."""
    language: str | None = None
    """BCP-47 tag of the text."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Segment:
    """Text to be spoken in one go: a sentence or a part of one."""

    text: str
    """Empty for a pause at the very end."""
    pause_seconds: float = 0.0
    """Silence ahead of it."""
    style: ProsodyStyle = ProsodyStyle()
    continues: bool = False
    """It goes on with the sentence of the piece before it."""


@dataclass(frozen=True, slots=True)
class TextWarning:
    """Something in a text that cannot be done as it is written."""

    kind: str
    """One of a few fixed words, none of them the text's own: fit for any log."""
    what: str
    """A sentence for the debug log: it quotes the text."""


class SegmentReader(Protocol):
    """Reads one text."""

    def feed(self, delta: str) -> list[Segment]:
        """Take more text; return the pieces that are certain now, in order."""
        ...

    def finish(self) -> list[Segment]:
        """Return what is left. The text is over."""
        ...

    def problems(self) -> list[TextWarning]:
        """What was wrong with the markup since this was last asked."""
        ...


class SegmentReaderFactory(Protocol):
    """Makes readers."""

    def __call__(self, language: str, *, ssml: bool | None) -> SegmentReader:
        """A reader of one text in a language (``en``, ``de``); ``ssml`` is None where nobody says what it is."""
        ...


class SegmentBuilder:
    """Cuts stretches of text into sentences and keeps their pauses and styles."""

    def __init__(self, language: str) -> None:
        """Begin a text in this language (BCP-47)."""
        self._language = language
        self._style = ProsodyStyle()
        self._stream = SentenceSplitter(language)
        self._pieces: list[Segment] = []
        self._pause_seconds = 0.0
        self._begun = False  # some piece came out: the next ones need not be short
        self._open = False  # the stream holds the beginning of a piece
        self._last_character = ""
        self._mid_sentence = False

    def say(self, text: str, style: ProsodyStyle = ProsodyStyle()) -> None:
        """Go on with this text. Where the style changes, a piece ends; marks right behind still belong to it."""
        if style != self._style:
            if self._open:
                marks = _MARKS.match(text)
                assert marks is not None, "it matches anything"  # noqa: S101  (our own invariant)
                self._add(self._stream.feed_parts(marks.group()))
                text = text[marks.end() :]
            if not text:
                return
            was_open = self._open
            self.end_piece()
            self._mid_sentence = was_open and self._last_character not in _SENTENCE_ENDS
            self._style = style
            self._stream = self._new_stream()
        if text:
            self._open = self._open or not text.isspace()
            self._add(self._stream.feed_parts(text))

    def end_piece(self) -> None:
        """What was said so far is a sentence, however it ends."""
        self._add(self._stream.finish_parts())
        self._mid_sentence = self._open = False
        self._stream = self._new_stream()

    def pause(self, seconds: float) -> None:
        """Be silent for a while."""
        self.end_piece()
        self._pause_seconds = min(self._pause_seconds + seconds, LONGEST_PAUSE_SECONDS)

    def take(self) -> list[Segment]:
        """The pieces that are certain, each once."""
        pieces, self._pieces = self._pieces, []
        return pieces

    def finish(self) -> list[Segment]:
        """The rest. A pause at the end is a piece without text."""
        self.end_piece()
        if self._pause_seconds:
            self._pieces.append(Segment(text="", pause_seconds=self._pause_seconds))
            self._pause_seconds = 0.0
        return self.take()

    def _new_stream(self) -> SentenceSplitter:
        return SentenceSplitter(self._style.language or self._language, cut_first_early=not self._begun)

    def _add(self, parts: list[SentencePart]) -> None:
        for part in parts:
            piece = Segment(
                text=part.text, pause_seconds=self._pause_seconds, style=self._style, continues=self._mid_sentence
            )
            self._pieces.append(piece)
            self._pause_seconds = 0.0
            self._begun = True
            self._last_character = part.text[-1]
            self._mid_sentence = not part.ends


class PlainTextReader:
    """Text without markup but ``[pause]``, ``[pause 500ms]`` and ``[pause 1.5s]``, in any case."""

    def __init__(self, language: str) -> None:
        """Begin a text in this language (BCP-47)."""
        self._builder = SegmentBuilder(language)
        self._held = ""  # may be the beginning of a mark

    def feed(self, delta: str) -> list[Segment]:
        """Take more text; return the pieces that are certain now, in order."""
        self._read(self._held + delta, finished=False)
        return self._builder.take()

    def finish(self) -> list[Segment]:
        """Return what is left."""
        self._read(self._held, finished=True)
        return self._builder.finish()

    def problems(self) -> list[TextWarning]:
        """Nothing can be wrong with plain text."""
        return []

    def _read(self, text: str, *, finished: bool) -> None:
        at = 0  # where the text begins that was not said yet
        bracket = text.find("[")
        while bracket >= 0:
            mark = _PAUSE.match(text, bracket)
            if mark is not None:
                self._builder.say(text[at:bracket])
                self._builder.pause(_seconds(mark))
                at = mark.end()
            elif not finished and len(text) - bracket < _LONGEST_MARK and _PAUSE_BEGINS.match(text, bracket):
                break
            bracket = text.find("[", max(at, bracket + 1))
        end = bracket if bracket >= 0 else len(text)
        self._builder.say(text[at:end])
        self._held = text[end:]


def _seconds(mark: re.Match[str]) -> float:
    if mark["amount"] is None:
        return DEFAULT_PAUSE_SECONDS
    amount = float(mark["amount"])
    return amount / 1_000 if mark["unit"].lower() == "ms" else amount


_MARKS: Final = re.compile(r"[.,;:!?…]*")
_SENTENCE_ENDS: Final = frozenset(".!?…")
_PAUSE: Final = re.compile(
    r"\[ {0,2}pause(?: {1,2}(?P<amount>\d{1,6}(?:\.\d{1,6})?) {0,2}(?P<unit>ms|s))? {0,2}\]", re.IGNORECASE | re.ASCII
)
_PAUSE_BEGINS: Final = re.compile(r"\[[ pausePAUSEmM0-9.]*\Z")
_LONGEST_MARK: Final = 34
"""More characters than the pattern can match."""
