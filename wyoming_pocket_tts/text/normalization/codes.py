"""Phone numbers, IPs, versions, URLs, e-mail."""

import re

from wyoming_pocket_tts.text.normalization.grammar import Grammar, joined

_MAX_BYTE = 255
_MIN_INTERNATIONAL_DIGITS = 8
_MAX_PART_DIGITS = 9
_TRAILING = re.compile(r"[.,;:!?)\]}'\"]+\Z")
_SEPARATOR = re.compile(r"[-_+]+")
_MAX_ABBREVIATED_PART = 5
_URL = re.compile(r"(?<![\w@])(?:[A-Za-z][A-Za-z+]{1,10}://|www\.)[^\s<>\"|]++")
_MAIL = re.compile(r"(?<![\w.+-])(?:mailto:)?([\w.+-]++)@([\w-]++(?:\.[\w-]++)++)")
_DOTTED = re.compile(r"(?<![\w.])([A-Za-z_][\w-]*+(?:\.[A-Za-z_][\w-]*+)++)(?::(\d{2,5})\b)?")
_INTERNATIONAL = re.compile(r"(?<![\w+])\+(\d{1,3}(?:[ .-]?\(?\d{1,12}\)?(?![.,:]\d)){1,6})(?!\w)")
_IP = re.compile(r"(?<![\w.])(\d{1,3}(?:\.\d{1,3}){3})(?:([:/])(\d{1,5}))?(?![\w]|\.\d)")
_RELEASE = re.compile(r"20\d\d\.(?:1[0-2]|[1-9])")
_THOUSANDS = re.compile(r"[1-9]\d{0,2}(?:\.\d{3})+")


class CodeRules:
    """Digits that are no quantity."""

    def __init__(self, grammar: Grammar) -> None:
        self._grammar = grammar
        data = grammar.data
        self._phones = [re.compile(pattern) for pattern in grammar.phones]
        self._after_word = re.compile(rf"\b((?i:{joined(data.digit_words)})\s)(\d{{3,}})(?![\w%°]|[.,:]\d)")
        self._version = re.compile(
            rf"(?:\b(?P<word>(?i:{joined(data.versioned)})\s))?(?<![\w.,-])(?P<v>[vV](?=\d))?"
            r"(?P<parts>\d++(?:\.\d++)++)(?![,:]\d|\.\d|\s?[°%])"
        )

    def __call__(self, text: str) -> str:
        if "+" in text:
            text = _INTERNATIONAL.sub(self._say_international, text)
        text = _IP.sub(self._say_ip, text)
        for pattern in self._phones:
            text = pattern.sub(lambda match: self._groups(match[0]), text)
        text = self._grammar.after_phones(text)
        text = self._after_word.sub(lambda match: match[1] + self._grammar.digits(match[2]), text)
        return self._version.sub(self._say_version, text)

    def _groups(self, text: str) -> str:
        return self._grammar.phone(re.findall(r"\d+", text))

    def _say_international(self, match: re.Match[str]) -> str:
        if sum(char.isdigit() for char in match[1]) < _MIN_INTERNATIONAL_DIGITS:
            return match[0]
        return f"{self._grammar.words.plus} {self._groups(match[1])}"

    def _say_ip(self, match: re.Match[str]) -> str:
        parts, words, grammar = match[1].split("."), self._grammar.words, self._grammar
        if any(int(part) > _MAX_BYTE for part in parts):
            return match[0]
        if grammar.comma_decimals and any(len(part) > 1 and part[0] == "0" for part in parts):  # "2.000.000.000"
            return match[0]
        said = f" {words.dot} ".join(grammar.address_part(part) for part in parts)
        if match[2] == ":":
            said += f" {words.port} {grammar.digits(match[3])}"
        return said + (f" {words.slash} {grammar.cardinal(int(match[3]))}" if match[2] == "/" else "")

    def _say_version(self, match: re.Match[str]) -> str:
        """Two parts are a number unless marked as a version; groups of three are thousands."""
        parts = match["parts"].split(".")
        is_named = match["word"] or match["v"]
        if len(parts) == 2 and not (is_named or _RELEASE.fullmatch(match["parts"])):  # noqa: PLR2004
            return match[0]
        if any(len(part) > _MAX_PART_DIGITS for part in parts):
            return match[0]
        if self._grammar.comma_decimals and not is_named and _THOUSANDS.fullmatch(match["parts"]):
            return match[0]
        head = f"{self._grammar.words.version} " if match["v"] and not match["word"] else match["word"] or ""
        tail = " " if match.string[match.end() : match.end() + 1].isalpha() else ""
        return f"{head}{self._grammar.version(parts)}{tail}"


class AddressRules:
    """ "example dot com slash help"."""

    def __init__(self, grammar: Grammar) -> None:
        self._words, self._digits, self._tlds = grammar.words, grammar.digits, grammar.data.tlds
        self._abbreviations = {entry.short.lower() for entry in grammar.data.abbreviations if "." in entry.short}

    def __call__(self, text: str) -> str:
        if "://" in text or "www." in text:
            text = _URL.sub(self._say_url, text)
        if "@" in text:
            at = self._words.at
            text = _MAIL.sub(lambda match: f"{self._name(match[1])} {at} {self._name(match[2])}", text)
        return _DOTTED.sub(self._say_dotted, text) if "." in text else text

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
        if match[1].lower() in self._abbreviations:
            return match[0]
        parts = match[1].split(".")
        if all(len(part) == 1 for part in parts):  # "J.R.R"
            return " ".join(parts)
        if len(parts) == 2 and parts[0].islower() and parts[1].istitle() and "_" not in match[1]:  # noqa: PLR2004
            return f"{parts[0]}. {parts[1]}" + (f":{match[2]}" if match[2] else "")  # a space was forgotten
        return self._name(match[1]) + (self._port(match[2]) if match[2] else "")

    def _port(self, port: str) -> str:
        return f" {self._words.port} {self._digits(port)}"

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
        return part.upper() if (short and not has_vowel) or (is_last and part in self._tlds) else part
