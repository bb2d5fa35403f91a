"""Numbers in English words. Knows values, not how texts write them apart from the digits of one number."""

import re
from functools import lru_cache
from typing import Final

NUMBER: Final = r"(?:\d{1,3}(?:,\d{3})++(?!\d)(?:\.\d++)?|\d++(?:\.\d++)?|\.\d++)"
"""A number as texts write it, without sign: "1,234.5", "21.5", ".5"."""
MAX_CARDINAL_DIGITS: Final = 15
"""Longer ones are read digit by digit."""
TEXT_END: Final = re.compile(r"[\s\"')\]]*+\Z")
"""Nothing more to say: a full stop before it ends the sentence, even when it belongs to an abbreviation."""
NEXT_SENTENCE: Final = re.compile(r"\s[\"'(]?([A-Z][a-z']*)")
"""A capitalised word behind a full stop, which may open a sentence."""
_DIGITS: Final = ["zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine"]
_FIRST_YEAR, _LAST_YEAR = 1000, 2099


@lru_cache(maxsize=4096)
def _words(value: int, kind: str) -> str:
    from num2words import num2words  # type: ignore[import-untyped]  # noqa: PLC0415  (loads all its languages)

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
