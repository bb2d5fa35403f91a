"""Choose plain text or SSML; leave out <think>."""

import re
from typing import Final

from wyoming_pocket_tts.text.segments import PlainTextReader, Segment, SegmentReader, TextWarning
from wyoming_pocket_tts.text.ssml import SsmlReader

_SSML: Final = re.compile(r"<(?:speak[\s/>]|\?xml\s)", re.IGNORECASE)
_SIGNS: Final = ("<speak", "<?xml")


def segment_reader_for(language: str, *, ssml: bool | None) -> SegmentReader:
    """A reader of a text, which leaves out what a language model thinks in it.

    Args:
        language: BCP-47 tag of the text.
        ssml: whether it is SSML; None when its beginning has to tell: ``<speak``.
    """
    return _WithoutThoughts(_GuessedPieces(language) if ssml is None else _known_pieces(language, ssml=ssml))


def _known_pieces(language: str, *, ssml: bool) -> SegmentReader:
    return SsmlReader(language) if ssml else PlainTextReader(language)


class _WithoutThoughts:
    """Reads what is said alone."""

    def __init__(self, pieces: SegmentReader) -> None:
        self._pieces = pieces
        self._thoughts = ThinkTagFilter()

    def feed(self, delta: str) -> list[Segment]:
        return self._pieces.feed(self._thoughts.feed(delta))

    def finish(self) -> list[Segment]:
        return [*self._pieces.feed(self._thoughts.finish()), *self._pieces.finish()]

    def problems(self) -> list[TextWarning]:
        return self._pieces.problems()


class _GuessedPieces:
    """Waits for the first characters."""

    def __init__(self, language: str) -> None:
        self._language = language
        self._beginning = ""
        self._pieces: SegmentReader | None = None

    def feed(self, delta: str) -> list[Segment]:
        if self._pieces is not None:
            return self._pieces.feed(delta)
        self._beginning = (self._beginning + delta).lstrip()
        if _undecided(self._beginning):
            return []
        return self._decide().feed(self._beginning)

    def finish(self) -> list[Segment]:
        if self._pieces is not None:
            return self._pieces.finish()
        pieces = self._decide()
        return [*pieces.feed(self._beginning), *pieces.finish()]

    def problems(self) -> list[TextWarning]:
        return [] if self._pieces is None else self._pieces.problems()

    def _decide(self) -> SegmentReader:
        self._pieces = _known_pieces(self._language, ssml=_SSML.match(self._beginning) is not None)
        return self._pieces


def _undecided(beginning: str) -> bool:
    return any(sign.startswith(beginning.lower()) for sign in _SIGNS)


_NAMES: Final = ("think", "thinking")
_OPENINGS: Final = tuple(f"<{name}>" for name in _NAMES)
_OPENING = re.compile("|".join(_OPENINGS), re.IGNORECASE | re.ASCII)
_CLOSINGS: Final = {
    opening: re.compile(f"</{name}>", re.IGNORECASE | re.ASCII) for name, opening in zip(_NAMES, _OPENINGS, strict=True)
}


class ThinkTagFilter:
    """Takes a growing text and gives what of it is said. However it is cut, that is the same, in linear time.

    A thought that does not end is none: what looked like one is given once the text is over, so that nothing is lost.
    """

    def __init__(self) -> None:
        """Begin a text."""
        self._held = ""  # may be the beginning of a tag
        self._closing: re.Pattern[str] | None = None  # within a thought, its end
        self._thought: list[str] = []

    def feed(self, delta: str) -> str:
        """Take more text; return what is said of it, as far as that is certain. A thought parts words."""
        said: list[str] = []
        text, self._held = self._held + delta, ""
        while text:
            text = self._aloud(text, said) if self._closing is None else self._silently(text, self._closing)
        return "".join(said)

    def finish(self) -> str:
        """Return what is left."""
        rest = "".join(self._thought) + self._held
        self._held, self._closing = "", None
        self._thought.clear()
        return rest

    def _aloud(self, text: str, said: list[str]) -> str:
        """Say text up to the next thought; return what is behind the tag that opens it."""
        opening = _OPENING.search(text)
        if opening is None:
            bracket = text.rfind("<", -max(map(len, _OPENINGS)))
            if bracket >= 0 and any(tag.startswith(text[bracket:].lower()) for tag in _OPENINGS):
                text, self._held = text[:bracket], text[bracket:]
            said.append(text)
            return ""
        said += [text[: opening.start()], " "]
        self._closing = _CLOSINGS[opening.group().lower()]
        return text[opening.end() :]

    def _silently(self, text: str, closing: re.Pattern[str]) -> str:
        """Keep text up to the end of the thought; return what is behind it."""
        end = closing.search(text)
        if end is None:
            certain = max(0, len(text) - len(closing.pattern) + 1)
            self._thought.append(text[:certain])
            self._held = text[certain:]
            return ""
        self._thought.clear()
        self._closing = None
        return text[end.end() :]
