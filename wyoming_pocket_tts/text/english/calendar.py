"""Dates, times of day and durations in English words. Knows nothing about units, money or other numbers."""

# ruff: noqa: RUF001  (dashes of every length stand in ranges)

import re

from wyoming_pocket_tts.text.english.numbers import NEXT_SENTENCE, TEXT_END, cardinal, decade, is_year, ordinal, year
from wyoming_pocket_tts.text.language_data import EnglishData, load_boundaries

_NOON = 12
_MONTHS = 12
_CENTURY = 100
_FRONT = re.compile(r"([\w']+)[\s,]{1,3}\Z")
_FRONT_CHARS = 20
_DAY_SUFFIX = "(?:st|nd|rd|th)?"
_TIME = r"(?P<hour>[01]?\d|2[0-4]):(?P<minute>[0-5]\d)(?::(?P<second>[0-5]\d)(?:\.\d++)?)?"
_HALF = r"(?P<half>[AaPp])(?:\.\s?[Mm]\.|[Mm]\b\.?)"


def _alternatives(names: dict[str, tuple[str, ...]]) -> str:
    words = sorted((word for name, short in names.items() for word in (name, *short)), key=len, reverse=True)
    return "|".join(words)


class Calendar:
    """Replaces dates, years, times and durations by words."""

    def __init__(self, data: EnglishData) -> None:
        self._within = load_boundaries("en").capitals_within
        self._months = list(data.months)
        self._month_of = {word: name for name, short in data.months.items() for word in (name, *short)}
        self._weekday_of = {word: name for name, short in data.weekdays.items() for word in (name, *short)}
        month, weekday = _alternatives(data.months), _alternatives(data.weekdays)
        self._iso = re.compile(
            r"(?<![\w.-])(\d{4})-(0[1-9]|1[0-2])-(0[1-9]|[12]\d|3[01])"
            r"(?:(?P<glue>[T ])(?P<time>" + _TIME + r")(?P<zone>Z|[+-]\d\d:?\d\d)?)?(?![\w-])"
        )
        self._numeric = re.compile(r"(?<![\w./-])(\d{1,2})([/.])(\d{1,2})\2(\d{4}|\d{2})(?![\w/-]|\.\d)")
        self._month_day = re.compile(
            rf"\b({month})\b\.?\s(\d{{1,2}}){_DAY_SUFFIX}(?:\s?[-–]\s?(\d{{1,2}}){_DAY_SUFFIX})?(?:,?\s(\d{{4}}))?"
            r"(?![\w:%°]|[.,]\d)"
        )
        self._day_month = re.compile(
            rf"(?<![\w.,:])([Tt]he\s)?(\d{{1,2}}){_DAY_SUFFIX}\s(?:of\s)?({month})\b(\.(?=\s?\d))?(?:,?\s(\d{{4}})(?!\d))?"
        )
        self._month_year = re.compile(rf"\b({month})\b\.?,?\s(\d{{4}})(?![\w°%]|[.,]\d)")
        self._weekday_range = re.compile(rf"\b({weekday})\b\.?\s?[-–]\s?({weekday})\b")
        self._weekday_date = re.compile(rf"\b({weekday})\.?(?=,?\s(?:{month}|the\s\w+\sof)\b)")
        self._clock_range = re.compile(
            r"(\d:\d\d|\d\s?[AaPp]\.?[Mm]\.?)\s?[-–]\s?(?=\d{1,2}(?::\d\d|\s?[AaPp]\.?[Mm]\b))"
        )
        self._hour_range = re.compile(rf"(?<![\w.:-])(1[0-2]|[1-9])\s?[-–]\s?(?=(?:1[0-2]|[1-9])(?::\d\d)?\s?{_HALF})")
        self._clock = re.compile(rf"(?<![\w:.,]){_TIME}(?:\s?{_HALF})?(?![:\d])")
        self._hour = re.compile(rf"(?<![\w:.,])(1[0-2]|0?[1-9])\s?{_HALF}")
        self._hours_minutes = re.compile(r"(?<![\w:.,])(\d{1,3}):([0-5]\d)\s?h(?:rs?|ours?)?\b")
        self._duration = re.compile(
            r"(?<![\w.,])(?=\d++\s?[dhm]\w*\s?\d)"
            r"(?:(\d++)\s?d)?\s?(?:(\d++)\s?h)?\s?(?:(\d++)\s?m(?:in)?)?\s?(?:(\d++)\s?s)?(?!\w)"
        )
        self._elapsed = re.compile(r"(?<![\w:.,])(\d{1,3}):([0-5]\d):([0-5]\d)(?![\w:]|[.,]\d)")
        self._timer = re.compile(rf"\b(?:{'|'.join(sorted(data.timer_words))})\b", re.IGNORECASE)
        self._instants, self._states = data.instant_words, data.state_words
        self._decade = re.compile(
            r"(?<![\w'])(?:([12]\d\d0)'?s|'([1-9]0)'?s"
            r"|(?:(?<=the )|(?<=The )|(?<=early )|(?<=late )|(?<=mid-))([1-9]0)'?s)\b"
        )

    def __call__(self, text: str) -> str:
        text = self._iso.sub(self._say_iso, text)
        has_timer = self._timer.search(text) is not None
        text = self._elapsed.sub(lambda match: self._say_elapsed(match, has_timer=has_timer), text)
        text = self._numeric.sub(self._say_numeric, text)
        text = self._month_day.sub(self._say_month_day, text)
        text = self._day_month.sub(self._say_day_month, text)
        text = self._month_year.sub(self._say_month_year, text)
        text = self._weekday_date.sub(lambda match: self._weekday_of[match[1]], text)
        text = self._hours_minutes.sub(r"\1h \2m", text)
        text = self._clock_range.sub(r"\1 to ", text)
        text = self._hour_range.sub(lambda match: f"{cardinal(int(match[1]))} to ", text)
        text = self._clock.sub(self._say_clock, text)
        text = self._hour.sub(self._say_hour, text)
        text = self._duration.sub(self._say_duration, text)
        return self._decade.sub(lambda match: decade(int(match[match.lastindex or 0])), text)

    def weekday_ranges(self, text: str) -> str:
        """ "Mon-Fri" needs no digit, so it has a door of its own."""
        return self._weekday_range.sub(lambda m: f"{self._weekday_of[m[1]]} to {self._weekday_of[m[2]]}", text)

    def _date(self, month: int, day: int, year_value: int) -> str:
        return f"{self._months[month - 1]} {ordinal(day)}, {_year(year_value)}"

    def _say_iso(self, match: re.Match[str]) -> str:
        words = self._date(int(match[2]), int(match[3]), int(match[1]))
        if not match["time"]:
            return words
        zone = match["zone"] or ""
        if zone == "Z":
            zone = " U T C"
        elif zone:
            hours = cardinal(int(zone[1:3]))
            zone = f" U T C {'plus' if zone[0] == '+' else 'minus'} {hours}"
        return f"{words}, {_clock_words(match)}{zone}"

    def _say_numeric(self, match: re.Match[str]) -> str:
        first, second, value = int(match[1]), int(match[3]), int(match[4])
        month, day = (second, first) if first > _MONTHS or match[2] == "." else (first, second)
        if not (1 <= month <= _MONTHS and 1 <= day <= 31):  # noqa: PLR2004  (days of a month)
            return match[0]
        return self._date(month, day, value + 2000 if value < _CENTURY else value)

    def _say_month_day(self, match: re.Match[str]) -> str:
        days = f"{ordinal(int(match[2]))} to {ordinal(int(match[3]))}" if match[3] else ordinal(int(match[2]))
        return f"{self._month_of[match[1]]} {days}" + (f", {_year(int(match[4]))}" if match[4] else "")

    def _say_day_month(self, match: re.Match[str]) -> str:
        words = f"{match[1] or 'the '}{ordinal(int(match[2]))} of {self._month_of[match[3]]}"
        return words + (f", {_year(int(match[5]))}" if match[5] else match[4] or "")

    def _say_month_year(self, match: re.Match[str]) -> str:
        return f"{self._month_of[match[1]]} {_year(int(match[2]))}"

    def _say_clock(self, match: re.Match[str]) -> str:
        return _clock_words(match, match["half"]) + self._kept_stop(match)

    def _say_hour(self, match: re.Match[str]) -> str:
        return f"{cardinal(int(match[1]))} {match['half'].upper()} M" + self._kept_stop(match)

    def _say_duration(self, match: re.Match[str]) -> str:
        parts = [
            f"{cardinal(int(count))} {name}{'' if int(count) == 1 else 's'}"
            for count, name in zip(match.groups(), ("day", "hour", "minute", "second"), strict=True)
            if count and len(count) <= 9  # noqa: PLR2004  (longer than any duration)
        ]
        return " ".join(parts) or match[0]

    def _say_elapsed(self, match: re.Match[str], *, has_timer: bool) -> str:
        """What a timer shows; a time of day behind a word or a date that says so is for the clock's rule."""
        front = _FRONT.search(match.string, max(0, match.start() - _FRONT_CHARS), match.start())
        word = front[1].lower() if front else ""
        if word in self._instants or word.isdecimal():
            return match[0]
        hours, minutes, seconds = map(int, match.groups())
        if not has_timer and (hours or word in self._states):
            return match[0]
        return elapsed(hours, minutes, seconds)

    def _kept_stop(self, match: re.Match[str]) -> str:
        """The full stop of "p.m." when it ends the sentence as well."""
        if not match[0].endswith("."):
            return ""
        following = NEXT_SENTENCE.match(match.string, match.end())
        opens = following is not None and following[1].lower() not in self._within
        return "." if opens or TEXT_END.match(match.string, match.end()) else ""


