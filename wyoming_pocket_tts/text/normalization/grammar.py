"""Base grammar: numbers, dates, units, agreement."""

# ruff: noqa: RUF001  (signs that look like others are read here)

import re
from collections.abc import Iterable
from dataclasses import dataclass
from functools import lru_cache
from importlib import import_module
from typing import Final

from wyoming_pocket_tts.text.normalization.data import GrammarWords, LanguageData, Noun, SpokenCurrency, load_language

_HUNDREDTHS: Final = 2
_FIRST_WORD = re.compile(r"\s([^\W\d_]+)")


@lru_cache(maxsize=8192)
def number_words(value: int, language: str, kind: str = "cardinal") -> str:
    """What num2words says; ``kind`` is "cardinal", "ordinal" or "year"."""
    from num2words import num2words  # type: ignore[import-untyped]  # noqa: PLC0415  (loads all its languages)

    words: str = num2words(value, lang=language, to=kind)
    return words.replace(",", "")


@dataclass(frozen=True, slots=True)
class ParsedNumber:
    """A ``NUMBER``, understood: digits before and behind the decimal mark."""

    integer: str
    fraction: str = ""

    @property
    def is_whole(self) -> bool:
        return not self.fraction

    @property
    def is_code(self) -> bool:
        """Whether its digits are read one by one: a leading zero, or too many for a quantity."""
        return len(self.integer) > MAX_CARDINAL_DIGITS or (len(self.integer) > 1 and self.integer[0] == "0")

    @property
    def is_one(self) -> bool:
        return self.integer == "1" and not self.fraction

    @property
    def value(self) -> float:
        return float(f"{self.integer}.{self.fraction or 0}")


