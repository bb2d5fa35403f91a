"""Phone numbers, IPs, versions, URLs, e-mail."""

import re
from collections.abc import Callable
from dataclasses import dataclass

from wyoming_pocket_tts.text.normalization.data import EnglishData
from wyoming_pocket_tts.text.normalization.grammar import Grammar, cardinal, digits, is_year, joined, year

_MAX_BYTE = 255
_YEAR_DIGITS = 4
_MIN_INTERNATIONAL_DIGITS = 8
_MAX_PART_DIGITS = 9


class CodeRules:
    """Reads digits that are no quantity."""

    def __init__(self, grammar: Grammar) -> None:
        self._grammar = grammar
        data = grammar.data
        self._international = re.compile(r"(?<![\w+])\+(\d{1,3}(?:[ .-]?\(?\d{1,12}\)?(?![.,:]\d)){1,6})(?!\w)")
        self._trunk = re.compile(r"(?<![\w.,:-])(?<!\d )0\d{2,5}\s?[ /-]\s?\d{3,9}(?:[ -]\d{2,9}){0,3}(?![\w-])")
        self._pairs = re.compile(r"(?<![\w.,:-])0\d(?:[ .-]\d\d){4}(?![\w-])")
        self._after_word = re.compile(rf"\b((?i:{joined(data.digit_words)})\s)(\d{{3,}})(?![\w%°]|[.,:]\d)")
        self._ip = re.compile(r"(?<![\w.])(\d{1,3}(?:\.\d{1,3}){3})(?:([:/])(\d{1,5}))?(?![\w]|\.\d)")
        self._version = re.compile(
            rf"(?:\b(?P<word>(?i:{joined(data.versioned)})\s))?(?<![\w.,-])(?P<v>[vV](?=\d))?"
            r"(?P<parts>\d++(?:\.\d++)++)(?![,:]\d|\.\d|\s?[°%])"
        )
        self._release = re.compile(r"20\d\d\.(?:1[0-2]|[1-9])")
        self._thousands = re.compile(r"[1-9]\d{0,2}(?:\.\d{3})+")

    def __call__(self, text: str) -> str:
        text = self._international.sub(self._say_international, text)
        text = self._ip.sub(self._say_ip, text)
        for pattern in (self._pairs, self._trunk):
            text = pattern.sub(lambda match: self._groups(match[0]), text)
        text = self._after_word.sub(lambda match: match[1] + self._grammar.digits(match[2]), text)
        return self._version.sub(self._say_version, text)

    def _groups(self, text: str) -> str:
        return self._grammar.phone(re.findall(r"\d+", text))

    def _say_international(self, match: re.Match[str]) -> str:
        if sum(char.isdigit() for char in match[1]) < _MIN_INTERNATIONAL_DIGITS:
            return match[0]
        return f"{self._grammar.words.plus} {self._groups(match[1])}"

    def _say_ip(self, match: re.Match[str]) -> str:
        parts, words = match[1].split("."), self._grammar.words
        if any(int(part) > _MAX_BYTE or (len(part) > 1 and part[0] == "0") for part in parts):  # "2.000.000.000"
            return match[0]
        said = f" {words.dot} ".join(self._grammar.address_part(part) for part in parts)
        if match[2] == ":":
            said += f" {words.port} {self._grammar.digits(match[3])}"
        return said + (f" {words.slash} {self._grammar.cardinal(int(match[3]))}" if match[2] == "/" else "")

    def _say_version(self, match: re.Match[str]) -> str:
        """Two parts are a number unless something says that they are a version; groups of three are thousands."""
        parts = match["parts"].split(".")
        is_named = match["word"] or match["v"]
        is_release = self._release.fullmatch(match["parts"])
        if len(parts) == 2 and not (is_named or is_release):  # noqa: PLR2004
            return match[0]
        if any(len(part) > _MAX_PART_DIGITS for part in parts):
            return match[0]
        if not is_named and self._thousands.fullmatch(match["parts"]):
            return match[0]
        head = f"{self._grammar.words.version} " if match["v"] and not match["word"] else match["word"] or ""
        said = f" {self._grammar.words.dot} ".join(self._part(part) for part in parts)
        tail = " " if match.string[match.end() : match.end() + 1].isalpha() else ""
        return f"{head}{said}{tail}"

    def _part(self, part: str) -> str:
        if len(part) > 1 and part[0] == "0":
            return self._grammar.digits(part)
        return self._grammar.year(int(part)) if len(part) == _YEAR_DIGITS else self._grammar.cardinal(int(part))


