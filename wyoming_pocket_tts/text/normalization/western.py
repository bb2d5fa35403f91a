"""What Dutch and the Romance languages share; Dutch."""

# ruff: noqa: RUF001  (signs that look like others are read here)

import re
from collections.abc import Mapping
from typing import ClassVar, Final

from wyoming_pocket_tts.text.normalization.data import LanguageData, load_symbols
from wyoming_pocket_tts.text.normalization.grammar import Grammar, ParsedNumber, behind, joined, number_words
from wyoming_pocket_tts.text.normalization.words import roman

_THOUSANDS = re.compile(r"(?<![\w.,])(\d{1,3})(?:[.,](\d))?k(?!\w)")
_HOURS_MINUTES = re.compile(
    r"(?<![\w:.,])(\d{1,3})\s?(?:h|u|uur|heures?|horas?)\s?((?:en?|et|y)\s)?(\d{1,2})\s?min(?![^\W\d_])"
)
_MIL = re.compile(r"(?<![\w.,])([1-9]\d{0,2}) mil(?!\w|\sm?il)")
_HOUR_DASH = re.compile(r"(?<=\d[hu])\s?[-–]\s?(?=\d{1,2}\s?[hu])")
_HALVES = re.compile(r"(?<![\w.,/])(\d{1,3})(?:\s?½|\s1/2)\s([^\W\d_]++)")
_ORDINAL_SIGN = re.compile(r"(?<![\w.,])(\d{1,4})(\.?[ºª]|°)(?![\w°]|\s?[CF]\b)")
_NUMBER_SIGN = re.compile(r"(?<!\w)[nN]\.?[°º]\s?(?=\d)")
_MILLIONS = re.compile(r"(?<![\w.,])(\d{1,3}(?P<gap>[. ])000(?:(?P=gap)000){1,3})\s(?P<noun>[^\W\d_]{4,40})(?!\w)")
_SHORT_DATE = re.compile(r"(?<![\w./-])(0[1-9]|[12]\d|3[01])/(0[1-9]|1[0-2])(?![\w/]|[.,]\d)")
_ELIDED = re.compile(r"(?<=[^\W\d_]')(\d{1,4})(?=[.,;:!?)]?(?:\s(?:al|alle|e|ed|et|au|à)\s|\s?\Z)|[.,;:!?)]\s)")
_DOOR = re.compile(r"\s(?:[A-EG-Z]|[Ii]zq|[Dd]cha|[Ee]sq|[Dd]to)\b")
_WORD_BEFORE = re.compile(r"([^\W\d_]{1,12})\s\Z")
_A_MILLION: Final = 1_000_000
_TITLED = r"\.(?=\s([A-ZÀ-ÖØ-Þ][^\W\d_A-Z]+))"
_THOUSAND = re.compile(r"duizend(?=\w)")
_DOTTED_TIME = re.compile(r"(?<=\d\.[0-5]\d)\s?u(?:ur)?(?!\w)")
_UP_TO = re.compile(r"(?<![\w/])t/m(?![\w/])")
_ORDINAL = re.compile(r"(?<![\w.,])(\d{1,4})(?:ste|de|e)(?!\w)")
_FIRST_HUNDREDS, _LAST_HUNDREDS = 1100, 1999
_HUNDRED: Final = 100
_ONE_DIGIT: Final = 10


def thousands(text: str) -> str:
    """ "2 mil" in Spanish and Portuguese in digits, so that its noun's gender counts: "duas mil pessoas"."""
    return _MIL.sub(r"\g<1>000", text)


