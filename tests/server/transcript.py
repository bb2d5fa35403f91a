"""A whole conversation without sockets: any bytes through reader and session, an engine by chance, every rule checked.

Whatever the bytes are, this must hold: nothing is raised; every request has its account closed once; what a client gets
keeps the protocol's order; whatever was asked and neither broken off nor refused has its closing events; and in the
end the connection closes.
"""

import asyncio
import random
from collections import Counter
from dataclasses import replace
from typing import Final

from wyoming.event import Event

from wyoming_pocket_tts.config.schema import Limits
from wyoming_pocket_tts.core.errors import Cancelled, ModelError, ProtocolError, ServerOverloaded
from wyoming_pocket_tts.core.events import SPOKEN, NullObserver, RequestStats
from wyoming_pocket_tts.core.types import SilenceOptions, SynthesisOptions
from wyoming_pocket_tts.engine.tone import VOICES
from wyoming_pocket_tts.server import protocol as wire
from wyoming_pocket_tts.server.request_stats import RequestTimer
from wyoming_pocket_tts.server.response import Action, Again, Close, Hush, Note, Rest, Send, Speak
from wyoming_pocket_tts.server.session import Session
from wyoming_pocket_tts.text.reader import segment_reader_for
from wyoming_pocket_tts.voices.matching import VoiceMatch, choose_voice

_PAUSES: Final = SilenceOptions(before=0.1, between=0.2, after=0.3)
_NARROW: Final = Limits(
    queued_requests=2,
    text_characters=200,
    pause_seconds=1.0,
    header_bytes=700,
    data_bytes=900,
    payload_bytes=64,
    nesting_depth=6,
)
_STEPS: Final = 200_000
"""More than any conversation of a mutant takes; then it hangs."""
_SHOWN: Final = 300


async def rehearse(stream: bytes, *, seed: int) -> Counter[str]:
    """Hold one conversation and return what was sent, by type.

    Raises:
        AssertionError: a rule is broken.
    """
    chance = random.Random(seed)  # noqa: S311  (no secret)
    limits = chance.choice((Limits(), Limits(), _NARROW))
    reader = asyncio.StreamReader(limit=limits.header_bytes)
    feeding = None
    if chance.random() < 0.1:
        feeding = asyncio.create_task(_trickle(reader, stream, chance))
    else:
        reader.feed_data(stream)
        reader.feed_eof()
    client = Rehearsal(limits, chance)
    try:
        await client.converse(wire.EventReader(reader, limits))
    finally:
        if feeding is not None:
            feeding.cancel()
            await asyncio.gather(feeding, return_exceptions=True)
    return client.sent


async def _trickle(reader: asyncio.StreamReader, stream: bytes, chance: random.Random) -> None:
    at = 0
    while at < len(stream):
        size = chance.choice((1, 7, 60, 900))
        reader.feed_data(stream[at : at + size])
        at += size
        await asyncio.sleep(0)
    reader.feed_eof()


class _Accounts(NullObserver):
    """Counts requests."""

    def __init__(self) -> None:
        self.open = 0
        self.outcomes: dict[str, str] = {}

    def request_began(self) -> None:
        self.open += 1

    def request_ended(self, ended: RequestStats) -> None:
        self.open -= 1
        assert ended.request not in self.outcomes, "a request ended twice"
        self.outcomes[ended.request] = ended.outcome


