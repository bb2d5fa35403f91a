"""Finds the reader for a text: plain or SSML, also where nobody said which. Knows nothing about protocols."""

import re
from typing import Final

from wyoming_pocket_tts.text.pieces import Complaint, Piece, Pieces, PlainPieces
from wyoming_pocket_tts.text.ssml import SsmlPieces
from wyoming_pocket_tts.text.thoughts import Thoughts

_SSML: Final = re.compile(r"<(?:speak[\s/>]|\?xml\s)", re.IGNORECASE)
_SIGNS: Final = ("<speak", "<?xml")


def pieces_for(language: str, *, ssml: bool | None) -> Pieces:
    """A reader of a text, which leaves out what a language model thinks in it.

    Args:
        language: BCP-47 tag of the text.
        ssml: whether it is SSML; None when its beginning has to tell: ``<speak``.
    """
    return _WithoutThoughts(_GuessedPieces(language) if ssml is None else _known_pieces(language, ssml=ssml))


def _known_pieces(language: str, *, ssml: bool) -> Pieces:
    return SsmlPieces(language) if ssml else PlainPieces(language)


class _WithoutThoughts:
    """Reads what is said alone."""

    def __init__(self, pieces: Pieces) -> None:
        self._pieces = pieces
        self._thoughts = Thoughts()

    def feed(self, delta: str) -> list[Piece]:
        return self._pieces.feed(self._thoughts.feed(delta))

    def finish(self) -> list[Piece]:
        return [*self._pieces.feed(self._thoughts.finish()), *self._pieces.finish()]

    def problems(self) -> list[Complaint]:
        return self._pieces.problems()


class _GuessedPieces:
    """Waits for the first characters."""

    def __init__(self, language: str) -> None:
        self._language = language
        self._beginning = ""
        self._pieces: Pieces | None = None

    def feed(self, delta: str) -> list[Piece]:
        if self._pieces is not None:
            return self._pieces.feed(delta)
        self._beginning = (self._beginning + delta).lstrip()
        if _undecided(self._beginning):
            return []
        return self._decide().feed(self._beginning)

    def finish(self) -> list[Piece]:
        if self._pieces is not None:
            return self._pieces.finish()
        pieces = self._decide()
        return [*pieces.feed(self._beginning), *pieces.finish()]

    def problems(self) -> list[Complaint]:
        return [] if self._pieces is None else self._pieces.problems()

    def _decide(self) -> Pieces:
        self._pieces = _known_pieces(self._language, ssml=_SSML.match(self._beginning) is not None)
        return self._pieces


def _undecided(beginning: str) -> bool:
    return any(sign.startswith(beginning.lower()) for sign in _SIGNS)
