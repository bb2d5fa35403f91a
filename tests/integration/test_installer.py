"""A service that speaks at once, and with Pocket TTS as soon as its model has come: real processes, our own hub."""

import asyncio
import re
import shutil
import socket
from pathlib import Path

import pytest
from wyoming.event import Event

from tests.pocket.fake_hub import Served, fake_hub
from tests.server.client import Client
from tests.support.hub_world import (
    EMBEDDED_VOICE,
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
from tests.support.service import service
from wyoming_pocket_tts.core.errors import ConfigError
from wyoming_pocket_tts.pocket.model_spec import model_specs
from wyoming_pocket_tts.pocket.registry import voice_names, voice_state_source
from wyoming_pocket_tts.pocket.voice_state import read_state
from wyoming_pocket_tts.pocket.voice_store import ready_made_directory

ALL_THERE = f"{MODEL}: all {len(voice_names())} voices are there"
OWN_SPEAKS = "the model model speaks now (fp32), by default as alba"

pytestmark = pytest.mark.timeout(300)


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> World:
    return shared_world(tmp_path_factory)


@pytest.fixture
def home(tmp_path: Path) -> Path:
    return tmp_path


async def test_it_speaks_at_once_and_with_the_model_when_it_has_come(world: World, home: Path) -> None:
    with fake_hub(world.files, commits=world.commits) as hub:
        async with service("--engine", "kokoro", tmp_path=home, **environment(hub.url, home)) as running:
            address = await running.uri()
            first = await installed_voices(address)
            assert first[EMBEDDED_VOICE]
            assert f"{MODEL}-alba" in first
            assert await rate_spoken(address, EMBEDDED_VOICE) != RATE_HZ
            await running.until_logged(SPEAKS, seconds=PATIENCE_SECONDS)
            assert (await installed_voices(address))[f"{MODEL}-alba"]
            assert await rate_spoken(address) == RATE_HZ, "who asks for no voice hears the model from now on"
            assert await rate_spoken(address, f"{MODEL}-alba") == RATE_HZ
            assert await rate_spoken(address, EMBEDDED_VOICE) != RATE_HZ
            await running.until_logged(ALL_THERE, seconds=PATIENCE_SECONDS)
            assert all((await installed_voices(address)).values())
            assert await running.stop() == 0
    await again_without_a_hub(home)


async def again_without_a_hub(home: Path) -> None:
    """What was brought is there at the next start."""
    settings = environment("http://127.0.0.1:9", home)
    async with service(
        "--engine", "kokoro", "--local-files-only", tmp_path=home, notify_address=str(home / "again"), **settings
    ) as running:
        await running.until_logged(f"the model {MODEL} speaks now", seconds=PATIENCE_SECONDS)
        address = await running.uri()
        assert all((await installed_voices(address)).values())
        assert await rate_spoken(address) == RATE_HZ
        assert "converting" not in running.log
        maps = await asyncio.to_thread(Path(f"/proc/{running.process.pid}/maps").read_text)
        assert "onnxruntime" in maps
        assert "torch" not in maps


async def test_a_hub_that_fails_takes_nothing_away(world: World, home: Path) -> None:
    broken = {name: Served(content, status=501) for name, content in world.files.items()}
    settings = environment("", home) | {"HF_HUB_DOWNLOAD_TIMEOUT": "1"}
    with fake_hub(broken, commits=world.commits) as hub:
        async with service("--engine", "kokoro", tmp_path=home, **(settings | {"HF_ENDPOINT": hub.url})) as running:
            address = await running.uri()
            await running.until_logged(f"the model {MODEL} cannot speak yet: ", seconds=PATIENCE_SECONDS)
            await running.until_logged("trying again in 30 s")
            assert running.log.count("cannot speak yet") == 1, "who reads the log is told once"
            assert await rate_spoken(address) != RATE_HZ
            assert await running.stop() == 0


async def test_a_hub_that_hangs_does_not_keep_the_service_from_stopping(home: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        url = f"http://127.0.0.1:{silent.getsockname()[1]}"
        async with service("--engine", "kokoro", tmp_path=home, **environment(url, home)) as running:
            await running.until_logged("downloading")
            assert await running.stop() == 0
            assert "Traceback" not in running.log


@pytest.mark.slow
async def test_a_model_of_ones_own_speaks_with_the_recording_of_a_voice(world: World, home: Path) -> None:
    with fake_hub(world.files, commits=world.commits) as hub:
        settings = environment(hub.url, home, names=str(world.config))
        async with service("--engine", "kokoro", "--precision", "fp32", tmp_path=home, **settings) as running:
            await running.until_logged(OWN_SPEAKS, seconds=PATIENCE_SECONDS)
            address = await running.uri()
            assert (await installed_voices(address))["model-alba"]
            assert await rate_spoken(address, "model-alba") == RATE_HZ


@pytest.mark.slow
async def test_a_model_of_ones_own_needs_no_hub_at_its_second_start(world: World, home: Path) -> None:
    options = ("--engine", "kokoro", "--precision", "fp32")
    with fake_hub(world.files, commits=world.commits) as hub:
        settings = environment(hub.url, home, names=str(world.config))
        async with service(*options, tmp_path=home, **settings) as running:
            await running.until_logged(OWN_SPEAKS, seconds=PATIENCE_SECONDS)
            assert await running.stop() == 0
    shutil.rmtree(home / "hub")
    settings = environment("http://127.0.0.1:9", home, names=str(world.config))
    second = str(home / "second")
    async with service(*options, "--local-files-only", tmp_path=home, notify_address=second, **settings) as running:
        await running.until_logged(OWN_SPEAKS, seconds=PATIENCE_SECONDS)
        assert await running.stop() == 0
    for voice in (home / "wyoming-pocket-tts" / "heard").rglob("*.safetensors"):
        voice.unlink()
    third = str(home / "third")
    async with service(*options, "--local-files-only", tmp_path=home, notify_address=third, **settings) as running:
        await running.until_logged("cannot speak yet: ", seconds=PATIENCE_SECONDS)
        assert "is not on this machine" in running.log, "nothing is downloaded when that is forbidden"


@pytest.mark.slow
async def test_voices_that_were_damaged_come_anew(world: World, home: Path) -> None:
    directory = ready_made_directory(home / "wyoming-pocket-tts", MODEL)
    directory.mkdir(parents=True)
    whole = world.files[place(voice_state_source(MODEL, "alba"))]
    (directory / "jean.safetensors").write_bytes(whole[: len(whole) // 2])  # cut short
    header, data = whole[:-4096], whole[-4096:]
    (directory / "alba.safetensors").write_bytes(header + b"\xff" * len(data))  # not finite
    with fake_hub(world.files, commits=world.commits) as hub:
        settings = environment(hub.url, home) | {"WYOMING_POCKET_TTS_VOICE_DEFAULT": f"{MODEL}-jean"}
        async with service("--engine", "kokoro", tmp_path=home, **settings) as running:
            address = await running.uri()
            assert not (await installed_voices(address))[f"{MODEL}-jean"]
            await running.until_logged("it was deleted, to be brought again", seconds=PATIENCE_SECONDS)
            assert await running.stop() == 0
        again = str(home / "again")
        async with service("--engine", "kokoro", tmp_path=home, notify_address=again, **settings) as running:
            await running.until_logged(SPEAKS, seconds=PATIENCE_SECONDS)
            assert await rate_spoken(await running.uri()) == RATE_HZ
    for voice in ("alba", "jean"):
        read_state(directory / f"{voice}.safetensors")


@pytest.mark.slow
async def test_one_model_that_cannot_be_had_keeps_nothing_from_another(world: World, home: Path) -> None:
    with fake_hub(world.files, commits=world.commits) as hub:
        names = f"german_24l,{MODEL}"  # the hub has nothing of the first
        async with service("--engine", "kokoro", tmp_path=home, **environment(hub.url, home, names)) as running:
            await running.until_logged(SPEAKS, seconds=PATIENCE_SECONDS)
            await running.until_logged("the model german_24l cannot speak yet: ", seconds=PATIENCE_SECONDS)
            await running.until_logged(ALL_THERE, seconds=PATIENCE_SECONDS)
            address = await running.uri()
            voices = await installed_voices(address)
            default, *others = voices
            assert default == f"{MODEL}-alba", "the default voice is the first that is installed"
            assert others[0].startswith("german_24l"), "the order of the rest is that of the settings"
            assert await rate_spoken(address) == RATE_HZ
            assert await running.stop() == 0


@pytest.mark.slow
async def test_only_the_voices_that_are_needed_come_if_so_wished(world: World, home: Path) -> None:
    settings = {
        "WYOMING_POCKET_TTS_MODELS_VOICES": "default",
        "WYOMING_POCKET_TTS_VOICE_DEFAULT": f"{MODEL}-jean",
    }
    with fake_hub(world.files, commits=world.commits) as hub:
        async with service("--engine", "kokoro", tmp_path=home, **environment(hub.url, home), **settings) as running:
            await running.until_logged(SPEAKS, seconds=PATIENCE_SECONDS)
            voices = await installed_voices(await running.uri())
            assert {name for name, installed in voices.items() if installed and name.startswith(MODEL)} == {
                f"{MODEL}-alba",
                f"{MODEL}-jean",
            }


@pytest.mark.slow
async def test_an_order_to_stop_amid_a_conversion_leaves_nothing_behind(world: World, home: Path) -> None:
    with fake_hub(world.files, commits=world.commits) as hub:
        async with service("--engine", "kokoro", tmp_path=home, **environment(hub.url, home)) as running:
            await running.until_logged("converting", seconds=PATIENCE_SECONDS)
            assert await running.stop() == 0
            assert "Traceback" not in running.log
            assert "downloading voices" not in running.log
    models = home / "wyoming-pocket-tts" / "models"
    assert [path.name for path in models.iterdir() if path.suffix != ".lock"] == []


@pytest.mark.slow
async def test_an_answer_that_has_begun_ends_in_its_voice_when_the_model_comes(world: World, home: Path) -> None:
    with fake_hub(world.files, commits=world.commits) as hub:
        async with service("--engine", "kokoro", tmp_path=home, **environment(hub.url, home)) as running:
            address = await running.uri()
            async with await Client.connect(address) as client:
                await client.send("synthesize-start")
                await client.send("synthesize-chunk", text="This is the first sentence of a long answer. ")
                rates = [event.data["rate"] for event in await events_until(client, "audio-chunk")]
                await running.until_logged(SPEAKS, seconds=PATIENCE_SECONDS)
                await client.send("synthesize-chunk", text="And here is the second.")
                await client.send("synthesize-stop")
                rest = await events_until(client, "synthesize-stopped")
            chunks = [event for event in rest if event.type == "audio-chunk"]
            rates += [event.data["rate"] for event in chunks]
            assert chunks
            assert set(rates) == {rates[0]} != {RATE_HZ}
            assert await rate_spoken(address) == RATE_HZ


async def events_until(client: Client, last: str) -> list[Event]:
    """What comes until an event of this type, itself included, but no more than carries a rate or a type."""
    events: list[Event] = []
    while not events or events[-1].type != last:
        event = await client.receive()
        assert event is not None
        assert event.type != "error", event.data
        events.append(event)
    return events


async def test_a_model_that_does_not_exist_is_named(tmp_path: Path) -> None:
    async with service("--model", "klingon", tmp_path=tmp_path) as running:
        assert await running.exit_code() == 2
        assert re.search(r"there is no model 'klingon'.*english", running.log)


@pytest.mark.parametrize(
    ("names", "message"),
    [(["english", "None"], "excludes"), (["english", "english"], "would be called 'english'"), (["nope"], "no model")],
)
def test_models_that_cannot_be_together(names: list[str], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        model_specs(names)


def test_none_is_no_model() -> None:
    assert model_specs(["None"]) == []
