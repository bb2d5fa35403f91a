"""Units, money, ranges, fractions, plain numbers."""

# ruff: noqa: RUF001  (dashes and signs that look like others are read here)

import re
import unicodedata

from wyoming_pocket_tts.text.normalization.data import (
    CurrencyWords,
    EnglishData,
    Noun,
    Scale,
    SpokenCurrency,
    SpokenUnit,
    UnitWords,
    load_measures,
)
from wyoming_pocket_tts.text.normalization.grammar import (
    ENGLISH_NUMBER,
    NUMBER,
    SIGN,
    TEXT_END,
    Grammar,
    ParsedNumber,
    amount,
    before,
    behind,
    cardinal,
    is_one,
    is_year,
    joined,
    number,
    ordinal,
    sign_words,
    whole,
    year,
)

_NO_CENTS = re.compile(r"(?<=\d),[-–—]{1,2}(?!\d)")


def _stop(match: re.Match[str], symbol: str) -> str:
    """The full stop of a symbol that is an abbreviation ("Min.") when it ends the text as well."""
    return "." if symbol.endswith(".") and TEXT_END.match(match.string, match.end()) else ""


class UnitRules:
    """Numbers with a unit: "einundzwanzig Komma fünf Grad Celsius", "zwei Meter pro Sekunde"."""

    def __init__(self, grammar: Grammar) -> None:
        self._grammar = grammar
        self._signs = sign_words(grammar.words)
        self._units: dict[str, SpokenUnit] = {}
        spaced, bare = set(), set()
        for name, measure in load_measures().units.items():
            words = grammar.data.units[name]
            symbols = (*measure.symbols, *words.symbols)
            self._units |= dict.fromkeys(symbols, words)
            spaced |= set(symbols if measure.spaced else ())
            bare |= set(symbols if measure.bare else ())
        tight, anything = joined(self._units.keys() - spaced), joined(self._units)
        range_word = re.escape(grammar.words.range)
        self._pattern = re.compile(
            rf"(?P<sign>{SIGN})?(?<![\w.,])(?P<low>{NUMBER})(?P<range>\s{range_word}\s(?P<minus>[-−])?(?P<high>{NUMBER}))?"
            rf"(?:\s?(?P<tight>{tight})|\s(?P<spaced>{joined(spaced)}))(?:/(?P<per>{anything}|[^\W\d_]{{2,20}}))?(?![\w²³'])"
        )
        self._pair = re.compile(
            rf"(?<![\w.,])({NUMBER}\s?(?:{anything})(?:/(?:{anything}))?)\s?/\s?(?=[-−]?(?!1(?:000?)?(?![\d.,])){NUMBER}\s?(?:{anything})(?![\w²³']))"
        )
        self._bare = re.compile(rf"(?<![\w.,/°])(?P<unit>{joined(bare)})(?:/(?P<per>{anything}))?(?![\w²³])")

    def __call__(self, text: str) -> str:
        if "/" in text:  # the same once more, in another unit
            text = self._pair.sub(r"\1, ", text)
        return self._pattern.sub(self._say, text)

    def bare(self, text: str) -> str:
        """Unit symbols without a number: "in Grad Celsius", "pro Kilowattstunde"."""
        return self._bare.sub(self._say_bare, text)

    def symbol(self, symbol: str) -> SpokenUnit | None:
        return self._units.get(symbol)

    def per(self, symbol: str) -> str:
        """What follows a slash: a unit, or any other word."""
        noun = self._units.get(symbol)
        return self._grammar.per(noun, noun.per) if noun else self._grammar.per(Noun(one=symbol))

    def _say(self, match: re.Match[str]) -> str:
        symbol = match["tight"] or match["spaced"]
        unit, front = self._units[symbol], before(match)
        sign = self._signs[(match["sign"] or "").strip()]
        if match["high"]:
            first = f"{sign}{self._grammar.number(amount(match['low']))} {self._grammar.words.range} "
            sign = first + self._signs[match["minus"] or ""]
        words = self._grammar.counted(amount(match["high"] or match["low"]), unit, before=front)
        return f"{sign}{words}{self._per(match)}{_stop(match, symbol)}"

    def _say_bare(self, match: re.Match[str]) -> str:
        unit = self._units[match["unit"]]
        front = match.string[: match.start()].rstrip()[-8:].lower()
        single = front.endswith(f" {self._grammar.words.per}".lower()) or front == self._grammar.words.per
        return f"{unit.one if single else unit.plural}{self._per(match)}"

    def _per(self, match: re.Match[str]) -> str:
        return f" {self.per(match['per'])}" if match["per"] else ""


