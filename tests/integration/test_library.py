"""Voices of one's own that come and go in a running service: real processes, files as people drop them."""

import asyncio
import os
import shutil
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
import soundfile

from tests.pocket.fake_hub import TOKEN, Served, fake_hub
from tests.server.client import Client
from tests.support.hub_world import (
    MODEL,
    PATIENCE_SECONDS,
    RATE_HZ,
    SPEAKS,
    World,
    environment,
    installed_voices,
    place,
    rate_spoken,
    shared_world,
)
from tests.support.service import Service, service
from wyoming_pocket_tts.pocket.registry import released_model, voice_audio_source, voice_state_source

pytestmark = pytest.mark.timeout(300)


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> World:
    return shared_world(tmp_path_factory)


@dataclass
class Home:
    """A service with a model, and the folder into which voices are dropped."""

    running: Service
    uri: str
    folder: Path

    def drop(self, name: str, content: bytes) -> Path:
        path = self.folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        aside = self.folder.with_name("aside")
        aside.write_bytes(content)
        return aside.rename(path)

    async def until_listed(self, condition: Callable[[dict[str, bool]], bool]) -> None:
        """Ask until the voices are so, as Home Assistant does."""
        async with asyncio.timeout(PATIENCE_SECONDS):
            while not condition(await installed_voices(self.uri)):  # noqa: ASYNC110  (nobody tells us)
                await asyncio.sleep(0.05)


@asynccontextmanager
async def home(world: World, tmp_path: Path, settings: str = "") -> AsyncIterator[Home]:
    file = tmp_path / "settings.yaml"
    file.write_text("models: {voices: default}\n" + settings)
    options = ("--engine", "kokoro", "--config", str(file))
    with fake_hub(world.files, commits=world.commits) as hub:
        async with service(*options, tmp_path=tmp_path, **environment(hub.url, tmp_path)) as running:
            await running.until_logged(SPEAKS, seconds=PATIENCE_SECONDS)
            yield Home(running, await running.uri(), tmp_path / "wyoming-pocket-tts" / "voices")
            assert await running.stop() == 0
            assert "Traceback" not in running.log


def recording(world: World) -> bytes:
    return world.files[place(voice_audio_source("alba"))]


def exported(world: World) -> bytes:
    return world.files[place(voice_state_source(MODEL, "alba"))]


async def test_voices_come_and_go_while_clients_speak(world: World, tmp_path: Path) -> None:
    async with home(world, tmp_path) as house:
        speaking = asyncio.create_task(keep_speaking(house.uri))
        for _ in range(2):
            voice = house.drop("grandma.safetensors", exported(world))
            await house.until_listed(lambda voices: voices.get("grandma") is True)
            assert await rate_spoken(house.uri, "grandma") == RATE_HZ
            voice.unlink()
            await house.until_listed(lambda voices: "grandma" not in voices)
            assert await rate_spoken(house.uri, "grandma") > 0, "who still asks for it hears another voice"
        assert not speaking.done(), "no answer failed meanwhile"
        speaking.cancel()
        await asyncio.gather(speaking, return_exceptions=True)


async def keep_speaking(uri: str) -> None:
    while True:
        await rate_spoken(uri)


@pytest.mark.slow
async def test_recordings_are_heard_once(world: World, tmp_path: Path) -> None:
    async with home(world, tmp_path) as house:
        house.drop("Anna.wav", recording(world))
        await house.until_listed(lambda voices: voices.get("Anna") is True)
        assert await rate_spoken(house.uri, "anna") == RATE_HZ
        heard = list((house.folder.parent / "heard").rglob("*.safetensors"))
        made = [path.stat().st_ino for path in heard]
        (house.folder / "Anna.wav").rename(house.folder / "Hannah.wav")
        await house.until_listed(lambda voices: voices.get("Hannah") is True and "Anna" not in voices)
        assert [path.stat().st_ino for path in heard] == made != [], "the same recording is not heard again"
        heard[0].unlink()  # somebody cleared up
        await house.until_listed(lambda voices: voices.get("Hannah") is True and heard[0].exists())
        assert await rate_spoken(house.uri, "Hannah") == RATE_HZ
        maps = await asyncio.to_thread(Path(f"/proc/{house.running.process.pid}/maps").read_text)
        assert "encoder" not in maps, "what hears is another process"


