"""Units, money, ranges, fractions, plain numbers."""

# ruff: noqa: RUF001  (dashes and signs that look like others are read here)

import re
import unicodedata
from collections.abc import Mapping, Sequence

from wyoming_pocket_tts.text.normalization.data import CurrencyWords, Noun, UnitWords, load_symbols
from wyoming_pocket_tts.text.normalization.grammar import (
    SIGN,
    Grammar,
    ParsedNumber,
    Rule,
    before,
    behind,
    joined,
    sign_words,
    stop,
)

VULGAR = "½⅓⅔¼¾⅕⅖⅗⅘⅙⅚⅐⅛⅜⅝⅞⅑⅒"
_NO_CENTS = re.compile(r"(?<=\d),[-–—]{1,2}(?!\d)")
_MAX_DENOMINATOR = 100
_MAX_HALVED_DIGITS = 4
_FIRST_BARE_YEAR = 1900
_YEARS = r"(?<![\w.,:-])(1[1-9]\d\d)\s?[-–]\s?(1[1-9]\d\d|20\d\d)(?![\w%°]|[.,-]\d)"
_YEAR = re.compile(r"\d{4}")
_NAME_HYPHEN = re.compile(r"(?<=[^\W\d_])-(?=\d)")
_SPACED_MINUS = re.compile(r"(?<=\d)\s[-–−]\s(?=\d)")


class UnitRules:
    """Numbers with a unit: "einundzwanzig Komma fünf Grad Celsius", "zwei Meter pro Sekunde"."""

    def __init__(self, grammar: Grammar) -> None:
        self._grammar = grammar
        self._signs = sign_words(grammar.words)
        self.words: Mapping[str, UnitWords] = grammar.data.unit_words()
        known = load_symbols().units
        of = {name: grammar.data.unit_symbols(name) for name in grammar.data.units if name in known}
        spaced = {symbol for name, symbols in of.items() for symbol in symbols if known[name].spaced}
        bare = {symbol for name, symbols in of.items() for symbol in symbols if known[name].bare}
        tight, anything = joined(self.words.keys() - spaced), joined(self.words)
        number, range_word = grammar.number_pattern, re.escape(grammar.words.range)
        per = rf"{anything}|[^\W\d_]{{2,20}}" if grammar.any_word_per else anything
        self._pattern = re.compile(
            rf"(?P<sign>{SIGN})?(?<![\w.,])(?P<low>{number})(?P<range>\s{range_word}\s(?P<minus>[-−])?(?P<high>{number}))?"
            rf"(?:\s?(?P<tight>{tight})|\s(?P<spaced>{joined(spaced)}))(?:/(?P<per>{per}))?(?![\w²³'])"
        )
        self._pair = re.compile(
            rf"(?<![\w.,])({number}\s?(?:{anything})(?:/(?:{anything}))?)\s?/\s?"
            rf"(?=[-−]?(?!1(?:000?)?(?![\d.,])){number}\s?(?:{anything})(?![\w²³']))"
        )
        self._bare = re.compile(rf"(?<![\w.,/°])(?P<unit>{joined(bare)})(?:/(?P<per>{anything}))?(?![\w²³])")

    def __call__(self, text: str) -> str:
        if "/" in text:  # the same once more, in another unit
            text = self._pair.sub(r"\1, ", text)
        return self._pattern.sub(self._say, text)

    def bare(self, text: str) -> str:
        """Unit symbols without a number: "in Grad Celsius", "pro Kilowattstunde"."""
        return self._bare.sub(self._say_bare, text)

    def per(self, symbol: str) -> str:
        """What follows a slash: a unit, or any other word."""
        noun = self.words.get(symbol)
        return self._grammar.per(noun, noun.per) if noun else self._grammar.per(Noun(one=symbol))

    def _say(self, match: re.Match[str]) -> str:
        grammar, symbol = self._grammar, match["tight"] or match["spaced"]
        sign, high = self._signs[(match["sign"] or "").strip()], match["high"]
        form = grammar.range_form if high else grammar.noun_form(match)
        if high:
            first = f"{sign}{grammar.number(grammar.parse(match['low']))} {grammar.words.range} "
            sign = first + self._signs[match["minus"] or ""]
        amount = grammar.parse(high or match["low"])
        words = grammar.counted(amount, self.words[symbol], before=before(match), form=form)
        return f"{sign}{words}{self._per(match)}{stop(match) if symbol.endswith('.') else ''}"

    def _say_bare(self, match: re.Match[str]) -> str:
        unit = self.words[match["unit"]]
        return f"{unit.one if self._grammar.is_one_unit(before(match)) else unit.plural}{self._per(match)}"

    def _per(self, match: re.Match[str]) -> str:
        return f" {self.per(match['per'])}" if match["per"] else ""


