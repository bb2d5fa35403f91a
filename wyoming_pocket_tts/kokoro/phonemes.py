"""English grapheme to phoneme."""

import re
import unicodedata
from bisect import bisect_left
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

PAD, START = "_", "^"
PAUSES = (",", ";", "-", ".", "?", "!")
CONSONANTS = (
    "b", "ch", "d", "dh", "f", "g", "hh", "jh", "k", "l", "m", "n", "ng", "p", "r", "s", "sh", "t", "th", "v", "w",
    "y", "z", "zh",
)  # fmt: skip
FULL_VOWELS = ("aa", "ae", "ah", "ao", "aw", "ay", "eh", "er", "ey", "ih", "iy", "ow", "oy", "uh", "uw")
VOWELS = frozenset((*FULL_VOWELS, "ax"))
SYMBOLS: tuple[str, ...] = (
    PAD, START, *PAUSES, *CONSONANTS, *(v + s for v in FULL_VOWELS for s in ("", "1")), "ax",
)  # fmt: skip
"""All 63 symbols by index: padding, start, pauses by their punctuation, consonants, vowels without and with stress, and
schwa."""
INDEX: dict[str, int] = {symbol: index for index, symbol in enumerate(SYMBOLS)}

ALPHABET = "_abcdefghijklmnopqrstuvwxyz'"  # input of letter to sound by index; the first pads
LONGEST_WORD = 48  # letters, for letter to sound

LetterToSound = Callable[[str], Sequence[str]]  # lower-case word of letters and apostrophes -> symbols

_CURLY = "\u2019"  # the apostrophe of printed text
_DASHES = "\u2013\u2014"  # en and em; a plain hyphen joins words instead
_ELLIPSIS = "\u2026"
_TOKENS = re.compile(
    rf"[^\W\d_]+(?:['{_CURLY}][^\W\d_]+)*['{_CURLY}]?"  # a word with its apostrophes
    rf"|[.?!,;:{_DASHES}()\"\n-]|\.{{2,}}|{_ELLIPSIS}"  # a mark
)
_PAUSE_OF = {":": ";", **dict.fromkeys(_DASHES, "-"), "(": ",", ")": ",", _ELLIPSIS: ".", "\n": "."}
_SILENT = frozenset(['"', "-"])  # quotation marks, and hyphens between words
_STRENGTH = {pause: rank for rank, pause in enumerate(("-", ",", ";", ".", "!", "?"))}
_LETTER_NAMES = {
    "a": "ey1", "b": "b iy1", "c": "s iy1", "d": "d iy1", "e": "iy1", "f": "eh1 f", "g": "jh iy1", "h": "ey1 ch",
    "i": "ay1", "j": "jh ey1", "k": "k ey1", "l": "eh1 l", "m": "eh1 m", "n": "eh1 n", "o": "ow1", "p": "p iy1",
    "q": "k y uw1", "r": "aa1 r", "s": "eh1 s", "t": "t iy1", "u": "y uw1", "v": "v iy1", "w": "d ah1 b ax l y uw",
    "x": "eh1 k s", "y": "w ay1", "z": "z iy1",
}  # fmt: skip
_UNSTRESSED = {
    "a": "ax",
    "an": "ae n",
    "and": "ae n d",
    "the": "dh ax",
    "to": "t ax",
    "i": "ay",
    "of": "ah v",
    "or": "ao r",
}
_SIBILANTS = frozenset(["s", "z", "sh", "zh", "ch", "jh"])
_VOICELESS = frozenset(["p", "t", "k", "f", "th"])


def without_stress(symbol: str) -> str:
    return symbol.rstrip("1")


class Lexicon:
    """Sorted lines, searched by bisection: the word, a tab, one character for each symbol.

    9 MB for 126 000 words, where a dict of lists takes 60.
    """

    _FIRST = 33  # '!': symbol index 0; no symbol collides with tab or newline

    def __init__(self, data: bytes) -> None:
        self._lines = data.splitlines()

    @classmethod
    def load(cls, path: Path) -> "Lexicon":
        return cls(path.read_bytes())

    @classmethod
    def encode(cls, entries: Mapping[str, Sequence[str]]) -> bytes:
        lines = (
            f"{word}\t{''.join(chr(cls._FIRST + INDEX[s]) for s in symbols)}\n".encode()
            for word, symbols in entries.items()
        )
        return b"".join(sorted(lines))

    def get(self, word: str) -> list[str] | None:
        key = word.encode() + b"\t"
        at = bisect_left(self._lines, key)
        if at == len(self._lines) or not self._lines[at].startswith(key):
            return None
        return [SYMBOLS[code - self._FIRST] for code in self._lines[at][len(key) :]]

    def words(self) -> Iterator[str]:
        return (line.partition(b"\t")[0].decode() for line in self._lines)


@dataclass(frozen=True, slots=True)
class Word:
    """A word or a pause with its symbols; a pause has exactly one."""

    text: str
    symbols: tuple[str, ...]

    @property
    def is_pause(self) -> bool:
        return self.symbols[0] in _STRENGTH


