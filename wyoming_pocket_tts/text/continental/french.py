"""French grammar: "vingt et une heures", "un virgule cinq degré", "deux millions d'euros". Knows no symbols."""

import re
from typing import ClassVar, Final

from wyoming_pocket_tts.text.continental.grammar import number_words
from wyoming_pocket_tts.text.continental.numbers import Amount
from wyoming_pocket_tts.text.continental.western import Western
from wyoming_pocket_tts.text.continental.words import roman

_VOWELS: Final = "aeiouhéèêâîôûœ"
_PAIR, _TRIPLE = 2, 3
_CENTURY = re.compile(r"(?<![\w'-])([IVX]{1,8})(er|re|ère|ème|e|ᵉ)(?!\w)")
_PLURAL_FROM = 2
_ROUND_THE_CLOCK = re.compile(r"(?<![\w.,/])24/7(?!\w)")
_OUT_OF = re.compile(r"(?<![\w.,/])(\d{1,2})\s?([hj])\s?/\s?(\d{1,2})(?!\w)")


class French(Western):
    """Singular below two, feminine ones, and telephone numbers in pairs."""

    language = "fr"
    titles: ClassVar = {"M": "Monsieur", "Me": "Maître"}
    halves: ClassVar = {"": "un demi", "m": "un demi", "f": "une demi"}
    and_a_half: ClassVar = {"m": "et demi", "f": "et demie"}
    of = "de"

    def cardinal(self, value: int, gender: str = "") -> str:
        words = number_words(value, self.language)
        is_feminine = self.for_this(value, gender) == "f" and re.search(r"(?:^|[ -])un$", words)
        return f"{words}e" if is_feminine else words

    def ordinal(self, value: int, form: str = "") -> str:
        if form in ("nd", "nde"):
            return "second" if form == "nd" else "seconde"
        words = number_words(value, self.language, "ordinal")
        return "première" if words == "premier" and form == "f" else words

    def phone(self, groups: list[str]) -> str:
        return ", ".join(self._group(group) for group in groups)

    def _group(self, group: str) -> str:
        if len(group) == _PAIR * 2 and "0" not in (group[0], group[2]):
            return f"{self.cardinal(int(group[:2]))} {self.cardinal(int(group[2:]))}"
        return self.cardinal(int(group)) if group[0] != "0" and len(group) <= _TRIPLE else self.digits(group)

    def is_singular(self, amount: Amount) -> bool:
        return amount.value < _PLURAL_FROM

    def behind_scale(self, noun: str) -> str:
        return f"d'{noun}" if noun[0].lower() in _VOWELS else f"de {noun}"

    def day(self, value: int, *, before: str = "") -> str:
        return "premier" if value == 1 else super().day(value, before=before)

    def hour(self, value: int) -> str:
        return f"{self.cardinal(value, 'f')} {'heure' if value < _PLURAL_FROM else 'heures'}"

    def time_of_day(self, hour: int, minute: int) -> str:
        return f"{self.hour(hour)} {self.cardinal(minute, 'f')}" if minute else self.hour(hour)

    def regnal(self, value: int, name: str) -> str:
        if value != 1:
            return self.cardinal(value)
        return "première" if name in self.data.extra["feminine_names"] else "premier"

    def before_numbers(self, text: str) -> str:
        text = _ROUND_THE_CLOCK.sub("24h/24 et 7j/7", text)
        return super().before_numbers(_OUT_OF.sub(self._say_out_of, text))

    def _say_out_of(self, match: re.Match[str]) -> str:
        """ "24h/24" and "7j/7"."""
        unit = self.data.units["hour" if match[2] == "h" else "day"]
        return f"{self.counted(Amount(match[1]), unit)} {self.words.out_of} {self.cardinal(int(match[3]))}"

    def before_words(self, text: str) -> str:
        return _CENTURY.sub(self._say_century, super().before_words(text))

    def _say_century(self, match: re.Match[str]) -> str:
        """ "XXIe siècle"; also "François Ier"."""
        value = roman(match[1])
        return self.ordinal(value, self.data.ordinal_suffixes.get(match[2], "m")) if value else match[0]
