"""Each satellite in its own voice and manner, over real sockets: one service, real clients, a beep for each voice."""

import json
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from tests.server.client import Client
from tests.server.test_discovery import Browser
from tests.support.service import Service, service
from wyoming_pocket_tts.server.discovery import SERVICE_TYPE

TEXT = "The lights are on."
LOUDNESS = 8_000


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def pitch_hz(voice: str, speaker: str = "") -> float:
    """Of the beep; see ToneSynthesizer."""
    return 220.0 + 10.0 * (sum(map(ord, voice + speaker)) % 64)


@dataclass(frozen=True)
class Heard:
    """An answer as a satellite plays it."""

    samples: NDArray[np.float64]
    rate_hz: int
    events: tuple[str, ...]

    @property
    def pitch_hz(self) -> float:
        sounding = np.flatnonzero(np.abs(self.samples) > 50)
        tone = self.samples[sounding[0] : sounding[-1]]
        spectrum = np.abs(np.fft.rfft(tone * np.hanning(len(tone)), 1 << 18))
        return float(np.argmax(spectrum) * self.rate_hz / (1 << 18))

    @property
    def loudness(self) -> float:
        return float(np.percentile(np.abs(self.samples), 99.5))

    @property
    def seconds(self) -> float:
        return len(self.samples) / self.rate_hz


async def hear(uri: str, *, from_address: str | None = None, text: str = TEXT, **request: object) -> Heard:
    """Ask as Home Assistant does, from an address of this machine."""
    async with await Client.connect(uri, local_address=from_address) as client:
        await client.send("synthesize", text=text, **request)
        samples: list[NDArray[np.float64]] = []
        kinds: list[str] = []
        rate_hz = 0
        while not kinds or kinds[-1] != "audio-stop":
            event = await client.receive()
            assert event is not None
            assert event.type != "error", event.data
            kinds += [event.type] if not kinds or kinds[-1] != event.type else []
            if event.type == "audio-start":
                rate_hz = event.data["rate"]
            if event.type == "audio-chunk":
                assert event.data["rate"] == rate_hz
                samples.append(np.frombuffer(event.payload or b"", "<i2").astype(float))
    return Heard(np.concatenate(samples), rate_hz, tuple(kinds))


async def described(uri: str) -> dict[str, object]:
    async with await Client.connect(uri) as client:
        await client.send("describe")
        info = await client.receive()
    assert info is not None
    program: dict[str, object] = info.data["tts"][0]
    return program


SETTINGS = """
voices:
  Anna: {from: tone-low, leading_silence: 0.25}
  Bert: {from: tone-high, volume: -6}
  Clara: {from: ton, language: de-AT}
satellites:
  Kitchen: {voice: Anna}
  Bedroom: {voice: Bert, address: 127.0.0.2, volume: -12}
  House: {voice: Anna, address: 127.0.0.0/8, speed: 2.0}
  Bath: {voice: Clara, port: PORT, sample_rate: 8000, name: Das Bad}
"""


@asynccontextmanager
async def household(tmp_path: Path, settings: str = SETTINGS) -> AsyncIterator[tuple[Service, str, str]]:
    """A service with these rooms; gives its address and that of the room with a port of its own."""
    port = free_port()
    file = tmp_path / "settings.yaml"
    file.write_text(settings.replace("PORT", str(port)))
    async with service("--config", str(file), tmp_path=tmp_path) as running:
        address = (await running.uri()).partition(",")[0]
        yield running, address, f"tcp://127.0.0.1:{port}"


def sounds_like(heard: Heard, voice: str, speaker: str = "", *, factor: float = 1.0) -> bool:
    return heard.pitch_hz == pytest.approx(pitch_hz(voice, speaker), rel=0.01) and heard.loudness == pytest.approx(
        LOUDNESS * factor, rel=0.03
    )


WHOLE = ("audio-start", "audio-chunk", "audio-stop")


