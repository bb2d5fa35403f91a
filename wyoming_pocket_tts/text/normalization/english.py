"""English."""

# ruff: noqa: RUF001  (dashes of every length stand in ranges)

import re
from collections.abc import Sequence
from typing import ClassVar

from wyoming_pocket_tts.text.normalization.data import CurrencyWords, LanguageData
from wyoming_pocket_tts.text.normalization.dates import time_pattern
from wyoming_pocket_tts.text.normalization.grammar import TEXT_END, Grammar, ParsedNumber, Rule, joined, number_words
from wyoming_pocket_tts.text.normalization.quantities import VULGAR, vulgar_parts

_NOON = 12
_FIRST_YEAR, _LAST_YEAR = 1000, 2099
_MAX_DENOMINATOR = 100
_DAY = r"(\d{1,2})(?:st|nd|rd|th)?"
_HALF = r"(?P<half>[AaPp])(?:\.\s?[Mm]\.|[Mm]\b\.?)"
_TIME = time_pattern(r"\.")
_ARTICLE = re.compile(r"\b[Aa]n?\s\Z")
_NEXT_SENTENCE = re.compile(r"\s[\"'(]?([A-Z][a-z']*)")  # a capitalised word behind a full stop
_INITIAL = re.compile(r"(?<![\w'.])(?<![A-Z]\s)([A-Z])\.(?=\s([A-Z][a-z]*)\b)")
_ROMAN_ONE_ENDS = re.compile(r"\s?(?:[.,;:!?)]|\Z)|\s(?:of|was|is|had|began|ended|in|to)\b")
_PHONE_WORDS = re.compile(r"\b(?:call|dial|phone|number|telephone|tel|text|fax|mobile|hotline|ring)\b", re.IGNORECASE)
_LOCAL_PHONE = re.compile(r"(?<![\w.,-])\d{3}-\d{4}(?![\w-]|\s?[%°])")
_DECIMAL_COMMA = re.compile(r"(?<![\d,.])(\d++),(\d{1,2})(?![\d,]|\.\d)")
_FEET = re.compile(r"(?<![\w.,])(\d)'\s?(\d{1,2})(?:\"|'')")
_INCHES = re.compile(r'(?<=\d)"(?=\s|$)')
_DECADE = re.compile(
    r"(?<![\w'])(?:([12]\d\d0)'?s|'([1-9]0)'?s"
    r"|(?:(?<=the )|(?<=The )|(?<=early )|(?<=late )|(?<=mid-))([1-9]0)'?s)\b"
)
_CHOICE = re.compile(r"\band\s?/\s?or\b", re.IGNORECASE)


