"""Abbreviations, acronyms, Roman numerals, signs."""

# ruff: noqa: RUF001  (dashes and signs that look like others are read here)

import re
from collections.abc import Collection, Mapping
from collections.abc import Set as AbstractSet
from typing import Final

from wyoming_pocket_tts.text.normalization.data import Abbreviation, EnglishData, SentenceBoundaries, load_boundaries
from wyoming_pocket_tts.text.normalization.grammar import NEXT_SENTENCE, TEXT_END, Grammar, cardinal, joined, ordinal

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


class AbbreviationRules:
    """ "z. B." is "zum Beispiel"; spaces behind inner dots do not matter."""

    def __init__(self, grammar: Grammar, boundaries: SentenceBoundaries) -> None:
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


class NameRules:
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


_SPELLED_LENGTH: Final = 3
"""Unknown capitals up to this length are spelled, longer ones with a vowel are words."""


class AcronymRules:
    """Reads words in capitals.

    Args:
        letters: the capitals of the language, as a regular expression's class has them.
        vowels: those without which nothing can be said as a word.
        article: an article in a capital letter that may stand before an acronym and is no part of it.
        plural: how an "s" behind a spelled one is written, so that it is no letter of its own.
    """

    def __init__(
        self,
        *,
        spelled: AbstractSet[str],
        pronounced: AbstractSet[str],
        emphasised: AbstractSet[str],
        letters: str = "A-Z",
        vowels: str = "AEIOUY",
        article: str = "",
        plural: str = "'s",
    ) -> None:
        self._spelled, self._pronounced, self._emphasised = spelled, pronounced, emphasised
        self._vowels = frozenset(vowels)
        self._plural = plural
        before = rf"(\b{article}\s)?" if article else "()"
        self._capitals = re.compile(rf"{before}(?<![^\W\d_])(?<!\w')([{letters}]{{2,}})('s|s)?(?![^\W\d_])")
        self._hyphen = re.compile(rf"(?<=\b[{letters}])-(?=[{letters}]\b)")

    def __call__(self, text: str, *, shouted: bool) -> str:
        """``shouted``: the whole text stood in capitals, so that they say nothing."""

        def say(match: re.Match[str]) -> str:
            word, plural = match[2], match[3]
            article = match[1] or ""
            if word in self._pronounced:
                return match[0]
            if not self._is_spelled(word, shouted=shouted):
                is_common = shouted or word in self._emphasised
                lower = word.lower() if is_common and match.start() else word.capitalize()
                return f"{article}{lower}{plural or ''}"
            return f"{article.lower()}{' '.join(word)}" + (self._plural if plural else "")

        return self._hyphen.sub(" ", self._capitals.sub(say, text))

    def _is_spelled(self, word: str, *, shouted: bool) -> bool:
        if word in self._emphasised:
            return word in self._spelled and not shouted
        if word in self._spelled or self._vowels.isdisjoint(word):
            return True
        return not shouted and len(word) <= _SPELLED_LENGTH


_PAUSE = re.compile(r"\s*[—–]\s*|\s+-{1,3}(?=\s|$)|-{2,}|\s*[•·|]\s*|\s*[\[\](){}]+\s*")
_ODD_HYPHEN = re.compile(r"(?<!\w)-+|-+(?!\w)")
_NO_SPACE_BEHIND = re.compile(r"(?<=\w)[,;:](?=\w)|(?<=[a-z])[!?](?=[A-Z])")
_QUOTE = re.compile(r"[\"«»‹›„]+")
_SPACE_BEFORE = re.compile(r"\s+([.,;:!?])")
_COMMA_RUN = re.compile(r",(?:\s*,)+")
_COMMA_BEFORE = re.compile(r",+\s*(?=[.;:!?])")
_COMMA_BEHIND = re.compile(r"(?<=[.;:!?])\s*,+(?=\s|$)")
_EDGES = re.compile(r"\A[\s,;:.]+|[\s,]+\Z")


