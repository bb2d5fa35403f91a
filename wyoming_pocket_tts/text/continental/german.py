"""German: "ein" and "eine", ordinals in their case, years by hundreds, and words that are one with their number."""

# ruff: noqa: RUF001  (the multiplication sign is read here)

import re
from typing import Final

from wyoming_pocket_tts.text.continental.data import LanguageData, Noun, UnitWords, load_measures
from wyoming_pocket_tts.text.continental.german_ordinals import GermanOrdinals
from wyoming_pocket_tts.text.continental.grammar import Grammar, number_words
from wyoming_pocket_tts.text.continental.numbers import Amount
from wyoming_pocket_tts.text.continental.patterns import TEXT_END, joined

_ONE: Final = {"m": "ein", "n": "ein", "f": "eine", "accusative": "einen", "dative": "einem", "dative_f": "einer"}
_HALF: Final = {"m": "ein halber", "n": "ein halbes", "f": "eine halbe"}
_LAST_WORD = re.compile(r"([^\W\d_]+)\s\Z")
_BEHIND = re.compile(r"\s([^\W\d_]+)(?:\s([^\W\d_]+))?")
_STREET = re.compile(r"(?<=[a-zäöüß])str\.(?![\w-])")
_PLURAL = re.compile(r"\A[^\W\d_]+(?:er|e)(?= pro |\Z)")
"""What gets an n in the dative: "mit Kilometern pro Stunde"."""
_CENTURY = re.compile(r"(?<=[\dIVX]\.)\s?Jh(?:dt|d)?\b\.?")
_PERSONS = re.compile(r"(?<![\w.,])(\d{1,4})\sPers\.")
_FIRST_HUNDREDS_YEAR, _LAST_HUNDREDS_YEAR = 1100, 1999
_ADJECTIVE = re.compile(r".{2,}e[nrs]?\Z")


def _without_one(words: str) -> str:
    """ "hundert" rather than "einhundert"."""
    return words.removeprefix("ein") if words.startswith(("einhundert", "eintausend")) else words


