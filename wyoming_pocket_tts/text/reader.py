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
    """A reader of a text (BCP-47 tag), without ``<think>``. With ``ssml`` None its beginning decides: ``<speak``."""
    return _Reader(primary_language(language), ssml=ssml)


def primary_language(tag: str) -> str:
    """``de`` for ``de-DE`` or ``de_DE``."""
    return tag.replace("_", "-").partition("-")[0].lower()


class _Reader:
    def __init__(self, language: str, *, ssml: bool | None) -> None:
        self._language = language
        self._filter = ThinkTagFilter()
        self._beginning = ""
        self._reader = None if ssml is None else self._open(ssml=ssml)

    def _open(self, *, ssml: bool) -> SegmentReader:
        return SsmlReader(self._language) if ssml else PlainTextReader(self._language)

    def feed(self, delta: str) -> list[Segment]:
        text = self._filter.feed(delta)
        if self._reader is None:
            text = self._beginning = (self._beginning + text).lstrip()
            if any(sign.startswith(text.lower()) for sign in _SSML_BEGINNINGS):
                return []
            self._reader = self._open(ssml=_SSML.match(text) is not None)
        return self._reader.feed(text)

    def finish(self, delta: str = "") -> list[Segment]:
        text = self._filter.feed(delta) + self._filter.finish()
        if self._reader is None:
            text = (self._beginning + text).lstrip()
            self._reader = self._open(ssml=_SSML.match(text) is not None)
        return self._reader.finish(text)

    def problems(self) -> list[TextWarning]:
        return [] if self._reader is None else self._reader.problems()


class ThinkTagFilter:
    """Removes ``<think>...</think>`` from a streamed text, in linear time and however the text is cut.

    The text of a tag that is not closed is returned at the end, so that nothing is lost.
    """

    def __init__(self) -> None:
        self._held = ""  # may be the beginning of a tag
        self._closing: re.Pattern[str] | None = None  # within an element, its end
        self._hidden: list[str] = []

    def feed(self, delta: str) -> str:
        """The text that is certain; a space replaces each element."""
        kept: list[str] = []
        text, self._held = self._held + delta, ""
        while text:
            text = self._outside(text, kept) if self._closing is None else self._inside(text, self._closing)
        return "".join(kept)

    def finish(self) -> str:
        rest = "".join(self._hidden) + self._held
        self._held, self._closing = "", None
        self._hidden.clear()
        return rest

    def _outside(self, text: str, kept: list[str]) -> str:
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
        end = closing.search(text)
        if end is None:
            certain = max(0, len(text) - len(closing.pattern) + 1)
            self._hidden.append(text[:certain])
            self._held = text[certain:]
            return ""
        self._hidden.clear()
        self._closing = None
        return text[end.end() :]
