"""URLs, e-mail addresses, domains, file names, entity ids, said part by part. Knows no language but its few words."""

import re
from collections.abc import Callable
from dataclasses import dataclass

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


class Addresses:
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
