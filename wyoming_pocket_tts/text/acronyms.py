"""Words in capitals: spelled ("T V"), said ("NASA") or only emphasised ("not"). Knows a language by its word lists."""

import re
from collections.abc import Set as AbstractSet
from typing import Final

_SPELLED_LENGTH: Final = 3
"""Unknown capitals up to this length are spelled, longer ones with a vowel are words."""


class Acronyms:
    """Reads words in capitals.

    Args:
        letters: the capitals of the language, as a regular expression's class has them.
        vowels: those without which nothing can be said as a word.
        article: an article in a capital letter that may stand before an acronym and is no part of it.
        plural: how an "s" behind a spelled one is written, so that it is no letter of its own.
    """

    def __init__(
        self,
        *,
        spelled: AbstractSet[str],
        pronounced: AbstractSet[str],
        emphasised: AbstractSet[str],
        letters: str = "A-Z",
        vowels: str = "AEIOUY",
        article: str = "",
        plural: str = "'s",
    ) -> None:
        self._spelled, self._pronounced, self._emphasised = spelled, pronounced, emphasised
        self._vowels = frozenset(vowels)
        self._plural = plural
        before = rf"(\b{article}\s)?" if article else "()"
        self._capitals = re.compile(rf"{before}(?<![^\W\d_])(?<!\w')([{letters}]{{2,}})('s|s)?(?![^\W\d_])")
        self._hyphen = re.compile(rf"(?<=\b[{letters}])-(?=[{letters}]\b)")

    def __call__(self, text: str, *, shouted: bool) -> str:
        """``shouted``: the whole text stood in capitals, so that they say nothing."""

        def say(match: re.Match[str]) -> str:
            word, plural = match[2], match[3]
            article = match[1] or ""
            if word in self._pronounced:
                return match[0]
            if not self._is_spelled(word, shouted=shouted):
                is_common = shouted or word in self._emphasised
                lower = word.lower() if is_common and match.start() else word.capitalize()
                return f"{article}{lower}{plural or ''}"
            return f"{article.lower()}{' '.join(word)}" + (self._plural if plural else "")

        return self._hyphen.sub(" ", self._capitals.sub(say, text))

    def _is_spelled(self, word: str, *, shouted: bool) -> bool:
        if word in self._emphasised:
            return word in self._spelled and not shouted
        if word in self._spelled or self._vowels.isdisjoint(word):
            return True
        return not shouted and len(word) <= _SPELLED_LENGTH
