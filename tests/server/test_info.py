from wyoming.info import Info

from tests.server.client import service
from tests.support.tone import VOICES, ToneSynthesizer
from wyoming_pocket_tts.core.types import Voice
from wyoming_pocket_tts.server.protocol import info_event


def voice(number: int) -> Voice:
    return Voice(
        name=f"voice-{number}", description=f"Stimme für Nummer {number}", languages=("de-DE",), sample_rate_hz=24_000
    )


def test_the_library_understands_it() -> None:
    [program] = Info.from_event(info_event(VOICES)).tts
    assert (program.name, program.installed, program.supports_synthesize_streaming) == (
        "wyoming-pocket-tts",
        True,
        True,
    )
    assert program.attribution.name
    assert [(voice.name, voice.installed, voice.languages) for voice in program.voices] == [
        ("tone-low", True, ["en-US"]),
        ("tone-high", True, ["en-GB", "en-US"]),
        ("ton", True, ["de-DE"]),
        ("tone-away", False, ["fr-FR"]),
    ]
    assert [[speaker.name for speaker in voice.speakers or []] for voice in program.voices] == [
        [],
        [],
        ["ruhig", "heiter"],
        [],
    ]


def test_every_field_that_home_assistant_needs_is_there() -> None:
    [program] = info_event(VOICES).data["tts"]
    assert {"name", "attribution", "installed", "voices"} <= program.keys()
    for listed in program["voices"]:
        assert {"name", "attribution", "installed", "languages"} <= listed.keys()
        assert {"name", "url"} <= listed["attribution"].keys()


def test_without_voices_nothing_is_installed() -> None:
    [program] = info_event([]).data["tts"]
    assert not program["installed"]


async def test_a_voice_added_at_run_time_is_listed_and_speaks_without_a_restart() -> None:
    voices = [voice(1)]

    class Growing(ToneSynthesizer):
        def voices(self) -> list[Voice]:
            return voices

    async with service(Growing()) as house, await house.connect() as client:
        await client.send("describe")
        first = (await client.until("info"))[0]
        await client.send("describe")
        assert (await client.until("info"))[0] == first
        voices.append(voice(2))
        await client.send("describe")
        second = (await client.until("info"))[0]
        assert [listed["name"] for listed in second.data["tts"][0]["voices"]] == ["voice-1", "voice-2"]
        await client.send("synthesize", text="Hallo.", voice={"name": "voice-2"})
        assert (await client.until("audio-stop"))[0].data["rate"] == 24_000


async def test_a_thousand_voices_do_not_break_the_clients_line_limit() -> None:
    tone = ToneSynthesizer(voices=[voice(number) for number in range(1_000)])
    async with service(tone) as house, await house.connect() as client:  # its reader takes lines of at most 64 KiB
        await client.send("describe")
        info = (await client.until("info"))[0]
        assert len(info.data["tts"][0]["voices"]) == 1_000
