"""Order of the steps: lexicon, emoji, markup, rules, tidy."""

import re
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Final, NamedTuple, Protocol

from wyoming_pocket_tts.text.normalization.codes import AddressRules, AddressWords, CodeRules, Codes
from wyoming_pocket_tts.text.normalization.data import EnglishData, load_boundaries
from wyoming_pocket_tts.text.normalization.dates import Calendar, DateTimeRules
from wyoming_pocket_tts.text.normalization.grammar import Grammar, digits
from wyoming_pocket_tts.text.normalization.markup import strip_markup
from wyoming_pocket_tts.text.normalization.quantities import (
    CurrencyRules,
    Money,
    NumberRules,
    Numbers,
    Quantities,
    UnitRules,
)
from wyoming_pocket_tts.text.normalization.words import (
    AbbreviationRules,
    Abbreviations,
    AcronymRules,
    ArithmeticRules,
    NameRules,
    Names,
    SymbolRules,
    Symbols,
    tidy,
)

_REGIONS: Final = frozenset({"pt-br"})
"""The regions that ``continental`` knows apart; named here so that English does not load it."""


@lru_cache(maxsize=32)  # texts may name any language
def _rules(language: str) -> Callable[[str], str] | None:
    """The rules of a language (two letters) or region, loaded when it is first spoken."""
    if language == "en":
        from wyoming_pocket_tts.text.normalization.data import load_english  # noqa: PLC0415

        return English(load_english())
    from wyoming_pocket_tts.text.normalization.grammar import GRAMMARS, load_grammar  # noqa: PLC0415

    return RuleNormalizer(load_grammar(language)) if language in GRAMMARS or language in _REGIONS else None


def normalize(text: str, language: str = "en") -> str:
    """The words of a sentence: no digits, symbols or markup, only letters, apostrophes and ``. , ; : ? ! -``.

    Nothing is lost: what no rule knows passes unchanged. Normalising again changes nothing. Linear in time.

    Args:
        text: a sentence; several are read as well, but line ends become spaces.
        language: BCP-47 tag; the part before the first hyphen decides, but for pt-BR.
    """
    tag = language.replace("_", "-").lower()
    rules = _rules(tag if tag in _REGIONS else tag.partition("-")[0])
    return text if rules is None else rules(text)


Pairs = tuple[tuple[str, str], ...]


class HowToRead(Protocol):
    """What ``speech.Reading`` is; described there."""

    @property
    def normalize(self) -> bool: ...
    @property
    def emoji(self) -> str: ...
    @property
    def replacements(self) -> Pairs: ...
    @property
    def pronunciations(self) -> Pairs: ...


def normalize_text(text: str, language: str, reading: HowToRead) -> str:
    """The words to say for a sentence; with the default ``Reading`` what ``normalize`` says. Linear in time,
    however many words are to be replaced.

    A key of a replacement or pronunciation is a word or several; ``Phrases`` says what they match. Emoji are spoken if
    asked for even where nothing is normalised; dropping them is a part of normalising.

    Args:
        text: as written.
        language: BCP-47 tag; the part before the first hyphen decides.
        reading: what to do.
    """
    if reading.replacements:
        text = _phrases(reading.replacements).replaced(text)
    if reading.emoji == "speak" and not text.isascii():
        from wyoming_pocket_tts.text.normalization.markup import emoji_to_words  # noqa: PLC0415  (loads thousands of names)

        text = emoji_to_words(text, language)
    if reading.normalize:
        text = normalize(text, language)
    return _phrases(reading.pronunciations).replaced(text) if reading.pronunciations else text


