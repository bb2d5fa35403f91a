"""Amounts in English words: with units, of money, ranges, fractions, plain numbers. Knows no dates, times or codes."""

# ruff: noqa: RUF001  (dashes and signs that look like others are read here)

import re
import unicodedata

from wyoming_pocket_tts.text.english.numbers import (
    NUMBER,
    cardinal,
    is_one,
    is_year,
    number,
    ordinal,
    whole,
    year,
)  # fmt: skip
from wyoming_pocket_tts.text.language_data import Currency, EnglishData, Unit

_FIRST_BARE_YEAR = 1900  # a number alone is taken as a year from here, after words like "in" from 1000
_SIGN = r"(?:(?<![\w)\]%°.,–-])[-−–+±~≈]\s?)"
_SIGN_WORDS = {
    "-": "minus ",
    "−": "minus ",
    "–": "minus ",
    "+": "plus ",
    "±": "plus or minus ",
    "~": "about ",
    "≈": "about ",
}
_ARTICLE = re.compile(r"\b[Aa]n?\s\Z")
_MAX_DENOMINATOR = 100


def _sign(text: str | None) -> str:
    return _SIGN_WORDS[text.strip()] if text else ""


def _joined(words: list[str]) -> str:
    return "|".join(re.escape(word) for word in sorted(words, key=len, reverse=True))


class Quantities:
    """Numbers with a unit: "twenty-one point five degrees Celsius", "two meters per second"."""

    def __init__(self, data: EnglishData) -> None:
        self._units: dict[str, Unit] = {symbol: unit for unit in data.units for symbol in unit.symbols}
        tight = _joined([symbol for symbol, unit in self._units.items() if not unit.spaced])
        spaced = _joined([symbol for symbol, unit in self._units.items() if unit.spaced])
        anything = _joined(list(self._units))
        self._pattern = re.compile(
            rf"(?P<sign>{_SIGN})?(?<![\w.,])(?P<low>{NUMBER})(?P<range>\sto\s(?P<minus>[-−])?(?P<high>{NUMBER}))?"
            rf"(?:\s?(?P<tight>{tight})|\s(?P<spaced>{spaced}))(?:/(?P<per>{anything}))?(?![\w²³'])"
        )
        self._pair = re.compile(
            rf"(?<![\w.,])({NUMBER}\s?(?:{anything})(?:/(?:{anything}))?)\s?/\s?(?=[-−]?(?!1(?:000?)?(?![\d.,])){NUMBER}\s?(?:{anything})(?![\w²³']))"
        )
        words = "|".join(sorted(data.temperature_words))
        self._temperature = re.compile(
            rf"\b(?:{words})\b|\A(?:(?i:it's|it is|now|currently)\s)*[-−]?{NUMBER}\s?[CF]\W*\Z", re.IGNORECASE
        )
        self._letter = re.compile(
            rf"(?:\b(?P<front>[A-Za-z]++)\s)?(?<![\w.,])(?P<number>{NUMBER})"
            rf"(?:(?P<tight>[CF])|\s(?P<apart>[CF])(?=\s(?i:{words}|and|or|to|today|now)\b|\W*+\Z|[.,;:!?)]))(?![\w#'+&°]|\.\w)"
        )
        self._lettered = data.lettered
        bare = _joined([symbol for symbol, unit in self._units.items() if unit.bare])
        self._bare = re.compile(rf"(?<![\w.,/°])(?P<unit>{bare})(?:/(?P<per>{anything}))?(?![\w²³])")

    def __call__(self, text: str) -> str:
        if "/" in text:  # the same once more, in another unit
            text = self._pair.sub(r"\1, ", text)
        return self._pattern.sub(self._say, text)

    def degrees(self, text: str) -> str:
        """ "72F" is a temperature where the text speaks of one, or says nothing else."""
        return self._letter.sub(self._say_letter, text) if self._temperature.search(text) else text

    def _say_letter(self, match: re.Match[str]) -> str:
        """With its sign; "Room 12F" is none."""
        if (match["front"] or "").lower() in self._lettered:
            return match[0]
        front = match.string[match.start() : match.start("number")]
        return f"{front}{match['number']} °{match['tight'] or match['apart']}"

    def bare(self, text: str) -> str:
        """Unit symbols without a number: "in degrees Celsius", "per kilowatt hour"."""
        return self._bare.sub(self._say_bare, text)

    def symbol(self, symbol: str) -> Unit | None:
        return self._units.get(symbol)

    def _say(self, match: re.Match[str]) -> str:
        unit = self._units[match["tight"] or match["spaced"]]
        amount = _sign(match["sign"]) + number(match["low"])
        if match["high"]:
            amount += f" to {_sign(match['minus'])}{number(match['high'])}"
        single = not match["high"] and (is_one(match["low"]) or _is_attribute(match))
        return f"{amount} {unit.one if single else unit.many}{self._per(match)}"

    def _say_bare(self, match: re.Match[str]) -> str:
        single = (
            match.string[max(0, match.start() - 6) : match.start()]
            .lower()
            .endswith(("per ", " a ", "each ", "half ", "quarter "))
        )
        unit = self._units[match["unit"]]
        return f"{unit.one if single else unit.many}{self._per(match)}"

    def _per(self, match: re.Match[str]) -> str:
        return f" per {self._units[match['per']].one}" if match["per"] else ""


