"""Reads SSML as it comes: what to say, in which style, with which pauses. Knows nothing about voices or protocols.

Nothing that is wrong in a document keeps its words from being spoken; it becomes a line for the log. What is
understood is listed in ``docs/ssml.md``.
"""

import re
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Final

from wyoming_pocket_tts.errors import shown
from wyoming_pocket_tts.text import ssml_values
from wyoming_pocket_tts.text.pieces import DEFAULT_PAUSE_SECONDS, Complaint, Piece, PieceBuilder, Style
from wyoming_pocket_tts.text.ssml_reader import End, MarkupReader, Problem, Start, Text, Token

DEEPEST: Final = 64
"""Elements within one another; those further inside are ignored, their text is not."""
LONGEST_ASIDE: Final = 2_000
"""Characters of text that an element may replace or hide. Longer ones are spoken: their end tag is likely missing."""
MOST_PROBLEMS: Final = 20
"""Kinds of problems told about one document."""

_LANGUAGE: Final = re.compile(r"[A-Za-z]{2,3}(?:[-_][A-Za-z0-9]{1,8}){0,4}", re.ASCII)
_SPACE: Final = re.compile(r"\s+")
_SENTENCES: Final = frozenset({"p", "s"})
_INLINE: Final = frozenset(
    {"emphasis", "phoneme", "w", "token", "mark", "a", "b", "em", "i", "span", "strong", "u"}  # and HTML's, for words
)
_REPLACED: Final = frozenset({"sub", "say-as"})
_HIDDEN: Final = frozenset({"desc", "metadata"})
_STYLED: Final = frozenset({"prosody", "voice", "lang"})
_KNOWN: Final = (
    _SENTENCES | _INLINE | _REPLACED | _HIDDEN | _STYLED | {"speak", "break", "audio", "lexicon", "lookup", "meta"}
)
_SPOKEN_PLAINLY: Final = {
    "phoneme": "the pronunciation in <phoneme> is not used: its text is read",
    "audio": "<audio> is not played: the text in it is read",
}
_UNUSED_PROSODY: Final = ("pitch", "range", "contour", "duration")


@dataclass(frozen=True, slots=True)
class _Element:
    """One that is open."""

    start: Start
    style: Style