class CurrencyRules:
    """Amounts of money: "fünf Euro neunundneunzig", "zweiunddreißig Cent pro Kilowattstunde"; and their scales."""

    def __init__(self, grammar: Grammar, quantities: UnitRules) -> None:
        self._grammar, self._quantities = grammar, quantities
        self._signs = sign_words(grammar.words)
        self._scales = {symbol: scale for scale in grammar.data.scales for symbol in scale.symbols}
        coins = load_measures().currencies
        self._currencies = {
            name: grammar.data.currencies[currency]
            for currency, coin in coins.items()
            for name in (*coin.signs, *coin.codes)
        }
        signs = joined(sign for coin in coins.values() for sign in coin.signs)
        codes = joined(code for coin in coins.values() for code in coin.codes)
        scale = rf"(?:\s?(?P<scale>{joined(self._scales)})(?!\w))?"
        figure = rf"(?P<low>{NUMBER})(?:\s?[-–]\s?(?:{signs})?(?P<high>{NUMBER}))?{scale}"
        per = r"(?:\s?/\s?(?P<per>[^\W\d_]\w*+[²³]?))?"
        self._before = re.compile(rf"(?P<sign>{SIGN})?(?<!\w)(?:(?P<name>{signs})\s?|(?P<code>{codes})\s){figure}{per}")
        self._after = re.compile(
            rf"(?P<sign>{SIGN})?(?<![\w.,]){figure}\s?(?:(?P<name>{signs})|(?P<code>{codes})\b)(?!\w){per}"
        )
        self._rate = re.compile(rf"(?<![\w.,])(?P<name>{signs}|(?:{codes}))\s?/\s?(?P<per>[^\W\d_]\w*+[²³]?)")
        self._present = re.compile(rf"{signs}|\b(?:{codes})\b")
        self._scaled = re.compile(
            rf"(?P<sign>{SIGN})?(?<![\w.,])(?P<low>{NUMBER})\s?(?P<scale>{joined(self._scales)})(?!\w)"
        )

    def rates(self, text: str) -> str:
        """Prices without an amount need no digit: "€/kWh"."""
        return self._rate.sub(self._say_rate, text) if "/" in text else text

    def __call__(self, text: str) -> str:
        if self._present.search(text):
            text = _NO_CENTS.sub("", text)
            text = self._after.sub(self._say, self._before.sub(self._say, text))
        return self._scaled.sub(self._say_scaled, text)

    def _say(self, match: re.Match[str]) -> str:
        currency = self._currencies[match["name"] or match["code"]]
        words = self._signs[(match["sign"] or "").strip()] + self._amount(match, currency)
        return words + (f" {self._quantities.per(match['per'])}" if match["per"] else "")

    def _amount(self, match: re.Match[str], currency: SpokenCurrency) -> str:
        grammar, low, high, front = self._grammar, amount(match["low"]), match["high"], before(match)
        if match["scale"]:
            first = f"{grammar.number(low)} {grammar.words.range} " if high else ""
            scaled = grammar.counted(amount(high) if high else low, self._scale(match), before=front)
            return f"{first}{scaled} {grammar.behind_scale(currency.plural)}"
        if not high:
            return grammar.money(low, currency, before=front)
        last = grammar.money(amount(high), currency, before=front)
        first = grammar.number(low) if low.is_whole else grammar.money(low, currency, before=front)
        return f"{first} {grammar.words.range} {last}"

    def _say_rate(self, match: re.Match[str]) -> str:
        """A price without an amount: "in Euro pro Kilowattstunde"."""
        if self._quantities.symbol(match["per"]) is None:
            return match[0]
        return f"{self._currencies[match['name']].plural} {self._quantities.per(match['per'])}"

    def _scale(self, match: re.Match[str]) -> Scale:
        return self._scales[match["scale"]]

    def _say_scaled(self, match: re.Match[str]) -> str:
        words = self._grammar.counted(amount(match["low"]), self._scale(match), before=before(match))
        return self._signs[(match["sign"] or "").strip()] + words + _stop(match, match["scale"])


_MAX_DENOMINATOR = 100
_FIRST_BARE_YEAR, _LAST_BARE_YEAR = 1900, 1999
"""Four digits alone are a year between these; later ones sound the same either way."""
_YEAR = re.compile(r"\d{4}")


