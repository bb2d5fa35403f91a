"""One request: segments -> normalised text -> synthesis -> audio events, pauses."""

import logging
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from enum import Enum, auto
from typing import Final, Protocol

from wyoming.audio import AudioStop
from wyoming.error import Error
from wyoming.event import Event
from wyoming.tts import SynthesizeStopped

from wyoming_pocket_tts.audio.effects import shape
from wyoming_pocket_tts.config.schema import Limits
from wyoming_pocket_tts.core.errors import Cancelled, ProtocolError, TtsError, VoiceError, quote_untrusted
from wyoming_pocket_tts.core.events import SPOKEN
from wyoming_pocket_tts.core.types import (
    SILENT_DB,
    Derived,
    Pcm,
    SilenceOptions,
    SynthesisOptions,
    SynthesisRequest,
    Synthesizer,
    TextOptions,
    Voice,
)
from wyoming_pocket_tts.server.protocol import WIDTH_BYTES, AudioEventEncoder
from wyoming_pocket_tts.server.request_stats import RequestTimer
from wyoming_pocket_tts.text.normalization.pipeline import normalize_text
from wyoming_pocket_tts.text.segments import ProsodyStyle, Segment, SegmentReader, TextWarning
from wyoming_pocket_tts.voices.catalog import VoiceCatalog
from wyoming_pocket_tts.voices.matching import VoiceMatch

_SILENCE_CHUNKS = 5
"""Silence is written so many chunks at a time, and then the client may read."""


class RequestKind(Enum):
    """What the client asked with, which decides what it waits for."""

    WHOLE = auto()
    """``synthesize``: ends with ``audio-stop``."""
    STREAM = auto()
    """``synthesize-start``: ends with ``audio-stop`` and, once ``synthesize-stop`` came, ``synthesize-stopped``."""
    STRAY_TEXT = auto()
    """``synthesize-chunk`` outside a stream: nobody waits for anything."""
    STRAY_STOP = auto()
    """``synthesize-stop`` outside a stream: ends with ``synthesize-stopped``."""


class ResponseState(Enum):
    """How far the answer has come."""

    SILENT = auto()
    SOUNDING = auto()
    """``audio-start`` was sent."""
    SETTLED = auto()
    """``audio-stop`` was sent; a stream may still wait for its ``synthesize-stop``."""
    DONE = auto()


_NEXT = {
    ResponseState.SILENT: {ResponseState.SOUNDING, ResponseState.SETTLED},
    ResponseState.SOUNDING: {ResponseState.SETTLED},
    ResponseState.SETTLED: {ResponseState.DONE},
    ResponseState.DONE: set[ResponseState](),
}


class PauseTracker:
    """What is owed before the next sound and, once no more will come, at the end."""

    def __init__(self, pauses: SilenceOptions, *, rate_hz: int, most_seconds: float) -> None:
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

    def piece_begins(self, piece: Segment) -> None:
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


FindStandIn = Callable[[VoiceMatch], VoiceMatch | None]
"""Finds who can speak instead of somebody whose engine has too much to do."""


class ResolveVoice(Protocol):
    """Finds the voice that a client means."""

    def __call__(self, *, name: str | None, speaker: str | None, language: str | None) -> VoiceMatch:
        """Choose.

        Raises:
            VoiceError: nobody can speak so.
        """
        ...


