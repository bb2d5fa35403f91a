"""Keeps account of the silence in one answer, in samples. Knows nothing about events or what is spoken.

Silence is owed only beside sound: ahead of a piece that turns out to have something to say, and at the end of an
answer that was heard. What a text asks for is bounded, all of it together, since anybody may send texts; what the
settings ask for is not.
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
            most_seconds: of all silence that the text asks for.
        """
        self._pauses = pauses
        self._rate_hz = rate_hz
        self._samples_left = round(most_seconds * rate_hz)
        self._asked_seconds = 0.0  # by the text, around pieces that made no sound yet
        self._sentence_begins = False
        self._heard = False
        self._ended = False
        self._owed_samples = 0

    def change_rate(self, rate_hz: int) -> None:
        """Count at another rate, which is possible before the first sound."""
        assert not self._heard, "nothing was counted so far"  # noqa: S101  (our own invariant)
        self._samples_left = round(self._samples_left * rate_hz / self._rate_hz)
        self._rate_hz = rate_hz

    def piece_begins(self, piece: Piece) -> None:
        """The piece is spoken next; it may turn out to make no sound."""
        self._asked_seconds += piece.pause_seconds
        self._sentence_begins |= not piece.continues

    def sound_comes(self) -> None:
        """A sound is there: what is owed before it can be taken."""
        if not self._heard:
            self._owe(self._pauses.before)
        else:
            self._owe(self._pauses.between if self._sentence_begins else 0.0)
        self._heard, self._sentence_begins = True, False

    def nothing_follows(self) -> None:
        """The last piece of an answer that was heard is spoken: what is owed at the end can be taken."""
        if not self._ended:
            self._owe(self._pauses.after)
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

    def _owe(self, own_seconds: float) -> None:
        """A pause of the settings, and what the text asked for besides."""
        asked_samples = min(round(self._asked_seconds * self._rate_hz), self._samples_left)
        self._asked_seconds = 0.0
        self._samples_left -= asked_samples
        self._owed_samples += asked_samples + round(own_seconds * self._rate_hz)
