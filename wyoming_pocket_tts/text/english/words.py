"""Words that are not said as written: abbreviations, Roman numerals, compass directions. Knows no digits."""

import re

from wyoming_pocket_tts.text.english.numbers import NEXT_SENTENCE, TEXT_END, cardinal, ordinal
from wyoming_pocket_tts.text.language_data import Abbreviation, EnglishData, load_boundaries

_ROMAN = {"I": 1, "V": 5, "X": 10, "L": 50, "C": 100}
_ROMAN_SHAPE = re.compile(r"(?:XC|XL|L?X{0,3})(?:IX|IV|V?I{0,3})")
_ALONE = "II|III|VII|VIII|IX|XII|XIII|XIV|XVI|XVII|XVIII|XIX|XXI"
_NAME_BEFORE = re.compile(r"[A-Z][a-z]+(?:'s)?\s\Z")
_NAME_CHARS = 30
_NAME_BEHIND = re.compile(r"\s[A-Z]")


def _joined(words: "list[str] | frozenset[str]") -> str:
    return "|".join(re.escape(word) for word in sorted(words, key=len, reverse=True))


class Abbreviations:
    """ "Dr. Smith" is "Doctor Smith", "Main St." is "Main Street"."""

    def __init__(self, data: EnglishData) -> None:
        self._known: dict[str, Abbreviation] = {}
        for entry in data.abbreviations:
            self._known[entry.short] = entry
            self._known.setdefault(entry.short[0].upper() + entry.short[1:], entry)
            if "." in entry.short:
                self._known.setdefault(entry.short.upper(), entry)
        self._pattern = re.compile(rf"(?<![\w.'/@-])({_joined(list(self._known))})(\.)?(?![\w'@]|[.-]\w)")
        self._initial = re.compile(r"(?<![\w'.])(?<![A-Z]\s)([A-Z])\.(?=\s([A-Z][a-z]*)\b)")
        self._boundaries = load_boundaries("en")

    def __call__(self, text: str) -> str:
        text = self._pattern.sub(self._say, text)
        return self._initial.sub(lambda m: m[0] if m[2].lower() in self._boundaries.starters else m[1], text)

    def _say(self, match: re.Match[str]) -> str:
        entry, behind = self._known[match[1]], match.string[match.end() : match.end() + 4]
        if entry.dot != "optional" and not match[2]:
            return match[0]
        if entry.dot == "number" and not re.match(r"\s?#?\d", behind):
            return match[0]
        words = entry.long
        if entry.after_name and _follows_name(match) and not _NAME_BEHIND.match(behind):
            words = entry.after_name
        if match[1] != entry.short:
            words = words[0].upper() + words[1:]
        ends = match[2] and (TEXT_END.match(match.string, match.end()) or self._next_opens(entry, match))
        glue = " " if entry.short.endswith("/") and behind[:1].isalpha() else ""
        return f"{words}{'.' if ends else ''}{glue}"

    def _next_opens(self, entry: Abbreviation, match: re.Match[str]) -> bool:
        """Whether the next word begins a sentence, so that the full stop ended one."""
        if entry.short.lower() not in self._boundaries.before_starter | self._boundaries.before_capital:
            return False
        following = NEXT_SENTENCE.match(match.string, match.end())
        return following is not None and following[1].lower() in self._boundaries.starters


def _follows_name(match: re.Match[str]) -> bool:
    return _NAME_BEFORE.search(match.string, max(0, match.start() - _NAME_CHARS), match.start()) is not None


class Names:
    """Roman numerals, compass directions and respelled words, which need the words around them."""

    def __init__(self, data: EnglishData) -> None:
        self._compass = data.compass
        self._wind = re.compile(rf"\b(?:{_joined(data.wind_words)})\b", re.IGNORECASE)
        directions = _joined(list(data.compass))
        self._direction = re.compile(rf"(?<![\w'.&])(?<![A-Z] )({directions})(?![\w'&]|\.\w|\s[A-Z]\b)")
        self._regnal = re.compile(rf"\b({_joined(data.regnal)})\s([IVX]++)(?!\w|'|\s[A-Z]\b|\.[A-Z])")
        self._numbered = re.compile(rf"\b((?i:{_joined(data.numbered)})\s)([IVXLC]++)(?!\w|'|\s[A-Z]\b|\.[A-Z])")
        self._alone = re.compile(rf"(?<![\w'.&-])({_ALONE})(?![\w'&-]|\s[A-Z]\b)")
        self._respelled = data.respelled
        self._respell = re.compile(rf"(?<![\w'-])({_joined(list(data.respelled))})(?![\w+#])")
        self._ends = re.compile(r"\s?(?:[.,;:!?)]|\Z)|\s(?:of|was|is|had|began|ended|in|to)\b")

    def __call__(self, text: str) -> str:
        text = self._respell.sub(self._say_respelled, text)
        text = self._regnal.sub(self._say_regnal, text)
        text = self._numbered.sub(self._say_numbered, text)
        text = self._alone.sub(lambda match: cardinal(_roman(match[1])), text)
        has_wind = self._wind.search(text) is not None
        return self._direction.sub(
            lambda match: self._compass[match[1]] if has_wind or len(match[1]) > 2 else match[0],  # noqa: PLR2004
            text,
        )

    def _say_respelled(self, match: re.Match[str]) -> str:
        words = self._respelled[match[1]]
        return words[0].upper() + words[1:] if match.start() == 0 else words

    def _say_regnal(self, match: re.Match[str]) -> str:
        value = _roman(match[2])
        if not value or (value == 1 and not self._ends.match(match.string, match.end())):
            return match[0]
        return f"{match[1]} the {ordinal(value)}"

    def _say_numbered(self, match: re.Match[str]) -> str:
        value = _roman(match[2])
        if (
            not value
            or match[2] in "CL"
            or (
                value == 1
                and not match[1].lower().startswith("war")
                and not self._ends.match(match.string, match.end())
            )
        ):
            return match[0]
        return f"{match[1]}{cardinal(value)}"


def _roman(numeral: str) -> int:
    """The value of a well-formed Roman numeral below 100, otherwise 0."""
    if not _ROMAN_SHAPE.fullmatch(numeral):
        return 0
    values = [_ROMAN[char] for char in numeral]
    return sum(-a if a < b else a for a, b in zip(values, [*values[1:], 0], strict=True))