class EnglishGrammar(Grammar):
    language = "en"
    number_pattern = r"(?:\d{1,3}(?:,\d{3})++(?!\d)(?:\.\d++)?|\d++(?:\.\d++)?|\.\d++)"
    number_start = r"\.?\d"
    comma_decimals = False
    ordinal_digits = r"\d{1,3}(?:,\d{3})++|\d{1,15}"
    last_bare_year = _LAST_YEAR
    scales_alone = False
    bare_rates = False
    range_form = "many"
    any_word_per = False
    products_in_equations = False
    dimension = r"(?<=\d)(?:\s?x\s?|×)(?=\d)|(?:(?<=\d\s[cmk]m)|(?<=\d\sm)|(?<=\d\sft))\sx\s(?=\d)"
    division = r"(?<=\d)\s/\s(?=\d)"
    multiplication = r"(?<=\d)\s?\*\s?(?=\d)"
    numeric_date = r"(?<![\w./-])(\d{1,2})([/.])(\d{1,2})\2(\d{4}|\d{2})(?![\w/-]|\.\d)"
    phones: ClassVar[Sequence[str]] = (
        r"(?<![\w.,-])(?:1[ -])?(?:\(\d{3}\)\s?|\d{3}[-. ])\d{3}[-. ]\d{4}(?![\w-])",
        r"(?<![\w.,:-])0\d{2,5}[ /-]\d{3,9}(?:[ -]\d{2,9}){0,3}(?![\w-])",
    )
    weekday_stop = ""
    hours = r"h(?:rs?|ours?)?"
    word_in_front = re.compile(r"([\w']+)[\s,]{1,3}\Z")
    dotted_with_spaces = False
    wind_word_end = r"\b"
    regnal_stop = ""
    capitals = "A-Z"
    vowels = "AEIOUY"
    article = "A"
    acronym_plural = "'s"
    apostrophe_keepers = "sn"  # the dogs' bowl, rockin' roll

    def __init__(self, data: LanguageData) -> None:
        super().__init__(data)
        months, weekdays = data.dates.months, data.dates.weekdays
        self._month_of = {word: name for name, short in months.items() for word in (name, *short)}
        self._weekday_of = {word: name for name, short in weekdays.items() for word in (name, *short)}
        words = joined(data.extra["temperature_words"])
        self._temperature = re.compile(
            rf"\b(?:{words})\b|\A(?:(?i:it's|it is|now|currently)\s)*[-−]?{self.number_pattern}\s?[CF]\W*\Z",
            re.IGNORECASE,
        )
        self._degrees = re.compile(
            rf"(?:\b(?P<front>[A-Za-z]++)\s)?(?<![\w.,])(?P<number>{self.number_pattern})"
            rf"(?:(?P<tight>[CF])|\s(?P<apart>[CF])(?=\s(?i:{words}|and|or|to|today|now)\b|\W*+\Z|[.,;:!?)]))"
            r"(?![\w#'+&°]|\.\w)"
        )
        self.own_rules = {
            "dates": self._date_rules(),
            "times": self._time_rules(),
            "fractions": self._fraction_rules(),
            "numbers": self._number_rules(),
        }

    def parse(self, text: str) -> ParsedNumber:
        integer, _, fraction = text.replace(",", "").partition(".")
        return ParsedNumber(integer, fraction)

    # Numbers.

    def year(self, value: int) -> str:
        """ "nineteen oh five", "two thousand and five", "twenty twenty-six"."""
        if not _FIRST_YEAR <= value <= _LAST_YEAR:
            return self.cardinal(value)
        return number_words(value, self.language, "year").replace("oh-", "oh ")

    def version(self, parts: list[str]) -> str:
        """Only the first part may be a year."""
        rest = [self.number(ParsedNumber(part)) for part in parts[1:]]
        return f" {self.words.decimal} ".join([self.version_part(parts[0]), *rest])

    def number(self, amount: ParsedNumber, gender: str = "") -> str:
        if not amount.integer:  # ".5"
            return f"{self.words.decimal} {self.digits(amount.fraction)}"
        return super().number(amount, gender)

    def number_in(self, amount: ParsedNumber, after: str, *, before: str) -> str:
        return self.number(amount)

    def noun_form(self, match: re.Match[str]) -> str:
        """In the singular where the amount belongs to a noun behind it: "a 60 W bulb"."""
        text, start, end = match.string, match.start(), match.end()
        is_attribute = text[end : end + 1] == " " and text[end + 1 : end + 2].isalpha()
        return "one" if is_attribute and _ARTICLE.search(text, max(0, start - 4), start) else ""

    def is_one_unit(self, front: str) -> bool:
        return front[-6:].lower().endswith(("per ", " a ", "each ", "half "))

    def money(self, amount: ParsedNumber, currency: CurrencyWords, *, before: str = "", form: str = "") -> str:
        if currency.cent and len(amount.fraction) == 2 and not amount.integer.strip("0"):  # noqa: PLR2004  (hundredths)
            amount = ParsedNumber("0", amount.fraction)
        return super().money(amount, currency, before=before, form=form)

    def money_range(
        self, low: ParsedNumber, high: ParsedNumber, currency: CurrencyWords, *, before: str, form: str
    ) -> str:
        if low.is_whole and high.is_whole:
            return f"{self.number(low)} to {self.counted(high, currency, form=form or 'many')}"
        return f"{self.money(low, currency)} to {self.money(high, currency)}"

    def _fraction_rules(self) -> Sequence[Rule]:
        fraction = r"(?<![\w.,/])(?:(\d{1,4})\s)?(\d{1,3}(?:\.\d{1,2})?)/(\d{1,3})(?![\w/]|[.,]\d)"
        return [
            (re.compile(rf"(?:(?<![\w.,])(\d++)\s?)?([{VULGAR}])"), self._say_vulgar),
            (re.compile("24/7"), "twenty-four seven"),
            (re.compile(fraction), self._say_fraction),
        ]

    def _say_vulgar(self, match: re.Match[str]) -> str:
        return self._mixed(match[1], *vulgar_parts(match[2]))

    def _say_fraction(self, match: re.Match[str]) -> str:
        top, bottom = self.parse(match[2]), int(match[3])
        if 0 < top.value < bottom and bottom in self.data.denominators and top.is_whole:
            return self._mixed(match[1], int(top.integer), bottom)
        said_bottom = self.number(ParsedNumber(match[3]))
        if top.value == bottom:  # "fifty fifty"
            return f"{self.number(top)} {said_bottom}"
        joint = self.words.out_of if 0 < top.value <= bottom <= _MAX_DENOMINATOR else self.words.slash
        head = f"{self.number(ParsedNumber(match[1]))} " if match[1] else ""
        return f"{head}{self.number(top)} {joint} {said_bottom}"

    def _mixed(self, whole: str | None, top: int, bottom: int) -> str:
        one, many = self.data.denominators.get(bottom) or (self.ordinal(bottom), f"{self.ordinal(bottom)}s")
        if not whole:
            return f"{self.cardinal(top)} {one if top == 1 else many}"
        return f"{self.number(ParsedNumber(whole))} and " + (f"a {one}" if top == 1 else f"{self.cardinal(top)} {many}")

    def _number_rules(self) -> Sequence[Rule]:
        context_year = re.compile(
            r"\b((?i:in|since|year|year was|year is|until|till|before|after|during|circa|early|late|mid|from|by|around"
            r"|of(?=\s\d{4}(?:[,;:!?)]|\.?$|\.\s)))\s)(\d{4})(?![\w%°]|[.,]\d)"
        )
        things = rf"(?<![\w.,])(\d{{1,4}}) ?[x×] (?=[^\W\d_]{{2}})(?!(?i:{joined(self.data.extra['multiplied'])})\b)"
        return [
            (context_year, lambda match: match[1] + self.version_part(match[2])),
            (re.compile(r"(?<![\w.,])(\d{1,3})k\b"), lambda match: f"{self.cardinal(int(match[1]))} thousand"),
            (re.compile(things), r"\1 "),  # "2x eggs"
            (re.compile(r"(?<=\d)x\b"), f" {self.words.times}"),
            (re.compile(r"(?<=\d):(?=\d)"), f" {self.words.ratio} "),
        ]

    # Dates and times.

    def day_and_month(self, first: int, second: int, mark: str) -> tuple[int, int]:
        return (first, second) if first > 12 or mark == "." else (second, first)  # noqa: PLR2004  (months)

    def day(self, value: int, *, before: str = "") -> str:
        return self.ordinal(value)

    def clock(self, hour: int, minute: int, second: int = 0, *, before: str = "", half: str = "") -> str:
        """``half``: "a" or "p" of "am" and "pm", if written."""
        if not half and hour % 24 == 0 and minute == second == 0:
            return "midnight"
        half = half.upper() or ("P" if _NOON < hour < 2 * _NOON else "A" if hour in (0, 2 * _NOON) else "")
        words = self.cardinal(hour % _NOON or _NOON)
        if minute:
            words += f" oh {self.cardinal(minute)}" if minute < 10 else f" {self.cardinal(minute)}"  # noqa: PLR2004
        elif not half:
            words += " o'clock"
        if second:
            words += f" and {self.counted(ParsedNumber(str(second)), self.data.units['second'])}"
        return f"{words} {half} M" if half else words

    def _date_rules(self) -> Sequence[Rule]:
        month, weekday = joined(self._month_of), joined(self._weekday_of)
        month_day = rf"\b({month})\b\.?\s{_DAY}(?:\s?[-–]\s?{_DAY})?(?:,?\s(\d{{4}}))?(?![\w:%°]|[.,]\d)"
        day_month = rf"(?<![\w.,:])([Tt]he\s)?{_DAY}\s(?:of\s)?({month})\b(\.(?=\s?\d))?(?:,?\s(\d{{4}})(?!\d))?"
        month_year = rf"\b({month})\b\.?,?\s(\d{{4}})(?![\w°%]|[.,]\d)"
        weekday_date = rf"\b({weekday})\.?(?=,?\s(?:{month}|the\s\w+\sof)\b)"
        return [
            (re.compile(month_day), self._say_month_day),
            (re.compile(day_month), self._say_day_month),
            (re.compile(month_year), lambda match: f"{self._month_of[match[1]]} {self.year(int(match[2]))}"),
            (re.compile(weekday_date), lambda match: self._weekday_of[match[1]]),
        ]

    def _say_month_day(self, match: re.Match[str]) -> str:
        days = self.ordinal(int(match[2])) + (f" to {self.ordinal(int(match[3]))}" if match[3] else "")
        return f"{self._month_of[match[1]]} {days}" + (f", {self.year(int(match[4]))}" if match[4] else "")

    def _say_day_month(self, match: re.Match[str]) -> str:
        words = f"{match[1] or 'the '}{self.ordinal(int(match[2]))} of {self._month_of[match[3]]}"
        return words + (f", {self.year(int(match[5]))}" if match[5] else match[4] or "")

    def _time_rules(self) -> Sequence[Rule]:
        clock_range = r"(\d:\d\d|\d\s?[AaPp]\.?[Mm]\.?)\s?[-–]\s?(?=\d{1,2}(?::\d\d|\s?[AaPp]\.?[Mm]\b))"
        hour_range = rf"(?<![\w.:-])(1[0-2]|[1-9])\s?[-–]\s?(?=(?:1[0-2]|[1-9])(?::\d\d)?\s?{_HALF})"
        return [
            (re.compile(clock_range), r"\1 to "),
            (re.compile(hour_range), lambda match: f"{self.cardinal(int(match[1]))} to "),
            (re.compile(rf"(?<![\w:.,]){_TIME}(?:\s?{_HALF})?(?![:\d])"), self._say_clock),
            (re.compile(rf"(?<![\w:.,])(1[0-2]|0?[1-9])\s?{_HALF}"), self._say_hour),
        ]

    def _say_clock(self, match: re.Match[str]) -> str:
        hour, minute, second = int(match["hour"]), int(match["minute"]), int(match["second"] or 0)
        return self.clock(hour, minute, second, half=match["half"] or "") + self._kept_stop(match)

    def _say_hour(self, match: re.Match[str]) -> str:
        return f"{self.cardinal(int(match[1]))} {match['half'].upper()} M" + self._kept_stop(match)

    def _kept_stop(self, match: re.Match[str]) -> str:
        """The full stop of "p.m." when it ends the sentence as well."""
        if not match[0].endswith("."):
            return ""
        following = _NEXT_SENTENCE.match(match.string, match.end())
        opens = following is not None and following[1].lower() not in self.boundaries.capitals_within
        return "." if opens or TEXT_END.match(match.string, match.end()) else ""

    # Words.

    def regnal(self, value: int, name: str) -> str:
        return f"the {self.ordinal(value)}"

    def is_roman_one(self, word: str, match: re.Match[str]) -> bool:
        return word.lower().startswith("war") or _ROMAN_ONE_ENDS.match(match.string, match.end()) is not None

    def opens_sentence(self, match: re.Match[str], abbreviation: str) -> bool:
        if abbreviation.lower() not in self.boundaries.before_starter | self.boundaries.before_capital:
            return False
        following = _NEXT_SENTENCE.match(match.string, match.end())
        return following is not None and following[1].lower() in self.boundaries.starters

    # Patterns.

    def before_numbers(self, text: str) -> str:
        if "'" in text:
            text = _FEET.sub(r"\1 feet \2 inches", text)
        if text.count('"') % 2:  # a lone one is no quotation mark
            text = _INCHES.sub(" inch", text)
        return _DECIMAL_COMMA.sub(r"\1.\2", text)

    def after_dates(self, text: str) -> str:
        """ "the 80s", and "72F" where the text is about temperatures or is nothing else."""
        text = _DECADE.sub(self._say_decade, text)
        return self._degrees.sub(self._say_degrees, text) if self._temperature.search(text) else text

    def _say_decade(self, match: re.Match[str]) -> str:
        words = self.year(int(match[match.lastindex or 0]))
        return f"{words[:-1]}ies" if words.endswith("y") else f"{words}s"

    def _say_degrees(self, match: re.Match[str]) -> str:
        """With its sign; "Room 12F" is none."""
        if (match["front"] or "").lower() in self.data.extra["lettered"]:
            return match[0]
        front = match.string[match.start() : match.start("number")]
        return f"{front}{match['number']} °{match['tight'] or match['apart']}"

    def after_phones(self, text: str) -> str:
        if not _PHONE_WORDS.search(text):
            return text
        return _LOCAL_PHONE.sub(lambda match: self.phone(re.findall(r"\d+", match[0])), text)

    def after_abbreviations(self, text: str) -> str:
        """Initials lose their dots: "J. R. Smith"."""
        return _INITIAL.sub(lambda m: m[0] if m[2].lower() in self.boundaries.starters else m[1], text)

    def before_words(self, text: str) -> str:
        return _CHOICE.sub("and or", text) if "/" in text else text