class RequestBuilder:
    """How one answer is to be spoken."""

    def __init__(self, choice: VoiceMatch, choose: ResolveVoice) -> None:
        """Take the voice of the answer, and a way to find others that its text asks for."""
        self.choice = choice
        self.rate_hz = choice.manner.rate_hz or choice.voice.sample_rate_hz
        self._choose = choose
        self._others: dict[tuple[str | None, str | None], VoiceMatch] = {}
        self._warnings: list[TextWarning] = []

    def request(self, piece: Segment) -> SynthesisRequest:
        """What to ask of a synthesizer, so that it speaks the piece. Only pieces with text can be spoken."""
        style = piece.style
        choice = self._choice(style)
        return SynthesisRequest(
            text=piece.text,
            voice=choice.voice,
            speaker=choice.speaker,
            manner=self._manner(choice.manner, style),
            language=style.language,
        )

    def by_stand_ins(self, find: FindStandIn) -> "RequestBuilder | None":
        """The same answer given by others, whoever its text asks for; None if nobody can."""
        choice = find(self.choice)

        def choose(*, name: str | None, speaker: str | None, language: str | None) -> VoiceMatch:
            found = find(self._choose(name=name, speaker=speaker, language=language))
            if found is None:
                raise VoiceError("nobody stands in for that voice")
            return found

        return None if choice is None else RequestBuilder(choice, choose)

    def warnings(self) -> list[TextWarning]:
        """What of the text's wishes could not be granted since this was last asked; each is told once."""
        warnings, self._warnings = self._warnings, []
        return warnings

    def _manner(self, manner: SynthesisOptions, style: ProsodyStyle) -> SynthesisOptions:
        speed = min(max(manner.speed * style.speed, _SLOWEST), _FASTEST)
        volume_db = min(max(manner.volume_db + style.volume_db, SILENT_DB), _LOUDEST_DB)
        return replace(manner, speed=speed, volume_db=volume_db, rate_hz=self.rate_hz)

    def _choice(self, style: ProsodyStyle) -> VoiceMatch:
        wish = (style.voice, style.language)
        if wish not in self._others:  # as many as the longest text can name
            if style.voice is not None:
                self._others[wish] = self._called(style.voice)
            elif style.language is not None and not _speaks(self.choice, style.language):
                self._others[wish] = self._speaking(style.language)
            else:
                self._others[wish] = self.choice
        return self._others[wish]

    def _called(self, name: str) -> VoiceMatch:
        try:
            choice = self._choose(name=name, speaker=None, language=None)
        except VoiceError:
            granted = False
        else:
            granted = not choice.warnings
        if granted:
            return choice
        told = (
            f"the text asks for voice {quote_untrusted(name)}, which is not there; {self.choice.voice.name!r} reads on"
        )
        self._warnings.append(TextWarning("a voice that is not there", told))
        return self.choice

    def _speaking(self, language: str) -> VoiceMatch:
        try:
            choice = self._choose(name=None, speaker=None, language=language)
        except VoiceError:
            granted = False
        else:
            granted = _speaks(choice, language)
        if granted:
            return choice
        told = f"no voice speaks {quote_untrusted(language)}; {self.choice.voice.name!r} reads on"
        self._warnings.append(TextWarning("a language that nobody speaks", told))
        return self.choice


@dataclass(frozen=True, slots=True)
class Note:
    """Tell the log."""

    level: int
    text: str
    request: str = ""
    """The identifier of the request that it is about, if it is about one."""


