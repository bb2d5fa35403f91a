"""Portuguese grammar, as in Portugal: "duas janelas", "vinte e uma horas", "dezasseis". Knows no symbols."""

import re
from typing import ClassVar, Final

from wyoming_pocket_tts.text.continental.grammar import number_words
from wyoming_pocket_tts.text.continental.western import Western, thousands

_LAST_REGNAL_ORDINAL: Final = 10
_MASCULINE = re.compile(r"\b(um|dois)\b|(entos)\b")
_FEMININE: Final = {"um": "uma", "dois": "duas", "entos": "entas"}
_PLURAL_FORMS: Final = {"mp": "m", "fp": "f"}


def feminine(words: str) -> str:
    """The feminine of number words; what counts millions stays masculine."""
    head, million, tail = words.rpartition("ilhões")
    if not million:
        head, million, tail = words.rpartition("ilhão")
    return head + million + _MASCULINE.sub(lambda match: _FEMININE[match[0]], tail)


class Portuguese(Western):
    """Feminine ones, twos and hundreds; hours that are named when they are full."""

    language = "pt"
    phones = r"[289]\d{2} \d{3} \d{3}|\d{4,5}-\d{3}|[29]\d \d{3} \d{2} \d{2}|(?:\(\d{2}\)|\d{2}) ?9?\d{4}-\d{4}"
    titles: ClassVar = {"D": "dom", "S": "São"}
    winds: ClassVar = {"O": "oeste", "E": "este"}
    wind_prepositions = "de|do|para|a"
    halves: ClassVar = {"": "um meio", "m": "meio", "f": "meia"}
    and_a_half: ClassVar = {"m": "e meio", "f": "e meia"}
    of = "de"
    articles = frozenset({"o", "os", "do", "dos", "no", "nos", "ao", "aos", "pelo", "um", "meu", "seu", "teu"})

    def cardinal(self, value: int, gender: str = "") -> str:
        words = number_words(value, self.language)
        return feminine(words) if self.for_this(value, gender) == "f" else words

    def ordinal(self, value: int, form: str = "") -> str:
        words = number_words(value, self.language, "ordinal")
        if _PLURAL_FORMS.get(form, form) == "f":
            words = " ".join(f"{word[:-1]}a" for word in words.split())
        return " ".join(f"{word}s" for word in words.split()) if form in _PLURAL_FORMS else words

    def hour(self, value: int) -> str:
        return self.cardinal(value, "f")

    def time_of_day(self, hour: int, minute: int) -> str:
        name = "" if minute and hour else " hora" if hour == 1 else " horas"
        return f"{self.hour(hour)}{name} e {self.cardinal(minute)}" if minute else f"{self.hour(hour)}{name}"

    def title(self, letter: str, name: str) -> str:
        return "dona" if letter == "D" and name.endswith("a") else super().title(letter, name)

    def before_numbers(self, text: str) -> str:
        return super().before_numbers(thousands(text))

    def regnal(self, value: int, name: str) -> str:
        if value > _LAST_REGNAL_ORDINAL:
            return self.cardinal(value)
        return self.ordinal(value, "f" if name in self.data.extra["feminine_names"] else "m")
