"""The client against servers of every kind: older ones, refusing ones, and those that break off or fall silent."""

import asyncio
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import asynccontextmanager

import pytest
from wyoming.audio import AudioChunk, AudioStart, AudioStop
from wyoming.error import Error
from wyoming.event import Event, async_read_event, async_write_event
from wyoming.info import Attribution, Describe, Info, TtsProgram

from wyoming_pocket_tts.audio.files import AudioFormat
from wyoming_pocket_tts.cli import client
from wyoming_pocket_tts.cli.client import synthesize, words_of
from wyoming_pocket_tts.core.errors import TtsError

Answer = Callable[[Event], list[Event | None]]
"""What a server sends for an event; None closes the connection."""

CHUNK = AudioChunk(rate=8_000, width=2, channels=1, audio=b"\0\1" * 800).event()
SPEECH = [AudioStart(rate=8_000, width=2, channels=1).event(), CHUNK, CHUNK, AudioStop().event()]


@asynccontextmanager
async def server(answer: Answer, *, streams: bool, installed: bool = True) -> AsyncIterator[tuple[str, list[str]]]:
    """Run a scripted server; yields its URI and the types of the events it got."""
    got: list[str] = []
    nobody = Attribution(name="", url="")
    program = TtsProgram(
        name="scripted",
        attribution=nobody,
        installed=installed,
        description=None,
        version=None,
        voices=[],
        supports_synthesize_streaming=streams,
    )

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while event := await async_read_event(reader):
            got.append(event.type)
            answers = [Info(tts=[program]).event()] if Describe.is_type(event.type) else answer(event)
            for out in answers:
                if out is None:
                    writer.close()
                    return
                await async_write_event(out, writer)
        writer.close()

    handlers: Callable[[asyncio.StreamReader, asyncio.StreamWriter], Coroutine[None, None, None]] = serve
    listening = await asyncio.start_server(handlers, "127.0.0.1", 0)
    async with listening:
        yield f"tcp://127.0.0.1:{listening.sockets[0].getsockname()[1]}", got


def on(event_type: str, answers: list[Event | None]) -> Answer:
    return lambda event: answers if event.type == event_type else []


async def test_an_older_server_gets_the_whole_text_and_ends_with_the_audio() -> None:
    heard: list[tuple[bytes, AudioFormat]] = []
    async with server(on("synthesize", [*SPEECH]), streams=False) as (uri, got):
        timing = await synthesize(uri, words_of("one two"), voice=None, sink=lambda *audio: heard.append(audio))
    assert got == ["describe", "synthesize"]
    assert heard == [(b"\0\1" * 800, AudioFormat(rate_hz=8_000))] * 2
    assert timing.audio_seconds == pytest.approx(0.2)
    assert timing.first_audio_seconds is not None
    assert timing.first_audio_seconds <= timing.total_seconds


async def test_a_streaming_server_gets_words_and_ends_with_its_own_event() -> None:
    stopped = Event(type="synthesize-stopped")
    async with server(on("synthesize-stop", [*SPEECH, *SPEECH, stopped]), streams=True) as (uri, got):
        timing = await synthesize(uri, words_of("one two"), voice="x", sink=lambda *_: None)
    assert got == ["describe", "synthesize-start", "synthesize-chunk", "synthesize-chunk", "synthesize-stop"]
    assert timing.audio_seconds == pytest.approx(0.4)


@pytest.mark.parametrize(
    ("answers", "problem"),
    [
        ([*SPEECH[:2], Error(text="too much", code="overloaded").event()], "refuses: 'too much'"),
        ([*SPEECH[:2], None], "closed the connection before it had finished"),
    ],
)
async def test_a_server_that_fails_midway_is_an_error(answers: list[Event | None], problem: str) -> None:
    async with server(on("synthesize-start", answers), streams=True) as (uri, _):
        with pytest.raises(TtsError, match=problem):
            await synthesize(uri, words_of("one two"), voice=None, sink=lambda *_: None)


async def test_a_chunk_without_samples_is_no_audio() -> None:
    empty = AudioChunk(rate=8_000, width=2, channels=1, audio=b"").event()
    async with server(on("synthesize", [SPEECH[0], empty, AudioStop().event()]), streams=False) as (uri, _):
        timing = await synthesize(uri, words_of("Hello"), voice=None, sink=lambda _audio, _format: None)
    assert str(timing) == "the server sent no audio: does the text hold anything to say?"


async def test_a_server_without_a_voice_is_an_error() -> None:
    async with server(on("", []), streams=True, installed=False) as (uri, _):
        with pytest.raises(TtsError, match="offers no text to speech"):
            await synthesize(uri, words_of("one"), voice=None, sink=lambda *_: None)


async def test_a_server_that_falls_silent_is_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(client, "_ANSWER_SECONDS", 0.2)
    async with server(on("synthesize", [*SPEECH[:2]]), streams=False) as (uri, _):
        with pytest.raises(TtsError, match="does not answer"):
            await synthesize(uri, words_of("one"), voice=None, sink=lambda *_: None)


async def test_a_sink_that_fails_ends_it() -> None:
    def fail(audio: bytes, audio_format: AudioFormat) -> None:
        raise TtsError("no loudspeaker")

    async with server(on("synthesize", [*SPEECH[:2]]), streams=False) as (uri, _):
        with pytest.raises(TtsError, match="no loudspeaker"):
            await synthesize(uri, words_of("one"), voice=None, sink=fail)
