"""Signs that mean something in English. Knows neither numbers nor abbreviations."""

# ruff: noqa: RUF001  (dashes and signs that look like others are read here)

import re

from wyoming_pocket_tts.text.language_data import EnglishData
from wyoming_pocket_tts.text.signs import Signs

_CHOICE = re.compile(r"\band\s?/\s?or\b", re.IGNORECASE)
_SPOKEN_APOSTROPHE_BEHIND = "sn"
"""The dogs' bowl, rockin' roll."""


class Symbols:
    """Reads signs as words."""

    def __init__(self, data: EnglishData) -> None:
        self._signs = Signs(data.symbols, leading=data.leading_apostrophe, kept_behind=_SPOKEN_APOSTROPHE_BEHIND)
        self._hash_number = re.compile(r"#\s?(?=[A-Za-z]{0,3}\d)")
        self._feet = re.compile(r"(?<![\w.,])(\d)'\s?(\d{1,2})(?:\"|'')")
        self._inches = re.compile(r'(?<=\d)"(?=\s|$)')
        self._by = re.compile(r"(?<=\d)(?:\s?x\s?|×)(?=\d)|(?:(?<=\d\s[cmk]m)|(?<=\d\sm)|(?<=\d\sft))\sx\s(?=\d)")
        self._divided = re.compile(r"(?<=\d)\s/\s(?=\d)")
        self._multiplied = re.compile(r"(?<=\d)\s?\*\s?(?=\d)")

    def before_numbers(self, text: str) -> str:
        """Signs whose meaning needs the digits beside them."""
        text = self._hash_number.sub("number ", text)
        text = self._by.sub(" by ", text)
        text = self._feet.sub(r"\1 feet \2 inches", text)
        if text.count('"') % 2:  # a lone one is no quotation mark
            text = self._inches.sub(" inch", text)
        return self._multiplied.sub(" times ", self._divided.sub(" divided by ", text))

    def __call__(self, text: str) -> str:
        return self._signs(_CHOICE.sub("and or", text))
