"""Italian grammar: "un'ora", "il terzo piano", "alle diciannove e trenta". Knows no symbols."""

# ruff: noqa: RUF001  (signs that look like others are read here)

import re
from typing import ClassVar, Final

from wyoming_pocket_tts.text.continental.data import Noun, UnitWords
from wyoming_pocket_tts.text.continental.grammar import number_words
from wyoming_pocket_tts.text.continental.numbers import Amount
from wyoming_pocket_tts.text.continental.patterns import before
from wyoming_pocket_tts.text.continental.western import Western

_VOWELS: Final = "aeiouh"
_NEEDS_UNO = re.compile(r"s[^aeiouh]|z|gn|ps|x|y")
_DOTTED_TIME = re.compile(r"\b((?i:alle|dalle|ore|le|all'|dall')\s?)([01]?\d|2[0-4])\.([0-5]\d)(?![\d:]|[.,]\d)")
_AT_ONE = re.compile(r"\b([Aa]l|[Dd]al|[Dd]el|[Ss]ul)le\s(?=0?1:[0-5]\d)")
_IS_ONE = re.compile(r"\b(S|s)ono le\s(?=0?1:[0-5]\d)")
_DOTTED_RANGE = re.compile(r"(?<=\d:\d\d)\s?([-–]|e|o)\s?([01]?\d|2[0-4])\.([0-5]\d)(?![\d:]|[.,]\d)")
_FROM_THE_FIRST = re.compile(r"\b(?:([Dd]al|[Aa]l)l'|([Ll])')1(?=\s(al|[a-z]{5,9})\b)")
_ONE_OF_IT = re.compile(r"(?<![\w.,:/'+~±≈-])(?<![-−–+] )1 ([a-zà-ÿ]{3,30})(?!\w|')")


class Italian(Western):
    """Elision, ordinals for rulers and centuries, and times with a dot."""

    language = "it"
    phones = r"3\d{2}[ .-]\d{3}[ .-]?\d{3,4}|0\d{1,3}[ /-]\d{5,8}|800 \d{3} \d{3}"
    titles: ClassVar = {"S": "San"}
    winds: ClassVar = {"O": "ovest", "E": "est"}
    wind_prepositions = "da|verso|a"
    halves: ClassVar = {"": "un mezzo", "m": "mezzo", "f": "mezza"}
    and_a_half: ClassVar = {"m": "e mezzo", "f": "e mezza"}
    of = "di"
    articles = frozenset(
        {"il", "lo", "i", "gli", "del", "dello", "al", "allo", "nel", "dal", "sul", "suo", "mio", "un"}
    )

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

    def per(self, noun: Noun, per: str = "") -> str:
        """ "al mese", "alla settimana", "all'anno"."""
        name = noun.one
        if per:
            return per
        if name[0].lower() in _VOWELS:
            return f"all'{name}"
        if (self.gender(noun) if isinstance(noun, UnitWords) else self.gender_of(name)) == "f":
            return f"alla {name}"
        return f"allo {name}" if _NEEDS_UNO.match(name) else f"al {name}"

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
        text = _DOTTED_RANGE.sub(r" \1 \2:\3", text)
        text = _IS_ONE.sub(lambda match: f"{'È' if match[1] == 'S' else 'è'} l'", _AT_ONE.sub(r"\1l'", text))
        text = _FROM_THE_FIRST.sub(self._say_first, text)
        return super().before_numbers(_ONE_OF_IT.sub(self._say_one, text))

    def _say_first(self, match: re.Match[str]) -> str:
        """ "l'1 maggio" is "il primo maggio"; "all'1" alone is a time."""
        if match[3] != "al" and match[3] not in self.data.dates.months:
            return match[0]
        return f"{match[1] or ('Il' if match[2] == 'L' else 'il')} primo"

    def _say_one(self, match: re.Match[str]) -> str:
        """ "un'ora", "uno studente": the article depends on the noun's first letters."""
        is_other = self.is_label(before(match)) or match[1] in self._units_of or match[1] in self.data.dates.months
        gender = "" if is_other else self.gender_of(match[1])
        return self.counted(Amount("1"), Noun(one=match[1], gender=gender)) if gender else match[0]
