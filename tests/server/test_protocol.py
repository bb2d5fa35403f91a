"""Reading, limits and encoding of events; the info event."""

import asyncio
import io
import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from wyoming.event import Event, read_event, write_event
from wyoming.info import Info

from tests.server.client import service
from tests.support.tone import VOICES, ToneSynthesizer
from wyoming_pocket_tts.core.errors import ProtocolError
from wyoming_pocket_tts.core.types import Voice
from wyoming_pocket_tts.server import connection
from wyoming_pocket_tts.server.connection import EventWriter
from wyoming_pocket_tts.server.protocol import EventLimits, EventReader, IdleTimeout, encode, info_event

TEXT = st.text(st.characters(exclude_categories=["Cs"]), max_size=20)
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | TEXT,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(TEXT, inner, max_size=3),
    max_leaves=8,
)
EVENTS = st.builds(
    Event,
    type=TEXT.filter(bool),
    data=st.dictionaries(TEXT, JSON, max_size=4),
    payload=st.none() | st.binary(min_size=1, max_size=100),
)


def read_all(data: bytes, limits: EventLimits | None = None) -> list[Event]:
    """What our reader makes of the bytes."""

    async def reading() -> list[Event]:
        limits_used = limits or EventLimits()
        stream = asyncio.StreamReader(limit=limits_used.header_bytes)
        stream.feed_data(data)
        stream.feed_eof()
        reader = EventReader(stream, limits_used)
        events = []
        while (event := await reader.read()) is not None:
            events.append(event)
        return events

    return asyncio.run(reading())


@given(st.lists(EVENTS, max_size=4))
def test_the_library_reads_what_we_write(events: list[Event]) -> None:
    stream = io.BytesIO(b"".join(map(encode, events)))
    assert [read_event(stream) for _ in events] == events
    assert stream.read() == b""


@given(st.lists(EVENTS, max_size=4))
def test_we_read_what_the_library_writes(events: list[Event]) -> None:
    stream = io.BytesIO()
    for event in events:
        write_event(event, stream)
    assert read_all(stream.getvalue()) == events


@given(
    st.binary(max_size=300) | EVENTS.map(encode).flatmap(lambda data: st.integers(0, len(data)).map(lambda n: data[:n]))
)
@settings(max_examples=300)
def test_any_bytes_are_events_or_a_protocol_error(data: bytes) -> None:
    try:
        events = read_all(data)
    except ProtocolError:
        pass  # anything else fails the test
    else:
        assert all(isinstance(event.type, str) and isinstance(event.data, dict) for event in events)


def test_data_beside_and_behind_the_header_is_merged_and_what_is_behind_wins() -> None:
    behind = json.dumps({"b": 2, "c": 3}).encode()
    line = json.dumps({"type": "x", "data": {"a": 1, "b": 1}, "data_length": len(behind), "version": 7}).encode()
    assert read_all(line + b"\n" + behind) == [Event("x", {"a": 1, "b": 2, "c": 3})]


def test_nulls_count_as_absent() -> None:
    line = b'{"type": "x", "data": null, "data_length": null, "payload_length": null}\n'
    assert read_all(line) == [Event("x", {})]


def test_the_last_line_may_lack_its_end() -> None:
    assert read_all(b'{"type": "describe"}') == [Event("describe", {})]


def test_headers_stay_short_whatever_the_data() -> None:
    header = encode(Event("info", {"voices": ["ä" * 100] * 10_000}, b"audio")).split(b"\n")[0]
    assert len(header) < 200
    assert json.loads(header)["version"]


@pytest.mark.parametrize(("size", "fits"), [(1_000, True), (1_001, False)])
def test_the_header_limit_counts_the_whole_line(size: int, fits: bool) -> None:
    line = b'{"type": "ping", "x": "' + b"x" * (size - 26) + b'"}\n'
    assert len(line) == size
    limits = EventLimits(header_bytes=1_000)
    if fits:
        assert len(read_all(line, limits)) == 1
    else:
        with pytest.raises(ProtocolError, match="longer than 1000 bytes"):
            read_all(line, limits)


async def test_waiting_for_an_event_is_no_error_and_can_go_on() -> None:
    stream = asyncio.StreamReader()
    reader = EventReader(stream, idle_seconds=0.01)
    with pytest.raises(IdleTimeout):
        await reader.read()
    stream.feed_data(b'{"type": "ping"}\n')
    assert await reader.read() == Event("ping", {})


