"""Dates, times, durations."""

# ruff: noqa: RUF001  (dashes of every length stand in ranges)

import re
from collections.abc import Sequence

from wyoming_pocket_tts.text.normalization.grammar import Grammar, ParsedNumber, Rule, before, joined

_MONTHS = 12
_DAYS = 31
_CENTURY = 100
_MAX_DURATION_DIGITS = 9
_DURATION_UNITS = ("day", "hour", "minute", "second")


def time_pattern(decimal_mark: str) -> str:
    """The groups ``hour``, ``minute`` and ``second`` of a time of day."""
    return rf"(?P<hour>[01]?\d|2[0-4]):(?P<minute>[0-5]\d)(?::(?P<second>[0-5]\d)(?:{decimal_mark}\d++)?)?"


def _positions(names: dict[str, tuple[str, ...]]) -> dict[str, int]:
    """Every spelling of a name, in lower case -> its position."""
    return {word.lower(): at for at, (name, short) in enumerate(names.items()) for word in (name, *short)}


class DateTimeRules:
    def __init__(self, grammar: Grammar) -> None:
        self._grammar = grammar
        dates, clock = grammar.data.dates, grammar.data.clock
        self._months = _positions(dates.months)
        self._weekday_of = {word: name for name, short in dates.weekdays.items() for word in (name, *short)}
        self._time_pattern = time_pattern("[.,]" if grammar.comma_decimals else r"\.")
        self._iso = re.compile(
            r"(?<![\w.-])(\d{4})-(0[1-9]|1[0-2])-(0[1-9]|[12]\d|3[01])"
            rf"(?:[T ](?P<time>{self._time_pattern})(?P<zone>Z|[+-]\d\d:?\d\d)?)?(?![\w-])"
        )
        self._timer = re.compile(rf"\b(?i:{joined(clock.timer_words)})\b")
        self._elapsed = re.compile(
            rf"(?<![\w:.,])(\d{{1,3}}):([0-5]\d):([0-5]\d)(?![\w:]|[.,]\d)(?!\s(?:{joined(clock.after)})\b)"
        )
        own, timed = grammar.own_rules, not {"h", "H"} & set(clock.after)
        hours_minutes = re.compile(rf"(?<![\w:.,])(\d{{1,3}}):([0-5]\d)\s?{grammar.hours}\b")
        duration = re.compile(
            r"(?<![\w.,])(?=\d++\s?[dhm]\w*\s?\d)"
            r"(?:(\d++)\s?d)?\s?(?:(\d++)\s?h)?\s?(?:(\d++)\s?m(?:in)?)?\s?(?:(\d++)\s?s)?(?!\w)"
        )
        self._rules: list[Rule] = [
            (re.compile(grammar.numeric_date), self._say_numeric),
            *(own.get("dates") or self._month_rules()),
            *([(hours_minutes, r"\1h \2m")] if timed else []),
            *(own.get("times") or self._time_rules()),
            (duration, self._say_duration),
        ]
        self._weekdays = self._weekday_rules()

    def _month_rules(self) -> Sequence[Rule]:
        month, dates = joined(self._months), self._grammar.data.dates
        joint = rf"(?:(?:{joined(dates.joints)})\s)?"
        mark = rf"(?:\.|{joined(self._grammar.data.ordinal_suffixes)})?"
        day_month = re.compile(
            rf"(?<![\w.,:])(?:(?P<first>\d{{1,2}}){mark}\s?[-–]\s?)?(?P<day>\d{{1,2}}){mark}\s{joint}"
            rf"(?P<month>(?i:{month}))\b(?:\.(?=\s?\d|[,;]))?(?:,?\s{joint}(?P<year>\d{{4}})(?![\w%°]|[.,]\d))?"
        )
        month_year = re.compile(rf"\b((?i:{month}))\b\.?\s{joint}(\d{{4}})(?![\w%°]|[.,]\d)")
        return [(day_month, self._say_day_month), (month_year, self._say_month_year)]

    def _weekday_rules(self) -> Sequence[Rule]:
        grammar, dates, weekday_of = self._grammar, self._grammar.data.dates, self._weekday_of
        weekday = joined(weekday_of)
        weekday_range = re.compile(rf"\b({weekday})\b\.?\s?[-–]\s?({weekday})\b{grammar.weekday_stop}")
        rules: list[Rule] = [
            (weekday_range, lambda match: f"{weekday_of[match[1]]} {grammar.words.range} {weekday_of[match[2]]}")
        ]
        if "dates" not in grammar.own_rules:
            month, mark = joined(self._months), rf"(?:\.|{joined(grammar.data.ordinal_suffixes)})?"
            with_date = rf"\b({weekday})\b\.?(?=,?\s\d{{1,2}}(?:[./]\d|\.?\s?(?i:{month})\b|{mark}\s))"
            rules.append((re.compile(with_date), lambda match: weekday_of[match[1]]))
        if dates.weekday_leaders:
            short = joined(word for word, name in weekday_of.items() if word != name)
            joints = joined([grammar.data.symbols["&"], grammar.words.range])
            leaders = f"{joined(dates.weekday_leaders)}|(?:{joined(dates.weekdays)})(?:,|\\s(?:{joints}))"
            followers = joined(dates.weekday_followers)
            dotted = re.compile(rf"\b((?i:{leaders})\s)({short})\.(\s*\Z)?|\b({short})\.(?=\s(?:{followers})\b)")
            rules += [(dotted, self._say_weekday)] * 2  # the second day of "am Do. und Fr."
        return rules

    def _time_rules(self) -> Sequence[Rule]:
        clock = self._grammar.data.clock
        after, letters = joined(clock.after), clock.letters
        clock_range = re.compile(
            rf"(\d:\d\d|\d\s?[{letters or ':'}]\d\d)\s?(?:{after})?\s?[-–]\s?(?=\d{{1,2}}[:{letters}])"
        )
        hour_range = re.compile(rf"(?<![\w:.,-])([01]?\d|2[0-4])\s?[-–]\s?(?=(?:[01]?\d|2[0-4])\s(?:{after})\b)")
        times = [rf"(?<![\w:.,]){self._time_pattern}(?:\s?(?:{after})\b)?(?!:?\d)(?!\s?h\b)"]
        if clock.dotted:
            times.append(rf"(?<![\w:.,])(?P<hour>[01]?\d|2[0-4])\.(?P<minute>[0-5]\d)\s(?:{after})\b")
        if letters:
            times.append(rf"(?<![\w:.,])(?P<hour>[01]?\d|2[0-4])\s?[{letters}]\s?(?P<minute>[0-5]\d)?(?!\w)")
        times.append(rf"(?<![\w:.,])(?P<hour>[01]?\d|2[0-4])\s(?:{after})(?:\s(?P<minute>[0-5]\d))?\b(?![.,:]\d)")
        return [
            (clock_range, rf"\1 {self._grammar.words.range} "),
            (hour_range, lambda match: f"{self._grammar.hour(int(match[1]))} {self._grammar.words.range} "),
            *((re.compile(pattern), self._say_clock) for pattern in times),
        ]

    def __call__(self, text: str) -> str:
        if "-" in text:
            text = self._iso.sub(self._say_iso, text)
        if self._grammar.data.clock.timer_words and ":" in text:
            has_timer = self._timer.search(text) is not None
            text = self._elapsed.sub(lambda match: self._say_elapsed(match, has_timer=has_timer), text)
        for pattern, replacement in self._rules:
            text = pattern.sub(replacement, text)
        return text

    def weekdays(self, text: str) -> str:
        """ "Mo-Fr" and "Sa, 3. Okt.": before the language's own patterns, which may look at the day's name."""
        for pattern, replacement in self._weekdays:
            text = pattern.sub(replacement, text)
        return text

    def _say_weekday(self, match: re.Match[str]) -> str:
        """ "am Mo." and "Do. um 9"; the dot stays where it ends the text as well."""
        return f"{match[1] or ''}{self._weekday_of[match[2] or match[4]]}{'.' if match[3] is not None else ''}"

    def _say_elapsed(self, match: re.Match[str], *, has_timer: bool) -> str:
        """The display of a timer; a time of day, marked by the word or date in front, is left to the clock's rule."""
        grammar, clock = self._grammar, self._grammar.data.clock
        front = grammar.word_in_front.search(before(match))
        word = front[1].lower() if front else ""
        hours, minutes, seconds = map(int, match.groups())
        is_clock = word in clock.instant_words or word.isdecimal()
        if is_clock or (not has_timer and (hours or word in clock.state_words)):
            return match[0]
        units = grammar.data.units
        counted = [
            grammar.counted(ParsedNumber(str(count)), units[unit], before=before(match))
            for count, unit in ((hours, "hour"), (minutes, "minute"), (seconds, "second"))
            if count
        ] or [grammar.counted(ParsedNumber("0"), units["second"])]
        joint = f" {grammar.data.symbols['&']} "
        return joint.join(filter(None, (" ".join(counted[:-1]), counted[-1])))

    def _say_iso(self, match: re.Match[str]) -> str:
        grammar = self._grammar
        words = grammar.date(int(match[3]), int(match[2]), int(match[1]), before=before(match))
        if not match["time"]:
            return words
        zone = match["zone"] or ""
        if zone == "Z":
            zone = " U T C"
        elif zone:
            sign = grammar.words.plus if zone[0] == "+" else grammar.words.minus
            zone = f" U T C {sign} {grammar.cardinal(int(zone[1:3]))}"
        return f"{words}, {self._time(match)}{zone}"

    def _say_numeric(self, match: re.Match[str]) -> str:
        day, month = self._grammar.day_and_month(int(match[1]), int(match[3]), match[2])
        if not (1 <= month <= _MONTHS and 1 <= day <= _DAYS):
            return match[0]
        year = int(match[4])
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
            if count and len(count) <= _MAX_DURATION_DIGITS
        ]
        return " ".join(parts) or match[0]
