"""One sentence as written becomes one as said, in any continental language. Knows the order of the rules alone."""

import re
from typing import Final

from wyoming_pocket_tts.text.acronyms import Acronyms
from wyoming_pocket_tts.text.addresses import Addresses, AddressWords
from wyoming_pocket_tts.text.continental.calendar import Calendar
from wyoming_pocket_tts.text.continental.codes import Codes
from wyoming_pocket_tts.text.continental.figures import Figures
from wyoming_pocket_tts.text.continental.grammar import Grammar
from wyoming_pocket_tts.text.continental.quantities import Money, Quantities
from wyoming_pocket_tts.text.continental.symbols import Arithmetic
from wyoming_pocket_tts.text.continental.words import Abbreviations, Names
from wyoming_pocket_tts.text.language_data import load_boundaries
from wyoming_pocket_tts.text.markup import plain_text
from wyoming_pocket_tts.text.signs import Signs, tidy

_MAX_READINGS = 5
_DIGIT = re.compile(r"[\d½⅓⅔¼¾⅕⅖⅗⅘⅙⅚⅐⅛⅜⅝⅞⅑⅒]")
_LETTERS: Final = "A-ZÀ-ÖØ-ÞŒ"
_VOWELS: Final = "AEIOUYÀÁÂÃÄÅÆÈÉÊËÌÍÎÏÒÓÔÕÖØÙÚÛÜÝŒ"
_CAPITALS = re.compile(f"[{_LETTERS}]{{2}}")
_SHOUTED_WORDS = re.compile(f"[{_LETTERS}]{{2,}}")


class Continental:
    """The rules with one language's grammar. Has no state; safe to use from several threads."""

    def __init__(self, grammar: Grammar) -> None:
        data = grammar.data
        self._grammar = grammar
        dotted = frozenset(entry.short.lower() for entry in data.abbreviations if "." in entry.short)
        words = data.words
        self._addresses = Addresses(
            AddressWords(
                dot=words.dot, at=words.at, slash=words.slash, port=words.port, digits=grammar.digits,
                tlds=data.tlds, abbreviations=dotted,
            )
        )  # fmt: skip
        self._abbreviations = Abbreviations(grammar, load_boundaries(grammar.language))
        self._calendar = Calendar(grammar)
        self._codes = Codes(grammar)
        self._quantities = Quantities(grammar)
        self._money = Money(grammar, self._quantities)
        self._figures = Figures(grammar, self._quantities)
        self._names = Names(grammar)
        self._arithmetic = Arithmetic(grammar)
        self._acronyms = Acronyms(
            spelled=data.spelled, pronounced=data.pronounced, emphasised=data.emphasised,
            letters=_LETTERS, vowels=_VOWELS, plural="s",
        )  # fmt: skip
        self._signs = Signs(data.symbols, leading=data.leading_apostrophe, trailing=data.trailing_apostrophe)

    def __call__(self, text: str) -> str:
        """Read until nothing changes: the second reading, of words alone, is cheap and almost always the last."""
        for _ in range(_MAX_READINGS):
            before, text = text, self._read(text)
            if text == before:
                break
        return text

    def _read(self, text: str) -> str:
        text = plain_text(text, self._grammar.data.kept_marks)
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
