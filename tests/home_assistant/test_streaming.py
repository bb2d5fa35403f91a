"""Texts that are spoken while they are still being written, and speech that is cut off."""

import asyncio
import time
from collections.abc import AsyncGenerator

import pytest
from homeassistant.components.wyoming.data import load_wyoming_info
from homeassistant.exceptions import HomeAssistantError

from .core import HEARS_ERRORS, STREAMS, Engine
from .server import SpeechServer
from .speaking import PATIENCE_SECONDS, listen_to_entity, speak, speak_stream, unfinished_speech

needs_streaming = pytest.mark.skipif(not STREAMS, reason="this core does not stream text")

_FIRST = "The lights in the kitchen are off now, and all the doors are locked. It is "
_REST = "cold outside, so the heating stays on until midnight."
_STORY = "Once upon a time there was a house that could speak, and it never came to an end. " * 200


async def pieces(text: str, size: int = 3) -> AsyncGenerator[str]:
    """A text as a language model gives it."""
    for start in range(0, len(text), size):
        yield text[start : start + size]
        await asyncio.sleep(0)


@needs_streaming
async def test_the_server_is_streamed_to(engine: Engine) -> None:
    """Only a server that says so in ``describe`` gets text before it is complete."""
    assert engine.streams


@needs_streaming
async def test_audio_comes_before_the_text_is_finished(engine: Engine) -> None:
    """The rest of the text is written only after the first sentence has been heard."""
    async with unfinished_speech(engine, _FIRST, _REST):
        pass


@needs_streaming
async def test_a_slow_first_sentence_is_cut_at_a_clause(engine: Engine) -> None:
    beginning = (
        "When you come home this evening and the heating in the living room has been on for a while, "
        "and when the windows in the bedroom are all closed, then the house, which has been empty since "
    )
    async with unfinished_speech(engine, beginning, "this morning, will be warm."):
        pass


@needs_streaming
async def test_pieces_sound_like_the_whole(engine: Engine) -> None:
    """A language model's tokens split words, numbers and abbreviations anywhere."""
    text = "It is 21.5 degrees at 7:30 a.m., said Dr. Smith. The 2nd one costs $3.50! Is that all? Yes."
    whole = (await speak(engine, text)).check()
    for size in (1, 4):
        streamed = (await speak_stream(engine, pieces(text, size))).check()
        assert streamed.rate_hz == whole.rate_hz
        assert streamed.seconds == pytest.approx(whole.seconds, rel=0.25)


@needs_streaming
@pytest.mark.parametrize(
    "deltas",
    [
        pytest.param([], id="no-delta"),
        pytest.param([""], id="empty"),
        pytest.param(["", "  ", "\n", ""], id="blank"),
        pytest.param(["🎉", "👍🏽"], id="emoji-only"),
    ],
)
async def test_a_stream_with_nothing_to_say_ends(engine: Engine, deltas: list[str]) -> None:
    async def text() -> AsyncGenerator[str]:
        for delta in deltas:
            yield delta

    try:
        silence = await speak_stream(engine, text())
    except (HomeAssistantError, AssertionError):
        pass  # a failure, or no audio at all
    else:
        assert silence.seconds < 10
    (await speak(engine, "And on we go.")).check()


@needs_streaming
async def test_empty_deltas_between_words_change_nothing(engine: Engine) -> None:
    async def text() -> AsyncGenerator[str]:
        for delta in ("", "Here ", "", " ", "it ", "\n", "is, the ", "", "whole truth.", ""):
            yield delta

    (await speak_stream(engine, text())).check()


@needs_streaming
async def test_a_stream_over_the_limit_fails_and_never_hangs(engine: Engine) -> None:
    async def endless() -> AsyncGenerator[str]:
        for _ in range(2_000):
            yield "This sentence is one of far too many, and nobody will ever hear all of them. " * 10
            await asyncio.sleep(0)

    if HEARS_ERRORS:
        with pytest.raises(HomeAssistantError):
            await speak_stream(engine, endless())
    else:  # an end of the connection counts as success there; the first sentences may have been spoken
        await asyncio.gather(speak_stream(engine, endless()), return_exceptions=True)
    (await speak(engine, "Short again.")).check()


@needs_streaming
async def test_one_speaks_while_another_is_not_finished(engine: Engine, shared_server: SpeechServer) -> None:
    """An open stream holds nobody up: neither a whole text, nor a second stream, nor ``describe``."""
    async with unfinished_speech(engine, _FIRST, _REST):
        (await speak(engine, "I am in between.")).check()
        (await speak_stream(engine, pieces("I am in between as well, bit by bit."))).check()
        before = time.monotonic()
        assert await load_wyoming_info("127.0.0.1", shared_server.port, retries=0) is not None
        assert time.monotonic() - before < 1


async def test_barge_in_stops_the_work_and_the_next_is_served(engine: Engine, shared_server: SpeechServer) -> None:
    """Closing the entity's audio closes the connection; the server must not go on for nobody."""
    if engine.streams:
        audio = listen_to_entity(engine, _STORY)
        async with asyncio.timeout(PATIENCE_SECONDS):
            await anext(audio)
            await anext(audio)
        await audio.aclose()
    else:
        waiting = asyncio.create_task(anext(listen_to_entity(engine, _STORY)))
        await asyncio.wait((waiting,), timeout=0.5)
        waiting.cancel()
        await asyncio.gather(waiting, return_exceptions=True)

    (await speak(engine, "Yes, what is it?")).check()
    await _idle(shared_server)


async def test_a_listener_that_reads_nothing_holds_nobody_up(engine: Engine) -> None:
    """A player on pause: the connection fills up, and others are spoken to all the same."""
    if not engine.streams:
        pytest.skip("without streaming the core reads to the end")
    audio = listen_to_entity(engine, _STORY)
    async with asyncio.timeout(PATIENCE_SECONDS):
        await anext(audio)
    try:
        for number in range(3):
            (await speak(engine, f"Number {number} does not wait.")).check()
    finally:
        await audio.aclose()


async def test_many_barge_ins_leave_nothing_behind(engine: Engine, shared_server: SpeechServer) -> None:
    for _ in range(8):
        audio = listen_to_entity(engine, _STORY)
        waiting = asyncio.create_task(anext(audio))
        await asyncio.wait((waiting,), timeout=0.1)
        waiting.cancel()
        await asyncio.gather(waiting, return_exceptions=True)
        await audio.aclose()
    (await speak(engine, "Still here.")).check()
    await _idle(shared_server)


async def _idle(server: SpeechServer) -> None:
    """Wait until the server's process has nothing left to do. Small change: a starved machine looks idle, too."""
    for _ in range(10):
        before = server.cpu_seconds
        await asyncio.sleep(1)
        if server.cpu_seconds - before < 0.03:
            return
    pytest.fail("the server goes on working though nobody listens")
