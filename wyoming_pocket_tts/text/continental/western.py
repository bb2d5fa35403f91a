"""What French, Spanish, Italian, Portuguese and Dutch have in common beyond ``Grammar``. Knows none of their words.

Each of them fills in the attributes and hooks below; all of its patterns are linear.
"""

# ruff: noqa: RUF001  (dashes and signs that look like others are read here)

import re
from collections.abc import Mapping
from typing import ClassVar, Final

from wyoming_pocket_tts.text.continental.data import LanguageData, load_measures
from wyoming_pocket_tts.text.continental.grammar import Grammar
from wyoming_pocket_tts.text.continental.numbers import Amount
from wyoming_pocket_tts.text.continental.patterns import behind, joined
from wyoming_pocket_tts.text.language_data import load_boundaries

_THOUSANDS = re.compile(r"(?<![\w.,])(\d{1,3})(?:[.,](\d))?k(?!\w)")
_HOURS_MINUTES = re.compile(r"(?<![\w:.,])(\d{1,3})\s?h\s?(\d{1,2})\s?min(?!\w)")
_HOUR_DASH = re.compile(r"(?<=\dh)\s?[-–]\s?(?=\d{1,2}\s?h)")
_HALVES = re.compile(r"(?<![\w.,/])(\d{1,3})(?:\s?½|\s1/2)\s([^\W\d_]++)")
_ORDINAL_SIGN = re.compile(r"(?<![\w.,])(\d{1,4})(\.?[ºª]|°)(?![\w°]|\s?[CF]\b)")
_WORD_BEFORE = re.compile(r"([^\W\d_]{1,12})\s\Z")
_A_MILLION: Final = 1_000_000
_TITLED = r"\.(?=\s([A-ZÀ-ÖØ-Þ][^\W\d_A-Z]+))"


class Western(Grammar):
    """Habits of writing that its subclasses share. Has no state; safe to use from several threads."""

    phones: ClassVar[str] = r"(?!)"
    """A pattern of the country's telephone numbers, as far as they look like quantities."""
    titles: ClassVar[Mapping[str, str]] = {}
    """Single letters that, with a dot and a name behind them, are a title: "M. Dupont"."""
    winds: ClassVar[Mapping[str, str]] = {}
    """Directions whose letter is also a word, so that only a preposition before it tells them apart."""
    wind_prepositions: ClassVar[str] = r"(?!)"
    halves: ClassVar[Mapping[str, str]] = {}
    """Gender of the noun behind "1/2", or "" -> words for it."""
    and_a_half: ClassVar[Mapping[str, str]] = {}
    """Gender -> what stands behind the noun in "2½ horas": "y media"."""
    of: ClassVar[str] = ""
    """Between a million and what is counted; empty where nothing stands there."""
    articles: ClassVar[frozenset[str]] = frozenset()
    """Words (lower case) behind which "2º" is an ordinal; elsewhere it may be a degree."""

    def __init__(self, data: LanguageData) -> None:
        super().__init__(data)
        self._starters = load_boundaries(self.language).starters
        self._phone = re.compile(
            rf"(?<![\w.,+-])(?<!\+\d )(?<!\+\d\d )(?<!\+\d{{3}} )(?:{self.phones})(?![\w-]|[.,]\d)"
        )
        self._title = re.compile(rf"(?<![\w'.-])(?<![A-Z] )({joined(self.titles)}){_TITLED}")
        self._wind = re.compile(rf"\b(?:{joined(data.wind_words)})", re.IGNORECASE)
        self._windy = re.compile(rf"\b({self.wind_prepositions})\s({joined(self.winds)})(?![\w'&]|\s[A-Z]\b)")
        short = joined(word for names in data.dates.months.values() for word in names)
        joint = rf"(?:(?:{joined(data.dates.joints)})\s)?"
        bare = (m.symbols for name, m in load_measures().units.items() if m.bare and data.units[name].many)
        self._units_of = {symbol: name for name, m in load_measures().units.items() for symbol in m.symbols}
        singular = joined(data.extra["singular_after"])
        self._one_unit = re.compile(rf"\b({singular})\s({joined(s for many in bare for s in many)})(?![\w²³/])")
        self._short_month = re.compile(rf"(?<=\d)(\s{joint}(?:{short}))\.(?=\s[^\W\dA-ZÀ-ÖØ-Þ_])")

    def address_part(self, text: str) -> str:
        return self.cardinal(int(text)) if len(text) == 1 or text[0] != "0" else self.digits(text)

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

    def behind_number(self, amount: Amount, noun: str) -> str:
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
        del before
        said = self.time_of_day(hour, minute)
        if not second:
            return said
        return f"{said} {self.data.symbols['&']} {self.counted(Amount(str(second)), self.data.units['second'])}"

    # Patterns.

    def before_numbers(self, text: str) -> str:
        text = self._phone.sub(lambda match: self.phone(re.findall(r"\d+", match[0])), text)
        text = _THOUSANDS.sub(lambda match: f"{match[1]}{match[2] or '0'}00".lstrip("0") or "0", text)
        text = _HOURS_MINUTES.sub(self._say_duration, text)
        if self.data.clock.letters:
            text = _HOUR_DASH.sub(f" {self.words.range} ", text)
        text = _HALVES.sub(self._say_halves, text)
        text = _ORDINAL_SIGN.sub(self._say_ordinal_sign, text)
        return self._short_month.sub(r"\1", text)

    def before_words(self, text: str) -> str:
        text = self._title.sub(self._say_title, text)
        text = self._one_unit.sub(lambda m: f"{m[1]} {self.data.units[self._units_of[m[2]]].one}", text)
        return self._windy.sub(lambda m: f"{m[1]} {self.winds[m[2]]}", text) if self._wind.search(text) else text

    def _say_title(self, match: re.Match[str]) -> str:
        """Not when the next word may open a sentence: "Vitamina D. El sol ..."."""
        if match[2].lower() in self._starters:
            return match[0]
        words = self.titles[match[1]]
        return words[0].upper() + words[1:] if match.start() == 0 else words

    def _say_duration(self, match: re.Match[str]) -> str:
        units = self.data.units
        hours, minutes = Amount(str(int(match[1]))), Amount(str(int(match[2])))
        return f"{self.counted(hours, units['hour'])} {self.counted(minutes, units['minute'])}"

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
        """Whether the word behind "2º" makes it an ordinal; ``sign``: that or the one of degrees."""
        return sign == "º" and self.gender_behind(after) != ""
