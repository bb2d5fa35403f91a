"""Keeps account of one request: what came of it, and how long its audio was waited for. Knows no events and no models.

Whoever speaks the request says when it waits for audio and when audio comes. Only that waiting counts: not the time in
which a client is slow to read, nor that in which its text is not there yet.
"""

import secrets
import time
from collections.abc import Callable
from typing import Final

from wyoming_pocket_tts.engine.observer import SPOKEN, Ended, Observer, Silent

_IDENTIFIER_BYTES: Final = 4


class Account:
    """One request's account. Belongs to the event loop."""

    def __init__(
        self,
        observer: Observer | None = None,
        *,
        peer: str = "",
        now: Callable[[], float] = time.monotonic,
    ) -> None:
        """Begin a request.

        Args:
            observer: is told; None for nobody.
            peer: who asks, as the log names clients.
            now: a clock that counts seconds.
        """
        self.request = secrets.token_hex(_IDENTIFIER_BYTES)
        """Identifies it in the log, also among other runs of the service."""
        self._observer = observer or Silent()
        self._peer = peer
        self._now = now
        self._waiting_since: float | None = None
        self._first_wait: float | None = None
        self._waited_seconds = 0.0
        self._audio_seconds = 0.0
        self._first_audio_seconds: float | None = None
        self._played_until = 0.0  # by a client that plays at once, once there was audio
        self._over = False
        self._observer.request_began()

    @property
    def audio_seconds(self) -> float:
        """Of the audio that has come."""
        return self._audio_seconds

    @property
    def waited_seconds(self) -> float:
        """How long it was waited for, up to the last time that this ended."""
        return self._waited_seconds

    def waits(self) -> None:
        """There is something to be spoken, and from now on audio is waited for."""
        self._waiting_since = self._now()
        if self._first_wait is None:
            self._first_wait = self._waiting_since

    def gets(self, seconds: float) -> None:
        """Audio of this length has come."""
        now = self._now()
        since = self._stop_waiting(now)
        if seconds <= 0:
            return
        if self._first_audio_seconds is None:
            self._first_audio_seconds = now - (since if self._first_wait is None else self._first_wait)
            self._observer.first_audio(self._first_audio_seconds)
        elif now > (dry_since := max(self._played_until, since)):
            self._observer.underrun(now - dry_since)
        self._audio_seconds += seconds
        self._played_until = max(self._played_until, now) + seconds

    def pauses(self, seconds: float) -> None:
        """Silence of this length was sent, which a client plays too."""
        self._played_until = max(self._played_until, self._now()) + seconds

    def stops_waiting(self) -> None:
        """A piece is spoken, or given up."""
        self._stop_waiting(self._now())

    def stood_in(self) -> None:
        """An embedded voice speaks instead of the one that was meant."""
        self._observer.stood_in()

    def ends(self, *, outcome: str = SPOKEN, voice: str | None, characters: int) -> None:
        """The request is over. Counts once.

        Args:
            outcome: ``SPOKEN``, or the code of an error.
            voice: the name of the voice that spoke, if one was found.
            characters: of the text that came.
        """
        if self._over:
            return
        self._over = True
        self.stops_waiting()
        ended = Ended(
            request=self.request,
            peer=self._peer,
            outcome=outcome,
            voice=voice,
            characters=characters,
            audio_seconds=self._audio_seconds,
            first_audio_seconds=self._first_audio_seconds,
            waited_seconds=self._waited_seconds,
        )
        self._observer.request_ended(ended)

    def _stop_waiting(self, now: float) -> float:
        """Return since when was waited."""
        since = now if self._waiting_since is None else self._waiting_since
        self._waited_seconds += now - since
        self._waiting_since = None
        return since
