"""Whatever clients and engines do, in any order: nothing crashes, and every answer keeps the protocol's order."""

import asyncio
from dataclasses import replace
from typing import Any

import numpy as np
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule
from wyoming.event import Event

from tests.server.memory import MemoryConversation, choose
from tests.server.random_conversation import Expected
from tests.server.test_request_stats import Heard
from tests.server.test_session import LIMITS
from wyoming_pocket_tts.core.errors import ModelError, ServerOverloaded
from wyoming_pocket_tts.core.types import SilenceOptions, SynthesisOptions
from wyoming_pocket_tts.voices.matching import VoiceMatch

ANYTHING: st.SearchStrategy[Any] = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-3, 3)
    | st.sampled_from(["", "One.", "ton", "en", "de", "fr", "x" * 40, "ssml"]),
    lambda inner: (
        st.lists(inner, max_size=2)
        | st.dictionaries(st.sampled_from(["name", "speaker", "language", "text"]), inner, max_size=2)
    ),
    max_leaves=4,
)
VOICES = st.fixed_dictionaries({}, optional={"name": ANYTHING, "speaker": ANYTHING, "language": ANYTHING})
DATA = st.fixed_dictionaries({}, optional={"text": ANYTHING, "voice": VOICES | ANYTHING, "text_format": ANYTHING})
TEXTS = st.sampled_from(
    ["", " ", "One. Two.", "Thr", "ee. ", "x" * 40, "[pause 1s]", "[pau", "se]", "<speak>", "<break/>", "</speak>",
     "<", "& ",
     "<voice name='ton'>", "<voice name='zoe'>Hi. ", "<lang xml:lang='de'>", "<s>", "<sub alias='x'>"]
)  # fmt: skip
PAUSES = SilenceOptions(before=0.1, between=0.2, after=0.3)
KINDS = st.sampled_from(
    ["describe", "ping", "select-program", "synthesize", "synthesize-start", "synthesize-chunk", "synthesize-stop", "?"]
)


def choose_calmly(*, name: str | None, speaker: str | None, language: str | None) -> VoiceMatch:
    return replace(choose(name=name, speaker=speaker, language=language), options=SynthesisOptions(pauses=PAUSES))


class Conversation(RuleBasedStateMachine):
    """A client that sends anything over a connection, and an engine that does as it is asked, or fails."""

    def __init__(self) -> None:
        super().__init__()
        self.loop = asyncio.new_event_loop()
        self.accounts = Heard()
        self.talk = self.loop.run_until_complete(self.begin())
        self.sounding = False
        self.ended = False
        self.overloaded = False
        self.stopped = self.audio_stops = 0
        self.expected = Expected()
        self.expected.watch(self.talk.session)

    async def begin(self) -> MemoryConversation:
        return MemoryConversation(resolve=choose_calmly, limits=LIMITS, observer=self.accounts, on_event=self.heard)

    def settle(self) -> None:
        self.loop.run_until_complete(self.talk.settle())

    def send(self, kind: str, data: dict[str, Any]) -> None:
        if not (self.talk.is_closed or self.ended):
            self.talk.send(kind, data)
        self.settle()

    def heard(self, event: Event) -> None:
        assert not self.talk.is_closed, "nothing follows a close"
        match event.type:
            case "audio-start":
                assert not self.sounding
                self.sounding = True
            case "audio-chunk":
                assert self.sounding, "silence alone is no answer"
            case "audio-stop":
                self.sounding = False
                self.audio_stops += 1
            case "synthesize-stopped":
                assert not self.sounding
                self.stopped += 1
                assert self.stopped <= self.expected.stops, "synthesize-stopped before its synthesize-stop"
            case "error":
                self.overloaded |= event.data["code"] == "overloaded"

    @rule(kind=KINDS, data=DATA)
    def anything_comes(self, kind: str, data: dict[str, Any]) -> None:
        self.send(kind, data)

    @rule(text=TEXTS)
    def good_whole(self, text: str) -> None:
        self.send("synthesize", {"text": text})

    @rule(texts=st.lists(TEXTS, max_size=3))
    def good_stream(self, texts: list[str]) -> None:
        self.send("synthesize-start", {})
        for text in texts:
            self.send("synthesize-chunk", {"text": text})
        self.send("synthesize-stop", {})

    @precondition(lambda self: self.talk.engine.request is not None)
    @rule(samples=st.integers(0, 5_000))
    def engine_makes_audio(self, samples: int) -> None:
        self.talk.engine.gives(np.zeros(samples, np.int16))
        self.settle()

    @precondition(lambda self: self.talk.engine.request is not None)
    @rule()
    def engine_is_done(self) -> None:
        self.talk.engine.gives(None)
        self.settle()

    @precondition(lambda self: self.talk.engine.request is not None)
    @rule()
    def engine_fails(self) -> None:
        self.talk.engine.gives(ModelError("hoarse"))
        self.settle()

    @precondition(lambda self: self.talk.engine.request is not None)
    @rule(text=TEXTS)
    def engine_fails_while_text_comes(self, text: str) -> None:
        """Both in one turn of the loop."""
        self.talk.engine.gives(ModelError("hoarse"))
        self.send("synthesize-chunk" if self.talk.session._stream else "ping", {"text": text})

    @rule()
    def client_takes_a_packet_at_a_time(self) -> None:
        self.talk.transport.stall()

    @rule()
    def client_reads(self) -> None:
        self.talk.transport.read()
        self.settle()

    @precondition(lambda self: len(self.talk.session._queue) > LIMITS.max_queued_requests)
    @rule()
    def client_hangs_up(self) -> None:
        self.ended = True
        self.talk.transport.feed_eof()
        self.settle()

    @precondition(lambda self: len(self.talk.session._queue) > LIMITS.max_queued_requests)
    @rule()
    def server_stops(self) -> None:
        self.talk.connection.refuse(ServerOverloaded("stopping"))
        self.settle()

    @invariant()
    def what_is_synthesised_is_activity(self) -> None:
        assert self.talk.session.is_active or self.talk.engine.request is None

    @invariant()
    def the_queue_is_bounded(self) -> None:
        assert len(self.talk.session._queue) <= LIMITS.max_queued_requests + 1

    @invariant()
    def a_request_is_open_for_each_in_the_queue(self) -> None:
        assert self.accounts.began - len(self.accounts.ended) == len(self.talk.session._queue)

    def teardown(self) -> None:
        """The client ends its side, the engine finishes: all that was asked is answered, and the connection closes."""
        try:
            self.finish()
        finally:
            self.loop.run_until_complete(self.talk.aclose())
            self.loop.close()

    def finish(self) -> None:
        self.talk.transport.feed_eof()
        for _ in range(1_000):
            self.talk.transport.read()
            self.talk.engine.gives(None)
            self.settle()
            if self.talk.is_closed:
                break
        assert self.talk.is_closed
        assert not self.sounding, "audio was left open"
        self.a_request_is_open_for_each_in_the_queue()
        if not self.overloaded:  # then nothing was refused unheard
            assert self.stopped == self.expected.stops
            assert self.audio_stops >= self.expected.audio_stops  # streams that were given up may add some


Conversation.TestCase.settings = settings(max_examples=150, stateful_step_count=30, deadline=None)
TestConversation = Conversation.TestCase