class Phonemizer:
    """Sentences to symbols. Thread-safe."""

    def __init__(self, lexicon: Lexicon, letter_to_sound: LetterToSound) -> None:
        self._lexicon = lexicon
        self._letter_to_sound = letter_to_sound

    def words(self, text: str) -> list[Word]:
        words: list[Word] = []
        for part in _TOKENS.findall(text):
            if part in _SILENT:
                continue
            pause = part[0] if part[0] in _STRENGTH else _PAUSE_OF.get(part[0])
            if pause is None:
                if _plain(part):  # other scripts cannot be read
                    words.append(Word(part, ()))
            elif words and words[-1].symbols:  # of two marks in a row the stronger one stays
                if _STRENGTH[pause] > _STRENGTH[words[-1].symbols[0]]:
                    words[-1] = Word(part, (pause,))
            elif words:
                words.append(Word(part, (pause,)))
        if not any(not word.symbols for word in words):
            return []
        if not words[-1].symbols or words[-1].symbols[0] not in ".?!":
            words[len(words) - bool(words[-1].symbols) :] = [Word(".", (".",))]
        return self._pronounced(words)

    def _pronounced(self, words: list[Word]) -> list[Word]:
        done: list[Word] = []
        for at in range(len(words) - 1, -1, -1):  # backwards: "the" and "to" depend on what follows
            word = words[at]
            if not word.symbols:
                following = done[-1] if done else None
                spelled = _is_letter(word) and (
                    word.text not in "AI" or any(_is_letter(w) for w in words[max(at - 1, 0) : at + 2] if w is not word)
                )
                word = Word(word.text, self._symbols(word.text, following, spelled=spelled))
            done.append(word)
        return done[::-1]

    def _symbols(self, text: str, following: Word | None, *, spelled: bool) -> tuple[str, ...]:
        word = text.lower().replace(_CURLY, "'")
        if spelled:
            return tuple(_letter_names(word))
        if word == "the" and following is not None and without_stress(following.symbols[0]) in VOWELS:
            return ("dh", "iy")
        if word in _UNSTRESSED:
            return tuple(_UNSTRESSED[word].split())
        return tuple(self.pronounce(word))

    def pronounce(self, word: str) -> list[str]:
        """Symbols of one lower-case word: dictionary, then suffixes, then compounds, then letter to sound."""
        word = word.strip("'")
        known = self._lexicon.get(word) or self._suffixed(word) or self._compound(word)
        if known is not None:
            return known
        plain = _plain(word)
        if plain != word and (known := self._lexicon.get(plain)):
            return known
        if len(plain) > 1 and not set(plain) & set("aeiouy'"):  # "btw": no vowel to say
            return _letter_names(plain)
        return list(self._letter_to_sound(plain)) or _letter_names(plain)

    def _suffixed(self, word: str) -> list[str] | None:
        for ending in ("'s", "s'", "s", "es", "'d", "ed", "d"):
            stem = self._lexicon.get(word.removesuffix(ending)) if word.endswith(ending) else None
            if stem is not None and len(word) - len(ending) > 1:
                return [*stem, *(_plural(stem[-1]) if "s" in ending else _past(stem[-1]))]
        if word.endswith("ing") and (stem := self._lexicon.get(word[:-3]) or self._lexicon.get(word[:-3] + "e")):
            return [*stem, "ih", "ng"]
        return None

    def _compound(self, word: str) -> list[str] | None:
        """``word`` as two known words of at least four letters, the most even cut first."""
        for cut in sorted(range(4, len(word) - 3), key=lambda at: abs(2 * at - len(word))):
            first, second = self._lexicon.get(word[:cut]), self._lexicon.get(word[cut:])
            if first is not None and second is not None:
                return [*first, *map(without_stress, second)]
        return None


def _is_letter(word: Word) -> bool:
    return len(word.text) == 1 and "A" <= word.text <= "Z"


def _plural(last: str) -> tuple[str, ...]:
    return ("ax", "z") if last in _SIBILANTS else ("s",) if last in _VOICELESS else ("z",)


def _past(last: str) -> tuple[str, ...]:
    return ("ax", "d") if last in ("t", "d") else ("t",) if last in _VOICELESS | {"s", "sh", "ch"} else ("d",)


def _plain(word: str) -> str:
    """``word`` in the letters a to z and apostrophes, accents dropped; empty if it has no such letter."""
    lower = word.lower().replace(_CURLY, "'").strip("'")
    if not lower.isascii():
        latin = lower.replace("ß", "ss").replace("æ", "ae").replace("ø", "o")
        lower = unicodedata.normalize("NFKD", latin)
    return "".join(c for c in lower if c == "'" or "a" <= c <= "z").strip("'")


def _letter_names(word: str) -> list[str]:
    return [symbol for letter in word if letter != "'" for symbol in _LETTER_NAMES[letter].split()]


def flatten(words: Sequence[Word]) -> list[str]:
    return [START, *(symbol for word in words for symbol in word.symbols)]


def phrases(words: Sequence[Word], longest: int) -> list[list[Word]]:
    """Cut a sentence into parts of at most ``longest`` symbols: at the last pause that fits, else between words.

    Every part ends with a pause. A word is cut only if it alone is longer than a part.
    """
    parts: list[list[Word]] = []
    part: list[Word] = []
    size, best = 0, 0
    for word in (
        Word(w.text, w.symbols[at : at + longest - 1]) for w in words for at in range(0, len(w.symbols), longest - 1)
    ):
        while size + len(word.symbols) + 1 > longest and part:
            cut = best or len(part)
            parts.append(part[:cut])
            part = part[cut:]
            size, best = sum(len(w.symbols) for w in part), 0
        part.append(word)
        size += len(word.symbols)
        if word.is_pause:
            best = len(part)
    if part:
        parts.append(part)
    return [p if p[-1].is_pause else [*p, Word(",", (",",))] for p in parts]


def read_symbols(best: Sequence[int]) -> list[str]:
    """CTC: merge repeats, drop blanks (symbol 0)."""
    merged = [index for at, index in enumerate(best) if index and (at == 0 or index != best[at - 1])]
    return [SYMBOLS[index] for index in merged]


def indices(symbols: Sequence[str]) -> list[int]:
    return [INDEX[symbol] for symbol in symbols]


assert len(SYMBOLS) == len(set(SYMBOLS)) == 63  # noqa: S101, PLR2004  (the model's vocabulary: our own invariant)