class WesternGrammar(Grammar):
    grouped_phones: ClassVar[str] = r"(?!)"
    """A pattern of the country's telephone numbers, as far as they look like quantities."""
    titles: ClassVar[Mapping[str, str]] = {}
    """Single letters that, with a dot and a name behind them, are a title: "M. Dupont"."""
    winds: ClassVar[Mapping[str, str]] = {}
    """Directions with a letter that is also a word: a preposition must stand before it."""
    wind_prepositions: ClassVar[str] = r"(?!)"
    halves: ClassVar[Mapping[str, str]] = {}  # gender of the noun behind "1/2", or "" -> words for it
    and_a_half: ClassVar[Mapping[str, str]] = {}  # gender -> what stands behind the noun in "2½ horas": "y media"
    last_regnal_ordinal: ClassVar[int] = 10  # later rulers have a cardinal
    of: ClassVar[str] = ""  # between a million and what is counted; empty where nothing stands there
    articles: ClassVar[frozenset[str]] = frozenset()
    """Words (lower case) behind which "2º" is an ordinal; elsewhere it may be a degree."""

    def __init__(self, data: LanguageData) -> None:
        super().__init__(data)
        self._phone = re.compile(
            rf"(?<![\w.,+-])(?<!\+\d )(?<!\+\d\d )(?<!\+\d{{3}} )(?:{self.grouped_phones})(?![\w-]|[.,]\d)"
        )
        self._title = re.compile(rf"(?<![\w'.-])(?<![B-DF-NP-XZ] )({joined(self.titles)}){_TITLED}")
        self._wind = re.compile(rf"\b(?:{joined(data.wind_words)})", re.IGNORECASE)
        self._windy = re.compile(rf"\b({self.wind_prepositions})\s({joined(self.winds)})(?![\w'&]|\s[A-Z]\b)")
        short = joined(word for names in data.dates.months.values() for word in names)
        joint = rf"(?:(?:{joined(data.dates.joints)})\s)?"
        bare = (m.symbols for name, m in load_symbols().units.items() if m.bare and data.units[name].many)
        self._units_of = {symbol: name for name, m in load_symbols().units.items() for symbol in m.symbols}
        self._labels = data.extra["labels"] | data.numbered
        after = joined(data.clock.after)
        self._part_of_hour = re.compile(rf"(?<![\w.,/])([1-9])/([2-9])(?=\s({after})\b)")
        nouns = joined(data.extra.get("ordinal_nouns", ()))
        self._takes_ordinal = re.compile(rf"\s(?:{nouns})(?!\w)")
        self._roman = re.compile(rf"(?<![\w'.-])([IVX]{{1,8}})(?=\s((?i:{nouns}))(?!\w))")
        singular = joined(data.extra["singular_after"])
        self._one_unit = re.compile(rf"\b({singular})\s({joined(s for many in bare for s in many)})(?![\w²³/])")
        self._short_month = re.compile(rf"(?<=\d)(\s{joint}(?:{short}))\.(?=\s[^\W\dA-ZÀ-ÖØ-Þ_])")

    def address_part(self, text: str) -> str:
        return self.cardinal(int(text))

    # What is counted.

    def gender_behind(self, after: str) -> str:
        """A noun without the shape of a plural counts only for one ("f1"): "2021" is rarely followed by its noun."""
        word = after[1:].split(" ", 1)[0].rstrip(".,;:!?)") if after[:1] == " " else ""
        if not word.isalpha() or not word.islower():
            return ""
        gender = self.gender_of(word)
        return gender if not gender or word[-1] in "sx" else f"{gender}1"

    def for_this(self, value: int, gender: str) -> str:
        """The gender that counts for a value: ``gender_behind`` with its "1" taken into account."""
        return gender if len(gender) < 2 else gender[0] if value == 1 else ""  # noqa: PLR2004  ("f1")

    def number_in(self, amount: ParsedNumber, after: str, *, before: str) -> str:
        """A label counts nothing: "zone 1 active"."""
        return self.number(amount, "" if self.is_label(before) else self.gender_behind(after))

    def is_label(self, before: str) -> bool:
        """Whether the word in front of a number makes it a name: "zone 1"."""
        front = _WORD_BEFORE.search(before[-14:])
        return front is not None and front[1].lower() in self._labels

    def behind_number(self, amount: ParsedNumber, noun: str) -> str:
        is_round = amount.is_whole and not amount.is_code and int(amount.integer) >= _A_MILLION
        return self.behind_scale(noun) if is_round and int(amount.integer) % _A_MILLION == 0 else noun

    def behind_scale(self, noun: str) -> str:
        return f"{self.of} {noun}" if self.of else noun

    def fraction(self, whole: int | None, top: int, bottom: int, noun: str = "") -> str | None:
        if bottom not in self.data.denominators:
            return None
        gender = self.gender_of(noun) if noun.islower() else ""
        if (top, bottom) == (1, 2):
            if whole:
                half = self.and_a_half.get(gender) or self.and_a_half[self.data.genders.default]
                return f"{self.cardinal(whole)} {half}"
            return self.halves.get(gender) or self.halves[""]
        one, many = self.data.denominators[bottom]
        words = f"{self.cardinal(top, self.data.genders.default)} {one if top == 1 else many}"
        return f"{self.cardinal(whole)} {self.data.symbols['&']} {words}" if whole else words

    # Calendar.

    def time_of_day(self, hour: int, minute: int) -> str:
        """A time without its seconds."""
        return super().clock(hour, minute)

    def clock(self, hour: int, minute: int, second: int = 0, *, before: str = "") -> str:
        said = self.time_of_day(hour, minute)
        if not second:
            return said
        return f"{said} {self.data.symbols['&']} {self.counted(ParsedNumber(str(second)), self.data.units['second'])}"

    def regnal(self, value: int, name: str) -> str:
        if value > self.last_regnal_ordinal:
            return self.cardinal(value)
        return self.ordinal(value, "f" if name in self.data.extra["feminine_names"] else "m")

    # Patterns.

    def before_numbers(self, text: str) -> str:
        text = self._phone.sub(lambda match: self.phone(re.findall(r"\d+", match[0])), text)
        text = _THOUSANDS.sub(lambda match: f"{match[1]}{match[2] or '0'}00".lstrip("0") or "0", text)
        text = _NUMBER_SIGN.sub(f"{self.words.number} ", text)
        text = _MILLIONS.sub(self._say_millions, text)
        text = _SHORT_DATE.sub(self._say_short_date, text)
        text = _HOURS_MINUTES.sub(self._say_duration, text)
        if self.data.clock.letters:
            text = _HOUR_DASH.sub(f" {self.words.range} ", text)
        text = _HALVES.sub(self._say_halves, text)
        text = self._part_of_hour.sub(self._say_part, text)
        text = _ELIDED.sub(lambda match: self.cardinal(int(match[1])), text)
        text = _ORDINAL_SIGN.sub(self._say_ordinal_sign, text)
        return self._short_month.sub(r"\1", text)

    def before_words(self, text: str) -> str:
        text = self._title.sub(self._say_title, text)
        text = self._roman.sub(self._say_roman, text)
        text = self._one_unit.sub(lambda m: f"{m[1]} {self.data.units[self._units_of[m[2]]].one}", text)
        if self._windy.search(text) and self._wind.search(text):
            text = self._windy.sub(lambda m: f"{m[1]} {self.winds[m[2]]}", text)
        return text

    def _say_title(self, match: re.Match[str]) -> str:
        """Not when the next word may open a sentence: "Vitamina D. El sol ..."."""
        if match[2].lower() in self.boundaries.starters:
            return match[0]
        words = self.title(match[1], match[2])
        return words[0].upper() + words[1:] if match.start() == 0 else words

    def title(self, letter: str, name: str) -> str:
        """What a letter of ``titles`` is before a name."""
        return self.titles[letter]

    def _say_roman(self, match: re.Match[str]) -> str:
        """ "II Guerra Mundial" has an ordinal in front of its noun."""
        value = roman(match[1])
        return self.ordinal_before(value, self.gender_of(match[2])) if value else match[0]

    def ordinal_before(self, value: int, gender: str) -> str:
        return self.ordinal(value, gender)

    def _say_millions(self, match: re.Match[str]) -> str:
        """ "25 000 000 habitants" are millions of them."""
        noun, value = match["noun"], int(re.sub(r"\D", "", match[1]))
        if not noun.islower() or not self.gender_of(noun):
            return match[0]
        return f"{self.cardinal(value)} {self.behind_scale(noun)}"

    def _say_short_date(self, match: re.Match[str]) -> str:
        """ "03/10" is a date, "10/12" only behind a word for one: it may be a mark."""
        front = _WORD_BEFORE.search(match.string, max(0, match.start() - 14), match.start())
        is_date = match[1][0] == "0" or match[2][0] == "0"
        if is_date or (front and front[1].lower() in self.data.extra["date_words"]):
            return self.date(int(match[1]), int(match[2]), None)
        return match[0]

    def _say_duration(self, match: re.Match[str]) -> str:
        units = self.data.units
        hours, minutes = ParsedNumber(str(int(match[1]))), ParsedNumber(str(int(match[3])))
        return f"{self.counted(hours, units['hour'])} {match[2] or ''}{self.counted(minutes, units['minute'])}"

    def _say_part(self, match: re.Match[str]) -> str:
        """ "1/2 uur" is no time of day."""
        return self.fraction(None, int(match[1]), int(match[2]), match[3]) or match[0]

    def _say_halves(self, match: re.Match[str]) -> str:
        """ "2½ horas" is "dos horas y media"; without a noun the fraction's own rule reads it."""
        noun = match[2]
        half = self.and_a_half.get(self.gender_of(noun)) if noun.islower() else None
        counted = f"{self.cardinal(int(match[1]), self.gender_of(noun))} {noun}"
        return match[0] if half is None else f"{counted} {half}"

    def _say_ordinal_sign(self, match: re.Match[str]) -> str:
        sign, front = match[2], _WORD_BEFORE.search(match.string, max(0, match.start() - 14), match.start())
        form = "f" if sign[-1] == "ª" else "m"
        is_ordinal = sign not in "°º" or (front is not None and front[1].lower() in self.articles)
        if is_ordinal or self.takes_ordinal(behind(match), sign):
            return self.ordinal(int(match[1]), form)
        return match[0]

    def takes_ordinal(self, after: str, sign: str) -> bool:
        """Whether what follows "2º" makes it an ordinal, as in "3º B"; ``sign``: that or the one of degrees."""
        return sign == "º" and (self.gender_behind(after) != "" or _DOOR.match(after) is not None)


