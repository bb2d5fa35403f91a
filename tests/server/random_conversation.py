"""A whole conversation without sockets: any bytes through a connection, an engine by chance, every rule checked.

Whatever the bytes are, this must hold: nothing is raised; every request is counted as over once; what a client gets
keeps the protocol's order; whatever was asked and neither broken off nor refused has its closing events; and in the
end the connection closes.
"""

import asyncio
import random
from collections import Counter
from dataclasses import replace
from typing import Any, Final

import numpy as np
from wyoming.event import Event

from tests.server.memory import MemoryConversation, MemoryEngine, choose
from wyoming_pocket_tts.config.schema import LimitSettings
from wyoming_pocket_tts.core.errors import Cancelled, ModelError, ServerOverloaded, TtsError
from wyoming_pocket_tts.core.events import SPOKEN, Observer, RequestStats
from wyoming_pocket_tts.core.types import Pcm, SilenceOptions, SynthesisOptions
from wyoming_pocket_tts.server.protocol import EventLimits, encode
from wyoming_pocket_tts.server.session import Session
from wyoming_pocket_tts.voices.matching import VoiceMatch

_PAUSES: Final = SilenceOptions(before=0.1, between=0.2, after=0.3)
_NARROW: Final = (
    LimitSettings(max_queued_requests=2, max_text_length=200),
    EventLimits(header_bytes=700, data_bytes=900, payload_bytes=64, nesting_depth=6),
)
_WIDE: Final = (LimitSettings(), EventLimits())
_TURNS: Final = 200_000
"""More than any conversation of a mutant takes; then it hangs."""
_SHOWN: Final = 300


async def converse_at_random(stream: bytes, *, seed: int) -> Counter[str]:
    """Hold one conversation and return what was sent, by type.

    Raises:
        AssertionError: a rule is broken.
    """
    chance = random.Random(seed)  # noqa: S311  (no secret)
    limits, event_limits = chance.choice((_WIDE, _WIDE, _NARROW))
    expected = Expected()
    pauses = chance.choice((SilenceOptions(), _PAUSES))

    def resolve(*, name: str | None, speaker: str | None, language: str | None) -> VoiceMatch:
        return replace(choose(name=name, speaker=speaker, language=language), options=SynthesisOptions(pauses=pauses))

    client = Client(expected)
    requests = Requests()
    async with MemoryConversation(
        resolve=resolve,
        limits=limits,
        event_limits=event_limits,
        observer=requests,
        engine=_engine_by(chance, limits),
        on_event=client.hear,
    ) as talk:
        expected.watch(talk.session)
        await _feed(talk, stream, chance)
        is_refused = chance.random() < 0.05
        if is_refused:
            talk.connection.refuse(ServerOverloaded("the server is stopping"))
        for _ in range(_TURNS):
            if talk.is_closed:
                break
            await asyncio.sleep(0)
        assert talk.is_closed, "the conversation does not end"
        await talk.settle(quiet_turns=2)
        assert talk.engine.request is None, "something is synthesised for nobody"
    assert not client.is_sounding, "audio was left open"
    assert requests.open == 0, "a request is still counted as open"
    if not (expected.is_broken or is_refused):
        client.check_what_was_owed(requests)
    return client.sent


async def _feed(talk: MemoryConversation, stream: bytes, chance: random.Random) -> None:
    if chance.random() < 0.1:
        at = 0
        while at < len(stream):
            size = chance.choice((1, 7, 60, 900))
            talk.transport.feed(stream[at : at + size])
            at += size
            await asyncio.sleep(0)
    else:
        talk.transport.feed(stream)
    talk.transport.feed_eof()


def _engine_by(chance: random.Random, limits: LimitSettings) -> type[MemoryEngine]:
    class Engine(MemoryEngine):
        """Makes blocks by chance, a turn of the loop or more for each, and fails now and then."""

        async def _next(self) -> Pcm | TtsError | None:
            assert self.request is not None
            assert len(self.request.text) <= limits.max_text_length
            self.request.text.encode()
            for _ in range(chance.choice((0, 0, 1, 3))):
                await asyncio.sleep(0)
            if chance.random() < 0.5:
                return np.zeros(chance.choice((0, 1, 250, 800, 2_500)), np.int16)
            return ModelError("hoarse") if chance.random() < 0.02 else None

    return Engine


class Requests(Observer):
    """Counts requests."""

    def __init__(self) -> None:
        self.open = 0
        self.outcomes = Counter[str]()
        self._ended: set[str] = set()

    def request_started(self) -> None:
        self.open += 1

    def request_finished(self, ended: RequestStats) -> None:
        self.open -= 1
        assert ended.request not in self._ended, "a request ended twice"
        self._ended.add(ended.request)
        self.outcomes[ended.outcome] += 1


class Expected:
    """What the client may wait for."""

    def __init__(self) -> None:
        self.stops = self.starts = self.audio_stops = 0
        self.is_broken = self._is_in_stream = False

    def watch(self, session: Session) -> None:
        """Count what the session receives."""
        receive, abort = session.receive, session.abort

        def received(event: Event) -> None:
            if not session._is_closed:
                self._take(event)
            receive(event)

        def aborted(error: TtsError) -> None:
            self.is_broken = True
            abort(error)

        session.receive = received  # type: ignore[method-assign]
        session.abort = aborted  # type: ignore[method-assign]

    def _take(self, event: Event) -> None:
        match event.type:
            case "synthesize-start":
                self._is_in_stream = True
                self.starts += 1
            case "synthesize-stop":
                self.stops += 1
                self.audio_stops += self._is_in_stream
                self._is_in_stream = False
            case "synthesize":
                self.audio_stops += not self._is_in_stream


class Client:
    """Listens, and knows the protocol's order."""

    def __init__(self, expected: Expected) -> None:
        self.sent = Counter[str]()
        self.is_sounding = False
        self._expected = expected
        self._before: Any = None

    def hear(self, event: Event) -> None:
        encode(event).partition(b"\n")[0].decode()
        self.sent[event.type] += 1
        match event.type:
            case "audio-start":
                assert not self.is_sounding
                self.is_sounding = True
            case "audio-chunk":
                assert self.is_sounding, "audio outside of start and stop"
                assert event.payload
                assert len(event.payload) % 2 == 0
            case "audio-stop":
                assert self.is_sounding or self._before == "error", "a stop without a start follows an error"
                self.is_sounding = False
            case "synthesize-stopped":
                assert not self.is_sounding
                assert self.sent["synthesize-stopped"] <= self._expected.stops, "before its synthesize-stop"
            case "error":
                assert len(event.data["text"]) < _SHOWN, "errors are for people"
                self.sent[event.data["code"]] += 1
        if event.type not in ("info", "pong"):
            self._before = event.type

    def check_what_was_owed(self, requests: Requests) -> None:
        """Of a conversation that neither broke off nor was refused."""
        expected = self._expected
        failed = sum(number for outcome, number in requests.outcomes.items() if outcome not in {SPOKEN, Cancelled.code})
        assert self.sent["error"] == failed, "each failure is told once"
        if not self.sent["overloaded"]:
            assert self.sent["synthesize-stopped"] == expected.stops
            assert expected.audio_stops <= self.sent["audio-stop"] <= expected.audio_stops + expected.starts