class NumberRules:
    """Numbers that nothing else has claimed. After it no digit is left."""

    def __init__(self, grammar: Grammar, quantities: UnitRules) -> None:
        self._grammar, self._quantities = grammar, quantities
        self._signs = sign_words(grammar.words)
        suffixes = grammar.data.ordinal_suffixes
        self._range = re.compile(
            rf"(?<![\w.,-])(?P<low>{NUMBER}\s?[^\W\d_]?[^\W\d_]?[°%]?[CF]?)"
            r"(?:\s?[–—]\s?|(?<! )-|(?<=[\d%]) - )(?=[-−]?\d)"
        )
        self._years = re.compile(r"(?<![\w.,:-])(1[1-9]\d\d)\s?[-–]\s?(1[1-9]\d\d|20\d\d)(?![\w%°]|[.,-]\d)")
        self._spaced_minus = re.compile(r"(?<=\d)\s[-–−]\s(?=\d)")
        self._vulgar = re.compile(r"(?:(?<![\w.,])(\d++)\s?)?([½⅓⅔¼¾⅕⅖⅗⅘⅙⅚⅐⅛⅜⅝⅞⅑⅒])(?:\s([^\W\d_]+))?")
        self._fraction = re.compile(
            r"(?<![\w.,/])(?:(\d{1,4})\s)?(\d{1,3}(?:[.,]\d{1,2})?)/(\d{1,3})(?![\w/]|[.,]\d)(?:\s([^\W\d_]+))?"
        )
        self._ordinal = re.compile(rf"(?<![\w.,])(\d{{1,15}})({joined(suffixes)})(?!\w)")
        self._name_hyphen = re.compile(r"(?<=[^\W\d_])-(?=\d)")
        self._times = re.compile(r"(?<![\w.,])(\d{1,4})(?:[x×](?!\w)|\sx(?=\s[^\W\d]))")
        self._ratio = re.compile(r"(?<=\d)\s?:(?=\d)")
        years = grammar.data.dates.year_words
        self._context_year = re.compile(rf"\b((?i:{joined(years)})\s)(\d{{4}})(?![\w%°]|[.,]\d)" if years else r"(?!)")
        self._number = re.compile(rf"(?P<sign>{SIGN})?(?P<number>{NUMBER})")

    def ranges(self, text: str) -> str:
        """ "10-12" and "10 °C - 12 °C" become "10 bis 12"; in an equation the dash is a minus."""
        if "=" in text:
            text = self._spaced_minus.sub(f" {self._grammar.words.minus} ", text)
        if self._grammar.data.dates.year_words:
            text = self._years.sub(self._say_years, text)
        return self._range.sub(rf"\g<low> {self._grammar.words.range} ", text)

    def fractions(self, text: str) -> str:
        text = self._vulgar.sub(self._say_vulgar, text)
        return self._fraction.sub(self._say_fraction, text) if "/" in text else text

    def __call__(self, text: str) -> str:
        grammar = self._grammar
        text = self._name_hyphen.sub(" ", text)
        text = self._ordinal.sub(
            lambda match: grammar.ordinal(int(match[1]), grammar.data.ordinal_suffixes[match[2]]), text
        )
        text = self._context_year.sub(lambda match: match[1] + grammar.year(int(match[2])), text)
        text = self._times.sub(lambda match: grammar.times(int(match[1])), text)
        text = self._ratio.sub(f" {grammar.words.ratio} ", text)
        return self._number.sub(self._say_number, text)

    def _say_years(self, match: re.Match[str]) -> str:
        grammar = self._grammar
        return f"{grammar.year(int(match[1]))} {grammar.words.range} {grammar.year(int(match[2]))}"

    def _say_vulgar(self, match: re.Match[str]) -> str:
        top, _, bottom = unicodedata.normalize("NFKC", match[2]).partition("⁄")
        whole = int(match[1]) if match[1] and len(match[1]) <= 4 else None  # noqa: PLR2004  (more than anybody halves)
        said = self._grammar.fraction(whole, int(top), int(bottom), match[3] or "")
        if said is None:
            said = (
                f"{self._grammar.cardinal(int(top))} {self._grammar.words.slash} {self._grammar.cardinal(int(bottom))}"
            )
        head = f"{match[1]} " if match[1] and whole is None else ""
        return f"{head}{said}{self._noun(match[3], single=whole is None)}"

    def _say_fraction(self, match: re.Match[str]) -> str:
        grammar, top, bottom = self._grammar, amount(match[2]), int(match[3])
        whole = int(match[1]) if match[1] else None
        if 0 < top.value < bottom and top.is_whole and not top.is_code:
            said = grammar.fraction(whole, int(top.integer), bottom, match[4] or "")
            if said is not None:
                return said + self._noun(match[4], single=whole is None)
        if top.value == bottom or (match[2], match[3]) == ("24", "7"):  # "fifty fifty"
            joint = " "
        elif top.value + bottom == 100 and top.value > bottom:  # noqa: PLR2004  (shares of a hundred: "60/40")
            joint = f" {grammar.words.ratio} "
        else:
            joint = f" {grammar.words.out_of if 0 < top.value <= bottom <= _MAX_DENOMINATOR else grammar.words.slash} "
        head = f"{grammar.cardinal(whole)} " if whole is not None else ""
        return f"{head}{grammar.number(top)}{joint}{grammar.number(ParsedNumber(match[3]))}" + (
            f" {match[4]}" if match[4] else ""
        )

    def _noun(self, written: str | None, *, single: bool) -> str:
        """What a fraction is of: a unit's symbol or any word."""
        if not written:
            return ""
        unit = self._quantities.symbol(written)
        return f" {unit.one if single else unit.plural}" if unit else f" {written}"

    def _say_number(self, match: re.Match[str]) -> str:
        text, grammar = match["number"], self._grammar
        front, after = match.string[match.start() - 1 : match.start()], behind(match)
        if _YEAR.fullmatch(text) and _FIRST_BARE_YEAR <= int(text) <= _LAST_BARE_YEAR:
            words = grammar.year(int(text))
        else:
            words = grammar.number_in(amount(text), after, before=before(match))
        head = " " if front.isalpha() or front == "'" else ""
        tail = " " if after[:1].isalpha() or after[:1] == "_" else ""
        return f"{head}{self._signs[(match['sign'] or '').strip()]}{words}{tail}"