class Response:
    """One request and its answer. Each event comes out once, in the protocol's order."""

    def __init__(
        self,
        kind: RequestKind,
        *,
        direction: RequestBuilder | None = None,
        reader: SegmentReader | None = None,
        limits: Limits,
        account: RequestTimer,
    ) -> None:
        """Begin. Without a direction and a reader the response can only fail."""
        self.kind = kind
        self.account = account
        """Told about silence here, closed by ``conclude``; of the waiting for audio knows who speaks."""
        self.pieces_begun = 0
        self.stage = ResponseState.SILENT
        self.error: TtsError | None = None
        self.broke_off = False
        """It failed when a part of it had been heard."""
        self.by_stand_in = False
        """An embedded voice speaks, because too much is asked of the one that was meant."""
        self._piece: Segment | None = None
        self._direction = direction
        self._reading = None if reader is None else SegmentQueue(reader)
        self._silence = (
            None
            if direction is None
            else PauseTracker(
                direction.choice.manner.pauses, rate_hz=direction.rate_hz, most_seconds=limits.pause_seconds
            )
        )
        self._limits = limits
        self._characters = 0
        self._text_complete = kind is not RequestKind.STREAM
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

    def begin_piece(self) -> SynthesisRequest | None:
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

    def stand_in(self, find: FindStandIn) -> SynthesisRequest | None:
        """Have somebody else give the answer, whose first piece nobody speaks.

        Returns:
            What is to be spoken of that piece, at another rate from now on; None if nobody can.
        """
        if (
            self.stage is not ResponseState.SILENT
            or self.pieces_begun != 1
            or self.by_stand_in
            or self._direction is None
        ):
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
        if (
            self.stage not in {ResponseState.SILENT, ResponseState.SOUNDING}
            or self.has_piece
            or not (self._text_complete or self.over)
        ):
            return []
        texts = []
        if self._not_done:
            kinds = ", ".join(self._not_done)
            texts.append(f"not everything that the text asks for can be done ({kinds}); log.level debug says what")
            self._not_done.clear()
        if self.stage is ResponseState.SILENT and self._has_words and not self.over and self._direction is not None:
            name = self._direction.choice.voice.name
            texts.append(f"the voice {name!r} can say nothing of this text: it has no word in its letters")
        return [Note(logging.WARNING, text, self.account.request) for text in texts]

    def fail(self, error: TtsError) -> None:
        """Speak no more: the error is due, then what is owed. The first error counts."""
        if self.error is None:
            self.error = error
            self.broke_off = self.stage is ResponseState.SOUNDING
        self._forget_text()

    def give_up(self, error: TtsError | None) -> None:
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
        if self.stage is not ResponseState.SOUNDING or self.over or self.has_piece or not self._text_complete:
            return False
        self._owed.nothing_follows()
        return self._owed.owed_samples > 0

    def owed_silence(self) -> list[Event]:
        """Events for a bit of the silence that is owed; of ``silence``, or once it ``fades``."""
        samples = self._owed.take(_SILENCE_CHUNKS * self._sounds.chunk_samples)
        if samples:
            self.account.pauses(samples / self._sounds.rate_hz)
        return self._sound(bytes(WIDTH_BYTES * samples))

    def conclude(self, error: TtsError | None = None) -> None:
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
        unsettled = self.stage in {ResponseState.SILENT, ResponseState.SOUNDING}
        if unsettled and self.error is not None:
            events += [error_event(self.error), *self._stop()]
        elif unsettled and self._given_up:
            if self.stage is ResponseState.SOUNDING:
                events += self._stop()
            else:
                self._move(ResponseState.SETTLED)
        elif unsettled and self._text_complete and not self.has_piece:
            events += [*self._start(), *self._stop()]
        if self.stage is ResponseState.SETTLED and (self._text_complete or self._given_up):
            self._move(ResponseState.DONE)
            if self._text_complete and self.kind in {RequestKind.STREAM, RequestKind.STRAY_STOP}:
                events.append(SynthesizeStopped().event())
        return events

    def _forget_text(self) -> None:
        if self._reading is not None:
            self._reading.drop()

    def _sound(self, pcm: bytes) -> list[Event]:
        return [*self._start(), *self._sounds.chunks(pcm)] if pcm else []

    def _audio_events(self) -> AudioEventEncoder | None:
        if self._direction is None:
            return None
        return AudioEventEncoder(rate_hz=self._direction.rate_hz, chunk_seconds=self._limits.chunk_seconds)

    @property
    def _owed(self) -> PauseTracker:
        assert self._silence is not None, "only a response with a voice can sound"  # noqa: S101  (our own invariant)
        return self._silence

    @property
    def _sounds(self) -> AudioEventEncoder:
        assert self._audio is not None, "only a response with a voice can sound"  # noqa: S101  (our own invariant)
        return self._audio

    def _start(self) -> list[Event]:
        if self.stage is ResponseState.SOUNDING:
            return []
        self._move(ResponseState.SOUNDING)
        if self.by_stand_in:
            self.account.stood_in()  # only now: embedded voices may have too much to do as well
        return [self._sounds.start()]

    def _stop(self) -> list[Event]:
        self._move(ResponseState.SETTLED)
        if self.kind not in {RequestKind.WHOLE, RequestKind.STREAM}:
            return []
        return [AudioStop(timestamp=0).event() if self._audio is None else self._audio.stop()]

    def _move(self, stage: ResponseState) -> None:
        assert stage in _NEXT[self.stage], f"{self.stage} -> {stage}"  # noqa: S101  (our own invariant)
        self.stage = stage


def error_event(error: TtsError) -> Event:
    """The event that tells a client what went wrong."""
    return Error(text=str(error), code=error.code).event()


_SLICE_CHARACTERS: Final = 256
"""Read at once: prose takes a tenth of a millisecond, the worst of markup one."""
_TURN_CHARACTERS: Final = 512
"""Read before others have their turn, however little there is to be said in it."""


