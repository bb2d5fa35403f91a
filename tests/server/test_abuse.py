"""Misuse by a client is answered and logged, costs little, and disturbs no other client."""

import asyncio
import inspect
import json
import logging
import random
import resource
import socket
from collections.abc import Sequence
from functools import partial
from typing import Any

import pytest

from tests.server.client import Client, errors, kinds, service, shape
from tests.support.tone import Gate, ToneSynthesizer
from wyoming_pocket_tts.config.schema import LimitSettings
from wyoming_pocket_tts.core.errors import ModelError
from wyoming_pocket_tts.core.types import Voice
from wyoming_pocket_tts.engine.scheduler import Scheduler
from wyoming_pocket_tts.server.protocol import EventLimits

ANSWER = ["audio-start", "audio-chunk", "audio-stop"]
NEIGHBOUR = "The neighbour speaks."


def header(**fields: object) -> bytes:
    return json.dumps({"type": "ping"} | fields).encode() + b"\n"


BROKEN = {
    "malformed JSON": (b'{"type": ping}\n', "is not JSON"),
    "no JSON at all": (b"GET / HTTP/1.1\r\nHost: here\r\n\r\n", "is not JSON"),
    "an empty line": (b"\n", "is not JSON"),
    "bad UTF-8": (b'{"type": "\xff\xfe"}\n', "is not UTF-8"),
    "a long header line": (
        b'{"type": "ping", "data": {"text": "' + b"x" * 70_000 + b'"}}\n',
        "longer than 65536 bytes",
    ),
    "an endless header line": (b"x" * 8_000_000, "longer than 65536 bytes"),
    "a list": (b"[1, 2]\n", "must be an object, not a list"),
    "a number": (b"12\n", "must be an object, not 12"),
    "no type": (b"{}\n", "'type' must be a text, not nothing"),
    "a type that is no text": (b'{"type": {}}\n', "'type' must be a text, not an object"),
    "data that is a list": (header(data=[1]), "'data' of 'ping' must be an object, not a list"),
    "data that is a text": (header(data="x"), "must be an object, not a text"),
    "data behind the header that is a list": (header(data_length=2) + b"[]", "data must be an object, not a list"),
    "data behind the header that is no JSON": (header(data_length=2) + b"{]", "data is not JSON"),
    "a length that is a text": (header(data_length="10"), "'data_length' must be a number of bytes, not a text"),
    "a length that is true": (header(payload_length=True), "'payload_length' must be a number of bytes, not true"),
    "a length that is a list": (header(payload_length=[1]), "'payload_length' must be a number of bytes"),
    "a negative length": (header(payload_length=-1), "'payload_length' must be a number of bytes, not -1"),
    "a length with a fraction": (header(payload_length=1e12), "'payload_length' must be a number of bytes"),
    "a huge payload": (header(payload_length=10**12), "'payload_length' is 1000000000000; at most 65536"),
    "huge data": (header(data_length=10**12), "'data_length' is 1000000000000; at most 262144"),
    "a number of many digits": (b'{"type": "ping", "data_length": ' + b"9" * 5_000 + b"}\n", "is not JSON"),
    "20 000 levels in the header": (
        b'{"type": "ping", "data": {"a": ' + b"[" * 20_000 + b"]" * 20_000 + b"}}\n",
        "nested deeper than 16",
    ),
    # "nested deeper" or "not JSON": how deep the parser goes before it gives up depends on the Python
    "20 000 levels that never end": (b"[" * 20_000 + b"\n", "an event's header line is n"),
    "100 000 levels in the data": (header(data_length=200_000) + b"[" * 100_000 + b"]" * 100_000, "nested deeper"),
    "17 levels": (header(data={"a": json.loads("[" * 15 + "]" * 15)}), "nested deeper than 16"),
}


@pytest.mark.parametrize("case", BROKEN)
async def test_bytes_that_are_no_event_are_refused_with_the_reason(case: str, caplog: pytest.LogCaptureFixture) -> None:
    sent, complaint = BROKEN[case]
    gate = Gate()
    tone = ToneSynthesizer(gate=lambda request: gate if request.text == NEIGHBOUR else None)
    async with service(tone) as house, await house.connect() as neighbour:
        await neighbour.send("synthesize", text=NEIGHBOUR)
        gate.let(1)
        await neighbour.until("audio-chunk")
        async with await house.connect() as client:
            client.writer.write(sent)  # not all of it may be taken
            [(code, text)] = errors(await client.rest())
            assert (code, complaint in text) == ("protocol-error", True), text
        assert any(record.levelno == logging.WARNING and complaint in record.message for record in caplog.records)
        gate.open()
        assert kinds(await neighbour.until("audio-stop"))[-1] == "audio-stop"
        await house.speaks()


