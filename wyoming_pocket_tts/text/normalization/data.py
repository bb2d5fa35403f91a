"""Schema of the language files."""

from functools import cache
from pathlib import Path
from typing import Literal, Self

import yaml
from pydantic import BaseModel, ConfigDict, Field, TypeAdapter, model_validator

_FOLDER = Path(__file__).parent
_LOADER = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
"""The one in C, eight times as fast, where PyYAML was built with it."""


class Strict(BaseModel):
    """Frozen, and a key that nobody knows is an error."""

    model_config = ConfigDict(frozen=True, extra="forbid")


class SentenceBoundaries(Strict):
    """What a full stop means after certain words; the fields are described in ``boundaries.yaml``."""

    never: frozenset[str] = frozenset()
    before_number: frozenset[str] = frozenset()
    before_starter: frozenset[str] = frozenset()
    before_starter_endings: tuple[str, ...] = ()
    before_capital: frozenset[str] = frozenset()
    capitals_within: frozenset[str] = frozenset()
    starters: frozenset[str] = frozenset()
    ordinal_leaders: frozenset[str] = frozenset()
    ordinal_nouns: frozenset[str] = frozenset()


class UnitWords(Strict):
    """How a unit of measure is said."""

    symbols: tuple[str, ...]
    """Its spellings after a number; case matters."""
    one: str
    many: str
    spaced: bool = False
    """Whether it must stand apart from the number ("5 A", but not "5A")."""
    bare: bool = False
    """Whether the symbol means this unit without a number, too ("in °C", "per kWh")."""


class CurrencyWords(Strict):
    """How an amount of money is said."""

    signs: tuple[str, ...] = ()
    """Signs before or after the number."""
    codes: tuple[str, ...] = ()
    """Codes as words before or after the number."""
    one: str
    many: str
    cent: str = ""
    cents: str = ""
    """The hundredth part; empty where none is spoken."""


class Abbreviation(Strict):
    """An abbreviation and its words. Written without its last dot."""

    short: str
    long: str
    dot: Literal["optional", "required", "number"] = "optional"
    """``required``: only with its dot an abbreviation, otherwise a word; ``number``: so and a number follows."""
    after_name: str = ""
    """Its words when a name stands before it and none behind it ("Main St.")."""


class EnglishData(Strict):
    """The words behind the English rules; the fields are described in ``en.yaml``."""

    units: tuple[UnitWords, ...]
    currencies: tuple[CurrencyWords, ...]
    scales: dict[str, str]
    abbreviations: tuple[Abbreviation, ...]
    months: dict[str, tuple[str, ...]]
    weekdays: dict[str, tuple[str, ...]]
    compass: dict[str, str]
    wind_words: frozenset[str]
    spelled: frozenset[str]
    pronounced: frozenset[str]
    emphasised: frozenset[str]
    tlds: frozenset[str]
    respelled: dict[str, str]
    symbols: dict[str, str]
    denominators: dict[int, tuple[str, str]]
    numbered: frozenset[str]
    regnal: frozenset[str]
    versioned: frozenset[str]
    leading_apostrophe: frozenset[str]
    multiplied: frozenset[str]
    temperature_words: frozenset[str]
    lettered: frozenset[str]
    timer_words: frozenset[str]
    instant_words: frozenset[str]
    state_words: frozenset[str]


def read_yaml(name: str) -> object:
    """What a file of this folder holds."""
    content: object = yaml.load((_FOLDER / name).read_text(encoding="utf-8"), Loader=_LOADER)  # noqa: S506  (a safe one)
    return content


@cache
def _all_boundaries() -> dict[str, SentenceBoundaries]:
    return TypeAdapter(dict[str, SentenceBoundaries]).validate_python(read_yaml("boundaries.yaml"))


def load_boundaries(language: str) -> SentenceBoundaries:
    """The sentence boundaries of a language (two letters); empty ones for a language without data."""
    return _all_boundaries().get(language, SentenceBoundaries())


@cache
def load_english() -> EnglishData:
    """The data of ``en.yaml``.

    Raises:
        pydantic.ValidationError: the file, a part of this package, does not have the shape above.
    """
    return EnglishData.model_validate(read_yaml("en.yaml"))


