"""How a language says a number, a date, an amount: what a language changes, it overrides here.

The defaults put words from the data file and num2words side by side. Rules call these hooks and nothing else of a
language; hooks know no patterns but get what stands in the text around the match where grammar depends on it.
"""

import re
from functools import lru_cache
from typing import Final

from wyoming_pocket_tts.text.continental.data import CurrencyWords, LanguageData, Noun
from wyoming_pocket_tts.text.continental.numbers import Amount

_HUNDREDTHS: Final = 2
_FIRST_WORD = re.compile(r"\s([^\W\d_]+)")


@lru_cache(maxsize=8192)
def number_words(value: int, language: str, kind: str = "cardinal") -> str:
    """What num2words says; ``kind`` is "cardinal", "ordinal" or "year"."""
    from num2words import num2words  # type: ignore[import-untyped]  # noqa: PLC0415  (loads all its languages)

    words: str = num2words(value, lang=language, to=kind)
    return words.replace(",", "")


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

    def number(self, amount: Amount, gender: str = "") -> str:
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

    def number_in(self, amount: Amount, after: str, *, before: str) -> str:
        """A number that no unit follows, between the texts around it."""
        del before
        return self.number(amount, self.gender_behind(after))

    def times(self, value: int) -> str:
        """ "2x" without anything to multiply: how often."""
        return f"{self.cardinal(value)} {self.words.times}"

    def is_singular(self, amount: Amount) -> bool:
        """Whether a noun behind this number stands in the singular."""
        return amount.is_one

    def counted(self, amount: Amount, noun: Noun, *, before: str = "") -> str:
        """An amount of something: "eine Kilowattstunde". ``before``: the text in front of it."""
        del before
        name = noun.one if self.is_singular(amount) else noun.plural
        return f"{self.number(amount, self.gender(noun))} {self.behind_number(amount, name)}"

    def gender(self, noun: Noun) -> str:
        return noun.gender or self.data.genders.default

    def behind_number(self, amount: Amount, noun: str) -> str:
        """The noun as it stands behind this amount: "de euros" after "un millón"."""
        del amount
        return noun

    def behind_scale(self, noun: str) -> str:
        """The noun behind a ``Scale``: "millones de euros"."""
        return noun

    def per(self, noun: Noun, per: str = "") -> str:
        """What follows a slash behind an amount: "pro Stunde"."""
        return per or f"{self.words.per} {noun.one}"

    def money(self, amount: Amount, currency: CurrencyWords, *, before: str = "") -> str:
        """An amount of money, where two decimals are hundredths. ``before``: the text in front of it."""
        if not currency.cent or len(amount.fraction) != _HUNDREDTHS:
            return self.counted(amount, currency, before=before)
        cents = Amount(str(int(amount.fraction)))
        named = self.counted(
            cents, Noun(one=currency.cent, many=currency.cents, gender=currency.cent_gender or currency.gender)
        )
        whole = Amount(amount.integer)
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
