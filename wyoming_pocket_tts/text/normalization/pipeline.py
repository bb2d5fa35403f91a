"""Order of the steps: lexicon, emoji, markup, rules, tidy."""

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from importlib import import_module
from typing import TYPE_CHECKING, Final

from wyoming_pocket_tts.text.normalization.markup import PLAIN_SENTENCE, emoji_to_words, strip_markup

if TYPE_CHECKING:
    from wyoming_pocket_tts.core.types import TextOptions
    from wyoming_pocket_tts.text.normalization.grammar import Grammar


GRAMMARS: Final = {
    "en": ("english", "EnglishGrammar"),
    "de": ("german", "GermanGrammar"),
    "fr": ("romance", "FrenchGrammar"),
    "es": ("romance", "SpanishGrammar"),
    "it": ("romance", "ItalianGrammar"),
    "pt": ("romance", "PortugueseGrammar"),
    "pt-br": ("romance", "BrazilianGrammar"),
    "nl": ("western", "DutchGrammar"),
}
"""Language, or tag (lower case) of a region with a grammar of its own -> module and class."""

_MAX_PASSES: Final = 5
_DIGIT = re.compile(r"[\d½⅓⅔¼¾⅕⅖⅗⅘⅙⅚⅐⅛⅜⅝⅞⅑⅒]")
_TOKEN: Final = re.compile(r"\w+|\s+|[^\w\s]")  # a word, some space, or one sign; together all of a text

Pairs = tuple[tuple[str, str], ...]


def normalize_text(text: str, language: str, options: "TextOptions") -> str:
    """The words to synthesise for a sentence. Linear in time, however many words are to be replaced.

    Replacements see the text as written and are normalised with it; pronunciations reach the voice as they are. The
    part of ``language`` (BCP-47) before the first hyphen decides, but for pt-BR.
    """
    if options.replacements:
        text = _replacer(options.replacements).replaced(text)
    if options.emoji == "speak" and not text.isascii():
        text = emoji_to_words(text, language)
    if options.normalize:
        text = normalize(text, language)
    return _replacer(options.pronunciations).replaced(text) if options.pronunciations else text


def normalize(text: str, language: str = "en") -> str:
    """The words of a sentence: no digits, symbols or markup, only letters, apostrophes and ``. , ; : ? ! -``.

    Unknown characters and languages without a grammar pass unchanged. Line ends become spaces.
    Normalising again changes nothing. Linear in time.
    """
    normalizer = _normalizer(language)
    return text if normalizer is None else normalizer(text)


@lru_cache(maxsize=64)  # texts may name any language
def _normalizer(language: str) -> "RuleNormalizer | None":
    tag = language.replace("_", "-").lower()
    return _rules(tag if tag in GRAMMARS else tag.partition("-")[0])


@lru_cache
def _rules(tag: str) -> "RuleNormalizer | None":
    """The rules of a key of ``GRAMMARS``, loaded when they are first used."""
    if tag not in GRAMMARS:
        return None
    from wyoming_pocket_tts.text.normalization.data import load_language  # noqa: PLC0415  (costs more than this module)

    module, name = GRAMMARS[tag]
    grammar: type[Grammar] = getattr(import_module(f"wyoming_pocket_tts.text.normalization.{module}"), name)
    return RuleNormalizer(grammar(load_language(tag.partition("-")[0])))


class RuleNormalizer:
    """The rules with the grammar of one language. Thread-safe, without state."""

    def __init__(self, grammar: "Grammar") -> None:
        from wyoming_pocket_tts.text.normalization import codes, dates, quantities, words  # noqa: PLC0415

        self._grammar = grammar
        self._addresses = codes.AddressRules(grammar)
        self._abbreviations = words.AbbreviationRules(grammar)
        self._dates = dates.DateTimeRules(grammar)
        self._codes = codes.CodeRules(grammar)
        self._units = quantities.UnitRules(grammar)
        self._currencies = quantities.CurrencyRules(grammar, self._units)
        self._numbers = quantities.NumberRules(grammar, self._units)
        self._names = words.NameRules(grammar)
        self._arithmetic = words.ArithmeticRules(grammar)
        self._acronyms = words.AcronymRules(grammar)
        self._symbols = words.SymbolRules(grammar)
        self._tidy = words.tidy

    def __call__(self, text: str) -> str:
        """Repeat until nothing changes: the second pass, over words alone, is cheap and almost always the last."""
        for _ in range(_MAX_PASSES):
            previous, text = text, self._pass(text)
            if text == previous:
                break
        return text

    def _pass(self, text: str) -> str:
        if not PLAIN_SENTENCE.fullmatch(text):
            text = strip_markup(text, self._grammar.data.kept_marks)
        shouted = text.isupper() and self._acronyms.is_shouted(text)
        text = self._dates.weekdays(self._addresses(text))
        if not _DIGIT.search(text):
            text = self._abbreviations(text)
        else:  # from the most specific reading of a number to the most general one
            text = self._grammar.before_numbers(self._arithmetic(text))
            text = self._codes(self._grammar.after_dates(self._dates(text)))
            text = self._numbers.ranges(self._currencies(text))
            text = self._numbers.fractions(text)
            text = self._abbreviations(self._units(text))  # "5 Min." is no minimum
            text = self._numbers(text)
        text = self._currencies.rates(self._grammar.before_words(text))
        text = self._names(self._units.bare(text))
        return self._tidy(self._symbols(self._acronyms(text, shouted=shouted)))


@dataclass(slots=True)
class _Node:
    following: dict[str, "_Node"] = field(default_factory=dict)
    words: str | None = None  # replacement of the key that ends here
    rank: int = 0  # of that key; the smaller is stronger


Match = tuple[int, int, str]  # end, strength, words: the longest wins, then the strongest


class PhraseReplacer:
    """Replaces words or phrases, of which there may be thousands: their number does not slow a sentence down.

    Keys match whole words only, with any space between them, in any case unless they have a capital letter themselves.
    The longest match wins, of the same length the key given first; a replacement is not replaced again.
    """

    def __init__(self, pairs: Iterable[tuple[str, str]]) -> None:
        self._as_written = _Node()
        self._in_any_case = _Node()
        for rank, (key, words) in enumerate(pairs):
            node = self._in_any_case if key == key.lower() else self._as_written
            for token in _any_space(_TOKEN.findall(key.strip())):
                node = node.following.setdefault(token, _Node())
            if node.words is None:
                node.words, node.rank = words, rank

    def replaced(self, text: str) -> str:
        written = _TOKEN.findall(text)
        tokens = _any_space(written)
        lowered = [token.lower() for token in tokens]
        said: list[str] = []
        at = 0
        while at < len(tokens):
            matches = (_longest(self._as_written, tokens, at), _longest(self._in_any_case, lowered, at))
            found = max(filter(None, matches), default=None)
            at, words = (at + 1, written[at]) if found is None else (found[0], found[2])
            said.append(words)
        return "".join(said)


def _longest(node: _Node, tokens: Sequence[str], at: int) -> Match | None:
    """The longest key that begins at this token; takes no more steps than a key has tokens."""
    found = None
    for end in range(at, len(tokens)):
        following = node.following.get(tokens[end])
        if following is None:
            break
        node = following
        if node.words is not None:
            found = (end + 1, -node.rank, node.words)
    return found


def _any_space(tokens: Sequence[str]) -> list[str]:
    return [" " if token.isspace() else token for token in tokens]


@lru_cache(maxsize=64)
def _replacer(pairs: Pairs) -> PhraseReplacer:
    return PhraseReplacer(pairs)
