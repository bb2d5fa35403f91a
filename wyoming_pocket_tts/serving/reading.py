"""Reads a text no further than to its next piece. Knows nothing about events, voices or who asks.

Cutting a long text takes a while, which is the event loop's, so everybody's. What waits to be spoken is kept as it
came; whoever speaks reads on when a piece is wanted, a bounded stretch at a time. Readers give the same pieces however
the text is cut, so nobody can hear the difference.
"""

from collections import deque
from typing import Final

from wyoming_pocket_tts.text.pieces import Complaint, Piece, Pieces

_SLICE_CHARACTERS: Final = 256
"""Read at once: prose takes a tenth of a millisecond, the worst of markup one."""
_TURN_CHARACTERS: Final = 512
"""Read before others have their turn, however little there is to be said in it."""


class Reading:
    """One text, from its first characters to its last piece."""

    def __init__(self, reader: Pieces) -> None:
        """Begin with nothing read."""
        self._reader = reader
        self._unread: deque[str] = deque()
        self._pieces: deque[Piece] = deque()
        self._ends = False
        self._finished = False

    @property
    def has_piece(self) -> bool:
        """Whether there is one to be taken."""
        return bool(self._pieces)

    def add(self, text: str) -> None:
        """More of the text came."""
        if text:  # nothing, however often it comes, takes no memory
            self._unread.append(text)

    def end(self) -> None:
        """No more will come."""
        self._ends = True

    def drop(self) -> None:
        """Forget what was not taken. Nothing more is read."""
        self._unread.clear()
        self._pieces.clear()
        self._ends = self._finished = True

    def read_on(self) -> bool:
        """Read until there is a piece or nothing more to be read. False: there is more, for the next turn."""
        left = _TURN_CHARACTERS
        while not self._pieces and self._unread:
            if left <= 0:
                return False
            text = self._unread.popleft()
            if len(text) > _SLICE_CHARACTERS:
                self._unread.appendleft(text[_SLICE_CHARACTERS:])
            self._pieces.extend(self._reader.feed(text[:_SLICE_CHARACTERS]))
            left -= min(len(text), _SLICE_CHARACTERS)
        if not self._pieces and self._ends and not self._finished:
            self._finished = True
            self._pieces.extend(self._reader.finish())
        return True

    def take(self) -> Piece:
        """The next piece, which ``has_piece``."""
        return self._pieces.popleft()

    def problems(self) -> list[Complaint]:
        """What was wrong with the text, as far as it is read, since this was last asked."""
        return self._reader.problems()
