"""SSML and pauses over real sockets: voices, and the silence sent."""

import asyncio
import logging
from dataclasses import replace

import pytest
from wyoming.event import Event
from wyoming.tts import Synthesize, SynthesizeStart, SynthesizeTextFormat, SynthesizeVoice

from tests.server.client import PATIENCE_SECONDS, Client, audio_seconds, errors, kinds, service, shape
from tests.support.tone import Gate, ToneSynthesizer
from wyoming_pocket_tts.config.schema import LimitSettings
from wyoming_pocket_tts.core.types import SynthesisRequest
from wyoming_pocket_tts.server import connection, segments
from wyoming_pocket_tts.text.segments import PlainTextReader, Segment

ANSWER = ["audio-start", "audio-chunk", "audio-stop"]


class Ear(ToneSynthesizer):
    """Remembers what it was asked for."""

    def __init__(self, gate: Gate | None = None) -> None:
        super().__init__(gate=lambda _: gate)
        self.requests: list[SynthesisRequest] = []

    def stream(self, request: SynthesisRequest, on_ready: object = None):  # type: ignore[no-untyped-def]  # noqa: ANN201  (as the one above)
        self.requests.append(request)
        return super().stream(request)


def silences(events: list[Event]) -> list[float]:
    """Seconds of silence between stretches of sound, the first and last stretch of silence included."""
    found, run = [], 0.0
    for event in events:
        if event.type == "audio-chunk":
            payload = event.payload or b""
            if any(payload):
                found.append(run)
                run = 0.0
            else:
                run += len(payload) / 2 / event.data["rate"]
    return [round(seconds, 3) for seconds in [*found, run] if seconds]


async def whole(client: Client, text: str, **more: object) -> list[Event]:
    await client.send("synthesize", text=text, **more)
    return await client.until("audio-stop")


async def test_the_librarys_own_events_for_ssml_are_understood() -> None:
    ear = Ear()
    async with service(ear) as house, await house.connect() as client:
        event = Synthesize(
            text="One &amp; <sub alias='two'>2</sub>.",
            text_format=SynthesizeTextFormat.SSML,
            voice=SynthesizeVoice(name="ton", speaker="heiter"),
        ).event()
        await client.send(event.type, **event.data)
        assert shape(await client.until("audio-stop")) == ANSWER
        start = SynthesizeStart(text_format=SynthesizeTextFormat.SSML).event()
        await client.send(start.type, **start.data)
        for delta in ("Three <bre", "ak time='300ms'", "/>four &am", "p; five."):
            await client.send("synthesize-chunk", text=delta)
        await client.send("synthesize-stop")
        events = await client.until("synthesize-stopped")
        assert shape(events) == [*ANSWER, "synthesize-stopped"]
        assert silences(events) == [0.3]
        assert [request.text for request in ear.requests] == ["One & two.", "Three", "four & five."]
        assert (ear.requests[0].voice.name, ear.requests[0].speaker) == ("ton", "heiter")


async def test_ssml_is_known_by_its_beginning_and_plain_text_by_what_the_client_says() -> None:
    ear = Ear()
    async with service(ear) as house, await house.connect() as client:
        await whole(client, "<speak>One</speak>")
        await whole(client, "<speak>One</speak>", text_format="text")
        await client.stream(" <spe", "ak>Two<bre", "ak/> thr", "ee")
        await client.until("synthesize-stopped")
        texts = [request.text for request in ear.requests]
        assert texts == ["One", "<speak>One</speak>", "Two", "three"]


