"""What a client hears, over real sockets."""

import asyncio
import select
import socket
import time

import pytest

from tests.server.client import Service, audio_seconds, errors, kinds, service, shape
from tests.support.tone import Gate, ToneSynthesizer
from wyoming_pocket_tts.config.schema import LimitSettings
from wyoming_pocket_tts.core.errors import ModelError

ANSWER = ["audio-start", "audio-chunk", "audio-stop"]
LONG = "This sentence has no end for a long time and so it takes many blocks to say it all"  # 1.64 s: 17 blocks


def gated(text: str, gate: Gate) -> ToneSynthesizer:
    return ToneSynthesizer(gate=lambda request: gate if request.text == text else None)


async def test_a_whole_text_is_answered_in_one_piece() -> None:
    async with service() as house, await house.connect() as client:
        await client.send("synthesize", text="Hello there. How are you?", voice={"name": "tone-high"})
        events = await client.until("audio-stop")
        assert shape(events) == ANSWER
        assert events[0].data == {"rate": 22_050, "width": 2, "channels": 1, "timestamp": 0}
        assert audio_seconds(events) == pytest.approx(0.02 * len("Hello there." + "How are you?"))
        assert events[-1].data["timestamp"] == 480
        assert [entry.text for entry in house.tone.journal.entries() if entry.what == "begin"] == [
            "Hello there.",
            "How are you?",
        ]


async def test_chunks_are_whole_samples_and_short_however_long_the_blocks() -> None:
    async with service(ToneSynthesizer(block_seconds=1.0)) as house, await house.connect() as client:
        await client.send("synthesize", text=LONG)
        chunks = [event for event in await client.until("audio-stop") if event.type == "audio-chunk"]
        lengths = [len(chunk.payload or b"") for chunk in chunks]
        assert max(lengths) == 3_200
        assert not any(length % 2 for length in lengths)
        assert [chunk.data["timestamp"] for chunk in chunks[:3]] == [0, 100, 200]


async def test_home_assistants_stream_is_spoken_once_and_closed_by_synthesize_stopped() -> None:
    async with service() as house, await house.connect() as client:
        await client.stream("The lights are on. ", "", " ", "The do", "or is shut.")
        events = await client.until("synthesize-stopped")
        assert shape(events) == [*ANSWER, "synthesize-stopped"]
        assert [entry.text for entry in house.tone.journal.entries() if entry.what == "begin"] == [
            "The lights are on.",
            "The door is shut.",
        ]
        await client.stream("Once more.")  # the state was reset
        assert shape(await client.until("synthesize-stopped")) == [*ANSWER, "synthesize-stopped"]


async def test_a_stream_sounds_before_its_text_is_complete_but_stops_only_after() -> None:
    async with service() as house, await house.connect() as client:
        await client.send("synthesize-start")
        await client.send("synthesize-chunk", text="This comes first. And th")
        assert kinds(await client.until("audio-chunk")) == ["audio-start", "audio-chunk"]
        await house.happened("end", "This comes first.")
        await client.send("ping", text="still there?")
        events = await client.until("pong")
        assert "audio-stop" not in kinds(events)
        await client.send("synthesize-chunk", text="is last.")
        await client.send("synthesize-stop")
        assert shape(await client.until("synthesize-stopped")) == ["audio-chunk", "audio-stop", "synthesize-stopped"]


@pytest.mark.parametrize("deltas", [(), ("",), (" ", "\n")])
async def test_an_empty_stream_is_opened_and_closed(deltas: tuple[str, ...]) -> None:
    async with service() as house, await house.connect() as client:
        await client.stream(*deltas)
        assert kinds(await client.until("synthesize-stopped")) == ["audio-start", "audio-stop", "synthesize-stopped"]


async def test_a_text_with_nothing_to_say_is_no_error() -> None:
    async with service() as house, await house.connect() as client:
        await client.send("synthesize", text="...")
        assert kinds(await client.until("audio-stop")) == ["audio-start", "audio-stop"]


