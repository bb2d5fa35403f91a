"""Whole texts: the ways to have one spoken, and the texts that people and templates come up with."""

import asyncio
import time

import pytest
from homeassistant.components.media_player import MediaPlayerEntity, MediaPlayerEntityFeature
from homeassistant.components.media_source import async_resolve_media
from homeassistant.components.tts import async_get_media_source_audio, generate_media_source_id
from homeassistant.components.wyoming.data import load_wyoming_info

from .core import Engine
from .server import SpeechServer
from .speaking import PATIENCE_SECONDS, Failure, Speech, check_failed, fetch, outcome, speak

_DESCRIBE_SECONDS = 1.0
"""The shortest time in which a core has ever wanted ``describe`` answered (early 2026)."""


async def test_spoken_over_http(engine: Engine) -> None:
    """``/api/tts_get_url``, then a download: what media players and scripts do."""
    short = (await speak(engine, "Dinner is ready.")).check()
    long = (await speak(engine, "Dinner is ready, and everybody who is still upstairs should come down now.")).check()
    assert long.seconds > short.seconds * 1.5
    assert long.rate_hz == short.rate_hz


async def test_spoken_from_a_media_source(engine: Engine) -> None:
    identifier = generate_media_source_id(
        engine.core.hass, "The media source speaks.", engine=engine.entity_id, options={"preferred_format": "wav"}
    )
    extension, wav = await async_get_media_source_audio(
        engine.core.hass, identifier.removeprefix("media-source://tts/")
    )
    assert extension == "wav"
    Speech.read(wav).check()


async def test_converted_for_a_satellite(engine: Engine) -> None:
    """Satellites ask for a rate of their own; ffmpeg then reads our stream."""
    speech = await speak(engine, "Sixteen kilohertz, please.", preferred_sample_rate=16000, preferred_sample_channels=1)
    assert speech.check().rate_hz == 16000


class _Player(MediaPlayerEntity):
    """A media player that fetches what it is told to play, as a loudspeaker would."""

    _attr_name = "Loudspeaker"
    _attr_supported_features = MediaPlayerEntityFeature.PLAY_MEDIA | MediaPlayerEntityFeature.MEDIA_ANNOUNCE

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self.played: list[bytes] = []

    async def async_play_media(self, media_type: str, media_id: str, **_: object) -> None:
        media = await async_resolve_media(self.hass, media_id, self.entity_id)
        self.played.append(await fetch(self._engine, media.url))


async def test_spoken_on_a_media_player(engine: Engine) -> None:
    """The ``tts.speak`` action, with MP3 made by ffmpeg, as most automations have it."""
    hass = engine.core.hass
    player = _Player(engine)
    await hass.data["media_player"].async_add_entities([player])
    try:
        target = {"entity_id": engine.entity_id, "media_player_entity_id": player.entity_id}
        async with asyncio.timeout(PATIENCE_SECONDS):
            await hass.services.async_call(
                "tts", "speak", {**target, "message": "The parcel is here.", "cache": False}, blocking=True
            )
    finally:
        await player.async_remove(force_remove=True)
    (mp3,) = player.played
    assert len(mp3) > 1000
    assert mp3[:3] == b"ID3" or mp3[0] == 0xFF


@pytest.mark.parametrize(
    "text",
    [
        pytest.param(
            "**Done!** See [the manual](https://example.org/a_b?c=d), `now`:\n\n- one\n- two\n", id="markdown"
        ),
        pytest.param("It is 21.5 °C 🌡️ and sunny ☀️ — 80 % humidity 👍🏽.", id="emoji-inside"),
        pytest.param(
            "Caf\u00e9, cafe\u0301, na\u00efve, \u201cquotes\u201d\u2026 and\u00a0spaces\u200b here.", id="accents"
        ),
        pytest.param("Tab\there,\r\nnew line there,\x0b\x0c\x00\x07 and bells.", id="control-characters"),
        pytest.param("Hello \u202eright to left\u202c and \ufeffback \ufffd again.", id="directions"),
        pytest.param("Meet at 7:30 a.m. with Dr. Smith; pay $3.50 (or 10 €) for 3.5 km!", id="numbers"),
        pytest.param("word " * 300, id="no-punctuation"),
        pytest.param("Pneumonoultramicroscopicsilicovolcanoconiosis" * 6 + " is one word.", id="one-long-word"),
        pytest.param("Wait" + "." * 500 + " what" + "?!" * 200, id="punctuation"),
        pytest.param("<speak>Tags <break time='1s'/> & entities &amp; such.</speak>", id="tags"),
    ],
)
async def test_odd_text_speaks(engine: Engine, text: str) -> None:
    (await speak(engine, text)).check()


@pytest.mark.parametrize(
    "text",
    [
        pytest.param("", id="empty"),
        pytest.param(" \t\r\n  ", id="blank"),
        pytest.param("🎉🎉 👩‍👩‍👧‍👦", id="emoji-only"),
        pytest.param("... --- !!! ???", id="punctuation-only"),
        pytest.param("```\n\n```", id="markdown-only"),
        pytest.param("\u200b\u200d\ufeff", id="invisible"),
        pytest.param("今日は良い天気ですね。", id="another-script"),
    ],
)
async def test_nothing_to_say_ends(engine: Engine, text: str) -> None:
    """Silence or a failure, as the server sees fit; but it ends at once, and the next text is spoken."""
    before = time.monotonic()
    result = await outcome(engine, text)
    assert time.monotonic() - before < 20
    assert result is None or isinstance(result, Failure) or result.seconds < 10
    (await speak(engine, "And on we go.")).check()


async def test_long_text_is_spoken_to_its_end(engine: Engine) -> None:
    sentence = "The quick brown fox jumps over the lazy dog, and then it goes home. "
    one = (await speak(engine, sentence)).check()
    thirty = (await speak(engine, sentence * 30)).check()
    assert thirty.seconds > one.seconds * 30 * 0.7


async def test_text_over_the_limit_fails_and_never_hangs(engine: Engine) -> None:
    """The ``error`` event becomes a failure of the core; older cores hear nothing at least."""
    check_failed(await outcome(engine, "This is far too much to say. " * 20_000))
    (await speak(engine, "Short again.")).check()


async def test_two_at_once(engine: Engine) -> None:
    texts = ("The first one counts the sheep in the field.", "The second one counts the stars in the sky.")
    alone = [(await speak(engine, text)).check() for text in texts]
    together = await asyncio.gather(*(speak(engine, text) for text in texts))
    for one, other in zip(alone, together, strict=True):
        assert abs(one.seconds - other.check().seconds) < 0.5


async def test_many_at_once_while_described(engine: Engine, shared_server: SpeechServer) -> None:
    """Four speak, and the core's own question for the voices is answered in time, every time."""
    text = "Number {} has a lot to say about the weather of the last week, and about the week to come. " * 4
    speaking = asyncio.gather(*(speak(engine, text.format(*[number] * 4)) for number in range(4)))
    asked = 0
    while not speaking.done() or asked < 3:
        info = await load_wyoming_info("127.0.0.1", shared_server.port, retries=0, timeout=_DESCRIBE_SECONDS)
        assert info is not None, "describe was not answered while speaking"
        asked += 1
        await asyncio.sleep(0.05)
    for speech in await speaking:
        speech.check()