class SsmlPieces:
    """Reads one document."""

    def __init__(self, language: str) -> None:
        """Begin a document for a voice of this language (BCP-47)."""
        self._language = language
        self._reader = MarkupReader()
        self._builder = PieceBuilder(language)
        self._open: list[_Element] = []
        self._too_deep = 0
        self._aside: list[str] | None = None
        """Text of the element that replaces or hides it, while that is open."""
        self._aside_depth = 0
        self._after_space = True
        self._problems: list[Complaint] = []
        self._told: set[str] = set()

    def feed(self, delta: str) -> list[Piece]:
        """Take more text; return the pieces that are certain now, in order."""
        self._take(self._reader.feed(delta))
        return self._builder.take()

    def finish(self) -> list[Piece]:
        """Return what is left."""
        self._take(self._reader.finish())
        if self._open:
            self._problem(f"{_tag(self._open[-1].start.name)} is not closed")
        self._speak_aside()
        return self._builder.finish()

    def problems(self) -> list[Complaint]:
        """What was wrong since this was last asked; each kind is told once for a document."""
        problems, self._problems = self._problems, []
        return problems

    def _take(self, tokens: list[Token]) -> None:
        for token in tokens:
            match token:
                case Text(text):
                    self._text(text)
                case Start():
                    self._start(token)
                case End(name):
                    self._end(name)
                case Problem(what):
                    self._problem(what)

    def _problem(self, what: str, kind: str = "markup that is not well formed") -> None:
        """Tell of it; ``kind`` is of our own words alone."""
        if what not in self._told and len(self._told) < MOST_PROBLEMS:
            self._told.add(what)
            self._problems.append(Complaint(kind, f"SSML: {what}"))

    # Text

    def _text(self, text: str) -> None:
        if self._aside is None:
            self._say(text)
            return
        self._aside.append(text)
        if sum(map(len, self._aside)) > LONGEST_ASIDE:
            self._problem(f"{_tag(self._open[self._aside_depth - 1].start.name)} is too long, or not closed")
            self._speak_aside()

    def _say(self, text: str) -> None:
        """Line ends are space like any other here: documents are broken into lines and indented for the eye."""
        text = _SPACE.sub(" ", text)
        if self._after_space:
            text = text.lstrip()
        if text:
            self._after_space = text.endswith(" ")
            self._builder.say(text, self._style)

    @property
    def _style(self) -> Style:
        return self._open[-1].style if self._open else Style()

    def _end_piece(self) -> None:
        self._builder.end_piece()
        self._after_space = True

    # Tags

    def _start(self, start: Start) -> None:
        name = start.name
        if len(self._open) == DEEPEST:
            self._problem(f"more than {DEEPEST} elements within one another; those inside are ignored")
            self._too_deep += 1
            return
        if name not in _KNOWN:
            self._problem(f"{_tag(name)} is not known: its text is read", "an unknown element")
        if name in _SPOKEN_PLAINLY:
            self._problem(_SPOKEN_PLAINLY[name], f"<{name}>")
        if name not in _INLINE | _REPLACED | _STYLED:
            self._part_words()
        if name in _SENTENCES:
            self._end_piece()
        elif name == "break":
            self._builder.pause(self._pause_seconds(start))
            self._after_space = True
        self._open.append(_Element(start, self._inner_style(start)))
        if self._aside is None and self._is_aside(start):
            self._aside = []
            self._aside_depth = len(self._open)

    def _is_aside(self, start: Start) -> bool:
        if start.name == "sub" and "alias" not in start.attributes:
            self._problem("<sub> without an alias: its text is read", "<sub>")
            return False
        return start.name in _REPLACED or start.name in _HIDDEN

    def _end(self, name: str) -> None:
        if self._too_deep:
            self._too_deep -= 1
            return
        depth = next((depth for depth in range(len(self._open), 0, -1) if self._open[depth - 1].start.name == name), 0)
        if not depth:
            self._problem("an end tag closes nothing")
            return
        if depth < len(self._open):
            self._problem(f"{_tag(self._open[-1].start.name)} is not closed where the element around it is")
        while len(self._open) >= depth:
            self._close()

    def _close(self) -> None:
        element = self._open[-1]
        name = element.start.name
        if self._aside is not None and len(self._open) == self._aside_depth:
            text, self._aside = "".join(self._aside), None
            if name in _REPLACED:
                self._say(self._replacement(element, text))
        self._open.pop()
        if name in _SENTENCES:
            self._end_piece()
        elif name not in _INLINE | _REPLACED | _STYLED:
            self._part_words()

    def _part_words(self) -> None:
        """Elements that are no part of a word stand between two."""
        if self._aside is None:
            self._say(" ")
        else:
            self._aside.append(" ")

    def _speak_aside(self) -> None:
        if self._aside is not None:
            text, self._aside = "".join(self._aside), None
            self._say(text)

    # What elements mean

    def _replacement(self, element: _Element, text: str) -> str:
        attributes = element.start.attributes
        if element.start.name == "sub":
            return attributes["alias"]
        kind = attributes.get("interpret-as", "")
        language = element.style.language or self._language
        said = ssml_values.say_as(text, kind, attributes.get("format", ""), language)
        if said is None:
            self._problem(f"<say-as interpret-as={shown(kind)}> is not known: its text is read", "<say-as>")
            return text
        return said

    def _pause_seconds(self, start: Start) -> float:
        """Of a ``break``: its time, else its strength, else the usual."""
        time, strength = start.attributes.get("time"), start.attributes.get("strength")
        pause = None if time is None else ssml_values.seconds(time)
        if time is not None and pause is None:
            self._problem(f"<break time={shown(time)}>: write a time such as 500ms or 1.5s", "<break>")
        if pause is None and strength is not None:
            pause = ssml_values.STRENGTHS.get(strength.strip().lower())
            if pause is None:
                known = ", ".join(ssml_values.STRENGTHS)
                self._problem(f"<break strength={shown(strength)}>: write one of {known}", "<break>")
        return DEFAULT_PAUSE_SECONDS if pause is None else pause

    def _inner_style(self, start: Start) -> Style:
        style, attributes = self._style, start.attributes
        language = attributes.get("xml:lang", "").strip()
        if language and start.name != "speak":  # documents carry one by habit, whatever they are written in
            if _LANGUAGE.fullmatch(language):
                style = replace(style, language=language)
            else:
                self._problem(f"xml:lang={shown(language)} is no language tag such as de or en-US", "xml:lang")
        if start.name == "voice" and attributes.get("name", "").strip():
            style = replace(style, voice=attributes["name"].strip())
        if start.name == "prosody":
            style = replace(
                style,
                speed=style.speed * self._value(start, "rate", ssml_values.speed, 1.0),
                volume_db=style.volume_db + self._value(start, "volume", ssml_values.volume_db, 0.0),
            )
            for name in _UNUSED_PROSODY:
                if name in attributes:
                    self._problem(f"<prosody {name}> is not supported: the voice keeps its own", "<prosody>")
        return style

    def _value(self, start: Start, name: str, read: Callable[[str], float | None], otherwise: float) -> float:
        written = start.attributes.get(name)
        if written is None:
            return otherwise
        value = read(written)
        if value is None:
            self._problem(f"<prosody {name}={shown(written)}> cannot be understood: it is ignored", "<prosody>")
            return otherwise
        return value


def _tag(name: str) -> str:
    """For the log; names may be as long as tags."""
    return f"<{shown(name)[1:-1]}>"
