"""A real service whose models take turns in memory, and whose embedded voice leaves it."""

import re
from pathlib import Path

import pytest

from tests.pocket.fake_hub import fake_hub
from tests.server.client import Client, kinds
from tests.server.http_client import get
from tests.support.hub_world import (
    EMBEDDED_VOICE,
    MODEL,
    PATIENCE_SECONDS,
    RATE_HZ,
    SPEAKS,
    World,
    environment,
    installed_voices,
    rate_spoken,
    shared_world,
)
from tests.support.service import Service, service

pytestmark = pytest.mark.timeout(300)

LONG = "and so on, " * 150
"""One sentence, and more audio than fits between a service and a client that does not read."""
FIRST, SECOND = f"{MODEL}-alba", "model-alba"
FITS_ONE_MB = "70"
EMBEDDED_LEFT = "the embedded voice has left memory"


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> World:
    return shared_world(tmp_path_factory)


async def states(running: Service) -> dict[str, str]:
    """The models, and what the metrics say of them."""
    found = re.search(r"http://127\.0\.0\.1:\d+", running.log)
    assert found is not None
    page = (await get(found[0], "/metrics")).body
    return dict(re.findall(r'model_info{model="([^"]+)",state="(\w+)"}', page))


@pytest.mark.slow
async def test_two_models_take_turns_in_a_budget_that_fits_one(world: World, tmp_path: Path) -> None:
    settings = {"WYOMING_POCKET_TTS_MODELS_MEMORY_MB": FITS_ONE_MB, "WYOMING_POCKET_TTS_MODELS_VOICES": "default"}
    with fake_hub(world.files, commits=world.commits) as hub:
        settings |= environment(hub.url, tmp_path, f"{MODEL},{world.config}")
        async with service("--engine", "kokoro", "--metrics-port", "0", tmp_path=tmp_path, **settings) as running:
            address = await running.uri()
            await running.until_logged(SPEAKS, seconds=PATIENCE_SECONDS)
            await running.until_logged("the model model speaks when it is asked for", seconds=PATIENCE_SECONDS)
            voices = await installed_voices(address)
            assert voices[FIRST]
            assert voices[SECOND], "it is here, though not in memory"
            assert await states(running) == {MODEL: "ready", "model": "unloaded"}
            assert await rate_spoken(address, SECOND) == RATE_HZ
            assert await states(running) == {MODEL: "unloaded", "model": "ready"}
            assert await rate_spoken(address, FIRST) == RATE_HZ
            assert await states(running) == {MODEL: "ready", "model": "unloaded"}
            assert "more than models.memory_budget_mb" not in running.log
            await ask_for_the_second_while_the_first_speaks(address, running)
            assert await running.stop() == 0
            assert "Traceback" not in running.log


async def ask_for_the_second_while_the_first_speaks(address: str, running: Service) -> None:
    left = f"the model {MODEL} has left memory"
    before = running.log.count(left)
    async with await Client.connect(address) as client:
        await client.send("synthesize", text=LONG, voice={"name": FIRST})
        await client.until("audio-chunk")
        assert await rate_spoken(address, SECOND) == RATE_HZ
        assert (
            "the model model is loaded, and models take about 86 MB now: more than models.memory_budget_mb (70)"
            in running.log
        )
        assert running.log.count(left) == before
        assert set((await states(running)).values()) == {"ready"}
        assert set(kinds(await client.until("audio-stop"))) == {"audio-chunk", "audio-stop"}
    assert await rate_spoken(address, SECOND) == RATE_HZ
    await running.until_logged(left, times=before + 1)


@pytest.mark.slow
async def test_the_embedded_voice_leaves_when_a_model_speaks_and_is_back_when_asked_for(
    world: World, tmp_path: Path
) -> None:
    with fake_hub(world.files, commits=world.commits) as hub:
        async with service("--engine", "kokoro", tmp_path=tmp_path, **environment(hub.url, tmp_path)) as running:
            address = await running.uri()
            assert EMBEDDED_LEFT not in running.log
            await running.until_logged(EMBEDDED_LEFT, seconds=PATIENCE_SECONDS)
            assert SPEAKS in running.log
            assert (await installed_voices(address))[EMBEDDED_VOICE]
            assert await rate_spoken(address) == RATE_HZ
            assert await rate_spoken(address, EMBEDDED_VOICE) != RATE_HZ
            assert "the embedded voice has come into memory" in running.log
            assert await running.stop() == 0
        settings, elsewhere = environment(hub.url, tmp_path), str(tmp_path / "notify-again")
        async with service(
            "--engine", "kokoro", tmp_path=tmp_path, notify_address=elsewhere, **settings
        ) as again:  # with the model converted
            address = await again.uri()
            assert await rate_spoken(address, EMBEDDED_VOICE) != RATE_HZ
            await again.until_logged(SPEAKS, seconds=PATIENCE_SECONDS)
            assert await again.stop() == 0
            assert "the embedded voice has come into memory" in again.log, "it was loaded although nobody asked"


@pytest.mark.slow
async def test_the_embedded_voice_stays_when_somebody_is_set_to_speak_with_it(world: World, tmp_path: Path) -> None:
    with fake_hub(world.files, commits=world.commits) as hub:
        settings = environment(hub.url, tmp_path) | {"WYOMING_POCKET_TTS_VOICE_DEFAULT": EMBEDDED_VOICE}
        async with service("--engine", "kokoro", tmp_path=tmp_path, **settings) as running:
            address = await running.uri()
            await running.until_logged(f"{MODEL}: all ", seconds=PATIENCE_SECONDS)
            assert await rate_spoken(address, FIRST) == RATE_HZ
            assert await rate_spoken(address) != RATE_HZ
            assert EMBEDDED_LEFT not in running.log
            assert await running.stop() == 0
