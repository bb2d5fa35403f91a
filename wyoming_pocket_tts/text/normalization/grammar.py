"""Base grammar: numbers, dates, units, agreement."""

# ruff: noqa: RUF001  (signs that look like others are read here)

import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import ClassVar, Final

from wyoming_pocket_tts.text.normalization.data import CurrencyWords, GrammarWords, LanguageData, Noun, load_boundaries

Rule = tuple[re.Pattern[str], str | Callable[[re.Match[str]], str]]
"""A pattern and what replaces it. Each pattern is linear: none can start twice over the same characters."""

SIGN: Final = r"(?:(?<![\w)\]%°.,–-])[-−–+±~≈]\s?)"  # a sign before a number, in ASCII or in its own character
TEXT_END: Final = re.compile(r"[\s\"')\]]*+\Z")
"""The rest of a text without words: a full stop before it ends the sentence, also that of an abbreviation."""
MAX_CARDINAL_DIGITS: Final = 15  # longer numbers are read digit by digit
_GROUP: Final = 3
_HUNDREDTHS: Final = 2
_CONTEXT_CHARS: Final = 48
_FIRST_WORD = re.compile(r"\s([^\W\d_]+)")
_NEXT_WORD = re.compile(r"\s[\"'(]?([^\W\d_]+)")
_ONE_ENDS = re.compile(r"\s?(?:[.,;:!?)]|\Z)|\s[^\W\d_A-Z]")


def joined(words: Iterable[str]) -> str:
    """An alternation, the longest first; matches nothing when there are no words."""
    return "|".join(re.escape(word) for word in sorted(words, key=len, reverse=True)) or r"(?!)"


def before(match: re.Match[str]) -> str:
    """The text in front of a match, as much as grammar may need."""
    return match.string[max(0, match.start() - _CONTEXT_CHARS) : match.start()]


def behind(match: re.Match[str]) -> str:
    """The text behind a match, as much as grammar may need."""
    return match.string[match.end() : match.end() + _CONTEXT_CHARS]


def stop(match: re.Match[str]) -> str:
    """The full stop of a matched abbreviation when it ends the text as well."""
    return "." if TEXT_END.match(match.string, match.end()) else ""


def sign_words(words: GrammarWords) -> dict[str, str]:
    """Words for each ``SIGN``, with the space behind it; nothing for no sign."""
    minus, about = f"{words.minus} ", f"{words.about} "
    signs = {"": "", "+": f"{words.plus} ", "±": f"{words.plus_minus} "}
    return signs | dict.fromkeys("-−–", minus) | dict.fromkeys("~≈", about)


@lru_cache(maxsize=8192)
def number_words(value: int, language: str, kind: str = "cardinal") -> str:
    """Words of num2words; ``kind`` is "cardinal", "ordinal" or "year"."""
    from num2words import num2words  # type: ignore[import-untyped]  # noqa: PLC0415  (loads all its languages)

    words: str = num2words(value, lang=language, to=kind)
    return words.replace(",", "")


@dataclass(frozen=True, slots=True)
class ParsedNumber:
    """Digits before and behind the decimal mark."""

    integer: str
    fraction: str = ""

    @property
    def is_whole(self) -> bool:
        return not self.fraction

    @property
    def is_code(self) -> bool:
        """Its digits are read one by one: a leading zero, or too many for a quantity."""
        return len(self.integer) > MAX_CARDINAL_DIGITS or (len(self.integer) > 1 and self.integer[0] == "0")

    @property
    def is_one(self) -> bool:
        return self.integer == "1" and not self.fraction

    @property
    def value(self) -> float:
        return float(f"{self.integer}.{self.fraction or 0}")


