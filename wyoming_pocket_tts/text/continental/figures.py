"""Ranges, fractions, and every number that no other rule has read. Knows no units, dates or codes."""

# ruff: noqa: RUF001  (dashes and signs that look like others are read here)

import re
import unicodedata

from wyoming_pocket_tts.text.continental.grammar import Grammar
from wyoming_pocket_tts.text.continental.numbers import NUMBER, Amount, amount
from wyoming_pocket_tts.text.continental.patterns import SIGN, before, behind, joined, sign_words
from wyoming_pocket_tts.text.continental.quantities import Quantities

_MAX_DENOMINATOR = 100
_FIRST_BARE_YEAR, _LAST_BARE_YEAR = 1900, 1999
"""Four digits alone are a year between these; later ones sound the same either way."""
_YEAR = re.compile(r"\d{4}")


class Figures:
    """Numbers that nothing else has claimed. After it no digit is left."""

    def __init__(self, grammar: Grammar, quantities: Quantities) -> None:
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
        return f"{head}{grammar.number(top)}{joint}{grammar.number(Amount(match[3]))}" + (
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
