"""Silence in answers: where it is owed, that it comes bit by bit, and that it is owed to nobody who heard nothing."""

import json
from collections.abc import Iterable, Sequence
from dataclasses import replace

import pytest
from wyoming.event import Event

from tests.server.test_session import START, STOP, Periods, act, choose, chunk, whole
from wyoming_pocket_tts.config.schema import Limits
from wyoming_pocket_tts.core.types import SilenceOptions, SynthesisOptions
from wyoming_pocket_tts.server.response import Action, Rest, Send, Speak
from wyoming_pocket_tts.server.session import Session
from wyoming_pocket_tts.voices.matching import VoiceMatch

AROUND = SilenceOptions(before=0.2, between=0.4, after=0.8)


def session_with(pauses: SilenceOptions, *, rate_hz: int | None = None, limits: Limits | None = None) -> Session:
    def choose_calmly(*, name: str | None, speaker: str | None, language: str | None) -> VoiceMatch:
        choice = choose(name=name, speaker=speaker, language=language)
        return replace(choice, manner=SynthesisOptions(pauses=pauses, rate_hz=rate_hz))

    return Session(
        choose=choose_calmly, pieces=Periods, info=lambda: Event("info", {}), limits=limits or Limits(queued_requests=2)
    )


class Listener:
    """Plays the connection: takes silence when it is due, has each speech make one sound of 0.1 s, or none."""

    def __init__(self, session: Session, mute: Sequence[str] = ()) -> None:
        self.session = session
        self.mute = mute
        self.heard: list[str] = []
        """``-0.5`` for that much silence, ``+0.1`` for sound, other events by their names."""

    def does(self, *lines: str) -> list[str]:
        """Act out the client's lines, and all that follows from them; return what is heard."""
        self.heard = []
        for line in lines:
            self.follow(act(self.session, line))
        return self.heard

    def follow(self, actions: Iterable[Action]) -> None:
        for action in actions:
            match action:
                case Send(event):
                    self.hear(event)
                case Speak(speech, request):
                    if request.text not in self.mute:
                        self.rest(speech)
                        self.follow(self.session.audio(speech, b"\1\0" * 1_600))
                    self.follow(self.session.spoken(speech))
                case Rest(rest):
                    self.rest(rest)

    def rest(self, number: int) -> None:
        while actions := self.session.silence(number):
            assert len(actions) <= 6, "it comes bit by bit: a start and five chunks"
            self.follow(actions)

    def hear(self, event: Event) -> None:
        if event.type != "audio-chunk":
            self.heard.append(event.type)
            return
        payload = event.payload or b""
        sign, seconds = "+" if any(payload) else "-", len(payload) / 2 / event.data["rate"]
        if self.heard and self.heard[-1][0] == sign:
            seconds += float(self.heard.pop()[1:])
        self.heard.append(f"{sign}{round(seconds, 3)}")


def test_silence_lies_around_the_answer_and_between_its_sentences() -> None:
    heard = Listener(session_with(AROUND)).does(whole("One. Two. Three."))
    assert heard == ["audio-start", "-0.2", "+0.1", "-0.4", "+0.1", "-0.4", "+0.1", "-0.8", "audio-stop"]


def test_no_silence_falls_where_a_sentence_is_cut_for_its_length() -> None:
    heard = Listener(session_with(AROUND)).does(whole("One; two. Three."))
    assert heard == ["audio-start", "-0.2", "+0.2", "-0.4", "+0.1", "-0.8", "audio-stop"]


def test_pauses_in_the_text_add_to_those_of_the_voice() -> None:
    heard = Listener(session_with(AROUND)).does(whole("~One.~Two.~~"))
    assert heard == ["audio-start", "-1.2", "+0.1", "-1.4", "+0.1", "-2.8", "audio-stop"]


def test_pauses_of_sentences_without_sound_are_kept_for_the_next_sound() -> None:
    listener = Listener(session_with(AROUND), mute=["Two."])
    assert listener.does(whole("One.~Two.Three.")) == [
        "audio-start", "-0.2", "+0.1", "-1.4", "+0.1", "-0.8", "audio-stop",
    ]  # fmt: skip


def test_who_hears_no_speech_hears_no_silence() -> None:
    listener = Listener(session_with(AROUND), mute=["One.", "..."])
    assert listener.does(whole("~One.~")) == ["audio-start", "audio-stop"]
    assert listener.does(START, chunk("~~"), STOP) == ["audio-start", "audio-stop", "synthesize-stopped"]
    assert listener.does(START, STOP) == ["audio-start", "audio-stop", "synthesize-stopped"]


def test_in_a_stream_the_last_silence_waits_for_the_stop() -> None:
    listener = Listener(session_with(AROUND))
    assert listener.does(START, chunk("One.")) == ["audio-start", "-0.2", "+0.1"]
    assert listener.does(STOP) == ["-0.8", "audio-stop", "synthesize-stopped"]


