"""Spanish grammar: "veintiún grados", "doscientas personas", "las siete y media". Knows no symbols."""

import re
from typing import ClassVar, Final

from wyoming_pocket_tts.text.continental.data import Noun
from wyoming_pocket_tts.text.continental.grammar import number_words
from wyoming_pocket_tts.text.continental.western import Western, thousands

_NOON: Final = 12
_LAST_REGNAL_ORDINAL: Final = 10
_CLOCK_H = re.compile(r"(?<=\d:[0-5]\d)\s?h(?:r?s)?(?!\w)")
_QUARTER, _HALF = 15, 30
_ONE_DIGIT = 10


def feminine(words: str) -> str:
    """The feminine of number words; what counts millions stays masculine."""
    head, million, tail = words.rpartition("illones")
    tail = tail.replace("cientos", "cientas").replace("quinientos", "quinientas")
    return head + million + (f"{tail[:-1]}a" if tail.endswith("uno") else tail)


class Spanish(Western):
    """Short forms before nouns, feminine hundreds, and the clock of twelve hours up to noon."""

    language = "es"
    phones = r"[6-9]\d{2} \d{3} \d{3}|[6-9]\d{2}(?: \d{2}){3}|9\d \d{3} \d{2} \d{2}"
    titles: ClassVar = {"D": "don", "S": "san"}
    winds: ClassVar = {"O": "oeste", "E": "este"}
    wind_prepositions = "del|al|el|de|desde"
    halves: ClassVar = {"": "un medio", "m": "medio", "f": "media"}
    and_a_half: ClassVar = {"m": "y medio", "f": "y media"}
    of = "de"
    articles = frozenset({"el", "los", "del", "al", "un", "su", "mi", "tu", "este"})

    def cardinal(self, value: int, gender: str = "") -> str:
        words = number_words(value, self.language).replace("veintiuno mil", "veintiún mil").replace("uno mil", "un mil")
        gender = self.for_this(value, gender)
        if gender == "f":
            return feminine(words)
        if gender == "m" and words.endswith("uno"):
            return f"{words[:-3]}ún" if words.endswith("veintiuno") else words[:-1]
        return words

    def ordinal(self, value: int, form: str = "") -> str:
        words = number_words(value, self.language, "ordinal")
        if form == "f":
            return " ".join(f"{word[:-1]}a" for word in words.split())
        return words[:-1] if form == "er" and words.endswith(("primero", "tercero")) else words

    def time_of_day(self, hour: int, minute: int) -> str:
        said = self.cardinal(hour, "f")
        if 0 < hour <= _NOON:
            special = {0: "", _QUARTER: " y cuarto", _HALF: " y media"}
            return said + special.get(minute, f" y {self.cardinal(minute)}")
        zero = f"{self.cardinal(0)} " if minute < _ONE_DIGIT else ""
        return f"{said} {zero}{self.cardinal(minute)}" if minute else f"{said} horas"

    def per(self, noun: Noun, per: str = "") -> str:
        return f"al {noun.one}" if noun.one in self.data.extra["times"] else super().per(noun, per)

    def ordinal_before(self, value: int, gender: str) -> str:
        return self.ordinal(value, gender if gender == "f" else "er")

    def before_numbers(self, text: str) -> str:
        return super().before_numbers(thousands(_CLOCK_H.sub("", text)))

    def regnal(self, value: int, name: str) -> str:
        if value > _LAST_REGNAL_ORDINAL:
            return self.cardinal(value)
        return self.ordinal(value, "f" if name in self.data.extra["feminine_names"] else "m")