class Grammar:
    """A language without grammar of its own. Has no state; safe to use from several threads."""

    language = ""
    """Two letters, as num2words knows them."""

    def __init__(self, data: LanguageData) -> None:
        self.data = data
        self.words = data.words

    # Numbers.

    def cardinal(self, value: int, gender: str = "") -> str:
        """A whole number. ``gender`` of the noun behind it; "" when none stands there: "eins", but "eine Lampe"."""
        del gender
        return number_words(value, self.language)

    def ordinal(self, value: int, form: str = "") -> str:
        """``form`` as ``ordinal_suffixes`` gives it."""
        del form
        return number_words(value, self.language, "ordinal")

    def digits(self, text: str) -> str:
        """Digit by digit; what is no digit is left out."""
        return " ".join(self.cardinal(int(char)) for char in text if char.isdecimal())

    def phone(self, groups: list[str]) -> str:
        """A telephone number in the groups it is written in."""
        return ", ".join(self.digits(group) for group in groups)

    def address_part(self, text: str) -> str:
        """One of the four numbers of an IP address."""
        return self.digits(text)

    def year(self, value: int) -> str:
        return self.cardinal(value)

    def number(self, amount: ParsedNumber, gender: str = "") -> str:
        """A number with its decimals, without sign."""
        if amount.is_code:
            integer = self.digits(amount.integer)
        else:
            integer = self.cardinal(int(amount.integer), gender if amount.is_whole else "")
        return f"{integer} {self.words.decimal} {self.decimals(amount.fraction)}" if amount.fraction else integer

    def decimals(self, fraction: str) -> str:
        """The digits behind the decimal mark."""
        significant = fraction.lstrip("0")
        if self.data.fraction == "digits" or not significant or len(fraction) > _HUNDREDTHS + 1:
            return self.digits(fraction)
        zeros = "0" * (len(fraction) - len(significant))
        return f"{self.digits(zeros)} {self.cardinal(int(significant))}".strip()

    # What is counted.

    def gender_of(self, noun: str) -> str:
        """The gender of a word behind a number, "" for one that is no noun."""
        genders, lower = self.data.genders, noun.lower()
        if lower in genders.no_nouns or (genders.capitalised and not noun[:1].isupper()):
            return ""
        for gender, words in genders.words.items():
            if lower in words:
                return gender
        found = [
            (len(ending), gender)
            for gender, endings in genders.endings.items()
            for ending in endings
            if lower.endswith(ending)
        ]
        return max(found)[1] if found else genders.default

    def gender_behind(self, after: str) -> str:
        """The gender of what is counted, from the text behind a number; "" when nothing is."""
        match = _FIRST_WORD.match(after)
        return self.gender_of(match[1]) if match else ""

    def number_in(self, amount: ParsedNumber, after: str, *, before: str) -> str:
        """A number that no unit follows, between the texts around it."""
        del before
        return self.number(amount, self.gender_behind(after))

    def times(self, value: int) -> str:
        """ "2x" without anything to multiply: how often."""
        return f"{self.cardinal(value)} {self.words.times}"

    def is_singular(self, amount: ParsedNumber) -> bool:
        """Whether a noun behind this number stands in the singular."""
        return amount.is_one

    def counted(self, amount: ParsedNumber, noun: Noun, *, before: str = "") -> str:
        """An amount of something: "eine Kilowattstunde". ``before``: the text in front of it."""
        del before
        name = noun.one if self.is_singular(amount) else noun.plural
        return f"{self.number(amount, self.gender(noun))} {self.behind_number(amount, name)}"

    def gender(self, noun: Noun) -> str:
        return noun.gender or self.data.genders.default

    def behind_number(self, amount: ParsedNumber, noun: str) -> str:
        """The noun as it stands behind this amount: "de euros" after "un millón"."""
        del amount
        return noun

    def behind_scale(self, noun: str) -> str:
        """The noun behind a ``Scale``: "millones de euros"."""
        return noun

    def per(self, noun: Noun, per: str = "") -> str:
        """What follows a slash behind an amount: "pro Stunde"."""
        return per or f"{self.words.per} {noun.one}"

    def money(self, amount: ParsedNumber, currency: SpokenCurrency, *, before: str = "") -> str:
        """An amount of money, where two decimals are hundredths. ``before``: the text in front of it."""
        if not currency.cent or len(amount.fraction) != _HUNDREDTHS:
            return self.counted(amount, currency, before=before)
        cents = ParsedNumber(str(int(amount.fraction)))
        named = self.counted(
            cents, Noun(one=currency.cent, many=currency.cents, gender=currency.cent_gender or currency.gender)
        )
        whole = ParsedNumber(amount.integer)
        if not whole.integer.strip("0") and cents.integer != "0":
            return named
        if cents.integer == "0":
            return self.counted(whole, currency, before=before)
        last = named if self.words.name_cents else self.number(cents)
        return f"{self.counted(whole, currency, before=before)}{self.words.money_joint}{last}"

    def fraction(self, whole: int | None, top: int, bottom: int, noun: str = "") -> str | None:
        """ "2 3/4" and "¾"; ``noun``: the word behind it. None: read as two numbers."""
        del noun
        if bottom not in self.data.denominators:
            return None
        one, many = self.data.denominators[bottom]
        words = f"{self.cardinal(top, self.data.genders.default)} {one if top == 1 else many}"
        return f"{self.cardinal(whole)} {words}" if whole else words

    # Calendar.

    def day(self, value: int, *, before: str = "") -> str:
        """The day of a date; ``before``: the text in front of it."""
        del before
        return self.cardinal(value)

    def month(self, value: int) -> str:
        """The name of month 1 to 12."""
        return list(self.data.dates.months)[value - 1]

    def date(self, day: int, month: int, year: int | None, *, before: str = "") -> str:
        """A whole date; ``before``: the text in front of it."""
        template = self.data.dates.short if year is None else self.data.dates.full
        words = "" if year is None else self.year(year)
        return template.format(day=self.day(day, before=before), month=self.month(month), year=words)

    def month_year(self, month: str, year: int) -> str:
        """ "octubre de 2026"; ``month``: its name."""
        behind_month = self.data.dates.full.partition("{month}")[2]
        return month + behind_month.format(year=self.year(year))

    def clock(self, hour: int, minute: int, second: int = 0, *, before: str = "") -> str:
        """A time of day; ``before``: the text in front of it."""
        del before
        clock = self.data.clock
        template = clock.second if second else clock.minute if minute else clock.hour
        return template.format(hour=self.hour(hour), minute=self.cardinal(minute), second=self.cardinal(second))

    def hour(self, value: int) -> str:
        """The number in "sieben Uhr"."""
        return self.cardinal(value)

    # Words.

    def regnal(self, value: int, name: str) -> str:
        """A ruler's number: "der Vierzehnte"."""
        del name
        return self.cardinal(value)

    def before_numbers(self, text: str) -> str:
        """The language's own patterns with digits, ahead of all others but addresses."""
        return text

    def before_words(self, text: str) -> str:
        """The language's own patterns of words, when no digit is left, ahead of acronyms and symbols."""
        return text


NUMBER: Final = (
    r"(?:\d{1,3}(?:\.\d{3})++(?!\.?\d)(?:,\d++)?"  # 1.234,5
    r"|[1-9]\d{0,2}(?: \d{3}){1,6}+(?!\d)(?:,\d++)?"  # 1 234,5; bounded, as each group could start another
    r"|\d{1,3}(?:'\d{3}){1,6}+(?!\d)(?:[.,]\d++)?"  # 1'234.5
    r"|\d{1,3}(?:,\d{3})++\.\d++"  # 1,234.5, as programs write it
    r"|\d++(?:[.,]\d++)?)"
)
"""A number without sign. A single dot is a decimal point unless three digits follow it: programs write "21.5"."""
MAX_CARDINAL_DIGITS: Final = 15
"""Longer ones are read digit by digit."""
_GROUP = 3


def amount(text: str) -> ParsedNumber:
    """Understand what ``NUMBER`` has matched."""
    text = text.replace(" ", "").replace("'", "")
    mark = max(text.rfind(","), text.rfind("."))
    if mark >= 0 and text[mark] == "." and "," not in text and _is_grouped(text):
        mark = -1
    integer, fraction = (text[:mark], text[mark + 1 :]) if mark >= 0 else (text, "")
    return ParsedNumber(integer.replace(".", "").replace(",", ""), fraction)


