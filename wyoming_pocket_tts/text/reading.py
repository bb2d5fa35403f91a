"""What becomes of a text before a voice gets it: a user's own words, emoji, normalising. Knows no voice, no settings.

In this order: replacements, emoji, normalising, pronunciations. A replacement is read like any other text; what a
pronunciation gives reaches the voice as it is.
"""

import re
from collections.abc import Callable
from functools import lru_cache
from typing import Protocol

from wyoming_pocket_tts.text.normalize import normalize

Pairs = tuple[tuple[str, str], ...]


class HowToRead(Protocol):
    """What ``speech.Reading`` is; described there."""

    @property
    def normalize(self) -> bool: ...
    @property
    def emoji(self) -> str: ...
    @property
    def replacements(self) -> Pairs: ...
    @property
    def pronunciations(self) -> Pairs: ...


def read_aloud(text: str, language: str, reading: HowToRead) -> str:
    """The words to say for a sentence; with the default ``Reading`` what ``normalize`` says. Linear in time.

    A key of a replacement or pronunciation is a word or several: it matches whole words only, with any space between
    them, in any case unless it has a capital letter itself. Where several match the longest wins, and what was put in
    is not replaced again. Emoji are spoken if asked for even where nothing is normalised; dropping them is a part of
    normalising.

    Args:
        text: as written.
        language: BCP-47 tag; the part before the first hyphen decides.
        reading: what to do.
    """
    if reading.replacements:
        text = _swapping(reading.replacements)(text)
    if reading.emoji == "speak" and not text.isascii():
        from wyoming_pocket_tts.text.emoji_names import say_emoji  # noqa: PLC0415  (loads thousands of names)

        text = say_emoji(text, language)
    if reading.normalize:
        text = normalize(text, language)
    return _swapping(reading.pronunciations)(text) if reading.pronunciations else text


@lru_cache(maxsize=64)
def _swapping(pairs: Pairs) -> Callable[[str], str]:
    """Put the second of each pair in the place of the first."""
    pairs = tuple(sorted(((key.strip(), words) for key, words in pairs), key=lambda pair: -len(pair[0])))
    words = [words for key, words in pairs if key]
    pattern = re.compile("|".join(f"({_whole_words(key)})" for key, _ in pairs if key) or r"(?!)")
    return lambda text: pattern.sub(lambda match: words[(match.lastindex or 1) - 1], text)


def _whole_words(key: str) -> str:
    pattern = r"\s+".join(re.escape(part) for part in key.split())
    before = r"(?<!\w)" if _is_word_char(key[0]) else ""
    behind = r"(?!\w)" if _is_word_char(key[-1]) else ""
    ignore_case = "(?i:{})" if key == key.lower() else "{}"
    return before + ignore_case.format(pattern) + behind


def _is_word_char(char: str) -> bool:
    return char.isalnum() or char == "_"
