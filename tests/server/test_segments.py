"""Segments of a text, read on demand, become requests with a voice and options."""

import asyncio

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.server.client import kinds, service, shape
from tests.server.memory import MemoryConversation, choose
from tests.support.tone import VOICES
from wyoming_pocket_tts.audio.effects import shape as apply_effects
from wyoming_pocket_tts.core.errors import VoiceError
from wyoming_pocket_tts.core.types import SILENT_DB, SilenceOptions, SynthesisOptions, TextOptions
from wyoming_pocket_tts.server.segments import RequestBuilder, SegmentQueue
from wyoming_pocket_tts.text.reader import segment_reader_for
from wyoming_pocket_tts.text.segments import PlainTextReader, ProsodyStyle, Segment, SegmentReader, TextWarning
from wyoming_pocket_tts.text.ssml import SsmlReader
from wyoming_pocket_tts.voices.matching import VoiceMatch

LOW, HIGH, TON, _ = VOICES
CALM = SynthesisOptions(
    speed=0.8, volume_db=-6, temperature=0.4, pauses=SilenceOptions(after=1), text=TextOptions(emoji="speak")
)


def direction(choice: VoiceMatch | None = None) -> RequestBuilder:
    return RequestBuilder(choice or VoiceMatch(voice=LOW), choose)


