"""Conversation: request queue, stream state, errors."""

import itertools
import logging
from collections import deque
from collections.abc import Callable
from enum import Enum, auto
from typing import Any, Final

from wyoming.event import Event
from wyoming.ping import Pong

from wyoming_pocket_tts.config.schema import Limits
from wyoming_pocket_tts.core.errors import Cancelled, ProtocolError, ServerOverloaded, TtsError, quote_untrusted
from wyoming_pocket_tts.server import protocol as fields
from wyoming_pocket_tts.server.protocol import PROGRAM, text, voice
from wyoming_pocket_tts.server.request_stats import RequestTimer, voice_choice_text
from wyoming_pocket_tts.server.response import (
    Action,
    Again,
    Close,
    FindStandIn,
    Hush,
    Note,
    RequestBuilder,
    RequestKind,
    ResolveVoice,
    Response,
    ResponseState,
    Rest,
    Send,
    Speak,
    error_event,
    primary_language,
)
from wyoming_pocket_tts.text.segments import SegmentReaderFactory


class InputState(Enum):
    """What the client may send next."""

    OPEN = auto()
    STREAM = auto()
    """Between ``synthesize-start`` and ``synthesize-stop``."""
    ENDED = auto()
    """The client closed its side; what it asked for is still answered."""
    CLOSED = auto()
    """Over."""


