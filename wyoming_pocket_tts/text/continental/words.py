"""Words that are not said as written: abbreviations, Roman numerals, compass directions. Knows no digits."""

import re

from wyoming_pocket_tts.text.continental.grammar import Grammar
from wyoming_pocket_tts.text.continental.patterns import TEXT_END, joined
from wyoming_pocket_tts.text.language_data import Abbreviation, Boundaries

_ROMAN = {"I": 1, "V": 5, "X": 10, "L": 50, "C": 100}
_ROMAN_SHAPE = re.compile(r"(?:XC|XL|L?X{0,3})(?:IX|IV|V?I{0,3})")
_ALONE = "II|III|VII|VIII|IX|XII|XIII|XIV|XVI|XVII|XVIII|XIX|XXI"
_NEXT_WORD = re.compile(r"\s[\"'(]?([^\W\d_]+)")
_ENDS = re.compile(r"\s?(?:[.,;:!?)]|\Z)|\s[^\W\d_A-Z]")


def roman(numeral: str) -> int:
    """The value of a well-formed Roman numeral below 100, otherwise 0."""
    if not _ROMAN_SHAPE.fullmatch(numeral):
        return 0
    values = [_ROMAN[char] for char in numeral]
    return sum(-a if a < b else a for a, b in zip(values, [*values[1:], 0], strict=True))


class Abbreviations:
    """ "z. B." is "zum Beispiel"; spaces behind inner dots do not matter."""

    def __init__(self, grammar: Grammar, boundaries: Boundaries) -> None:
        self._starters = boundaries.starters
        self._known: dict[str, Abbreviation] = {}
        for entry in grammar.data.abbreviations:
            self._known[entry.short] = entry
            self._known.setdefault(entry.short[0].upper() + entry.short[1:], entry)
        shapes = "|".join(
            re.escape(short).replace(r"\.", r"\.\s?") for short in sorted(self._known, key=len, reverse=True)
        )
        self._pattern = re.compile(rf"(?<![\w.'/@-])({shapes})(\.)?(?![\w'@]|[.-]\w)")

    def __call__(self, text: str) -> str:
        return self._pattern.sub(self._say, text)

    def _say(self, match: re.Match[str]) -> str:
        short = "".join(match[1].split()) if "." in match[1] else match[1]
        entry = self._known[short]
        if entry.dot != "optional" and not match[2]:
            return match[0]
        if entry.dot == "number" and not re.match(r"\s?#?\d", match.string[match.end() : match.end() + 3]):
            return match[0]
        words = entry.long
        if short != entry.short:
            words = words[0].upper() + words[1:]
        ends = match[2] and (TEXT_END.match(match.string, match.end()) or self._next_opens(match))
        return words + ("." if ends else "")

    def _next_opens(self, match: re.Match[str]) -> bool:
        """Whether the next word begins a sentence, so that the full stop ended one."""
        following = _NEXT_WORD.match(match.string, match.end())
        return following is not None and following[1][0].isupper() and following[1].lower() in self._starters


class Names:
    """Roman numerals, compass directions and respelled words, which need the words around them."""

    def __init__(self, grammar: Grammar) -> None:
        self._grammar = grammar
        data = grammar.data
        self._compass = data.compass
        self._wind = re.compile(rf"\b(?:{joined(data.wind_words)})", re.IGNORECASE)
        self._direction = re.compile(rf"(?<![\w'.&])(?<![A-Z] )({joined(data.compass)})(?![\w'&]|\.\w|\s[A-Z]\b)")
        self._regnal = re.compile(rf"\b({joined(data.regnal)})\s([IVX]++)(?!\w|'|\s[A-Z]\b|\.[A-Z])(\.(?=\s[a-zà-ÿ]))?")
        self._numbered = re.compile(rf"\b((?i:{joined(data.numbered)})\s)([IVXLC]++)(?!\w|'|\s[A-Z]\b|\.[A-Z])")
        self._alone = re.compile(rf"(?<![\w'.&-])({_ALONE})(?![\w'&-]|\s[A-Z]\b)")
        self._respelled = data.respelled
        self._respell = re.compile(rf"(?<![\w'-])({joined(data.respelled)})(?![\w+#])")

    def __call__(self, text: str) -> str:
        text = self._respell.sub(self._say_respelled, text)
        text = self._regnal.sub(self._say_regnal, text)
        text = self._numbered.sub(self._say_numbered, text)
        text = self._alone.sub(lambda match: self._grammar.cardinal(roman(match[1])), text)
        has_wind = self._wind.search(text) is not None
        return self._direction.sub(
            lambda match: self._compass[match[1]] if has_wind or len(match[1]) > 2 else match[0],  # noqa: PLR2004
            text,
        )

    def _say_respelled(self, match: re.Match[str]) -> str:
        words = self._respelled[match[1]]
        return words[0].upper() + words[1:] if match.start() == 0 else words

    def _say_regnal(self, match: re.Match[str]) -> str:
        value = roman(match[2])
        if not value or (value == 1 and not _ENDS.match(match.string, match.end())):
            return match[0]
        return f"{match[1]} {self._grammar.regnal(value, match[1])}"

    def _say_numbered(self, match: re.Match[str]) -> str:
        value = roman(match[2])
        if not value or match[2] in "CL" or (value == 1 and not _ENDS.match(match.string, match.end())):
            return match[0]
        return f"{match[1]}{self._grammar.cardinal(value)}"