class UnitSymbols(Strict):
    """How a unit is written, in any language."""

    symbols: tuple[str, ...]
    """Its spellings after a number; case matters."""
    spaced: bool = False
    """Whether it must stand apart from the number ("5 A", but not "5A")."""
    bare: bool = False
    """Whether the symbol means this unit without a number, too ("in °C", "pro kWh")."""


class CurrencySymbols(Strict):
    """How a currency is written, in any language."""

    signs: tuple[str, ...] = ()
    """Signs before or after the number."""
    codes: tuple[str, ...] = ()
    """Codes as words before or after the number."""


class SymbolTable(Strict):
    """``measures.yaml``."""

    units: dict[str, UnitSymbols]
    currencies: dict[str, CurrencySymbols]


class Noun(Strict):
    """What is counted: its singular, its plural and its gender."""

    one: str
    many: str = ""
    """Empty: like the singular."""
    gender: str = ""
    """As ``Grammar.cardinal`` knows it: "m", "f" or "n"; empty: the language's ``genders.default``."""

    @property
    def plural(self) -> str:
        return self.many or self.one


class SpokenUnit(Noun):
    """How a unit is said."""

    per: str = ""
    """All of it behind a slash ("all'ora"); empty: ``words.per`` and the singular."""
    symbols: tuple[str, ...] = ()
    """Further spellings in this language ("Std")."""


class SpokenCurrency(Noun):
    """How an amount of money is said."""

    cent: str = ""
    cents: str = ""
    """The hundredth part; empty where none is spoken."""
    cent_gender: str = ""


class Scale(Noun):
    """Powers of a thousand as texts write them: "Mio." is "Million(en)"."""

    symbols: tuple[str, ...]


class GrammarWords(Strict):
    """Single words that the rules need."""

    decimal: str
    """Between integer and fraction: "Komma"."""
    minus: str
    plus: str
    plus_minus: str
    about: str
    """For "~" and "≈" before a number."""
    range: str
    """For the dash in "10-12": "bis"."""
    ratio: str
    """For the colon in "2:1": "zu"."""
    times: str
    """For a multiplication, and "2x"."""
    by: str
    """In dimensions: "3 x 4 m"."""
    divided: str
    per: str
    """For the slash before a unit."""
    out_of: str
    """For the slash in "8/10"."""
    slash: str
    """For the slash in addresses."""
    dot: str
    """For the dot in addresses and versions."""
    at: str
    port: str
    version: str
    """For "v" before a version."""
    number: str
    """For "#" before a number."""
    money_joint: str = " "
    """Between the whole amount and the hundredths: "fünf Euro neunundneunzig", "cinco euros con noventa"."""
    name_cents: bool = False
    """Whether the hundredths are named after a whole amount: "five euros and ten cents"."""


class ClockFormats(Strict):
    """Times of day; ``{hour}``, ``{minute}`` and ``{second}`` stand for number words."""

    hour: str
    minute: str
    second: str
    after: tuple[str, ...] = ()
    """Words that may follow a time as written and belong to it: "14:05 Uhr"."""
    letters: str = ""
    """Letters between hour and minute: "14h30"."""
    timer_words: frozenset[str] = frozenset()
    """Words (lower case) in whose company "1:30:05" is a duration; without any it never is one."""
    instant_words: frozenset[str] = frozenset()
    """Words in front of it (lower case) that make it a time of day all the same."""
    state_words: frozenset[str] = frozenset()
    """Words in front of it (lower case) that make it a time of day where no timer is spoken of, even with hour 0."""
    dotted: bool = False
    """Whether "7.30" with one of ``after`` behind it is a time."""


class DateFormats(Strict):
    """Dates; ``{day}``, ``{month}`` and ``{year}`` stand for words."""

    full: str
    short: str
    """Without the year."""
    months: dict[str, tuple[str, ...]]
    """Names in the order of the year, each with its abbreviations (without a dot)."""
    weekdays: dict[str, tuple[str, ...]]
    year_words: frozenset[str] = frozenset()
    """Words (lower case) after which four digits are a year, for languages that read years in their own way."""
    weekday_leaders: tuple[str, ...] = ()
    """Words (lower case) behind which a short name of a weekday with a dot is one: "am Mo."."""
    weekday_followers: tuple[str, ...] = ()
    """Words (lower case) before which it is one: "Do. zwischen 8 und 10"."""
    joints: tuple[str, ...] = ()
    """Words between the parts of a date as written: "3 de octubre de 2026"."""


