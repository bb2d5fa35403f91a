"""What is read part by part: addresses of the web and of mail, file names, phone numbers, versions. Knows no values."""

import re

from wyoming_pocket_tts.text.english.numbers import cardinal, digits, is_year, year
from wyoming_pocket_tts.text.language_data import EnglishData

_TRAILING = re.compile(r"[.,;:!?)\]}'\"]+\Z")
_SEPARATOR = re.compile(r"[-_+]+")
_PHONE_WORDS = re.compile(r"\b(?:call|dial|phone|number|telephone|tel|text|fax|mobile|hotline|ring)\b", re.IGNORECASE)
_MAX_BYTE = 255
_MAX_ABBREVIATED_PART = 5


class Addresses:
    """URLs, e-mail addresses, domains, file names, entity ids: "example dot com slash help"."""

    def __init__(self, data: EnglishData) -> None:
        self._tlds = data.tlds
        self._abbreviations = frozenset(entry.short.lower() for entry in data.abbreviations if "." in entry.short)
        self._url = re.compile(r"(?<![\w@])(?:[A-Za-z][A-Za-z+]{1,10}://|www\.)[^\s<>\"|]++")
        self._mail = re.compile(r"(?<![\w.+-])(?:mailto:)?([\w.+-]++)@([\w-]++(?:\.[\w-]++)++)")
        self._dotted = re.compile(r"(?<![\w.])([A-Za-z_][\w-]*+(?:\.[A-Za-z_][\w-]*+)++)(?::(\d{2,5})\b)?")

    def __call__(self, text: str) -> str:
        if "://" in text or "www." in text:
            text = self._url.sub(self._say_url, text)
        if "@" in text:
            text = self._mail.sub(lambda match: f"{self._name(match[1])} at {self._name(match[2])}", text)
        return self._dotted.sub(self._say_dotted, text) if "." in text else text

    def _say_url(self, match: re.Match[str]) -> str:
        trailing = _TRAILING.search(match[0])
        stop = trailing.group().rstrip("'\"") if trailing else ""
        address = match[0][: trailing.start()] if trailing else match[0]
        address = address.partition("://")[2] or address
        address = re.split(r"[?#]", address, maxsplit=1)[0].removeprefix("www.")
        host, *path = [part for part in address.split("/") if part] or [""]
        host, _, port = host.rpartition("@")[2].partition(":")
        words = self._name(host) + (f" port {digits(port)}" if port.isdecimal() else "")
        return words + "".join(f" slash {self._name(part)}" for part in path) + stop

    def _say_dotted(self, match: re.Match[str]) -> str:
        if match[1].lower() in self._abbreviations:
            return match[0]
        parts = match[1].split(".")
        if all(len(part) == 1 for part in parts):  # "J.R.R"
            return " ".join(parts)
        if len(parts) == 2 and parts[0].islower() and parts[1].istitle() and "_" not in match[1]:  # noqa: PLR2004
            return f"{parts[0]}. {parts[1]}" + (f":{match[2]}" if match[2] else "")  # a space was forgotten
        return self._name(match[1]) + (f" port {digits(match[2])}" if match[2] else "")

    def _name(self, name: str) -> str:
        parts = [_SEPARATOR.sub(" ", part).strip() for part in name.split(".")]
        last = len(parts) - 1
        return " dot ".join(self._part(part, is_last=at == last) for at, part in enumerate(parts) if part)

    def _part(self, part: str, *, is_last: bool) -> str:
        """In capitals, to be spelled, when it cannot be a word."""
        has_vowel = not set("aeiouyAEIOUY").isdisjoint(part)
        short = 1 < len(part) <= _MAX_ABBREVIATED_PART and part.isalpha()
        return part.upper() if (short and not has_vowel) or (is_last and part in self._tlds) else part


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
