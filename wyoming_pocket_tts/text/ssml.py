"""SSML elements and values."""

import math
import re
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import Final

from wyoming_pocket_tts.core.errors import quote_untrusted
from wyoming_pocket_tts.text.markup_parser import EndTag, MarkupError, MarkupTokenizer, StartTag, TextToken, Token
from wyoming_pocket_tts.text.segments import DEFAULT_PAUSE_SECONDS, ProsodyStyle, Segment, SegmentBuilder, TextWarning

DEEPEST: Final = 64  # depth of elements; deeper ones are ignored, their text is not
LONGEST_ASIDE: Final = 2_000
"""Characters of text that an element may replace or hide. Longer ones are read: their end tag is likely missing."""
MOST_PROBLEMS: Final = 20  # kinds of mistakes reported for one document

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
_READ_PLAINLY: Final = {
    "phoneme": "the pronunciation in <phoneme> is not used: its text is read",
    "audio": "<audio> is not played: the text in it is read",
}
_UNUSED_PROSODY: Final = ("pitch", "range", "contour", "duration")
SILENT_DB: Final = -math.inf  # of ``volume="silent"``

_TIME: Final = re.compile(r"\+?(\d{1,9}(?:\.\d{0,9})?|\.\d{1,9})\s*(ms|s)", re.ASCII | re.IGNORECASE)
_NUMBER: Final = re.compile(r"([+-]?)(\d{1,6}(?:\.\d{0,9})?|\.\d{1,9})\s*(%|db)?", re.ASCII | re.IGNORECASE)

STRENGTHS: Final = {"none": 0.0, "x-weak": 0.1, "weak": 0.25, "medium": 0.5, "strong": 0.75, "x-strong": 1.25}
"""Seconds of a ``break``."""
RATES: Final = {"x-slow": 0.6, "slow": 0.8, "medium": 1.0, "default": 1.0, "fast": 1.25, "x-fast": 1.5}
"""Factors of a ``prosody rate``."""
VOLUMES: Final = {
    "silent": SILENT_DB, "x-soft": -12.0, "soft": -6.0, "medium": 0.0, "default": 0.0, "loud": 4.0, "x-loud": 8.0,
}  # fmt: skip
"""Decibels of a ``prosody volume``."""
_SLOWEST, _FASTEST = 0.1, 10.0
_MOST_DIGITS: Final = 15  # of a number that is read as one: few enough for a ``float`` to hold them all
_PLUS: Final = {"es": "más", "fr": "plus", "it": "più", "pt": "mais"}


@dataclass(frozen=True, slots=True)
class _Element:
    start: StartTag
    style: ProsodyStyle


