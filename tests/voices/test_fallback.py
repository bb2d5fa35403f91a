"""Who speaks for whom when too much is asked for."""

import pytest

from wyoming_pocket_tts.core.types import OptionOverrides, Voice
from wyoming_pocket_tts.voices.catalog import ConfiguredVoice, FallbackVoices, Satellite, VoiceCatalog

ENGINE = (
    Voice(name="alba", description="Alba", languages=("en",), sample_rate_hz=24_000),
    Voice(name="juergen", description="Jürgen", languages=("de",), sample_rate_hz=24_000),
    Voice(name="ray", description="Ray", languages=("en-US",), sample_rate_hz=16_000),
    Voice(name="selma", description="Selma", languages=("en-US",), sample_rate_hz=16_000, speakers=("calm", "gay")),
)
CAST = VoiceCatalog(
    lambda: ENGINE,
    voices=[
        ConfiguredVoice(name="Anna", engine_voices=("alba",), overrides=OptionOverrides(speed=1.5)),
        ConfiguredVoice(name="Sam", engine_voices=("selma",)),
    ],
    satellites=[Satellite(name="Kitchen", voice="Anna", overrides=OptionOverrides(volume_db=-6, rate_hz=8_000))],
)


@pytest.mark.parametrize("embedded", [("ray", "selma"), ("selma", "ray")])
def test_the_first_embedded_voice_of_the_language_speaks_in_the_manner_of_whom_it_stands_in_for(
    embedded: tuple[str, ...],
) -> None:
    meant = CAST.resolve(name="Kitchen")
    found = FallbackVoices(CAST, embedded).find(meant)
    assert found is not None
    assert (found.voice.name, found.options) == (embedded[0], meant.options)
    assert found.speaker == (found.voice.speakers[0] if found.voice.speakers else None)
    assert "Anna" in found.why or "Kitchen" in found.why


@pytest.mark.parametrize("name", ["ray", "selma", "Sam"])
def test_whoever_is_embedded_stays(name: str) -> None:
    meant = CAST.resolve(name=name)
    assert FallbackVoices(CAST, ("ray", "selma")).find(meant) is meant


def test_nobody_speaks_a_language_that_is_not_embedded() -> None:
    assert FallbackVoices(CAST, ("ray", "selma")).find(CAST.resolve(name="juergen")) is None
    assert FallbackVoices(CAST, ()).find(CAST.resolve(name="alba")) is None