def _is_grouped(text: str) -> bool:
    """Whether its dots separate thousands: "1.234", but not "0.125", "1234.567" and "21.5"."""
    first, *groups = text.split(".")
    return 0 < len(first) <= _GROUP and first != "0" and all(len(group) == _GROUP for group in groups)


SIGN: Final = r"(?:(?<![\w)\]%°.,–-])[-−–+±~≈]\s?)"
"""A sign before a number, in ASCII or in its own character."""
TEXT_END: Final = re.compile(r"[\s\"')\]]*+\Z")
"""Nothing more to say: a full stop before it ends the sentence, even when it belongs to an abbreviation."""
_BEFORE_CHARS = 48
_BEHIND_CHARS = 48


def joined(words: Iterable[str]) -> str:
    """An alternation, the longest first; matches nothing when there are no words."""
    return "|".join(re.escape(word) for word in sorted(words, key=len, reverse=True)) or r"(?!)"


def before(match: re.Match[str]) -> str:
    """The text in front of a match, as much as grammar may need."""
    return match.string[max(0, match.start() - _BEFORE_CHARS) : match.start()]


def behind(match: re.Match[str]) -> str:
    """The text behind a match, as much as grammar may need."""
    return match.string[match.end() : match.end() + _BEHIND_CHARS]


def sign_words(words: GrammarWords) -> dict[str, str]:
    """What each ``SIGN`` means, with the space behind it; nothing for no sign."""
    minus, about = f"{words.minus} ", f"{words.about} "
    return {
        "": "",
        "-": minus,
        "−": minus,
        "–": minus,
        "+": f"{words.plus} ",
        "±": f"{words.plus_minus} ",
    } | dict.fromkeys("~≈", about)


ENGLISH_NUMBER: Final = r"(?:\d{1,3}(?:,\d{3})++(?!\d)(?:\.\d++)?|\d++(?:\.\d++)?|\.\d++)"
"""A number as texts write it, without sign: "1,234.5", "21.5", ".5"."""
NEXT_SENTENCE: Final = re.compile(r"\s[\"'(]?([A-Z][a-z']*)")
"""A capitalised word behind a full stop, which may open a sentence."""
_DIGITS: Final = ["zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine"]
_FIRST_YEAR, _LAST_YEAR = 1000, 2099


@lru_cache(maxsize=4096)
def _words(value: int, kind: str) -> str:
    from num2words import num2words  # noqa: PLC0415  (loads all its languages)

    words: str = num2words(value, lang="en", to=kind)
    return words.replace(",", "")


def cardinal(value: int) -> str:
    """ "one thousand two hundred and thirty-four"."""
    return _words(value, "cardinal")


def ordinal(value: int) -> str:
    """ "twenty-first"."""
    return _words(value, "ordinal")


def digits(text: str) -> str:
    """Digit by digit; what is no digit is left out."""
    return " ".join(_DIGITS[int(char)] for char in text if char.isdecimal())


def whole(text: str) -> str:
    """Digits as a number, or one by one when they are a code: a leading zero or too many for a quantity."""
    text = text.replace(",", "")
    if len(text) > MAX_CARDINAL_DIGITS or (len(text) > 1 and text[0] == "0"):
        return digits(text)
    return cardinal(int(text))


def number(text: str) -> str:
    """A ``NUMBER`` in words; the digits behind the point one by one."""
    integer, point, fraction = text.partition(".")
    if not point:
        return whole(integer)
    return f"{whole(integer)} point {digits(fraction)}" if integer else f"point {digits(fraction)}"


def is_one(text: str) -> bool:
    """Whether a unit after this number stands in the singular."""
    return text == "1"


def is_year(value: int) -> bool:
    return _FIRST_YEAR <= value <= _LAST_YEAR


def year(value: int) -> str:
    """A year from 1000 to 2099: "nineteen oh five", "two thousand and five", "twenty twenty-six"."""
    return _words(value, "year").replace("oh-", "oh ")


def decade(value: int) -> str:
    """The plural of a round year or of its last two digits: "nineteen nineties", "eighties"."""
    words = year(value) if value >= _FIRST_YEAR else cardinal(value)
    return f"{words[:-1]}ies" if words.endswith("y") else f"{words}s"


GRAMMARS: Final = {
    "de": ("german", "GermanGrammar"),
    "fr": ("romance", "FrenchGrammar"),
    "es": ("romance", "SpanishGrammar"),
    "it": ("romance", "ItalianGrammar"),
    "pt": ("romance", "PortugueseGrammar"),
    "nl": ("western", "DutchGrammar"),
}
"""Language (two letters) -> the module in this package and the class that knows its grammar."""

REGIONS: Final = {
    "pt-br": ("romance", "BrazilianGrammar"),
}
"""The same for tags (lower case) of regions that say it another way; their words are the language's."""


def load_grammar(tag: str) -> Grammar:
    """The grammar of one of ``GRAMMARS`` or ``REGIONS`` with its words."""
    language = tag.partition("-")[0]
    module, name = REGIONS[tag] if tag in REGIONS else GRAMMARS[language]
    found: type[Grammar] = getattr(import_module(f"{__package__}.{module}"), name)
    return found(load_language(language))