async def test_audio_flows_while_the_synthesis_goes_on() -> None:
    gate = Gate()
    async with service(gated(LONG, gate)) as house, await house.connect() as client:
        await client.send("synthesize", text=LONG)
        gate.let(1)
        assert kinds(await client.until("audio-chunk")) == ["audio-start", "audio-chunk"]
        assert house.tone.journal.count("end") == 0
        gate.open()
        assert kinds(await client.until("audio-stop"))[-1] == "audio-stop"


async def test_describe_and_ping_are_answered_while_four_clients_speak() -> None:
    tone = ToneSynthesizer(seconds_per_character=1.0, block_seconds=0.05)
    async with service(tone) as house:
        speakers = [await house.connect() for _ in range(4)]
        for speaker in speakers:
            await speaker.send("synthesize", text="A very long story. " * 200)
            await speaker.until("audio-chunk")
        drains = [asyncio.create_task(speaker.until("audio-stop")) for speaker in speakers]
        async with await house.connect() as client:
            took_seconds = []
            for _ in range(9):
                started = time.perf_counter()
                await client.send("describe")
                info = await client.until("info")
                took_seconds.append(time.perf_counter() - started)
            assert info[-1].data["tts"][0]["voices"]
            assert sorted(took_seconds)[4] < 0.05
            await client.send("ping", text="hello")
            assert (await client.until("pong"))[-1].data == {"text": "hello"}
        assert not any(drain.done() for drain in drains)
        for drain, speaker in zip(drains, speakers, strict=True):
            drain.cancel()
            await speaker.close()
        await asyncio.wait(drains)
        await house.left()


async def test_describe_is_answered_during_a_response() -> None:
    gate = Gate()
    async with service(gated(LONG, gate)) as house, await house.connect() as client:
        await client.send("synthesize", text=LONG)
        gate.let(1)
        await client.until("audio-chunk")
        await client.send("describe")
        assert kinds(await client.until("info")) == ["info"]
        gate.open()
        await client.until("audio-stop")


async def test_requests_on_one_connection_are_answered_in_order() -> None:
    async with service() as house, await house.connect() as client:
        await client.send("synthesize", text="One.", voice={"name": "tone-low"})
        await client.send("synthesize", text="Zwei.", voice={"language": "de"})
        await client.stream("Three. ", "Four.", voice={"name": "tone-high"})
        await client.send("synthesize", text="Five.")
        answers = [
            await client.until("audio-stop"),
            await client.until("audio-stop"),
            await client.until("synthesize-stopped"),
            await client.until("audio-stop"),
        ]
        assert [shape(answer) for answer in answers] == [ANSWER, ANSWER, [*ANSWER, "synthesize-stopped"], ANSWER]
        assert [answer[0].data["rate"] for answer in answers] == [16_000, 16_000, 22_050, 16_000]


async def test_more_requests_than_may_wait_are_refused_and_the_rest_is_answered() -> None:
    gate = Gate()
    async with (
        service(gated("First.", gate), limits=LimitSettings(max_queued_requests=2)) as house,
        await house.connect() as client,
    ):
        for text in ("First.", "Second.", "Third.", "Fourth."):
            await client.send("synthesize", text=text)
        assert errors(await client.until("error"))[0][0] == "overloaded"
        gate.open()
        assert shape(await client.rest()) == ANSWER * 3
        await house.speaks()


@pytest.mark.parametrize(
    ("voice", "rate", "warning"),
    [
        ({"name": "tone-high"}, 22_050, ""),
        ({"language": "en-GB"}, 22_050, ""),
        ({"language": "de"}, 16_000, ""),
        ({"name": "ton", "speaker": "heiter"}, 16_000, ""),
        ({"name": "heiter"}, 16_000, ""),
        ({"name": "nobody"}, 16_000, "voice 'nobody' does not exist; 'tone-low' speaks instead"),
        ({"name": "tone-away"}, 16_000, "voice 'tone-away' is not installed"),
    ],
)
async def test_voices(voice: dict[str, str], rate: int, warning: str, caplog: pytest.LogCaptureFixture) -> None:
    async with service() as house, await house.connect() as client:
        await client.send("synthesize", text="Hello.", voice=voice)
        whole = await client.until("audio-stop")
        await client.stream("Hello.", voice=voice)
        streamed = await client.until("synthesize-stopped")
        assert shape(whole) == ANSWER
        assert whole[0].data["rate"] == streamed[0].data["rate"] == rate
        warnings = [record.getMessage() for record in caplog.records if record.levelname == "WARNING"]
        assert len(warnings) == (2 if warning else 0)
        assert all(warning in line for line in warnings)


