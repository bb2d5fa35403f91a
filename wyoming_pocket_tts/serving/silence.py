"""Keeps account of the silence in one answer, in samples. Knows nothing about events or what is spoken.

Silence is owed only beside sound: ahead of a piece that turns out to have something to say, and at the end of an
answer that was heard. All silence of an answer together is bounded.
"""

from wyoming_pocket_tts.speech import Pauses
from wyoming_pocket_tts.text.pieces import Piece


class Silence:
    """What is owed before the next sound and, once no more will come, at the end."""

    def __init__(self, pauses: Pauses, *, rate_hz: int, most_seconds: float) -> None:
        """Begin with nothing heard.

        Args:
            pauses: around the answer and between its sentences.
            rate_hz: samples per second.
            most_seconds: of all silence in the answer.
        """
        self._pauses = pauses
        self._rate_hz = rate_hz
        self._samples_left = round(most_seconds * rate_hz)
        self._asked_seconds = 0.0  # by pieces that made no sound yet
        self._sentence_begins = False
        self._heard = False
        self._ended = False
        self._owed_samples = 0

    def piece_begins(self, piece: Piece) -> None:
        """The piece is spoken next; it may turn out to make no sound."""
        self._asked_seconds += piece.pause_seconds
        self._sentence_begins |= not piece.continues

    def sound_comes(self) -> None:
        """A sound is there: what is owed before it can be taken."""
        if not self._heard:
            self._owe(self._asked_seconds + self._pauses.before)
        elif self._sentence_begins:
            self._owe(self._asked_seconds + self._pauses.between)
        else:
            self._owe(self._asked_seconds)
        self._heard, self._sentence_begins = True, False

    def nothing_follows(self) -> None:
        """The last piece of an answer that was heard is spoken: what is owed at the end can be taken."""
        if not self._ended:
            self._owe(self._asked_seconds + self._pauses.after)
        self._ended = True

    @property
    def owed_samples(self) -> int:
        """What can be taken."""
        return self._owed_samples

    def take(self, most_samples: int) -> int:
        """Take of what is owed, at most so much."""
        taken = min(self._owed_samples, most_samples)
        self._owed_samples -= taken
        return taken

    def _owe(self, seconds: float) -> None:
        samples = min(round(seconds * self._rate_hz), self._samples_left)
        self._samples_left -= samples
        self._owed_samples += samples
        self._asked_seconds = 0.0