class CurrencyRules:
    """Amounts of money: "fünf Euro neunundneunzig", "zweiunddreißig Cent pro Kilowattstunde"; and their scales."""

    def __init__(self, grammar: Grammar, units: UnitRules) -> None:
        self._grammar, self._units = grammar, units
        self._signs = sign_words(grammar.words)
        self._scales = {symbol: scale for scale in grammar.data.scales for symbol in (*scale.symbols, *scale.tight)}
        known = {name: coin for name, coin in load_symbols().currencies.items() if name in grammar.data.currencies}
        self._currencies = {
            symbol: grammar.data.currencies[name]
            for name, coin in known.items()
            for symbol in (*coin.signs, *coin.codes)
        }
        signs = joined(sign for coin in known.values() for sign in coin.signs)
        codes = joined(code for coin in known.values() for code in coin.codes)
        apart = [symbol for scale in grammar.data.scales for symbol in scale.symbols]
        number, scales = grammar.number_pattern, joined(self._scales)
        scale = rf"(?:\s?(?P<scale>{scales})(?!\w))?"
        self._has_tight = len(apart) < len(self._scales)
        if self._has_tight:
            scale = rf"(?:(?:(?P<scale>{scales})|\s(?P<apart>{joined(apart)}))(?!\w))?"
        figure = rf"(?P<low>{number})(?:\s?[-–]\s?(?:{signs})?(?P<high>{number}))?{scale}"
        per = r"(?:\s?/\s?(?P<per>[^\W\d_]\w*+[²³]?))?"
        self._before = re.compile(rf"(?P<sign>{SIGN})?(?<!\w)(?:(?P<name>{signs})\s?|(?P<code>{codes})\s){figure}{per}")
        self._after = re.compile(
            rf"(?P<sign>{SIGN})?(?<![\w.,]){figure}\s?(?:(?P<name>{signs})|(?P<code>{codes})\b)(?!\w){per}"
        )
        self._rate = re.compile(rf"(?<![\w.,])(?P<name>{signs}|(?:{codes}))\s?/\s?(?P<per>[^\W\d_]\w*+[²³]?)")
        self._present = re.compile(rf"{signs}|\b(?:{codes})\b")
        self._scaled = re.compile(rf"(?P<sign>{SIGN})?(?<![\w.,])(?P<low>{number})\s?(?P<scale>{scales})(?!\w)")

    def rates(self, text: str) -> str:
        """Prices without an amount need no digit: "€/kWh"."""
        return self._rate.sub(self._say_rate, text) if self._grammar.bare_rates and "/" in text else text

    def __call__(self, text: str) -> str:
        if self._present.search(text):
            if self._grammar.comma_decimals:
                text = _NO_CENTS.sub("", text)
            text = self._after.sub(self._say, self._before.sub(self._say, text))
        return self._scaled.sub(self._say_scaled, text) if self._grammar.scales_alone else text

    def _say(self, match: re.Match[str]) -> str:
        currency = self._currencies[match["name"] or match["code"]]
        words = self._signs[(match["sign"] or "").strip()] + self._amount(match, currency)
        return words + (f" {self._units.per(match['per'])}" if match["per"] else "")

    def _amount(self, match: re.Match[str], currency: CurrencyWords) -> str:
        grammar, front, form = self._grammar, before(match), self._grammar.noun_form(match)
        low, high = grammar.parse(match["low"]), grammar.parse(match["high"]) if match["high"] else None
        apart = match["apart"] if self._has_tight else None
        scale = self._scales.get(match["scale"] or apart or "")
        if scale:
            first = f"{grammar.number(low)} {grammar.words.range} " if high else ""
            scaled = grammar.counted(high or low, scale, before=front)
            return f"{first}{scaled} {grammar.behind_scale(currency.one if form == 'one' else currency.plural)}"
        if high:
            return grammar.money_range(low, high, currency, before=front, form=form)
        return grammar.money(low, currency, before=front, form=form)

    def _say_rate(self, match: re.Match[str]) -> str:
        """A price without an amount: "in Euro pro Kilowattstunde"."""
        if match["per"] not in self._units.words:
            return match[0]
        return f"{self._currencies[match['name']].plural} {self._units.per(match['per'])}"

    def _say_scaled(self, match: re.Match[str]) -> str:
        scale = self._scales[match["scale"]]
        words = self._grammar.counted(self._grammar.parse(match["low"]), scale, before=before(match))
        return (
            self._signs[(match["sign"] or "").strip()] + words + (stop(match) if match["scale"].endswith(".") else "")
        )


