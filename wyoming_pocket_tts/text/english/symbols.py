"""Signs that are words, signs that are pauses, and the last tidying. Knows neither numbers nor abbreviations."""

# ruff: noqa: RUF001  (dashes and signs that look like others are read here)

import re

from wyoming_pocket_tts.text.language_data import EnglishData

_PAUSE = re.compile(r"\s*[—–]\s*|\s+-{1,3}(?=\s|$)|-{2,}|\s*[•·|]\s*|\s*[\[\](){}]+\s*")
_CHOICE = re.compile(r"\band\s?/\s?or\b", re.IGNORECASE)
_ODD_HYPHEN = re.compile(r"(?<!\w)-+|-+(?!\w)")
_NO_SPACE_BEHIND = re.compile(r"(?<=\w)[,;:](?=\w)|(?<=[a-z])[!?](?=[A-Z])")
_QUOTE = re.compile(r"[\"«»‹›„]+")
_APOSTROPHE = re.compile(r"(?<!\w)'+(\w*)|(?<=\w)'{2,}|(?<=[^\Wsn])'(?!\w)")
_SPACE_BEFORE = re.compile(r"\s+([.,;:!?])")
_COMMA_RUN = re.compile(r",(?:\s*,)+")
_COMMA_BEFORE = re.compile(r",+\s*(?=[.;:!?])")
_COMMA_BEHIND = re.compile(r"(?<=[.;:!?])\s*,+(?=\s|$)")
_EDGES = re.compile(r"\A[\s,;:.]+|[\s,]+\Z")


class Symbols:
    """Reads signs as words."""

    def __init__(self, data: EnglishData) -> None:
        self._words = data.symbols
        signs = "|".join(re.escape(sign) for sign in sorted(data.symbols, key=len, reverse=True))
        self._sign = re.compile(rf"\s*(?:{signs})\s*")
        self._kept = data.leading_apostrophe
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
        text = _CHOICE.sub("and or", text)
        text = self._sign.sub(lambda match: f" {self._words[match[0].strip()]} ", text)
        text = _ODD_HYPHEN.sub(" ", _PAUSE.sub(", ", text.replace("_", " ")))
        text = _NO_SPACE_BEHIND.sub(r"\g<0> ", text)
        return _APOSTROPHE.sub(self._apostrophe, _QUOTE.sub("", text))

    def _apostrophe(self, match: re.Match[str]) -> str:
        word = match[1] or ""
        return f"'{word}" if word.lower() in self._kept else word


def tidy(text: str) -> str:
    """One space between words, none before a mark, no two pauses in a row, none at the edges."""
    text = " ".join(text.split())
    text = _SPACE_BEFORE.sub(r"\1", text)
    text = _COMMA_BEFORE.sub("", _COMMA_RUN.sub(",", text))
    text = _COMMA_BEHIND.sub("", text)
    return " ".join(_EDGES.sub("", text).split())
