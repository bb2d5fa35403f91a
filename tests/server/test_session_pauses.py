"""Silence in responses: where it is owed, that it is sent bit by bit, and that none is sent without sound."""

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import pytest
from wyoming.event import Event

from tests.server.memory import AutoEngine, MemoryConversation, MemoryEngine, choose
from tests.server.test_session import START, STOP, Periods, act, chunk, whole
from wyoming_pocket_tts.config.schema import LimitSettings
from wyoming_pocket_tts.core.types import SilenceOptions, SynthesisOptions
from wyoming_pocket_tts.server import segments
from wyoming_pocket_tts.voices.matching import VoiceMatch

AROUND = SilenceOptions(before=0.2, between=0.4, after=0.8)


def with_pauses(
    pauses: SilenceOptions = AROUND,
    *,
    rate_hz: int | None = None,
    engine: type[MemoryEngine] = MemoryEngine,
    mute: Sequence[str] = (),
) -> MemoryConversation:
    def resolve(*, name: str | None, speaker: str | None, language: str | None) -> VoiceMatch:
        choice = choose(name=name, speaker=speaker, language=language)
        return replace(choice, options=SynthesisOptions(pauses=pauses, rate_hz=rate_hz))

    talk = MemoryConversation(
        resolve=resolve, pieces=Periods, limits=LimitSettings(max_queued_requests=2), engine=engine
    )
    if isinstance(talk.engine, AutoEngine):
        talk.engine.mute = tuple(mute)
    return talk


def heard(events: Sequence[Event]) -> list[str]:
    """``-0.5`` for that much silence, ``+0.1`` for sound, other events by their types."""
    found: list[str] = []
    for event in events:
        if event.type != "audio-chunk":
            found.append(event.type)
            continue
        payload = event.payload or b""
        sign, seconds = "+" if any(payload) else "-", len(payload) / 2 / event.data["rate"]
        if found and found[-1][0] == sign:
            seconds += float(found.pop()[1:])
        found.append(f"{sign}{round(seconds, 3)}")
    return found


async def heard_in(talk: MemoryConversation, *lines: str) -> list[str]:
    """What is heard after the client's lines, each sound being 0.1 s."""
    before = len(talk.events)
    for line in lines:
        await act(talk, line)
    assert all(len(packet) <= 6 for packet in talk.packets), "it is sent bit by bit: a start and five chunks"
    return heard(talk.events[before:])


async def heard_of(*lines: str, mute: Sequence[str] = ()) -> list[str]:
    async with with_pauses(engine=AutoEngine, mute=mute) as talk:
        return await heard_in(talk, *lines)


async def test_silence_lies_around_the_answer_and_between_its_sentences() -> None:
    found = await heard_of(whole("One. Two. Three."))
    assert found == [
        "audio-start",
        "-0.2",
        "+0.1",
        "-0.4",
        "+0.1",
        "-0.4",
        "+0.1",
        "-0.8",
        "audio-stop",
    ]


async def test_no_silence_falls_where_a_sentence_is_cut_for_its_length() -> None:
    found = await heard_of(whole("One; two. Three."))
    assert found == [
        "audio-start",
        "-0.2",
        "+0.2",
        "-0.4",
        "+0.1",
        "-0.8",
        "audio-stop",
    ]


async def test_pauses_in_the_text_add_to_those_of_the_voice() -> None:
    found = await heard_of(whole("~One.~Two.~~"))
    assert found == [
        "audio-start",
        "-1.2",
        "+0.1",
        "-1.4",
        "+0.1",
        "-2.8",
        "audio-stop",
    ]


async def test_pauses_of_sentences_without_sound_are_kept_for_the_next_sound() -> None:
    assert await heard_of(whole("One.~Two.Three."), mute=("Two.",)) == [
        "audio-start", "-0.2", "+0.1", "-1.4", "+0.1", "-0.8", "audio-stop",
    ]  # fmt: skip


async def test_response_without_speech_has_no_silence() -> None:
    mute = ("One.", "...")
    assert await heard_of(whole("~One.~"), mute=mute) == ["audio-start", "audio-stop"]
    assert await heard_of(START, chunk("~~"), STOP) == ["audio-start", "audio-stop", "synthesize-stopped"]
    assert await heard_of(START, STOP) == ["audio-start", "audio-stop", "synthesize-stopped"]


async def test_in_a_stream_the_last_silence_waits_for_the_stop() -> None:
    async with with_pauses(engine=AutoEngine) as talk:
        assert await heard_in(talk, START, chunk("One.")) == ["audio-start", "-0.2", "+0.1"]
        assert await heard_in(talk, STOP) == ["-0.8", "audio-stop", "synthesize-stopped"]


