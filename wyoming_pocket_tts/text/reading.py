"""What becomes of a text before a voice gets it: a user's own words, emoji, normalising. Knows no voice, no settings.

In this order: replacements, emoji, normalising, pronunciations. A replacement is read like any other text; what a
pronunciation gives reaches the voice as it is.
"""

from functools import lru_cache
from typing import Protocol

from wyoming_pocket_tts.text.normalize import normalize
from wyoming_pocket_tts.text.phrases import Phrases

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
    """The words to say for a sentence; with the default ``Reading`` what ``normalize`` says. Linear in time,
    however many words are to be replaced.

    A key of a replacement or pronunciation is a word or several; ``Phrases`` says what they match. Emoji are spoken if
    asked for even where nothing is normalised; dropping them is a part of normalising.

    Args:
        text: as written.
        language: BCP-47 tag; the part before the first hyphen decides.
        reading: what to do.
    """
    if reading.replacements:
        text = _phrases(reading.replacements).replaced(text)
    if reading.emoji == "speak" and not text.isascii():
        from wyoming_pocket_tts.text.emoji_names import say_emoji  # noqa: PLC0415  (loads thousands of names)

        text = say_emoji(text, language)
    if reading.normalize:
        text = normalize(text, language)
    return _phrases(reading.pronunciations).replaced(text) if reading.pronunciations else text


@lru_cache(maxsize=64)
def _phrases(pairs: Pairs) -> Phrases:
    return Phrases(pairs)