def test_plain_segment_uses_the_voice_and_options_of_the_response() -> None:
    request = direction(VoiceMatch(voice=TON, speaker="heiter", options=CALM)).build(Segment(text="Hallo."))
    assert (request.text, request.voice, request.speaker, request.language) == ("Hallo.", TON, "heiter", None)
    assert request.options == SynthesisOptions(
        speed=0.8,
        volume_db=-6,
        temperature=0.4,
        pauses=SilenceOptions(after=1),
        text=TextOptions(emoji="speak"),
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
def test_speeds_multiply_and_volumes_add_within_limits(style: ProsodyStyle, speed: float, volume_db: float) -> None:
    options = direction(VoiceMatch(voice=LOW, options=CALM)).build(Segment(text="Hi.", style=style)).options
    assert options.speed == pytest.approx(speed)
    assert options.volume_db == volume_db


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
def test_every_prosody_of_a_document_gives_valid_options(
    prosody: list[tuple[str, str]], volume_db: float, speed: float, rate_hz: int | None
) -> None:
    """What settings allow, and any prosody on top, is a options that sound can be given."""
    director = direction(
        VoiceMatch(voice=LOW, options=SynthesisOptions(volume_db=volume_db, speed=speed, rate_hz=rate_hz))
    )
    pieces = SsmlReader("en").feed(
        "".join(f"<prosody volume='{volume}' rate='{rate}'>" for volume, rate in prosody) + "One. Two."
    )
    for piece in pieces:
        blocks = apply_effects(iter([np.full(1_600, 12_000, np.int16)]), 16_000, director.build(piece).options)
        is_heard = any(block.any() for block in blocks)
        assert not is_heard or not any(volume in {"silent", "0", "-100%"} for volume, _ in prosody[:64])


def test_other_voices_use_the_rate_of_the_response() -> None:
    request = direction().build(Segment(text="Hi.", style=ProsodyStyle(voice="TONE-high")))
    assert (request.voice, request.options.rate_hz) == (HIGH, 16_000)
    own_rate = direction(VoiceMatch(voice=LOW, options=SynthesisOptions(rate_hz=48_000)))
    assert own_rate.rate_hz == 48_000
    assert own_rate.build(Segment(text="Hi.", style=ProsodyStyle(voice="tone-high"))).options.rate_hz == 48_000


def test_missing_voice_is_reported_once_and_replaced() -> None:
    director = direction(VoiceMatch(voice=TON, speaker="heiter"))
    for _ in range(2):
        request = director.build(Segment(text="Hi.", style=ProsodyStyle(voice="zoe")))
        assert (request.voice, request.speaker) == (TON, "heiter")
    assert [told.what for told in director.warnings()] == ["there is no voice 'zoe', as the text asks: 'ton' is used"]
    assert director.warnings() == []


@pytest.mark.parametrize(
    ("language", "voice", "warnings"),
    [
        ("de", TON, []),
        ("de_AT", TON, []),
        ("en-AU", LOW, []),
        ("fr", LOW, ["no voice has the language 'fr', as the text asks: 'tone-low' is used"]),
    ],
)
def test_voice_of_the_language_is_used_if_there_is_one(language: str, voice: object, warnings: list[str]) -> None:
    director = direction()
    request = director.build(Segment(text="Hi.", style=ProsodyStyle(language=language)))
    assert (request.language, [told.what for told in director.warnings()]) == (language, warnings)
    assert request.voice is voice


def test_a_named_voice_wins_over_the_language() -> None:
    request = direction().build(Segment(text="Hi.", style=ProsodyStyle(voice="tone-high", language="de")))
    assert (request.voice, request.language) == (HIGH, "de")


def test_own_voice_is_used_if_none_can_be_chosen() -> None:
    def no_voice(*, name: str | None, speaker: str | None, language: str | None) -> VoiceMatch:
        raise VoiceError("no voice is installed")

    director = RequestBuilder(VoiceMatch(voice=LOW), no_voice)
    for style in (ProsodyStyle(voice="ton"), ProsodyStyle(language="de")):
        assert director.build(Segment(text="Hi.", style=style)).voice is LOW
    assert len(director.warnings()) == 2


PROSE = "The quick brown fox, which is 3.5 m long, jumps over Dr. Smith. [pause 1s] And then? "
TEXTS = {
    "prose": PROSE * 200,
    "SSML": "<speak>" + "<p>One &amp; <prosody rate='50%'>two</prosody>.</p><break time='1s'/> " * 200,
    "no space": "x" * 20_000,
    "nothing to say": "<speak>" + "<p/>" * 4_900,
    "short": "Hi",
    "nothing": "",
}


class Counted:
    """Notes how much was read."""

    def __init__(self) -> None:
        self._pieces = PlainTextReader("en")
        self.characters = 0

    def feed(self, delta: str) -> list[Segment]:
        self.characters += len(delta)
        return self._pieces.feed(delta)

    def finish(self, delta: str = "") -> list[Segment]:
        self.characters += len(delta)
        return self._pieces.finish(delta)

    def problems(self) -> list[TextWarning]:
        return []


def pieces_of(reading: SegmentQueue) -> list[Segment]:
    pieces: list[Segment] = []
    while True:
        while not reading.read_on():
            pass
        if not reading.has_segment:
            return pieces
        pieces.append(reading.take())


@pytest.mark.parametrize("case", TEXTS)
@pytest.mark.parametrize("cut", [7, 300, 30_000])
def test_segments_do_not_depend_on_how_the_text_is_cut(case: str, cut: int) -> None:
    text = TEXTS[case]
    whole: SegmentReader = segment_reader_for("en", ssml=None)
    expected = [*whole.feed(text), *whole.finish()]
    reading = SegmentQueue(segment_reader_for("en", ssml=None))
    found = []
    for start in range(0, len(text), cut):
        reading.add(text[start : start + cut])
        found += pieces_of(reading)
    reading.is_complete = True
    assert found + pieces_of(reading) == expected


def test_no_more_text_is_read_than_the_next_segment_needs() -> None:
    counted = Counted()
    reading = SegmentQueue(counted)
    reading.add(PROSE * 200)
    reading.is_complete = True
    assert counted.characters == 0
    assert reading.read_on()
    assert reading.has_segment
    assert counted.characters == 256


def test_empty_chunks_take_no_memory() -> None:
    reading = SegmentQueue(Counted())
    for _ in range(1_000):
        reading.add("")
    assert not reading._unread


async def test_text_of_a_waiting_request_is_not_read() -> None:
    first, second = Counted(), Counted()
    readers = iter([first, second])
    async with MemoryConversation(pieces=lambda _, ssml: next(readers)) as talk:
        (speak,) = await talk.does(("synthesize", {"text": PROSE}))
        assert speak.startswith("speak 1")
        assert await talk.does(("synthesize", {"text": PROSE})) == []
    assert (first.characters, second.characters) == (len(PROSE), 0)


async def test_long_text_without_segments_is_read_in_turns() -> None:
    counted = Counted()
    async with MemoryConversation(pieces=lambda _, ssml: counted) as talk:
        talk.send("synthesize", {"text": " " * 19_999 + "x"})
        talk.send("ping")
        while "pong" not in talk.journal:  # noqa: ASYNC110  (it takes turns of the loop)
            await asyncio.sleep(0)
        assert 0 < counted.characters < 10_000
        await talk.settle(quiet_turns=100)
        assert talk.journal == ["pong", "speak 1 tone-low: x"]
        assert counted.characters == 20_000


async def test_abandoned_text_is_not_read_on() -> None:
    counted = Counted()
    async with MemoryConversation(pieces=lambda _, ssml: counted) as talk:
        talk.send("synthesize-start")
        talk.send("synthesize-chunk", {"text": " " * 20_000})
        while not counted.characters:  # noqa: ASYNC110  (as above)
            await asyncio.sleep(0)
        talk.transport.feed_eof()
        await talk.settle(quiet_turns=100)
        assert talk.journal == ["error:protocol-error", "audio-stop", "close"]
    assert counted.characters < 20_000


async def test_over_a_socket_such_a_text_is_answered_and_what_follows_too() -> None:
    async with service() as house, await house.connect() as client:
        await client.send("synthesize", text=TEXTS["nothing to say"])
        await client.stream("<speak>" + "<p/>" * 4_000, "Hello.</speak>")
        assert kinds(await client.until("audio-stop")) == ["audio-start", "audio-stop"]
        expected = ["audio-start", "audio-chunk", "audio-stop", "synthesize-stopped"]
        assert shape(await client.until("synthesize-stopped")) == expected