class German(Grammar):
    """The German grammar."""

    language = "de"

    def __init__(self, data: LanguageData) -> None:
        super().__init__(data)
        self._ordinals = GermanOrdinals(self)
        self._units: dict[str, UnitWords] = {
            symbol: data.units[name]
            for name, measure in load_measures().units.items()
            for symbol in (*measure.symbols, *data.units[name].symbols)
        }
        self._hyphened_unit = re.compile(rf"(?<![\w.,])(\d{{1,4}})-({joined(self._units)})-(?=[^\W\d])")
        self._compound = re.compile(r"(?<![\w.,])(\d{1,3}(?:\.\d{3})++|\d{1,9})-(?=[a-zäöüß])")
        self._percent_adjective = re.compile(r"(?<![\w.,])(\d{1,4})\s?%-?ig")
        self._decade = re.compile(r"(?<![\w.,])(\d{1,4})(ern?)(?!\w)")
        dative = joined(data.extra["dative"])
        self._half = re.compile(
            rf"\b((?i:{dative})\s)(?:1/2|½)\s({joined(self._units)}|[A-ZÄÖÜ][a-zäöüß]{{2,30}})(?!\w)"
        )
        self._hour = re.compile(r"\b((?i:um|gegen|ab|bis)\s)((?:[01]?\d|2[0-4])(?::[0-5]\d)?)\s?h(?!\w)")
        self._times_a_day = re.compile(r"(?<![\w.,])(\d{1,4})(?:\s?[x×]\s?(?=[a-zäöü])|\smal(?!\w)(?!\s\d))")

    def cardinal(self, value: int, gender: str = "") -> str:
        if value == 1 and gender:
            return _ONE[gender]
        return _without_one(number_words(value, self.language))

    def ordinal(self, value: int, form: str = "") -> str:
        """``form``: the ending, "e", "en", "er", "es" or "em"."""
        return _without_one(number_words(value, self.language, "ordinal")) + form.removeprefix("e")

    def year(self, value: int) -> str:
        if not _FIRST_HUNDREDS_YEAR <= value <= _LAST_HUNDREDS_YEAR:
            return self.cardinal(value)
        return number_words(value, self.language, "year")

    def gender_behind(self, after: str) -> str:
        """Of the noun, behind an adjective as well: "eine neue Nachricht"."""
        match = _BEHIND.match(after)
        if match is None:
            return ""
        if match[1][0].isupper():
            return self.gender_of(match[1])
        if match[2] and match[2][0].isupper() and _ADJECTIVE.match(match[1]):
            return "accusative" if match[1].endswith("en") else "f" if match[1].endswith("e") else "m"
        return ""

    def number_in(self, amount: Amount, after: str, *, before: str) -> str:
        return self.number(amount, self._in_case(self.gender_behind(after), before))

    def counted(self, amount: Amount, noun: Noun, *, before: str = "") -> str:
        name = noun.one if self.is_singular(amount) else noun.plural
        word = _LAST_WORD.search(before)
        if word and word[1].lower() in self.data.extra["dative"] and not amount.is_one:
            name = _PLURAL.sub(r"\g<0>n", name)
        return f"{self.number(amount, self._in_case(self.gender(noun), before))} {name}"

    def _in_case(self, gender: str, before: str) -> str:
        """The form of "ein" for this gender behind a verb or preposition."""
        word = _LAST_WORD.search(before) if gender else None
        if word is None:
            return gender
        if word[1].lower() in self.data.extra["dative"]:
            return "dative_f" if gender == "f" else "dative"
        return "accusative" if gender == "m" and word[1].lower() in self.data.extra["accusative"] else gender

    def fraction(self, whole: int | None, top: int, bottom: int, noun: str = "") -> str | None:
        if bottom not in self.data.denominators:
            return None
        one = self.data.denominators[bottom][0]
        if bottom == 2 and top == 1:  # noqa: PLR2004  (a half)
            if whole:
                return f"{self.cardinal(whole, 'n')}einhalb"
            gender = self.gender(self._units[noun]) if noun in self._units else self.gender_of(noun) if noun else ""
            return _HALF.get(gender, "ein halb")
        if whole:
            return f"{self.cardinal(whole)} {self.cardinal(top, 'n')} {one.lower()}"
        measured = noun in self._units or noun.lower() in self.data.extra["measured"]
        return f"{self.cardinal(top, 'n')} {one.lower() if measured else one}"

    def day(self, value: int, *, before: str = "") -> str:
        return self.ordinal(value, self._ordinals.ending(before, "m"))

    def hour(self, value: int) -> str:
        return self.cardinal(value, "n")

    def times(self, value: int) -> str:
        return f"{self.cardinal(value, 'n')}{self.words.times}"

    def regnal(self, value: int, name: str) -> str:
        article = "die" if name.endswith("a") or name in self.data.extra["queens"] else "der"
        return f"{article} {self.ordinal(value).capitalize()}"

    def before_numbers(self, text: str) -> str:
        text = self._hour.sub(r"\1\2 Uhr", text)
        text = self._percent_adjective.sub(lambda match: f"{self.cardinal(int(match[1]), 'n')}prozentig", text)
        text = self._hyphened_unit.sub(self._say_hyphened_unit, text)
        text = self._compound.sub(lambda match: self.cardinal(int(match[1].replace(".", "")), "n"), text)
        text = self._times_a_day.sub(lambda match: f"{self.times(int(match[1]))} ", text)
        text = self._decade.sub(lambda match: f"{self.year(int(match[1]))}{match[2]}", text)
        text = _PERSONS.sub(_say_persons, self._half.sub(self._say_half, text))
        return self._ordinals(self.before_words(text))

    def before_words(self, text: str) -> str:
        text = _STREET.sub(lambda m: f"straße{'.' if TEXT_END.match(m.string, m.end()) else ''}", text)
        text = _CENTURY.sub(lambda m: f" Jahrhundert{'.' if TEXT_END.match(m.string, m.end()) else ''}", text)
        return self._ordinals.centuries(text)

    def _say_half(self, match: re.Match[str]) -> str:
        """ "in 1/2 Std." is "in einer halben Stunde"."""
        unit, end = self._units.get(match[2]), ""
        if match[2].endswith(".") and TEXT_END.match(match.string, match.end()):
            end = "."
        name, gender = (unit.one, self.gender(unit)) if unit else (match[2], self.gender_of(match[2]))
        if not gender:
            return match[0]
        return f"{match[1]}{'einer' if gender == 'f' else 'einem'} halben {name}{end}"

    def _say_hyphened_unit(self, match: re.Match[str]) -> str:
        return f"{self.cardinal(int(match[1]), 'n')}-{self._units[match[2]].one}-"


def _say_persons(match: re.Match[str]) -> str:
    end = "." if TEXT_END.match(match.string, match.end()) else ""
    return f"{match[1]} {'Person' if match[1] == '1' else 'Personen'}{end}"
