"""Whatever clients and engines do, in any order: nothing crashes, and every answer keeps the protocol's order."""

from dataclasses import replace
from functools import partial
from typing import Any

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule
from wyoming.event import Event

from tests.server.test_account import Heard
from tests.server.test_session import LIMITS, choose
from wyoming_pocket_tts.core.errors import ModelError, ProtocolError, ServerOverloaded
from wyoming_pocket_tts.core.types import SilenceOptions, SynthesisOptions
from wyoming_pocket_tts.server.request_stats import RequestTimer
from wyoming_pocket_tts.server.response import Action, Close, Hush, Rest, Send, Speak
from wyoming_pocket_tts.server.session import Session
from wyoming_pocket_tts.text.reader import segment_reader_for
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
    return replace(choose(name=name, speaker=speaker, language=language), manner=SynthesisOptions(pauses=PAUSES))


class Conversation(RuleBasedStateMachine):
    """A session, a client that sends anything, and an engine that does as it is asked, or fails."""

    def __init__(self) -> None:
        super().__init__()
        self.accounts = Heard()
        self.session = Session(
            choose=choose_calmly,
            pieces=segment_reader_for,
            info=lambda: Event("info", {}),
            limits=LIMITS,
            account=partial(RequestTimer, self.accounts),
        )
        self.speech: int | None = None
        self.rest: int | None = None
        self.sounding = False
        self.closed = False
        self.ended = False
        self.overloaded = False
        self.in_stream = False
        self.stops = self.stopped = 0
        """``synthesize-stop`` sent, ``synthesize-stopped`` received."""
        self.audio_stops = self.audio_stops_owed = 0

    def send(self, kind: str, data: dict[str, Any]) -> None:
        if not (self.closed or self.ended):
            if kind == "synthesize-start":
                self.in_stream = True
            elif kind == "synthesize-stop":
                self.stops += 1
                self.audio_stops_owed += self.in_stream
                self.in_stream = False
            elif kind == "synthesize":
                self.audio_stops_owed += not self.in_stream
        self.perform(self.session.received(Event(kind, data)))

    def perform(self, actions: list[Action]) -> None:
        for action in actions:
            assert not self.closed, "nothing follows a close"
            match action:
                case Send(event):
                    self.heard(event)
                case Speak():
                    assert self.speech is None, "one speech at a time"
                    assert self.rest is None, "a rest is over before the next speech"
                    assert action.request.text.strip()
                    self.speech = action.speech
                case Rest():
                    assert self.speech is None
                    assert self.sounding, "silence alone is no answer"
                    self.rest = action.rest
                case Hush():
                    assert self.speech is not None
                    self.speech = None
                case Close():
                    assert self.speech is None
                    assert not self.sounding, "audio was left open"
                    self.closed = True
                case _:
                    pass

    def heard(self, event: Event) -> None:
        match event.type:
            case "audio-start":
                assert not self.sounding
                self.sounding = True
            case "audio-chunk":
                assert self.sounding
            case "audio-stop":
                self.sounding = False
                self.rest = None
                self.audio_stops += 1
            case "synthesize-stopped":
                assert not self.sounding
                self.stopped += 1
                assert self.stopped <= self.stops, "synthesize-stopped before its synthesize-stop"
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

    @precondition(lambda self: self.speech is not None)
    @rule(samples=st.integers(0, 5_000))
    def engine_makes_audio(self, samples: int) -> None:
        assert self.speech is not None
        self.perform(self.session.audio(self.speech, bytes(2 * samples)))

    @precondition(lambda self: self.speech is not None)
    @rule()
    def silence_is_taken_before_audio(self) -> None:
        assert self.speech is not None
        self.perform(self.session.silence(self.speech))

    @precondition(lambda self: self.rest is not None)
    @rule()
    def a_rest_goes_on(self) -> None:
        assert self.rest is not None
        actions = self.session.silence(self.rest)
        assert actions, "a rest ends with what follows it"
        self.perform(actions)

    @precondition(lambda self: self.speech is not None)
    @rule()
    def engine_is_done(self) -> None:
        speech, self.speech = self.speech, None
        assert speech is not None
        self.perform(self.session.spoken(speech))

    @precondition(lambda self: self.speech is not None)
    @rule()
    def engine_fails(self) -> None:
        speech, self.speech = self.speech, None
        assert speech is not None
        self.perform(self.session.failed(speech, ModelError("hoarse")))

    @rule(speech=st.integers(-1, 0))
    def stale_reports_change_nothing(self, speech: int) -> None:
        assert self.session.audio(speech, bytes(10)) == []
        assert self.session.silence(speech) == []
        assert self.session.spoken(speech) == []
        assert self.session.failed(speech, ModelError("late")) == []

    @precondition(lambda self: len(self.session._queue) > LIMITS.queued_requests)
    @rule()
    def client_hangs_up(self) -> None:
        self.ended = True
        self.perform(self.session.ended())

    @precondition(lambda self: len(self.session._queue) > LIMITS.queued_requests)
    @rule()
    def server_stops(self) -> None:
        self.perform(self.session.refuse(ServerOverloaded("stopping")))

    @invariant()
    def both_agree_on_the_speech(self) -> None:
        assert self.session.speaking == (self.speech is not None or self.rest is not None)

    @invariant()
    def the_queue_is_bounded(self) -> None:
        assert len(self.session._queue) <= LIMITS.queued_requests + 1

    @invariant()
    def an_account_is_open_for_each_request_in_the_queue(self) -> None:
        assert self.accounts.began - len(self.accounts.ended) == len(self.session._queue)

    def teardown(self) -> None:
        """The client ends its side, the engine finishes: all that was asked is answered, and the connection closes."""
        self.perform(self.session.ended())
        while self.speech is not None or self.rest is not None:
            if self.rest is not None:
                self.a_rest_goes_on()
            else:
                self.engine_is_done()
        assert self.closed
        self.an_account_is_open_for_each_request_in_the_queue()
        if not self.overloaded:  # then nothing was refused unheard
            assert self.stopped == self.stops
            assert self.audio_stops >= self.audio_stops_owed  # streams that were given up may add some
        assert self.session.broken(ProtocolError("after the end")) == []


Conversation.TestCase.settings = settings(max_examples=150, stateful_step_count=30, deadline=None)
TestConversation = Conversation.TestCase
