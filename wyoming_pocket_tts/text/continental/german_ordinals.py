"""German ordinals and short dates: digits with a dot, whose ending depends on the words around them.

The lists of words that make an ordinal are those by which sentences are cut (``boundaries.yaml``), so that both agree.
"""

# ruff: noqa: RUF001  (dashes of every length stand in ranges)

import re
from typing import TYPE_CHECKING, Final

from wyoming_pocket_tts.text.continental.patterns import TEXT_END, before, behind, joined
from wyoming_pocket_tts.text.continental.words import roman
from wyoming_pocket_tts.text.language_data import load_boundaries

if TYPE_CHECKING:
    from wyoming_pocket_tts.text.continental.grammar import Grammar

_STRONG: Final = {"m": "er", "f": "e", "n": "es"}
_STRONG_DATIVE: Final = {"m": "em", "f": "er", "n": "em"}
_WITHOUT_ENDING: Final = ("ein", "mein", "dein", "sein", "ihr", "unser", "kein")
_WEAK_NOMINATIVE: Final = ("das", "dieser", "jeder", "dieses", "jedes")
_PREPOSITIONS: Final = "in|an|auf|aus|bei|mit|nach|seit|von|zu|vor|hinter|über|unter|neben|zwischen|ab|während|wegen"
_LIST = r"(?:\d{1,4}\.(?:\s?\d{1,2}\.)?\s?(?:und|oder|sowie|bis(?:\szu[mr])?|,|/|[-–])\s?){0,3}"
_LEADER = re.compile(rf"(?:([^\W\d_]+)(,?)\s)?([^\W\d_]+)(,?)\s{_LIST}\Z")
_FOLLOWER = re.compile(
    r"(?:\s?(?:und|oder|sowie|bis(?:\szu[mr])?|,|/|[-–])\s?\d{1,4}\.){0,3}(?:\s([^\W\d_]+)|\s(?=\d)|(?:\Z|[,;:!?)]))"
)
_SHORT_DATE = re.compile(r"(?<![\w./-])(\d{1,2})\.\s?(1[0-2]|0?[1-9])\.(?![\d.])")
_ORDINAL = re.compile(r"(?<![\w.,:-])(\d{1,4})\.(?![\d.\w])")
_SLASH = re.compile(r"(?<=\d\.)\s?/\s?(?=\d{1,2}\.)")
_NO_SPACE = re.compile(r"(?<![\w.,])(\d{1,3}\.)(?=[A-ZÄÖÜ][a-zäöüß])")
_SUPERLATIVE = re.compile(
    r"(?<![\w.,])(\d{1,3})\.[\s-]?(?=(?:größt|höchst|best|längst|schnellst|kleinst|letzt|ältest|jüngst)e)"
)
_DASH = re.compile(r"(?<=\d\.)\s?[-–]\s?(?=\d{1,2}\.)")
_DOT_BEFORE = re.compile(r"\d\.\s\Z")
_DAYS = 31


class GermanOrdinals:
    """ "am 3. Oktober" is "am dritten Oktober", "der 2. Versuch" is "der zweite Versuch"."""

    def __init__(self, grammar: "Grammar") -> None:
        self._grammar = grammar
        boundaries = load_boundaries(grammar.language)
        self._nouns, self._leaders = boundaries.ordinal_nouns, boundaries.ordinal_leaders
        self._starters = boundaries.starters
        self._weekdays = {name.lower() for name in grammar.data.dates.weekdays}
        self._months = {word.lower() for name, short in grammar.data.dates.months.items() for word in (name, *short)}
        self._roman = re.compile(rf"(?<![\w.,-])([IVX]++)\.(?=\s(?i:{joined(self._nouns)})\b)")

    def centuries(self, text: str) -> str:
        """ "das XIX. Jahrhundert"."""
        return self._roman.sub(lambda match: self._say(match) if roman(match[1]) else match[0], text)

    def __call__(self, text: str) -> str:
        if "." not in text:
            return text
        text = _NO_SPACE.sub(r"\1 ", text)
        text = _SUPERLATIVE.sub(lambda match: self._grammar.ordinal(int(match[1])).removesuffix("e"), text)
        text = _SLASH.sub(" und ", _DASH.sub(f" {self._grammar.words.range} ", text))
        text = _SHORT_DATE.sub(self._say_short_date, text)
        return _ORDINAL.sub(self._say, text)

    def ending(self, front: str, gender: str) -> str:
        """The ending of an ordinal behind the text ``front``, before a noun of this gender."""
        match = _LEADER.search(front)
        if match is None or _DOT_BEFORE.search(front, 0, match.start(3)):
            return _STRONG[gender]
        further, word, comma = (match[1] or "").lower(), match[3].lower(), match[4]
        if comma or word in self._weekdays:
            return "en" if word in self._weekdays and further in ("am", "vom", "zum", "bis") else _STRONG[gender]
        if word == "der":
            return "en" if re.fullmatch(_PREPOSITIONS, further) else "e"
        if word == "ab":
            return _STRONG_DATIVE[gender]
        if word not in self._leaders or word in _WITHOUT_ENDING:
            return _STRONG[gender]
        return "e" if word.endswith("e") or word in _WEAK_NOMINATIVE else "en"

    def _say_short_date(self, match: re.Match[str]) -> str:
        day, month = int(match[1]), int(match[2])
        front = before(match)
        at_end = TEXT_END.match(match.string, match.end())
        if not 1 <= day <= _DAYS or (at_end and not self._leads(front)):
            return match[0]
        said = self._grammar.date(day, month, None, before=front)
        return said + ("." if at_end else "")

    def _leads(self, front: str) -> bool:
        match = _LEADER.search(front)
        return match is not None and match[3].lower() in self._leaders

    def _say(self, match: re.Match[str]) -> str:
        front, value = before(match), int(match[1]) if match[1].isdecimal() else roman(match[1])
        following = _FOLLOWER.match(behind(match))
        if following is None:
            return match[0]
        word = following[1] or ""
        if following[0].isspace():  # digits follow: "1. 500 g Mehl"
            return match[0] if front.strip() else f"{self._grammar.ordinal(value, 'e')}ns,"
        if not self._is_ordinal(front, word):
            return f"{self._grammar.ordinal(value, 'e')}ns," if _opens_an_item(front, word) else match[0]
        noun = word if word[:1].isupper() else ""
        gender = "m" if noun.lower() in self._months or not noun else self._grammar.gender_of(noun)
        ending = self.ending(front, gender) if noun or self._leads(front) else "e"
        at_end = TEXT_END.match(match.string, match.end())
        return self._grammar.ordinal(value, ending) + ("." if at_end else "")

    def _is_ordinal(self, front: str, word: str) -> bool:
        """Whether digits with a dot are one, by the text in front and the first word behind."""
        if word.lower() in self._nouns:
            return True
        if word and word[0].islower():
            return bool(front.strip())
        return self._leads(front) and (not word or word.lower() not in self._starters)


def _opens_an_item(front: str, word: str) -> bool:
    """Whether a number with a dot is that of a list's item: first of all, or behind a mark: "1. Milch, 2. Brot"."""
    front = front.rstrip()
    return bool(word) and (not front or front[-1] in ":;,(")
