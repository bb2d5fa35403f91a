"""Choose plain text or SSML; leave out <think>."""

import re
from typing import Final

from wyoming_pocket_tts.text.segments import PlainTextReader, Segment, SegmentReader, TextWarning
from wyoming_pocket_tts.text.ssml import SsmlReader

_SSML: Final = re.compile(r"<(?:speak[\s/>]|\?xml\s)", re.IGNORECASE)
_SSML_BEGINNINGS: Final = ("<speak", "<?xml")
_NAMES: Final = ("think", "thinking")
_OPENINGS: Final = tuple(f"<{name}>" for name in _NAMES)
_OPENING = re.compile("|".join(_OPENINGS), re.IGNORECASE | re.ASCII)
_CLOSINGS: Final = {
    opening: re.compile(f"</{name}>", re.IGNORECASE | re.ASCII) for name, opening in zip(_NAMES, _OPENINGS, strict=True)
}


def segment_reader_for(language: str, *, ssml: bool | None) -> SegmentReader:
    """A reader of a text (BCP-47 tag), without its thoughts. With ``ssml`` None its beginning decides: ``<speak``."""
    return _ThoughtlessReader(_GuessingReader(language) if ssml is None else _known_reader(language, ssml=ssml))


def _known_reader(language: str, *, ssml: bool) -> SegmentReader:
    return SsmlReader(language) if ssml else PlainTextReader(language)


class _ThoughtlessReader:
    def __init__(self, reader: SegmentReader) -> None:
        self._reader = reader
        self._filter = ThinkTagFilter()

    def feed(self, delta: str) -> list[Segment]:
        return self._reader.feed(self._filter.feed(delta))

    def finish(self) -> list[Segment]:
        return [*self._reader.feed(self._filter.finish()), *self._reader.finish()]

    def problems(self) -> list[TextWarning]:
        return self._reader.problems()


class _GuessingReader:
    """Waits for the first characters."""

    def __init__(self, language: str) -> None:
        self._language = language
        self._beginning = ""
        self._reader: SegmentReader | None = None

    def feed(self, delta: str) -> list[Segment]:
        if self._reader is not None:
            return self._reader.feed(delta)
        self._beginning = (self._beginning + delta).lstrip()
        if any(sign.startswith(self._beginning.lower()) for sign in _SSML_BEGINNINGS):
            return []
        return self._decide().feed(self._beginning)

    def finish(self) -> list[Segment]:
        if self._reader is not None:
            return self._reader.finish()
        reader = self._decide()
        return [*reader.feed(self._beginning), *reader.finish()]

    def problems(self) -> list[TextWarning]:
        return [] if self._reader is None else self._reader.problems()

    def _decide(self) -> SegmentReader:
        self._reader = _known_reader(self._language, ssml=_SSML.match(self._beginning) is not None)
        return self._reader


class ThinkTagFilter:
    """Removes ``<think>...</think>`` from a streamed text, in linear time and however the text is cut.

    Without its end tag a thought is spoken: its text comes out at the end, so that nothing is lost.
    """

    def __init__(self) -> None:
        self._held = ""  # may be the beginning of a tag
        self._closing: re.Pattern[str] | None = None  # within a thought, its end
        self._thought: list[str] = []

    def feed(self, delta: str) -> str:
        """Take more text; return what remains of it, as far as that is certain. A space replaces a thought."""
        kept: list[str] = []
        text, self._held = self._held + delta, ""
        while text:
            text = self._outside(text, kept) if self._closing is None else self._inside(text, self._closing)
        return "".join(kept)

    def finish(self) -> str:
        """The rest."""
        rest = "".join(self._thought) + self._held
        self._held, self._closing = "", None
        self._thought.clear()
        return rest

    def _outside(self, text: str, kept: list[str]) -> str:
        """Keep text up to the next thought; return what is behind its opening tag."""
        opening = _OPENING.search(text)
        if opening is None:
            bracket = text.rfind("<", -max(map(len, _OPENINGS)))
            if bracket >= 0 and any(tag.startswith(text[bracket:].lower()) for tag in _OPENINGS):
                text, self._held = text[:bracket], text[bracket:]
            kept.append(text)
            return ""
        kept += [text[: opening.start()], " "]
        self._closing = _CLOSINGS[opening.group().lower()]
        return text[opening.end() :]

    def _inside(self, text: str, closing: re.Pattern[str]) -> str:
        """Collect text up to the end of the thought; return what is behind it."""
        end = closing.search(text)
        if end is None:
            certain = max(0, len(text) - len(closing.pattern) + 1)
            self._thought.append(text[:certain])
            self._held = text[certain:]
            return ""
        self._thought.clear()
        self._closing = None
        return text[end.end() :]
