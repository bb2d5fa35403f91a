"""Dutch grammar: "tweeduizend zesentwintig", "negentien negenennegentig", "anderhalf uur". Knows no symbols."""

import re
from typing import ClassVar, Final

from wyoming_pocket_tts.text.continental.data import LanguageData
from wyoming_pocket_tts.text.continental.grammar import number_words
from wyoming_pocket_tts.text.continental.patterns import joined
from wyoming_pocket_tts.text.continental.western import Western

_THOUSAND = re.compile(r"duizend(?=\w)")
_DOTTED_TIME = re.compile(r"(?<=\d\.[0-5]\d)\s?u(?:ur)?(?!\w)")
_UP_TO = re.compile(r"(?<![\w/])t/m(?![\w/])")
_ORDINAL = re.compile(r"(?<![\w.,])(\d{1,4})(?:ste|de|e)(?!\w)")
_FIRST_HUNDREDS, _LAST_HUNDREDS = 1100, 1999
_HUNDRED: Final = 100
_ONE_DIGIT: Final = 10


class Dutch(Western):
    """Number words as the spelling rules have them, and years in hundreds."""

    language = "nl"
    phones = r"0\d{1,3}[ -]\d{6,8}|06(?:[ -]\d{2}){4}"
    winds: ClassVar = {"O": "oost"}
    wind_prepositions = "uit|naar|van|wind"
    halves: ClassVar = {"": "een half", "n": "een half", "m": "een halve"}

    def __init__(self, data: LanguageData) -> None:
        super().__init__(data)
        letters = joined(letters for letters in data.compass if len(letters) > 1)
        self._weekday_of = {
            word: name for name, short in data.dates.weekdays.items() for word in (name, name.capitalize(), *short)
        }
        weekday = joined(self._weekday_of)
        self._weekdays = re.compile(rf"\b({weekday})\.? (tot en met|tot|t/m) ({weekday})(?!\w)")
        self._quarter = re.compile(rf"\b([Hh]et) ({letters})(?![\w'&]|\s[A-Z]\b)")

    def cardinal(self, value: int, gender: str = "") -> str:
        del gender
        if _FIRST_HUNDREDS <= value <= _LAST_HUNDREDS and value % _HUNDRED == 0:
            return f"{number_words(value // _HUNDRED, self.language)}honderd"
        words = number_words(value, self.language)
        if words.startswith("een "):  # "een miljoen"
            words = f"één{words[3:]}"
        return _THOUSAND.sub("duizend ", words).replace("honderdéén", "honderdeen")

    def ordinal(self, value: int, form: str = "") -> str:
        del form
        return _THOUSAND.sub(lambda m: "duizend" if m.string[m.end() :] == "ste" else "duizend ", self._ordinal(value))

    def _ordinal(self, value: int) -> str:
        return number_words(value, self.language, "ordinal").replace("éé", "ee")

    def year(self, value: int) -> str:
        hundreds, rest = divmod(value, _HUNDRED)
        if not _FIRST_HUNDREDS <= value <= _LAST_HUNDREDS:
            return self.cardinal(value)
        if rest < _ONE_DIGIT:
            return f"{self.cardinal(hundreds)}honderd{self.cardinal(rest) if rest else ''}".replace("é", "e")
        return f"{self.cardinal(hundreds)} {self.cardinal(rest)}"

    def fraction(self, whole: int | None, top: int, bottom: int, noun: str = "") -> str | None:
        if (top, bottom) == (1, 2) and whole:
            return "anderhalf" if whole == 1 else f"{self.cardinal(whole)}{'ë' if whole in (2, 3) else ' e'}nhalf"
        said = super().fraction(whole, top, bottom, noun)
        return said if said is None or top != 1 else said.replace("één ", "een ")

    def regnal(self, value: int, name: str) -> str:
        del name
        return f"de {self.ordinal(value)}"

    def before_numbers(self, text: str) -> str:
        text = _ORDINAL.sub(lambda match: self.ordinal(int(match[1])), _UP_TO.sub("tot en met", text))
        return super().before_numbers(_DOTTED_TIME.sub(" uur", text))

    def before_words(self, text: str) -> str:
        days = self._weekday_of
        text = self._weekdays.sub(lambda match: f"{days[match[1]]} {match[2]} {days[match[3]]}", text)
        text = self._quarter.sub(lambda match: f"{match[1]} {self.data.compass[match[2]]}en", text)
        return super().before_words(text)