async def test_the_default_voice_is_the_one_configured() -> None:
    async with service(default_voice="tone-high") as house, await house.connect() as client:
        await client.send("synthesize", text="Hello.")
        assert (await client.until("audio-stop"))[0].data["rate"] == 22_050


async def test_an_unknown_language_is_refused_and_the_connection_goes_on() -> None:
    async with service() as house, await house.connect() as client:
        await client.send("synthesize", text="Bonjour.", voice={"language": "fr"})
        events = await client.until("audio-stop")
        assert kinds(events) == ["error", "audio-stop"]
        assert errors(events) == [("voice-error", "no voice speaks 'fr'; languages: de-DE, en-GB, en-US")]
        await client.stream("Bonjour. ", "Comment allez-vous?", voice={"language": "fr"})
        assert kinds(await client.until("synthesize-stopped")) == ["error", "audio-stop", "synthesize-stopped"]
        await client.send("synthesize", text="Hello.")
        assert shape(await client.until("audio-stop")) == ANSWER


async def test_empty_and_overlong_texts_are_refused_with_what_is_owed(caplog: pytest.LogCaptureFixture) -> None:
    async with service(limits=LimitSettings(max_text_length=20)) as house, await house.connect() as client:
        for text, complaint in ((" \n", "there is no text"), ("long " * 5, "longer than 20 characters")):
            await client.send("synthesize", text=text)
            events = await client.until("audio-stop")
            assert kinds(events) == ["error", "audio-stop"]
            assert complaint in errors(events)[0][1]
            assert complaint in caplog.text
        await client.send("synthesize", text="Short enough.")
        assert shape(await client.until("audio-stop")) == ANSWER


async def test_a_stream_that_grows_too_long_fails_at_once_and_closes_after_its_stop() -> None:
    async with service(limits=LimitSettings(max_text_length=40)) as house, await house.connect() as client:
        await client.send("synthesize-start")
        await client.send("synthesize-chunk", text="This is heard. And then")
        await client.until("audio-chunk")
        await client.send("synthesize-chunk", text=" it goes on and on and on")
        events = await client.until("audio-stop")
        assert shape(events)[-2:] == ["error", "audio-stop"]
        await client.send("synthesize-chunk", text="still more")
        await client.send("synthesize-stop")
        assert kinds(await client.rest()) == ["synthesize-stopped"]
        await house.speaks()


async def test_a_failure_midway_sends_what_is_owed_then_closes() -> None:
    tone = ToneSynthesizer(failure=lambda request, block: ModelError("hoarse") if block == 2 else None)
    async with service(tone) as house:
        async with await house.connect() as client:
            await client.send("synthesize", text=LONG)
            events = await client.rest()
            assert kinds(events) == ["audio-start", "audio-chunk", "audio-chunk", "error", "audio-stop"]
            assert errors(events) == [("model-error", "hoarse")]
        async with await house.connect() as client:
            await client.stream(LONG)
            assert shape(await client.rest()) == [
                "audio-start",
                "audio-chunk",
                "error",
                "audio-stop",
                "synthesize-stopped",
            ]


async def test_a_failure_before_the_first_sound_says_so() -> None:
    tone = ToneSynthesizer(failure=lambda request, block: RuntimeError("no memory") if "bad" in request.text else None)
    async with service(tone) as house:
        async with await house.connect() as client:
            await client.send("synthesize-start")
            await client.send("synthesize-chunk", text="A bad one. And")
            events = await client.until("audio-stop")
            assert kinds(events) == ["error", "audio-stop"]
            assert errors(events)[0] == ("model-error", "the model failed (RuntimeError); the server's log says more")
            await client.send("synthesize-stop")  # never synthesize-stopped before this
            assert kinds(await client.rest()) == ["synthesize-stopped"]
        await house.speaks()