async def test_each_piece_is_spoken_in_its_own_way_at_one_rate() -> None:
    ear = Ear()
    async with service(ear) as house, await house.connect() as client:
        events = await whole(
            client,
            "<speak>One. <prosody rate='slow' volume='+6dB'>Two.</prosody> <voice name='ton'>Drei.</voice>"
            "<lang xml:lang='de'>Vier.</lang></speak>",
        )
        assert {event.data["rate"] for event in events if "rate" in event.data} == {16_000}
    said = [(r.text, r.voice.name, r.options.speed, r.options.volume_db, r.language) for r in ear.requests]
    assert said == [
        ("One.", "tone-low", 1.0, 0.0, None),
        ("Two.", "tone-low", 0.8, 6.0, None),
        ("Drei.", "ton", 1.0, 0.0, None),
        ("Vier.", "ton", 1.0, 0.0, "de"),
    ]
    assert {request.options.rate_hz for request in ear.requests} == {16_000}


async def test_what_is_wrong_is_spoken_all_the_same_and_logged_once(caplog: pytest.LogCaptureFixture) -> None:
    ear = Ear()
    caplog.set_level(logging.DEBUG, "wyoming_pocket_tts")
    async with service(ear) as house, await house.connect() as client:
        await whole(client, "<speak><blink>One</blink> & <voice name='zoe'>two</voice> & <blink>three</blink>")
    assert " ".join(request.text for request in ear.requests) == "One & two & three"
    told = [record for record in caplog.records if record.name.endswith(".connection")]
    lines = [(record.levelno, record.getMessage().partition("] ")[2]) for record in told]
    assert [
        line for level, line in lines if level == logging.DEBUG and line.startswith(("SSML", "there is no voice"))
    ] == [
        "SSML: <blink> is not known: its text is read",
        "SSML: an '&' begins no entity; write &amp;",
        "SSML: <speak> is not closed",
        "there is no voice 'zoe', as the text asks: 'tone-low' is used",
    ]
    warnings = [line for level, line in lines if level == logging.WARNING]
    kinds_told = "an unknown element, markup that is not well formed, a voice that does not exist"
    summary = "not everything that the text asks for can be done"
    assert warnings == [f"{summary} ({kinds_told}); see the log with log.level debug"]


async def test_the_kinds_of_what_cannot_be_done_are_of_our_own_words(caplog: pytest.LogCaptureFixture) -> None:
    ear = Ear()
    texts = (
        "<speak><break time='soon'/>One. <say-as interpret-as='song'>Two.</say-as> <prosody pitch='9'>Three.</prosody>",
        " <lang xml:lang='fr'>Four.</lang> <lang xml:lang='?'>Five.</lang> <phoneme ph='x'>Six</phoneme>",
        " <audio src='s'>Seven</audio> <sub>Eight</sub> <marzipan>Nine</marzipan></speak>",
    )
    async with service(ear) as house, await house.connect() as client:
        await client.stream(*texts)
        await client.until("synthesize-stopped")
    told = [record for record in caplog.records if record.name.endswith(".connection")]
    (warning,) = [record.getMessage() for record in told if record.levelno == logging.WARNING]
    kinds_told = (
        "<break>, <say-as>, <prosody>, xml:lang, <phoneme>, <audio>, <sub>, an unknown element, "
        "a language without a voice"
    )
    assert sorted(warning.partition("(")[2].partition(")")[0].split(", ")) == sorted(kinds_told.split(", "))


async def test_pauses_are_heard_and_timed() -> None:
    async with service() as house, await house.connect() as client:
        plain = await whole(client, "One. Two.")
        events = await whole(client, "One. [pause 700ms] Two. [pause 1s]")
        assert silences(plain) == []
        assert silences(events) == [0.7, 1.0]
        assert audio_seconds(events) == pytest.approx(audio_seconds(plain) + 1.7)
        times = [event.data["timestamp"] for event in events if event.type == "audio-chunk"]
        assert times == sorted(times)
        assert events[-1].data["timestamp"] == plain[-1].data["timestamp"] + 1_700
        assert max(len(event.payload or b"") for event in events) <= 3_200