async def test_three_satellites_have_three_voices_at_one_server(tmp_path: Path) -> None:
    async with household(tmp_path) as (_, uri, bath):
        kitchen = await hear(uri, voice={"name": "Kitchen"})
        assert kitchen.events == WHOLE
        assert sounds_like(kitchen, "tone-low")
        assert not kitchen.samples[: kitchen.rate_hz // 4].any(), "its voice leaves a silence for sleepy loudspeakers"

        bedroom = await hear(uri, from_address="127.0.0.2")
        assert bedroom.events == WHOLE
        assert sounds_like(bedroom, "tone-high", factor=10 ** (-12 / 20)), "the room's volume, not the voice's"

        in_bath = await hear(bath)
        assert in_bath.events == WHOLE
        assert in_bath.rate_hz == 8_000
        assert sounds_like(in_bath, "ton", "ruhig")


async def test_the_widest_network_is_for_whom_nothing_narrower_knows(tmp_path: Path) -> None:
    async with household(tmp_path) as (_, uri, _bath):
        anybody = await hear(uri, from_address="127.0.0.9")
        assert sounds_like(anybody, "tone-low")
        assert anybody.seconds == pytest.approx(0.25 + len(TEXT) * 0.02 / 2, rel=0.03), "twice as fast"


async def test_a_voice_that_is_named_speaks_in_the_manner_of_the_room(tmp_path: Path) -> None:
    async with household(tmp_path) as (_, uri, bath):
        named = await hear(uri, from_address="127.0.0.2", voice={"name": "tone-low"})
        assert sounds_like(named, "tone-low", factor=10 ** (-12 / 20))
        other_room = await hear(uri, from_address="127.0.0.2", voice={"name": "Kitchen"})
        assert sounds_like(other_room, "tone-low"), "who asks for another room gets that"
        at_the_port = await hear(bath, voice={"name": "tone-high"})
        assert at_the_port.rate_hz == 8_000
        assert sounds_like(at_the_port, "tone-high")


async def test_home_assistant_sees_rooms_and_languages(tmp_path: Path) -> None:
    async with household(tmp_path) as (_, uri, bath):
        house = await described(uri)
        voices = house["voices"]
        assert isinstance(voices, list)
        by_name = {voice["name"]: voice for voice in voices}
        assert len(by_name) == len(voices)
        assert by_name["Kitchen"]["description"] == "Kitchen (Anna, English)"
        assert by_name["Clara"]["languages"] == ["de-AT"]
        assert {"Clara (ruhig)", "Clara (heiter)", "tone-low", "ton"} <= by_name.keys()
        own = await described(bath)
        assert own["name"] == "wyoming-pocket-tts Bath"
        assert [voice["name"] for voice in own["voices"]] == ["Bath"]  # type: ignore[attr-defined]
        assert json.dumps(own).count("de-AT") == 1


async def test_two_languages_are_read_each_in_its_own_way(tmp_path: Path) -> None:
    """The beep is as long as its text: the same figures have other words in German."""
    async with household(tmp_path) as (_, uri, bath):
        english = await hear(uri, text="21.5", from_address="127.0.0.2")
        assert english.seconds == pytest.approx(0.02 * len("twenty-one point five"), abs=0.002)
        german = await hear(bath, text="21,5")
        assert german.seconds == pytest.approx(0.02 * len("einundzwanzig Komma fünf"), abs=0.01)


async def test_a_room_can_have_its_texts_as_they_come(tmp_path: Path) -> None:
    settings = "satellites: {Raw: {voice: tone-low, text: {normalize: false}}}\ntext: {replacements: {HA: Hass}}"
    async with household(tmp_path, settings) as (_, uri, _bath):
        raw = await hear(uri, text="**21** HA", voice={"name": "Raw"})
        assert raw.seconds == pytest.approx(0.02 * len("**21** Hass"), abs=0.002)


async def test_a_voice_that_nobody_has_keeps_nobody_from_speaking(tmp_path: Path) -> None:
    async with household(tmp_path, "satellites: {Hall: {voice: Zoe}}") as (running, uri, _bath):
        await running.until_logged("settings.yaml, line 1: satellites.Hall.voice: there is no voice 'Zoe'")
        assert (await hear(uri, voice={"name": "Hall"})).events == WHOLE


@pytest.mark.parametrize(
    ("settings", "names"),
    [
        ("discovery: {announce: true, name: Study Box}", ("Study Box", "Study Box Dr No", "Das Bad")),
        ("discovery: {announce: true}", ("kept-{main}", "kept-{own}", "Das Bad")),
    ],
)
async def test_the_port_of_a_room_is_announced_by_its_name(
    tmp_path: Path, settings: str, names: tuple[str, ...]
) -> None:
    """By its own, else by the server's with the room's, and if the server has none by one that stays the same."""
    (tmp_path / "wyoming-pocket-tts").mkdir()
    (tmp_path / "wyoming-pocket-tts" / "zeroconf-name").write_text("kept")
    own, named = free_port(), free_port()
    rooms = f"satellites: {{Dr. No: {{port: {own}}}, Bath: {{port: {named}, name: Das Bad}}}}"
    browser = Browser()
    await browser.zeroconf.async_add_service_listener(SERVICE_TYPE, browser)
    async with household(tmp_path, f"{settings}\n{rooms}") as (_, uri, _bath):
        main = int(uri.rpartition(":")[2])
        for name, port in zip(names, (main, own, named), strict=True):
            announced = name.format(main=main, own=own)
            await browser.until(present=announced)
            assert (await browser.look_up(announced)).port == port
    await browser.zeroconf.async_close()