class Grammar:
    """Hooks of the rules; a language overrides those that differ. ``before`` and ``after``: text around a match.

    Without a subclass: the words of the data file and of num2words. Thread-safe, without state.
    """

    language: ClassVar[str] = ""  # two letters, as in num2words

    # How the language is written.

    number_pattern: ClassVar[str] = (
        r"(?:\d{1,3}(?:\.\d{3})++(?!\.?\d)(?:,\d++)?"  # 1.234,5
        r"|[1-9]\d{0,2}(?: \d{3}){1,6}+(?!\d)(?:,\d++)?"  # 1 234,5; bounded, as each group could start another
        r"|\d{1,3}(?:'\d{3}){1,6}+(?!\d)(?:[.,]\d++)?"  # 1'234.5
        r"|\d{1,3}(?:,\d{3})++\.\d++"  # 1,234.5, as programs write it
        r"|\d++(?:[.,]\d++)?)"
    )
    """A number without sign. A single dot is a decimal point unless three digits follow it: programs write "21.5"."""
    number_start: ClassVar[str] = r"\d"
    comma_decimals: ClassVar[bool] = True  # decimals stand behind a comma, and thousands may be grouped by dots
    ordinal_digits: ClassVar[str] = r"\d{1,15}"
    last_bare_year: ClassVar[int] = 1999
    """Four digits alone are a year from 1900 to this; later ones sound the same either way."""
    scales_alone: ClassVar[bool] = True  # a scale needs no currency: "5 Mio."
    bare_rates: ClassVar[bool] = True  # a price may stand without an amount: "€/kWh"
    range_form: ClassVar[str] = ""  # form of a noun behind a range of numbers; see ``counted``
    any_word_per: ClassVar[bool] = True  # a word that is no unit may stand behind the slash of a quantity
    products_in_equations: ClassVar[bool] = True  # "3 x 4 = 12" is a multiplication, not a dimension
    dimension: ClassVar[str] = (
        r"(?<=\d)(?:\s?x\s?|×)(?=\d)|(?:(?<=\d\s[cmk]m)|(?<=\d\sm)|(?<=\d[cmk]m)|(?<=\dm))\s[x×]\s(?=\d)"
    )
    division: ClassVar[str] = r"(?<=\d)\s/\s(?=\d)|(?<=\d)\s?÷\s?(?=\d)"
    multiplication: ClassVar[str] = r"(?<=\d)\s?[*·]\s?(?=\d)"
    numeric_date: ClassVar[str] = r"(?<![\w./-])(\d{1,2})([./-])(\d{1,2})\2(\d{2,4})(?![\w/-]|[.,]\d)"
    phones: ClassVar[Sequence[str]] = (
        r"(?<![\w.,:-])0\d(?:[ .-]\d\d){4}(?![\w-])",
        r"(?<![\w.,:-])(?<!\d )0\d{2,5}\s?[ /-]\s?\d{3,9}(?:[ -]\d{2,9}){0,3}(?![\w-])",
    )
    """Patterns of national telephone numbers."""
    weekday_stop: ClassVar[str] = r"(?:\.(?=\s?[\d,;]))?"
    """The full stop of a range of short weekdays, where it ends no sentence."""
    hours: ClassVar[str] = r"h(?:rs?)?"  # behind "1:30", where that is a duration
    word_in_front: ClassVar[re.Pattern[str]] = re.compile(r"([^\W_]+)[.\s,]{1,3}\Z")  # the word in front of "1:30:05"
    dotted_with_spaces: ClassVar[bool] = True
    """Abbreviations with inner dots may have spaces behind them ("z. B.") and are not written in capitals."""
    wind_word_end: ClassVar[str] = ""  # behind ``wind_words``: nothing where they begin compounds
    regnal_stop: ClassVar[str] = r"(?:\.(?=\s[a-zà-ÿ]))?"
    capitals: ClassVar[str] = "A-ZÀ-ÖØ-ÞŒ"
    vowels: ClassVar[str] = "AEIOUYÀÁÂÃÄÅÆÈÉÊËÌÍÎÏÒÓÔÕÖØÙÚÛÜÝŒ"
    article: ClassVar[str] = ""  # an article in a capital letter that may stand before an acronym and is no part of it
    acronym_plural: ClassVar[str] = "s"
    """How an "s" behind a spelled acronym is written, so that it is no letter of its own."""
    apostrophe_keepers: ClassVar[str] = ""
    """Letters after which a last apostrophe is kept: it stands for what is left out."""

    def __init__(self, data: LanguageData) -> None:
        self.data = data
        self.words = data.words
        self.boundaries = load_boundaries(self.language)
        self.own_rules: Mapping[str, Sequence[Rule]] = {}
        """Kind -> rules in place of the common ones: "dates" with names of months, "times", "numbers", and "fractions",
        of which the first is for signs such as "¾" and the others are for texts with a slash."""

    def parse(self, text: str) -> ParsedNumber:
        text = text.replace(" ", "").replace("'", "")
        mark = max(text.rfind(","), text.rfind("."))
        if mark >= 0 and text[mark] == "." and "," not in text and _is_grouped(text):
            mark = -1
        integer, fraction = (text[:mark], text[mark + 1 :]) if mark >= 0 else (text, "")
        return ParsedNumber(integer.replace(".", "").replace(",", ""), fraction)

    # Numbers.

    def cardinal(self, value: int, gender: str = "") -> str:
        """A whole number. ``gender`` of the noun behind it; "" when none stands there: "eins", but "eine Lampe"."""
        return number_words(value, self.language)

    def ordinal(self, value: int, form: str = "") -> str:
        """``form`` as ``ordinal_suffixes`` gives it."""
        return number_words(value, self.language, "ordinal")

    def digits(self, text: str) -> str:
        return " ".join(self.cardinal(int(char)) for char in text if char.isdecimal())

    def phone(self, groups: list[str]) -> str:
        return ", ".join(self.digits(group) for group in groups)

    def address_part(self, text: str) -> str:
        return self.digits(text)

    def version(self, parts: list[str]) -> str:
        return f" {self.words.dot} ".join(self.version_part(part) for part in parts)

    def version_part(self, part: str) -> str:
        if len(part) > 1 and part[0] == "0":
            return self.digits(part)
        return self.year(int(part)) if len(part) == 4 else self.cardinal(int(part))  # noqa: PLR2004  (a year's digits)

    def year(self, value: int) -> str:
        return self.cardinal(value)

    def number(self, amount: ParsedNumber, gender: str = "") -> str:
        if amount.is_code:
            integer = self.digits(amount.integer)
        else:
            integer = self.cardinal(int(amount.integer), gender if amount.is_whole else "")
        return f"{integer} {self.words.decimal} {self.decimals(amount.fraction)}" if amount.fraction else integer

    def decimals(self, fraction: str) -> str:
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
        return self.number(amount, self.gender_behind(after))

    def times(self, value: int) -> str:
        return f"{self.cardinal(value)} {self.words.times}"

    def is_singular(self, amount: ParsedNumber) -> bool:
        """Whether a noun behind this number stands in the singular."""
        return amount.is_one

    def noun_form(self, match: re.Match[str]) -> str:
        """The form of the noun in a matched amount, for ``counted``, where the text around it decides."""
        return ""

    def is_one_unit(self, front: str) -> bool:
        """Whether a unit without a number stands in the singular, behind this text: "pro kWh"."""
        front = front.rstrip()[-8:].lower()
        return front.endswith(f" {self.words.per}".lower()) or front == self.words.per

    def counted(self, amount: ParsedNumber, noun: Noun, *, before: str = "", form: str = "") -> str:
        """An amount of something: "eine Kilowattstunde"; ``form``: "one", "many" or, by the amount, "" """
        name = noun.one if form == "one" or (not form and self.is_singular(amount)) else noun.plural
        return f"{self.number(amount, self.gender(noun))} {self.behind_number(amount, name)}"

    def gender(self, noun: Noun) -> str:
        return noun.gender or self.data.genders.default

    def behind_number(self, amount: ParsedNumber, noun: str) -> str:
        """The noun as it stands behind this amount: "de euros" after "un millón"."""
        return noun

    def behind_scale(self, noun: str) -> str:
        """The noun behind a ``Scale``: "millones de euros"."""
        return noun

    def per(self, noun: Noun, per: str = "") -> str:
        return per or f"{self.words.per} {noun.one}"

    def money(self, amount: ParsedNumber, currency: CurrencyWords, *, before: str = "", form: str = "") -> str:
        """An amount of money, where two decimals are hundredths."""
        if not currency.cent or len(amount.fraction) != _HUNDREDTHS:
            return self.counted(amount, currency, before=before, form=form)
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

    def money_range(
        self, low: ParsedNumber, high: ParsedNumber, currency: CurrencyWords, *, before: str, form: str
    ) -> str:
        first = self.number(low) if low.is_whole else self.money(low, currency, before=before)
        return f"{first} {self.words.range} {self.money(high, currency, before=before)}"

    def fraction(self, whole: int | None, top: int, bottom: int, noun: str = "") -> str | None:
        """ "2 3/4" and "¾"; ``noun``: the word behind it. None: read as two numbers."""
        if bottom not in self.data.denominators:
            return None
        one, many = self.data.denominators[bottom]
        words = f"{self.cardinal(top, self.data.genders.default)} {one if top == 1 else many}"
        return f"{self.cardinal(whole)} {words}" if whole else words

    # Dates and times.

    def day_and_month(self, first: int, second: int, mark: str) -> tuple[int, int]:
        """Day and month of a date in digits with this mark between them."""
        return (second, first) if second > 12 else (first, second)  # noqa: PLR2004  (months)

    def day(self, value: int, *, before: str = "") -> str:
        return self.cardinal(value)

    def month(self, value: int) -> str:
        return list(self.data.dates.months)[value - 1]

    def date(self, day: int, month: int, year: int | None, *, before: str = "") -> str:
        template = self.data.dates.short if year is None else self.data.dates.full
        words = "" if year is None else self.year(year)
        return template.format(day=self.day(day, before=before), month=self.month(month), year=words)

    def month_year(self, month: str, year: int) -> str:
        """ "octubre de 2026"; ``month``: its name."""
        behind_month = self.data.dates.full.partition("{month}")[2]
        return month + behind_month.format(year=self.year(year))

    def clock(self, hour: int, minute: int, second: int = 0, *, before: str = "") -> str:
        clock = self.data.clock
        template = clock.second if second else clock.minute if minute else clock.hour
        return template.format(hour=self.hour(hour), minute=self.cardinal(minute), second=self.cardinal(second))

    def hour(self, value: int) -> str:
        return self.cardinal(value)

    # Words.

    def regnal(self, value: int, name: str) -> str:
        return self.cardinal(value)

    def is_roman_one(self, word: str, match: re.Match[str]) -> bool:
        """Whether the "I" at the end of a match is a number behind ``word``, not a letter."""
        return _ONE_ENDS.match(match.string, match.end()) is not None

    def opens_sentence(self, match: re.Match[str], abbreviation: str) -> bool:
        """Whether the word behind a match begins a sentence, so that the full stop of the abbreviation ended one."""
        following = _NEXT_WORD.match(match.string, match.end())
        return following is not None and following[1][0].isupper() and following[1].lower() in self.boundaries.starters

    # Patterns of the language's own, beside the common ones.

    def before_numbers(self, text: str) -> str:
        """With digits, ahead of all others but addresses and arithmetic."""
        return text

    def after_dates(self, text: str) -> str:
        """With digits, behind dates and times and ahead of codes."""
        return text

    def after_phones(self, text: str) -> str:
        """With digits, behind telephone numbers and IP addresses."""
        return text

    def after_abbreviations(self, text: str) -> str:
        return text

    def before_words(self, text: str) -> str:
        """Of words, when no digit is left, ahead of acronyms and symbols."""
        return text


def _is_grouped(text: str) -> bool:
    """Whether its dots separate thousands: "1.234", but not "0.125", "1234.567" and "21.5"."""
    first, *groups = text.split(".")
    return 0 < len(first) <= _GROUP and first != "0" and all(len(group) == _GROUP for group in groups)
