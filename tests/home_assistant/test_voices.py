"""Languages and voices: what a core lists, and what is spoken with each."""

from pathlib import Path

import pytest

from .core import POLLS_DESCRIBE, SORTS_LANGUAGES, Core, Engine, free_port
from .server import SpeechServer, describe
from .speaking import Speech, speak

_LINE = "The front door is open."


async def test_languages_and_voices_are_listed(engine: Engine, shared_server: SpeechServer) -> None:
    """Only installed voices count; labels are sorted; the default language is the first one."""
    installed = [voice for voice in (await describe(shared_server.port)).voices if voice.installed]
    assert installed, "without a voice there is no entity"
    names = [voice.name for voice in installed]
    assert len(set(names)) == len(names)

    languages = sorted({language for voice in installed for language in voice.languages})
    listed_languages = engine.entity.supported_languages
    assert (listed_languages if SORTS_LANGUAGES else sorted(listed_languages)) == languages
    assert engine.entity.default_language == listed_languages[0]
    for language in languages:
        listed = engine.entity.async_get_supported_voices(language)
        labels = [voice.name for voice in listed]
        assert labels == sorted(labels)
        assert len(set(labels)) == len(labels), f"people cannot tell these apart: {labels}"
        assert {voice.voice_id for voice in listed} == {v.name for v in installed if language in v.languages}


async def test_english_is_there_however_it_is_written(engine: Engine) -> None:
    """Pipelines match a language to the listed ones loosely; a house in English has to find one of ours."""
    from homeassistant.util import language as language_util  # noqa: PLC0415  (kept beside its only use)

    for wanted in ("en", "en-US", "en_US"):
        assert language_util.matches(wanted, engine.entity.supported_languages), wanted


async def test_every_listed_voice_speaks(engine: Engine) -> None:
    names = {
        voice.voice_id
        for language in engine.entity.supported_languages
        for voice in engine.entity.async_get_supported_voices(language)
    }
    takes = {name: (await speak(engine, _LINE, voice=name)).check() for name in sorted(names)}
    assert len({take.pcm for take in takes.values()}) == len(takes), "two voices sound the same"


async def test_unknown_voice_is_replaced_never_silent(engine: Engine, shared_server: SpeechServer) -> None:
    """A core passes on whatever name an automation holds, also of a voice that was removed."""
    (await speak(engine, "Who am I?", voice="nobody-at-all")).check()
    assert "nobody-at-all" in shared_server.log, "the log does not say why another voice spoke"


async def test_unknown_speaker_is_replaced_never_silent(engine: Engine) -> None:
    name = engine.entity.async_get_supported_voices(engine.entity.default_language)[0].voice_id
    (await speak(engine, "Which style is this?", voice=name, speaker="no-such-style")).check()


async def test_without_a_chosen_voice_the_servers_default_speaks(core: Core, tmp_path: Path) -> None:
    """A core sends neither voice nor language then: ``serve --voice`` decides."""
    server = SpeechServer(free_port(), tmp_path / "server")
    await server.start()
    try:
        names = [voice.name for voice in (await describe(server.port)).voices if voice.installed]
        if len(names) < 2:
            pytest.skip("the server has one voice only")
        for name in names[:2]:
            await server.stop()
            server.arguments = ("--voice", name)
            await server.start()
            entry = (await core.set_up_by_hand("127.0.0.1", server.port))["result"]
            try:
                await _check_spoken_by(core.engine(entry), name, set(names) - {name})
            finally:
                await core.hass.config_entries.async_remove(entry.entry_id)
    finally:
        await server.kill()


async def _check_spoken_by(engine: Engine, name: str, others: set[str]) -> None:
    default = (await speak(engine, _LINE)).check()
    assert _alike(default, await speak(engine, _LINE, voice=name)), f"{name} should have spoken"
    for other in others:
        assert not _alike(default, await speak(engine, _LINE, voice=other)), f"{other} spoke in place of {name}"


def _alike(one: Speech, other: Speech) -> bool:
    """Two takes by one voice: the engines under test speak a text the same way each time."""
    return one.rate_hz == other.rate_hz and one.pcm == other.pcm


@pytest.mark.skipif(not POLLS_DESCRIBE, reason="this core asks for the voices at set-up only")
async def test_polling_finds_the_same_voices(engine: Engine) -> None:
    """The order has to be stable, or each poll would rebuild the list."""
    before = engine.entry.runtime_data.coordinator.data
    await engine.entry.runtime_data.coordinator.async_refresh()
    assert engine.entry.runtime_data.coordinator.last_update_success
    assert engine.entry.runtime_data.coordinator.data == before