class SymbolRules:
    """Reads signs as words or pauses.

    Args:
        words: what each sign means.
        leading: words (lower case) that keep an apostrophe in front of them.
        kept_behind: letters after which a last apostrophe is kept: it stands for what is left out.
        trailing: words (lower case) that keep an apostrophe behind them.
    """

    def __init__(
        self,
        words: Mapping[str, str],
        *,
        leading: Collection[str] = (),
        kept_behind: str = "",
        trailing: Collection[str] = (),
    ) -> None:
        self._words = words
        signs = "|".join(re.escape(sign) for sign in sorted(words, key=len, reverse=True))
        self._sign = re.compile(rf"\s*(?:{signs})\s*")
        self._leading, self._trailing = leading, trailing
        before = rf"(?<=[^\W{kept_behind}])" if kept_behind else r"(?<=\w)"
        self._apostrophe = re.compile(rf"(?<!\w)'+(\w*)|(?<=\w)'{{2,}}|{before}'(?!\w)")
        self._word_end = re.compile(r"[^\W\d_]{1,12}\Z")

    def __call__(self, text: str) -> str:
        text = self._sign.sub(lambda match: f" {self._words[match[0].strip()]} ", text)
        text = _ODD_HYPHEN.sub(" ", _PAUSE.sub(", ", text.replace("_", " ")))
        text = _NO_SPACE_BEHIND.sub(r"\g<0> ", text)
        return self._apostrophe.sub(self._say_apostrophe, _QUOTE.sub("", text))

    def _say_apostrophe(self, match: re.Match[str]) -> str:
        word = match[1] or ""
        if word.lower() in self._leading:
            return f"'{word}"
        if self._trailing and match[0] == "'" and not word:
            before = self._word_end.search(match.string, max(0, match.start() - 12), match.start())
            if before and before[0].lower() in self._trailing:
                return "'"
        return word


def tidy(text: str) -> str:
    """One space between words, none before a mark, no two pauses in a row, none at the edges."""
    text = " ".join(text.split())
    text = _SPACE_BEFORE.sub(r"\1", text)
    text = _COMMA_BEFORE.sub("", _COMMA_RUN.sub(",", text))
    text = _COMMA_BEHIND.sub("", text)
    return " ".join(_EDGES.sub("", text).split())


class ArithmeticRules:
    """ "2 * 3", "10 / 2", "3 x 4 m", "#1", "2^10"."""

    def __init__(self, grammar: Grammar) -> None:
        self._words = grammar.words
        self._hash_number = re.compile(r"#\s?(?=[A-Za-z]{0,3}\d)")
        self._by = re.compile(
            r"(?<=\d)(?:\s?x\s?|×)(?=\d)|(?:(?<=\d\s[cmk]m)|(?<=\d\sm)|(?<=\d[cmk]m)|(?<=\dm))\s[x×]\s(?=\d)"
        )
        self._divided = re.compile(r"(?<=\d)\s/\s(?=\d)|(?<=\d)\s?÷\s?(?=\d)")
        self._multiplied = re.compile(r"(?<=\d)\s?[*·]\s?(?=\d)")

    def __call__(self, text: str) -> str:
        words = self._words
        text = self._hash_number.sub(f"{words.number} ", text)
        text = self._by.sub(f" {words.times if '=' in text else words.by} ", text)
        return self._multiplied.sub(f" {words.times} ", self._divided.sub(f" {words.divided} ", text))


_CHOICE = re.compile(r"\band\s?/\s?or\b", re.IGNORECASE)
_SPOKEN_APOSTROPHE_BEHIND = "sn"
"""The dogs' bowl, rockin' roll."""


class Symbols:
    """Reads signs as words."""

    def __init__(self, data: EnglishData) -> None:
        self._signs = SymbolRules(data.symbols, leading=data.leading_apostrophe, kept_behind=_SPOKEN_APOSTROPHE_BEHIND)
        self._hash_number = re.compile(r"#\s?(?=[A-Za-z]{0,3}\d)")
        self._feet = re.compile(r"(?<![\w.,])(\d)'\s?(\d{1,2})(?:\"|'')")
        self._inches = re.compile(r'(?<=\d)"(?=\s|$)')
        self._by = re.compile(r"(?<=\d)(?:\s?x\s?|×)(?=\d)|(?:(?<=\d\s[cmk]m)|(?<=\d\sm)|(?<=\d\sft))\sx\s(?=\d)")
        self._divided = re.compile(r"(?<=\d)\s/\s(?=\d)")
        self._multiplied = re.compile(r"(?<=\d)\s?\*\s?(?=\d)")

    def before_numbers(self, text: str) -> str:
        """Signs whose meaning needs the digits beside them."""
        text = self._hash_number.sub("number ", text)
        text = self._by.sub(" by ", text)
        text = self._feet.sub(r"\1 feet \2 inches", text)
        if text.count('"') % 2:  # a lone one is no quotation mark
            text = self._inches.sub(" inch", text)
        return self._multiplied.sub(" times ", self._divided.sub(" divided by ", text))

    def __call__(self, text: str) -> str:
        return self._signs(_CHOICE.sub("and or", text))