@pytest.mark.slow
async def test_an_answer_ends_in_the_voice_that_it_began_with(world: World, tmp_path: Path) -> None:
    """While the voice is overwritten with rubbish, and then taken away."""
    async with home(world, tmp_path) as house:
        voice = house.drop("grandma.safetensors", exported(world))
        await house.until_listed(lambda voices: voices.get("grandma") is True)
        async with await Client.connect(house.uri) as client:
            await client.send("synthesize-start", voice={"name": "grandma"})
            await client.send("synthesize-chunk", text="This is the first sentence. ")
            await sound(client)
            voice.write_bytes(exported(world)[:1000])
            await house.running.until_logged("grandma.safetensors: is no safetensors file", seconds=PATIENCE_SECONDS)
            await client.send("synthesize-chunk", text="This is the second. ")
            await sound(client)
            voice.unlink()
            await house.until_listed(lambda voices: "grandma" not in voices)
            await client.send("synthesize-chunk", text="And the third.")
            await client.send("synthesize-stop")
            while (event := await client.receive()) is not None and event.type != "synthesize-stopped":
                assert event.type != "error", event.data
            assert event is not None


async def sound(client: Client) -> None:
    """Wait for a bit of audio."""
    while (event := await client.receive()) is not None and event.type != "audio-chunk":
        assert event.type != "error", event.data


