"""One request's text, read into pieces, and the events that answer it. Knows nothing about other requests."""

import logging
from enum import Enum, auto

from wyoming.audio import AudioStop
from wyoming.error import Error
from wyoming.event import Event
from wyoming.tts import SynthesizeStopped

from wyoming_pocket_tts.engine.observer import SPOKEN
from wyoming_pocket_tts.errors import Cancelled, ProtocolError, SpeechError
from wyoming_pocket_tts.serving.account import Account
from wyoming_pocket_tts.serving.actions import Note
from wyoming_pocket_tts.serving.audio_events import WIDTH_BYTES, AudioEvents
from wyoming_pocket_tts.serving.direction import Direction, FindStandIn
from wyoming_pocket_tts.serving.limits import Limits
from wyoming_pocket_tts.serving.reading import Reading
from wyoming_pocket_tts.serving.silence import Silence
from wyoming_pocket_tts.speech import Request
from wyoming_pocket_tts.text.pieces import Piece, Pieces

_SILENCE_CHUNKS = 5
"""Silence is written so many chunks at a time, and then the client may read."""


class Kind(Enum):
    """What the client asked with, which decides what it waits for."""

    WHOLE = auto()
    """``synthesize``: ends with ``audio-stop``."""
    STREAM = auto()
    """``synthesize-start``: ends with ``audio-stop`` and, once ``synthesize-stop`` came, ``synthesize-stopped``."""
    STRAY_TEXT = auto()
    """``synthesize-chunk`` outside a stream: nobody waits for anything."""
    STRAY_STOP = auto()
    """``synthesize-stop`` outside a stream: ends with ``synthesize-stopped``."""


class Stage(Enum):
    """How far the answer has come."""

    SILENT = auto()
    SOUNDING = auto()
    """``audio-start`` was sent."""
    SETTLED = auto()
    """``audio-stop`` was sent; a stream may still wait for its ``synthesize-stop``."""
    DONE = auto()


_NEXT = {
    Stage.SILENT: {Stage.SOUNDING, Stage.SETTLED},
    Stage.SOUNDING: {Stage.SETTLED},
    Stage.SETTLED: {Stage.DONE},
    Stage.DONE: set[Stage](),
}