class PhraseReplacer:
    """Words or phrases, and what to say instead.

    They match whole words only, with any space between them, in any case unless they have a capital letter themselves.
    Where several match the longest wins, of the same length the first that was given; what was put in is not replaced
    again.
    """

    def __init__(self, pairs: Iterable[tuple[str, str]]) -> None:
        """Take what is written, and what is to be said; what is blank is never found."""
        self._as_written = _Node()
        self._in_any_case = _Node()
        for rank, (key, words) in enumerate(pairs):
            node = self._in_any_case if key == key.lower() else self._as_written
            for piece in _any_space(_PIECES.findall(key.strip())):
                node = node.following.get(piece) or node.grown(piece)
            if node.words is None:
                node.words, node.rank = words, rank

    def replaced(self, text: str) -> str:
        """The text with all that was found in it replaced."""
        written = _PIECES.findall(text)
        pieces = _any_space(written)
        lowered = [piece.lower() for piece in pieces]
        said: list[str] = []
        at = 0
        while at < len(pieces):
            matches = (_longest(self._as_written, pieces, at), _longest(self._in_any_case, lowered, at))
            found = max(filter(None, matches), default=None)
            said.append(written[at] if found is None else found.words)
            at = at + 1 if found is None else found.end
        return "".join(said)


@lru_cache(maxsize=64)
def _phrases(pairs: Pairs) -> PhraseReplacer:
    return PhraseReplacer(pairs)


_PIECES: Final = re.compile(r"\w+|\s+|[^\w\s]")
"""A word, some space, or one sign; together all of a text."""


@dataclass(slots=True)
class _Node:
    """Where a beginning of keys leads."""

    following: dict[str, "_Node"] = field(default_factory=dict)
    words: str | None = None
    """What to say instead, if a key ends here."""
    rank: int = 0
    """Of that key among all: the smaller is stronger."""

    def grown(self, piece: str) -> "_Node":
        """Lead somewhere new."""
        self.following[piece] = _Node()
        return self.following[piece]


class _Match(NamedTuple):
    """Compares greater where it counts more."""

    end: int
    """The number of the piece behind it."""
    strength: int
    words: str


def _longest(node: _Node, pieces: Sequence[str], at: int) -> _Match | None:
    """What the longest key says that begins with this piece; takes no more steps than a key has pieces."""
    found = None
    for end in range(at, len(pieces)):
        following = node.following.get(pieces[end])
        if following is None:
            break
        node = following
        if node.words is not None:
            found = _Match(end + 1, -node.rank, node.words)
    return found


def _any_space(pieces: Sequence[str]) -> list[str]:
    """Any space is like any other."""
    return [" " if piece.isspace() else piece for piece in pieces]


_MAX_READINGS = 5
_DIGIT = re.compile(r"[\d½⅓⅔¼¾⅕⅖⅗⅘⅙⅚⅐⅛⅜⅝⅞⅑⅒]")
_LETTERS: Final = "A-ZÀ-ÖØ-ÞŒ"
_VOWELS: Final = "AEIOUYÀÁÂÃÄÅÆÈÉÊËÌÍÎÏÒÓÔÕÖØÙÚÛÜÝŒ"
_CAPITALS = re.compile(f"[{_LETTERS}]{{2}}")
_SHOUTED_WORDS = re.compile(f"[{_LETTERS}]{{2,}}")