class SegmentQueue:
    """One text, from its first characters to its last piece."""

    def __init__(self, reader: SegmentReader) -> None:
        """Begin with nothing read."""
        self._reader = reader
        self._unread: deque[str] = deque()
        self._pieces: deque[Segment] = deque()
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

    def take(self) -> Segment:
        """The next piece, which ``has_piece``."""
        return self._pieces.popleft()

    def problems(self) -> list[TextWarning]:
        """What was wrong with the text, as far as it is read, since this was last asked."""
        return self._reader.problems()


_SLOWEST: Final = 0.5
_FASTEST: Final = 2.0
_LOUDEST_DB: Final = 20.0


def primary_language(tag: str) -> str:
    """``de`` for ``de-DE`` or ``de_DE``."""
    return tag.replace("_", "-").partition("-")[0].lower()


def _speaks(choice: VoiceMatch, language: str) -> bool:
    return primary_language(language) in map(primary_language, choice.voice.languages)


@dataclass(frozen=True, slots=True)
class Send:
    """Write the event."""

    event: Event
    request: str = ""
    """The identifier of the request that it answers, if it answers one."""


@dataclass(frozen=True, slots=True)
class Speak:
    """Begin to synthesize, and report with this number. Only one speech is ever under way."""

    speech: int
    request: SynthesisRequest
    continues: bool
    """It goes on with a response whose earlier sentences were spoken."""
    reserve: bool = False
    """It takes a place that is kept for voices that stand in for others."""


@dataclass(frozen=True, slots=True)
class Rest:
    """Nothing is to be synthesized, but silence is to be sent: take it bit by bit from the session's ``silence``."""

    rest: int
    """The number to take it with. Once it is over or given up, there is nothing to be taken."""


@dataclass(frozen=True, slots=True)
class Again:
    """Call the session's ``goes_on`` once everybody else had a turn: there is a long text to be read."""


@dataclass(frozen=True, slots=True)
class Hush:
    """Give up the speech under way; reports about it are ignored from now on."""


@dataclass(frozen=True, slots=True)
class Close:
    """Close the connection, once what was sent before has left."""


Action = Send | Speak | Rest | Again | Hush | Note | Close


_LOGGER = logging.getLogger(__name__)

Read = Callable[[str, str, TextOptions], str]
Shape = Callable[[Iterator[Pcm], int, SynthesisOptions], Iterator[Pcm]]


class SynthesisPipeline:
    """The engine with everybody who is in the cast. Implements ``speech.Synthesizer``.

    Args:
        engine: what speaks.
        cast: who can be asked, made with this engine's voices.
        read: makes of a text what is to be said: text, language tag, reading.
        shape: gives audio the manner's speed, volume and rate: blocks, their rate, manner.
    """

    def __init__(
        self, engine: Synthesizer, cast: VoiceCatalog, *, read: Read = normalize_text, shape: Shape = shape
    ) -> None:
        self._engine = engine
        self._cast = cast
        self._read = read
        self._shape = shape

    def voices(self) -> Sequence[Voice]:
        """Everybody in the cast, the default voice first."""
        return self._cast.voices()

    def synthesize(self, request: SynthesisRequest) -> Derived[Pcm]:
        """Speak in blocks, as soon as each exists, at ``request.manner.rate_hz`` or else the engine's voice's rate.

        The request's manner counts, whole; ``Cast.choose`` made it.

        Raises:
            VoiceError: the voice is not there, or not yet.
            SpeechError: the text cannot be spoken.
        """
        part: list[Voice] = []  # found when it begins

        def begin() -> Iterator[Pcm]:
            asked = self._asked(request)
            part.append(asked.voice)
            return self._engine.synthesize(asked)

        return Derived(begin, lambda blocks: self._shape(blocks, part[0].sample_rate_hz, request.manner))

    def _asked(self, request: SynthesisRequest) -> SynthesisRequest:
        """What the engine is asked for."""
        part = self._cast.part(request.voice.name)
        if part.engine is None:
            raise VoiceError(f"the voice '{request.voice.name}' is not installed yet")
        language = request.language or part.voice.languages[0]
        text = self._read(request.text, language, request.manner.reading)
        # Words of people's lives: for the debug log alone, which says so.
        written = "" if text == request.text else f" (written {request.text!r})"
        _LOGGER.debug("%r says %r%s", part.engine.name, text, written)
        return replace(
            request,
            text=text,
            voice=part.engine,
            speaker=part.speaker or request.speaker,
        )
