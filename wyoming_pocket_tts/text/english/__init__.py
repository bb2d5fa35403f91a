"""English: one sentence as written becomes one as said.

Puts the rules in order; each knows only its own kind of word.
"""

import re

from wyoming_pocket_tts.text.acronyms import Acronyms
from wyoming_pocket_tts.text.addresses import Addresses, AddressWords
from wyoming_pocket_tts.text.english.calendar import Calendar
from wyoming_pocket_tts.text.english.codes import Codes
from wyoming_pocket_tts.text.english.numbers import digits
from wyoming_pocket_tts.text.english.quantities import Money, Numbers, Quantities
from wyoming_pocket_tts.text.english.symbols import Symbols
from wyoming_pocket_tts.text.english.words import Abbreviations, Names
from wyoming_pocket_tts.text.language_data import EnglishData
from wyoming_pocket_tts.text.markup import plain_text
from wyoming_pocket_tts.text.signs import tidy

_MAX_READINGS = 5
_DIGIT = re.compile(r"[\d½⅓⅔¼¾⅕⅖⅗⅘⅙⅚⅐⅛⅜⅝⅞⅑⅒]")
_CAPITALS = re.compile(r"[A-Z]{2}")
_SHOUTED_WORDS = re.compile(r"[A-Z]{2,}")


class English:
    """The English rules. Has no state; safe to use from several threads."""

    def __init__(self, data: EnglishData) -> None:
        dotted = frozenset(entry.short.lower() for entry in data.abbreviations if "." in entry.short)
        self._addresses = Addresses(
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
        self._acronyms = Acronyms(
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
        text = plain_text(text)
        shouted = text.isupper() and len(_SHOUTED_WORDS.findall(text)) > 1
        text = self._calendar.weekday_ranges(self._addresses(text))
        text = self._with_digits(text) if _DIGIT.search(text) else self._abbreviations(text)
        text = self._names(self._quantities.bare(text))
        if _CAPITALS.search(text):
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