class NumberRules:
    """Numbers that no other rule has read. After it no digit is left."""

    def __init__(self, grammar: Grammar, units: UnitRules) -> None:
        self._grammar, self._units = grammar, units
        self._signs = sign_words(grammar.words)
        suffixes, number = grammar.data.ordinal_suffixes, grammar.number_pattern
        years: list[Rule] = []
        if grammar.data.dates.year_words:
            year, to = grammar.year, grammar.words.range
            years = [(re.compile(_YEARS), lambda match: f"{year(int(match[1]))} {to} {year(int(match[2]))}")]
        between = re.compile(
            rf"(?<![\w.,-])(?P<low>{number}\s?[^\W\d_]?[^\W\d_]?[°%]?[CF]?)"
            rf"(?:\s?[–—]\s?|(?<! )-|(?<=[\d%]) - )(?=[-−]?{grammar.number_start})"
        )
        self._ranges: Sequence[Rule] = [*years, (between, rf"\g<low> {grammar.words.range} ")]
        self._vulgar, *self._fractions = grammar.own_rules.get("fractions") or self._fraction_rules()
        ordinal = re.compile(rf"(?<![\w.,])({grammar.ordinal_digits})({joined(suffixes)})(?!\w)")
        self._rules: Sequence[Rule] = [
            (_NAME_HYPHEN, " "),
            (ordinal, lambda match: grammar.ordinal(int(match[1].replace(",", "")), suffixes[match[2]])),
            *(grammar.own_rules.get("numbers") or self._number_rules()),
            (re.compile(rf"(?P<sign>{SIGN})?(?P<number>{number})"), self._say_number),
        ]

    def _fraction_rules(self) -> Sequence[Rule]:
        vulgar = rf"(?:(?<![\w.,])(\d++)\s?)?([{VULGAR}])(?:\s([^\W\d_]+))?"
        fraction = r"(?<![\w.,/])(?:(\d{1,4})\s)?(\d{1,3}(?:[.,]\d{1,2})?)/(\d{1,3})(?![\w/]|[.,]\d)(?:\s([^\W\d_]+))?"
        return [(re.compile(vulgar), self._say_vulgar), (re.compile(fraction), self._say_fraction)]

    def _number_rules(self) -> Sequence[Rule]:
        grammar = self._grammar
        years = rf"\b((?i:{joined(grammar.data.dates.year_words)})\s)(\d{{4}})(?![\w%°]|[.,]\d)"
        times = r"(?<![\w.,])(\d{1,4})(?:[x×](?!\w)|\sx(?=\s[^\W\d]))"
        rules: list[Rule] = [
            (re.compile(times), lambda match: grammar.times(int(match[1]))),
            (re.compile(r"(?<=\d)\s?:(?=\d)"), f" {grammar.words.ratio} "),
        ]
        if grammar.data.dates.year_words:
            rules.insert(0, (re.compile(years), lambda match: match[1] + grammar.year(int(match[2]))))
        return rules

    def ranges(self, text: str) -> str:
        """ "10-12" and "10 °C - 12 °C" become "10 bis 12"; in an equation the dash is a minus."""
        if "=" in text:
            text = _SPACED_MINUS.sub(f" {self._grammar.words.minus} ", text)
        for pattern, replacement in self._ranges:
            text = pattern.sub(replacement, text)
        return text

    def fractions(self, text: str) -> str:
        if not text.isascii():
            pattern, replacement = self._vulgar
            text = pattern.sub(replacement, text)
        if "/" in text:
            for pattern, replacement in self._fractions:
                text = pattern.sub(replacement, text)
        return text

    def __call__(self, text: str) -> str:
        for pattern, replacement in self._rules:
            text = pattern.sub(replacement, text)
        return text

    def _say_vulgar(self, match: re.Match[str]) -> str:
        grammar = self._grammar
        top, bottom = vulgar_parts(match[2])
        whole = int(match[1]) if match[1] and len(match[1]) <= _MAX_HALVED_DIGITS else None
        said = grammar.fraction(whole, top, bottom, match[3] or "")
        if said is None:
            said = f"{grammar.cardinal(top)} {grammar.words.slash} {grammar.cardinal(bottom)}"
        head = f"{match[1]} " if match[1] and whole is None else ""
        return f"{head}{said}{self._noun(match[3], single=whole is None)}"

    def _say_fraction(self, match: re.Match[str]) -> str:
        grammar, top, bottom = self._grammar, self._grammar.parse(match[2]), int(match[3])
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
        tail = f" {match[4]}" if match[4] else ""
        return f"{head}{grammar.number(top)}{joint}{grammar.number(ParsedNumber(match[3]))}{tail}"

    def _noun(self, written: str | None, *, single: bool) -> str:
        """What a fraction is of: a unit's symbol or any word."""
        if not written:
            return ""
        unit = self._units.words.get(written)
        return f" {unit.one if single else unit.plural}" if unit else f" {written}"

    def _say_number(self, match: re.Match[str]) -> str:
        text, grammar = match["number"], self._grammar
        front, after, ahead = match.string[match.start() - 1 : match.start()], behind(match), before(match)
        if _YEAR.fullmatch(text) and _FIRST_BARE_YEAR <= int(text) <= grammar.last_bare_year:
            words = grammar.year(int(text))
        else:
            words = grammar.number_in(grammar.parse(text), after, before=ahead)
        head = " " if front.isalpha() or front == "'" else ""
        tail = " " if after[:1].isalpha() or after[:1] == "_" else ""
        return f"{head}{self._signs[(match['sign'] or '').strip()]}{words}{tail}"


def vulgar_parts(sign: str) -> tuple[int, int]:
    """Numerator and denominator of a sign such as "¾"."""
    top, _, bottom = unicodedata.normalize("NFKC", sign).partition("⁄")
    return int(top), int(bottom)