class Money:
    """Amounts of money: "five dollars and ninety-nine cents", "thirty-two cents per kilowatt hour"."""

    def __init__(self, data: EnglishData, quantities: Quantities) -> None:
        self._quantities = quantities
        self._scales = data.scales
        self._currencies = {name: c for c in data.currencies for name in (*c.signs, *c.codes)}
        signs = _joined([sign for currency in data.currencies for sign in currency.signs])
        codes = _joined([code for currency in data.currencies for code in currency.codes])
        scale = rf"(?:(?P<scale>{_joined(list(data.scales))})\b|\s(?P<word>thousand|million|billion|trillion|mn|bn)\b)?"
        amount = rf"(?P<low>{NUMBER})(?:\s?[-–]\s?(?:{signs})?(?P<high>{NUMBER}))?{scale}"
        per = r"(?:\s?/\s?(?P<per>[^\W\d_]\w*+[²³]?))?"
        self._before = re.compile(
            rf"(?P<sign>{_SIGN})?(?<!\w)(?:(?P<name>{signs})\s?|(?P<code>{codes})\s){amount}{per}"
        )
        self._after = re.compile(
            rf"(?P<sign>{_SIGN})?(?<![\w.,]){amount}\s?(?:(?P<name>{signs})|(?P<code>{codes})\b)(?![\w]){per}"
        )
        self._present = re.compile(rf"{signs}|\b(?:{codes})\b")

    def __call__(self, text: str) -> str:
        if not self._present.search(text):
            return text
        return self._after.sub(self._say, self._before.sub(self._say, text))

    def _say(self, match: re.Match[str]) -> str:
        currency = self._currencies[match["name"] or match["code"]]
        sign, low, high = _sign(match["sign"]), match["low"], match["high"]
        scale = self._scales.get(match["scale"] or match["word"] or "", "")
        if high and "." in low + high and not scale:
            words = f"{_price(low, currency)} to {_price(high, currency)}"
        elif scale or high:
            words = number(low) + (f" to {number(high)}" if high else "") + (f" {scale}" if scale else "")
            words += f" {currency.one if _is_attribute(match) else currency.many}"
        else:
            words = _price(low, currency, attribute=_is_attribute(match))
        unit = self._quantities.symbol(match["per"]) if match["per"] else None
        return sign + words + (f" per {unit.one if unit else match['per']}" if match["per"] else "")


def _is_attribute(match: re.Match[str]) -> bool:
    """Whether the amount belongs to a noun behind it: "a 60 W bulb"."""
    behind = match.string[match.end() : match.end() + 2]
    return (
        behind[:1] == " "
        and behind[1:].isalpha()
        and (_ARTICLE.search(match.string, max(0, match.start() - 4), match.start()) is not None)
    )


def _price(amount: str, currency: Currency, *, attribute: bool = False) -> str:
    integer, point, fraction = amount.partition(".")
    if currency.cent and point and len(fraction) == 2:  # noqa: PLR2004  (hundredths)
        cents = f"{cardinal(int(fraction))} {currency.cent if int(fraction) == 1 else currency.cents}"
        if not integer.strip("0"):
            return cents if int(fraction) else f"zero {currency.many}"
        units = f"{whole(integer)} {currency.one if is_one(integer) else currency.many}"
        return f"{units} and {cents}" if int(fraction) else units
    return f"{number(amount)} {currency.one if is_one(amount) or attribute else currency.many}"