class DutchGrammar(WesternGrammar):
    language = "nl"
    grouped_phones = r"0\d{1,3}[ -]\d{6,8}|06(?:[ -]\d{2}){4}"
    winds: ClassVar = {"O": "oost"}
    wind_prepositions = "uit|naar|van|wind"
    halves: ClassVar = {"": "een half", "n": "een half", "m": "een halve"}

    def __init__(self, data: LanguageData) -> None:
        super().__init__(data)
        letters = joined(letters for letters in data.compass if len(letters) > 1)
        days = data.dates.weekdays.items()
        self._weekday_of = {word: name for name, short in days for word in (name, name.capitalize(), *short)}
        weekday = joined(self._weekday_of)
        self._weekdays = re.compile(rf"\b({weekday})\.? (tot en met|tot|t/m) ({weekday})(?!\w)")
        self._quarter = re.compile(rf"\b([Hh]et) ({letters})(?![\w'&]|\s[A-Z]\b)")

    def cardinal(self, value: int, gender: str = "") -> str:
        if _FIRST_HUNDREDS <= value <= _LAST_HUNDREDS and value % _HUNDRED == 0:
            return f"{number_words(value // _HUNDRED, self.language)}honderd"
        words = number_words(value, self.language)
        if words.startswith("een "):  # "een miljoen"
            words = f"één{words[3:]}"
        return _THOUSAND.sub("duizend ", words).replace("honderdéén", "honderdeen")

    def ordinal(self, value: int, form: str = "") -> str:
        words = number_words(value, self.language, "ordinal").replace("éé", "ee")
        return _THOUSAND.sub(lambda m: "duizend" if m.string[m.end() :] == "ste" else "duizend ", words)

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
        return f"de {self.ordinal(value)}"

    def before_numbers(self, text: str) -> str:
        text = _ORDINAL.sub(lambda match: self.ordinal(int(match[1])), _UP_TO.sub("tot en met", text))
        return super().before_numbers(_DOTTED_TIME.sub(" uur", text))

    def before_words(self, text: str) -> str:
        days = self._weekday_of
        text = self._weekdays.sub(lambda match: f"{days[match[1]]} {match[2]} {days[match[3]]}", text)
        text = self._quarter.sub(lambda match: f"{match[1]} {self.data.compass[match[2]]}en", text)
        return super().before_words(text)