async def test_the_reason_outlives_what_the_client_sent_besides() -> None:
    async with service() as house, await house.connect() as client:
        client.writer.transport.pause_reading()  # type: ignore[attr-defined]
        client.writer.write(bytes(400_000))  # more than the server's buffer takes
        await house.disconnected()
        client.writer.transport.resume_reading()  # type: ignore[attr-defined]
        assert kinds(await client.until("error")) == ["error"]
        assert await client.receive() is None  # an orderly end: a reset can overtake the reason and wipe it out


async def test_truncated_event_is_reported() -> None:
    async with service() as house, await house.connect() as client:
        await client.send_raw(header(payload_length=10) + b"abc")
        client.writer.write_eof()
        assert "ended 7 bytes before" in errors(await client.rest())[0][1]


async def test_sixteen_levels_and_the_largest_sizes_are_fine() -> None:
    async with service() as house, await house.connect() as client:
        deep = {"text": "deep", "a": json.loads("[" * 14 + "]" * 14)}
        await client.send_raw(header(data=deep))
        assert (await client.until("pong"))[0].data["text"] == "deep"
        data = json.dumps({"text": "x" * 200_000}).encode()
        await client.send_raw(header(data_length=len(data), payload_length=65_536) + data + bytes(65_536))
        assert len((await client.until("pong"))[0].data["text"]) == 200_000
        long = b'{"type": "ping", "data": {"text": "' + b"x" * 65_000 + b'"}}\n'
        await client.send_raw(long)
        assert len((await client.until("pong"))[0].data["text"]) == 65_000


@pytest.mark.parametrize("streamed", [False, True])
async def test_a_broken_event_while_speaking_still_sends_what_is_owed(streamed: bool) -> None:
    gate = Gate()
    async with service(ToneSynthesizer(gate=lambda _: gate)) as house:
        async with await house.connect() as client:
            await (client.stream(NEIGHBOUR) if streamed else client.send("synthesize", text=NEIGHBOUR))
            gate.let(1)
            await client.until("audio-chunk")
            await client.send_raw(b"nonsense\n")
            owed = ["error", "audio-stop", "synthesize-stopped"] if streamed else ["error", "audio-stop"]
            assert kinds(await client.rest()) == owed
        gate.let(1)
        await house.left()


async def test_memory_stays_bounded_under_abuse() -> None:
    async with service() as house:
        before_kilobytes = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        for _ in range(4):
            clients = [await house.connect() for _ in range(8)]
            for client in clients:
                client.writer.write(header(payload_length=10**12))
            for client in clients:
                assert "at most" in errors(await client.rest())[0][1]
                await client.close()
        for _ in range(20):
            async with await house.connect() as client:
                client.writer.write(bytes(1_000_000))
                await client.rest()
        await house.left()
        assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before_kilobytes < 50_000
        await house.speaks()


async def test_flood_of_events_takes_turns_with_other_clients() -> None:
    class Counting(ToneSynthesizer):
        described = 0

        def voices(self) -> Sequence[Voice]:
            self.described += 1
            return super().voices()

    tone = Counting()
    async with service(tone) as house, await house.connect() as flooder, await house.connect() as neighbour:
        await neighbour.send("describe")
        await neighbour.until("info")
        flooder.writer.write(b'{"type": "describe"}\n' * 2_000)
        await neighbour.send("describe")
        await neighbour.until("info")
        assert tone.described < 200  # of the 2 000 that were there before


async def test_no_client_can_fill_the_log_or_forge_its_lines(caplog: pytest.LogCaptureFixture) -> None:
    forged = "x\n2026-01-01 INFO all is well\x1b[2J\u2028" + 60_000 * "x"
    async with service() as house, await house.connect() as client:
        for wrong in ({"text_format": forged}, {"voice": {"language": forged}}, {"voice": {"name": forged}}) * 20:
            await client.send("synthesize", text=" ", **wrong)
            await client.send("select-program", name=forged)
            await client.until("audio-stop")
        lines = [record.getMessage() for record in caplog.records if record.levelno >= logging.WARNING]
    assert len(lines) == 20
    assert "no further warnings" in lines[-1]
    assert all(line.isprintable() and len(line) < 300 for line in lines)