def test_timestamps_count_silence() -> None:
    session = session_with(SilenceOptions(before=0.25))
    act(session, whole("One."))
    events = [action.event for action in session.audio(1, bytes(3_200)) if isinstance(action, Send)]
    assert [event.data["timestamp"] for event in events] == [0, 0, 100, 200, 250]
    assert [len(event.payload or b"") for event in events[1:]] == [3_200, 3_200, 1_600, 3_200]


def test_the_rate_of_the_manner_is_that_of_the_answer() -> None:
    session = session_with(SilenceOptions(before=0.1), rate_hz=48_000)
    act(session, whole("One."))
    events = [action.event for action in session.audio(1, bytes(9_600)) if isinstance(action, Send)]
    assert {event.data["rate"] for event in events} == {48_000}
    assert [len(event.payload or b"") for event in events[1:]] == [9_600, 9_600]


def test_the_silence_that_one_text_asks_for_is_bounded() -> None:
    listener = Listener(session_with(AROUND, limits=Limits(pause_seconds=2.5)))
    heard = listener.does(whole("~One.~Two.~Three.~"))
    assert heard == ["audio-start", "-1.2", "+0.1", "-1.4", "+0.1", "-0.9", "+0.1", "-0.8", "audio-stop"]
    assert listener.does(whole("One.")) == ["audio-start", "-0.2", "+0.1", "-0.8", "audio-stop"], (
        "the next one has its own"
    )


def test_the_silence_of_the_settings_is_not() -> None:
    listener = Listener(session_with(AROUND, limits=Limits(pause_seconds=1)))
    heard = listener.does(whole("One." * 20))
    assert heard == ["audio-start", "-0.2", *["+0.1", "-0.4"] * 19, "+0.1", "-0.8", "audio-stop"]


TRANSCRIPTS: dict[str, list[tuple[str, list[str]]]] = {
    "a rest holds up what waits behind it": [
        (whole("One."), ["speak 1"]),
        (whole("Two."), []),
        ("* audio 1", ["audio-start", *["audio-chunk"] * 3]),
        ("* spoken 1", ["rest 2"]),
        ("> ping", ["pong"]),
        ("* silence 2", ["audio-chunk"] * 5),
        ("* silence 2", ["audio-chunk"] * 3),
        ("* silence 2", ["audio-stop", "speak 3"]),
        ("* silence 2", []),
    ],
    "a failure owes no silence": [
        (whole("One."), ["speak 1"]),
        ("* audio 1", ["audio-start", *["audio-chunk"] * 3]),
        ("* failed 1", ["error", "audio-stop", "close"]),
    ],
    "barge-in before the first sound": [
        (START, []),
        (chunk("One."), ["speak 1"]),
        ("* silence 1", ["audio-start", *["audio-chunk"] * 2]),
        (START, ["note", "hush", "audio-stop"]),
        ("* silence 1", []),
    ],
    "what ends during a rest": [
        (whole("One."), ["speak 1"]),
        ("* audio 1", ["audio-start", *["audio-chunk"] * 3]),
        ("* spoken 1", ["rest 2"]),
        ("* end", []),
        ("* silence 2", ["audio-chunk"] * 5),
        ("* silence 2", ["audio-chunk"] * 3),
        ("* silence 2", ["audio-stop", "close"]),
    ],
    "what breaks during a rest needs no hush": [
        (whole("One."), ["speak 1"]),
        ("* audio 1", ["audio-start", *["audio-chunk"] * 3]),
        ("* spoken 1", ["rest 2"]),
        ("* broken", ["error", "audio-stop", "close"]),
        ("* silence 2", []),
    ],
    "who stops during a rest is answered whole": [
        (whole("One."), ["speak 1"]),
        ("* audio 1", ["audio-start", *["audio-chunk"] * 3]),
        ("* spoken 1", ["rest 2"]),
        ("* refuse", []),
        ("* silence 2", ["audio-chunk"] * 5),
        ("* silence 2", ["audio-chunk"] * 3),
        ("* silence 2", ["audio-stop", "close"]),
    ],
    "silence that nobody took before the sound comes with it": [
        (whole("~One."), ["speak 1"]),
        ("* silence 1", ["audio-start", *["audio-chunk"] * 5]),
        ("* audio 1", ["audio-chunk"] * 8),
    ],
}


def name(action: Action) -> str:
    match action:
        case Send(event):
            return event.type
        case Speak(speech):
            return f"speak {speech}"
        case Rest(rest):
            return f"rest {rest}"
        case _:
            return type(action).__name__.lower()


@pytest.mark.parametrize("about", TRANSCRIPTS)
def test_transcript(about: str) -> None:
    session = session_with(AROUND)
    for line, expected in TRANSCRIPTS[about]:
        assert [name(action) for action in act(session, line)] == expected, line


def test_a_rest_counts_as_speaking_so_that_the_connection_is_not_idle() -> None:
    session = session_with(AROUND)
    act(session, f"> synthesize {json.dumps({'text': 'One.'})}")
    act(session, "* audio 1")
    act(session, "* spoken 1")
    assert session.speaking
    while session.silence(2):
        pass
    assert not session.speaking