class SsmlReader:
    """Reads one document. No mistake in it keeps its words from being synthesised; mistakes become warnings.

    ``docs/ssml.md`` lists what is supported.
    """

    def __init__(self, language: str) -> None:
        self._language = language
        self._tokenizer = MarkupTokenizer()
        self._builder = SegmentBuilder(language)
        self._open: list[_Element] = []
        self._too_deep = 0
        self._aside: list[str] | None = None  # text of the open element that replaces or hides it
        self._aside_depth = 0
        self._after_space = True
        self._problems: list[TextWarning] = []
        self._reported: set[str] = set()

    def feed(self, delta: str) -> list[Segment]:
        self._take(self._tokenizer.feed(delta))
        return self._builder.take()

    def finish(self, delta: str = "") -> list[Segment]:
        self._take(self._tokenizer.feed(delta))
        self._take(self._tokenizer.finish())
        if self._open:
            self._problem(f"{_tag(self._open[-1].start.name)} is not closed")
        self._release_aside()
        return self._builder.finish()

    def problems(self) -> list[TextWarning]:
        """Each kind of mistake once for a document."""
        problems, self._problems = self._problems, []
        return problems

    def _take(self, tokens: list[Token]) -> None:
        for token in tokens:
            match token:
                case TextToken(text):
                    self._text(text)
                case StartTag():
                    self._start(token)
                case EndTag(name):
                    self._end(name)
                case MarkupError(what):
                    self._problem(what)

    def _problem(self, what: str, kind: str = "markup that is not well formed") -> None:
        if what not in self._reported and len(self._reported) < MOST_PROBLEMS:
            self._reported.add(what)
            self._problems.append(TextWarning(kind, f"SSML: {what}"))

    # Text

    def _text(self, text: str) -> None:
        if self._aside is None:
            self._add(text)
            return
        self._aside.append(text)
        if sum(map(len, self._aside)) > LONGEST_ASIDE:
            self._problem(f"{_tag(self._open[self._aside_depth - 1].start.name)} is too long, or not closed")
            self._release_aside()

    def _add(self, text: str) -> None:
        """Line ends are space: documents are indented."""
        text = _SPACE.sub(" ", text)
        if self._after_space:
            text = text.lstrip()
        if text:
            self._after_space = text.endswith(" ")
            self._builder.add(text, self._style)

    @property
    def _style(self) -> ProsodyStyle:
        return self._open[-1].style if self._open else ProsodyStyle()

    def _end_segment(self) -> None:
        self._builder.end_segment()
        self._after_space = True

    # Tags

    def _start(self, start: StartTag) -> None:
        name = start.name
        if len(self._open) == DEEPEST:
            self._problem(f"more than {DEEPEST} elements within one another; those inside are ignored")
            self._too_deep += 1
            return
        if name not in _KNOWN:
            self._problem(f"{_tag(name)} is not known: its text is read", "an unknown element")
        if name in _READ_PLAINLY:
            self._problem(_READ_PLAINLY[name], f"<{name}>")
        if name not in _INLINE | _REPLACED | _STYLED:
            self._part_words()
        if name in _SENTENCES:
            self._end_segment()
        elif name == "break":
            self._builder.pause(self._pause_seconds(start))
            self._after_space = True
        self._open.append(_Element(start, self._inner_style(start)))
        if self._aside is None and self._is_aside(start):
            self._aside = []
            self._aside_depth = len(self._open)

    def _is_aside(self, start: StartTag) -> bool:
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
                self._add(self._replacement(element, text))
        self._open.pop()
        if name in _SENTENCES:
            self._end_segment()
        elif name not in _INLINE | _REPLACED | _STYLED:
            self._part_words()

    def _part_words(self) -> None:
        """A space for elements that are no part of a word."""
        if self._aside is None:
            self._add(" ")
        else:
            self._aside.append(" ")

    def _release_aside(self) -> None:
        if self._aside is not None:
            text, self._aside = "".join(self._aside), None
            self._add(text)

    # What elements mean

    def _replacement(self, element: _Element, text: str) -> str:
        attributes = element.start.attributes
        if element.start.name == "sub":
            return attributes["alias"]
        kind = attributes.get("interpret-as", "")
        language = element.style.language or self._language
        said = say_as(text, kind, attributes.get("format", ""), language)
        if said is None:
            self._problem(f"<say-as interpret-as={quote_untrusted(kind)}> is not known: its text is read", "<say-as>")
            return text
        return said

    def _pause_seconds(self, start: StartTag) -> float:
        """Of a ``break``: its time, else its strength, else the default."""
        time, strength = start.attributes.get("time"), start.attributes.get("strength")
        pause = None if time is None else parse_seconds(time)
        if time is not None and pause is None:
            self._problem(f"<break time={quote_untrusted(time)}>: write a time such as 500ms or 1.5s", "<break>")
        if pause is None and strength is not None:
            pause = STRENGTHS.get(strength.strip().lower())
            if pause is None:
                known = ", ".join(STRENGTHS)
                self._problem(f"<break strength={quote_untrusted(strength)}>: write one of {known}", "<break>")
        return DEFAULT_PAUSE_SECONDS if pause is None else pause

    def _inner_style(self, start: StartTag) -> ProsodyStyle:
        style, attributes = self._style, start.attributes
        language = attributes.get("xml:lang", "").strip()
        if language and start.name != "speak":  # documents carry one by habit, whatever they are written in
            if _LANGUAGE.fullmatch(language):
                style = replace(style, language=language)
            else:
                self._problem(
                    f"xml:lang={quote_untrusted(language)} is no language tag such as de or en-US", "xml:lang"
                )
        if start.name == "voice" and attributes.get("name", "").strip():
            style = replace(style, voice=attributes["name"].strip())
        if start.name == "prosody":
            style = replace(
                style,
                speed=style.speed * self._value(start, "rate", parse_speed, 1.0),
                volume_db=style.volume_db + self._value(start, "volume", parse_volume_db, 0.0),
            )
            for name in _UNUSED_PROSODY:
                if name in attributes:
                    self._problem(f"<prosody {name}> is not supported: the voice keeps its own", "<prosody>")
        return style

    def _value(self, start: StartTag, name: str, read: Callable[[str], float | None], otherwise: float) -> float:
        written = start.attributes.get(name)
        if written is None:
            return otherwise
        value = read(written)
        if value is not None:
            return value
        self._problem(f"<prosody {name}={quote_untrusted(written)}> cannot be understood: it is ignored", "<prosody>")
        return otherwise


def _tag(name: str) -> str:
    return f"<{quote_untrusted(name)[1:-1]}>"


def parse_seconds(value: str) -> float | None:
    match = _TIME.fullmatch(value.strip())
    if match is None:
        return None
    return float(match[1]) / (1_000 if match[2].lower() == "ms" else 1)


