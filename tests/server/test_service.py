"""The endpoint of a real service, from the command line on."""

import json
import re
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from http import HTTPStatus
from pathlib import Path

from tests.server.asking import get, values
from tests.server.client import Client
from tests.support.service import Service, service

TEXT = "Marzipan for Anneliese."


@asynccontextmanager
async def watched(tmp_path: Path, *options: str) -> AsyncIterator[tuple[Service, str, str]]:
    """A service that has spoken once, with the addresses of its two doors."""
    async with service("--metrics-port", "0", *options, tmp_path=tmp_path) as running:
        uri = await running.uri()
        await running.until_logged("Metrics at ")
        found = re.search(r"http://127\.0\.0\.1:\d+", running.log)
        assert found is not None
        async with await Client.connect(uri) as client:
            await client.send("synthesize", text=TEXT)
            await client.until("audio-stop")
            yield running, uri, found[0]


async def test_it_answers_from_start_to_stop(tmp_path: Path) -> None:
    async with watched(tmp_path) as (running, _, address):
        assert (await get(address, "/health")).body == "ok\n"
        assert (await get(address, "/ready")).status == HTTPStatus.OK
        found = values((await get(address, "/metrics")).body)
        assert found['wyoming_pocket_tts_requests_total{outcome="spoken",voice="tone-low"}'] == 1
        assert found["wyoming_pocket_tts_connections"] == 1
        assert found["wyoming_pocket_tts_voices_installed"] == 5, "three, and the styles of one of them"
        assert found["process_resident_memory_bytes"] > 0
        assert await running.stop() == 0
        assert "Traceback" not in running.log


async def test_a_request_has_its_line_in_the_log_without_its_text(tmp_path: Path) -> None:
    async with watched(tmp_path, "--log-format", "json") as (running, _, _):
        await running.until_logged("request_stats")
        assert await running.stop() == 0
    (line,) = [line for line in map(json.loads, running.log.splitlines()) if line["logger"].endswith("request_stats")]
    assert (line["outcome"], line["voice"], line["characters"]) == ("spoken", "tone-low", len(TEXT))
    assert "Marzipan" not in running.log


async def test_models_that_are_on_their_way_are_told(tmp_path: Path) -> None:
    environment = {"WYOMING_POCKET_TTS_MODELS_NAMES": "english", "WYOMING_POCKET_TTS_MODELS_LOCAL_FILES_ONLY": "true"}
    async with service("--metrics-port", "0", tmp_path=tmp_path, **environment) as running:
        await running.until_logged("Metrics at ")
        found = re.search(r"http://127\.0\.0\.1:\d+", running.log)
        assert found is not None
        got = values((await get(found[0], "/metrics")).body)
    assert got['wyoming_pocket_tts_model_info{model="english",state="coming"}'] == 1


async def test_a_taken_port_ends_the_start_with_the_settings_name(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = str(taken.getsockname()[1])
        async with service("--metrics-port", port, tmp_path=tmp_path) as running:
            assert await running.exit_code() == 2
    assert f"metrics.port: cannot listen on tcp://127.0.0.1:{port}: " in running.log
    assert "address already in use" in running.log.lower()
    assert "Traceback" not in running.log


async def test_without_a_port_there_is_no_endpoint(tmp_path: Path) -> None:
    async with service(tmp_path=tmp_path) as running:
        await running.uri()
        assert await running.stop() == 0
    assert "Metrics at" not in running.log