async def test_a_file_counts_when_it_is_written_to_its_end(world: World, tmp_path: Path) -> None:
    async with home(world, tmp_path) as house:
        house.folder.mkdir(exist_ok=True)
        content = exported(world)
        with (house.folder / "slow.safetensors").open("wb") as file:
            for start in range(0, len(content), len(content) // 8):
                file.write(content[start : start + len(content) // 8])
                file.flush()
                await installed_voices(house.uri)
        await house.until_listed(lambda voices: voices.get("slow") is True)
        assert await rate_spoken(house.uri, "slow") == RATE_HZ


@pytest.mark.slow
async def test_an_order_to_stop_amid_a_hearing_is_obeyed(world: World, tmp_path: Path) -> None:
    async with home(world, tmp_path) as house:
        house.drop("Anna.wav", recording(world))
        await house.running.until_logged("is encoded by the model", seconds=PATIENCE_SECONDS)
    leftovers = [path.name for path in (tmp_path / "wyoming-pocket-tts" / "heard").rglob("*") if path.is_file()]
    assert all(name.endswith(".safetensors") and not name.startswith(".") for name in leftovers)


@pytest.mark.slow
async def test_recordings_are_heard_once_somebody_has_logged_in(world: World, tmp_path: Path) -> None:
    config = released_model(MODEL)
    assert config.weights_path is not None
    assert config.weights_path_without_voice_cloning is not None
    whole = world.files[place(config.weights_path)]
    files = {
        **{name: Served(content) for name, content in world.files.items()},
        place(config.weights_path): Served(whole, gated=True),
        place(config.weights_path_without_voice_cloning): Served(whole),
    }
    folder = tmp_path / "wyoming-pocket-tts" / "voices"
    folder.mkdir(parents=True)
    (folder / "Gran.wav").write_bytes(recording(world))
    file = tmp_path / "settings.yaml"
    file.write_text("models: {voices: default}")
    options = ("--engine", "kokoro", "--config", str(file))
    with fake_hub(files, commits=world.commits) as hub:
        settings = environment(hub.url, tmp_path)
        async with service(*options, tmp_path=tmp_path, **settings) as running:
            await running.until_logged("Gran.wav: the weights of", seconds=PATIENCE_SECONDS)
            assert await running.stop() == 0
        later = str(tmp_path / "later")
        async with service(*options, tmp_path=tmp_path, notify_address=later, HF_TOKEN=TOKEN, **settings) as running:
            await running.until_logged("can encode recordings now", seconds=PATIENCE_SECONDS)
            await running.until_logged("the voice Gran is there", seconds=PATIENCE_SECONDS)
            assert await rate_spoken(await running.uri(), "Gran") == RATE_HZ
            assert await running.stop() == 0


@pytest.mark.slow
async def test_odd_entries_harm_nobody(world: World, tmp_path: Path) -> None:
    folder = tmp_path / "wyoming-pocket-tts" / "voices"
    folder.mkdir(parents=True)
    (folder / "far.wav").symlink_to("/" + "x" * 300)
    (folder / "loop").symlink_to(folder / "loop")
    (folder / "bell\a.wav").write_bytes(b"")
    os.mkfifo(folder / "pipe.wav")
    (folder / "german").mkdir()
    shutil.copy(world.config.with_name("voice.wav"), folder / "german" / "Otto.wav")
    with (folder / "film.wav").open("wb") as film:
        film.truncate(10 << 30)
    async with home(world, tmp_path) as house:
        house.drop("good.safetensors", exported(world))
        await house.until_listed(lambda voices: voices.get("good") is True)
        await house.running.until_logged("film.wav: is larger than", seconds=PATIENCE_SECONDS)
        await house.running.until_logged("it is for the model german, which is not among models.names")
        assert "Traceback" not in house.running.log


@pytest.mark.slow
async def test_a_folder_is_a_voice_with_styles(world: World, tmp_path: Path) -> None:
    async with home(world, tmp_path) as house:
        for style in ("default", "happy"):
            house.drop(f"Bob/{style}.safetensors", exported(world))
        await house.until_listed(lambda voices: voices.get("Bob (happy)") is True)
        assert await rate_spoken(house.uri, "Bob (happy)") == RATE_HZ
        house.drop(f"{MODEL}/Carl.safetensors", exported(world))
        await house.until_listed(lambda voices: voices.get("Carl") is True)


@pytest.mark.slow
async def test_what_cannot_be_a_voice_is_named_and_harms_nobody(world: World, tmp_path: Path) -> None:
    async with home(world, tmp_path) as house:
        house.drop("broken.wav", b"RIFF rubbish")
        house.drop("short.safetensors", exported(world)[:5000])
        house.drop("notes.txt", b"not a voice")
        house.drop(f"{MODEL}-alba.wav", recording(world))
        for complaint in ("broken.wav", "short.safetensors: is cut short", "another voice has this name"):
            await house.running.until_logged(complaint, seconds=PATIENCE_SECONDS)
        house.drop("good.safetensors", exported(world))
        await house.until_listed(lambda voices: voices.get("good") is True)
        assert not {"broken", "short", "notes"} & (await installed_voices(house.uri)).keys()
        assert house.running.log.count("broken.wav") <= 2, "said once"
        house.drop("broken.wav", recording(world))
        await house.until_listed(lambda voices: voices.get("broken") is True)


@pytest.mark.slow
async def test_voices_of_the_settings_come_from_files(world: World, tmp_path: Path) -> None:
    shutil.copy(world.config.with_name("voice.wav"), tmp_path / "anna.wav")
    settings = """
voices:
  Anna: {from: anna.wav, volume: -6}
  Quick: {from: jean, sample_rate: 16000}
  Gone: {from: gone.wav}
satellites:
  Kitchen: {voice: Anna}
"""
    async with home(world, tmp_path, settings) as house:
        await house.until_listed(lambda voices: voices.get("Anna") is True and voices.get("Kitchen") is True)
        assert await rate_spoken(house.uri, "Kitchen") == RATE_HZ
        assert await rate_spoken(house.uri, "Quick") == 16_000
        voices = await installed_voices(house.uri)
        assert voices["Gone"] is False
        assert not any("own-" in name or "steps" in name for name in voices), "the house's own names stay inside"
        tone = 0.3 * np.sin(2 * np.pi * 150 * np.arange(3 * RATE_HZ) / RATE_HZ)
        soundfile.write(tmp_path / "gone.wav", tone, RATE_HZ)
        await house.until_listed(lambda voices: voices.get("Gone") is True)


async def test_while_no_model_has_come_files_are_looked_at_by_themselves(world: World, tmp_path: Path) -> None:
    folder = tmp_path / "wyoming-pocket-tts" / "voices"
    folder.mkdir(parents=True)
    (folder / "text.wav").write_text("no audio")
    soundfile.write(folder / "empty.wav", np.zeros(0), RATE_HZ)
    (folder / "rubbish.safetensors").write_bytes(b"rubbish")
    (folder / "good.wav").write_bytes(recording(world))
    options = ("--engine", "kokoro", "--model", MODEL, "--local-files-only")
    async with service(*options, tmp_path=tmp_path) as running:
        for bad in ("text.wav", "empty.wav", "rubbish.safetensors"):
            await running.until_logged(f"a voice that cannot be used: {folder / bad}: ", seconds=PATIENCE_SECONDS)
        await running.until_logged(f"the voice good waits for the model {MODEL}", seconds=PATIENCE_SECONDS)
        (folder / "good.wav").write_text("no audio any more")
        await running.until_logged(f"a voice that cannot be used: {folder / 'good.wav'}: ", seconds=PATIENCE_SECONDS)
        assert await running.stop() == 0
        assert running.log.count("a voice that cannot be used") == 4, "each is told once"
        assert running.log.count("waits for the model") == 1