async def test_timestamps_count_silence() -> None:
    async with with_pauses(SilenceOptions(before=0.25)) as talk:
        await act(talk, whole("One."))
        await act(talk, "* audio 1")
        assert [event.data["timestamp"] for event in talk.events] == [0, 0, 100, 200, 250]
        assert [len(event.payload or b"") for event in talk.events[1:]] == [3_200, 3_200, 1_600, 3_200]


async def test_the_rate_of_the_manner_is_that_of_the_answer() -> None:
    async with with_pauses(SilenceOptions(before=0.1), rate_hz=48_000) as talk:
        await act(talk, whole("One."))
        talk.engine.gives(np.zeros(4_800, np.int16))
        await talk.settle()
        assert {event.data["rate"] for event in talk.events} == {48_000}
        assert [len(event.payload or b"") for event in talk.events[1:]] == [9_600, 9_600]


async def test_the_silence_that_one_text_asks_for_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(segments, "MAX_PAUSE_SECONDS", 2.5)
    async with with_pauses(engine=AutoEngine) as talk:
        assert await heard_in(talk, whole("~One.~Two.~Three.~")) == [
            "audio-start", "-1.2", "+0.1", "-1.4", "+0.1", "-0.9", "+0.1", "-0.8", "audio-stop",
        ]  # fmt: skip
        assert await heard_in(talk, whole("One.")) == ["audio-start", "-0.2", "+0.1", "-0.8", "audio-stop"], (
            "the next one has its own"
        )


async def test_the_silence_of_the_settings_is_not(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(segments, "MAX_PAUSE_SECONDS", 1)
    assert await heard_of(whole("One." * 20)) == [
        "audio-start", "-0.2", *["+0.1", "-0.4"] * 19, "+0.1", "-0.8", "audio-stop",
    ]  # fmt: skip


STALLED: list[tuple[str, list[str]]] = [
    ("* stall", []),
    (whole("One."), ["speak 1 tone-low: One."]),
    ("* audio 1", ["audio-start", *["audio-chunk"] * 2]),
    ("* read", ["audio-chunk"]),
    ("* spoken 1", []),
    ("* read", ["audio-chunk"] * 5),
]
"""A client that takes a packet at a time, amid the silence at the end: three chunks and the stop are left."""

TRANSCRIPTS: dict[str, list[tuple[str, list[str]]]] = {
    "trailing silence holds up what waits behind it": [
        *STALLED,
        (whole("Two."), []),
        ("> ping", []),  # whoever asks and does not read waits, too
        ("* read", ["audio-chunk"] * 3 + ["pong"]),
        ("* read", ["audio-stop", "speak 2 tone-low: Two."]),
        ("* read", []),
    ],
    "a failure owes no silence": [
        (whole("One."), ["speak 1 tone-low: One."]),
        ("* audio 1", ["audio-start", *["audio-chunk"] * 3]),
        ("* failed 1", ["error:model-error", "audio-stop", "close"]),
    ],
    "barge-in before the first sound": [
        ("* stall", []),
        (START, []),
        (chunk("One."), ["speak 1 tone-low: One."]),
        ("* audio 1", ["audio-start", *["audio-chunk"] * 2]),
        (START, ["note:WARNING", "hush", "audio-stop"]),
        ("* read", []),
    ],
    "what ends during trailing silence": [
        *STALLED,
        ("* end", []),
        ("* read", ["audio-chunk"] * 3),
        ("* read", ["audio-stop"]),
        ("* read", ["close"]),
    ],
    "what breaks during trailing silence needs no hush": [
        *STALLED,
        ("* broken", ["error:protocol-error", "audio-stop"]),
        ("* read", ["close"]),
    ],
    "who stops during trailing silence is answered whole": [
        *STALLED,
        ("* refuse", []),
        ("* read", ["audio-chunk"] * 3),
        ("* read", ["audio-stop"]),
        ("* read", ["close"]),
    ],
}


@pytest.mark.parametrize("about", TRANSCRIPTS)
async def test_transcript(about: str) -> None:
    async with with_pauses() as talk:
        for line, expected in TRANSCRIPTS[about]:
            assert await act(talk, line) == expected, line


async def test_trailing_silence_counts_as_activity_so_that_the_connection_is_not_idle() -> None:
    async with with_pauses() as talk:
        for line, _ in STALLED:
            await act(talk, line)
        assert talk.session.is_active
        await act(talk, "* read")
        await act(talk, "* read")
        assert not talk.session.is_active
