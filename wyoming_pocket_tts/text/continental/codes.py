"""What is read part by part: phone numbers, IP addresses, versions. Knows no values."""

import re

from wyoming_pocket_tts.text.continental.grammar import Grammar
from wyoming_pocket_tts.text.continental.patterns import joined

_MAX_BYTE = 255
_YEAR_DIGITS = 4
_MIN_INTERNATIONAL_DIGITS = 8
_MAX_PART_DIGITS = 9


class Codes:
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
