"""A long text is read as it is spoken: no further than needed, in turns, and with the same pieces."""

import asyncio

import pytest

from tests.server.client import kinds, service, shape
from tests.server.memory import MemoryConversation
from wyoming_pocket_tts.server.segments import SegmentQueue
from wyoming_pocket_tts.text.reader import segment_reader_for
from wyoming_pocket_tts.text.segments import PlainTextReader, Segment, SegmentReader, TextWarning

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

    def finish(self) -> list[Segment]:
        return self._pieces.finish()

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
def test_the_pieces_are_those_of_the_whole_text(case: str, cut: int) -> None:
    text = TEXTS[case]
    whole: SegmentReader = segment_reader_for("en", ssml=None)
    expected = [*whole.feed(text), *whole.finish()]
    reading = SegmentQueue(segment_reader_for("en", ssml=None))
    found = []
    for start in range(0, len(text), cut):
        reading.add(text[start : start + cut])
        found += pieces_of(reading)
    reading.end()
    assert found + pieces_of(reading) == expected


def test_no_more_is_read_than_the_next_piece_needs() -> None:
    counted = Counted()
    reading = SegmentQueue(counted)
    reading.add(PROSE * 200)
    reading.end()
    assert counted.characters == 0
    assert reading.read_on()
    assert reading.has_segment
    assert counted.characters == 256


def test_nothing_takes_no_memory_however_often_it_comes() -> None:
    reading = SegmentQueue(Counted())
    for _ in range(1_000):
        reading.add("")
    assert not reading._unread


async def test_who_waits_has_its_text_read_when_its_turn_comes() -> None:
    first, second = Counted(), Counted()
    readers = iter([first, second])
    async with MemoryConversation(pieces=lambda _, ssml: next(readers)) as talk:
        (speak,) = await talk.does(("synthesize", {"text": PROSE}))
        assert speak.startswith("speak 1")
        assert await talk.does(("synthesize", {"text": PROSE})) == []
    assert (first.characters, second.characters) == (len(PROSE), 0)


async def test_a_text_with_nothing_to_say_is_read_in_turns() -> None:
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


async def test_a_text_that_is_given_up_is_read_no_further() -> None:
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
