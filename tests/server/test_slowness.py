"""Clients that are slow on purpose, and texts that take long to read: neighbours do not notice, and each has an end."""

import asyncio
import contextlib
import functools
import socket

import pytest

from tests.server.client import Client, Service, errors, kinds, service, shape
from tests.server.test_abuse import ANSWER, stalled
from tests.support.tone import ToneSynthesizer
from wyoming_pocket_tts.config.schema import LimitSettings
from wyoming_pocket_tts.server import connection
from wyoming_pocket_tts.server.protocol import EventLimits
from wyoming_pocket_tts.text.reader import segment_reader_for
from wyoming_pocket_tts.text.segments import Segment, SegmentReader, TextWarning


async def test_a_client_that_reads_a_little_now_and_then_is_dropped(
    caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each event in time, all of them for ever: its place to speak must not be kept so."""
    monkeypatch.setattr(connection, "SLOWEST_BYTES_PER_SECOND", 10_000_000)
    limits = LimitSettings(write_timeout=3.0)
    async with service(ToneSynthesizer(seconds_per_character=5.0), limits=limits) as house:
        client = await stalled(house.server.addresses[0])
        await client.send("synthesize", text="This sentence lasts for minutes. " * 10)
        client.writer.transport.resume_reading()  # type: ignore[attr-defined]

        async def sip() -> None:
            while await client.reader.read(2_000):  # noqa: ASYNC110  (what is waited for is time)
                await asyncio.sleep(0.01)

        sipping = asyncio.create_task(sip())
        await house.left()
        sipping.cancel()
        await asyncio.gather(sipping, return_exceptions=True)
        client.writer.transport.abort()
        assert "the client reads less than 10000000 bytes per second; its responses are cancelled" in caplog.text


async def test_the_kernel_keeps_little_for_a_client_that_does_not_read() -> None:
    """Else one that reads as fast as it plays would seem to read nothing for half a minute."""
    async with service() as house, await house.connect() as client:
        await client.send("ping")
        await client.until("pong")
        [connected] = house.server._clients.values()
        kept = connected.connection._writer.get_extra_info("socket").getsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF)
        assert kept <= 256 * 1024
        assert kept < connection.SLOWEST_BYTES_PER_SECOND * LimitSettings().write_timeout * 3


async def test_clients_that_send_byte_by_byte_delay_no_other_and_time_out(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async def dribble(client: Client) -> list[str]:
        with contextlib.suppress(ConnectionError):
            for byte in b'{"type": "synthesize", "data": {"text": "' + b"x" * 10_000:
                if client.reader.at_eof() or client.writer.is_closing():
                    break
                await client.send_raw(bytes([byte]))
                await asyncio.sleep(0.01)
        return [text for _, text in errors(await client.rest())]

    monkeypatch.setattr(
        "wyoming_pocket_tts.server.server.EventLimits", functools.partial(EventLimits, event_seconds=1.0)
    )
    async with service() as house:
        crowd = [await house.connect() for _ in range(20)]
        dribbling = [asyncio.create_task(dribble(client)) for client in crowd]
        await house.speaks()
        for complaints in await asyncio.gather(*dribbling):
            assert complaints in (["an event took longer than 1 s to arrive"], [])  # a reset may take it along
        for client in crowd:
            await client.close()
        await house.left()


class Reader:
    """Reads for all, and counts."""

    def __init__(self) -> None:
        self.characters = 0

    def __call__(self, language: str, *, ssml: bool | None) -> SegmentReader:
        return _Counted(segment_reader_for(language, ssml=ssml), self)


class _Counted:
    def __init__(self, pieces: SegmentReader, total: Reader) -> None:
        self._pieces = pieces
        self._total = total

    def feed(self, delta: str) -> list[Segment]:
        self._total.characters += len(delta)
        return self._pieces.feed(delta)

    def finish(self, delta: str = "") -> list[Segment]:
        self._total.characters += len(delta)
        return self._pieces.finish(delta)

    def problems(self) -> list[TextWarning]:
        return self._pieces.problems()


async def described(house: Service, neighbour: Client) -> None:
    await neighbour.send("describe")
    await neighbour.until("info")


async def test_long_texts_take_turns_with_other_clients() -> None:
    reader = Reader()
    text = "<speak>" + "<p/>" * 4_998
    async with service(pieces=reader) as house, await house.connect() as neighbour:
        await described(house, neighbour)
        flooders = [await house.connect() for _ in range(3)]
        for flooder in flooders:
            for _ in range(3):
                await flooder.send("synthesize", text=text)
        await described(house, neighbour)
        assert reader.characters < 3 * 3 * len(text) / 4, "they were read before the neighbour was answered"
        for flooder in flooders:
            for _ in range(3):
                assert kinds(await flooder.until("audio-stop")) == ["audio-start", "audio-stop"]
            await flooder.close()
        assert reader.characters == 3 * 3 * len(text)


async def test_prose_that_waits_to_be_spoken_is_not_read_yet() -> None:
    reader = Reader()
    async with service(pieces=reader) as house, await stalled_listener(house) as flooder:
        await flooder.send("synthesize", text="A sentence like others. " * 800)
        await house.happened("begin")
        async with await house.connect() as neighbour:
            await neighbour.send("synthesize", text="Hello.")
            assert shape(await neighbour.until("audio-stop")) == ANSWER
        assert reader.characters < 15_000
        flooder.writer.transport.abort()


async def stalled_listener(house: Service) -> Client:
    return await stalled(house.server.addresses[0])