_PHONE_WORDS = re.compile(r"\b(?:call|dial|phone|number|telephone|tel|text|fax|mobile|hotline|ring)\b", re.IGNORECASE)


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


_TRAILING = re.compile(r"[.,;:!?)\]}'\"]+\Z")
_SEPARATOR = re.compile(r"[-_+]+")
_MAX_ABBREVIATED_PART = 5


@dataclass(frozen=True, slots=True, kw_only=True)
class AddressWords:
    """What a language says within an address."""

    dot: str
    at: str
    slash: str
    port: str
    digits: Callable[[str], str]
    """Reads digits one by one."""
    tlds: frozenset[str]
    """Ends of domain names to spell although they might be words."""
    abbreviations: frozenset[str]
    """Lower-case abbreviations with inner dots, which are no addresses."""


class AddressRules:
    """ "example dot com slash help"."""

    def __init__(self, words: AddressWords) -> None:
        self._words = words
        self._url = re.compile(r"(?<![\w@])(?:[A-Za-z][A-Za-z+]{1,10}://|www\.)[^\s<>\"|]++")
        self._mail = re.compile(r"(?<![\w.+-])(?:mailto:)?([\w.+-]++)@([\w-]++(?:\.[\w-]++)++)")
        self._dotted = re.compile(r"(?<![\w.])([A-Za-z_][\w-]*+(?:\.[A-Za-z_][\w-]*+)++)(?::(\d{2,5})\b)?")

    def __call__(self, text: str) -> str:
        if "://" in text or "www." in text:
            text = self._url.sub(self._say_url, text)
        if "@" in text:
            at = self._words.at
            text = self._mail.sub(lambda match: f"{self._name(match[1])} {at} {self._name(match[2])}", text)
        return self._dotted.sub(self._say_dotted, text) if "." in text else text

    def _say_url(self, match: re.Match[str]) -> str:
        trailing = _TRAILING.search(match[0])
        stop = trailing.group().rstrip("'\"") if trailing else ""
        address = match[0][: trailing.start()] if trailing else match[0]
        address = address.partition("://")[2] or address
        address = re.split(r"[?#]", address, maxsplit=1)[0].removeprefix("www.")
        host, *path = [part for part in address.split("/") if part] or [""]
        host, _, port = host.rpartition("@")[2].partition(":")
        words = self._name(host) + (self._port(port) if port.isdecimal() else "")
        return words + "".join(f" {self._words.slash} {self._name(part)}" for part in path) + stop

    def _say_dotted(self, match: re.Match[str]) -> str:
        if match[1].lower() in self._words.abbreviations:
            return match[0]
        parts = match[1].split(".")
        if all(len(part) == 1 for part in parts):  # "J.R.R"
            return " ".join(parts)
        if len(parts) == 2 and parts[0].islower() and parts[1].istitle() and "_" not in match[1]:  # noqa: PLR2004
            return f"{parts[0]}. {parts[1]}" + (f":{match[2]}" if match[2] else "")  # a space was forgotten
        return self._name(match[1]) + (self._port(match[2]) if match[2] else "")

    def _port(self, port: str) -> str:
        return f" {self._words.port} {self._words.digits(port)}"

    def _name(self, name: str) -> str:
        parts = [_SEPARATOR.sub(" ", part).strip() for part in name.split(".")]
        last = len(parts) - 1
        return f" {self._words.dot} ".join(
            self._part(part, is_last=at == last) for at, part in enumerate(parts) if part
        )

    def _part(self, part: str, *, is_last: bool) -> str:
        """In capitals, to be spelled, when it cannot be a word."""
        has_vowel = not set("aeiouyAEIOUY").isdisjoint(part)
        short = 1 < len(part) <= _MAX_ABBREVIATED_PART and part.isalpha()
        return part.upper() if (short and not has_vowel) or (is_last and part in self._words.tlds) else part