class GenderRules(Strict):
    """How the gender of a noun behind a number is guessed: "1 Lampe", "21 luces"."""

    default: str
    """Of a unit or currency that names none."""
    capitalised: bool = False
    """Whether nouns are written with a capital letter, and only they."""
    endings: dict[str, tuple[str, ...]] = Field(default_factory=dict)
    """Gender -> endings of words; the longest one wins."""
    words: dict[str, frozenset[str]] = Field(default_factory=dict)
    """Gender -> words (lower case) that the endings get wrong."""
    no_nouns: frozenset[str] = frozenset()
    """Words (lower case) behind a number that are no noun: "1 ist an"."""


class LanguageData(Strict):
    """The words of one language."""

    words: GrammarWords
    fraction: Literal["digits", "number"]
    """How digits behind the decimal mark are read: each, or as a number ("virgule quatorze")."""
    genders: GenderRules
    clock: ClockFormats
    dates: DateFormats
    units: dict[str, SpokenUnit]
    """One for each name in ``measures.yaml``."""
    currencies: dict[str, SpokenCurrency]
    """One for each name in ``measures.yaml``."""
    scales: tuple[Scale, ...]
    denominators: dict[int, tuple[str, str]]
    """Denominator -> its singular and plural: {4: [Viertel, Viertel]}. Others are read with ``words.out_of``."""
    abbreviations: tuple[Abbreviation, ...]
    ordinal_suffixes: dict[str, str] = Field(default_factory=dict)
    """What makes digits an ordinal -> the form for ``Grammar.ordinal``: {er: m, re: f, e: ""}."""
    compass: dict[str, str]
    wind_words: frozenset[str]
    """With one of them in the sentence a single letter is a direction, too."""
    numbered: frozenset[str]
    """Words (lower case) before a Roman cardinal: "Kapitel III"."""
    regnal: frozenset[str]
    """Names before a Roman ordinal: "Ludwig XIV."."""
    spelled: frozenset[str]
    """Capitals said letter by letter although their shape does not tell."""
    pronounced: frozenset[str]
    """Capitals said as a word."""
    emphasised: frozenset[str]
    """Common words that are only written in capitals."""
    respelled: dict[str, str]
    """Words the voices say wrongly as written."""
    symbols: dict[str, str]
    """Characters that are words, wherever no other rule has read them."""
    tlds: frozenset[str] = frozenset()
    """Ends of domain names to spell."""
    versioned: frozenset[str] = frozenset()
    """Words (lower case) after which a number with one dot is a version."""
    digit_words: frozenset[str] = frozenset()
    """Words (lower case) after which digits are read one by one: "PIN", "Notruf"."""
    leading_apostrophe: frozenset[str] = frozenset()
    """Words (lower case) that begin with an apostrophe: "'s"."""
    trailing_apostrophe: frozenset[str] = frozenset()
    """Words (lower case) that end with one: "po'"."""
    kept_marks: str = ""
    """Marks that the voices of this language know beside the common ones: "¿¡"."""
    extra: dict[str, frozenset[str]] = Field(default_factory=dict)
    """Word lists that only this language's grammar asks for, by name."""

    @model_validator(mode="after")
    def _has_a_word_for_every_measure(self) -> Self:
        measures = load_measures()
        for kind, given, known in (
            ("units", set(self.units), set(measures.units)),
            ("currencies", set(self.currencies), set(measures.currencies)),
        ):
            if given != known:
                missing, unknown = ", ".join(sorted(known - given)), ", ".join(sorted(given - known))
                raise ValueError(
                    f"{kind}: without words: {missing or 'none'}; not in measures.yaml: {unknown or 'none'}"
                )
        return self


@cache
def load_measures() -> SymbolTable:
    return SymbolTable.model_validate(read_yaml("measures.yaml"))


@cache
def load_language(language: str) -> LanguageData:
    """The data of a language (two letters) that has a file.

    Raises:
        pydantic.ValidationError: the file, a part of this package, does not have the shape above.
    """
    return LanguageData.model_validate(read_yaml(f"{language}.yaml"))
