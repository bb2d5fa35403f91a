"""Puts words in the place of others, of which there may be thousands. Knows nothing about what they mean.

Texts and keys are cut into words, signs and stretches of space, and looked up piece by piece in a tree: what a sentence
takes does not depend on how many keys there are.
"""

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Final, NamedTuple

_PIECES: Final = re.compile(r"\w+|\s+|[^\w\s]")
"""A word, some space, or one sign; together all of a text."""


@dataclass(slots=True)
class _Node:
    """Where a beginning of keys leads."""

    following: dict[str, "_Node"] = field(default_factory=dict)
    words: str | None = None
    """What to say instead, if a key ends here."""
    rank: int = 0
    """Of that key among all: the smaller is stronger."""

    def grown(self, piece: str) -> "_Node":
        """Lead somewhere new."""
        self.following[piece] = _Node()
        return self.following[piece]


class _Match(NamedTuple):
    """Compares greater where it counts more."""

    end: int
    """The number of the piece behind it."""
    strength: int
    words: str


class Phrases:
    """Words or phrases, and what to say instead.

    They match whole words only, with any space between them, in any case unless they have a capital letter themselves.
    Where several match the longest wins, of the same length the first that was given; what was put in is not replaced
    again.
    """

    def __init__(self, pairs: Iterable[tuple[str, str]]) -> None:
        """Take what is written, and what is to be said; what is blank is never found."""
        self._as_written = _Node()
        self._in_any_case = _Node()
        for rank, (key, words) in enumerate(pairs):
            node = self._in_any_case if key == key.lower() else self._as_written
            for piece in _any_space(_PIECES.findall(key.strip())):
                node = node.following.get(piece) or node.grown(piece)
            if node.words is None:
                node.words, node.rank = words, rank

    def replaced(self, text: str) -> str:
        """The text with all that was found in it replaced."""
        written = _PIECES.findall(text)
        pieces = _any_space(written)
        lowered = [piece.lower() for piece in pieces]
        said: list[str] = []
        at = 0
        while at < len(pieces):
            matches = (_longest(self._as_written, pieces, at), _longest(self._in_any_case, lowered, at))
            found = max(filter(None, matches), default=None)
            said.append(written[at] if found is None else found.words)
            at = at + 1 if found is None else found.end
        return "".join(said)


def _longest(node: _Node, pieces: Sequence[str], at: int) -> _Match | None:
    """What the longest key says that begins with this piece; takes no more steps than a key has pieces."""
    found = None
    for end in range(at, len(pieces)):
        following = node.following.get(pieces[end])
        if following is None:
            break
        node = following
        if node.words is not None:
            found = _Match(end + 1, -node.rank, node.words)
    return found


def _any_space(pieces: Sequence[str]) -> list[str]:
    """Any space is like any other."""
    return [" " if piece.isspace() else piece for piece in pieces]
