"""Reads the language files of this folder and checks them. Knows their shape, not what the rules do with them."""

from functools import cache
from pathlib import Path
from typing import Literal

import yaml
from pydantic import BaseModel, ConfigDict, TypeAdapter

_FOLDER = Path(__file__).parent
_LOADER = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
"""The one in C, eight times as fast, where PyYAML was built with it."""


class Strict(BaseModel):
    """Frozen, and a key that nobody knows is an error."""

    model_config = ConfigDict(frozen=True, extra="forbid")


class Boundaries(Strict):
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


class Unit(Strict):
    """How a unit of measure is said."""

    symbols: tuple[str, ...]
    """Its spellings after a number; case matters."""
    one: str
    many: str
    spaced: bool = False
    """Whether it must stand apart from the number ("5 A", but not "5A")."""
    bare: bool = False
    """Whether the symbol means this unit without a number, too ("in °C", "per kWh")."""


class Currency(Strict):
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

    units: tuple[Unit, ...]
    currencies: tuple[Currency, ...]
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
def _all_boundaries() -> dict[str, Boundaries]:
    return TypeAdapter(dict[str, Boundaries]).validate_python(read_yaml("boundaries.yaml"))


def load_boundaries(language: str) -> Boundaries:
    """The sentence boundaries of a language (two letters); empty ones for a language without data."""
    return _all_boundaries().get(language, Boundaries())


@cache
def load_english() -> EnglishData:
    """The data of ``en.yaml``.

    Raises:
        pydantic.ValidationError: the file, a part of this package, does not have the shape above.
    """
    return EnglishData.model_validate(read_yaml("en.yaml"))