@pytest.fixture(autouse=True)
def _slowest(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(connection, "SLOWEST_BYTES_PER_SECOND", 1_000)


class Peer(asyncio.StreamWriter):
    """A way to somebody who reads in the time that the test says, on a clock of the test's."""

    def __init__(self) -> None:
        self.seconds = 0.0
        self.takes_seconds = 0.0

    def __del__(self, warnings: object = None) -> None:
        """There is nothing to be closed."""

    def write(self, data: object) -> None:
        pass

    async def drain(self) -> None:
        self.seconds += self.takes_seconds


class Deaf(Peer):
    """One that reads nothing any more."""

    async def drain(self) -> None:
        await asyncio.Event().wait()


def writer_to(peer: Peer, *, write_seconds: float = 30.0) -> EventWriter:
    return EventWriter(peer, write_seconds=write_seconds, now=lambda: peer.seconds)


async def test_client_that_plays_while_it_reads_may_take_for_ever() -> None:
    peer = Peer()
    peer.takes_seconds = 0.9
    out = writer_to(peer)
    for _ in range(1_000):
        out.write(bytes(1_000))
        await out.drain()
    assert peer.seconds == pytest.approx(900)


async def test_client_that_pauses_may_go_on() -> None:
    peer = Peer()
    out = writer_to(peer)
    for _ in range(20):
        peer.takes_seconds = 29
        out.write(bytes(1_000))
        await out.drain()
        peer.takes_seconds = 0
        for _ in range(30):
            out.write(bytes(1_000))
            await out.drain()


async def test_client_that_reads_too_slowly_times_out() -> None:
    peer = Peer()
    peer.takes_seconds = 11
    out = writer_to(peer)
    for _ in range(3):
        out.write(bytes(1_000))
        await out.drain()
    deaf = Deaf()
    out._stream = deaf
    out.write(bytes(1_000))
    with pytest.raises(TimeoutError, match="reads less than 1000 bytes per second"):
        await asyncio.wait_for(out.drain(), 10)


async def test_client_that_reads_nothing_has_its_own_message() -> None:
    out = writer_to(Deaf(), write_seconds=0.02)
    out.write(bytes(1_000))
    with pytest.raises(TimeoutError, match=r"has read nothing for 0\.02 s"):
        await asyncio.wait_for(out.drain(), 10)


async def test_two_that_wait_for_the_same_reader_are_owed_once() -> None:
    class Slow(Peer):
        async def drain(self) -> None:
            await asyncio.sleep(0)
            self.seconds += self.takes_seconds

    peer = Slow()
    peer.takes_seconds = 7
    out = writer_to(peer)
    await asyncio.gather(out.drain(), out.drain())
    assert out._debt_seconds == pytest.approx(14)


@pytest.mark.parametrize("value", ["9" * 4_000, '"' + "x" * 4_000 + '"', "[" + "1," * 4_000 + "1]", "-1" + "0" * 4_000])
@pytest.mark.parametrize("key", ["data_length", "payload_length", "data"])
def test_complaints_are_short_whatever_they_are_about(key: str, value: str) -> None:
    with pytest.raises(ProtocolError) as told:
        read_all(b'{"type": "ping", "' + key.encode() + b'": ' + value.encode() + b"}\n")
    assert len(str(told.value)) < 200


def voice(number: int) -> Voice:
    return Voice(
        name=f"voice-{number}", description=f"Stimme für Nummer {number}", languages=("de-DE",), sample_rate_hz=24_000
    )


def test_the_library_understands_it() -> None:
    [program] = Info.from_event(info_event(VOICES)).tts
    assert (program.name, program.installed, program.supports_synthesize_streaming) == (
        "wyoming-pocket-tts",
        True,
        True,
    )
    assert program.attribution.name
    assert [(voice.name, voice.installed, voice.languages) for voice in program.voices] == [
        ("tone-low", True, ["en-US"]),
        ("tone-high", True, ["en-GB", "en-US"]),
        ("ton", True, ["de-DE"]),
        ("tone-away", False, ["fr-FR"]),
    ]
    assert [[speaker.name for speaker in voice.speakers or []] for voice in program.voices] == [
        [],
        [],
        ["ruhig", "heiter"],
        [],
    ]


def test_every_field_that_home_assistant_needs_is_there() -> None:
    [program] = info_event(VOICES).data["tts"]
    assert {"name", "attribution", "installed", "voices"} <= program.keys()
    for listed in program["voices"]:
        assert {"name", "attribution", "installed", "languages"} <= listed.keys()
        assert {"name", "url"} <= listed["attribution"].keys()


def test_without_voices_nothing_is_installed() -> None:
    [program] = info_event([]).data["tts"]
    assert not program["installed"]


async def test_a_voice_added_at_run_time_is_listed_and_speaks_without_a_restart() -> None:
    voices = [voice(1)]

    class Growing(ToneSynthesizer):
        def voices(self) -> list[Voice]:
            return voices

    async with service(Growing()) as house, await house.connect() as client:
        await client.send("describe")
        first = (await client.until("info"))[0]
        await client.send("describe")
        assert (await client.until("info"))[0] == first
        voices.append(voice(2))
        await client.send("describe")
        second = (await client.until("info"))[0]
        assert [listed["name"] for listed in second.data["tts"][0]["voices"]] == ["voice-1", "voice-2"]
        await client.send("synthesize", text="Hallo.", voice={"name": "voice-2"})
        assert (await client.until("audio-stop"))[0].data["rate"] == 24_000


async def test_a_thousand_voices_do_not_break_the_clients_line_limit() -> None:
    tone = ToneSynthesizer(voices=[voice(number) for number in range(1_000)])
    async with service(tone) as house, await house.connect() as client:  # its reader takes lines of at most 64 KiB
        await client.send("describe")
        info = (await client.until("info"))[0]
        assert len(info.data["tts"][0]["voices"]) == 1_000
