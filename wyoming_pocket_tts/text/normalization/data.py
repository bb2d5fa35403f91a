"""Schema of the language files."""

from functools import cache
from pathlib import Path
from typing import Literal, Self

import yaml
from pydantic import BaseModel, ConfigDict, Field, TypeAdapter, model_validator

_FOLDER = Path(__file__).parent
_LOADER = getattr(yaml, "CSafeLoader", yaml.SafeLoader)  # the one in C is eight times as fast


class StrictModel(BaseModel):
    """Frozen; an unknown key is an error."""

    model_config = ConfigDict(frozen=True, extra="forbid")


class SentenceBoundaries(StrictModel):
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


class UnitSymbols(StrictModel):
    """How a unit is written, in any language."""

    symbols: tuple[str, ...]  # spellings after a number; case matters
    spaced: bool = False  # it must stand apart from the number ("5 A", but not "5A")
    bare: bool = False  # the symbol means this unit without a number, too ("in °C", "pro kWh")


class CurrencySymbols(StrictModel):
    """How a currency is written, in any language."""

    signs: tuple[str, ...] = ()  # signs before or after the number
    codes: tuple[str, ...] = ()  # codes as words before or after the number


class SymbolTable(StrictModel):
    """``measures.yaml``."""

    units: dict[str, UnitSymbols]
    currencies: dict[str, CurrencySymbols]


class Noun(StrictModel):
    one: str
    many: str = ""  # empty: like the singular
    gender: str = ""  # as in ``Grammar.cardinal``: "m", "f" or "n"; empty: the language's ``genders.default``

    @property
    def plural(self) -> str:
        return self.many or self.one


class UnitWords(Noun):
    per: str = ""  # replaces all of it behind a slash ("all'ora"); empty: ``words.per`` and the singular
    symbols: tuple[str, ...] = ()  # further spellings in this language ("Std")


class CurrencyWords(Noun):
    cent: str = ""
    cents: str = ""  # the hundredth part; empty where none is spoken
    cent_gender: str = ""


class Scale(Noun):
    """Powers of a thousand as texts write them: "Mio." is "Million(en)"."""

    symbols: tuple[str, ...]
    tight: tuple[str, ...] = ()  # symbols that stand directly behind the number only: "$5k"


class Abbreviation(StrictModel):
    """An abbreviation, written without its last dot, and its words."""

    short: str
    long: str
    dot: Literal["optional", "required", "number"] = "optional"
    """``required``: an abbreviation only with its dot; ``number``: the same, and a number must follow."""
    after_name: str = ""  # its words when a name stands before it and none behind it ("Main St.")


class GrammarWords(StrictModel):
    decimal: str  # between integer and fraction: "Komma"
    minus: str
    plus: str
    plus_minus: str
    about: str  # for "~" and "≈" before a number
    range: str  # for the dash in "10-12": "bis"
    ratio: str  # for the colon in "2:1": "zu"
    times: str  # for a multiplication, and "2x"
    by: str  # in dimensions: "3 x 4 m"
    divided: str
    per: str  # for the slash before a unit
    out_of: str  # for the slash in "8/10"
    slash: str  # for the slash in addresses
    dot: str  # for the dot in addresses and versions
    at: str
    port: str
    version: str  # for "v" before a version
    number: str  # for "#" before a number
    money_joint: str = " "
    """Between the whole amount and the hundredths: "fünf Euro neunundneunzig", "cinco euros con noventa"."""
    name_cents: bool = False  # the hundredths are named after a whole amount: "five euros and ten cents"


class ClockFormats(StrictModel):
    """Times of day; ``{hour}``, ``{minute}`` and ``{second}`` stand for number words."""

    hour: str = ""
    minute: str = ""
    second: str = ""
    after: tuple[str, ...] = ()  # words that may follow a time as written and belong to it: "14:05 Uhr"
    letters: str = ""  # letters between hour and minute: "14h30"
    timer_words: frozenset[str] = frozenset()
    """Words (lower case) beside which "1:30:05" is a duration; without any it never is one."""
    instant_words: frozenset[str] = frozenset()
    """Words in front of it (lower case) that make it a time of day all the same."""
    state_words: frozenset[str] = frozenset()
    """Words in front of it (lower case) that make it a time of day where no timer is spoken of, even with hour 0."""
    dotted: bool = False  # "7.30" with one of ``after`` behind it is a time


class DateFormats(StrictModel):
    """Dates; ``{day}``, ``{month}`` and ``{year}`` stand for words."""

    full: str
    short: str  # without the year
    months: dict[str, tuple[str, ...]]  # names in the order of the year, each with its abbreviations (without a dot)
    weekdays: dict[str, tuple[str, ...]]
    year_words: frozenset[str] = frozenset()
    """Words (lower case) after which four digits are a year, for languages that read years in their own way."""
    weekday_leaders: tuple[str, ...] = ()
    """Words (lower case) behind which a short name of a weekday with a dot is one: "am Mo."."""
    weekday_followers: tuple[str, ...] = ()  # Words (lower case) before which it is one: "Do. zwischen 8 und 10".
    joints: tuple[str, ...] = ()  # words between the parts of a date as written: "3 de octubre de 2026"


