"""Pieces become requests: whose voice speaks them, and how."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.server.memory import choose
from tests.support.tone import VOICES
from wyoming_pocket_tts.audio.effects import shape
from wyoming_pocket_tts.core.errors import VoiceError
from wyoming_pocket_tts.core.types import SILENT_DB, SilenceOptions, SynthesisOptions, TextOptions
from wyoming_pocket_tts.server.segments import RequestBuilder
from wyoming_pocket_tts.text.segments import ProsodyStyle, Segment
from wyoming_pocket_tts.text.ssml import SsmlReader
from wyoming_pocket_tts.voices.matching import VoiceMatch

LOW, HIGH, TON, _ = VOICES
CALM = SynthesisOptions(
    speed=0.8, volume_db=-6, temperature=0.4, pauses=SilenceOptions(after=1), reading=TextOptions(emoji="speak")
)


def direction(choice: VoiceMatch | None = None) -> RequestBuilder:
    return RequestBuilder(choice or VoiceMatch(voice=LOW), choose)


def test_a_plain_piece_is_spoken_as_the_answer_was_begun() -> None:
    request = direction(VoiceMatch(voice=TON, speaker="heiter", manner=CALM)).build(Segment(text="Hallo."))
    assert (request.text, request.voice, request.speaker, request.language) == ("Hallo.", TON, "heiter", None)
    assert request.manner == SynthesisOptions(
        speed=0.8,
        volume_db=-6,
        temperature=0.4,
        pauses=SilenceOptions(after=1),
        reading=TextOptions(emoji="speak"),
        rate_hz=16_000,
    )


@pytest.mark.parametrize(
    ("style", "speed", "volume_db"),
    [
        (ProsodyStyle(speed=1.25, volume_db=4), 1.0, -2),
        (ProsodyStyle(speed=0.1, volume_db=-300), 0.5, SILENT_DB),
        (ProsodyStyle(speed=9, volume_db=300), 2, 20),
    ],
)
def test_speeds_multiply_and_volumes_add_within_what_can_be_done(
    style: ProsodyStyle, speed: float, volume_db: float
) -> None:
    manner = direction(VoiceMatch(voice=LOW, manner=CALM)).build(Segment(text="Hi.", style=style)).manner
    assert manner.speed == pytest.approx(speed)
    assert manner.volume_db == volume_db


volumes = st.one_of(
    st.sampled_from(["silent", "x-soft", "x-loud", "0", "-100%", "+999999%"]),
    st.integers(-999_999, 999_999).map(lambda volume_db: f"{volume_db:+}dB"),
)
rates = st.sampled_from(["x-slow", "x-fast", "10%", "1000%", "0.3", "+90%"])


@settings(max_examples=150, deadline=None)
@given(
    prosody=st.lists(st.tuples(volumes, rates), max_size=70),
    volume_db=st.floats(-40, 20),
    speed=st.floats(0.5, 2),
    rate_hz=st.sampled_from([None, 8_000, 48_000]),
)
def test_whatever_a_document_asks_for_can_be_done(
    prosody: list[tuple[str, str]], volume_db: float, speed: float, rate_hz: int | None
) -> None:
    """What settings allow, and any prosody on top, is a manner that sound can be given."""
    director = direction(
        VoiceMatch(voice=LOW, manner=SynthesisOptions(volume_db=volume_db, speed=speed, rate_hz=rate_hz))
    )
    pieces = SsmlReader("en").feed(
        "".join(f"<prosody volume='{volume}' rate='{rate}'>" for volume, rate in prosody) + "One. Two."
    )
    for piece in pieces:
        blocks = shape(iter([np.full(1_600, 12_000, np.int16)]), 16_000, director.build(piece).manner)
        is_heard = any(block.any() for block in blocks)
        assert not is_heard or not any(volume in {"silent", "0", "-100%"} for volume, _ in prosody[:64])


def test_another_voice_speaks_at_the_answers_rate() -> None:
    request = direction().build(Segment(text="Hi.", style=ProsodyStyle(voice="TONE-high")))
    assert (request.voice, request.manner.rate_hz) == (HIGH, 16_000)
    own_rate = direction(VoiceMatch(voice=LOW, manner=SynthesisOptions(rate_hz=48_000)))
    assert own_rate.rate_hz == 48_000
    assert own_rate.build(Segment(text="Hi.", style=ProsodyStyle(voice="tone-high"))).manner.rate_hz == 48_000


def test_a_voice_that_is_not_there_is_told_once_and_the_answers_own_speaks() -> None:
    director = direction(VoiceMatch(voice=TON, speaker="heiter"))
    for _ in range(2):
        request = director.build(Segment(text="Hi.", style=ProsodyStyle(voice="zoe")))
        assert (request.voice, request.speaker) == (TON, "heiter")
    assert [told.what for told in director.warnings()] == [
        "the text asks for voice 'zoe', which is not there; 'ton' reads on"
    ]
    assert director.warnings() == []


@pytest.mark.parametrize(
    ("language", "voice", "warnings"),
    [
        ("de", TON, []),
        ("de_AT", TON, []),
        ("en-AU", LOW, []),
        ("fr", LOW, ["no voice speaks 'fr'; 'tone-low' reads on"]),
    ],
)
def test_a_voice_of_the_language_speaks_if_there_is_one(language: str, voice: object, warnings: list[str]) -> None:
    director = direction()
    request = director.build(Segment(text="Hi.", style=ProsodyStyle(language=language)))
    assert (request.language, [told.what for told in director.warnings()]) == (language, warnings)
    assert request.voice is voice


def test_a_named_voice_wins_over_the_language() -> None:
    request = direction().build(Segment(text="Hi.", style=ProsodyStyle(voice="tone-high", language="de")))
    assert (request.voice, request.language) == (HIGH, "de")


def test_if_no_voice_can_be_chosen_any_more_the_answers_own_reads_on() -> None:
    def nobody(*, name: str | None, speaker: str | None, language: str | None) -> VoiceMatch:
        raise VoiceError("no voice is installed")

    director = RequestBuilder(VoiceMatch(voice=LOW), nobody)
    for style in (ProsodyStyle(voice="ton"), ProsodyStyle(language="de")):
        assert director.build(Segment(text="Hi.", style=style)).voice is LOW
    assert len(director.warnings()) == 2
