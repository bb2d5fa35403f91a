"""Abbreviations, acronyms, Roman numerals, signs."""

# ruff: noqa: RUF001  (dashes and signs that look like others are read here)

import re
from typing import TYPE_CHECKING

from wyoming_pocket_tts.text.normalization.grammar import TEXT_END, Grammar, joined

if TYPE_CHECKING:
    from wyoming_pocket_tts.text.normalization.data import Abbreviation


_ROMAN = {"I": 1, "V": 5, "X": 10, "L": 50, "C": 100}
_ROMAN_SHAPE = re.compile(r"(?:XC|XL|L?X{0,3})(?:IX|IV|V?I{0,3})")
_ROMAN_ALONE = re.compile(r"(?<![\w'.&-])(II|III|VII|VIII|IX|XII|XIII|XIV|XVI|XVII|XVIII|XIX|XXI)(?![\w'&-]|\s[A-Z]\b)")
_NO_NUMERAL_BEHIND = r"(?!\w|'|\s[A-Z]\b|\.[A-Z])"
_NUMBER_BEHIND = re.compile(r"\s?#?\d")
_NAME_BEFORE = re.compile(r"[A-Z][a-z]+(?:'s)?\s\Z")
_NAME_BEHIND = re.compile(r"\s[A-Z]")
_NAME_CHARS = 30
_MAX_SPELLED = 3  # unknown capitals up to this length are spelled, longer ones with a vowel are words
_HASH_NUMBER = re.compile(r"#\s?(?=[A-Za-z]{0,3}\d)")
_PAUSE = re.compile(r"\s*[—–]\s*|\s+-{1,3}(?=\s|$)|-{2,}|\s*[•·|]\s*|\s*[\[\](){}]+\s*")
_ODD_HYPHEN = re.compile(r"(?<!\w)-+|-+(?!\w)")
_NO_SPACE_BEHIND = re.compile(r"(?<=\w)[,;:](?=\w)|(?<=[a-z])[!?](?=[A-Z])")
_QUOTE = re.compile(r"[\"«»‹›„]+")
_WORD_END = re.compile(r"[^\W\d_]{1,12}\Z")
_SPACE_BEFORE = re.compile(r"\s+([.,;:!?])")
_COMMA_RUN = re.compile(r",(?:\s*,)+")
_COMMA_BEFORE = re.compile(r",+\s*(?=[.;:!?])")
_COMMA_BEHIND = re.compile(r"(?<=[.;:!?])\s*,+(?=\s|$)")
_EDGES = re.compile(r"\A[\s,;:.]+|[\s,]+\Z")


def roman(numeral: str) -> int:
    if not _ROMAN_SHAPE.fullmatch(numeral):
        return 0
    values = [_ROMAN[char] for char in numeral]
    return sum(-a if a < b else a for a, b in zip(values, [*values[1:], 0], strict=True))


class AbbreviationRules:
    """ "z. B." is "zum Beispiel", "Main St." is "Main Street"."""

    def __init__(self, grammar: Grammar) -> None:
        self._grammar = grammar
        self._known: dict[str, Abbreviation] = {}
        for entry in grammar.data.abbreviations:
            self._known[entry.short] = entry
            self._known.setdefault(entry.short[0].upper() + entry.short[1:], entry)
            if "." in entry.short and not grammar.dotted_with_spaces:
                self._known.setdefault(entry.short.upper(), entry)
        shapes = joined(self._known)
        if grammar.dotted_with_spaces:
            shapes = shapes.replace(r"\.", r"\.\s?")
        self._pattern = re.compile(rf"(?<![\w.'/@-])({shapes})(\.)?(?![\w'@]|[.-]\w)")

    def __call__(self, text: str) -> str:
        return self._grammar.after_abbreviations(self._pattern.sub(self._say, text))

    def _say(self, match: re.Match[str]) -> str:
        short = "".join(match[1].split()) if "." in match[1] else match[1]
        entry = self._known[short]
        if entry.dot != "optional" and not match[2]:
            return match[0]
        if entry.dot == "number" and not _NUMBER_BEHIND.match(match.string, match.end()):
            return match[0]
        words = entry.long
        if entry.after_name and _follows_name(match) and not _NAME_BEHIND.match(match.string, match.end()):
            words = entry.after_name
        if short != entry.short:
            words = words[0].upper() + words[1:]
        ends = match[2] and (
            TEXT_END.match(match.string, match.end()) or self._grammar.opens_sentence(match, entry.short)
        )
        return words + ("." if ends else "")


def _follows_name(match: re.Match[str]) -> bool:
    return _NAME_BEFORE.search(match.string, max(0, match.start() - _NAME_CHARS), match.start()) is not None