class Rehearsal:
    """One connection: plays the client's ear, the connection and the engine."""

    def __init__(self, limits: Limits, chance: random.Random) -> None:
        self._chance = chance
        self._limits = limits
        self._accounts = _Accounts()
        pauses = chance.choice((SilenceOptions(), _PAUSES))

        def choose(*, name: str | None, speaker: str | None, language: str | None) -> VoiceMatch:
            return replace(
                choose_voice(VOICES, name=name, speaker=speaker, language=language),
                manner=SynthesisOptions(pauses=pauses),
            )

        self._session = Session(
            choose=choose,
            pieces=segment_reader_for,
            info=lambda: Event("info", {}),
            limits=limits,
            account=lambda: RequestTimer(self._accounts),
        )
        self.sent = Counter[str]()
        self._of_request: dict[str, list[str]] = {}
        self._speech: int | None = None
        self._rest: int | None = None
        self._again = 0
        self._sounding = self._closed = self._in_stream = self._broken = False
        self._stops = self._audio_stops_owed = self._starts = 0

    async def converse(self, events: wire.EventReader) -> None:
        """Read everything, and let the engine end what it is asked for."""
        try:
            while not self._closed and (event := await events.read()) is not None:
                self._receive(event)
                for _ in range(self._chance.choice((0, 0, 1, 3))):
                    self._engine_steps()
        except ProtocolError as error:
            self._broken = True
            self._perform(self._session.broken(error))
        else:
            self._end()
        assert self._closed, "the connection stays open"
        assert self._accounts.open == 0 or not self._broken, "a request is still counted as open"
        self._session.abandoned()
        assert self._accounts.open == 0, "a request is still counted as open"
        self._check_what_was_owed()

    def _end(self) -> None:
        if self._chance.random() < 0.05:
            self._perform(self._session.refuse(ServerOverloaded("the server is stopping")))
            self._broken = True  # some may be refused from here on
        self._perform(self._session.ended())
        for _ in range(_STEPS):
            if self._closed:
                return
            assert self._speech or self._rest or self._again, "nobody will go on"
            self._engine_steps(hastily=True)
        raise AssertionError("the conversation does not end")

    def _check_what_was_owed(self) -> None:
        for events in self._of_request.values():
            owed = [kind for kind in events if kind != "audio-start"]
            assert owed == [kind for kind in ("error", "audio-stop", "synthesize-stopped") if kind in owed], owed
        for request, outcome in self._accounts.outcomes.items():
            if not (self._broken or outcome == Cancelled.code):
                assert ("error" in self._of_request.get(request, ())) == (outcome != SPOKEN)
        if not (self._broken or "overloaded" in self.sent):
            assert self.sent["synthesize-stopped"] == self._stops
            audio_stops = self.sent["audio-stop"]
            assert self._audio_stops_owed <= audio_stops <= self._audio_stops_owed + self._starts

    def _receive(self, event: Event) -> None:
        match event.type:
            case "synthesize-start":
                self._in_stream = True
                self._starts += 1
            case "synthesize-stop":
                self._stops += 1
                self._audio_stops_owed += self._in_stream
                self._in_stream = False
            case "synthesize":
                self._audio_stops_owed += not self._in_stream
        self._perform(self._session.received(event))

    def _engine_steps(self, *, hastily: bool = False) -> None:
        """Let the engine, or whatever else is under way, do one thing."""
        session, chance = self._session, self._chance
        if self._again:
            self._again -= 1
            self._perform(session.goes_on())
        elif self._rest is not None:
            actions = session.silence(self._rest)
            assert actions, "a rest ends with what follows it"
            self._perform(actions)
        elif self._speech is not None:
            speech, luck = self._speech, chance.random()
            if luck < (0.3 if hastily else 0.6):
                self._perform(session.audio(speech, bytes(2 * chance.choice((0, 1, 500, 1_600, 5_000)))))
            elif luck < (0.35 if hastily else 0.7):
                self._perform(session.silence(speech))
            else:
                self._speech = None
                fails = chance.random() < 0.02
                self._perform(session.failed(speech, ModelError("hoarse")) if fails else session.spoken(speech))

    def _perform(self, actions: list[Action]) -> None:
        for action in actions:
            assert not self._closed, "nothing follows a close"
            match action:
                case Send(event, request):
                    self._hear(event, request)
                case Speak(speech, request):
                    assert self._speech is None, "one speech at a time"
                    assert self._rest is None, "a rest is over before the next speech"
                    assert request.text.strip(), "nothing to say is nothing to speak"
                    assert len(request.text) <= self._limits.text_characters
                    request.text.encode()
                    self._speech = speech
                case Rest(rest):
                    assert self._speech is None
                    assert self._sounding, "silence alone is no answer"
                    self._rest = rest
                case Again():
                    self._again += 1
                    assert self._again == 1, "once is enough"
                case Hush():
                    assert self._speech is not None
                    self._speech = None
                case Close():
                    assert self._speech is None
                    assert not self._sounding, "audio was left open"
                    self._closed = True
                case Note(text=text):
                    assert len(text) < 4 * _SHOWN
        assert self._session.speaking == (self._speech is not None or self._rest is not None)

    def _hear(self, event: Event, request: str) -> None:
        written = wire.encode(event)
        written.partition(b"\n")[0].decode()
        self.sent[event.type] += 1
        if request:
            self._of_request.setdefault(request, []).append(event.type)
        match event.type:
            case "audio-start":
                assert not self._sounding
                self._sounding = True
            case "audio-chunk":
                assert self._sounding, "audio outside of start and stop"
                assert event.payload
                assert len(event.payload) % 2 == 0
            case "audio-stop":
                self._sounding = False
                self._rest = None
            case "synthesize-stopped":
                assert not self._sounding
                assert self.sent["synthesize-stopped"] <= self._stops, "before its synthesize-stop"
            case "error":
                assert len(event.data["text"]) < _SHOWN, "errors are for people"
                self.sent[event.data["code"]] += 1
