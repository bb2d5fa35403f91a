"""Dates, times, durations."""

# ruff: noqa: RUF001  (dashes of every length stand in ranges)

import re

from wyoming_pocket_tts.text.normalization.data import EnglishData, load_boundaries
from wyoming_pocket_tts.text.normalization.grammar import (
    NEXT_SENTENCE,
    TEXT_END,
    Grammar,
    ParsedNumber,
    before,
    cardinal,
    decade,
    is_year,
    joined,
    ordinal,
    year,
)

_FRONT = re.compile(r"([^\W_]+)[.\s,]{1,3}\Z")
_MONTHS = 12
_DAYS = 31
_CENTURY = 100
_TIME = r"(?P<hour>[01]?\d|2[0-4]):(?P<minute>[0-5]\d)(?::(?P<second>[0-5]\d)(?:[.,]\d++)?)?"
_DURATION_UNITS = ("day", "hour", "minute", "second")


def _names(of: dict[str, tuple[str, ...]]) -> dict[str, int]:
    """Every way to write a name, in lower case -> its place in the order."""
    return {word.lower(): at for at, (name, short) in enumerate(of.items()) for word in (name, *short)}


class DateTimeRules:
    """Replaces dates, years, times and durations by words."""

    def __init__(self, grammar: Grammar) -> None:
        self._grammar = grammar
        dates, clock = grammar.data.dates, grammar.data.clock
        self._months = _names(dates.months)
        self._weekday_of = {word: name for name, short in dates.weekdays.items() for word in (name, *short)}
        month, weekday = joined(self._months), joined(self._weekday_of)
        joint = rf"(?:(?:{joined(dates.joints)})\s)?"
        mark = rf"(?:\.|{joined(grammar.data.ordinal_suffixes)})?"
        self._iso = re.compile(
            r"(?<![\w.-])(\d{4})-(0[1-9]|1[0-2])-(0[1-9]|[12]\d|3[01])"
            r"(?:[T ](?P<time>" + _TIME + r")(?P<zone>Z|[+-]\d\d:?\d\d)?)?(?![\w-])"
        )
        self._numeric = re.compile(r"(?<![\w./-])(\d{1,2})([./-])(\d{1,2})\2(\d{2,4})(?![\w/-]|[.,]\d)")
        self._day_month = re.compile(
            rf"(?<![\w.,:])(?:(?P<first>\d{{1,2}}){mark}\s?[-–]\s?)?(?P<day>\d{{1,2}}){mark}\s{joint}"
            rf"(?P<month>(?i:{month}))\b(?:\.(?=\s?\d|[,;]))?(?:,?\s{joint}(?P<year>\d{{4}})(?![\w%°]|[.,]\d))?"
        )
        self._month_year = re.compile(rf"\b((?i:{month}))\b\.?\s{joint}(\d{{4}})(?![\w%°]|[.,]\d)")
        self._weekday_range = re.compile(rf"\b({weekday})\b\.?\s?[-–]\s?({weekday})\b(?:\.(?=\s?[\d,;]))?")
        self._weekday_date = re.compile(rf"\b({weekday})\b\.?(?=,?\s\d{{1,2}}(?:[./]\d|\.?\s?(?i:{month})\b|{mark}\s))")
        after = joined(clock.after)
        self._clock_range = re.compile(
            rf"(\d:\d\d|\d\s?[{clock.letters or ':'}]\d\d)\s?(?:{after})?\s?[-–]\s?(?=\d{{1,2}}[:{clock.letters}])"
        )
        self._hour_range = re.compile(rf"(?<![\w.:,-])([01]?\d|2[0-4])\s?[-–]\s?(?=(?:[01]?\d|2[0-4])\s(?:{after})\b)")
        self._clock = re.compile(rf"(?<![\w:.,]){_TIME}(?:\s?(?:{after})\b)?(?!:?\d)(?!\s?h\b)")
        self._elapsed = re.compile(
            rf"(?<![\w:.,])(\d{{1,3}}):([0-5]\d):([0-5]\d)(?![\w:]|[.,]\d)(?!\s(?:{after})\b)"
            if clock.timer_words
            else r"(?!)"
        )
        self._timer = re.compile(rf"\b(?i:{joined(clock.timer_words)})\b")
        short = joined(word for word, name in self._weekday_of.items() if word != name)
        leaders, followers = joined(dates.weekday_leaders), joined(dates.weekday_followers)
        joints = joined([grammar.data.symbols["&"], grammar.words.range])
        leaders += rf"|(?:{joined(dates.weekdays)})(?:,|\s(?:{joints}))" if dates.weekday_leaders else ""
        self._weekday_dot = re.compile(
            rf"\b((?i:{leaders})\s)({short})\.(\s*\Z)?|\b({short})\.(?=\s(?:{followers})\b)"
            if dates.weekday_leaders
            else r"(?!)"
        )
        self._lettered = re.compile(
            rf"(?<![\w:.,])(?P<hour>[01]?\d|2[0-4])\s?[{clock.letters}]\s?(?P<minute>[0-5]\d)?(?!\w)"
            if clock.letters
            else r"(?!)"
        )
        self._dotted = re.compile(
            rf"(?<![\w:.,])(?P<hour>[01]?\d|2[0-4])\.(?P<minute>[0-5]\d)\s(?:{after})\b" if clock.dotted else r"(?!)"
        )
        self._hour = re.compile(
            rf"(?<![\w:.,])(?P<hour>[01]?\d|2[0-4])\s(?:{after})(?:\s(?P<minute>[0-5]\d))?\b(?![.,:]\d)"
        )
        self._hours_minutes = re.compile(r"(?<![\w:.,])(\d{1,3}):([0-5]\d)\s?h(?:rs?)?\b")
        self._duration = re.compile(
            r"(?<![\w.,])(?=\d++\s?[dhm]\w*\s?\d)"
            r"(?:(\d++)\s?d)?\s?(?:(\d++)\s?h)?\s?(?:(\d++)\s?m(?:in)?)?\s?(?:(\d++)\s?s)?(?!\w)"
        )

    def __call__(self, text: str) -> str:
        text = self._iso.sub(self._say_iso, text)
        has_timer = self._timer.search(text) is not None
        text = self._elapsed.sub(lambda match: self._say_elapsed(match, has_timer=has_timer), text)
        text = self._numeric.sub(self._say_numeric, text)
        text = self._day_month.sub(self._say_day_month, text)
        text = self._month_year.sub(self._say_month_year, text)
        if not {"h", "H"} & set(self._grammar.data.clock.after):
            text = self._hours_minutes.sub(r"\1h \2m", text)
        text = self._clock_range.sub(rf"\1 {self._grammar.words.range} ", text)
        text = self._hour_range.sub(self._say_hour_range, text)
        for pattern in (self._clock, self._dotted, self._lettered, self._hour):
            text = pattern.sub(self._say_clock, text)
        return self._duration.sub(self._say_duration, text)

    def weekdays(self, text: str) -> str:
        """ "Mo-Fr" and "Sa, 3. Okt.": before the language's own patterns, which may look at the day's name."""
        between = self._grammar.words.range
        text = self._weekday_range.sub(lambda m: f"{self._weekday_of[m[1]]} {between} {self._weekday_of[m[2]]}", text)
        text = self._weekday_date.sub(lambda match: self._weekday_of[match[1]], text)
        text = self._weekday_dot.sub(self._say_weekday, text)
        return self._weekday_dot.sub(self._say_weekday, text)  # the second day of "am Do. und Fr."

    def _say_weekday(self, match: re.Match[str]) -> str:
        """ "am Mo." and "Do. um 9"; the dot stays where it ends the text as well."""
        return f"{match[1] or ''}{self._weekday_of[match[2] or match[4]]}{'.' if match[3] is not None else ''}"

    def _say_elapsed(self, match: re.Match[str], *, has_timer: bool) -> str:
        """What a timer shows; a time of day behind a word or a date that says so is for the clock's rule."""
        clock = self._grammar.data.clock
        front = _FRONT.search(before(match))
        word = front[1].lower() if front else ""
        hours, minutes, seconds = map(int, match.groups())
        is_clock = word in clock.instant_words or word.isdecimal()
        if is_clock or (not has_timer and (hours or word in clock.state_words)):
            return match[0]
        units = self._grammar.data.units
        counted = [
            self._grammar.counted(ParsedNumber(str(count)), units[unit], before=before(match))
            for count, unit in ((hours, "hour"), (minutes, "minute"), (seconds, "second"))
            if count
        ] or [self._grammar.counted(ParsedNumber("0"), units["second"])]
        joint = f" {self._grammar.data.symbols['&']} "
        return joint.join(filter(None, (" ".join(counted[:-1]), counted[-1])))

    def _say_iso(self, match: re.Match[str]) -> str:
        words = self._grammar.date(int(match[3]), int(match[2]), int(match[1]), before=before(match))
        if not match["time"]:
            return words
        zone = match["zone"] or ""
        if zone == "Z":
            zone = " U T C"
        elif zone:
            sign = self._grammar.words.plus if zone[0] == "+" else self._grammar.words.minus
            zone = f" U T C {sign} {self._grammar.cardinal(int(zone[1:3]))}"
        return f"{words}, {self._time(match)}{zone}"

    def _say_numeric(self, match: re.Match[str]) -> str:
        day, month, year = int(match[1]), int(match[3]), int(match[4])
        if month > _MONTHS:
            day, month = month, day
        if not (1 <= month <= _MONTHS and 1 <= day <= _DAYS):
            return match[0]
        return self._grammar.date(day, month, year + 2000 if year < _CENTURY else year, before=before(match))

    def _say_day_month(self, match: re.Match[str]) -> str:
        day, front = int(match["day"]), before(match)
        if not 1 <= day <= _DAYS:
            return match[0]
        year = int(match["year"]) if match["year"] else None
        first = ""
        if match["first"]:
            first = f"{self._grammar.day(int(match['first']), before=front)} {self._grammar.words.range} "
        return first + self._grammar.date(day, self._months[match["month"].lower()] + 1, year, before=front)

    def _say_month_year(self, match: re.Match[str]) -> str:
        month = self._grammar.month(self._months[match[1].lower()] + 1)
        return self._grammar.month_year(month, int(match[2]))

    def _say_hour_range(self, match: re.Match[str]) -> str:
        return f"{self._grammar.hour(int(match[1]))} {self._grammar.words.range} "

    def _say_clock(self, match: re.Match[str]) -> str:
        tail = " " if match.string[match.end() : match.end() + 1].isalpha() else ""
        return self._time(match) + tail

    def _time(self, match: re.Match[str]) -> str:
        parts = match.groupdict()
        return self._grammar.clock(
            int(parts["hour"]), int(parts.get("minute") or 0), int(parts.get("second") or 0), before=before(match)
        )

    def _say_duration(self, match: re.Match[str]) -> str:
        units = self._grammar.data.units
        parts = [
            self._grammar.counted(ParsedNumber(str(int(count))), units[name], before=before(match))
            for count, name in zip(match.groups(), _DURATION_UNITS, strict=True)
            if count and len(count) <= 9  # noqa: PLR2004  (longer than any duration)
        ]
        return " ".join(parts) or match[0]


_NOON = 12
_CALENDAR_FRONT = re.compile(r"([\w']+)[\s,]{1,3}\Z")
_FRONT_CHARS = 20
_DAY_SUFFIX = "(?:st|nd|rd|th)?"
_CALENDAR_TIME = r"(?P<hour>[01]?\d|2[0-4]):(?P<minute>[0-5]\d)(?::(?P<second>[0-5]\d)(?:\.\d++)?)?"
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
            r"(?:(?P<glue>[T ])(?P<time>" + _CALENDAR_TIME + r")(?P<zone>Z|[+-]\d\d:?\d\d)?)?(?![\w-])"
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
        self._clock = re.compile(rf"(?<![\w:.,]){_CALENDAR_TIME}(?:\s?{_HALF})?(?![:\d])")
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
        front = _CALENDAR_FRONT.search(match.string, max(0, match.start() - _FRONT_CHARS), match.start())
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