@pytest.mark.parametrize(
    "text", ["[pause 5s]", "[pause 5s]...[pause 5s]", "<speak><break time='5s'/></speak>", "<speak/>"]
)
async def test_an_answer_without_speech_has_no_pauses(text: str) -> None:
    async with service() as house, await house.connect() as client:
        assert kinds(await whole(client, text)) == ["audio-start", "audio-stop"]
        await client.stream(text)
        assert kinds(await client.until("synthesize-stopped")) == ["audio-start", "audio-stop", "synthesize-stopped"]


async def test_pauses_of_one_answer_are_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(segments, "MAX_PAUSE_SECONDS", 3)
    async with service() as house, await house.connect() as client:
        events = await whole(client, "One. [pause 2s] Two. [pause 2s] Three. [pause 2s]")
        assert silences(events) == [2.0, 1.0]
        assert silences(await whole(client, "One. [pause 2s] Two.")) == [2.0]


class Pensive(PlainTextReader):
    """Thinks for ten minutes before each piece."""

    def __init__(self, language: str, *, ssml: bool | None) -> None:
        super().__init__(language)

    def finish(self, delta: str = "") -> list[Segment]:
        return [replace(piece, pause_seconds=600) for piece in super().finish(delta)]


async def test_a_client_that_does_not_read_holds_up_the_silence(monkeypatch: pytest.MonkeyPatch) -> None:
    """Its kernel takes some megabytes; the rest of the silence is made when there is room."""
    monkeypatch.setattr(segments, "MAX_PAUSE_SECONDS", 600)
    monkeypatch.setattr(connection, "WRITE_BUFFER_BYTES", 16_384)
    async with service(pieces=Pensive) as house, await house.connect() as client:
        client.writer.transport.pause_reading()  # type: ignore[attr-defined]
        await client.send("synthesize", text="One")
        await house.happened("end", "One")
        [connected] = house.server._clients.values()
        transport = connected.connection._writer.transport
        async with asyncio.timeout(PATIENCE_SECONDS):
            while not (waiting := transport.get_write_buffer_size()):  # noqa: ASYNC110  (it tells nobody)
                await asyncio.sleep(0.005)
        assert waiting < 3 * 16_384
        client.writer.transport.resume_reading()  # type: ignore[attr-defined]
        assert silences(await client.until("audio-stop")) == [600]


async def test_a_client_that_leaves_in_a_pause_ends_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(segments, "MAX_PAUSE_SECONDS", 600)
    async with service(pieces=Pensive) as house:
        async with await house.connect() as client:
            await client.send("synthesize", text="One")
            await client.until("audio-chunk")
        await house.left()


async def test_a_half_closed_client_hears_the_last_pause() -> None:
    async with service() as house, await house.connect() as client:
        await client.stream("One. [pause 2s]")
        client.writer.write_eof()
        events = await client.rest()
        assert silences(events) == [2.0]
        assert kinds(events)[-2:] == ["audio-stop", "synthesize-stopped"]


async def test_a_new_start_spares_the_client_the_pause_it_would_have_heard() -> None:
    gate = Gate()
    ear = Ear(gate)
    async with service(ear) as house, await house.connect() as client:
        await client.send("synthesize-start")
        await client.send("synthesize-chunk", text="One. [pause 9s] Two. ")
        gate.let(1)
        await client.until("audio-chunk")
        await house.happened("begin", "Two.")
        await client.send("synthesize-start")
        await client.send("ping")
        assert kinds(await client.until("pong")) == ["audio-stop", "pong"]
        gate.open()
        await client.send("synthesize-chunk", text="Three.")
        await client.send("synthesize-stop")
        events = await client.until("synthesize-stopped")
        assert shape(events) == [*ANSWER, "synthesize-stopped"]
        assert silences(events) == []


async def test_a_text_too_long_is_refused_as_ever() -> None:
    async with service(limits=LimitSettings(max_text_length=30)) as house, await house.connect() as client:
        events = await whole(client, "<speak>" + "One. " * 9, text_format="ssml")
        assert errors(events)[0][0] == "protocol-error"
