"""Amounts with units and amounts of money, as continental texts write them. Knows no dates, times or codes."""

# ruff: noqa: RUF001  (dashes and signs that look like others are read here)

import re

from wyoming_pocket_tts.text.continental.data import CurrencyWords, Noun, Scale, UnitWords, load_measures
from wyoming_pocket_tts.text.continental.grammar import Grammar
from wyoming_pocket_tts.text.continental.numbers import NUMBER, amount
from wyoming_pocket_tts.text.continental.patterns import SIGN, TEXT_END, before, joined, sign_words

_NO_CENTS = re.compile(r"(?<=\d),[-–—]{1,2}(?!\d)")


def _stop(match: re.Match[str], symbol: str) -> str:
    """The full stop of a symbol that is an abbreviation ("Min.") when it ends the text as well."""
    return "." if symbol.endswith(".") and TEXT_END.match(match.string, match.end()) else ""


class Quantities:
    """Numbers with a unit: "einundzwanzig Komma fünf Grad Celsius", "zwei Meter pro Sekunde"."""

    def __init__(self, grammar: Grammar) -> None:
        self._grammar = grammar
        self._signs = sign_words(grammar.words)
        self._units: dict[str, UnitWords] = {}
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

    def symbol(self, symbol: str) -> UnitWords | None:
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


class Money:
    """Amounts of money: "fünf Euro neunundneunzig", "zweiunddreißig Cent pro Kilowattstunde"; and their scales."""

    def __init__(self, grammar: Grammar, quantities: Quantities) -> None:
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

    def _amount(self, match: re.Match[str], currency: CurrencyWords) -> str:
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