_QUANTITIES_FIRST_BARE_YEAR = 1900  # a number alone is taken as a year from here, after words like "in" from 1000
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


def _sign(text: str | None) -> str:
    return _SIGN_WORDS[text.strip()] if text else ""


def _joined(words: list[str]) -> str:
    return "|".join(re.escape(word) for word in sorted(words, key=len, reverse=True))


class Quantities:
    """Numbers with a unit: "twenty-one point five degrees Celsius", "two meters per second"."""

    def __init__(self, data: EnglishData) -> None:
        self._units: dict[str, UnitWords] = {symbol: unit for unit in data.units for symbol in unit.symbols}
        tight = _joined([symbol for symbol, unit in self._units.items() if not unit.spaced])
        spaced = _joined([symbol for symbol, unit in self._units.items() if unit.spaced])
        anything = _joined(list(self._units))
        self._pattern = re.compile(
            rf"(?P<sign>{_SIGN})?(?<![\w.,])(?P<low>{ENGLISH_NUMBER})(?P<range>\sto\s(?P<minus>[-−])?(?P<high>{ENGLISH_NUMBER}))?"
            rf"(?:\s?(?P<tight>{tight})|\s(?P<spaced>{spaced}))(?:/(?P<per>{anything}))?(?![\w²³'])"
        )
        self._pair = re.compile(
            rf"(?<![\w.,])({ENGLISH_NUMBER}\s?(?:{anything})(?:/(?:{anything}))?)\s?/\s?(?=[-−]?(?!1(?:000?)?(?![\d.,])){ENGLISH_NUMBER}\s?(?:{anything})(?![\w²³']))"
        )
        words = "|".join(sorted(data.temperature_words))
        self._temperature = re.compile(
            rf"\b(?:{words})\b|\A(?:(?i:it's|it is|now|currently)\s)*[-−]?{ENGLISH_NUMBER}\s?[CF]\W*\Z", re.IGNORECASE
        )
        self._letter = re.compile(
            rf"(?:\b(?P<front>[A-Za-z]++)\s)?(?<![\w.,])(?P<number>{ENGLISH_NUMBER})"
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

    def symbol(self, symbol: str) -> UnitWords | None:
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
        amount = rf"(?P<low>{ENGLISH_NUMBER})(?:\s?[-–]\s?(?:{signs})?(?P<high>{ENGLISH_NUMBER}))?{scale}"
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


def _price(amount: str, currency: CurrencyWords, *, attribute: bool = False) -> str:
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
            rf"(?<![\w.,-])(?P<low>{ENGLISH_NUMBER}\s?[^\W\d_]?[^\W\d_]?[°%]?[CF]?)"
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
        self._number = re.compile(rf"(?P<sign>{_SIGN})?(?P<number>{ENGLISH_NUMBER})")
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
    return int(text) >= _QUANTITIES_FIRST_BARE_YEAR and is_year(int(text))