class NameRules:
    """Roman numerals, compass directions and respelled words, by the words around them."""

    def __init__(self, grammar: Grammar) -> None:
        self._grammar = grammar
        data = grammar.data
        self._compass, self._respelled = data.compass, data.respelled
        self._wind = re.compile(rf"\b(?:{joined(data.wind_words)}){grammar.wind_word_end}", re.IGNORECASE)
        self._direction = re.compile(rf"(?<![\w'.&])(?<![A-Z] )({joined(data.compass)})(?![\w'&]|\.\w|\s[A-Z]\b)")
        self._regnal = re.compile(rf"\b({joined(data.regnal)})\s([IVX]++){_NO_NUMERAL_BEHIND}{grammar.regnal_stop}")
        self._numbered = re.compile(rf"\b((?i:{joined(data.numbered)})\s)([IVXLC]++){_NO_NUMERAL_BEHIND}")
        self._respell = re.compile(rf"(?<![\w'-])({joined(data.respelled)})(?![\w+#])")

    def __call__(self, text: str) -> str:
        text = self._respell.sub(self._say_respelled, text)
        text = self._regnal.sub(self._say_regnal, text)
        text = self._numbered.sub(self._say_numbered, text)
        text = _ROMAN_ALONE.sub(lambda match: self._grammar.cardinal(roman(match[1])), text)
        if not self._direction.search(text):
            return text
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
        if not value or (value == 1 and not self._grammar.is_roman_one(match[1], match)):
            return match[0]
        return f"{match[1]} {self._grammar.regnal(value, match[1])}"

    def _say_numbered(self, match: re.Match[str]) -> str:
        value = roman(match[2])
        if not value or match[2] in "CL" or (value == 1 and not self._grammar.is_roman_one(match[1], match)):
            return match[0]
        return f"{match[1]}{self._grammar.cardinal(value)}"


class AcronymRules:
    """Words in capitals: spelled ("T V"), said ("NASA") or only emphasised ("not")."""

    def __init__(self, grammar: Grammar) -> None:
        data, capitals = grammar.data, grammar.capitals
        self._spelled, self._pronounced, self._emphasised = data.spelled, data.pronounced, data.emphasised
        self._vowels = frozenset(grammar.vowels)
        self._plural = grammar.acronym_plural
        article = rf"(\b{grammar.article}\s)?" if grammar.article else "()"
        self._capitals = re.compile(rf"{article}(?<![^\W\d_])(?<!\w')([{capitals}]{{2,}})('s|s)?(?![^\W\d_])")
        self._hyphen = re.compile(rf"(?<=\b[{capitals}])-(?=[{capitals}]\b)")
        self._any = re.compile(rf"[{capitals}]{{2}}")
        self._words = re.compile(rf"[{capitals}]{{2,}}")

    def is_shouted(self, text: str) -> bool:
        """Whether the whole text stands in capitals, so that they say nothing."""
        return text.isupper() and len(self._words.findall(text)) > 1

    def __call__(self, text: str, *, shouted: bool) -> str:
        if not self._any.search(text):
            return text

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
        return not shouted and len(word) <= _MAX_SPELLED


class ArithmeticRules:
    """Signs between digits: "2 * 3", "10 / 2", "3 x 4 m", "#1"."""

    def __init__(self, grammar: Grammar) -> None:
        self._words, self._has_products = grammar.words, grammar.products_in_equations
        self._by = re.compile(grammar.dimension)
        self._divided = re.compile(grammar.division)
        self._multiplied = re.compile(grammar.multiplication)

    def __call__(self, text: str) -> str:
        words = self._words
        if "#" in text:
            text = _HASH_NUMBER.sub(f"{words.number} ", text)
        text = self._by.sub(f" {words.times if '=' in text and self._has_products else words.by} ", text)
        return self._multiplied.sub(f" {words.times} ", self._divided.sub(f" {words.divided} ", text))


class SymbolRules:
    """Signs as words or pauses, and apostrophes."""

    def __init__(self, grammar: Grammar) -> None:
        data, keepers = grammar.data, grammar.apostrophe_keepers
        self._words = data.symbols
        self._sign = re.compile(rf"\s*(?:{joined(data.symbols)})\s*")
        self._leading, self._trailing = data.leading_apostrophe, data.trailing_apostrophe
        front = rf"(?<=[^\W{keepers}])" if keepers else r"(?<=\w)"
        self._apostrophe = re.compile(rf"(?<!\w)'+(\w*)|(?<=\w)'{{2,}}|{front}'(?!\w)")

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
            front = _WORD_END.search(match.string, max(0, match.start() - 12), match.start())
            if front and front[0].lower() in self._trailing:
                return "'"
        return word


def tidy(text: str) -> str:
    """One space between words, none before a mark, no two pauses in a row, none at the edges."""
    text = " ".join(text.split())
    text = _SPACE_BEFORE.sub(r"\1", text)
    text = _COMMA_BEFORE.sub("", _COMMA_RUN.sub(",", text))
    text = _COMMA_BEHIND.sub("", text)
    return " ".join(_EDGES.sub("", text).split())
