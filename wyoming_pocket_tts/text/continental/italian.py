"""Italian grammar: "un'ora", "il terzo piano", "alle diciannove e trenta". Knows no symbols."""

import re
from typing import ClassVar, Final

from wyoming_pocket_tts.text.continental.data import LanguageData, Noun
from wyoming_pocket_tts.text.continental.grammar import number_words
from wyoming_pocket_tts.text.continental.numbers import Amount
from wyoming_pocket_tts.text.continental.patterns import joined
from wyoming_pocket_tts.text.continental.western import Western
from wyoming_pocket_tts.text.continental.words import roman

_VOWELS: Final = "aeiouh"
_NEEDS_UNO = re.compile(r"s[^aeiouh]|z|gn|ps|x|y")
_DOTTED_TIME = re.compile(r"\b((?i:alle|dalle|ore|le|all'|dall')\s?)([01]?\d|2[0-4])\.([0-5]\d)(?![\d:]|[.,]\d)")
_ONE_O_CLOCK = re.compile(r"(?<=[lL]')1(?![\d:.,]|\s[^\W\d_])")


class Italian(Western):
    """Elision, ordinals for rulers and centuries, and times with a dot."""

    language = "it"
    phones = r"3\d{2}[ .-]\d{3}[ .-]?\d{3,4}|0\d{1,3}[ /-]\d{5,8}"
    titles: ClassVar = {"S": "San"}
    winds: ClassVar = {"O": "ovest", "E": "est"}
    wind_prepositions = "da|verso|a"
    halves: ClassVar = {"": "un mezzo", "m": "mezzo", "f": "mezza"}
    and_a_half: ClassVar = {"m": "e mezzo", "f": "e mezza"}
    of = "di"
    articles = frozenset(
        {"il", "lo", "i", "gli", "del", "dello", "al", "allo", "nel", "dal", "sul", "suo", "mio", "un"}
    )

    def __init__(self, data: LanguageData) -> None:
        super().__init__(data)
        nouns = joined(data.extra["ordinal_nouns"])
        self._takes_ordinal = re.compile(rf"\s(?:{nouns})(?!\w)")
        self._roman = re.compile(rf"(?<![\w'.-])([IVX]{{1,8}})(?=\s(?:{nouns})(?!\w))")

    def cardinal(self, value: int, gender: str = "") -> str:
        if value == 1 and gender[:1] in ("m", "f"):
            return "un" if gender[0] == "m" else "una"
        return number_words(value, self.language)

    def ordinal(self, value: int, form: str = "") -> str:
        words = number_words(value, self.language, "ordinal")
        return f"{words[:-1]}a" if form == "f" else words

    def counted(self, amount: Amount, noun: Noun, *, before: str = "") -> str:
        if amount.is_one and self.gender(noun) == "f" and noun.one[0].lower() in _VOWELS:
            return f"un'{noun.one}"
        if amount.is_one and self.gender(noun) == "m" and _NEEDS_UNO.match(noun.one):
            return f"uno {noun.one}"
        return super().counted(amount, noun, before=before)

    def day(self, value: int, *, before: str = "") -> str:
        return "primo" if value == 1 else super().day(value, before=before)

    def hour(self, value: int) -> str:
        return self.cardinal(value, "f")

    def time_of_day(self, hour: int, minute: int) -> str:
        return f"{self.hour(hour)} e {self.cardinal(minute)}" if minute else self.hour(hour)

    def regnal(self, value: int, name: str) -> str:
        return self.ordinal(value, "f" if name in self.data.extra["feminine_names"] else "m")

    def takes_ordinal(self, after: str, sign: str) -> bool:
        del sign  # both are written for both
        return self._takes_ordinal.match(after) is not None

    def before_numbers(self, text: str) -> str:
        text = _DOTTED_TIME.sub(r"\1\2:\3", text)
        return super().before_numbers(_ONE_O_CLOCK.sub("una", text))

    def before_words(self, text: str) -> str:
        return self._roman.sub(self._say_roman, super().before_words(text))

    def _say_roman(self, match: re.Match[str]) -> str:
        value = roman(match[1])
        return self.ordinal(value) if value else match[0]