class Session:
    """One client's conversation."""

    def __init__(
        self,
        *,
        choose: ResolveVoice,
        pieces: SegmentReaderFactory,
        info: Callable[[], Event],
        limits: Limits,
        program: str = PROGRAM,
        account: Callable[[], RequestTimer] = RequestTimer,
        stand_in: FindStandIn = lambda _: None,
    ) -> None:
        """Begin with nothing asked.

        Args:
            choose: finds the voice for ``name``, ``speaker`` and ``language``; may raise ``VoiceError``.
            pieces: makes what reads a text.
            info: makes the answer to ``describe``.
            limits: what the client may ask for.
            account: opens the account of a request.
            program: what the info calls us.
            stand_in: finds who gives an answer that is refused because too much is asked for.
        """
        self._courtesies = Courtesies(info=info, program=program)
        self._desk = Desk(choose=choose, pieces=pieces, limits=limits, account=account)
        self._limits = limits
        self._find_stand_in = stand_in
        self._intake = InputState.OPEN
        self._queue: deque[Response] = deque()
        self._stream: Response | None = None
        self._speech: int | None = None
        self._rest: int | None = None
        self._reads_on = False
        self._numbers = itertools.count(1)
        self._refusal: TtsError | None = None

    @property
    def speaking(self) -> bool:
        """Whether an answer is under way: a speech, or the silence at its end."""
        return self._speech is not None or self._rest is not None

    @property
    def account(self) -> RequestTimer:
        """Of the request that is being spoken."""
        return self._queue[0].account

    # What the client does

    def received(self, event: Event) -> list[Action]:
        """An event came."""
        if self._intake in {InputState.ENDED, InputState.CLOSED}:
            return []
        handlers: dict[str, Callable[[dict[str, Any]], list[Action]]] = {
            "describe": self._courtesies.describe,
            "ping": self._courtesies.ping,
            "select-program": self._courtesies.select_program,
            "synthesize": self._synthesize,
            "synthesize-start": self._synthesize_start,
            "synthesize-chunk": self._synthesize_chunk,
            "synthesize-stop": self._synthesize_stop,
        }
        handler = handlers.get(event.type)
        if handler is None:
            return [Note(logging.DEBUG, f"ignored an event of type {quote_untrusted(event.type)}")]
        return handler(event.data) + self._advance()

    def broken(self, error: TtsError) -> list[Action]:
        """The client cannot be understood or served any more: say why, send what is owed, close."""
        if self._intake is InputState.CLOSED:
            return []
        actions = self._hush()
        if self._queue:
            head = self._queue[0]
            head.give_up(error)
            actions += [Send(event, head.account.request) for event in head.due()]
            self._conclude_all(error)
        else:
            actions.append(Send(error_event(error)))
        self._move(InputState.CLOSED)
        return [*actions, Close()]

    def abandoned(self) -> None:
        """The connection is no more: nothing that is still open gets its answer."""
        self._hush()
        self._conclude_all(Cancelled("the client is gone"))

    def ended(self) -> list[Action]:
        """The client closed its side. What it asked for completely is still answered."""
        if self._intake in {InputState.ENDED, InputState.CLOSED}:
            return []
        if self._stream is not None:
            self._stream.give_up(ProtocolError("the connection ended before synthesize-stop"))
            self._stream = None
        self._move(InputState.ENDED)
        return self._advance()

    def refuse(self, error: TtsError) -> list[Action]:
        """Answer what was asked so far, refuse whatever else comes, then close."""
        self._refusal = self._refusal or error
        return self._advance()

    # What becomes of the speech

    def audio(self, speech: int, pcm: bytes) -> list[Action]:
        """More audio of the speech: little-endian signed 16-bit mono at its request's rate."""
        return [Send(event) for event in self._queue[0].audio(pcm)] if speech == self._speech else []

    def silence(self, number: int) -> list[Action]:
        """A bit of the silence that is to be sent now: of a rest, or before audio of a speech. None: go on."""
        if number == self._speech:
            return [Send(event) for event in self._queue[0].silence()]
        if number != self._rest:
            return []
        events = self._queue[0].owed_silence()
        if events:
            return [Send(event) for event in events]
        self._rest = None
        return self._advance()

    def goes_on(self) -> list[Action]:
        """Others had their turn, as an ``Again`` asked."""
        self._reads_on = False
        return self._advance()

    def spoken(self, speech: int) -> list[Action]:
        """The speech is complete."""
        if speech != self._speech:
            return []
        self._speech = None
        return self._advance()

    def failed(self, speech: int, error: TtsError) -> list[Action]:
        """The speech broke off. Its response fails, and the connection closes once what was accepted is answered."""
        if speech != self._speech:
            return []
        self._speech = None
        if isinstance(error, ServerOverloaded) and (actions := self._stand_in()):
            return actions
        self._queue[0].fail(error)
        self._refusal = self._refusal or error
        return self._advance()

    # One method for each kind of event

    def _synthesize(self, data: dict[str, Any]) -> list[Action]:
        if self._intake is InputState.STREAM:
            return []  # the whole text once more, for servers that cannot stream
        response, notes = self._desk.whole(data, self._refusal)
        return [*notes, *self._enqueue(response)]

    def _synthesize_start(self, data: dict[str, Any]) -> list[Action]:
        actions: list[Action] = []
        if self._stream is not None:
            actions.append(Note(logging.WARNING, "synthesize-start within a stream: the stream begins anew"))
            self._stream.give_up(None)
        self._stream, notes = self._desk.begin(RequestKind.STREAM, data, self._refusal)
        self._move(InputState.STREAM)
        return [*actions, *notes, *self._enqueue(self._stream)]

    def _synthesize_chunk(self, data: dict[str, Any]) -> list[Action]:
        if self._stream is None:
            return self._stray(
                RequestKind.STRAY_TEXT, "synthesize-chunk without synthesize-start: the text is not spoken"
            )
        try:
            self._stream.add_text(text(data))
        except ProtocolError as error:
            self._stream.fail(error)
        return []

    def _synthesize_stop(self, _data: dict[str, Any]) -> list[Action]:
        if self._stream is None:
            return self._stray(RequestKind.STRAY_STOP, "synthesize-stop without synthesize-start")
        self._stream.end_text()
        self._stream = None
        self._move(InputState.OPEN)
        return []

    # Steps that they share

    def _stray(self, kind: RequestKind, complaint: str) -> list[Action]:
        return self._enqueue(self._desk.failed(kind, self._refusal or ProtocolError(complaint)))

    def _enqueue(self, response: Response) -> list[Action]:
        if len(self._queue) <= self._limits.queued_requests:  # the first of them is not waiting
            self._queue.append(response)
            return []
        error = ServerOverloaded(
            f"more than {self._limits.queued_requests} requests wait on this connection (server.limits.queued_requests)"
        )
        response.fail(error)
        response.conclude()
        self._refusal = self._refusal or error
        return [Send(error_event(error), response.account.request)]

    def _advance(self) -> list[Action]:
        """Answer as far as can be done now."""
        actions: list[Action] = []
        while self._queue:
            head = self._queue[0]
            if self.speaking and not head.over:
                return actions
            actions += self._hush()
            if head.broke_off:
                self._refusal = self._refusal or head.error
            if not head.read_on():
                return actions + self._again()
            actions += head.notes()
            if head.has_piece:
                actions += self._begin_piece(head)
                continue
            if head.fades():
                self._rest = next(self._numbers)
                actions.append(Rest(self._rest))
                continue
            actions += head.last_notes()
            actions += [Send(event, head.account.request) for event in head.due()]
            if head.stage is not ResponseState.DONE:
                return actions
            self._queue.popleft().conclude()
        if self._intake is InputState.ENDED or (self._refusal is not None and self._intake is not InputState.CLOSED):
            self._move(InputState.CLOSED)
            actions.append(Close())
        return actions

    def _again(self) -> list[Action]:
        """Go on reading later, which is asked for once however often we come by meanwhile."""
        if self._reads_on:
            return []
        self._reads_on = True
        return [Again()]

    def _move(self, intake: InputState) -> None:
        assert intake in FOLLOWING[self._intake], f"{self._intake} -> {intake}"  # noqa: S101  (our own invariant)
        self._intake = intake

    def _begin_piece(self, response: Response) -> list[Action]:
        continues = response.pieces_begun > 0
        request = response.begin_piece()
        notes = response.notes()
        if request is None:
            return [*notes]
        self._speech = next(self._numbers)
        speak = Speak(speech=self._speech, request=request, continues=continues, reserve=response.by_stand_in)
        return [*notes, speak]

    def _stand_in(self) -> list[Action]:
        """Have somebody else begin the answer that was refused, if there is somebody."""
        response = self._queue[0]
        request = response.stand_in(self._find_stand_in)
        if request is None:
            return []
        self._speech = next(self._numbers)
        text = f"too much is asked for at once: {request.voice.name!r} stands in"
        note = Note(logging.WARNING, text, response.account.request)
        return [note, Speak(speech=self._speech, request=request, continues=False, reserve=True)]

    def _conclude_all(self, error: TtsError) -> None:
        while self._queue:
            self._queue.popleft().conclude(error)

    def _hush(self) -> list[Action]:
        self._rest = None
        if self._speech is None:
            return []
        self._speech = None
        return [Hush()]


