"""Lets the core speak, the ways its users do, and looks at the audio. Knows nothing about how a server is run."""

import asyncio
import struct
from collections.abc import AsyncGenerator, AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any, TypeAlias

from homeassistant.components import tts
from homeassistant.exceptions import HomeAssistantError

from .core import HEARS_ERRORS, STREAMS, Engine

PATIENCE_SECONDS = 60.0
"""Longer than any speech of these tests takes; whatever lasts longer hangs."""

Failure: TypeAlias = HomeAssistantError | OSError
"""How a core's failure to speak shows."""


@dataclass(frozen=True)
class Speech:
    """A WAV file taken apart. While streaming, a core leaves its length fields at zero or at their maximum."""

    rate_hz: int
    channels: int
    sample_bytes: int
    pcm: bytes

    @classmethod
    def read(cls, wav: bytes) -> "Speech":
        """Take ``wav`` apart; at least the header has to be there."""
        assert wav[:4] == b"RIFF", f"not a WAV file: {wav[:16]!r}"
        data_at = wav.index(b"data") + 8
        _, channels, rate_hz, _, _, bits = struct.unpack_from("<HHIIHH", wav, wav.index(b"fmt ") + 8)
        return cls(rate_hz, channels, bits // 8, wav[data_at:])

    @property
    def seconds(self) -> float:
        """How long it lasts."""
        return len(self.pcm) / (self.rate_hz * self.channels * self.sample_bytes)

    @property
    def peak(self) -> int:
        """The largest sample, of 32767."""
        whole = len(self.pcm) // 2
        return max((abs(sample) for sample in struct.unpack(f"<{whole}h", self.pcm[: whole * 2])), default=0)

    def check(self, *, at_least_seconds: float = 0.15) -> "Speech":
        """What every speech must be: mono, 16 bit, whole samples, long enough, and not silent."""
        assert (self.channels, self.sample_bytes) == (1, 2)
        assert len(self.pcm) % 2 == 0, "half a sample"
        assert self.seconds >= at_least_seconds
        assert self.peak > 500, "silence"
        return self


async def speak(engine: Engine, text: str, *, voice: str | None = None, **further_options: int | str) -> Speech:
    """Have a whole text spoken, as automations do, and fetch it over HTTP, as media players do."""
    options = {**_options(voice), **further_options}
    return Speech.read(await fetch(engine, await speech_url(engine, text, options)))


async def speech_url(engine: Engine, text: str, options: dict[str, Any]) -> str:
    """Ask the core for the address where ``text`` will be heard; nothing comes from its cache."""
    await engine.core.hass.services.async_call("tts", "clear_cache", blocking=True)
    request = {"engine_id": engine.entity_id, "message": text, "cache": False, "options": options}
    async with engine.core.web.post("/api/tts_get_url", json=request) as response:
        assert response.status == 200, await response.text()
        return str((await response.json())["path"])


async def fetch(engine: Engine, path: str) -> bytes:
    """Download an address of the core."""
    async with asyncio.timeout(PATIENCE_SECONDS), engine.core.web.get(path) as response:
        assert response.status == 200, f"{path}: {response.status}"
        return bytes(await response.read())


async def outcome(engine: Engine, text: str) -> Speech | Failure | None:
    """Have a text spoken that may hold nothing to say: the speech, the failure, or None for neither. Never hangs."""
    stream = open_stream(engine)
    stream.async_set_message(text)
    try:
        async with asyncio.timeout(PATIENCE_SECONDS):
            wav = b"".join([block async for block in stream.async_stream_result()])
    except (HomeAssistantError, OSError) as error:
        return error
    return Speech.read(wav) if wav else None


def check_failed(result: Speech | Failure | None) -> None:
    """A failure has to look like one, as far as this core can tell."""
    if HEARS_ERRORS:
        assert isinstance(result, Failure), f"expected a failure, got {result!r:.200}"
    else:
        assert result is None or isinstance(result, Failure), f"expected no audio, got {result!r:.200}"


def _options(voice: str | None) -> dict[str, Any]:
    wav: dict[str, Any] = {tts.ATTR_PREFERRED_FORMAT: "wav"}
    return wav if voice is None else {**wav, tts.ATTR_VOICE: voice}


def open_stream(engine: Engine, *, voice: str | None = None) -> tts.ResultStream:
    """A stream of the text-to-speech manager, as Assist opens one when a pipeline starts."""
    options = _options(voice)
    if STREAMS:
        return tts.async_create_stream(engine.core.hass, engine.entity_id, options=options)
    manager = engine.core.hass.data["tts_manager"]
    return manager.async_create_result_stream(engine.entity_id, use_file_cache=False, options=options)


async def speak_stream(
    engine: Engine, deltas: AsyncGenerator[str], heard: Callable[[Speech], None] = lambda _: None
) -> Speech:
    """Have a text spoken while it is being written; ``heard`` is told what has been heard so far, block by block."""
    stream = open_stream(engine)
    stream.async_set_message_stream(deltas)
    wav = b""
    async with asyncio.timeout(PATIENCE_SECONDS):
        async for block in stream.async_stream_result():
            wav += block
            if len(wav) >= 44:
                heard(Speech.read(wav))
    return Speech.read(wav)


@asynccontextmanager
async def unfinished_speech(engine: Engine, *deltas: str, seconds: float = 0.2) -> AsyncIterator[asyncio.Event]:
    """A streamed speech that has begun to sound while its text is not finished; set the event to finish it."""
    go_on = asyncio.Event()
    begun = asyncio.Event()

    async def text() -> AsyncGenerator[str]:
        yield deltas[0]
        await go_on.wait()
        for delta in deltas[1:]:
            yield delta

    def heard(speech: Speech) -> None:
        if speech.seconds >= seconds:
            begun.set()

    speaking = asyncio.create_task(speak_stream(engine, text(), heard))
    waiting = asyncio.create_task(begun.wait())
    try:
        await asyncio.wait((speaking, waiting), return_when=asyncio.FIRST_COMPLETED, timeout=PATIENCE_SECONDS)
        assert begun.is_set(), "nothing was heard before the text was finished"
        yield go_on
        go_on.set()
        (await speaking).check()
    finally:
        go_on.set()
        speaking.cancel()
        waiting.cancel()
        await asyncio.gather(speaking, waiting, return_exceptions=True)


async def listen_to_entity(engine: Engine, text: str, *, voice: str | None = None) -> AsyncGenerator[bytes]:
    """The wyoming integration's own audio, with no cache between: closing this closes the connection, a barge-in."""
    options: dict[str, Any] = {} if voice is None else {tts.ATTR_VOICE: voice}
    if not engine.streams:
        _, wav = await engine.entity.async_get_tts_audio(text, "en", options)
        yield wav
        return

    async def message() -> AsyncGenerator[str]:
        yield text

    language = engine.entity.default_language
    response = await engine.entity.async_stream_tts_audio(tts.TTSAudioRequest(language, options, message()))
    try:
        async for block in response.data_gen:
            yield block
    finally:
        await response.data_gen.aclose()