WRONG: dict[str, tuple[dict[str, Any], str]] = {
    "no text": ({}, "'text' is missing"),
    "a text that is a number": ({"text": 12}, "'text' is missing or is no text"),
    "a voice that is a list": ({"text": "Hi.", "voice": []}, "'voice' must be an object"),
    "a name that is a number": ({"text": "Hi.", "voice": {"name": 3}}, "the voice's 'name' must be a text"),
    "a language that is an object": ({"text": "Hi.", "voice": {"language": {}}}, "'language' must be a text"),
    "a format of another kind": ({"text": "Hi.", "text_format": "html"}, "'html' is not supported; send 'text' or"),
    "a format that is a list": ({"text": "Hi.", "text_format": []}, "is not supported"),
}


@pytest.mark.parametrize("case", WRONG)
async def test_requests_that_make_no_sense_are_refused_one_by_one(case: str, caplog: pytest.LogCaptureFixture) -> None:
    data, complaint = WRONG[case]
    async with service() as house, await house.connect() as client:
        await client.send("synthesize", **data)
        events = await client.until("audio-stop")
        assert kinds(events) == ["error", "audio-stop"]
        assert complaint in errors(events)[0][1]
        assert complaint in caplog.text
        await client.send("synthesize-start", **{key: value for key, value in data.items() if key != "text"})
        await client.send("synthesize-chunk", **{"text": data["text"]} if "text" in data else {})
        events = await client.until("audio-stop")
        assert kinds(events) == ["error", "audio-stop"]
        await client.send("synthesize-stop")
        assert kinds(await client.until("synthesize-stopped")) == ["synthesize-stopped"]
        await client.send("synthesize", text="All is well.")
        assert shape(await client.until("audio-stop")) == ANSWER


async def test_a_voice_that_is_null_is_no_voice() -> None:
    async with service() as house, await house.connect() as client:
        await client.send("synthesize", text="Hi.", voice=None, context=None, text_format=None)
        assert shape(await client.until("audio-stop")) == ANSWER


async def test_events_in_broken_order_are_answered_and_leave_no_trace() -> None:
    async with service() as house, await house.connect() as client:
        await client.send("synthesize-chunk", text="Nobody started.")
        assert "without synthesize-start" in errors(await client.until("error"))[0][1]
        await client.send("synthesize-stop")
        assert kinds(await client.until("synthesize-stopped")) == ["error", "synthesize-stopped"]
        await client.send("synthesize-start")
        await client.send("synthesize-chunk", text="Forgotten")
        await client.stream("Spoken.", voice={"name": "tone-high"})  # a second start
        events = await client.until("synthesize-stopped")
        assert shape(events) == [*ANSWER, "synthesize-stopped"]
        assert events[0].data["rate"] == 22_050
        assert [entry.text for entry in house.tone.journal.entries() if entry.what == "begin"] == ["Spoken."]


async def test_a_second_start_while_the_first_sounds_ends_the_first() -> None:
    gate = Gate()
    tone = ToneSynthesizer(gate=lambda request: gate if request.text == NEIGHBOUR else None)
    async with service(tone) as house, await house.connect() as client:
        await client.send("synthesize-start")
        await client.send("synthesize-chunk", text=NEIGHBOUR + " And more. And")
        gate.let(1)
        await client.until("audio-chunk")
        await client.stream("Spoken.")
        events = [*await client.until("audio-stop"), *await client.until("synthesize-stopped")]
        assert shape(events) == ["audio-stop", *ANSWER, "synthesize-stopped"]
        gate.let(1)  # the worker is in the midst of a block, which nobody hears
        assert house.tone.journal.count("begin", "And more.") == 0


async def test_unknown_events_and_programs_are_ignored(caplog: pytest.LogCaptureFixture) -> None:
    async with service() as house, await house.connect() as client:
        await client.send("transcribe", language="en")
        await client.send("select-program", name="wyoming-pocket-tts")
        assert not [record for record in caplog.records if record.levelno >= logging.WARNING]
        await client.send("select-program", name="piper")
        await client.send("select-program")
        await client.send("synthesize", text="Hello.")
        assert shape(await client.until("audio-stop")) == ANSWER
        assert "there is no program 'piper'; 'wyoming-pocket-tts' answers" in caplog.text