class Response:
    """One request and its answer. Each event comes out once, in the protocol's order."""

    def __init__(
        self,
        kind: Kind,
        *,
        direction: Direction | None = None,
        reader: Pieces | None = None,
        limits: Limits,
        account: Account,
    ) -> None:
        """Begin. Without a direction and a reader the response can only fail."""
        self.kind = kind
        self.account = account
        """Told about silence here, closed by ``conclude``; of the waiting for audio knows who speaks."""
        self.pieces_begun = 0
        self.stage = Stage.SILENT
        self.error: SpeechError | None = None
        self.broke_off = False
        """It failed when a part of it had been heard."""
        self.by_stand_in = False
        """An embedded voice speaks, because too much is asked of the one that was meant."""
        self._piece: Piece | None = None
        self._direction = direction
        self._reading = None if reader is None else Reading(reader)
        self._silence = (
            None
            if direction is None
            else Silence(direction.choice.manner.pauses, rate_hz=direction.rate_hz, most_seconds=limits.pause_seconds)
        )
        self._limits = limits
        self._characters = 0
        self._text_complete = kind is not Kind.STREAM
        self._given_up = False
        self._has_words = False
        self._not_done: dict[str, None] = {}  # kinds of what cannot be done, in their order
        self._audio = self._audio_events()

    @property
    def over(self) -> bool:
        """Nothing more of it is to be spoken, whatever is under way."""
        return self._given_up or self.error is not None

    def add_text(self, text: str) -> None:
        """Take text; text beyond the limit makes the response fail."""
        self._characters += len(text)
        if self._characters > self._limits.text_characters:
            most = f"{self._limits.text_characters} characters (server.limits.text_characters)"
            self.fail(ProtocolError(f"the text is longer than {most}"))
        elif self._reading is not None and not self.over:
            self._reading.add(text)

    def end_text(self) -> None:
        """No more text will come."""
        self._text_complete = True
        if self._reading is not None:
            self._reading.end()

    def read_on(self) -> bool:
        """Read the text as far as the next piece, or as it came. False: that takes another turn."""
        return self._reading is None or self._reading.read_on()

    @property
    def has_piece(self) -> bool:
        """Whether something is to be spoken, as far as the text is read."""
        return self._reading is not None and self._reading.has_piece

    def begin_piece(self) -> Request | None:
        """Take the next piece: what is to be spoken for it, or None for one without text."""
        assert self._direction is not None, "a text without a voice fails before"  # noqa: S101  (our own invariant)
        assert self._reading is not None, "it has a piece"  # noqa: S101  (as above)
        piece = self._piece = self._reading.take()
        self._owed.piece_begins(piece)
        if not piece.text.strip():
            return None
        self.pieces_begun += 1
        self._has_words = self._has_words or any(map(str.isalnum, piece.text))
        return self._direction.request(piece)

    def stand_in(self, find: FindStandIn) -> Request | None:
        """Have somebody else give the answer, whose first piece nobody speaks.

        Returns:
            What is to be spoken of that piece, at another rate from now on; None if nobody can.
        """
        if self.stage is not Stage.SILENT or self.pieces_begun != 1 or self.by_stand_in or self._direction is None:
            return None
        direction = self._direction.by_stand_ins(find)
        if direction is None:
            return None
        assert self._piece is not None, "it was begun"  # noqa: S101  (our own invariant)
        self.by_stand_in, self._direction = True, direction
        self._audio = self._audio_events()
        self._owed.change_rate(direction.rate_hz)
        return direction.request(self._piece)

    def notes(self) -> list[Note]:
        """What was wrong with the text, and what of its wishes could not be granted, since this was last asked.

        That is told in the text's own words, which are for the debug log alone; ``last_notes`` sums it up for others.
        """
        problems = [] if self._reading is None else self._reading.problems()
        problems += [] if self._direction is None else self._direction.warnings()
        self._not_done |= dict.fromkeys(problem.kind for problem in problems)
        return [Note(logging.DEBUG, problem.what, self.account.request) for problem in problems]

    def last_notes(self) -> list[Note]:
        """What is to be said of the whole request, once and without its words, when all of it was spoken.

        Called before ``due``, as often as that.
        """
        if self.stage not in {Stage.SILENT, Stage.SOUNDING} or self.has_piece or not (self._text_complete or self.over):
            return []
        texts = []
        if self._not_done:
            kinds = ", ".join(self._not_done)
            texts.append(f"not everything that the text asks for can be done ({kinds}); log.level debug says what")
            self._not_done.clear()
        if self.stage is Stage.SILENT and self._has_words and not self.over and self._direction is not None:
            name = self._direction.choice.voice.name
            texts.append(f"the voice {name!r} can say nothing of this text: it has no word in its letters")
        return [Note(logging.WARNING, text, self.account.request) for text in texts]

    def fail(self, error: SpeechError) -> None:
        """Speak no more: the error is due, then what is owed. The first error counts."""
        if self.error is None:
            self.error = error
            self.broke_off = self.stage is Stage.SOUNDING
        self._forget_text()

    def give_up(self, error: SpeechError | None) -> None:
        """End without waiting for ``synthesize-stop``, which will not come for this one."""
        if error is not None:
            self.fail(error)
        self._forget_text()
        self._given_up = True

    def audio(self, pcm: bytes) -> list[Event]:
        """Events for more audio (little-endian 16-bit mono), in chunks short enough to stream."""
        if not pcm:
            return []
        events = []
        while silence := self.silence():
            events += silence
        return events + self._sound(pcm)

    def silence(self) -> list[Event]:
        """Events for a bit of the silence that is owed before the audio that came. None: it was sent."""
        self._owed.sound_comes()
        return self.owed_silence()

    def fades(self) -> bool:
        """Whether all is spoken, but silence is owed at the end."""
        if self.stage is not Stage.SOUNDING or self.over or self.has_piece or not self._text_complete:
            return False
        self._owed.nothing_follows()
        return self._owed.owed_samples > 0

    def owed_silence(self) -> list[Event]:
        """Events for a bit of the silence that is owed; of ``silence``, or once it ``fades``."""
        samples = self._owed.take(_SILENCE_CHUNKS * self._sounds.chunk_samples)
        if samples:
            self.account.pauses(samples / self._sounds.rate_hz)
        return self._sound(bytes(WIDTH_BYTES * samples))

    def conclude(self, error: SpeechError | None = None) -> None:
        """Close the account: nothing more becomes of it. An error that came before the given one counts."""
        error = self.error or error or (Cancelled() if self._given_up else None)
        self.account.ends(
            outcome=SPOKEN if error is None else error.code,
            voice=None if self._direction is None else self._direction.choice.voice.name,
            characters=self._characters,
        )

    def due(self) -> list[Event]:
        """Events that can be sent now that none of its pieces is being spoken and its text is read. Moves the stage."""
        events: list[Event] = []
        unsettled = self.stage in {Stage.SILENT, Stage.SOUNDING}
        if unsettled and self.error is not None:
            events += [error_event(self.error), *self._stop()]
        elif unsettled and self._given_up:
            if self.stage is Stage.SOUNDING:
                events += self._stop()
            else:
                self._move(Stage.SETTLED)
        elif unsettled and self._text_complete and not self.has_piece:
            events += [*self._start(), *self._stop()]
        if self.stage is Stage.SETTLED and (self._text_complete or self._given_up):
            self._move(Stage.DONE)
            if self._text_complete and self.kind in {Kind.STREAM, Kind.STRAY_STOP}:
                events.append(SynthesizeStopped().event())
        return events

    def _forget_text(self) -> None:
        if self._reading is not None:
            self._reading.drop()

    def _sound(self, pcm: bytes) -> list[Event]:
        return [*self._start(), *self._sounds.chunks(pcm)] if pcm else []

    def _audio_events(self) -> AudioEvents | None:
        if self._direction is None:
            return None
        return AudioEvents(rate_hz=self._direction.rate_hz, chunk_seconds=self._limits.chunk_seconds)

    @property
    def _owed(self) -> Silence:
        assert self._silence is not None, "only a response with a voice can sound"  # noqa: S101  (our own invariant)
        return self._silence

    @property
    def _sounds(self) -> AudioEvents:
        assert self._audio is not None, "only a response with a voice can sound"  # noqa: S101  (our own invariant)
        return self._audio

    def _start(self) -> list[Event]:
        if self.stage is Stage.SOUNDING:
            return []
        self._move(Stage.SOUNDING)
        if self.by_stand_in:
            self.account.stood_in()  # only now: embedded voices may have too much to do as well
        return [self._sounds.start()]

    def _stop(self) -> list[Event]:
        self._move(Stage.SETTLED)
        if self.kind not in {Kind.WHOLE, Kind.STREAM}:
            return []
        return [AudioStop(timestamp=0).event() if self._audio is None else self._audio.stop()]

    def _move(self, stage: Stage) -> None:
        assert stage in _NEXT[self.stage], f"{self.stage} -> {stage}"  # noqa: S101  (our own invariant)
        self.stage = stage


def error_event(error: SpeechError) -> Event:
    """The event that tells a client what went wrong."""
    return Error(text=str(error), code=error.code).event()
