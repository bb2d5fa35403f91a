"""A long text is read as it is spoken: no further than needed, in turns, and with the same pieces."""

import pytest
from wyoming.event import Event

from tests.server.client import kinds, service, shape
from tests.server.test_session import choose
from wyoming_pocket_tts.config.schema import Limits
from wyoming_pocket_tts.server.response import Again, Note, SegmentQueue, Send, Speak
from wyoming_pocket_tts.server.session import Session
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
        if not reading.has_piece:
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
    assert reading.has_piece
    assert counted.characters == 256


def test_nothing_takes_no_memory_however_often_it_comes() -> None:
    reading = SegmentQueue(Counted())
    for _ in range(1_000):
        reading.add("")
    assert not reading._unread


def new_session(counted: Counted) -> Session:
    def pieces(language: str, *, ssml: bool | None) -> SegmentReader:
        return counted

    return Session(choose=choose, pieces=pieces, info=lambda: Event("info", {}), limits=Limits())


def test_who_waits_has_its_text_read_when_its_turn_comes() -> None:
    first, second = Counted(), Counted()
    readers = iter([first, second])
    session = Session(
        choose=choose, pieces=lambda _, ssml: next(readers), info=lambda: Event("info", {}), limits=Limits()
    )
    assert [type(action) for action in session.received(Event("synthesize", {"text": PROSE}))] == [Note, Speak]
    assert [type(action) for action in session.received(Event("synthesize", {"text": PROSE}))] == [Note]
    assert (first.characters, second.characters) == (len(PROSE), 0)


def test_a_text_with_nothing_to_say_is_read_in_turns_that_are_asked_for_once() -> None:
    counted = Counted()
    session = new_session(counted)
    assert session.received(Event("synthesize", {"text": " " * 19_999 + "x"}))[1:] == [Again()]
    assert counted.characters == 512
    assert [type(action) for action in session.received(Event("ping", {}))] == [Send]
    turns = 0
    while (actions := session.goes_on()) == [Again()]:
        turns += 1
    assert turns == 20_000 // 512 - 2  # the first was the request's own, another the ping's
    assert [type(action) for action in actions] == [Speak]


def test_a_text_that_is_given_up_is_read_no_further() -> None:
    counted = Counted()
    session = new_session(counted)
    session.received(Event("synthesize-start", {}))
    assert session.received(Event("synthesize-chunk", {"text": " " * 10_000})) == [Again()]
    read = counted.characters
    kinds_sent = [action.event.type for action in session.ended() if isinstance(action, Send)]
    assert kinds_sent == ["error", "audio-stop"]
    assert session.goes_on() == []
    assert counted.characters <= read


async def test_over_a_socket_such_a_text_is_answered_and_what_follows_too() -> None:
    async with service() as house, await house.connect() as client:
        await client.send("synthesize", text=TEXTS["nothing to say"])
        await client.stream("<speak>" + "<p/>" * 4_000, "Hello.</speak>")
        assert kinds(await client.until("audio-stop")) == ["audio-start", "audio-stop"]
        expected = ["audio-start", "audio-chunk", "audio-stop", "synthesize-stopped"]
        assert shape(await client.until("synthesize-stopped")) == expected