async def test_half_surrogates_are_spoken_and_echoed_as_well_as_can_be() -> None:
    async with service() as house, await house.connect() as client:
        await client.send_raw(b'{"type": "ping", "data": {"text": "a\\ud83d"}}\n')
        assert (await client.until("pong"))[0].data["text"] == "a?"
        await client.send_raw(b'{"type": "synthesize", "data": {"text": "Hello \\ud83d there."}}\n')
        assert shape(await client.until("audio-stop")) == ANSWER


async def test_a_slow_event_runs_out_of_time(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("wyoming_pocket_tts.server.server.EventLimits", partial(EventLimits, event_seconds=0.3))
    async with service() as house, await house.connect() as client:
        await client.send_raw(b'{"type":')
        assert "longer than 0.3 s to arrive" in errors(await client.rest())[0][1]
        await house.speaks()


async def test_a_silent_client_is_sent_away_but_not_while_it_listens() -> None:
    gate = Gate()
    tone = ToneSynthesizer(gate=lambda request: gate if request.text == NEIGHBOUR else None)
    async with service(tone, limits=LimitSettings(idle_timeout=0.3)) as house:
        async with await house.connect() as client:
            assert "no event came for 0.3 s (server.limits.idle_timeout)" in errors(await client.rest())[0][1]
        async with await house.connect() as client:
            await client.send("synthesize-start")
            await client.send("synthesize-chunk", text="And th")
            assert kinds(await client.rest()) == ["error", "audio-stop"]
        async with await house.connect() as client, await house.connect() as idler:
            await client.send("synthesize", text=NEIGHBOUR)
            await house.happened("begin", NEIGHBOUR)
            await idler.rest()  # came later, and its time is up: so is the other's
            gate.open()
            assert shape(await client.until("audio-stop")) == ANSWER


async def stalled(address: str) -> Client:
    """A client whose kernel takes little, so that the server soon has to wait."""
    host, port = address.removeprefix("tcp://").rsplit(":", 1)
    peer = socket.socket()
    peer.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4_096)
    peer.setblocking(False)
    await asyncio.get_running_loop().sock_connect(peer, (host, int(port)))
    reader, writer = await asyncio.open_connection(sock=peer, limit=1_024)
    writer.transport.pause_reading()  # type: ignore[attr-defined]
    return Client(reader, writer)


async def test_client_that_stops_reading_is_disconnected_and_delays_no_other(caplog: pytest.LogCaptureFixture) -> None:
    tone = ToneSynthesizer(seconds_per_character=5.0)
    limits = LimitSettings(write_timeout=0.3)
    async with service(tone, limits=limits, threads=1) as house:
        clients = [await stalled(house.server.addresses[0]) for _ in range(3)]
        for client in clients:
            await client.send("synthesize", text="This sentence lasts for minutes. " * 10)
        await house.happened("block", times=3)
        async with await house.connect() as client:
            await client.send("synthesize", text="Hi.")
            assert shape(await client.until("audio-stop")) == ANSWER
        await house.left()
        reason = "has read nothing for 0.3 s (server.limits.write_timeout); its responses are cancelled"
        assert caplog.text.count(reason) == 3
        for client in clients:
            client.writer.transport.abort()


