"""German."""

# ruff: noqa: RUF001  (signs that look like others are read here)

import re
from typing import Final

from wyoming_pocket_tts.text.normalization.data import LanguageData, Noun
from wyoming_pocket_tts.text.normalization.grammar import (
    Grammar,
    ParsedNumber,
    before,
    behind,
    joined,
    number_words,
    stop,
)
from wyoming_pocket_tts.text.normalization.words import roman

_STRONG: Final = {"m": "er", "f": "e", "n": "es"}
_STRONG_DATIVE: Final = {"m": "em", "f": "er", "n": "em"}
_WITHOUT_ENDING: Final = ("ein", "mein", "dein", "sein", "ihr", "unser", "kein")
_WEAK_NOMINATIVE: Final = ("das", "dieser", "jeder", "dieses", "jedes")
_PREPOSITIONS: Final = "in|an|auf|aus|bei|mit|nach|seit|von|zu|vor|hinter|über|unter|neben|zwischen|ab|während|wegen"
_LIST = r"(?:\d{1,4}\.(?:\s?\d{1,2}\.)?\s?(?:und|oder|sowie|bis(?:\szu[mr])?|,|/|[-–])\s?){0,3}"
_LEADER = re.compile(rf"(?:([^\W\d_]+)(,?)\s)?([^\W\d_]+)(,?)\s{_LIST}\Z")
_FOLLOWER = re.compile(
    r"(?:\s?(?:und|oder|sowie|bis(?:\szu[mr])?|,|/|[-–])\s?\d{1,4}\.){0,3}(?:\s([^\W\d_]+)|\s(?=\d)|(?:\Z|[,;:!?)]))"
)
_SHORT_DATE = re.compile(r"(?<![\w./-])(\d{1,2})\.\s?(1[0-2]|0?[1-9])\.(?![\d.])")
_ORDINAL = re.compile(r"(?<![\w.,:-])(\d{1,4})\.(?![\d.\w])")
_SLASH = re.compile(r"(?<=\d\.)\s?/\s?(?=\d{1,2}\.)")
_NO_SPACE = re.compile(r"(?<![\w.,])(\d{1,3}\.)(?=[A-ZÄÖÜ][a-zäöüß])")
_SUPERLATIVE = re.compile(
    r"(?<![\w.,])(\d{1,3})\.[\s-]?(?=(?:größt|höchst|best|längst|schnellst|kleinst|letzt|ältest|jüngst)e)"
)
_DASH = re.compile(r"(?<=\d\.)\s?[-–]\s?(?=\d{1,2}\.)")
_DOT_BEFORE = re.compile(r"\d\.\s\Z")
_DAYS = 31
_ONE: Final = {"m": "ein", "n": "ein", "f": "eine", "accusative": "einen", "dative": "einem", "dative_f": "einer"}
_HALF: Final = {"m": "ein halber", "n": "ein halbes", "f": "eine halbe"}
_LAST_WORD = re.compile(r"([^\W\d_]+)\s\Z")
_BEHIND = re.compile(r"\s([^\W\d_]+)(?:\s([^\W\d_]+))?")
_STREET = re.compile(r"(?<=[a-zäöüß])str\.(?![\w-])")
_PLURAL = re.compile(r"\A[^\W\d_]+(?:er|e)(?= pro |\Z)")  # what gets an n in the dative: "mit Kilometern pro Stunde"
_CENTURY = re.compile(r"(?<=[\dIVX]\.)\s?Jh(?:dt|d)?\b\.?")
_PERSONS = re.compile(r"(?<![\w.,])(\d{1,4})\sPers\.")
_FIRST_HUNDREDS_YEAR, _LAST_HUNDREDS_YEAR = 1100, 1999
_ADJECTIVE = re.compile(r".{2,}e[nrs]?\Z")