async def test_too_many_texts_at_once_are_refused() -> None:
    gate = Gate()
    async with service(gated(LONG, gate), max_active=1, max_waiting=0) as house, await house.connect() as speaker:
        await speaker.send("synthesize", text=LONG)
        await house.happened("begin", LONG)
        async with await house.connect() as client:
            await client.send("synthesize", text="Hello.")
            events = await client.rest()
            assert kinds(events) == ["error", "audio-stop"]
            assert errors(events)[0][0] == "overloaded"
        gate.open()
        await speaker.until("audio-stop")
        await house.speaks()


@pytest.mark.parametrize("scheme", ["tcp", "unix"])
async def test_a_half_closed_client_still_gets_its_audio(scheme: str, tmp_path_factory: pytest.TempPathFactory) -> None:
    gate = Gate()
    uri = "tcp://127.0.0.1:0" if scheme == "tcp" else f"unix://{tmp_path_factory.mktemp('s')}/s"
    async with service(gated(LONG, gate), uri=uri) as house, await house.connect() as client:
        await client.stream(LONG)
        await client.send("synthesize", text="And this.")
        client.writer.write_eof()
        await house.happened("begin", LONG)
        gate.open()
        assert shape(await client.rest()) == [*ANSWER, "synthesize-stopped", *ANSWER]
        await house.left()


async def test_a_stream_cut_off_by_the_connections_end_is_not_spoken_on() -> None:
    gate = Gate()
    async with service(gated(LONG + ".", gate)) as house, await house.connect() as client:
        await client.send("synthesize-start")
        await client.send("synthesize-chunk", text=LONG + ". And mo")
        gate.let(1)
        await client.until("audio-chunk")
        client.writer.write_eof()
        assert kinds(await client.rest())[-2:] == ["error", "audio-stop"]
        gate.let(1)
        await house.left()
        assert house.tone.journal.count("block") <= 2


@pytest.mark.parametrize("manner", ["reset", "close with unread audio"])
async def test_a_client_that_leaves_stops_its_synthesis_within_a_block(manner: str) -> None:
    gate = Gate()
    async with service(gated(LONG, gate), threads=1) as house:
        client = await house.connect()
        peer = client.writer.get_extra_info("socket")
        await client.send("synthesize", text=LONG)
        if manner == "reset":
            gate.let(1)
            await client.until("audio-chunk")
            peer.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
        else:
            client.writer.transport.pause_reading()  # type: ignore[attr-defined]
            gate.let(1)
            await asyncio.to_thread(select.select, [peer.fileno()], [], [], 10)
        await client.close()
        await house.disconnected()
        gate.let(16)  # whatever could still be made, may be made
        await house.happened("end", LONG)
        assert house.tone.journal.count("block", LONG) <= 2
        await house.speaks()


async def test_a_client_that_leaves_after_reading_all_is_found_out_by_the_next_block() -> None:
    """A plain close looks like a half-close until something is sent: one more block is made, and one begun."""
    gate = Gate()
    async with service(gated(LONG, gate), threads=1) as house:
        client = await house.connect()
        await client.send("synthesize", text=LONG)
        gate.let(1)
        await client.until("audio-chunk")
        await client.close()
        gate.let(1)
        await house.disconnected()
        gate.let(15)
        await house.happened("end", LONG)
        assert house.tone.journal.count("block", LONG) <= 3


async def test_on_a_unix_socket_even_a_plain_close_is_noticed_at_once(tmp_path_factory: pytest.TempPathFactory) -> None:
    gate = Gate()
    async with service(gated(LONG, gate), uri=f"unix://{tmp_path_factory.mktemp('s')}/s") as house:
        client = await house.connect()
        await client.send("synthesize", text=LONG)
        await house.happened("begin")
        await client.close()
        await house.disconnected()
        gate.let(17)
        await house.happened("end", LONG)
        assert house.tone.journal.count("block") <= 1


async def answer(house: Service, text: str) -> list[str]:
    async with await house.connect() as client:
        await client.send("synthesize", text=text)
        return shape(await client.until("audio-stop"))


async def test_several_clients_are_each_served_whole() -> None:
    async with service(threads=1) as house:
        shapes = await asyncio.gather(*(answer(house, f"Client {number}. {LONG}.") for number in range(6)))
        assert shapes == [ANSWER] * 6
