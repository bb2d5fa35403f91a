"""What is read part by part: phone numbers, IP addresses, versions. Knows no values."""

import re

from wyoming_pocket_tts.text.english.numbers import cardinal, digits, is_year, year
from wyoming_pocket_tts.text.language_data import EnglishData

_PHONE_WORDS = re.compile(r"\b(?:call|dial|phone|number|telephone|tel|text|fax|mobile|hotline|ring)\b", re.IGNORECASE)
_MAX_BYTE = 255


class Codes:
    """Phone numbers, IP addresses, versions."""

    def __init__(self, data: EnglishData) -> None:
        self._international = re.compile(r"(?<![\w+])\+(\d{1,3}(?:[ .-]?\(?\d{1,12}\)?(?![.,:]\d)){1,6})(?!\w)")
        self._national = re.compile(r"(?<![\w.,-])(?:1[ -])?(?:\(\d{3}\)\s?|\d{3}[-. ])\d{3}[-. ]\d{4}(?![\w-])")
        self._trunk = re.compile(r"(?<![\w.,:-])0\d{2,5}[ /-]\d{3,9}(?:[ -]\d{2,9}){0,3}(?![\w-])")
        self._local = re.compile(r"(?<![\w.,-])\d{3}-\d{4}(?![\w-]|\s?[%°])")
        self._after_word = re.compile(
            r"\b((?i:call|dial|phone|text|ring|pin|code|extension|pin is|code is)\s)(\d{3,})(?![\w%°]|[.,:]\d)"
        )
        self._ip = re.compile(r"(?<![\w.])(\d{1,3}(?:\.\d{1,3}){3})(?:([:/])(\d{1,5}))?(?![\w]|\.\d)")
        versioned = "|".join(sorted(data.versioned, key=len, reverse=True))
        self._version = re.compile(
            rf"(?:\b(?P<word>(?i:{versioned})\s))?(?<![\w.,-])(?P<v>[vV](?=\d))?(?P<parts>\d++(?:\.\d++)++)(?![,:]\d|\.\d|\s?[°%])"
        )
        self._release = re.compile(r"20\d\d\.(?:1[0-2]|[1-9])")

    def __call__(self, text: str) -> str:
        text = self._international.sub(self._say_international, text)
        text = self._ip.sub(self._say_ip, text)
        for pattern in (self._national, self._trunk):
            text = pattern.sub(lambda match: _groups(match[0]), text)
        if _PHONE_WORDS.search(text):
            text = self._local.sub(lambda match: _groups(match[0]), text)
        text = self._after_word.sub(lambda match: match[1] + digits(match[2]), text)
        return self._version.sub(self._say_version, text)

    def _say_international(self, match: re.Match[str]) -> str:
        if sum(char.isdigit() for char in match[1]) < 8:  # noqa: PLR2004  (shorter than any number with its country)
            return match[0]
        return f"plus {_groups(match[1])}"

    def _say_ip(self, match: re.Match[str]) -> str:
        parts = match[1].split(".")
        if any(int(part) > _MAX_BYTE for part in parts):
            return match[0]
        words = " dot ".join(digits(part) for part in parts)
        if match[2] == ":":
            words += f" port {digits(match[3])}"
        return words + (f" slash {cardinal(int(match[3]))}" if match[2] == "/" else "")

    def _say_version(self, match: re.Match[str]) -> str:
        """Two parts are a decimal number unless something says that they are a version."""
        parts = match["parts"].split(".")
        is_release = self._release.fullmatch(match["parts"])
        if len(parts) == 2 and not (match["word"] or match["v"] or is_release):  # noqa: PLR2004
            return match[0]
        if any(len(part) > 9 for part in parts):  # noqa: PLR2004  (no part of a version)
            return match[0]
        head = "version " if match["v"] and not match["word"] else match["word"] or ""
        first = year(int(parts[0])) if len(parts[0]) == 4 and is_year(int(parts[0])) else _part(parts[0])  # noqa: PLR2004
        rest = "".join(f" point {_part(part)}" for part in parts[1:])
        tail = " " if match.string[match.end() : match.end() + 1].isalpha() else ""
        return f"{head}{first}{rest}{tail}"


def _part(part: str) -> str:
    return digits(part) if len(part) > 1 and part[0] == "0" else cardinal(int(part))


def _groups(text: str) -> str:
    return ", ".join(digits(group) for group in re.findall(r"\d+", text))