async def test_a_client_that_only_asks_and_never_reads_is_dropped(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("wyoming_pocket_tts.server.connection.WRITE_BUFFER_BYTES", 1_024)
    async with service(limits=LimitSettings(write_timeout=0.2)) as house:
        client = await stalled(house.server.addresses[0])
        ping = header(data={"text": "x" * 60_000})

        async def flood() -> None:
            while True:
                await client.send_raw(ping)

        with pytest.raises(ConnectionError):
            async with asyncio.timeout(15):
                await flood()
        await house.left()
        client.writer.transport.abort()


async def test_connection_beyond_the_limit_is_refused_until_one_closes() -> None:
    async with service(limits=LimitSettings(max_connections=2)) as house:
        first, second = await house.connect(), await house.connect()
        await first.send("ping")
        await first.until("pong")
        async with await house.connect() as third:
            await third.send("describe")
            events = await third.rest()
            assert errors(events) == [
                ("overloaded", "all connections are taken, 2 of 2 (server.limits.max_connections); try again later")
            ]
        await first.send("ping")
        await first.until("pong")
        await second.close()
        async with asyncio.timeout(10):
            while house.server.connections > 1:  # noqa: ASYNC110  (the server tells nobody but its tests)
                await asyncio.sleep(0.005)
        await house.speaks()
        await first.close()


async def test_too_many_connections_from_one_address_leave_room_for_others() -> None:
    async with service(limits=LimitSettings(max_connections_per_client=1)) as house, await house.connect() as first:
        await first.send("ping")
        await first.until("pong")
        async with await house.connect() as second:
            assert "all connections from 127.0.0.1 are taken, 1 of 1" in errors(await second.rest())[0][1]
        port = int(house.server.addresses[0].rsplit(":", 1)[1])
        elsewhere = Client(*await asyncio.open_connection("127.0.0.1", port, local_addr=("127.0.0.2", 0)))
        await elsewhere.send("synthesize", text="Hello.")
        assert shape(await elsewhere.until("audio-stop")) == ANSWER
        await elsewhere.close()


async def test_a_crowd_at_the_door_is_turned_away_without_growing_a_crowd_inside() -> None:
    async with service(limits=LimitSettings(max_connections=1)) as house, await house.connect() as first:
        await first.send("ping")
        await first.until("pong")
        crowd = [await house.connect() for _ in range(10)]
        for client in crowd:
            await client.rest()
            await client.close()
        await first.send("synthesize", text="Hello.")
        assert shape(await first.until("audio-stop")) == ANSWER


async def test_an_error_of_the_servers_own_closes_one_connection_only(caplog: pytest.LogCaptureFixture) -> None:
    class Sick(ToneSynthesizer):
        sick = False

        def voices(self):  # type: ignore[no-untyped-def]  # noqa: ANN202
            if self.sick:
                raise RuntimeError("not today")
            return super().voices()

    tone = Sick()
    async with service(tone) as house, await house.connect() as client:
        tone.sick = True
        await client.send("describe")
        assert errors(await client.rest()) == [("speech-error", "an error of the server's own: see its log")]
        tone.sick = False
        assert "not today" in caplog.text
        await house.speaks()


async def test_random_conversations_over_sockets_leave_the_server_whole(
    caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    chance = random.Random(20_26)  # noqa: S311  (no secret)
    pieces = [
        *(header(type=kind) for kind in ("describe", "synthesize-start", "synthesize-stop", "synthesize", "no-such")),
        header(type="synthesize", data={"text": "One. Two."}),
        header(type="synthesize", data={"text": "Drei.", "voice": {"language": "de"}}),
        header(type="synthesize-chunk", data={"text": "Some text. And"}),
        header(data_length=3) + b"{}\n",
        header(payload_length=4) + b"abcd",
        b"{\n",
        b"\xff\n",
    ]
    tone = ToneSynthesizer(failure=lambda request, block: ModelError("hoarse") if chance.random() < 0.02 else None)

    async def converse() -> None:
        weights = [4] * (len(pieces) - 2) + [1, 1]
        script = b"".join(chance.choices(pieces, weights, k=chance.randrange(1, 10)))
        client = await house.connect()
        client.writer.write(script[: chance.randrange(1, len(script) + 1)])
        match chance.randrange(3):
            case 0:
                client.writer.transport.abort()
            case 1:
                await client.close()
            case _:
                client.writer.write_eof()
                types = kinds(await client.rest())
                assert types.count("audio-start") <= types.count("audio-stop"), types
                await client.close()

    monkeypatch.setattr("wyoming_pocket_tts.server.listener.LINGER_SECONDS", 0.2)
    async with service(tone) as house:
        for _ in range(30):
            await asyncio.gather(*(converse() for _ in range(10)))
        await house.left()
        chance.random = lambda: 1.0  # type: ignore[method-assign]
        await house.speaks()
    assert not [record for record in caplog.records if record.levelno >= logging.ERROR]


def test_one_address_cannot_take_every_place_to_speak() -> None:
    """A stream that nobody reads keeps its place until the write times out."""
    speaking_at_once = inspect.signature(Scheduler).parameters["max_active"].default
    assert LimitSettings().max_connections_per_client < speaking_at_once