class GenderRules(StrictModel):
    """How the gender of a noun behind a number is guessed: "1 Lampe", "21 luces"."""

    default: str = ""  # of a unit or currency that names none
    capitalised: bool = False  # nouns, and only they, are written with a capital letter
    endings: dict[str, tuple[str, ...]] = Field(default_factory=dict)
    """Gender -> endings of words; the longest one wins."""
    words: dict[str, frozenset[str]] = Field(default_factory=dict)
    """Gender -> words (lower case) that the endings get wrong."""
    no_nouns: frozenset[str] = frozenset()  # words (lower case) behind a number that are no noun: "1 ist an"


class LanguageData(StrictModel):
    words: GrammarWords
    fraction: Literal["digits", "number"]
    """How digits behind the decimal mark are read: each, or as a number ("virgule quatorze")."""
    genders: GenderRules = GenderRules()
    clock: ClockFormats
    dates: DateFormats
    units: dict[str, UnitWords]
    """By the names in ``measures.yaml``, or by names of the language's own with their ``symbols``."""
    currencies: dict[str, CurrencyWords]  # by the names in ``measures.yaml``
    without: frozenset[str] = frozenset()  # names and spellings of ``measures.yaml`` that this language does not use
    scales: tuple[Scale, ...]
    denominators: dict[int, tuple[str, str]]
    """Denominator -> its singular and plural: {4: [Viertel, Viertel]}. Others are read with ``words.out_of``."""
    abbreviations: tuple[Abbreviation, ...]  # a small first letter matches a capital one, too
    ordinal_suffixes: dict[str, str] = Field(default_factory=dict)
    """What makes digits an ordinal -> the form for ``Grammar.ordinal``: {er: m, re: f, e: ""}."""
    compass: dict[str, str]
    wind_words: frozenset[str]  # with one of them in the sentence a single letter is a direction, too
    numbered: frozenset[str]  # words (lower case) before a Roman cardinal: "Kapitel III"
    regnal: frozenset[str]  # names before a Roman ordinal: "Ludwig XIV."
    spelled: frozenset[str]  # capitals said letter by letter although their shape does not show it
    pronounced: frozenset[str]  # capitals said as a word
    emphasised: frozenset[str]  # common words that are only written in capitals
    respelled: dict[str, str]  # words that the voices mispronounce as written
    symbols: dict[str, str]
    """Characters that are words wherever no other rule has read them; brackets and dashes are pauses."""
    tlds: frozenset[str] = frozenset()  # ends of domain names to spell
    versioned: frozenset[str] = frozenset()  # words (lower case) after which a number with one dot is a version
    digit_words: frozenset[str] = frozenset()
    """Words (lower case) after which digits are read one by one: "PIN", "Notruf"."""
    leading_apostrophe: frozenset[str] = frozenset()  # words (lower case) that begin with an apostrophe: "'s"
    trailing_apostrophe: frozenset[str] = frozenset()  # words (lower case) that end with one: "po'"
    kept_marks: str = ""  # marks that the voices of this language support beside the common ones: "¿¡"
    extra: dict[str, frozenset[str]] = Field(default_factory=dict)
    """Word lists that only this language's grammar asks for, by name."""

    @model_validator(mode="after")
    def _has_words_for_every_symbol(self) -> Self:
        table = load_symbols()
        units = {name for name, unit in self.units.items() if name in table.units or not unit.symbols}
        kinds = ("units", units, table.units.keys()), ("currencies", set(self.currencies), table.currencies.keys())
        for kind, given, known in kinds:
            expected = known - self.without
            if given != expected:
                missing, unknown = ", ".join(sorted(expected - given)), ", ".join(sorted(given - expected))
                raise ValueError(
                    f"{kind}: without words: {missing or 'none'}; not in measures.yaml: {unknown or 'none'}"
                )
        return self

    def unit_symbols(self, name: str) -> tuple[str, ...]:
        common = load_symbols().units.get(name)
        shared = [symbol for symbol in common.symbols if symbol not in self.without] if common else []
        return (*shared, *self.units[name].symbols)

    def unit_words(self) -> dict[str, UnitWords]:
        """Spelling -> words of its unit."""
        return {symbol: words for name, words in self.units.items() for symbol in self.unit_symbols(name)}


def read_yaml(name: str) -> object:
    content: object = yaml.load((_FOLDER / name).read_text(encoding="utf-8"), Loader=_LOADER)  # noqa: S506  (a safe one)
    return content


@cache
def _all_boundaries() -> dict[str, SentenceBoundaries]:
    return TypeAdapter(dict[str, SentenceBoundaries]).validate_python(read_yaml("boundaries.yaml"))


def load_boundaries(language: str) -> SentenceBoundaries:
    """The sentence boundaries of a language (two letters); empty ones for a language without data."""
    return _all_boundaries().get(language, SentenceBoundaries())


@cache
def load_symbols() -> SymbolTable:
    return SymbolTable.model_validate(read_yaml("measures.yaml"))


@cache
def load_language(language: str) -> LanguageData:
    """The data of a language (two letters) that has a file."""
    return LanguageData.model_validate(read_yaml(f"{language}.yaml"))