def elapsed(hours: int, minutes: int, seconds: int) -> str:
    """ "one hour thirty minutes and five seconds"."""
    counted = [(count, unit) for count, unit in ((hours, "hour"), (minutes, "minute"), (seconds, "second")) if count]
    *first, last = [f"{cardinal(count)} {unit}{'' if count == 1 else 's'}" for count, unit in counted] or [
        "zero seconds"
    ]
    return f"{' '.join(first)} and {last}" if first else last


def _year(value: int) -> str:
    return year(value) if is_year(value) else cardinal(value)


def _clock_words(match: re.Match[str], half: str | None = None) -> str:
    hour, minute, second = int(match["hour"]), int(match["minute"]), int(match["second"] or 0)
    if not half and hour % 24 == 0 and minute == second == 0:
        return "midnight"
    suffix = f" {half.upper()} M" if half else " P M" if _NOON < hour < 2 * _NOON else " A M" if hour in (0, 24) else ""
    words = cardinal(hour % _NOON or _NOON)
    if minute:
        words += f" oh {cardinal(minute)}" if minute < 10 else f" {cardinal(minute)}"  # noqa: PLR2004  (one digit)
    elif not suffix:
        words += " o'clock"
    if second:
        words += f" and {cardinal(second)} second{'' if second == 1 else 's'}"
    return words + suffix