class RuleNormalizer:
    """The rules with one language's grammar. Has no state; safe to use from several threads."""

    def __init__(self, grammar: Grammar) -> None:
        data = grammar.data
        self._grammar = grammar
        dotted = frozenset(entry.short.lower() for entry in data.abbreviations if "." in entry.short)
        words = data.words
        self._addresses = AddressRules(
            AddressWords(
                dot=words.dot, at=words.at, slash=words.slash, port=words.port, digits=grammar.digits,
                tlds=data.tlds, abbreviations=dotted,
            )
        )  # fmt: skip
        self._abbreviations = AbbreviationRules(grammar, load_boundaries(grammar.language))
        self._calendar = DateTimeRules(grammar)
        self._codes = CodeRules(grammar)
        self._quantities = UnitRules(grammar)
        self._money = CurrencyRules(grammar, self._quantities)
        self._figures = NumberRules(grammar, self._quantities)
        self._names = NameRules(grammar)
        self._arithmetic = ArithmeticRules(grammar)
        self._acronyms = AcronymRules(
            spelled=data.spelled, pronounced=data.pronounced, emphasised=data.emphasised,
            letters=_LETTERS, vowels=_VOWELS, plural="s",
        )  # fmt: skip
        self._signs = SymbolRules(data.symbols, leading=data.leading_apostrophe, trailing=data.trailing_apostrophe)

    def __call__(self, text: str) -> str:
        """Read until nothing changes: the second reading, of words alone, is cheap and almost always the last."""
        for _ in range(_MAX_READINGS):
            before, text = text, self._read(text)
            if text == before:
                break
        return text

    def _read(self, text: str) -> str:
        text = strip_markup(text, self._grammar.data.kept_marks)
        shouted = text.isupper() and len(_SHOUTED_WORDS.findall(text)) > 1
        text = self._calendar.weekdays(self._addresses(text))
        text = self._with_digits(text) if _DIGIT.search(text) else self._abbreviations(text)
        text = self._money.rates(self._grammar.before_words(text))
        text = self._names(self._quantities.bare(text))
        if _CAPITALS.search(text):
            text = self._acronyms(text, shouted=shouted)
        return tidy(self._signs(text))

    def _with_digits(self, text: str) -> str:
        """From the most specific reading of a number to the most general one."""
        text = self._grammar.before_numbers(self._arithmetic(text))
        text = self._codes(self._calendar(text))
        text = self._figures.ranges(self._money(text))
        text = self._figures.fractions(text)
        text = self._abbreviations(self._quantities(text))  # "5 Min." is no minimum
        return self._figures(text)


_ENGLISH_CAPITALS = re.compile(r"[A-Z]{2}")
_ENGLISH_SHOUTED_WORDS = re.compile(r"[A-Z]{2,}")


class English:
    """The English rules. Has no state; safe to use from several threads."""

    def __init__(self, data: EnglishData) -> None:
        dotted = frozenset(entry.short.lower() for entry in data.abbreviations if "." in entry.short)
        self._addresses = AddressRules(
            AddressWords(
                dot="dot", at="at", slash="slash", port="port", digits=digits, tlds=data.tlds, abbreviations=dotted
            )
        )
        self._abbreviations = Abbreviations(data)
        self._calendar = Calendar(data)
        self._codes = Codes(data)
        self._quantities = Quantities(data)
        self._money = Money(data, self._quantities)
        self._numbers = Numbers(data)
        self._names = Names(data)
        self._acronyms = AcronymRules(
            spelled=data.spelled, pronounced=data.pronounced, emphasised=data.emphasised, article="A"
        )
        self._symbols = Symbols(data)

    def __call__(self, text: str) -> str:
        """Read until nothing changes: the second reading, of words alone, is cheap and almost always the last."""
        for _ in range(_MAX_READINGS):
            before, text = text, self._read(text)
            if text == before:
                break
        return text

    def _read(self, text: str) -> str:
        text = strip_markup(text)
        shouted = text.isupper() and len(_ENGLISH_SHOUTED_WORDS.findall(text)) > 1
        text = self._calendar.weekday_ranges(self._addresses(text))
        text = self._with_digits(text) if _DIGIT.search(text) else self._abbreviations(text)
        text = self._names(self._quantities.bare(text))
        if _ENGLISH_CAPITALS.search(text):
            text = self._acronyms(text, shouted=shouted)
        return tidy(self._symbols(text))

    def _with_digits(self, text: str) -> str:
        """From the most specific reading of a number to the most general one."""
        text = self._symbols.before_numbers(self._numbers.decimal_commas(text))
        text = self._quantities.degrees(self._calendar(text))
        text = self._codes(text)
        text = self._money(text)
        text = self._numbers.ranges(text)
        text = self._numbers.fractions(text)
        text = self._abbreviations(self._quantities(text))  # "5 min." is no minimum
        return self._numbers(text)