class GermanOrdinalRules:
    """ "am 3. Oktober" is "am dritten Oktober", "der 2. Versuch" is "der zweite Versuch"."""

    def __init__(self, grammar: Grammar) -> None:
        self._grammar = grammar
        boundaries = grammar.boundaries
        self._nouns, self._leaders = boundaries.ordinal_nouns, boundaries.ordinal_leaders
        self._starters = boundaries.starters
        self._weekdays = {name.lower() for name in grammar.data.dates.weekdays}
        self._months = {word.lower() for name, short in grammar.data.dates.months.items() for word in (name, *short)}
        self._roman = re.compile(rf"(?<![\w.,-])([IVX]++)\.(?=\s(?i:{joined(self._nouns)})\b)")

    def centuries(self, text: str) -> str:
        """ "das XIX. Jahrhundert"."""
        return self._roman.sub(lambda match: self._say(match) if roman(match[1]) else match[0], text)

    def __call__(self, text: str) -> str:
        if "." not in text:
            return text
        text = _NO_SPACE.sub(r"\1 ", text)
        text = _SUPERLATIVE.sub(lambda match: self._grammar.ordinal(int(match[1])).removesuffix("e"), text)
        text = _SLASH.sub(" und ", _DASH.sub(f" {self._grammar.words.range} ", text))
        text = _SHORT_DATE.sub(self._say_short_date, text)
        return _ORDINAL.sub(self._say, text)

    def ending(self, front: str, gender: str) -> str:
        """The ending of an ordinal behind the text ``front``, before a noun of this gender."""
        match = _LEADER.search(front)
        if match is None or _DOT_BEFORE.search(front, 0, match.start(3)):
            return _STRONG[gender]
        further, word, comma = (match[1] or "").lower(), match[3].lower(), match[4]
        if comma or word in self._weekdays:
            return "en" if word in self._weekdays and further in ("am", "vom", "zum", "bis") else _STRONG[gender]
        if word == "der":
            return "en" if re.fullmatch(_PREPOSITIONS, further) else "e"
        if word == "ab":
            return _STRONG_DATIVE[gender]
        if word not in self._leaders or word in _WITHOUT_ENDING:
            return _STRONG[gender]
        return "e" if word.endswith("e") or word in _WEAK_NOMINATIVE else "en"

    def _say_short_date(self, match: re.Match[str]) -> str:
        day, month = int(match[1]), int(match[2])
        front = before(match)
        if not 1 <= day <= _DAYS or (stop(match) and not self._leads(front)):
            return match[0]
        return self._grammar.date(day, month, None, before=front) + stop(match)

    def _leads(self, front: str) -> bool:
        match = _LEADER.search(front)
        return match is not None and match[3].lower() in self._leaders

    def _say(self, match: re.Match[str]) -> str:
        front, value = before(match), int(match[1]) if match[1].isdecimal() else roman(match[1])
        following = _FOLLOWER.match(behind(match))
        if following is None:
            return match[0]
        word = following[1] or ""
        if following[0].isspace():  # digits follow: "1. 500 g Mehl"
            return match[0] if front.strip() else f"{self._grammar.ordinal(value, 'e')}ns,"
        if not self._is_ordinal(front, word):
            return f"{self._grammar.ordinal(value, 'e')}ns," if _opens_an_item(front, word) else match[0]
        noun = word if word[:1].isupper() else ""
        gender = "m" if noun.lower() in self._months or not noun else self._grammar.gender_of(noun)
        ending = self.ending(front, gender) if noun or self._leads(front) else "e"
        return self._grammar.ordinal(value, ending) + stop(match)

    def _is_ordinal(self, front: str, word: str) -> bool:
        """Whether digits with a dot are one, by the text in front and the first word behind."""
        if word.lower() in self._nouns:
            return True
        if word and word[0].islower():
            return bool(front.strip())
        return self._leads(front) and (not word or word.lower() not in self._starters)


def _opens_an_item(front: str, word: str) -> bool:
    """Whether a number with a dot is that of a list's item: first of all, or behind a mark: "1. Milch, 2. Brot"."""
    front = front.rstrip()
    return bool(word) and (not front or front[-1] in ":;,(")


def _without_one(words: str) -> str:
    """ "hundert" rather than "einhundert"."""
    return words.removeprefix("ein") if words.startswith(("einhundert", "eintausend")) else words


class GermanGrammar(Grammar):
    language = "de"

    def __init__(self, data: LanguageData) -> None:
        super().__init__(data)
        self._ordinals = GermanOrdinalRules(self)
        self._units = data.unit_words()
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

    def number_in(self, amount: ParsedNumber, after: str, *, before: str) -> str:
        return self.number(amount, self._in_case(self.gender_behind(after), before))

    def counted(self, amount: ParsedNumber, noun: Noun, *, before: str = "", form: str = "") -> str:
        name = noun.one if form == "one" or (not form and self.is_singular(amount)) else noun.plural
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
        text = self._half.sub(self._say_half, text)
        text = _PERSONS.sub(lambda match: f"{match[1]} Person{'en' if match[1] != '1' else ''}{stop(match)}", text)
        return self._ordinals(self.before_words(text))

    def before_words(self, text: str) -> str:
        text = _STREET.sub(lambda match: f"straße{stop(match)}", text)
        text = _CENTURY.sub(lambda match: f" Jahrhundert{stop(match)}", text)
        return self._ordinals.centuries(text)

    def _say_half(self, match: re.Match[str]) -> str:
        """ "in 1/2 Std." is "in einer halben Stunde"."""
        unit, end = self._units.get(match[2]), stop(match) if match[2].endswith(".") else ""
        name, gender = (unit.one, self.gender(unit)) if unit else (match[2], self.gender_of(match[2]))
        if not gender:
            return match[0]
        return f"{match[1]}{'einer' if gender == 'f' else 'einem'} halben {name}{end}"

    def _say_hyphened_unit(self, match: re.Match[str]) -> str:
        return f"{self.cardinal(int(match[1]), 'n')}-{self._units[match[2]].one}-"