FOLLOWING: Final = {
    InputState.OPEN: {InputState.STREAM, InputState.ENDED, InputState.CLOSED},
    InputState.STREAM: {InputState.STREAM, InputState.OPEN, InputState.ENDED, InputState.CLOSED},
    InputState.ENDED: {InputState.CLOSED},
    InputState.CLOSED: set[InputState](),
}
"""What may become of it."""


class Courtesies:
    """One method for each kind of event, with the event's data.

    Args:
        info: makes the answer to ``describe``.
        program: what it calls us.
    """

    def __init__(self, *, info: Callable[[], Event], program: str) -> None:
        self._info = info
        self._program = program

    def describe(self, _data: dict[str, Any]) -> list[Action]:
        """Say who we are."""
        return [Send(self._info())]

    def ping(self, data: dict[str, Any]) -> list[Action]:
        """Say that we are there."""
        text = data.get("text")
        return [Send(Pong(text=text if isinstance(text, str) else None).event())]

    def select_program(self, data: dict[str, Any]) -> list[Action]:
        """There is one, so nothing is to be selected; a wrong name must not keep anybody from speaking."""
        if data.get("name") == self._program:
            return []
        return [
            Note(logging.WARNING, f"there is no program {quote_untrusted(data.get('name'))}; {self._program!r} answers")
        ]


class Desk:
    """Takes one client's requests.

    Args:
        choose: finds the voice for ``name``, ``speaker`` and ``language``; may raise ``VoiceError``.
        pieces: makes what reads a text.
        limits: what the client may ask for.
        account: opens the account of a request.
    """

    def __init__(
        self, *, choose: ResolveVoice, pieces: SegmentReaderFactory, limits: Limits, account: Callable[[], RequestTimer]
    ) -> None:
        self._choose = choose
        self._make_pieces = pieces
        self._limits = limits
        self._open_account = account

    def begin(self, kind: RequestKind, data: dict[str, Any], refusal: TtsError | None) -> tuple[Response, list[Note]]:
        """A response with the voice that the client wants, or one that has failed; what is refused costs nothing.

        Args:
            kind: what the client asked with.
            data: the event's.
            refusal: why nothing is answered any more, if that is so.
        """
        if refusal is not None:
            return self.failed(kind, refusal), []
        try:
            ssml = fields.ssml(data)
            wish = voice(data)
            choice = self._choose(**wish)
        except TtsError as error:
            return self.failed(kind, error), []
        reader = self._make_pieces(primary_language(choice.voice.languages[0]), ssml=ssml)
        direction = RequestBuilder(choice, self._choose)
        account = self._open_account()
        response = Response(kind, direction=direction, reader=reader, limits=self._limits, account=account)
        told = [(logging.DEBUG, voice_choice_text(choice, wish, ssml=ssml))]
        told += [(logging.WARNING, warning) for warning in choice.warnings]
        return response, [Note(level, text, account.request) for level, text in told]

    def whole(self, data: dict[str, Any], refusal: TtsError | None) -> tuple[Response, list[Note]]:
        """The same with all of its text; see ``begin``."""
        response, notes = self.begin(RequestKind.WHOLE, data, refusal)
        try:
            text = fields.text(data)
        except ProtocolError as error:
            response.fail(error)
        else:
            if not text.strip():
                response.fail(ProtocolError("there is no text to speak"))
            response.add_text(text)
            response.end_text()
        return response, notes

    def failed(self, kind: RequestKind, error: TtsError) -> Response:
        """A response that will only tell what went wrong."""
        response = Response(kind, limits=self._limits, account=self._open_account())
        response.fail(error)
        return response
