"""Rooms as Home Assistant sees them: a voice of their own in the list, or an entry of their own."""

from pathlib import Path

import pytest

from .core import Core, free_port
from .server import SpeechServer
from .speaking import Speech, speak

_LINE = "Dinner is ready."


async def test_a_room_is_a_voice_and_a_room_with_a_port_is_an_entry(core: Core, tmp_path: Path) -> None:
    port = free_port()
    settings = tmp_path / "settings.yaml"
    settings.write_text(
        "satellites:\n"
        "  Kitchen: {voice: kokoro-selma, volume: -12}\n"
        f"  Workshop: {{voice: kokoro-ray, speed: 2.0, port: {port}}}\n"
    )
    server = SpeechServer(free_port(), tmp_path / "server", arguments=("--config", str(settings)))
    await server.start()
    try:
        house = (await core.set_up_by_hand("127.0.0.1", server.port))["result"]
        workshop = (await core.set_up_by_hand("127.0.0.1", port))["result"]
        assert (house.title, workshop.title) == ("wyoming-pocket-tts", "wyoming-pocket-tts Workshop")

        engine = core.engine(house)
        labels = {voice.voice_id: voice.name for voice in engine.entity.async_get_supported_voices("en-US")}
        assert labels["Kitchen"].startswith("Kitchen (")
        plain = (await speak(engine, _LINE, voice="kokoro-selma")).check()
        kitchen = (await speak(engine, _LINE, voice="Kitchen")).check()
        assert kitchen.peak == pytest.approx(plain.peak * 10 ** (-12 / 20), rel=0.1)

        normal: Speech = (await speak(engine, _LINE, voice="kokoro-ray")).check()
        quick = (await speak(core.engine(workshop), _LINE)).check()
        assert quick.seconds == pytest.approx(normal.seconds / 2, rel=0.1)
        for entry in (house, workshop):
            await core.hass.config_entries.async_remove(entry.entry_id)
    finally:
        await server.kill()