class Numbers:
    """Numbers that nothing else has claimed. After it no digit is left."""

    def __init__(self, data: EnglishData) -> None:
        self._denominators = data.denominators
        self._range = re.compile(
            rf"(?<![\w.,-])(?P<low>{NUMBER}\s?[^\W\d_]?[^\W\d_]?[°%]?[CF]?)"
            r"(?:\s?[–—]\s?|(?<! )-|(?<=[\d%]) - )(?=[-−]?\.?\d)"
        )
        self._vulgar = re.compile(r"(?:(?<![\w.,])(\d++)\s?)?([½⅓⅔¼¾⅕⅖⅗⅘⅙⅚⅐⅛⅜⅝⅞⅑⅒])")
        self._fraction = re.compile(r"(?<![\w.,/])(?:(\d{1,4})\s)?(\d{1,3}(?:\.\d{1,2})?)/(\d{1,3})(?![\w/]|[.,]\d)")
        self._ordinal = re.compile(r"(?<![\w.,])(\d{1,3}(?:,\d{3})++|\d{1,15})(?:st|nd|rd|th)\b")
        self._context_year = re.compile(
            r"\b((?i:in|since|year|year was|year is|until|till|before|after|during|circa|early|late|mid|from|by|around"
            r"|of(?=\s\d{4}(?:[,;:!?)]|\.?$|\.\s)))\s)(\d{4})(?![\w%°]|[.,]\d)"
        )
        self._name_hyphen = re.compile(r"(?<=[^\W\d_])-(?=\d)")
        self._thousands = re.compile(r"(?<![\w.,])(\d{1,3})k\b")
        self._times = re.compile(r"(?<=\d)x\b")
        multiplied = "|".join(sorted(data.multiplied))
        self._items = re.compile(rf"(?<![\w.,])(\d{{1,4}}) ?[x×] (?=[^\W\d_]{{2}})(?!(?i:{multiplied})\b)")
        self._comma_decimal = re.compile(r"(?<![\d,.])(\d++),(\d{1,2})(?![\d,]|\.\d)")
        self._ratio = re.compile(r"(?<=\d):(?=\d)")
        self._number = re.compile(rf"(?P<sign>{_SIGN})?(?P<number>{NUMBER})")
        self._spaced_minus = re.compile(r"(?<=\d)\s[-–−]\s(?=\d)")

    def decimal_commas(self, text: str) -> str:
        """ "3,5" is written by people who mean 3.5; thousands come in groups of three."""
        return self._comma_decimal.sub(r"\1.\2", text)

    def ranges(self, text: str) -> str:
        """ "10-12" and "10 °C - 12 °C" become "10 to 12"; in an equation the dash is a minus."""
        if "=" in text:
            text = self._spaced_minus.sub(" minus ", text)
        return self._range.sub(r"\g<low> to ", text)

    def fractions(self, text: str) -> str:
        text = self._vulgar.sub(self._say_vulgar, text)
        text = text.replace("24/7", "twenty-four seven")
        return self._fraction.sub(self._say_fraction, text) if "/" in text else text

    def __call__(self, text: str) -> str:
        text = self._name_hyphen.sub(" ", text)
        text = self._ordinal.sub(lambda match: ordinal(int(match[1].replace(",", ""))), text)
        text = self._context_year.sub(self._say_year, text)
        text = self._thousands.sub(lambda match: f"{cardinal(int(match[1]))} thousand", text)
        text = self._times.sub(" times", self._items.sub(r"\1 ", text))
        text = self._ratio.sub(" to ", text)
        return self._number.sub(self._say_number, text)

    def _say_year(self, match: re.Match[str]) -> str:
        value = int(match[2])
        return f"{match[1]}{year(value) if is_year(value) else whole(match[2])}"

    def _say_vulgar(self, match: re.Match[str]) -> str:
        top, _, bottom = unicodedata.normalize("NFKC", match[2]).partition("⁄")
        return self._mixed(match[1], int(top), int(bottom))

    def _say_fraction(self, match: re.Match[str]) -> str:
        top, bottom = float(match[2]), int(match[3])
        if 0 < top < bottom and bottom in self._denominators and "." not in match[2]:
            return self._mixed(match[1], int(top), bottom)
        if top == bottom:  # "fifty fifty"
            return f"{number(match[2])} {number(match[3])}"
        joint = " out of " if 0 < top <= bottom <= _MAX_DENOMINATOR else " slash "
        before = f"{whole(match[1])} " if match[1] else ""
        return f"{before}{number(match[2])}{joint}{whole(match[3])}"

    def _mixed(self, integer: str | None, top: int, bottom: int) -> str:
        one, many = self._denominators.get(bottom) or (ordinal(bottom), f"{ordinal(bottom)}s")
        if not integer:
            return f"{cardinal(top)} {one if top == 1 else many}"
        return f"{whole(integer)} and " + (f"a {one}" if top == 1 else f"{cardinal(top)} {many}")

    def _say_number(self, match: re.Match[str]) -> str:
        text = match["number"]
        words = year(int(text)) if len(text) == 4 and text.isdecimal() and _is_bare_year(text) else number(text)  # noqa: PLR2004
        before, after = match.string[match.start() - 1 : match.start()], match.string[match.end() : match.end() + 1]
        head = " " if before.isalpha() or before == "'" else ""
        tail = " " if after.isalpha() or after == "_" else ""
        return f"{head}{_sign(match['sign'])}{words}{tail}"


def _is_bare_year(text: str) -> bool:
    return int(text) >= _FIRST_BARE_YEAR and is_year(int(text))