def parse_speed(value: str) -> float | None:
    """Factor of a rate: a word, ``80%``, ``+20%``, ``1.2``; None for anything else."""
    value = value.strip().lower()
    if value in RATES:
        return RATES[value]
    match = _NUMBER.fullmatch(value)
    if match is None or match[3] == "db" or (match[1] and not match[3]):
        return None
    amount = float(match[2]) / (100 if match[3] else 1)
    factor = {"": amount, "+": 1 + amount, "-": 1 - amount}[match[1]]
    return factor if _SLOWEST <= factor <= _FASTEST else None


def parse_volume_db(value: str) -> float | None:
    """Gain of a volume: a word, ``+6dB``, 0 to 100, ``+10%``; None for anything else."""
    value = value.strip().lower()
    if value in VOLUMES:
        return VOLUMES[value]
    match = _NUMBER.fullmatch(value)
    if match is None:
        return None
    sign = -1 if match[1] == "-" else 1
    amount = float(match[2])
    if match[3] == "db":
        return sign * amount
    if match[1]:
        factor = 1 + sign * amount / 100
    elif amount <= 100:  # noqa: PLR2004  (per cent)
        factor = amount / 100
    else:
        return None
    return SILENT_DB if factor <= 0 else 20 * math.log10(factor)


def say_as(text: str, kind: str, order: str, language: str) -> str | None:
    """The words for a text of ``interpret-as`` kind; None for an unknown kind.

    Letters and digits become words. Dates, times and amounts are left to text normalisation; only the ``order`` of a
    date's parts (``format``, as ``mdy``) is applied. ``language`` is a BCP-47 tag.
    """
    text = " ".join(text.split())
    sayer = _KINDS.get(kind.strip().lower())
    if sayer is None:
        return None
    return sayer(text, order.strip().lower(), language.replace("_", "-").partition("-")[0].lower()) or text


def _spelled(text: str, _order: str, language: str) -> str:
    said = (_digit(char, language) if char.isdecimal() else char.upper() for char in text if not char.isspace())
    return ", ".join(said)


def _digits(text: str, _order: str, language: str) -> str:
    groups = ("".join(char for char in group if char.isdecimal()) for group in re.split(r"[^\w.]+", text))
    return ", ".join(" ".join(_digit(char, language) for char in group) for group in groups if group)


def _telephone(text: str, order: str, language: str) -> str:
    digits = _digits(text, order, language)
    return f"{_PLUS.get(language, 'plus')} {digits}" if digits and text.startswith("+") else digits


def _cardinal(text: str, _order: str, language: str) -> str:
    return _number(text, language, "cardinal")


def _ordinal(text: str, _order: str, language: str) -> str:
    match = re.fullmatch(r"([+-]?\d+)\D{0,3}", text)
    return _number(match[1], language, "ordinal") if match else ""


def _date(text: str, order: str, _language: str) -> str:
    parts = re.findall(r"\d+", text)
    if sorted(order) != ["d", "m", "y"] or len(parts) != len(order) or not re.fullmatch(r"[\d\s./-]+", text):
        return text
    year, month, day = (int(parts[order.index(part)][:4]) for part in "ymd")
    if not (1 <= month <= 12 and 1 <= day <= 31 and year >= 1_000):  # noqa: PLR2004  (a calendar's)
        return text
    return f"{year:04}-{month:02}-{day:02}"


_KINDS: Final[dict[str, Callable[[str, str, str], str]]] = {
    **dict.fromkeys(("characters", "character", "spell-out", "verbatim"), _spelled),
    **dict.fromkeys(("digits", "number_digit"), _digits),
    **dict.fromkeys(("cardinal", "number"), _cardinal),
    "ordinal": _ordinal,
    "telephone": _telephone,
    "date": _date,
    **dict.fromkeys(
        ("time", "currency", "unit", "fraction", "address", "name", "duration", "measure"),
        lambda text, _order, _language: text,
    ),
}


def _digit(digit: str, language: str) -> str:
    return _number(str(int(digit)), language, "cardinal") or digit


@lru_cache(maxsize=1_024)  # a digit takes a tenth of a millisecond
def _number(text: str, language: str, kind: str) -> str:
    """A number in words; "" for other text and for languages without number words."""
    from num2words import num2words  # type: ignore[import-untyped]  # noqa: PLC0415  (loads all its languages)

    plain = text.replace(",", "") if language == "en" else text
    if not re.fullmatch(r"[+-]?\d+(?:\.\d+)?", plain, re.ASCII):
        return ""
    if sum(map(str.isdecimal, plain)) > _MOST_DIGITS:
        return _digits(plain, "", language) if kind == "cardinal" and plain.isdecimal() else ""
    value = float(plain) if "." in plain else int(plain)  # from text it makes a Decimal, forty times slower
    try:
        words: str = num2words(value, lang=language, to=kind)
    except (NotImplementedError, ValueError, TypeError, OverflowError, IndexError):
        return ""
    return words.replace(",", "")
