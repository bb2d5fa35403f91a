"""Pieces of patterns that several rules share, and the text around a match. Knows no words."""

# ruff: noqa: RUF001  (signs that look like others are read here)

import re
from collections.abc import Iterable
from typing import Final

from wyoming_pocket_tts.text.continental.data import Words

SIGN: Final = r"(?:(?<![\w)\]%°.,–-])[-−–+±~≈]\s?)"
"""A sign before a number, in ASCII or in its own character."""
TEXT_END: Final = re.compile(r"[\s\"')\]]*+\Z")
"""Nothing more to say: a full stop before it ends the sentence, even when it belongs to an abbreviation."""
_BEFORE_CHARS = 48
_BEHIND_CHARS = 48


def joined(words: Iterable[str]) -> str:
    """An alternation, the longest first; matches nothing when there are no words."""
    return "|".join(re.escape(word) for word in sorted(words, key=len, reverse=True)) or r"(?!)"


def before(match: re.Match[str]) -> str:
    """The text in front of a match, as much as grammar may need."""
    return match.string[max(0, match.start() - _BEFORE_CHARS) : match.start()]


def behind(match: re.Match[str]) -> str:
    """The text behind a match, as much as grammar may need."""
    return match.string[match.end() : match.end() + _BEHIND_CHARS]


def sign_words(words: Words) -> dict[str, str]:
    """What each ``SIGN`` means, with the space behind it; nothing for no sign."""
    minus, about = f"{words.minus} ", f"{words.about} "
    return {
        "": "",
        "-": minus,
        "−": minus,
        "–": minus,
        "+": f"{words.plus} ",
        "±": f"{words.plus_minus} ",
    } | dict.fromkeys("~≈", about)
